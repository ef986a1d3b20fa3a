//! [`OffPeak`]: prices for some hours of the week.

use serde_json::Value as Json;

use super::entry::UnitPrice;
use super::fields::Kind;
use crate::status::Timestamp;

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60;
const WEEKDAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// LiteLLM's `off_peak_pricing`: prices that replace others in some hours.
#[derive(Debug)]
pub(super) struct OffPeak {
    pub(super) prices: Box<[(Kind, UnitPrice)]>,
    hours: Box<[Hours]>,
    /// What the weekdays' clock has more than UTC's, in minutes.
    offset: i64,
}

/// Hours of some days of the week, in minutes of a day in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hours {
    from: i64,
    to: i64,
    /// Whether it has each day, from Monday on.
    days: [bool; 7],
}

impl OffPeak {
    /// Reads `hours_utc`, for each day, and `windows`, which have `weekdays`. What cannot be read has no
    /// hours.
    pub(super) fn new(object: &Json, prices: Box<[(Kind, UnitPrice)]>) -> Self {
        let mut hours = Vec::new();
        add(&mut hours, &object["hours_utc"], [true; 7]);
        for window in object["windows"].as_array().into_iter().flatten() {
            let days = match &window["weekdays"] {
                Json::Null => [true; 7],
                days => weekdays(days),
            };
            add(&mut hours, &window["hours_utc"], days);
        }
        // The only zone in LiteLLM's list. It has had no other offset since 1991.
        let offset = if object["weekday_timezone"] == "Asia/Shanghai" { 8 * 60 } else { 0 };
        Self { prices, hours: hours.into(), offset }
    }

    pub(super) fn price(&self, kind: Kind) -> Option<UnitPrice> {
        self.prices.iter().find(|(of, _)| *of == kind).map(|(_, price)| *price)
    }

    /// Whether its prices hold at a time.
    pub(super) fn holds(&self, at: Timestamp) -> bool {
        let minutes = at.as_millis().div_euclid(MINUTE);
        let minute = minutes.rem_euclid(DAY);
        // The first of January 1970 was a Thursday.
        let day = ((minutes + self.offset).div_euclid(DAY) + 3).rem_euclid(7);
        self.hours.iter().any(|hours| {
            let is_day = usize::try_from(day).is_ok_and(|day| hours.days.get(day) == Some(&true));
            let is_hour = if hours.from < hours.to {
                (hours.from..hours.to).contains(&minute)
            } else {
                // Over midnight, or the whole day.
                minute >= hours.from || minute < hours.to
            };
            is_day && is_hour
        })
    }
}

fn add(hours: &mut Vec<Hours>, texts: &Json, days: [bool; 7]) {
    let one = std::slice::from_ref(texts);
    for text in texts.as_array().map_or(one, Vec::as_slice) {
        let ends = text.as_str().and_then(|text| text.split_once('-'));
        if let Some((from, to)) = ends.and_then(|(from, to)| Some((minute(from)?, minute(to)?))) {
            hours.push(Hours { from, to, days });
        }
    }
}

/// `16:30` as a minute of the day.
fn minute(text: &str) -> Option<i64> {
    let (hour, minute) = text.trim().split_once(':')?;
    let number = |text: &str, below| text.parse::<u8>().ok().map(i64::from).filter(|n| *n < below);
    Some(number(hour, 24)? * 60 + number(minute, 60)?)
}

/// Numbers from 1 for Monday, or names.
fn weekdays(list: &Json) -> [bool; 7] {
    let is = |day: &Json, n: usize, name: &str| match day {
        Json::String(text) => {
            let text = text.trim().to_ascii_lowercase();
            text.len() >= 3 && name.starts_with(&text)
        }
        day => day.as_u64() == Some(n as u64 + 1),
    };
    let list = list.as_array().map_or(&[][..], Vec::as_slice);
    let mut days = [false; 7];
    for (n, (has, name)) in days.iter_mut().zip(WEEKDAYS).enumerate() {
        *has = list.iter().any(|day| is(day, n, name));
    }
    days
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn holds(object: &Json, at: &str) -> bool {
        OffPeak::new(object, Box::default()).holds(at.parse().unwrap())
    }

    #[test]
    fn hours_are_of_each_day() {
        let off_peak = json!({ "hours_utc": "16:30-00:30" });
        for (time, expected) in [
            ("2026-11-26T16:29:59Z", false),
            ("2026-11-26T16:30:00Z", true),
            ("2026-11-26T23:59:59Z", true),
            ("2026-11-27T00:29:59Z", true),
            ("2026-11-27T00:30:00Z", false),
            ("1969-12-31T16:30:00Z", true),
        ] {
            assert_eq!(holds(&off_peak, time), expected, "{time}");
        }
        assert!(holds(
            &json!({ "hours_utc": ["01:00-02:00", "12:00-13:00"] }),
            "2026-11-26T12:00:00Z"
        ));
    }

    #[test]
    fn windows_have_weekdays() {
        let windows = json!([
            { "hours_utc": ["10:00-00:00"], "weekdays": [1, "Tues"] },
            { "hours_utc": "00:00-00:00", "weekdays": ["saturday", 7] },
        ]);
        let off_peak = json!({ "windows": windows });
        for (time, expected) in [
            ("2026-11-23T12:00:00Z", true), // Monday
            ("2026-11-23T09:59:00Z", false),
            ("2026-11-24T12:00:00Z", true),
            ("2026-11-25T12:00:00Z", false), // Wednesday
            ("2026-11-28T03:00:00Z", true),
            ("2026-11-29T23:59:00Z", true),
            ("2026-11-27T20:00:00Z", false), // Friday, and Saturday in Shanghai
        ] {
            assert_eq!(holds(&off_peak, time), expected, "{time}");
        }
        let shanghai = json!({ "windows": windows, "weekday_timezone": "Asia/Shanghai" });
        assert!(holds(&shanghai, "2026-11-27T20:00:00Z"));
    }

    #[test]
    fn what_cannot_be_read_has_no_hours() {
        for off_peak in [
            json!({}),
            json!({ "hours_utc": 5 }),
            json!({ "hours_utc": ["all day", "1-2", "25:00-26:00", "12:00", ":-:", "-1:00-2:00"] }),
            json!({ "windows": "00:00-00:00" }),
            json!({ "windows": [{ "hours_utc": "00:00-00:00", "weekdays": "monday" }] }),
            json!({ "windows": [{ "hours_utc": "00:00-00:00", "weekdays": [0, 8, "m", "", null] }] }),
        ] {
            assert!(!holds(&off_peak, "2026-11-23T12:00:00Z"), "{off_peak}");
        }
    }
}
