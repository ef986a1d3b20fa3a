//! Keys known by their shape: by the prefixes that providers publish, or by their header lines.

use std::borrow::Cow;

use super::REDACTED;

/// Adds a word without the keys in it, wherever in the word they are.
pub(super) fn redact_into(word: &str, out: &mut String) {
    let mut rest = word;
    while let Some(start) = rest.find(is_key_char) {
        let run = &rest[start..];
        let run = &run[..run.find(|c| !is_key_char(c)).unwrap_or(run.len())];
        out.push_str(&rest[..start]);
        // In a path, the key begins with one of the segments.
        let parts = run.match_indices('/').map(|(at, _)| at + 1);
        match std::iter::once(0).chain(parts).find(|at| is_key(&run[*at..])) {
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
    word.contains("***")
}

/// Replaces private keys, from their first line to their last or to the end of the text.
pub(super) fn without_private_keys(text: &str) -> Cow<'_, str> {
    const BEGIN: &str = "-----BEGIN";
    const END: &str = "-----END";
    const KIND: &str = "PRIVATE KEY-----";
    let mut out = String::new();
    let mut rest = text;
    while let Some(kind) = rest.find(KIND)
        && let Some(begin) = rest[..kind].rfind(BEGIN)
    {
        out.push_str(&rest[..begin]);
        out.push_str(REDACTED);
        let key = &rest[kind + KIND.len()..];
        let end = key.find(END).map_or("", |end| &key[end + END.len()..]);
        rest = end.split_once(KIND).map_or("", |(_, after)| after);
    }
    if out.is_empty() {
        return Cow::Borrowed(text);
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn is_key_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '*' | '/' | '+')
}

fn is_key(run: &str) -> bool {
    // The published prefixes of the providers that agents and their callers use. None is
    // shorter than three bytes.
    const PREFIXES: [&str; 32] = [
        "sk-",
        "sk_",
        "pk-",
        "pk_",
        "rk_",
        "AKIA",
        "ASIA",
        "AIza",
        "ya29.",
        "ghp_",
        "gho_",
        "ghs_",
        "ghu_",
        "ghr_",
        "github_pat_",
        "glpat-",
        "xox",
        "hf_",
        "gsk_",
        "r8_",
        "xai-",
        "pplx-",
        "nvapi-",
        "csk-",
        "tvly-",
        "lsv2_",
        "ABSKQmVkcm9ja0",
        "bedrock-api-key-",
        "AQ.Ab",
        "SG.",
        "npm_",
        "whsec_",
    ];
    const MIN_SECRET: usize = 8;
    // Most words end here.
    if run.len() < 3 + MIN_SECRET {
        return false;
    }
    let long_enough = |prefix: &str| run.len() >= prefix.len() + MIN_SECRET;
    let is_jwt = run.starts_with("eyJ") && run.len() >= 24 && run.contains('.');
    let is_hex = |text: &str| text.len() >= 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let is_databricks = run.strip_prefix("dapi").is_some_and(is_hex);
    let has_prefix = PREFIXES.iter().any(|prefix| run.starts_with(prefix) && long_enough(prefix));
    (is_jwt || is_databricks || has_prefix) && !is_masked(run)
}
