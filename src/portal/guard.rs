//! Access control: the bearer token, and the `Host` check where there is none.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{AUTHORIZATION, HOST, WWW_AUTHENTICATE};
use http::uri::Authority;
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
    let header = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let host = header.or(request.uri().authority().map(Authority::as_str));
    if host.is_none_or(is_loopback_name) {
        return next.run(request).await;
    }
    let detail = "a portal without a token accepts only localhost and 127.0.0.1 as its host";
    ErrorResponse::new(StatusCode::MISDIRECTED_REQUEST, detail).into_response()
}

fn is_loopback_name(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    match name.parse::<IpAddr>() {
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
        ] {
            assert!(!is_loopback_name(host), "{host}");
        }
    }
}
