//! URLs, and the user information, queries and fragments in them.

use std::borrow::Cow;

/// Removes `user:password@`, the query, and a fragment with values from every URL in a word.
pub(super) fn without_secrets(word: &str) -> Cow<'_, str> {
    let ends_url = |c: char| matches!(c, '"' | '\'' | ')' | ']' | '>' | '}' | '`');
    let mut out = String::new();
    let mut rest = word;
    while let Some(at) = rest.find("://") {
        let start = at + "://".len();
        let end = rest[start..].find(ends_url).map_or(rest.len(), |end| start + end);
        // A URL inside this one is next.
        let end = rest[start..end].find("://").map_or(end, |inner| {
            let before = &rest[start..start + inner];
            start + before.trim_end_matches(|c: char| c.is_ascii_alphanumeric()).len()
        });
        let url = &rest[start..end];
        let authority = &url[..url.find(['/', '?', '#']).unwrap_or(url.len())];
        let user = authority.rfind('@').map_or(0, |at| at + 1);
        let fragment = url.find('#').filter(|at| url[*at..].contains('='));
        let cut = url.find('?').or(fragment).unwrap_or(url.len()).max(user);
        out.push_str(&rest[..start]);
        out.push_str(&url[user..cut]);
        rest = &rest[end..];
    }
    // `user:password@host` without a scheme.
    if let Some(at) = rest.find('@') {
        let user = rest[..at].rfind(['/', '"', '\'', '(', '=', ',']).map_or(0, |at| at + 1);
        if rest[user..at].find(':').is_some_and(|colon| colon > 0 && user + colon + 1 < at) {
            out.push_str(&rest[..user]);
            rest = &rest[at + 1..];
        }
    }
    // A query without a scheme (`/v1/models?key=…`), or in an encoded URL.
    let encoded = || rest.find("%3F").or_else(|| rest.find("%3f"));
    if let Some(at) = rest.find('?').or_else(encoded)
        && ["=", "%3D", "%3d"].iter().any(|equals| rest[at..].contains(equals))
    {
        let end = rest[at..].find(ends_url).map_or(rest.len(), |end| at + end);
        out.push_str(&rest[..at]);
        rest = &rest[end..];
    } else if rest.len() == word.len() {
        return Cow::Borrowed(word);
    }
    out.push_str(rest);
    Cow::Owned(out)
}
