//! `name=value` and `"name":"value"`, of the names of secrets.

use std::borrow::Cow;

use super::keys::is_masked;
use super::names::{self, Name, is_one_of, is_scheme, last_name};
use super::{REDACTED, scan};

/// Replaces the values of secrets anywhere in the word. Also returns the quote of a value that
/// goes on after the word.
///
/// `in_digest` says that the word may be a parameter of the scheme `Digest`.
pub(super) fn without_secrets(word: &str, in_digest: bool) -> (Cow<'_, str>, Option<char>) {
    let ends_value = |c| matches!(c, '&' | ',' | ';' | '}' | ')' | ']' | '"' | '\'' | '\\');
    let mut out = String::new();
    let mut rest = word;
    while let Some(at) = scan::find(rest, |c| matches!(c, '=' | ':')) {
        let (name, value) = (last_name(&rest[..at]), &rest[at + 1..]);
        let is_assigned = rest[at..].starts_with('=');
        out.push_str(&rest[..=at]);
        rest = value;
        let kind = names::kind_of(name);
        let is_quoted = value.starts_with(['"', '\'', '\\']);
        let may_be_secret = match kind {
            Some(Name::Assigned) => is_assigned || is_quoted,
            Some(_) => true,
            None => is_scheme(name) || in_digest && name.eq_ignore_ascii_case("response"),
        };
        // The end of any other value is not searched for: the next separator may be before it,
        // so the same bytes would be read again and again.
        if !may_be_secret {
            continue;
        }
        let quotes = value.len() - value.trim_start_matches(['"', '\'', '\\']).len();
        let quote = value[..quotes].chars().next_back();
        // A quoted value ends at its quote only.
        let end = match quote {
            Some(quote) => scan::find(&value[quotes..], |c| c == quote || c == '\\'),
            None => scan::find(value, ends_value),
        };
        let end = end.map_or(value.len(), |end| quotes + end);
        let secret = &value[quotes..end];
        let is_secret = match kind {
            Some(Name::AnyToken) => !secret.bytes().all(|b| b.is_ascii_digit()),
            Some(Name::Assigned) => !is_state(secret),
            _ => true,
        };
        let is_word = !secret.contains(char::is_alphanumeric) || is_header_scheme(secret);
        if !is_secret || is_word {
            continue;
        }
        out.push_str(&value[..quotes]);
        out.push_str(if is_masked(secret) { secret } else { REDACTED });
        rest = &value[end..];
        if rest.is_empty() && quote.is_some() {
            return (Cow::Owned(out), quote);
        }
    }
    if out.is_empty() {
        return (Cow::Borrowed(word), None);
    }
    out.push_str(rest);
    (Cow::Owned(out), None)
}

/// Whether the secret follows this word: `"Authorization":"Bearer …`.
pub(super) fn is_header_scheme(word: &str) -> bool {
    is_scheme(word) || word.eq_ignore_ascii_case("digest")
}

/// What `auth=` may be set to, or may have come to, that is no secret.
fn is_state(value: &str) -> bool {
    const STATES: [&str; 14] = [
        "true", "false", "null", "none", "yes", "no", "ok", "failed", "invalid", "missing",
        "required", "enabled", "disabled", "oauth2",
    ];
    is_one_of(value, &STATES)
}
