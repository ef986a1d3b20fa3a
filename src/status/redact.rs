//! Takes secrets out of a text about a failure, and line breaks with them.
//!
//! The rules work word by word. They take too much rather than too little where a word
//! speaks of a secret, and leave plain sentences as they are.

use std::borrow::Cow;

const REDACTED: &str = "[redacted]";

/// What a word says about the word after it.
#[derive(Clone, Copy, PartialEq)]
enum Next {
    Plain,
    Secret,
    /// `Authorization:` announces a scheme, and the scheme announces the secret.
    SchemeThenSecret,
}

/// The text, its words set apart by one space, without what looks like a secret.
pub(super) fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut next = Next::Plain;
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty())
    {
        if !out.is_empty() {
            out.push(' ');
        }
        next = match next {
            Next::SchemeThenSecret if is_scheme(word) => {
                out.push_str(word);
                Next::Secret
            }
            Next::Secret | Next::SchemeThenSecret => {
                out.push_str(if is_masked(word) { word } else { REDACTED });
                // A scheme that is not known is taken for a secret, and so is its secret.
                match next == Next::SchemeThenSecret && word.chars().all(char::is_alphabetic) {
                    true => Next::Secret,
                    false => Next::Plain,
                }
            }
            Next::Plain => {
                redact_word(word, &mut out);
                announces(word)
            }
        };
    }
    out
}

fn announces(word: &str) -> Next {
    let ends_with = |ends: &[char]| word.trim_end_matches(['"', '\'']).ends_with(ends);
    let name = last_name(word);
    if is_scheme(name) && ends_with(&['r', 'R', 'c', 'C', ':']) {
        Next::Secret
    } else if !ends_with(&[':', '=']) {
        // Only `"x-api-key":` or `password =` at the end of a word speak of the next one.
        Next::Plain
    } else if name.eq_ignore_ascii_case("authorization") {
        Next::SchemeThenSecret
    } else if is_secret_name(name) {
        Next::Secret
    } else {
        Next::Plain
    }
}

/// The last name in a text: what stands before its end, or before the separator there.
fn last_name(text: &str) -> &str {
    let text = text.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.rsplit(|c| !is_part(c)).next().unwrap_or_default()
}

/// Whether whoever wrote the word has taken the secret out already: `sk-inv****-key`.
fn is_masked(word: &str) -> bool {
    word.contains("***")
}

fn is_scheme(word: &str) -> bool {
    word.eq_ignore_ascii_case("bearer") || word.eq_ignore_ascii_case("basic")
}

fn is_secret_name(name: &str) -> bool {
    // By their ends, so that `x-goog-api-key` and `aws_secret_access_key` are known too.
    const ENDS: [&str; 15] = [
        "apikey",
        "subscriptionkey",
        "accesskey",
        "secretkey",
        "privatekey",
        "secret",
        "password",
        "passwd",
        "accesstoken",
        "authtoken",
        "idtoken",
        "refreshtoken",
        "securitytoken",
        "sessiontoken",
        "signature",
    ];
    let mut plain = name.to_ascii_lowercase();
    plain.retain(|c| c.is_ascii_alphanumeric());
    matches!(&*plain, "key" | "authorization") || ENDS.iter().any(|end| plain.ends_with(end))
}

/// Takes the values out of `name=value` and `"name":"value"`, wherever in the word they are.
fn without_secret_values(word: &str) -> Cow<'_, str> {
    let ends_value = ['&', ',', ';', '}', ')', ']', '"', '\''];
    let mut kept = String::new();
    let mut rest = word;
    while let Some(at) = rest.find(['=', ':']) {
        let (name, value) = (last_name(&rest[..at]), &rest[at + 1..]);
        let quotes = value.len() - value.trim_start_matches(['"', '\'']).len();
        let end = value[quotes..].find(ends_value).map_or(value.len(), |end| quotes + end);
        let secret = &value[quotes..end];
        // In running text a token is no secret: `Unexpected token:`. Its value is.
        let is_secret = is_secret_name(name) || name.eq_ignore_ascii_case("token");
        kept.push_str(&rest[..=at]);
        if is_secret && secret.chars().any(char::is_alphanumeric) && !is_scheme(secret) {
            kept.push_str(&value[..quotes]);
            kept.push_str(if is_masked(secret) { secret } else { REDACTED });
            rest = &value[end..];
        } else {
            rest = value;
        }
    }
    if kept.is_empty() {
        return Cow::Borrowed(word);
    }
    kept.push_str(rest);
    Cow::Owned(kept)
}

fn redact_word(word: &str, out: &mut String) {
    let word = without_url_secrets(word);
    let word = without_secret_values(&word);
    let word = &*word;
    // A key by its shape, anywhere in the word.
    let mut rest = word;
    while let Some(start) = rest.find(is_key_char) {
        let run = &rest[start..];
        let run = &run[..run.find(|c| !is_key_char(c)).unwrap_or(run.len())];
        out.push_str(&rest[..start]);
        out.push_str(if is_key(run) { REDACTED } else { run });
        rest = &rest[start + run.len()..];
    }
    out.push_str(rest);
}

/// Cuts `user:password@`, the query, and a fragment that carries values, out of a word that
/// is, or holds, a URL.
fn without_url_secrets(word: &str) -> Cow<'_, str> {
    let ends_url = |c: char| matches!(c, '"' | '\'' | ')' | ']' | '>' | '}' | '`');
    let mut kept = String::new();
    let mut rest = word;
    while let Some(at) = rest.find("://") {
        let start = at + "://".len();
        let end = rest[start..].find(ends_url).map_or(rest.len(), |end| start + end);
        let url = &rest[start..end];
        let authority = &url[..url.find(['/', '?', '#']).unwrap_or(url.len())];
        let user = authority.rfind('@').map_or(0, |at| at + 1);
        let fragment = url.find('#').filter(|at| url[*at..].contains('='));
        let cut = url.find('?').or(fragment).unwrap_or(url.len()).max(user);
        kept.push_str(&rest[..start]);
        kept.push_str(&url[user..cut]);
        rest = &rest[end..];
    }
    // A path with a query and no scheme: `/v1/models?key=…`.
    if let Some(at) = rest.find('?')
        && rest[..at].contains('/')
        && rest[at..].contains('=')
    {
        let end = rest[at..].find(ends_url).map_or(rest.len(), |end| at + end);
        kept.push_str(&rest[..at]);
        rest = &rest[end..];
    } else if kept.is_empty() {
        return Cow::Borrowed(word);
    }
    kept.push_str(rest);
    Cow::Owned(kept)
}

fn is_key_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '*' | '/' | '+')
}

fn is_key(run: &str) -> bool {
    // The published prefixes of the providers that agents and their callers use.
    const PREFIXES: [&str; 18] = [
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
        "github_pat_",
        "glpat-",
        "xox",
        "hf_",
        "gsk_",
        "r8_",
    ];
    let long_enough = |prefix: &str| run.len() >= prefix.len() + 8;
    if is_masked(run) {
        return false;
    }
    let is_jwt = run.starts_with("eyJ") && run.len() >= 24 && run.contains('.');
    is_jwt || PREFIXES.iter().any(|prefix| run.starts_with(prefix) && long_enough(prefix))
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
            ("bad eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln token", "bad [redacted] token"),
        ];
        for (text, expected) in table {
            assert_eq!(redact(text), expected, "{text}");
        }
    }

    #[test]
    fn line_breaks_become_spaces() {
        assert_eq!(redact("a\r\n\tb\u{0}c"), "a b c");
    }
}
