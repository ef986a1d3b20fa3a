//! [`Cost`]: an exact amount of US dollars.

use std::fmt;
use std::iter::Sum;
use std::str::FromStr;

/// The number of decimals of a cost.
const DECIMALS: usize = 15;
/// One US dollar, in units of 10⁻¹⁵ USD.
const USD: u128 = 1_000_000_000_000_000;

/// An amount of US dollars that is not negative, exact to 10⁻¹⁵ USD.
///
/// A price per token is of the order of 10⁻⁷ USD, with up to fifteen decimals in the lists that
/// people use. Sums of such amounts are integers, so that they are exact and do not depend on their
/// order. A `u64` would end at 18,446 USD, which a busy table reaches in months, so the amount is a
/// `u128`; it saturates at [`MAX`](Self::MAX), which has the 38 digits that a number in DynamoDB can
/// have.
///
/// Displayed as an exact decimal without an exponent and without trailing zeros, and parsed from one:
///
/// ```
/// use tower_agent_status::status::Cost;
///
/// let cost: Cost = "7.5e-08".parse()?;
/// assert_eq!(cost.to_string(), "0.000000075");
/// assert_eq!(cost.saturating_mul(2000).to_string(), "0.00015");
/// # Ok::<(), tower_agent_status::status::ParseCostError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cost(u128);

impl Cost {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount, just below 10²³ USD. Sums stop here.
    pub const MAX: Self = Self(10_u128.pow(38) - 1);
    /// The largest cost that a response is believed to have: 10,000 USD for one call.
    pub const MAX_REPORTED: Self = Self(10_000 * USD);

    /// Creates a cost from a number of units of 10⁻¹⁵ USD, and stops at [`MAX`](Self::MAX).
    #[must_use]
    pub const fn from_femto_usd(units: u128) -> Self {
        if units > Self::MAX.0 { Self::MAX } else { Self(units) }
    }

    /// Returns the amount in units of 10⁻¹⁵ USD.
    #[must_use]
    pub const fn as_femto_usd(self) -> u128 {
        self.0
    }

    /// Creates a cost from a float of US dollars, read as its shortest decimal representation: `0.1` is
    /// exactly ten cents.
    ///
    /// # Errors
    ///
    /// If it is negative, not finite, or more than [`MAX`](Self::MAX).
    pub fn from_f64(usd: f64) -> Result<Self, ParseCostError> {
        format!("{usd:e}").parse()
    }

    /// Returns the nearest float, in US dollars. Do not sum such floats: the result is not exact.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        self.to_string().parse().unwrap_or(f64::INFINITY)
    }

    /// Returns `true` if the amount is zero.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Reads a cost that a response reports, as the text of a JSON number of US dollars.
    ///
    /// # Errors
    ///
    /// If it is not a number, negative, or more than [`MAX_REPORTED`](Self::MAX_REPORTED). Such a
    /// figure is not a cost.
    pub fn from_reported(usd: &str) -> Result<Self, ParseCostError> {
        Self::reported(parse(usd, 0)?)
    }

    /// Reads a cost that a response reports in ticks of 10⁻¹⁰ USD, as xAI's `cost_in_usd_ticks`
    /// does. The text is that of a JSON number.
    ///
    /// # Errors
    ///
    /// Those of [`from_reported`](Self::from_reported).
    pub fn from_reported_ticks(ticks: &str) -> Result<Self, ParseCostError> {
        Self::reported(parse(ticks, -10)?)
    }

    /// Reads the text of a JSON number that has no more than 15 decimals; `None` for any other.
    #[must_use]
    pub fn from_exact(text: &str) -> Option<Self> {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let fraction = mantissa.split_once('.').map_or("", |(_, fraction)| fraction);
        let digits = mantissa.bytes().filter(u8::is_ascii_digit).rev();
        let zeros = i64::try_from(digits.take_while(|digit| *digit == b'0').count()).ok()?;
        let decimals = length(fraction).saturating_sub(zeros);
        let is_exact = decimals.saturating_sub(self::exponent(exponent).ok()?) <= DECIMALS as i64;
        text.parse().ok().filter(|_| is_exact)
    }

    fn reported(cost: Self) -> Result<Self, ParseCostError> {
        if cost > Self::MAX_REPORTED { Err(ParseCostError::TooLarge) } else { Ok(cost) }
    }

    /// Adds two amounts. The sum stops at [`MAX`](Self::MAX).
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self::from_femto_usd(self.0.saturating_add(other.0))
    }

    /// Subtracts an amount. The difference stops at zero.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Multiplies a price by a number of units. The product stops at [`MAX`](Self::MAX).
    #[must_use]
    pub const fn saturating_mul(self, count: u64) -> Self {
        Self::from_femto_usd(self.0.saturating_mul(count as u128))
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::ZERO, Self::saturating_add)
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / USD, self.0 % USD);
        if fraction == 0 {
            return f.pad_integral(true, "", &whole.to_string());
        }
        let text = format!("{whole}.{fraction:0DECIMALS$}");
        f.pad_integral(true, "", text.trim_end_matches('0'))
    }
}

impl FromStr for Cost {
    type Err = ParseCostError;

    /// Reads the text of a JSON number, rounded half to even at 10⁻¹⁵ USD.
    fn from_str(text: &str) -> Result<Self, ParseCostError> {
        parse(text, 0)
    }
}

/// Why a text is not a [`Cost`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseCostError {
    /// It is not a JSON number.
    #[error("not a number")]
    NotANumber,
    /// It is less than zero.
    #[error("negative")]
    Negative,
    /// It is more than can be.
    #[error("too large")]
    TooLarge,
}

/// The amount that a JSON number of units of 10^`power` USD is, rounded half to even.
fn parse(text: &str, power: i64) -> Result<Cost, ParseCostError> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, self::exponent(exponent)?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((_, "")) => return Err(ParseCostError::NotANumber),
        Some(parts) => parts,
        None => (mantissa, ""),
    };
    let digits = || whole.bytes().chain(fraction.bytes());
    let leading_zero = whole.len() > 1 && whole.starts_with('0');
    if whole.is_empty() || leading_zero || !digits().all(|digit| digit.is_ascii_digit()) {
        return Err(ParseCostError::NotANumber);
    }
    if digits().all(|digit| digit == b'0') {
        return Ok(Cost::ZERO);
    }
    if negative {
        return Err(ParseCostError::Negative);
    }
    // How many of the digits are whole units; more than there are if zeros follow.
    let kept = length(whole).saturating_add(exponent).saturating_add(power + DECIMALS as i64);
    let units = round(digits(), kept).ok_or(ParseCostError::TooLarge)?;
    if units > Cost::MAX.0 { Err(ParseCostError::TooLarge) } else { Ok(Cost(units)) }
}

/// The whole number that the first `kept` digits are, rounded half to even by the others.
fn round(digits: impl Iterator<Item = u8>, kept: i64) -> Option<u128> {
    let mut units: u128 = 0;
    // The first digit that is cut off, and whether any after it is not zero.
    let (mut first, mut others) = (0, false);
    let mut position = 0;
    for digit in digits.map(|digit| digit - b'0') {
        if position < kept {
            units = units.checked_mul(10)?.checked_add(u128::from(digit))?;
        } else if position == kept {
            first = digit;
        } else {
            others |= digit != 0;
        }
        position += 1;
    }
    if units > 0 && kept > position {
        let zeros = u32::try_from(kept - position).ok()?;
        units = units.checked_mul(10_u128.checked_pow(zeros)?)?;
    }
    let up = first > 5 || first == 5 && (others || units % 2 == 1);
    // Where all digits are cut off, the first of them counts only if it is the next one.
    let up = up && kept >= 0;
    units.checked_add(u128::from(up))
}

/// The value of an exponent, within what matters.
fn exponent(text: &str) -> Result<i64, ParseCostError> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(ParseCostError::NotANumber);
    }
    let value = digits.iter().fold(0_i64, |value, digit| {
        value.saturating_mul(10).saturating_add(i64::from(digit - b'0'))
    });
    Ok(if negative { -value } else { value })
}

fn length(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_would_be_rounded_is_not_exact() {
        for text in
            ["0", "7", "0.25", "1e-15", "1200e-17", "1.5E+3", "0.123456789012345000", "-0.0"]
        {
            assert_eq!(Cost::from_exact(text), text.parse().ok(), "{text}");
            assert!(Cost::from_exact(text).is_some(), "{text}");
        }
        for text in
            ["1e-16", "0.1234567890123456", "1766570400.1234560012817382812", "-1", "x", "1e99"]
        {
            assert_eq!(Cost::from_exact(text), None, "{text}");
        }
    }

    fn units(text: &str) -> Result<u128, ParseCostError> {
        text.parse::<Cost>().map(Cost::as_femto_usd)
    }

    #[test]
    fn prices_are_read_exactly() {
        for (text, expected) in [
            ("0", 0),
            ("0.0", 0),
            ("-0.0", 0),
            ("1", USD),
            ("7.5e-08", 75_000_000),
            ("7.5E-08", 75_000_000),
            ("0.000000075", 75_000_000),
            ("1e-15", 1),
            ("3e+1", 30 * USD),
            ("0.00001e5", USD),
            ("2.0751953125e-09", 2_075_195),
            ("2.9999900000000002e-06", 2_999_990_000),
        ] {
            assert_eq!(units(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn halves_are_rounded_to_even() {
        for (text, expected) in [
            ("0.5e-15", 0),
            ("0.50000001e-15", 1),
            ("1.5e-15", 2),
            ("2.5e-15", 2),
            ("2.51e-15", 3),
            ("3.5e-15", 4),
            ("0.49e-15", 0),
            ("0.9e-15", 1),
            ("9e-17", 0),
            ("9e-16", 1),
            ("0.0000000000000025", 2),
            ("0.0000000000000035", 4),
            ("99.5e-15", 100),
            ("5e-999999999999999999999999", 0),
        ] {
            assert_eq!(units(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_cost_is_refused() {
        for text in [
            "", "-", ".5", "5.", "1e", "1e+", "+1", "01", "1_000", "NaN", "inf", "0x1", " 1", "1 ",
            "1,5", "٣",
        ] {
            assert_eq!(units(text), Err(ParseCostError::NotANumber), "{text:?}");
        }
        assert_eq!(units("-1e-9"), Err(ParseCostError::Negative));
        assert_eq!(units("-1e-99"), Err(ParseCostError::Negative));
        for text in ["1e23", "1e99999999999999999999", "99999999999999999999999999999999999999999"]
        {
            assert_eq!(units(text), Err(ParseCostError::TooLarge), "{text}");
        }
        assert_eq!(units("0e99999999999999999999"), Ok(0));
    }

    #[test]
    fn reported_costs_have_a_limit() {
        assert_eq!(Cost::from_reported("10000"), Ok(Cost::MAX_REPORTED));
        assert_eq!(Cost::from_reported("10000.00000001"), Err(ParseCostError::TooLarge));
        assert_eq!(Cost::from_reported("-0.01"), Err(ParseCostError::Negative));
        assert_eq!(Cost::from_reported("0"), Ok(Cost::ZERO));
        let cost = Cost::from_reported_ticks("52410500").unwrap();
        assert_eq!(cost.to_string(), "0.00524105");
        assert_eq!(Cost::from_reported_ticks("100000000000000"), Ok(Cost::MAX_REPORTED));
        assert_eq!(Cost::from_reported_ticks("100000000000001"), Err(ParseCostError::TooLarge));
    }

    #[test]
    fn amounts_are_printed_as_decimals() {
        for (units, expected) in [
            (0, "0"),
            (1, "0.000000000000001"),
            (123_400_000_000, "0.0001234"),
            (USD, "1"),
            (12 * USD + USD / 2, "12.5"),
            (u128::MAX, "99999999999999999999999.999999999999999"),
        ] {
            assert_eq!(Cost::from_femto_usd(units).to_string(), expected);
        }
        assert_eq!(format!("{:>6}", Cost::from_femto_usd(USD / 4)), "  0.25");
    }

    #[test]
    fn sums_saturate() {
        let one = Cost::from_femto_usd(1);
        assert_eq!(Cost::MAX.saturating_add(one), Cost::MAX);
        assert_eq!(Cost::MAX.saturating_mul(u64::MAX), Cost::MAX);
        assert_eq!(Cost::ZERO.saturating_sub(one), Cost::ZERO);
        assert_eq!([Cost::MAX, one, one].into_iter().sum::<Cost>(), Cost::MAX);
    }

    proptest! {
        #[test]
        fn what_is_printed_is_parsed(units in 0..=Cost::MAX.0) {
            let cost = Cost(units);
            let text = cost.to_string();
            prop_assert!(text.bytes().filter(u8::is_ascii_digit).count() <= 38);
            prop_assert_eq!(text.parse(), Ok(cost));
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in "[-+0-9.eE]{0,30}|.*") {
            let _ = text.parse::<Cost>();
        }

        // Against integers: `digits` units of 10^-(15 + cut) USD.
        #[test]
        fn rounding_is_half_to_even(digits in 0..10_u64.pow(18), cut in 0..18_u32) {
            let divisor = 10_u64.pow(cut);
            let (whole, rest) = (digits / divisor, digits % divisor);
            let up = match (rest * 2).cmp(&divisor) {
                std::cmp::Ordering::Less => false,
                std::cmp::Ordering::Equal => whole % 2 == 1,
                std::cmp::Ordering::Greater => true,
            };
            let up = up && cut > 0;
            let expected = Ok(u128::from(whole) + u128::from(up));
            prop_assert_eq!(units(&format!("{digits}e-{}", 15 + cut)), expected);
            // The same number, with the point elsewhere.
            let text = digits.to_string();
            let (first, others) = text.split_at(1);
            let exponent = i64::try_from(others.len()).unwrap() - i64::from(15 + cut);
            let others = if others.is_empty() { "0" } else { others };
            prop_assert_eq!(units(&format!("{first}.{others}e{exponent}")), expected);
        }
    }
}
