//! [`TotalCost`]: the sum of the costs of calls, as far as they are known.

use std::fmt;

use super::Cost;

/// The sum of the costs of calls, and how many calls it lacks.
///
/// A call is unpriced if its cost is unknown, or known only in part: the price list has no price for its
/// model, say, or the response reports only a total. The sum is then a minimum, and is displayed as one:
///
/// ```
/// use tower_agent_status::status::TotalCost;
///
/// let mut total = TotalCost::new("0.12".parse()?);
/// assert_eq!(total.to_string(), "$0.12");
/// total.unpriced_calls = 1;
/// assert_eq!(total.to_string(), "≥ $0.12");
/// assert_eq!(format!("{:#}", TotalCost::new("0.0123456".parse()?)), "$0.0123");
/// # Ok::<(), tower_agent_status::status::ParseCostError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct TotalCost {
    /// The sum of the known costs; `None` if no cost is known. A cost that is known to be zero is
    /// `Some`.
    pub usd: Option<Cost>,
    /// The number of calls whose cost the sum lacks, in whole or in part.
    pub unpriced_calls: u64,
}

impl TotalCost {
    /// Creates a complete sum.
    #[must_use]
    pub fn new(cost: Cost) -> Self {
        Self { usd: Some(cost), unpriced_calls: 0 }
    }

    /// A single call whose cost is unknown.
    #[cfg_attr(not(feature = "prices"), allow(dead_code, reason = "nothing has a price"))]
    pub(crate) const UNPRICED: Self = Self { usd: None, unpriced_calls: 1 };

    /// Returns `true` if there is neither a cost nor an unpriced call.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds two sums. Both parts saturate.
    #[must_use]
    pub fn saturating_add(&self, other: &Self) -> Self {
        let usd = match (self.usd, other.usd) {
            (Some(a), Some(b)) => Some(a.saturating_add(b)),
            (known, None) | (None, known) => known,
        };
        Self { usd, unpriced_calls: self.unpriced_calls.saturating_add(other.unpriced_calls) }
    }

    /// The larger of the two, part by part. A cost that is known in whole leaves nothing unpriced.
    pub(super) fn max(&self, other: &Self) -> Self {
        let unpriced_calls = self.unpriced_calls.min(other.unpriced_calls);
        match (self.usd, other.usd) {
            (None, None) => {
                Self { usd: None, unpriced_calls: self.unpriced_calls.max(other.unpriced_calls) }
            }
            (usd, None) => Self { usd, unpriced_calls: self.unpriced_calls },
            (None, usd) => Self { usd, unpriced_calls: other.unpriced_calls },
            (a, b) => Self { usd: a.max(b), unpriced_calls },
        }
    }

    /// The delta that leads from nothing to this sum.
    pub(super) fn as_delta(&self) -> CostDelta {
        self.delta_from(&Self::default())
    }

    /// The delta that leads from `earlier` to this sum.
    pub(super) fn delta_from(&self, earlier: &Self) -> CostDelta {
        let units = |usd: Option<Cost>| {
            i128::try_from(usd.unwrap_or(Cost::ZERO).as_femto_usd()).unwrap_or(i128::MAX)
        };
        let calls = |calls: u64| i64::try_from(calls).unwrap_or(i64::MAX);
        CostDelta {
            is_known: self.usd.is_some() || earlier.usd.is_some(),
            femto_usd: units(self.usd).saturating_sub(units(earlier.usd)),
            unpriced_calls: calls(self.unpriced_calls)
                .saturating_sub(calls(earlier.unpriced_calls)),
        }
    }

    /// Adds a delta.
    pub(super) fn add(&mut self, delta: &CostDelta) {
        if delta.is_known {
            let before = self.usd.unwrap_or(Cost::ZERO).as_femto_usd();
            self.usd = Some(Cost::from_femto_usd(before.saturating_add_signed(delta.femto_usd)));
        }
        self.unpriced_calls = self.unpriced_calls.saturating_add_signed(delta.unpriced_calls);
    }
}

impl fmt::Display for TotalCost {
    /// The exact sum in US dollars, or with `#` the rounded one; `unknown` if there is none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(usd) = self.usd else { return f.pad("unknown") };
        let is_least = self.unpriced_calls > 0;
        let sign = if is_least { "≥ $" } else { "$" };
        let amount = if f.alternate() { rounded(usd, is_least) } else { usd.to_string() };
        f.pad(&format!("{sign}{amount}"))
    }
}

/// An amount to cents, or to three digits if it is less than ten cents, with commas.
fn rounded(cost: Cost, down: bool) -> String {
    const DECIMALS: u32 = 15;
    let units = cost.as_femto_usd();
    if units == 0 {
        return "0".to_owned();
    }
    // The place of the first significant digit after the point.
    let first = DECIMALS.saturating_sub(units.ilog10());
    let places = if first < 2 { 2 } else { (first + 2).min(DECIMALS) };
    let unit = 10_u128.pow(DECIMALS - places);
    let half = if down { 0 } else { unit / 2 };
    let shown = units.saturating_add(half) / unit;
    let (whole, rest) = (shown / 10_u128.pow(places), shown % 10_u128.pow(places));
    let mut rest = format!("{rest:0width$}", width = places as usize);
    // Zeros that stand for what was cut off stay, unless the amount has come to ten cents.
    let is_exact = shown.saturating_mul(unit) == units || shown >= 10_u128.pow(places - 1);
    while is_exact && rest.len() > 2 && rest.ends_with('0') {
        rest.pop();
    }
    let digits = whole.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    format!("{text}.{rest}")
}

/// The difference between two sums. It may be negative: a cost that was counted here may turn out to
/// have been counted by another process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CostDelta {
    is_known: bool,
    /// Zero if it is not known.
    femto_usd: i128,
    unpriced_calls: i64,
}

impl CostDelta {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The difference in US dollars, for the log.
    pub(crate) fn to_usd(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "nobody adds it up")]
        let femto_usd = self.femto_usd as f64;
        femto_usd / 1e15
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.is_known |= other.is_known;
        self.femto_usd = self.femto_usd.saturating_add(other.femto_usd);
        self.unpriced_calls = self.unpriced_calls.saturating_add(other.unpriced_calls);
    }

    /// The delta that undoes this one.
    pub(super) fn negated(&self) -> Self {
        Self {
            is_known: self.is_known,
            femto_usd: self.femto_usd.saturating_neg(),
            unpriced_calls: self.unpriced_calls.saturating_neg(),
        }
    }

    /// The same without its decreases.
    pub(super) fn increases(&self) -> Self {
        Self {
            is_known: self.is_known && self.femto_usd >= 0,
            femto_usd: self.femto_usd.max(0),
            unpriced_calls: self.unpriced_calls.max(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(usd: Option<u128>, unpriced_calls: u64) -> TotalCost {
        TotalCost { usd: usd.map(Cost::from_femto_usd), unpriced_calls }
    }

    #[test]
    fn a_delta_leads_from_one_sum_to_the_other_and_back() {
        let sums = [total(None, 0), total(Some(0), 0), total(Some(7), 2), total(Some(9), 1)];
        for before in sums {
            for after in sums {
                let delta = after.delta_from(&before);
                let mut reached = before;
                reached.add(&delta);
                // What was known stays known.
                let usd = after.usd.or(before.usd.and(Some(Cost::ZERO)));
                assert_eq!(reached, TotalCost { usd, ..after });
                reached.add(&delta.negated());
                assert_eq!(reached.unpriced_calls, before.unpriced_calls);
                assert_eq!(reached.usd.unwrap_or_default(), before.usd.unwrap_or_default());
            }
        }
    }

    #[test]
    fn a_rounded_sum_is_short_and_a_least_is_no_more_than_it_is() {
        for (usd, shown, least) in [
            ("0", "$0", "≥ $0"),
            ("1e-15", "$0.000000000000001", "≥ $0.000000000000001"),
            ("0.000000075", "$0.000000075", "≥ $0.000000075"),
            ("0.0000123456", "$0.0000123", "≥ $0.0000123"),
            ("0.0129999", "$0.0130", "≥ $0.0129"),
            ("0.0300210", "$0.0300", "≥ $0.0300"),
            ("0.05", "$0.05", "≥ $0.05"),
            ("0.09996", "$0.10", "≥ $0.0999"),
            ("0.1", "$0.10", "≥ $0.10"),
            ("0.129", "$0.13", "≥ $0.12"),
            ("1", "$1.00", "≥ $1.00"),
            ("1234567.899", "$1,234,567.90", "≥ $1,234,567.89"),
        ] {
            let mut sum = TotalCost::new(usd.parse().unwrap());
            assert_eq!(format!("{sum:#}"), shown);
            sum.unpriced_calls = 1;
            assert_eq!(format!("{sum:#}"), least);
        }
        assert_eq!(format!("{:#}", total(None, 1)), "unknown");
        let most = format!("{:#}", total(Some(Cost::MAX.as_femto_usd()), 1));
        assert_eq!(most, "≥ $99,999,999,999,999,999,999,999.99");
        assert_eq!(format!("{:>#9}", total(Some(10_u128.pow(15)), 0)), "    $1.00");
    }

    #[test]
    fn sums_saturate_and_unknown_is_not_zero() {
        let most = total(Some(Cost::MAX.as_femto_usd()), u64::MAX);
        assert_eq!(most.saturating_add(&total(Some(1), 1)), most);
        assert_eq!(total(None, 0).saturating_add(&total(None, 0)).usd, None);
        assert_eq!(total(None, 1).to_string(), "unknown");
        let mut sum = most;
        sum.add(&most.delta_from(&total(None, 0)));
        assert_eq!(sum, most);
    }

    #[test]
    fn the_larger_of_two_costs_of_one_answer_is_the_more_complete() {
        let (partial, whole) = (total(Some(3), 1), total(Some(5), 0));
        assert_eq!(partial.max(&whole), whole);
        assert_eq!(total(None, 1).max(&whole), whole);
        assert_eq!(total(None, 0).max(&total(None, 1)), total(None, 1));
    }
}
