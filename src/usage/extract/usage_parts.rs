//! The figures of a usage object that few have: what the call has cost, and how long the parts of what
//! was written to a cache are kept.
//!
//! They are kept apart from [`TokenCounts`](super::TokenCounts), which all answers have and copy, and join
//! earlier ones as the counts of their object do.

use std::fmt;

use crate::status::TokenUsage;
use crate::usage::formats::{Merge, UsagePart};

/// A decimal number: so many of its digits are behind the point, and the last of these is no zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::usage) struct Decimal {
    pub(super) digits: u64,
    pub(super) places: u8,
}

impl Decimal {
    /// The exact sum, if it is not too long.
    fn checked_add(self, other: Self) -> Option<Self> {
        let places = self.places.max(other.places);
        let scaled = |number: Self| {
            let power = 10_u64.checked_pow(u32::from(places - number.places))?;
            number.digits.checked_mul(power)
        };
        let mut sum = Self { digits: scaled(self)?.checked_add(scaled(other)?)?, places };
        while sum.places > 0 && sum.digits.is_multiple_of(10) {
            sum = Self { digits: sum.digits / 10, places: sum.places - 1 };
        }
        Some(sum)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = usize::from(self.places);
        let digits = format!("{:0>width$}", self.digits, width = places + 1);
        let (whole, fraction) = digits.split_at(digits.len() - places);
        if fraction.is_empty() { f.write_str(whole) } else { write!(f, "{whole}.{fraction}") }
    }
}

/// What is stated of a usage object at hand, or of all that count. There is room for two of them in each
/// reader, so it has no `Option` for each value.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::usage) struct UsageParts {
    values: [u64; VALUES],
    /// A bit for each value that was stated.
    present: u8,
    /// How many digits of the cost are behind its point.
    cost_places: u8,
    /// How long the part of a list is kept that is at hand.
    lifetime: Option<UsagePart>,
}

/// The parts, the cost, and the number of web searches.
const VALUES: usize = SEARCHES + 1;
const COST: usize = UsagePart::Listed as usize + 1;
const SEARCHES: usize = COST + 1;
/// Beside the bits of the values: a cost was stated that none can be.
const IMPOSSIBLE_COST: u8 = 1 << 7;

impl UsageParts {
    fn get(&self, at: usize) -> Option<u64> {
        (self.present & 1 << at != 0).then_some(self.values[at])
    }

    fn put(&mut self, at: usize, value: u64) {
        self.values[at] = value;
        self.present |= 1 << at;
    }

    /// Takes a number. Of two spellings, a zero says less.
    #[cold]
    pub(super) fn set(&mut self, part: UsagePart, value: u64) {
        if value > 0 || self.get(part as usize).is_none() {
            self.put(part as usize, value);
        }
    }

    /// The cost in US dollars.
    pub(in crate::usage) fn cost(&self) -> Option<Decimal> {
        self.get(COST).map(|digits| Decimal { digits, places: self.cost_places })
    }

    #[cold]
    pub(super) fn set_cost(&mut self, digits: u64, places: u8) {
        if digits > 0 || self.get(COST).is_none() {
            self.put(COST, digits);
            self.cost_places = places;
        }
    }

    /// Notes that the cost is negative, or larger than any.
    #[cold]
    pub(super) fn set_impossible_cost(&mut self) {
        self.present |= IMPOSSIBLE_COST;
    }

    /// Whether a cost was stated that none can be.
    pub(in crate::usage) fn has_impossible_cost(&self) -> bool {
        self.present & IMPOSSIBLE_COST != 0
    }

    /// How many web searches are billed.
    pub(in crate::usage) fn web_searches(&self) -> Option<u64> {
        self.get(SEARCHES)
    }

    /// Takes a number of web searches. The largest one stays.
    #[cold]
    pub(super) fn set_web_searches(&mut self, searches: u64) {
        self.put(SEARCHES, self.get(SEARCHES).unwrap_or(0).max(searches));
    }

    /// Notes how long the part of a list is kept that is at hand.
    #[cold]
    pub(super) fn set_lifetime(&mut self, part: UsagePart) {
        self.lifetime = Some(part);
    }

    /// Ends the part of a list that is at hand. It counts if its number and its lifetime are known.
    #[cold]
    pub(super) fn end_listed(&mut self) {
        let listed = self.get(UsagePart::Listed as usize);
        self.present &= !(1 << UsagePart::Listed as usize);
        if let (Some(part), Some(listed)) = (self.lifetime.take(), listed) {
            let known = self.get(part as usize).unwrap_or(0);
            self.put(part as usize, known.saturating_add(listed));
        }
    }

    /// Takes those of a later object as well, in the way in which its counts join earlier ones.
    #[cold]
    pub(super) fn join(&mut self, later: &Self, merge: Merge) {
        let (cost, later_cost) = (self.cost(), later.cost());
        match merge {
            Merge::Replace | Merge::SumOfEvents => {
                let searches = self.web_searches();
                *self = *later;
                return searches.into_iter().for_each(|searches| self.set_web_searches(searches));
            }
            Merge::PerField => {}
            Merge::Sum => {
                for part in [UsagePart::CacheWrite5m as usize, UsagePart::CacheWrite1h as usize] {
                    if let (Some(known), Some(value)) = (self.get(part), later.get(part)) {
                        self.put(part, known.saturating_add(value));
                    }
                }
            }
        }
        for at in 0..COST {
            if let Some(value) = later.get(at)
                && (merge == Merge::PerField || self.get(at).is_none())
            {
                self.put(at, value);
            }
        }
        let cost = match (cost, later_cost) {
            (Some(a), Some(b)) if merge == Merge::Sum => a.checked_add(b),
            (a, b) => b.or(a),
        };
        self.present &= !(1 << COST);
        self.present |= later.present & IMPOSSIBLE_COST;
        if let Some(Decimal { digits, places }) = cost {
            self.set_cost(digits, places);
        }
    }

    /// Completes the tokens of the same objects.
    #[cold]
    pub(in crate::usage) fn complete(&self, usage: &mut TokenUsage) {
        usage.cache_write_5m_input_tokens = self.get(UsagePart::CacheWrite5m as usize);
        usage.cache_write_1h_input_tokens = self.get(UsagePart::CacheWrite1h as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_written_and_added_exactly() {
        for (digits, places, text) in [
            (0, 0, "0"),
            (502, 5, "0.00502"),
            (12, 0, "12"),
            (125, 1, "12.5"),
            (1, 10, "0.0000000001"),
        ] {
            assert_eq!(Decimal { digits, places }.to_string(), text);
        }
        let (a, b) = (Decimal { digits: 25, places: 2 }, Decimal { digits: 15, places: 2 });
        assert_eq!(a.checked_add(b), Some(Decimal { digits: 4, places: 1 }));
        let (a, b) = (Decimal { digits: 1, places: 30 }, Decimal { digits: 1, places: 0 });
        assert_eq!(a.checked_add(b), None);
    }
}
