//! Access control: the bearer token, and the `Host` check where there is none.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, HOST, WWW_AUTHENTICATE};
use http::uri::Authority;
use http::{StatusCode, Version};
use subtle::ConstantTimeEq as _;

use super::response::ErrorResponse;

/// Rejects requests without the portal's bearer token.
pub(super) async fn require_token(
    State(token): State<Arc<str>>,
    request: Request,
    next: Next,
) -> Response {
    let given = request.headers().get(AUTHORIZATION).map_or(&b""[..], |value| value.as_bytes());
    let given = match given.split_at_checked(7) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => token.trim_ascii(),
        _ => b"",
    };
    // A portal with an empty token is closed, not open.
    if !given.is_empty() && bool::from(given.ct_eq(token.as_bytes())) {
        return next.run(request).await;
    }
    let detail = "the portal's token is missing or wrong; send it as `Authorization: Bearer …`";
    let mut response = ErrorResponse::new(StatusCode::UNAUTHORIZED, detail).into_response();
    response.headers_mut().insert(WWW_AUTHENTICATE, http::HeaderValue::from_static("Bearer"));
    response
}

/// Rejects requests whose host is not a loopback name.
///
/// This stops DNS rebinding: a hostile page can make its own domain resolve to 127.0.0.1,
/// but the browser still sends that domain as the host.
pub(super) async fn require_loopback_name(request: Request, next: Next) -> Response {
    match check_host(&request) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// Checks the host in the header and in the URI, which may each name one. What a cache or a proxy
/// could read in another way is rejected too.
fn check_host<B>(request: &http::Request<B>) -> Result<(), ErrorResponse> {
    let authority = request.uri().authority().map(Authority::as_str);
    let mut headers = request.headers().get_all(HOST).iter();
    let header = headers.next();
    // Browsers speak HTTP/1.1 at least, and must say which host they mean. Older health checks
    // need not.
    let is_missing =
        header.is_none() && authority.is_none() && request.version() > Version::HTTP_10;
    if is_missing || headers.next().is_some() {
        let detail = "a request must have one `Host` header";
        return Err(ErrorResponse::new(StatusCode::BAD_REQUEST, detail));
    }
    // A header that is not ASCII is no name, and least of all one of these.
    let header = header.map(|host| host.to_str().unwrap_or_default());
    if header.into_iter().chain(authority).all(is_loopback_name) {
        return Ok(());
    }
    let detail = "a portal without a token accepts only localhost and 127.0.0.1 as its host";
    Err(ErrorResponse::new(StatusCode::MISDIRECTED_REQUEST, detail))
}

fn is_loopback_name(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    if host.contains('@') {
        return false;
    }
    let name = authority.host();
    if let Some(address) = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback());
    }
    match name.parse::<Ipv4Addr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => {
            let name = name.to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_pass() {
        for host in ["localhost", "LocalHost:80", "127.0.0.1:8080", "[::1]:1", "a.localhost"] {
            assert!(is_loopback_name(host), "{host}");
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
        ] {
            assert!(!is_loopback_name(host), "{host}");
        }
    }

    /// The status for a request of this version with this URI and these headers.
    fn status(version: Version, uri: &str, hosts: &[&[u8]]) -> u16 {
        let mut request = http::Request::builder().version(version).uri(uri);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let checked = check_host(&request.body(()).unwrap());
        checked.map_or_else(|error| error.into_response().status().as_u16(), |()| 200)
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
