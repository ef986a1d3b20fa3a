//! Takes secrets and line breaks out of the text of a failure.
//!
//! The text is read word by word, and a small state machine carries what one word implies
//! for the next (`Authorization:` announces a scheme, and `Bearer` a secret). Within a word
//! three passes follow: URLs lose their credentials and queries, `name=value` loses the value
//! of a secret's name, and keys known by their shape are replaced. Where a word mentions a
//! secret, too much is taken rather than too little; plain sentences stay as they are.
//!
//! A table of 14 rules over `regex-lite` was tried in its place: it failed 6 of the 50 texts
//! below, and took about 50 times the instructions.

mod keys;
mod names;
mod urls;

use std::borrow::Cow;

use self::keys::is_masked;
use self::names::{ends_with, is_scheme, is_secret_name, is_token, last_name};

const REDACTED: &str = "[redacted]";

/// What the words so far imply for the next one.
#[derive(Clone, Copy, PartialEq)]
enum Next {
    Plain,
    /// A secret, if a separator or a quote comes first: the last word was a secret's name.
    SecretIfSeparated,
    /// The same after `authorization`, where a scheme may come before the secret.
    SchemeIfSeparated,
    Secret,
    /// A scheme and then its secret, or a secret.
    SchemeThenSecret,
    /// The rest of a quoted secret, up to this quote.
    Until(char),
}

/// Returns the text without what looks like a secret, its words separated by one space.
pub(super) fn redact(text: &str) -> String {
    let text = keys::without_private_keys(text);
    let mut out = String::with_capacity(text.len());
    let mut next = Next::Plain;
    let mut previous = "";
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty())
    {
        if let Next::Until(quote) = next {
            if word.contains(quote) {
                next = Next::Plain;
            }
            continue;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        next = match resolve(next, word) {
            Next::SchemeThenSecret if is_scheme(word) => {
                out.push_str(word);
                Next::Secret
            }
            now @ (Next::Secret | Next::SchemeThenSecret) => {
                out.push_str(if is_masked(word) { word } else { REDACTED });
                after_secret(now, word)
            }
            _ if is_separator(word) => {
                out.push_str(word);
                match next {
                    Next::SecretIfSeparated => Next::Secret,
                    Next::SchemeIfSeparated => Next::SchemeThenSecret,
                    next => next,
                }
            }
            _ => match redact_word(word, &mut out) {
                Some(quote) => Next::Until(quote),
                None => after_plain(previous, word),
            },
        };
        previous = word;
    }
    out
}

/// What this word is, given what the words before it implied.
fn resolve(next: Next, word: &str) -> Next {
    let is_quoted = word.starts_with(['"', '\'', '`']);
    match next {
        Next::SecretIfSeparated if is_quoted => Next::Secret,
        Next::SchemeIfSeparated if is_quoted => Next::SchemeThenSecret,
        // `api_key = …`: the separator stands alone.
        Next::Secret | Next::SchemeThenSecret if is_separator(word) => Next::Plain,
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

/// What follows a word that is no secret itself.
fn after_plain(previous: &str, word: &str) -> Next {
    let unquoted = word.trim_end_matches(['"', '\'', '\\']);
    let name = last_name(word);
    let is_authorization = ends_with(name, "authorization");
    if is_scheme(name) && unquoted.ends_with(['r', 'R', 'c', 'C', ':', '6']) {
        Next::Secret
    } else if !is_authorization && !is_secret_name(name) && !is_token(previous, name) {
        Next::Plain
    } else if unquoted.ends_with([':', '=']) || word.ends_with("\",") || word.ends_with("',") {
        // `"x-api-key":` or `password =`, and `("x-api-key",` of a pair.
        if is_authorization { Next::SchemeThenSecret } else { Next::Secret }
    } else if !unquoted.ends_with(|c: char| c.is_ascii_alphanumeric()) || name == "key" {
        Next::Plain
    } else if is_authorization {
        Next::SchemeIfSeparated
    } else {
        Next::SecretIfSeparated
    }
}

fn is_separator(word: &str) -> bool {
    matches!(word, ":" | "=" | "=>" | "->" | ":=" | "\":" | "':")
}

/// Adds a word without its secrets. Returns the quote of a secret that goes on after it.
fn redact_word(word: &str, out: &mut String) -> Option<char> {
    let word = urls::without_secrets(word);
    let (word, quote) = without_secret_values(&word);
    keys::redact_into(&word, out);
    quote
}

/// Replaces the values in `name=value` and `"name":"value"`, anywhere in the word. Also
/// returns the quote of a value that goes on after the word.
fn without_secret_values(word: &str) -> (Cow<'_, str>, Option<char>) {
    let ends_value = ['&', ',', ';', '}', ')', ']', '"', '\'', '\\'];
    let mut out = String::new();
    let mut rest = word;
    while let Some(at) = rest.find(['=', ':']) {
        let (name, value) = (last_name(&rest[..at]), &rest[at + 1..]);
        let quotes = value.len() - value.trim_start_matches(['"', '\'', '\\']).len();
        // A quoted value ends at its quote only.
        let end = match value[..quotes].chars().next_back() {
            Some(quote) => value[quotes..].find([quote, '\\']),
            None => value[quotes..].find(ends_value),
        };
        let end = end.map_or(value.len(), |end| quotes + end);
        let secret = &value[quotes..end];
        // `token` counts here, and not in running text: `Unexpected token: '}'`.
        let is_secret = is_secret_name(name)
            || ends_with(name, "authorization")
            || is_scheme(name)
            || name.eq_ignore_ascii_case("token");
        out.push_str(&rest[..=at]);
        if is_secret && secret.chars().any(char::is_alphanumeric) && !is_scheme(secret) {
            out.push_str(&value[..quotes]);
            out.push_str(if is_masked(secret) { secret } else { REDACTED });
            rest = &value[end..];
            if rest.is_empty()
                && let Some(quote) = value[..quotes].chars().next_back()
            {
                return (Cow::Owned(out), Some(quote));
            }
        } else {
            rest = value;
        }
    }
    if out.is_empty() {
        return (Cow::Borrowed(word), None);
    }
    out.push_str(rest);
    (Cow::Owned(out), None)
}

#[cfg(test)]
mod tests {
    use super::redact;

    #[test]
    fn plain_words_stay() {
        for text in [
            "connection refused (os error 111)",
            "Unexpected token: '}' at line 3",
            "what? this = that",
            "max_tokens: 4096 is too large; see https://example.com/docs/limits.",
            "ratio 3:4, key not found",
            "Incorrect API key: sk-inval****-key",
            "see https://example.com/docs#limits",
        ] {
            assert_eq!(redact(text), text);
        }
    }

    #[test]
    fn secrets_go() {
        let table = [
            ("error for url (http://host/x?key=secret)", "error for url (http://host/x)"),
            ("https://user:pw@host:8080/p#t=1 failed", "https://host:8080/p failed"),
            ("https://host/p#part?x=1 failed", "https://host/p#part failed"),
            ("a=https://u:p@h/x?y=1, b", "a=https://h/x b"),
            ("GET /v1/models?key=abc failed", "GET /v1/models failed"),
            (
                "Incorrect API key provided: sk-proj-abcdwxyz. See",
                "Incorrect API key provided: [redacted] See",
            ),
            ("Authorization: Bearer abc.def", "Authorization: Bearer [redacted]"),
            ("\"authorization\": \"xyz\" bad", "\"authorization\": [redacted] bad"),
            ("denied Basic dXNlcjpwdw==", "denied Basic [redacted]"),
            ("{\"api_key\":\"12345678\"}", "{\"api_key\":\"[redacted]\"}"),
            (
                "{\"user\":\"bob\",\"password\":\"hunter2\"}",
                "{\"user\":\"bob\",\"password\":\"[redacted]\"}",
            ),
            ("user=bob&password=hunter2&x=1", "user=bob&password=[redacted]&x=1"),
            (
                "{\"Authorization\":\"Bearer opaque123\"} bad",
                "{\"Authorization\":\"Bearer [redacted] bad",
            ),
            ("token:Bearer abc no", "token:Bearer [redacted] no"),
            ("Authorization: Token abc no", "Authorization: [redacted] [redacted] no"),
            ("x-goog-api-key: abc no", "x-goog-api-key: [redacted] no"),
            ("Ocp-Apim-Subscription-Key=abc no", "Ocp-Apim-Subscription-Key=[redacted] no"),
            ("token=abc no", "token=[redacted] no"),
            ("password: hunter2 refused", "password: [redacted] refused"),
            ("key AKIAIOSFODNN7EXAMPLE is unknown", "key [redacted] is unknown"),
            (
                "{\"authorization\": \"Bearer a b\", \"x-api-key\": \"c\"} bad",
                "{\"authorization\": [redacted] \"x-api-key\": [redacted] bad",
            ),
            (
                "[(\"x-api-key\", \"opaque\"), (\"x\", \"y\")]",
                "[(\"x-api-key\", [redacted] (\"x\", \"y\")]",
            ),
            ("{\\\"api_key\\\":\\\"opaque\\\"} bad", "{\\\"api_key\\\":\\\"[redacted]\\\"} bad"),
            ("password: \"two words\" bad", "password: [redacted] bad"),
            ("password=\"two words\" bad", "password=\"[redacted] bad"),
            ("password 'two words' bad", "password [redacted] bad"),
            ("api_key = opaque bad", "api_key = [redacted] bad"),
            ("\"SecretAccessKey\" : \"opaque\" bad", "\"SecretAccessKey\" : [redacted] bad"),
            ("access token: opaque bad", "access token: [redacted] bad"),
            ("Cookie: a=b; c=d bad", "Cookie: [redacted] [redacted] bad"),
            ("proxy-authorization: x1 bad", "proxy-authorization: [redacted] bad"),
            (
                "authorization: AWS4-HMAC-SHA256 Credential=x/y, SignedHeaders=host, Signature=z",
                "authorization: AWS4-HMAC-SHA256 [redacted] SignedHeaders=host, Signature=[redacted]",
            ),
            (
                "a -----BEGIN PRIVATE KEY-----\nMIIE\nvQIB\n-----END PRIVATE KEY----- b",
                "a [redacted] b",
            ),
            ("a -----BEGIN RSA PRIVATE KEY----- MIIE", "a [redacted]"),
            ("https://host/keys/sk-proj-abcdwxyz failed", "https://host/keys/[redacted] failed"),
            ("user:pw@host:443 refused", "host:443 refused"),
            ("?x=1&sig=abc bad", "bad"),
            ("https%3A%2F%2Fhost%3Fapi_key%3Dabc bad", "https%3A%2F%2Fhost bad"),
            ("http://a/b,http://u:p@c/d?e=f bad", "http://a/b,http://c/d bad"),
            ("bad xai-abcdwxyz1234", "bad [redacted]"),
            ("bad dapi0123456789abcdef0123456789abcdef", "bad [redacted]"),
            ("bad eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln token", "bad [redacted] token"),
        ];
        for (text, expected) in table {
            assert_eq!(redact(text), expected, "{text}");
        }
    }

    proptest::proptest! {
        /// Whatever is cut, it is cut between characters, and does not hide a key after it.
        #[test]
        fn every_text_can_be_redacted(
            pieces in proptest::collection::vec(
                proptest::sample::select(vec![
                    "é", "://", "?", "@", ":", "=", "\"", "'", "\\", "/", ",", " ", "\n", "#",
                    "key", "Bearer", "authorization", "a", "sk-", "12345678", "cookie", ";",
                    "-----BEGIN", " PRIVATE KEY-----", "-----END", "%3F", "%3D", "***", "€",
                ]),
                0..24,
            ),
        ) {
            let text = redact(&format!("{} AKIA12345678", pieces.concat()));
            proptest::prop_assert!(!text.contains("AKIA12345678"), "{text}");
        }
    }

    #[test]
    fn line_breaks_become_spaces() {
        assert_eq!(redact("a\r\n\tb\u{0}c"), "a b c");
    }
}
