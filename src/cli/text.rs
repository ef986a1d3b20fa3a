//! Formats text for a terminal.

use std::borrow::Cow;
use std::time::Duration;

use indicatif::HumanCount;
use tower_agent_status::status::TokenUsage;

/// Escapes characters of a stored text that a terminal would interpret, or that would hide or
/// reorder the text around them. The result is a single line.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_unprintable(c) {
            true => safe.extend(c.escape_default()),
            false => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

/// Whether a character is a control character, or invisible in Unicode: direction marks,
/// joiners, tags.
pub(crate) fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Truncates a text to `max` characters, the last of them an ellipsis.
pub(crate) fn truncated(text: &str, max: usize) -> Cow<'_, str> {
    if text.chars().count() <= max {
        return Cow::Borrowed(text);
    }
    let mut short: String = text.chars().take(max.saturating_sub(1)).collect();
    short.push('…');
    Cow::Owned(short)
}

/// Formats a duration as `0.9 s`, `2 m 05 s`, `3 h 20 m` or `12 d 04 h`.
pub(crate) fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{}.{} s", seconds, time.subsec_millis() / 100),
        60..3_600 => format!("{} m {:02} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {:02} m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {:02} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// Formats the total as `12,653 tokens`; empty if it is unknown.
pub(crate) fn tokens(usage: Option<&TokenUsage>) -> String {
    usage
        .and_then(|usage| usage.total_tokens)
        .map_or_else(String::new, |total| format!("{} tokens", HumanCount(total)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        let table = [
            ("Extrahiere – ünïcode ✔ 交易", "Extrahiere – ünïcode ✔ 交易"),
            ("\u{1b}[2Jx", "\\u{1b}[2Jx"),
            ("a\nb\tc\r", "a\\nb\\tc\\r"),
            ("\u{9b}31m\u{7f}\u{0}", "\\u{9b}31m\\u{7f}\\u{0}"),
            ("a\u{202e}b\u{2066}\u{200b}", "a\\u{202e}b\\u{2066}\\u{200b}"),
            ("\u{e0041}\u{feff}", "\\u{e0041}\\u{feff}"),
        ];
        for (text, expected) in table {
            assert_eq!(escaped(text), expected);
        }
    }

    #[test]
    fn numbers_and_durations_are_readable() {
        for (number, expected) in
            [(0, "0"), (999, "999"), (1000, "1,000"), (u64::MAX, "18,446,744,073,709,551,615")]
        {
            let usage = TokenUsage::new(number, 0);
            assert_eq!(tokens(Some(&usage)), format!("{expected} tokens"));
        }
        assert_eq!(tokens(None), "");
        let times = [
            (950, "0.9 s"),
            (59_999, "59.9 s"),
            (65_000, "1 m 05 s"),
            (3_600_000, "1 h 00 m"),
            (90_000_000, "1 d 01 h"),
        ];
        for (millis, expected) in times {
            assert_eq!(time(Duration::from_millis(millis)), expected);
        }
        assert_eq!(truncated("abcdef", 6), "abcdef");
        assert_eq!(truncated("äbcdefg", 6), "äbcde…");
    }
}
