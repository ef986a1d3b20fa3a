//! Access control: the bearer token, and the `Host` check where there is none.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};

use super::response::ErrorResponse;
use crate::listener::{HostError, Hosts, Token, check_host};

/// Rejects requests without the portal's bearer token.
pub(super) async fn require_token(
    State(token): State<Token>,
    request: Request,
    next: Next,
) -> Response {
    let given = request.headers().get(AUTHORIZATION).map_or(&b""[..], |value| value.as_bytes());
    let given = match given.split_at_checked(7) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => token.trim_ascii(),
        _ => b"",
    };
    if token.equals(given) {
        return next.run(request).await;
    }
    let detail = "the portal's token is missing or wrong; send it as `Authorization: Bearer …`";
    let mut response = ErrorResponse::new(StatusCode::UNAUTHORIZED, detail).into_response();
    response.headers_mut().insert(WWW_AUTHENTICATE, http::HeaderValue::from_static("Bearer"));
    response
}

/// Rejects requests whose host is not a loopback name.
pub(super) async fn require_loopback_name(request: Request, next: Next) -> Response {
    let (status, detail) = match check_host(&request, &Hosts::default()) {
        Ok(()) => return next.run(request).await,
        Err(HostError::NotOne) => {
            (StatusCode::BAD_REQUEST, "a request must have one `Host` header")
        }
        Err(HostError::NotAllowed) => (
            StatusCode::MISDIRECTED_REQUEST,
            "a portal without a token accepts only localhost and 127.0.0.1 as its host",
        ),
    };
    ErrorResponse::new(status, detail).into_response()
}
