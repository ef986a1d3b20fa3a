//! [`Sequence`]: the numbers of a tracker's writes.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use crate::status::Timestamp;

/// Numbers the writes of a tracker, over all its sessions.
///
/// A number is the time in milliseconds since 1970, so that it also tells when a writer last wrote,
/// or two more than the last if that is higher. It is even; the ledger makes it odd where that says
/// something. While the clock is behind an earlier time, the time
/// goes on from there at the pace of instants.
///
/// Clones share it, since the recorder that follows on another runtime is the same writer.
#[derive(Clone)]
pub(super) struct Sequence(Arc<Mutex<Last>>);

/// The last number, and the time that it was taken from.
struct Last {
    number: u64,
    time: u64,
    at: Instant,
}

impl Sequence {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Last { number: 0, time: 0, at: Instant::now() })))
    }

    /// The number of the next write.
    pub(super) fn next(&self, clock: Timestamp, now: Instant) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next(clock, now)
    }
}

impl Last {
    fn next(&mut self, clock: Timestamp, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.at).as_millis();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        let clock = u64::try_from(clock.as_millis()).unwrap_or(0);
        // Whole milliseconds only, so that what is cut off does not add up.
        if clock >= self.time || passed > 0 {
            self.time = clock.max(self.time.saturating_add(passed));
            self.at = now;
        }
        self.number = (self.time & !1).max(self.number.saturating_add(2));
        self.number
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn numbers_rise_and_follow_the_time_whatever_the_clock_does() {
        let begin = Instant::now();
        let mut sequence = Last { number: 0, time: 0, at: begin };
        let mut next = |clock, seconds| {
            let now = begin + Duration::from_secs(seconds);
            sequence.next(Timestamp::from_millis(clock), now)
        };
        assert_eq!(next(10_000_000, 0), 10_000_000);
        // Several within a millisecond do not put the time ahead.
        assert_eq!([next(10_000_000, 0), next(10_000_000, 0)], [10_000_002, 10_000_004]);
        assert_eq!(next(10_001_000, 1), 10_001_000);
        // Set back by an hour.
        assert_eq!([next(6_402_000, 2), next(6_403_000, 3)], [10_002_000, 10_003_000]);
        // And set right again.
        assert_eq!(next(10_004_000, 4), 10_004_000);
        assert_eq!(next(96_400_000, 5), 96_400_000);
        assert_eq!(next(-1, 6), 96_401_000);
    }
}
