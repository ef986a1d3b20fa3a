//! JSON that is safe to print on a terminal.

use serde::Serialize;

use super::failure::Failure;
use super::text::is_unprintable;

/// Formats a value as JSON, on one line or pretty-printed.
///
/// Characters that JSON allows but a terminal interprets, such as the control characters from
/// U+0080, are escaped. The JSON still parses to the same value.
pub(crate) fn json(value: &impl Serialize, is_pretty: bool) -> Result<String, Failure> {
    let text = match is_pretty {
        true => serde_json::to_string_pretty(value),
        false => serde_json::to_string(value),
    };
    let text =
        text.map_err(|error| Failure::Unusable(format!("cannot format as JSON: {error}")))?;
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        // Line breaks within strings are escaped already; these are between lines.
        if c == '\n' || !is_unprintable(c) {
            safe.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            safe.push_str(&format!("\\u{unit:04x}"));
        }
    }
    Ok(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_read_back() {
        let text = "\u{1b}[31m\u{9b}2J\u{7f}\u{202e}\u{e0041}\n\"é✔";
        let value = serde_json::json!({ "a": text, text: 1 });
        for is_pretty in [false, true] {
            let json = json(&value, is_pretty).unwrap();
            assert!(!json.chars().any(|c| c != '\n' && is_unprintable(c)), "{json}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), value);
        }
    }
}
