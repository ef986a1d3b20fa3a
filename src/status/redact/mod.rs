//! Takes secrets and line breaks out of the text of a failure.
//!
//! The text is read word by word, and a small state machine carries what one word implies
//! for the next (`Authorization:` announces a scheme, and `Bearer` a secret). Within a word
//! three passes follow: URLs lose their credentials and queries, `name=value` loses the value
//! of a secret's name, and keys known by their shape are replaced. What is percent-encoded is
//! decoded for a second look. Where a word mentions a secret, too much is taken rather than
//! too little; plain sentences stay as they are.
//!
//! This runs on the caller's thread. A text is bounded before it comes here, reading ends when
//! there is enough of it, and every pass is linear: no byte is searched more than a few times,
//! which the tests count.
//!
//! A table of 14 rules over `regex-lite` was tried in its place: it failed 6 of the 50 texts
//! that the tests had then, and took about 50 times the instructions.

mod keys;
mod names;
mod opaque;
mod percent;
mod prefixes;
mod private_keys;
mod scan;
mod urls;
mod values;

use self::keys::is_masked;
use self::names::{Name, bare, is_one_of, is_scheme, last_name};
use self::opaque::{Suspicion, is_opaque};
use self::values::is_header_scheme;

const REDACTED: &str = "[redacted]";

/// How often a word is decoded. Each time takes the whole word.
const MAX_DECODED: usize = 3;

/// What the words so far imply for the next one.
#[derive(Clone, Copy, PartialEq)]
enum Next {
    Plain,
    /// A secret, if a separator or a quote comes first, or if it looks like one: the last words
    /// were a secret's name.
    Named(Name),
    /// The same after `token:`, which a secret or a sentence may follow.
    Labelled,
    /// The value of an option: `--password`.
    Argument,
    /// A secret, unless the scheme before it is only spoken of: `Bearer authentication failed`.
    Credential,
    /// A secret, also after one more name: `Authorization: Bearer token …`.
    HeaderCredential,
    Secret,
    /// A scheme and then its secret, or a secret.
    SchemeThenSecret,
    /// The rest of a quoted secret, up to this quote.
    Until(char),
}

/// Returns the text without what looks like a secret, its words separated by one space.
///
/// Reads no further than to the word that makes the result longer than `max_len` bytes.
pub(super) fn redact(text: &str, max_len: usize) -> String {
    redact_decoded(text, max_len, 0)
}

/// The same for a text that was decoded this often.
fn redact_decoded(text: &str, max_len: usize, decoded: usize) -> String {
    let text = private_keys::without(text);
    let mut out = String::with_capacity(text.len().min(max_len));
    let mut next = Next::Plain;
    let mut previous = "";
    let mut in_digest = false;
    for word in words(&text) {
        if let Next::Until(quote) = next {
            if scan::find(word, |c| c == quote).is_some() {
                next = Next::Plain;
            }
            continue;
        }
        if out.len() > max_len {
            break;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        in_digest |= word.contains('=') && ends_with_digest(previous);
        next = match resolve(next, word) {
            Next::SchemeThenSecret if is_scheme(word) => {
                out.push_str(word);
                Next::HeaderCredential
            }
            Next::SchemeThenSecret if is_header_scheme(word) => {
                out.push_str(word);
                Next::Plain
            }
            Next::HeaderCredential if bare(word).eq_ignore_ascii_case("token") => {
                out.push_str(word);
                Next::Secret
            }
            now @ (Next::Secret | Next::SchemeThenSecret | Next::HeaderCredential) => {
                out.push_str(if is_masked(word) { word } else { REDACTED });
                after_secret(now, word)
            }
            _ if is_separator(word) => {
                out.push_str(word);
                after_separator(next, word)
            }
            now => match redact_word(word, in_digest, max_len, decoded, &mut out) {
                Some(quote) => Next::Until(quote),
                None => after_link(now, word).unwrap_or_else(|| after_plain(previous, word)),
            },
        };
        previous = word;
    }
    out
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty())
}

/// What this word is, given what the words before it implied.
fn resolve(next: Next, word: &str) -> Next {
    let is_quoted = word.starts_with(['"', '\'', '`']);
    let secret_if = |is_secret| if is_secret { Next::Secret } else { next };
    match next {
        // `api_key = …`: the separator stands alone.
        Next::Secret | Next::SchemeThenSecret | Next::HeaderCredential if is_separator(word) => {
            Next::Named(Name::Word)
        }
        Next::Named(Name::Authorization) if is_quoted => Next::SchemeThenSecret,
        Next::Named(Name::Compound | Name::Word) if is_quoted => Next::Secret,
        Next::Named(Name::Compound) | Next::Labelled => {
            secret_if(is_opaque(word, Suspicion::Strong))
        }
        Next::Named(Name::Authorization | Name::Word | Name::Token) => {
            secret_if(is_opaque(word, Suspicion::Weak))
        }
        Next::Argument => secret_if(!is_separator(word) && is_argument(word)),
        Next::Credential => secret_if(!is_separator(word) && is_credential(word)),
        next => next,
    }
}

/// Whether the word after an option is its value.
fn is_argument(word: &str) -> bool {
    const WORDS: [&str; 22] = [
        "and", "argument", "can", "cannot", "expects", "flag", "for", "has", "in", "is", "may",
        "must", "needs", "not", "option", "or", "required", "requires", "takes", "to", "was",
        "with",
    ];
    !word.starts_with('-') && !is_one_of(bare(word), &WORDS)
}

/// Whether the word after a scheme is its secret.
fn is_credential(word: &str) -> bool {
    const WORDS: [&str; 13] = [
        "auth",
        "authentication",
        "authorization",
        "challenge",
        "credentials",
        "error",
        "header",
        "headers",
        "key",
        "realm",
        "scheme",
        "token",
        "tokens",
    ];
    const PARAMETERS: [&str; 3] = ["realm=", "error=", "scope="];
    let is_parameter = PARAMETERS.iter().any(|parameter| word.starts_with(parameter));
    !is_parameter && !is_one_of(bare(word), &WORDS)
}

/// What follows a separator that stands alone.
fn after_separator(next: Next, separator: &str) -> Next {
    match next {
        Next::Named(Name::Token) if !separator.contains('=') => Next::Labelled,
        Next::Named(Name::Assigned) if !separator.contains('=') => Next::Plain,
        Next::Named(Name::Authorization) => Next::SchemeThenSecret,
        Next::Named(_) | Next::Argument | Next::Credential => Next::Secret,
        next => next,
    }
}

/// What follows a word that was taken for a secret.
fn after_secret(now: Next, word: &str) -> Next {
    if let Some(quote) = opened_quote(word) {
        Next::Until(quote)
    } else if now == Next::SchemeThenSecret && word.chars().all(char::is_alphabetic) {
        // An unknown scheme is taken for a secret, and so is the secret after it.
        Next::Secret
    } else if word.ends_with(';') && word.contains('=') {
        // One cookie; the next follows.
        Next::Secret
    } else {
        Next::Plain
    }
}

/// The quote that a value opens and does not close.
fn opened_quote(value: &str) -> Option<char> {
    let value = value.trim_start_matches('\\');
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'))?;
    (!value[1..].contains(quote)).then_some(quote)
}

/// What follows a word between the name of a secret and the secret: `API key provided: …`.
fn after_link(now: Next, word: &str) -> Option<Next> {
    const LINKS: [&str; 12] = [
        "entered",
        "given",
        "is",
        "passed",
        "provided",
        "received",
        "sent",
        "specified",
        "supplied",
        "used",
        "value",
        "was",
    ];
    let Next::Named(name) = now else { return None };
    if !is_one_of(word.trim_end_matches([':', '=']), &LINKS) {
        return None;
    }
    match (name, word.ends_with([':', '='])) {
        (Name::Authorization | Name::Compound | Name::Word, true) => Some(Next::Secret),
        (Name::Token, true) => Some(Next::Labelled),
        (Name::Authorization | Name::Compound | Name::Word | Name::Token, false) => Some(now),
        (Name::AnyToken | Name::Key | Name::Assigned, _) => None,
    }
}

/// What follows a word that is no secret itself.
fn after_plain(previous: &str, word: &str) -> Next {
    let unquoted = word.trim_end_matches(['"', '\'', '\\']);
    let name = last_name(word);
    if is_scheme(name) && unquoted.ends_with(['r', 'R', 'c', 'C', ':', '6']) {
        // A plan may be basic.
        let is_basic = name.eq_ignore_ascii_case("basic") && unquoted.len() == word.len();
        return if is_basic { Next::Named(Name::Compound) } else { Next::Credential };
    }
    let Some(kind) = names::kind(previous, name).filter(|kind| *kind != Name::AnyToken) else {
        return Next::Plain;
    };
    let is_option = word.trim_start_matches(['"', '\'', '`', '(', '[']).starts_with('-');
    let is_pair = word.ends_with("\",") || word.ends_with("',");
    // `"token":` in an object, and `"auth"` before its separator.
    let is_quoted = word.len() > name.len() && word.contains(['"', '\'']);
    if unquoted.ends_with([':', '=']) || is_pair {
        // `"x-api-key":` or `password =`, and `("x-api-key",` of a pair.
        let is_assigned = is_quoted || unquoted.ends_with('=');
        match kind {
            Name::Authorization => Next::SchemeThenSecret,
            Name::Token if !is_assigned => Next::Labelled,
            Name::Assigned if !is_assigned => Next::Plain,
            _ => Next::Secret,
        }
    } else if is_option && unquoted.ends_with(|c: char| c.is_ascii_alphanumeric()) {
        Next::Argument
    } else if !unquoted.ends_with(|c: char| c.is_ascii_alphanumeric()) || kind == Name::Key {
        Next::Plain
    } else if kind == Name::Assigned && unquoted.len() < word.len() {
        Next::Named(Name::Word)
    } else {
        Next::Named(kind)
    }
}

/// Whether the parameters of the scheme `Digest` follow this word.
fn ends_with_digest(word: &str) -> bool {
    const DIGEST: &[u8] = b"digest";
    word.as_bytes().last_chunk::<6>().is_some_and(|end| end.eq_ignore_ascii_case(DIGEST))
}

fn is_separator(word: &str) -> bool {
    matches!(word, ":" | "=" | "=>" | "->" | ":=" | "\":" | "':")
}

/// Adds a word without its secrets. Returns the quote of a secret that goes on after it.
fn redact_word(
    word: &str,
    in_digest: bool,
    max_len: usize,
    decoded: usize,
    out: &mut String,
) -> Option<char> {
    let word = urls::without_secrets(word);
    if decoded < MAX_DECODED
        && let Some(text) = percent::decoded(&word)
    {
        let redacted = redact_decoded(&text, max_len, decoded + 1);
        // What has no secret stays encoded.
        if !words(&text).eq(words(&redacted)) {
            out.push_str(&redacted);
            return None;
        }
    }
    let (word, quote) = values::without_secrets(&word, in_digest);
    keys::redact_into(&word, out);
    quote
}

#[cfg(test)]
mod tests;
