//! The escapes of JSON strings, decoded a byte at a time.

/// What a byte of a string stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::usage) enum Unescaped {
    /// Itself.
    Literal,
    /// Part of an escape that is not complete yet.
    Pending,
    /// The last byte of an escape, which stands for this character.
    Char(char),
}

/// A decoder of escapes, which can stop after any byte.
///
/// It is no validator: an escape that JSON does not know stands for its second byte, and one whose
/// digits are none for U+FFFD. A high surrogate without a low one is dropped.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::usage) struct Unescaper {
    state: State,
    /// The code unit of a `\u` escape, as far as it was read.
    unit: u16,
    /// The high surrogate right before, or zero.
    high: u16,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    Backslash,
    /// In a `\u` escape, with so many digits to come.
    Digits(u8),
    /// The same, and one of those before was no digit.
    NoDigits(u8),
}

impl Unescaper {
    /// Whether the next byte belongs to an escape, so that a quote does not end the string.
    #[inline]
    pub(in crate::usage) fn is_in_escape(self) -> bool {
        self.state != State::Text
    }

    pub(in crate::usage) fn push(&mut self, byte: u8) -> Unescaped {
        match (self.state, byte) {
            (State::Text, b'\\') => self.state = State::Backslash,
            (State::Text, _) => {
                self.high = 0;
                return Unescaped::Literal;
            }
            (State::Backslash, b'u') => (self.state, self.unit) = (State::Digits(4), 0),
            (State::Backslash, _) => {
                (self.state, self.high) = (State::Text, 0);
                return match byte {
                    b'n' => Unescaped::Char('\n'),
                    b't' => Unescaped::Char('\t'),
                    b'r' => Unescaped::Char('\r'),
                    b'b' => Unescaped::Char('\u{8}'),
                    b'f' => Unescaped::Char('\u{c}'),
                    _ => Unescaped::Literal,
                };
            }
            (State::Digits(left), _) => match char::from(byte).to_digit(16) {
                Some(digit) => {
                    self.unit = self.unit << 4 | digit as u16;
                    self.state = State::Digits(left - 1);
                }
                None => self.state = State::NoDigits(left - 1),
            },
            (State::NoDigits(left), _) => self.state = State::NoDigits(left - 1),
        }
        match self.state {
            State::Digits(0) => self.end_unit(),
            State::NoDigits(0) => {
                (self.state, self.high) = (State::Text, 0);
                Unescaped::Char(char::REPLACEMENT_CHARACTER)
            }
            _ => Unescaped::Pending,
        }
    }

    /// Ends a `\u` escape, which is a character or one half of a surrogate pair.
    fn end_unit(&mut self) -> Unescaped {
        self.state = State::Text;
        let high = std::mem::take(&mut self.high);
        let decoded = match high {
            0 => char::decode_utf16([self.unit]).next(),
            high => char::decode_utf16([high, self.unit]).next(),
        };
        match decoded {
            Some(Ok(char)) => Unescaped::Char(char),
            _ if (0xd800..0xdc00).contains(&self.unit) => {
                self.high = self.unit;
                Unescaped::Pending
            }
            _ => Unescaped::Char(char::REPLACEMENT_CHARACTER),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unescape(raw: &str) -> String {
        let mut unescaper = Unescaper::default();
        let decoded = raw.bytes().filter_map(|byte| match unescaper.push(byte) {
            Unescaped::Literal => Some(char::from(byte)),
            Unescaped::Pending => None,
            Unescaped::Char(char) => Some(char),
        });
        decoded.collect()
    }

    #[test]
    fn what_is_no_json_is_harmless() {
        for (raw, text) in [
            (r"\x\", "x"),
            (r"a\u12", "a"),
            (r"a\u00g0b", "a\u{fffd}b"),
            (r"a\ud83db\ude00", "ab\u{fffd}"),
            (r"\ud83d\ud83d\ude00", "😀"),
            (r"\ude00", "\u{fffd}"),
        ] {
            assert_eq!(unescape(raw), text, "{raw}");
        }
    }

    proptest! {
        #[test]
        fn strings_are_decoded_as_serde_json_does(text: String, all: bool) {
            let mut raw = String::new();
            for unit in text.encode_utf16() {
                match char::from_u32(unit.into()) {
                    Some(char) if char.is_ascii_graphic() && !all && !"\"\\".contains(char) => raw.push(char),
                    _ => raw.push_str(&format!("\\u{unit:04x}")),
                }
            }
            let expected: String = serde_json::from_str(&format!("\"{raw}\"")).unwrap();
            prop_assert_eq!(unescape(&raw), expected);
        }
    }
}
