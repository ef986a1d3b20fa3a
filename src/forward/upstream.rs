//! [`Upstream`]: where an agent is.

use http::Uri;
use http::uri::{Authority, Parts, PathAndQuery, Scheme};

/// The base URL of an agent.
#[derive(Clone, Debug)]
pub(super) struct Upstream {
    scheme: Scheme,
    authority: Authority,
    /// Without a slash at its end, and so empty for the root.
    base: String,
}

/// The error returned when an agent's URL is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidUpstream {
    /// It is not an absolute URL.
    #[error("expected a URL such as https://agent.example/v1")]
    NotAUrl,
    /// Its scheme is neither `http` nor `https`.
    #[error("the scheme must be http or https")]
    Scheme,
    /// It contains a user name or a password.
    #[error("it must not contain a user name or a password; let the client send a header instead")]
    UserInfo,
    /// It has a query or a fragment.
    #[error("it must not have a query or a fragment; let the client send the query")]
    Query,
}

impl Upstream {
    pub(super) fn parse(url: &str) -> Result<Self, InvalidUpstream> {
        let uri: Uri = url.parse().map_err(|_| InvalidUpstream::NotAUrl)?;
        let Parts { scheme: Some(scheme), authority: Some(authority), path_and_query, .. } =
            uri.into_parts()
        else {
            return Err(InvalidUpstream::NotAUrl);
        };
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            return Err(InvalidUpstream::Scheme);
        }
        if authority.as_str().contains('@') {
            return Err(InvalidUpstream::UserInfo);
        }
        if authority.host().is_empty() {
            return Err(InvalidUpstream::NotAUrl);
        }
        let path = path_and_query.as_ref().map_or("", PathAndQuery::as_str);
        if path.contains('?') || url.contains('#') {
            return Err(InvalidUpstream::Query);
        }
        Ok(Self { scheme, authority, base: path.trim_end_matches('/').to_owned() })
    }

    pub(super) fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// The URL of a request: the base, then the rest of its path, then its query.
    pub(super) fn uri(&self, rest: &str, query: Option<&str>) -> Option<Uri> {
        let mut path = String::with_capacity(
            self.base.len() + rest.len() + query.map_or(0, |query| query.len() + 1) + 1,
        );
        path.push_str(&self.base);
        path.push_str(rest);
        if path.is_empty() {
            path.push('/');
        }
        if let Some(query) = query {
            path.push('?');
            path.push_str(query);
        }
        let mut parts = Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path.try_into().ok()?);
        Uri::from_parts(parts).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_a_path_follows_the_base() {
        for (base, rest, query, expected) in [
            ("http://a", "", None, "http://a/"),
            ("http://a/", "/", None, "http://a/"),
            ("http://a", "/v1/x", Some("y=1"), "http://a/v1/x?y=1"),
            ("https://a:8443/v1/", "/x", None, "https://a:8443/v1/x"),
            ("https://a/v1", "", None, "https://a/v1"),
            ("https://a/v1", "/", None, "https://a/v1/"),
            ("https://a/v1", "//b.example/x", None, "https://a/v1//b.example/x"),
            ("http://a", "//b.example/x", None, "http://a//b.example/x"),
            ("http://a", "/%2F%3Fx", Some(""), "http://a/%2F%3Fx?"),
        ] {
            let uri = Upstream::parse(base).unwrap().uri(rest, query).unwrap();
            assert_eq!(uri.to_string(), expected);
            assert_eq!(uri.authority().unwrap(), &Upstream::parse(base).unwrap().authority);
        }
    }

    #[test]
    fn what_is_no_base_url_is_refused() {
        use InvalidUpstream::{NotAUrl, Query, Scheme, UserInfo};
        for (url, expected) in [
            ("", NotAUrl),
            ("agent.example", NotAUrl),
            ("/v1", NotAUrl),
            ("http://", NotAUrl),
            ("http://:80/", NotAUrl),
            ("ftp://agent.example", Scheme),
            ("ws://agent.example", Scheme),
            ("http://user@agent.example", UserInfo),
            ("http://user:password@agent.example", UserInfo),
            ("http://agent.example/?key=1", Query),
            ("http://agent.example/#x", Query),
        ] {
            assert_eq!(Upstream::parse(url).unwrap_err(), expected, "{url}");
        }
    }
}
