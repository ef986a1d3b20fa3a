//! Percent-encoding, as of a URL within a parameter.

use std::borrow::Cow;

/// Decodes `%3D` and the like. `None` if there is nothing to decode.
pub(super) fn decoded(word: &str) -> Option<String> {
    let bytes = word.as_bytes();
    let mut at = memchr::memchr(b'%', bytes)?;
    let mut out = Vec::with_capacity(bytes.len());
    out.extend_from_slice(&bytes[..at]);
    while let Some(&byte) = bytes.get(at) {
        let byte = match byte {
            b'%' => encoded_byte(&bytes[at + 1..]),
            _ => None,
        };
        out.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    (out.len() < bytes.len()).then(|| match String::from_utf8_lossy(&out) {
        Cow::Borrowed(text) => text.to_owned(),
        Cow::Owned(text) => text,
    })
}

fn encoded_byte(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn only_what_is_encoded_is_decoded() {
        let table = [
            ("api_key%3Dx", Some("api_key=x")),
            ("%22a%22%3a%201", Some("\"a\": 1")),
            ("100%", None),
            ("%", None),
            ("%4", None),
            ("%zz", None),
            ("plain", None),
            ("%253D", Some("%3D")),
            ("%FF", Some("\u{fffd}")),
        ];
        for (word, expected) in table {
            assert_eq!(decoded(word).as_deref(), expected, "{word}");
        }
    }
}
