//! URLs: their user information, query and fragment.

use std::borrow::Cow;

/// Cuts `user:password@`, the query, and a fragment that carries values, out of a word that
/// is, or holds, a URL.
pub(super) fn without_secrets(word: &str) -> Cow<'_, str> {
    let ends_url = |c: char| matches!(c, '"' | '\'' | ')' | ']' | '>' | '}' | '`');
    let mut kept = String::new();
    let mut rest = word;
    while let Some(at) = rest.find("://") {
        let start = at + "://".len();
        let end = rest[start..].find(ends_url).map_or(rest.len(), |end| start + end);
        // Another URL in it stands for itself.
        let end = rest[start..end].find("://").map_or(end, |inner| {
            let before = &rest[start..start + inner];
            start + before.trim_end_matches(|c: char| c.is_ascii_alphanumeric()).len()
        });
        let url = &rest[start..end];
        let authority = &url[..url.find(['/', '?', '#']).unwrap_or(url.len())];
        let user = authority.rfind('@').map_or(0, |at| at + 1);
        let fragment = url.find('#').filter(|at| url[*at..].contains('='));
        let cut = url.find('?').or(fragment).unwrap_or(url.len()).max(user);
        kept.push_str(&rest[..start]);
        kept.push_str(&url[user..cut]);
        rest = &rest[end..];
    }
    // `user:password@host` without a scheme.
    if let Some(at) = rest.find('@') {
        let user = rest[..at].rfind(['/', '"', '\'', '(', '=', ',']).map_or(0, |at| at + 1);
        if rest[user..at].find(':').is_some_and(|colon| colon > 0 && user + colon + 1 < at) {
            kept.push_str(&rest[..user]);
            rest = &rest[at + 1..];
        }
    }
    // A query and no scheme: `/v1/models?key=…`; or one in an encoded URL.
    let encoded = || rest.find("%3F").or_else(|| rest.find("%3f"));
    if let Some(at) = rest.find('?').or_else(encoded)
        && ["=", "%3D", "%3d"].iter().any(|equals| rest[at..].contains(equals))
    {
        let end = rest[at..].find(ends_url).map_or(rest.len(), |end| at + end);
        kept.push_str(&rest[..at]);
        rest = &rest[end..];
    } else if rest.len() == word.len() {
        return Cow::Borrowed(word);
    }
    kept.push_str(rest);
    Cow::Owned(kept)
}
