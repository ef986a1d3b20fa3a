//! Keys known by their shape.

use super::prefixes::{HEX, PREFIXES};
use super::{REDACTED, scan};

/// Adds a word without the keys in it, wherever in the word they are.
pub(super) fn redact_into(word: &str, out: &mut String) {
    let mut rest = word;
    while let Some(start) = scan::find(rest, is_key_char) {
        let run = &rest[start..];
        let run = &run[..scan::find(run, |c| !is_key_char(c)).unwrap_or(run.len())];
        out.push_str(&rest[..start]);
        match find_key(run) {
            Some(key) => {
                out.push_str(&run[..key]);
                out.push_str(REDACTED);
            }
            None => out.push_str(run),
        }
        rest = &rest[start + run.len()..];
    }
    out.push_str(rest);
}

/// Whether the secret was masked by the sender already: `sk-inv****-key`.
pub(super) fn is_masked(word: &str) -> bool {
    word.contains(MASK) || is_prefix(word)
}

/// Whether there is no more than the prefix of a key, as where a key is quoted that is cut: `sk-.`
fn is_prefix(word: &str) -> bool {
    let prefix = word.trim_end_matches(['.', ',', ';']);
    (3..=4).contains(&prefix.len())
        && PREFIXES.iter().any(|(known, _)| *known == prefix && known.ends_with(['-', '_']))
}

const MASK: &str = "***";

fn is_key_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '*' | '/' | '+' | '~')
}

/// Where in a run of these characters a key begins: in a path, with one of the segments.
fn find_key(run: &str) -> Option<usize> {
    // Most words end here.
    if run.len() < MIN_KEY {
        return None;
    }
    // What comes before this was masked.
    let masked = scan::rfind_str(run, MASK).map_or(0, |at| at + 1);
    let mut at = 0;
    loop {
        if at >= masked && is_key(&run[at..]) {
            return Some(at);
        }
        at += scan::find(&run[at..], |c| c == '/')? + 1;
    }
}

fn is_key(run: &str) -> bool {
    let Some(first) = run.bytes().next().filter(|_| run.len() >= MIN_KEY) else { return false };
    let range = usize::from(FIRST[usize::from(first)])..usize::from(FIRST[usize::from(first) + 1]);
    let has_prefix =
        |(prefix, min): &(&str, usize)| run.len() >= prefix.len() + min && run.starts_with(prefix);
    PREFIXES[range].iter().any(has_prefix)
        || HEX.iter().any(|(prefix, digits)| {
            run.strip_prefix(prefix).is_some_and(|rest| {
                rest.len() >= *digits && rest.bytes().take(*digits).all(|b| b.is_ascii_hexdigit())
            })
        })
        || is_azure_secret(run)
}

/// A client secret of Entra ID: three characters, a digit, `Q~`, and at least 31 more.
fn is_azure_secret(run: &str) -> bool {
    run.len() >= 37 && run.as_bytes()[3].is_ascii_digit() && run[4..].starts_with("Q~")
}

/// The shortest key.
const MIN_KEY: usize = {
    let mut shortest = usize::MAX;
    let mut row = 0;
    while row < PREFIXES.len() {
        let (prefix, min) = PREFIXES[row];
        if prefix.len() + min < shortest {
            shortest = prefix.len() + min;
        }
        row += 1;
    }
    shortest
};

/// Where in [`PREFIXES`] the rows begin whose first byte is this one or a later one.
const FIRST: [u8; 257] = {
    assert!(PREFIXES.len() < 256);
    let mut first = [0; 257];
    let (mut row, mut byte) = (0, 0);
    while byte < 257 {
        while row < PREFIXES.len() && (PREFIXES[row].0.as_bytes()[0] as usize) < byte {
            row += 1;
            assert!(
                row == PREFIXES.len()
                    || PREFIXES[row - 1].0.as_bytes()[0] <= PREFIXES[row].0.as_bytes()[0],
                "the rows are ordered by their first byte"
            );
        }
        #[expect(clippy::cast_possible_truncation, reason = "there are fewer than 256 rows")]
        {
            first[byte] = row as u8;
        }
        byte += 1;
    }
    first
};

#[cfg(test)]
mod tests {
    use super::*;

    fn redact(word: &str) -> String {
        let mut out = String::new();
        redact_into(word, &mut out);
        out
    }

    #[test]
    fn keys_of_every_kind_go() {
        for (prefix, min) in PREFIXES {
            let key = format!("{prefix}{}", "x7".repeat(min.div_ceil(2)));
            assert_eq!(redact(&key), REDACTED, "{key}");
            assert_eq!(redact(&format!("(a/{key})")), format!("(a/{REDACTED})"), "{key}");
            let short = &key[..(prefix.len() + min - 1).min(key.len() - 2)];
            assert_ne!(redact(short), REDACTED, "{short}");
        }
        for (prefix, digits) in HEX {
            let key = format!("{prefix}{}", "f0".repeat(digits.div_ceil(2)));
            assert_eq!(redact(&key), REDACTED, "{key}");
            let other = format!("{prefix}{}", "g0".repeat(digits.div_ceil(2)));
            assert_eq!(redact(&other), other);
        }
        assert_eq!(redact("Ab~8Q~0123456789abcdefghijklmnopqrstuvw"), REDACTED);
    }

    #[test]
    fn words_that_begin_like_keys_stay() {
        for word in [
            "ATTACHMENT_TOO_LARGE_FOR_THE_AGENT",
            "key-value-store/key-concept",
            "pull-request-123456",
            "secret_manager_is_unavailable",
            "API-gateway-timeout",
            "SKIPPED",
            "sessions-are-limited",
            "https://hooks.example.com/services/deploy",
            "sk-inval****-key",
            "path/sk-inval****-key",
        ] {
            assert_eq!(redact(word), word);
        }
    }
}
