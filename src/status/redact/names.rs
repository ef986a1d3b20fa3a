//! The names of headers, parameters, options and schemes that carry secrets.

use super::scan;

/// What kind of name of a secret this is: how much it says on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// `Authorization`: a scheme may come before the secret.
    Authorization,
    /// Of several parts (`api_key`, `access token`), so that it means little else.
    Compound,
    /// A word of many sentences too: `password`, `signature`.
    Word,
    /// `token`, which parsers and models have as well: `Unexpected token: '}'`.
    Token,
    /// Any other name that ends in `token`. A secret only with its value in one word.
    AnyToken,
    /// `key`. A secret only if it is assigned or labelled.
    Key,
    /// `auth`, `pass`, `sig`. A secret only if it is assigned, or the key of an object.
    Assigned,
}

/// The last name in a text, without a separator or quotes after it.
pub(super) fn last_name(text: &str) -> &str {
    let (text, _) = scan::split_end(text, |c| !c.is_ascii_alphanumeric());
    scan::split_end(text, |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')).1
}

/// A word without the punctuation around it.
pub(super) fn bare(word: &str) -> &str {
    word.trim_matches(|c: char| !c.is_ascii_alphanumeric())
}

/// Whether one of these is the word, in upper or lower case.
pub(super) fn is_one_of(word: &str, words: &[&str]) -> bool {
    words.iter().any(|known| word.eq_ignore_ascii_case(known))
}

pub(super) fn is_scheme(word: &str) -> bool {
    is_one_of(word, &["bearer", "basic", "aws4-hmac-sha256"])
}

/// The kind of a name, given the word before it.
pub(super) fn kind(previous: &str, name: &str) -> Option<Name> {
    const TOKENS: [&str; 8] =
        ["access", "api", "auth", "bearer", "id", "refresh", "security", "session"];
    const KEYS: [&str; 10] = [
        "access",
        "account",
        "api",
        "auth",
        "encryption",
        "master",
        "private",
        "secret",
        "signing",
        "subscription",
    ];
    match kind_of(name)? {
        Name::Token if is_one_of(bare(previous), &TOKENS) => Some(Name::Compound),
        Name::Key if is_one_of(bare(previous), &KEYS) => Some(Name::Compound),
        kind => Some(kind),
    }
}

/// The kind of a name on its own.
pub(super) fn kind_of(name: &str) -> Option<Name> {
    // Compared with the end of the name, so that `x-goog-api-key` and `aws_secret_access_key`
    // match too. Most words end here, by their last letter.
    let ends = |end: &str| ends_with(name, end);
    let any = |all: &[&str]| all.iter().any(|end| ends(end));
    match name.bytes().next_back()?.to_ascii_lowercase() {
        b'y' if ends("key") => {
            let is_key = name.trim_start_matches('-').eq_ignore_ascii_case("key");
            match is_key {
                true => Some(Name::Key),
                false => any(&[
                    "apikey",
                    "accountkey",
                    "subscriptionkey",
                    "accesskey",
                    "secretkey",
                    "privatekey",
                    "authkey",
                    "encryptionkey",
                    "masterkey",
                    "signingkey",
                ])
                .then_some(Name::Compound),
            }
        }
        b'n' if ends("token") => {
            let is_token = name.trim_start_matches('-').eq_ignore_ascii_case("token");
            let is_known = || {
                any(&[
                    "accesstoken",
                    "apitoken",
                    "authtoken",
                    "bearertoken",
                    "csrftoken",
                    "idtoken",
                    "refreshtoken",
                    "securitytoken",
                    "sessiontoken",
                ])
            };
            Some(match is_token {
                true => Name::Token,
                false if is_known() => Name::Compound,
                false => Name::AnyToken,
            })
        }
        b'n' if ends("authorization") => Some(Name::Authorization),
        b't' if ends("secret") => Some(Name::Word),
        b'd' if any(&["password", "passwd", "pwd", "jsessionid"]) => Some(Name::Word),
        b'e' if any(&["passphrase", "passcode", "signature", "cookie"]) => Some(Name::Word),
        b'g' | b'h' | b's' | b'w' | b'k' | b'c' if is_assigned(name) => Some(Name::Assigned),
        _ => None,
    }
}

/// Whether the last part of the name is one of these: `DB_PASS` and `dbPass`, and not `bypass`.
fn is_assigned(name: &str) -> bool {
    const PARTS: [&str; 7] = ["auth", "hmac", "oauth", "pass", "psk", "pw", "sig"];
    let (_, part) = scan::split_end(name, |c| c.is_ascii_alphanumeric());
    let is_camel_case = || {
        ["Auth", "Pass", "Sig"].iter().any(|end| {
            part.strip_suffix(end).is_some_and(|before| before.ends_with(char::is_lowercase))
        })
    };
    is_one_of(part, &PARTS) || is_camel_case()
}

/// Whether a name ends with this lowercase text, counting only its ASCII letters and digits,
/// in either case.
fn ends_with(name: &str, end: &str) -> bool {
    let mut name = name.bytes().rev().filter(u8::is_ascii_alphanumeric);
    end.bytes().rev().all(|byte| name.next().is_some_and(|b| b.to_ascii_lowercase() == byte))
}
