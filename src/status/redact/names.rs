//! The names of headers, parameters and schemes that carry secrets.

/// The last name in a text, without a separator or quotes after it.
pub(super) fn last_name(text: &str) -> &str {
    let text = text.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.rsplit(|c| !is_part(c)).next().unwrap_or_default()
}

/// A word without the punctuation around it.
fn bare(word: &str) -> &str {
    word.trim_matches(|c: char| !c.is_ascii_alphanumeric())
}

pub(super) fn is_scheme(word: &str) -> bool {
    ["bearer", "basic", "aws4-hmac-sha256"].iter().any(|scheme| word.eq_ignore_ascii_case(scheme))
}

/// Whether this is the name of a secret token. In running text `token` alone is not, as in
/// `Unexpected token:`, but an access token is.
pub(super) fn is_token(previous: &str, name: &str) -> bool {
    const KINDS: [&str; 8] =
        ["access", "api", "auth", "bearer", "id", "refresh", "security", "session"];
    name.eq_ignore_ascii_case("token")
        && KINDS.iter().any(|kind| bare(previous).eq_ignore_ascii_case(kind))
}

pub(super) fn is_secret_name(name: &str) -> bool {
    // Compared with the end of the name, so that `x-goog-api-key` and `aws_secret_access_key`
    // match too.
    const ENDS: [&str; 21] = [
        "apikey",
        "accountkey",
        "subscriptionkey",
        "accesskey",
        "secretkey",
        "privatekey",
        "secret",
        "password",
        "passphrase",
        "passwd",
        "pwd",
        "accesstoken",
        "apitoken",
        "authtoken",
        "idtoken",
        "refreshtoken",
        "securitytoken",
        "sessiontoken",
        "signature",
        "cookie",
        "jsessionid",
    ];
    name.eq_ignore_ascii_case("key") || ENDS.iter().any(|end| ends_with(name, end))
}

/// Whether a name ends with this lowercase text, counting only its ASCII letters and digits,
/// in either case.
pub(super) fn ends_with(name: &str, end: &str) -> bool {
    let mut name = name.bytes().rev().filter(u8::is_ascii_alphanumeric);
    end.bytes().rev().all(|byte| name.next().is_some_and(|b| b.to_ascii_lowercase() == byte))
}
