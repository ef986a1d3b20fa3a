//! [`LastChange`]: when a session last changed, by a clock that does not jump.
//!
//! The time of day may be set, in either direction and by any amount. So it decides nothing here:
//! how long a session was silent is measured between two [`Instant`]s. The time of day is only what
//! is written, and even that goes on at the pace of the instants while the clock is behind what was
//! written before. So within a session, time never goes back and never stands still, and readers
//! see that it is alive.
//!
//! # Cost
//!
//! The request path takes no instant for this. The recorder looks at each session when it sweeps
//! over them, and infers the instant of a change from its time of day: exactly, unless the clock was
//! set; then it errs by the interval between two sweeps at most, until the next heartbeat. Only while
//! the clock is behind does each event take an instant of its own.

use std::time::Duration;

use tokio::time::Instant;

use crate::status::Timestamp;

/// When a session last changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct LastChange {
    /// The time of day that the change has left in the document.
    time: Timestamp,
    at: Instant,
    /// Up to here, there was no later change.
    checked_at: Instant,
}

impl LastChange {
    pub(super) fn new(time: Timestamp, now: Instant) -> Self {
        Self { time, at: now, checked_at: now }
    }

    /// Notes a change, if there was one since this was last called.
    pub(super) fn note(&mut self, time: Timestamp, now: Instant) {
        if self.time != time {
            let inferred = self.at + time.duration_since(self.time).min(self.silence(now));
            self.at = inferred.max(self.checked_at);
            self.time = time;
        }
        self.checked_at = now;
    }

    /// How long ago the last change that was noted happened.
    pub(super) fn silence(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.at)
    }

    /// The time of day of an event now: what the clock shows, or the time of the last change and
    /// what has passed since, if that is later.
    pub(super) fn time_of_day(&self, clock: Timestamp, now: Instant) -> Timestamp {
        clock.max(self.time.saturating_add(self.silence(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    const HOUR: Duration = secs(3600);

    #[test]
    fn the_instant_of_a_change_is_inferred() {
        let (begin, noon) = (Instant::now(), Timestamp::from_millis(1_766_570_400_000));
        let checked = begin + secs(20);
        let now = begin + secs(30);
        for (time, at) in [
            // The clock was not set: exactly.
            (noon.saturating_add(secs(27)), begin + secs(27)),
            // It was set ahead, or back; the change came after the last look in any case.
            (noon.saturating_add(HOUR), now),
            (noon.saturating_add(secs(5)), checked),
            (noon.saturating_sub(HOUR), checked),
        ] {
            let mut last = LastChange::new(noon, begin);
            last.note(noon, checked);
            assert_eq!(last.silence(checked), secs(20), "nothing has changed");
            last.note(time, now);
            assert_eq!(last.silence(now), now - at, "{time}");
        }
    }

    #[test]
    fn time_goes_on_while_the_clock_is_behind() {
        let (begin, noon) = (Instant::now(), Timestamp::from_millis(1_766_570_400_000));
        let last = LastChange::new(noon, begin);
        let now = begin + secs(30);
        let passed = noon.saturating_add(secs(30));
        assert_eq!(last.time_of_day(passed, now), passed);
        assert_eq!(last.time_of_day(noon.saturating_sub(HOUR), now), passed);
        let ahead = noon.saturating_add(HOUR);
        assert_eq!(last.time_of_day(ahead, now), ahead);
    }
}
