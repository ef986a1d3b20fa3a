//! Private keys in their armour: PEM, OpenPGP, and SSH2.

use std::borrow::Cow;

use super::{REDACTED, scan};

const KIND: &str = "PRIVATE KEY";
const DASHES: &str = "----";

/// Replaces private keys, from their first line to their last or to the end of the text.
pub(super) fn without(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let (mut rest, mut from) = (text, 0);
    while let Some(at) = scan::find_str(&rest[from..], KIND) {
        let (kind, after) = (from + at, from + at + KIND.len());
        let Some((begin, key)) = begin_of_line(&rest[from..kind]).zip(end_of_line(&rest[after..]))
        else {
            from = after;
            continue;
        };
        out.push_str(&rest[..from + begin]);
        out.push_str(REDACTED);
        rest = after_key(key);
        from = 0;
    }
    if rest.len() == text.len() {
        return Cow::Borrowed(text);
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Returns where `-----BEGIN RSA `, or the `---- BEGIN ` of SSH2, begins at the end of a text.
fn begin_of_line(text: &str) -> Option<usize> {
    let begin = scan::rfind_str(text, "BEGIN")?;
    let (_, label) = text.split_at(begin + "BEGIN".len());
    let is_label = |c: char| c.is_ascii_alphanumeric() || c.is_whitespace() || c == '_';
    if scan::find(label, |c| !is_label(c)).is_some() {
        return None;
    }
    let (before, dashes) = scan::split_end(&text[..begin], |c| matches!(c, '-' | ' '));
    dashes.contains(DASHES).then_some(before.len() + dashes.len() - dashes.trim_start().len())
}

/// Returns the text after the end of the first line: `-----`, ` BLOCK-----` or ` ----`.
fn end_of_line(text: &str) -> Option<&str> {
    let text = text.strip_prefix(" BLOCK").unwrap_or(text);
    text.trim_start_matches(' ').strip_prefix(DASHES)
}

/// Returns the text after a key and its last line.
fn after_key(key: &str) -> &str {
    let key = key.trim_start_matches('-');
    let Some(end) = scan::find_str(key, DASHES) else { return "" };
    let line = key[end..].trim_start_matches(['-', ' ']);
    match line.strip_prefix("END") {
        Some(label) => match scan::find_str(label, DASHES) {
            Some(end) => label[end..].trim_start_matches('-'),
            None => "",
        },
        // The next key: this one is cut.
        None => &key[end..],
    }
}

#[cfg(test)]
mod tests {
    use super::without;

    #[test]
    fn keys_go_and_the_text_around_them_stays() {
        let table = [
            ("a -----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY----- b", "a [redacted] b"),
            ("a -----BEGIN RSA PRIVATE KEY----- MIIE", "a [redacted]"),
            (
                "a -----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: 1\n\nlQ\n=x\n\
                 -----END PGP PRIVATE KEY BLOCK----- b",
                "a [redacted] b",
            ),
            (
                "a ---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nP2\n\
                 ---- END SSH2 ENCRYPTED PRIVATE KEY ---- b",
                "a [redacted] b",
            ),
            // The words alone, before a key and after it.
            (
                "no PRIVATE KEY----- in -----BEGIN EC PRIVATE KEY-----x-----END EC PRIVATE \
                 KEY----- or PRIVATE KEY-----",
                "no PRIVATE KEY----- in [redacted] or PRIVATE KEY-----",
            ),
            (
                "-----BEGIN PRIVATE KEY-----a -----BEGIN PRIVATE KEY-----b-----END PRIVATE KEY-----",
                "[redacted][redacted]",
            ),
            ("a -----BEGIN PRIVATE KEY----- b -----END PRIVATE", "a [redacted]"),
        ];
        for (text, expected) in table {
            assert_eq!(without(text), expected, "{text}");
        }
        for text in [
            "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
            "-----BEGIN PGP PUBLIC KEY BLOCK-----",
            "expected BEGIN PRIVATE KEY",
        ] {
            assert_eq!(without(text), text);
        }
    }
}
