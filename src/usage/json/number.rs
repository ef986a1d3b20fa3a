//! A number, read a byte at a time into a whole number.
//!
//! Token counts are written as `12`, `12.0`, `1e3`, `"12"`, or with a fraction, which is dropped. A
//! number that is negative, too large or none has no value.
//!
//! The digits are kept as one integer, with the place of its decimal point. Those of a fraction that
//! no longer fit are dropped; they would be dropped in the end. So a number of any length takes 16
//! bytes.

/// As many decimal places as any price has, and some.
const MAX_PLACES: u8 = 30;

/// The part of a number at hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Start,
    Integer,
    Fraction,
    ExponentStart,
    ExponentSign,
    Exponent,
    /// This is no number.
    Invalid,
}

/// A number, as far as it was read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Number {
    digits: u64,
    /// How many places the decimal point is to the left of the end of `digits`.
    places: i16,
    exponent: i16,
    part: Part,
    is_negative: bool,
    is_exponent_negative: bool,
}

impl Number {
    /// Takes the next byte.
    #[inline]
    pub(super) fn push(&mut self, byte: u8) {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 && matches!(self.part, Part::Start | Part::Integer) {
            self.part = Part::Integer;
            self.push_digit(digit);
        } else {
            self.push_other(byte, digit);
        }
    }

    #[inline]
    fn push_digit(&mut self, digit: u8) -> bool {
        let next = self.digits.checked_mul(10);
        match next.and_then(|tens| tens.checked_add(u64::from(digit))) {
            Some(digits) => self.digits = digits,
            // One digit of an integer that does not fit makes it ten times as large.
            None if self.part == Part::Integer => self.places = self.places.saturating_sub(1),
            None => return false,
        }
        true
    }

    #[cold]
    fn push_other(&mut self, byte: u8, digit: u8) {
        self.part = match (self.part, byte) {
            (Part::Start, b'-') if !self.is_negative => {
                self.is_negative = true;
                return;
            }
            (Part::Integer, b'.') => Part::Fraction,
            (Part::Integer | Part::Fraction, b'e' | b'E') => Part::ExponentStart,
            (Part::ExponentStart, b'+' | b'-') => {
                self.is_exponent_negative = byte == b'-';
                Part::ExponentSign
            }
            (Part::Fraction, _) if digit <= 9 => {
                if self.push_digit(digit) {
                    self.places = self.places.saturating_add(1);
                }
                return;
            }
            (Part::ExponentStart | Part::ExponentSign | Part::Exponent, _) if digit <= 9 => {
                self.exponent = self.exponent.saturating_mul(10).saturating_add(digit.into());
                Part::Exponent
            }
            _ => Part::Invalid,
        };
    }

    /// The whole number that it is, without its fraction.
    #[inline]
    pub(super) fn value(&self) -> Option<u64> {
        if self.part == Part::Integer && self.places == 0 && !self.is_negative {
            return Some(self.digits);
        }
        self.other_value()
    }

    /// Whether it is a number.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self.part, Part::Integer | Part::Fraction | Part::Exponent)
    }

    /// The decimal number that it is, with so many places more: an integer, and how many of its digits
    /// are behind the point. The last of these is no zero.
    #[cold]
    pub(super) fn decimal(&self, more_places: i16) -> Option<(u64, u8)> {
        if !self.is_complete() || self.places < 0 || self.is_negative && self.digits != 0 {
            return None;
        }
        if self.digits == 0 {
            return Some((0, 0));
        }
        let exponent = if self.is_exponent_negative { -self.exponent } else { self.exponent };
        let mut places = self.places.saturating_add(more_places).saturating_sub(exponent);
        let mut digits = self.digits;
        while places > 0 && digits.is_multiple_of(10) {
            digits /= 10;
            places -= 1;
        }
        while places < 0 {
            digits = digits.checked_mul(10)?;
            places += 1;
        }
        let places = u8::try_from(places).ok()?;
        (places <= MAX_PLACES).then_some((digits, places))
    }

    #[cold]
    fn other_value(&self) -> Option<u64> {
        if !self.is_complete() {
            return None;
        }
        let exponent = if self.is_exponent_negative { -self.exponent } else { self.exponent };
        let tens = exponent.saturating_sub(self.places);
        let power = 10_u64.checked_pow(tens.unsigned_abs().into());
        let value = match power {
            _ if self.digits == 0 => 0,
            // Digits were dropped for lack of room, and nothing makes up for them.
            _ if self.places < 0 && exponent >= 0 => return None,
            Some(power) if tens < 0 => self.digits / power,
            None if tens < 0 => 0,
            power => self.digits.checked_mul(power?)?,
        };
        (!self.is_negative || self.digits == 0).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Option<u64> {
        let mut number = Number::default();
        text.bytes().for_each(|byte| number.push(byte));
        number.value()
    }

    #[test]
    fn whole_numbers_are_read_however_they_are_written() {
        for (text, whole) in [
            ("0", 0),
            ("12", 12),
            ("12.0", 12),
            ("12.999", 12),
            ("1e3", 1000),
            ("1E+3", 1000),
            ("1.25e2", 125),
            ("125e-2", 1),
            ("14417.92", 14417),
            ("0.0", 0),
            ("-0", 0),
            ("18446744073709551615", u64::MAX),
            ("18446744073709551615.9", u64::MAX),
            ("12.00000000000000000000000000000000001", 12),
            ("184467440737095516150e-1", u64::MAX),
            ("1e-400", 0),
            ("0e999999999999", 0),
        ] {
            assert_eq!(value(text), Some(whole), "{text}");
        }
    }

    #[test]
    fn what_is_no_count_has_no_value() {
        for text in [
            "",
            "-",
            "-12",
            "-0.5",
            "-1e3",
            "NaN",
            "Infinity",
            "1e",
            "e3",
            ".5",
            "1.2.3",
            "12 tokens",
            "0x10",
            "1e20",
            "18446744073709551616",
            "1e999999999999",
            "--1",
            "1-",
            "+1",
        ] {
            assert_eq!(value(text), None, "{text}");
        }
        assert_eq!(value(&"9".repeat(1_000_000)), None);
    }
}
