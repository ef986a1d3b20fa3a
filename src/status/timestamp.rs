//! [`Timestamp`]: a time as the table stores it.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::time::{Duration, SystemTime, SystemTimeError, UNIX_EPOCH};

/// A time in UTC, with millisecond precision.
///
/// Displayed as RFC 3339 with three decimals and a `Z`: `2025-12-24T10:00:05.123Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(
    /// Milliseconds since the earliest time, and one more: never zero, so that an optional time is
    /// no larger.
    NonZeroU64,
);

impl Timestamp {
    /// The earliest time RFC 3339 can write: the start of the year 0.
    const MIN_MILLIS: i64 = -62_167_219_200_000;
    /// The latest time that RFC 3339 can write at every offset: jiff's own limit.
    const MAX_MILLIS: i64 = 253_402_207_200_000;

    /// Creates a timestamp from milliseconds since 1970-01-01T00:00:00Z. Values outside the
    /// years 0 to 9999 are clamped.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        Self::of_millis(millis.clamp(Self::MIN_MILLIS, Self::MAX_MILLIS))
    }

    /// Creates a timestamp from milliseconds that need no clamping.
    #[inline]
    fn of_millis(millis: i64) -> Self {
        let since_earliest = millis.wrapping_sub(Self::MIN_MILLIS).cast_unsigned();
        Self(NonZeroU64::MIN.saturating_add(since_earliest))
    }

    /// Returns the milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn as_millis(self) -> i64 {
        self.0.get().cast_signed() - 1 + Self::MIN_MILLIS
    }

    /// Returns the whole seconds since 1970-01-01T00:00:00Z, rounded down.
    #[must_use]
    pub fn as_secs(self) -> i64 {
        self.as_millis().div_euclid(1000)
    }

    /// Returns the day in UTC, as `2025-12-24`.
    #[must_use]
    pub fn day(self) -> String {
        let mut text = self.to_string();
        text.truncate("2025-12-24".len());
        text
    }

    /// Returns the time elapsed since an earlier timestamp, or zero if it is not earlier.
    #[must_use]
    pub fn duration_since(self, earlier: Self) -> Duration {
        Duration::from_millis(
            u64::try_from(self.as_millis().saturating_sub(earlier.as_millis())).unwrap_or(0),
        )
    }

    /// Returns the timestamp this much later, clamped to the year 9999.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.as_millis().saturating_add(millis))
    }

    /// Returns the timestamp this much earlier, clamped to the year 0.
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.as_millis().saturating_sub(millis))
    }
}

impl Timestamp {
    #[cold]
    fn out_of_range(since_epoch: Result<Duration, SystemTimeError>) -> Self {
        Self::from_millis(match since_epoch {
            Ok(after) => millis(after),
            Err(before) => -millis(before.duration()),
        })
    }
}

impl From<SystemTime> for Timestamp {
    #[inline]
    fn from(time: SystemTime) -> Self {
        const MAX_SECONDS: u64 = Timestamp::MAX_MILLIS as u64 / 1000;
        match time.duration_since(UNIX_EPOCH) {
            // Any clock shows a time in this range, which needs no clamping.
            Ok(after) if after.as_secs() < MAX_SECONDS => {
                Self::of_millis(after.as_secs() as i64 * 1000 + i64::from(after.subsec_millis()))
            }
            since => Self::out_of_range(since),
        }
    }
}

/// Whole milliseconds, saturating. [`Duration::as_millis`] divides 128-bit numbers.
fn millis(duration: Duration) -> i64 {
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    seconds.saturating_mul(1000).saturating_add(i64::from(duration.subsec_millis()))
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Timestamp").field(&self.as_millis()).finish()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The range of `from_millis` lies within jiff's, so the default is never taken.
        let moment = jiff::Timestamp::from_millisecond(self.as_millis()).unwrap_or_default();
        write!(f, "{moment:.3}")
    }
}

/// The error returned when a text is not a time in RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a time in RFC 3339, such as 2025-12-24T10:00:05.123Z")]
pub struct ParseTimestampError {
    text: String,
}

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    /// Parses RFC 3339 with any offset. Two more formats are read as UTC, since older writers use them:
    /// `+00:00Z`, and no offset at all, as Python's `utcnow().isoformat()` prints it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let well_formed = text.strip_suffix("+00:00Z").map(|local| format!("{local}Z"));
        let text = well_formed.as_deref().unwrap_or(text);
        let moment = text.parse().or_else(|error| match text.parse::<jiff::civil::DateTime>() {
            // jiff also reads a date alone, as midnight.
            Ok(time) if text.contains(':') => jiff::tz::TimeZone::UTC.to_timestamp(time),
            _ => Err(error),
        });
        moment
            .map(|moment: jiff::Timestamp| Self::from_millis(moment.as_millisecond()))
            .map_err(|_| ParseTimestampError { text: text.chars().take(64).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displays_milliseconds_and_one_z() {
        assert_eq!(
            Timestamp::from_millis(1_766_570_405_123).to_string(),
            "2025-12-24T10:00:05.123Z"
        );
        assert_eq!(Timestamp::from_millis(0).to_string(), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn the_day_is_that_of_utc() {
        for (text, day) in [
            ("2025-12-24T23:59:59.999Z", "2025-12-24"),
            ("2025-12-25T00:30:00+01:00", "2025-12-24"),
            ("0000-01-01T00:00:00Z", "0000-01-01"),
        ] {
            assert_eq!(text.parse::<Timestamp>().unwrap().day(), day);
        }
        let day = Duration::from_secs(24 * 60 * 60);
        let moment = Timestamp::from_millis(1_766_570_405_123);
        assert_eq!(moment.saturating_sub(day).saturating_add(day), moment);
        assert_eq!(Timestamp::from_millis(i64::MIN).saturating_sub(day).day(), "0000-01-01");
    }

    #[test]
    fn reads_offsets_the_doubled_suffix_and_no_offset() {
        let expected = Timestamp::from_millis(1_766_570_405_123);
        for text in [
            "2025-12-24T10:00:05.123Z",
            "2025-12-24T10:00:05.123456+00:00Z",
            "2025-12-24T11:00:05.123+01:00",
            "2025-12-24T10:00:05.123456",
            "2025-12-24 10:00:05.123",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Ok(expected), "{text}");
        }
        let second = "2025-12-24T10:00:05".parse::<Timestamp>();
        assert_eq!(second, Ok(expected.saturating_sub(Duration::from_millis(123))));
        for text in ["2025-12-24", "2025-12-24T10", "10:00:05", "2025-12-24T10:00:05+", "", "soon"]
        {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_error_contains_the_text() {
        let error = "yesterday".parse::<Timestamp>().unwrap_err();
        assert!(error.to_string().contains("`yesterday`"), "{error}");
    }

    #[test]
    fn is_clamped_to_what_can_be_written() {
        for millis in [i64::MIN, i64::MAX] {
            let moment = Timestamp::from_millis(millis);
            assert_eq!(moment.to_string().parse(), Ok(moment));
        }
    }
}
