//! [`Round`]: a flush or a shutdown, for which every unsaved session is tried once.
//!
//! The attempts run side by side. As many as usual start at once: that is enough for a store that
//! answers, and for one that throttles. While a store does not answer, each takes seconds, so more
//! are started every second, up to a bound that keeps connections and sockets few.

use std::time::Duration;

use tokio::time::Instant;

/// How many writes may be in flight at once, over all sessions.
pub(super) const MAX_WRITES: usize = 64;
/// How many may be in flight in a round that takes long.
const MAX_WIDTH: usize = 4 * MAX_WRITES;
/// After this long, a round may have [`MAX_WRITES`] more in flight.
const WIDER_AFTER: Duration = Duration::from_secs(1);
/// How long a flush waits for its round.
pub(super) const FLUSH_TIMEOUT: Duration = Duration::from_secs(60);

/// A round of attempts, one for each session that was unsaved at its beginning.
pub(super) struct Round<R> {
    pub(super) since: Instant,
    pub(super) end: RoundEnd<R>,
}

/// What follows a round.
pub(super) enum RoundEnd<R> {
    /// A flush receives its reply.
    Reply(R),
    /// The recorder ends.
    End,
    /// Nothing: a shutdown goes on until its deadline.
    GoOn,
}

impl<R> Round<R> {
    /// How many writes may be in flight.
    pub(super) fn width(&self, now: Instant) -> usize {
        let steps = now.duration_since(self.since).as_secs() / WIDER_AFTER.as_secs();
        let steps = usize::try_from(steps).unwrap_or(usize::MAX);
        MAX_WRITES.saturating_mul(steps.saturating_add(1)).min(MAX_WIDTH)
    }

    /// When the width next grows.
    pub(super) fn wider_at(&self, now: Instant) -> Option<Instant> {
        let steps = u32::try_from(self.width(now) / MAX_WRITES).unwrap_or(u32::MAX);
        (self.width(now) < MAX_WIDTH).then(|| self.since + WIDER_AFTER * steps)
    }

    /// When the caller of a flush learns how far it came.
    pub(super) fn expires_at(&self) -> Option<Instant> {
        matches!(self.end, RoundEnd::Reply(_)).then(|| self.since + FLUSH_TIMEOUT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_grows_wider_by_the_second() {
        let since = Instant::now();
        let round = Round { since, end: RoundEnd::<()>::GoOn };
        let at = |millis| since + Duration::from_millis(millis);
        for (millis, width, wider) in [
            (0, 64, Some(1_000)),
            (999, 64, Some(1_000)),
            (1_000, 128, Some(2_000)),
            (2_500, 192, Some(3_000)),
            (3_000, 256, None),
            (60_000, 256, None),
        ] {
            let now = at(millis);
            assert_eq!(round.width(now), width, "after {millis} ms");
            assert_eq!(round.wider_at(now), wider.map(at), "after {millis} ms");
        }
    }
}
