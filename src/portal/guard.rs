//! Who may read: those with the token, and where there is none, those who are here.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{AUTHORIZATION, HOST, WWW_AUTHENTICATE};
use http::uri::Authority;
use subtle::ConstantTimeEq as _;

use super::routes::Refusal;

/// Lets a request pass that has the token.
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
    // An empty token is nobody's.
    if !given.is_empty() && bool::from(given.ct_eq(token.as_bytes())) {
        return next.run(request).await;
    }
    let detail = "send the header `Authorization: Bearer …` with the portal's token";
    let mut response = Refusal::new(StatusCode::UNAUTHORIZED, detail).into_response();
    response.headers_mut().insert(WWW_AUTHENTICATE, http::HeaderValue::from_static("Bearer"));
    response
}

/// Lets a request pass that names this machine as its host: a page from elsewhere, whose
/// name was made to lead here, names its own.
pub(super) async fn require_loopback_name(request: Request, next: Next) -> Response {
    let header = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let host = header.or(request.uri().authority().map(Authority::as_str));
    if host.is_none_or(is_loopback_name) {
        return next.run(request).await;
    }
    let detail = "without a token the portal answers to localhost and 127.0.0.1 only";
    Refusal::new(StatusCode::MISDIRECTED_REQUEST, detail).into_response()
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
    fn this_machine_has_few_names() {
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
