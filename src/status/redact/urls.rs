//! URLs, and the user information, queries and fragments in them.

use std::borrow::Cow;

use super::scan;

/// Removes `user:password@`, the query, and a fragment with values from every URL in a word.
pub(super) fn without_secrets(word: &str) -> Cow<'_, str> {
    const SEPARATOR: &str = "://";
    let ends_url = |c: char| matches!(c, '"' | '\'' | ')' | ']' | '>' | '}' | '`');
    let mut out = String::new();
    let mut rest = word;
    let mut found = scan::find_str(rest, SEPARATOR);
    while let Some(at) = found {
        let start = at + SEPARATOR.len();
        // A URL inside this one is next. Its scheme is no part of this one.
        let inner = scan::find_str(&rest[start..], SEPARATOR).map(|inner| start + inner);
        let limit = inner.unwrap_or(rest.len());
        let end = match scan::find(&rest[start..limit], ends_url) {
            Some(end) => start + end,
            None if inner.is_some() => {
                let scheme = |c: char| c.is_ascii_alphanumeric();
                start + scan::split_end(&rest[start..limit], scheme).0.len()
            }
            None => limit,
        };
        let url = &rest[start..end];
        let authority = &url[..scan::find(url, |c| "/?#".contains(c)).unwrap_or(url.len())];
        let user = scan::rfind_str(authority, "@").map_or(0, |at| at + 1);
        let fragment = || {
            let fragment = scan::find(url, |c| c == '#')?;
            scan::find(&url[fragment..], |c| c == '=').map(|_| fragment)
        };
        let query = scan::find(url, |c| c == '?');
        let cut = query.or_else(fragment).unwrap_or(url.len()).max(user);
        out.push_str(&rest[..start]);
        out.push_str(&url[user..cut]);
        rest = &rest[end..];
        found = inner.map(|inner| inner - end);
    }
    // `user:password@host` without a scheme.
    if let Some(at) = scan::find(rest, |c| c == '@') {
        let user = rest[..at].rfind(['/', '"', '\'', '(', '=', ',']).map_or(0, |at| at + 1);
        if rest[user..at].find(':').is_some_and(|colon| colon > 0 && user + colon + 1 < at) {
            out.push_str(&rest[..user]);
            rest = &rest[at + 1..];
        }
    }
    // A query without a scheme (`/v1/models?key=…`), or in an encoded URL.
    let encoded = || scan::find_str(rest, "%3F").or_else(|| scan::find_str(rest, "%3f"));
    if let Some(at) = scan::find(rest, |c| c == '?').or_else(encoded)
        && ["=", "%3D", "%3d"].iter().any(|equals| scan::find_str(&rest[at..], equals).is_some())
    {
        let end = scan::find(&rest[at..], ends_url).map_or(rest.len(), |end| at + end);
        out.push_str(&rest[..at]);
        rest = &rest[end..];
    } else if rest.len() == word.len() {
        return Cow::Borrowed(word);
    }
    out.push_str(rest);
    Cow::Owned(out)
}
