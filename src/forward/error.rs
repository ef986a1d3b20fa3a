//! [`ErrorResponse`]: a response of the forwarder itself.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use serde_json::json;

use super::BoxError;
use crate::status::ErrorMessage;
use crate::{DefaultErrorDisplay, ErrorDisplay};

/// The body of a response to a client.
pub(super) type AnyBody = UnsyncBoxBody<Bytes, BoxError>;

/// An error as JSON, where the clients of common model APIs look for one:
/// `{"error": {"type": "…", "message": "…"}}`.
#[derive(Debug)]
pub(super) struct ErrorResponse {
    status: StatusCode,
    class: &'static str,
    message: Cow<'static, str>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl ErrorResponse {
    pub(super) fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        let class = match status {
            StatusCode::UNAUTHORIZED => "unauthorized",
            StatusCode::FORBIDDEN => "forbidden",
            StatusCode::NOT_FOUND => "not_found",
            StatusCode::BAD_GATEWAY => "bad_gateway",
            StatusCode::GATEWAY_TIMEOUT => "gateway_timeout",
            StatusCode::SERVICE_UNAVAILABLE => "unavailable",
            _ => "invalid_request",
        };
        Self { status, class, message: message.into(), header: None }
    }

    pub(super) fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn with_header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.header = Some((name, HeaderValue::from_static(value)));
        self
    }

    /// The response to a call that failed before the agent's response began.
    pub(super) fn of_call(agent: &str, error: &BoxError) -> Self {
        let status = match <DefaultErrorDisplay as ErrorDisplay<BoxError>>::is_timeout(error) {
            true => StatusCode::GATEWAY_TIMEOUT,
            false => StatusCode::BAD_GATEWAY,
        };
        // The error of a client may contain the URL, and a URL a secret.
        let why = ErrorMessage::new(DefaultErrorDisplay::display(error));
        Self::new(status, format!("the call to the agent `{agent}` failed: {why}"))
    }

    pub(super) fn into_response(self) -> Response<AnyBody> {
        let body = json!({ "error": { "type": self.class, "message": self.message } });
        let mut response = json_response(self.status, &body);
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// A body without data.
pub(super) fn empty() -> AnyBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

pub(super) fn json_response(status: StatusCode, body: &serde_json::Value) -> Response<AnyBody> {
    let body = Full::from(body.to_string()).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
