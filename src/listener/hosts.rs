//! [`Hosts`]: the names under which a server may be called.
//!
//! This stops DNS rebinding: a hostile page can make its own domain resolve to 127.0.0.1, but the
//! browser still sends that domain as the host.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::header::HOST;
use http::uri::Authority;
use http::{Request, Version};

/// The names under which a server may be called: `localhost`, names that end in `.localhost`, the
/// addresses of loopback, and these.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hosts {
    /// Without a port.
    pub(crate) names: Vec<String>,
    /// Whether any IP address passes. A page cannot make one resolve to another.
    pub(crate) any_address: bool,
}

/// Why a request is refused for its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostError {
    /// It has none, or several.
    NotOne,
    /// It is not one of the allowed ones.
    NotAllowed,
}

/// Checks the host in the header and in the URI, which may each name one. What a cache or a proxy
/// could read in another way is rejected too.
pub(crate) fn check_host<B>(request: &Request<B>, hosts: &Hosts) -> Result<(), HostError> {
    let authority = request.uri().authority().map(Authority::as_str);
    let mut headers = request.headers().get_all(HOST).iter();
    let header = headers.next();
    // Browsers speak HTTP/1.1 at least, and must say which host they mean. Older health checks
    // need not.
    let is_missing =
        header.is_none() && authority.is_none() && request.version() > Version::HTTP_10;
    if is_missing || headers.next().is_some() {
        return Err(HostError::NotOne);
    }
    // A header that is not ASCII is no name, and least of all one of these.
    let header = header.map(|host| host.to_str().unwrap_or_default());
    let mut named = header.into_iter().chain(authority);
    if named.all(|host| hosts.allow(host)) { Ok(()) } else { Err(HostError::NotAllowed) }
}

impl Hosts {
    fn allow(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else { return false };
        if host.contains('@') {
            return false;
        }
        let name = authority.host();
        let port = host.get(name.len()..).unwrap_or_default();
        if !port.trim_start_matches(|c: char| c == ':' || c.is_ascii_digit()).is_empty() {
            return false;
        }
        if let Some(address) = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
            let address = address.parse::<Ipv6Addr>();
            return address.is_ok_and(|address| self.any_address || address.is_loopback());
        }
        match name.parse::<Ipv4Addr>() {
            Ok(address) => self.any_address || address.is_loopback(),
            Err(_) => {
                let name = name.to_ascii_lowercase();
                name == "localhost"
                    || name.ends_with(".localhost")
                    || self.names.iter().any(|allowed| allowed.eq_ignore_ascii_case(&name))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_pass() {
        for host in ["localhost", "LocalHost:80", "127.0.0.1:8080", "[::1]:1", "a.localhost"] {
            assert!(Hosts::default().allow(host), "{host}");
        }
        for host in [
            "",
            "example.com",
            "localhost.example.com",
            "127.0.0.1.example.com",
            "10.0.0.1",
            "[::]:1",
            "a b",
            "user@localhost",
            "example.com@localhost:80",
            "@localhost",
            "localhost@example.com",
            "[localhost]",
            "[127.0.0.1]",
            "[[::1]]",
            "::1",
            "[::ffff:127.0.0.1]",
            "127.1",
            "localhost.",
            ".",
            "localhost/",
            "http://localhost",
            "localhost, example.com",
            "localhost:80.example.com",
            "127.0.0.1:80.example.com",
        ] {
            assert!(!Hosts::default().allow(host), "{host}");
        }
    }

    #[test]
    fn further_names_and_addresses_pass_where_they_are_allowed() {
        let hosts = Hosts { names: vec!["Forwarder".to_owned()], any_address: true };
        for host in ["localhost:1", "forwarder", "FORWARDER:8080", "10.0.0.1:80", "[fe80::1]:1"] {
            assert!(hosts.allow(host), "{host}");
        }
        for host in ["forwarder.example", "a.forwarder", "user@forwarder", "", "example.com"] {
            assert!(!hosts.allow(host), "{host}");
        }
        assert!(!Hosts::default().allow("10.0.0.1"));
    }

    /// The status for a request of this version with this URI and these headers.
    fn status(version: Version, uri: &str, hosts: &[&[u8]]) -> u16 {
        let mut request = http::Request::builder().version(version).uri(uri);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        match check_host(&request.body(()).unwrap(), &Hosts::default()) {
            Ok(()) => 200,
            Err(HostError::NotOne) => 400,
            Err(HostError::NotAllowed) => 421,
        }
    }

    #[test]
    fn every_host_that_a_request_names_counts() {
        use Version as V;
        for (version, uri, hosts, expected) in [
            (V::HTTP_11, "/", &[&b"localhost"[..]][..], 200),
            (V::HTTP_11, "/", &[b"example.com"], 421),
            (V::HTTP_11, "/", &[b""], 421),
            (V::HTTP_11, "/", &[b"\xff"], 421),
            (V::HTTP_11, "/", &[b"caf\xc3\xa9.example"], 421),
            (V::HTTP_11, "/", &[b"localhost\xff"], 421),
            // Missing, and twice.
            (V::HTTP_11, "/", &[], 400),
            (V::HTTP_10, "/", &[], 200),
            (V::HTTP_10, "/", &[b"example.com"], 421),
            (V::HTTP_11, "/", &[b"localhost", b"example.com"], 400),
            (V::HTTP_11, "/", &[b"localhost", b"localhost"], 400),
            // The absolute form of a URI, and what HTTP/2 sends as `:authority`.
            (V::HTTP_11, "http://localhost/", &[b"localhost"], 200),
            (V::HTTP_11, "http://example.com/", &[b"localhost"], 421),
            (V::HTTP_11, "http://localhost/", &[b"example.com"], 421),
            (V::HTTP_11, "http://localhost/", &[b"\xff"], 421),
            (V::HTTP_11, "http://user@localhost/", &[b"localhost"], 421),
            (V::HTTP_2, "http://localhost:1/", &[], 200),
            (V::HTTP_2, "http://example.com/", &[], 421),
            (V::HTTP_2, "http://localhost/", &[b"example.com"], 421),
            (V::HTTP_2, "/", &[], 400),
        ] {
            assert_eq!(status(version, uri, hosts), expected, "{version:?} {uri} {hosts:?}");
        }
    }
}
