//! JSON for a terminal.

use serde::Serialize;

use super::failure::Failure;
use super::text::is_unprintable;

/// A value as JSON, on one line or over several.
///
/// What JSON allows as it is and a terminal would obey, such as the control characters
/// from U+0080, is escaped too: the JSON stays the same.
pub(crate) fn json(value: &impl Serialize, is_pretty: bool) -> Result<String, Failure> {
    let text = match is_pretty {
        true => serde_json::to_string_pretty(value),
        false => serde_json::to_string(value),
    };
    let text = text.map_err(|error| Failure::Unusable(format!("cannot write as JSON: {error}")))?;
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        // Within a text a line's end is escaped already: this is between the lines.
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
    fn what_a_terminal_would_obey_is_escaped_and_reads_back() {
        let text = "\u{1b}[31m\u{9b}2J\u{7f}\u{202e}\u{e0041}\n\"é✔";
        let value = serde_json::json!({ "a": text, text: 1 });
        for is_pretty in [false, true] {
            let json = json(&value, is_pretty).unwrap();
            assert!(!json.chars().any(|c| c != '\n' && is_unprintable(c)), "{json}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), value);
        }
    }
}
