//! [`Round`]: a flush or a shutdown, for which every unsaved session is tried once.
//!
//! The attempts run side by side. As many as usual start at once: that is enough for a store that
//! answers, and for one that throttles. While a store does not answer, each takes seconds, so more
//! are started every second, up to a bound that keeps connections and sockets few. Where the store
//! is known to answer quickly, more start at once: as many as [were found](super::concurrency).

use std::time::Duration;

use tokio::time::Instant;

/// After this long, a round may have as many more in flight as at its beginning.
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
    /// How many writes may be in flight: `usual` at the beginning, and up to `most`.
    pub(super) fn width(&self, now: Instant, usual: usize, most: usize) -> usize {
        let steps = now.duration_since(self.since).as_secs() / WIDER_AFTER.as_secs();
        let steps = usize::try_from(steps).unwrap_or(usize::MAX);
        usual.saturating_mul(steps.saturating_add(1)).min(most)
    }

    /// When the width next grows.
    pub(super) fn wider_at(&self, now: Instant, usual: usize, most: usize) -> Option<Instant> {
        let width = self.width(now, usual, most);
        let steps = u32::try_from(width / usual).unwrap_or(u32::MAX);
        (width < most).then(|| self.since + WIDER_AFTER * steps)
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
            assert_eq!(round.width(now, 64, 256), width, "after {millis} ms");
            assert_eq!(round.wider_at(now, 64, 256), wider.map(at), "after {millis} ms");
            // One that is set is the most from the beginning.
            assert_eq!((round.width(now, 7, 7), round.wider_at(now, 7, 7)), (7, None));
        }
    }
}
