//! The names by which secrets are known: of headers, parameters and schemes.

/// The last name in a text: what stands before its end, or before the separator there.
pub(super) fn last_name(text: &str) -> &str {
    let text = text.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.rsplit(|c| !is_part(c)).next().unwrap_or_default()
}

/// A word without what stands around it.
fn bare(word: &str) -> &str {
    word.trim_matches(|c: char| !c.is_ascii_alphanumeric())
}

pub(super) fn is_scheme(word: &str) -> bool {
    ["bearer", "basic", "aws4-hmac-sha256"].iter().any(|scheme| word.eq_ignore_ascii_case(scheme))
}

/// In running text a token is no secret, as in `Unexpected token:`, and an access token is.
pub(super) fn is_token(before: &str, name: &str) -> bool {
    const KINDS: [&str; 8] =
        ["access", "api", "auth", "bearer", "id", "refresh", "security", "session"];
    name.eq_ignore_ascii_case("token")
        && KINDS.iter().any(|kind| bare(before).eq_ignore_ascii_case(kind))
}

pub(super) fn is_secret_name(name: &str) -> bool {
    // By their ends, so that `x-goog-api-key` and `aws_secret_access_key` are known too.
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

/// Whether a name ends so, by its letters and digits alone.
pub(super) fn ends_with(name: &str, end: &str) -> bool {
    let mut plain = name.to_ascii_lowercase();
    plain.retain(|c| c.is_ascii_alphanumeric());
    plain.ends_with(end)
}
