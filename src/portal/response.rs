//! Responses as JSON, and errors among them.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

pub(super) fn json(body: String) -> Response {
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
    (headers, body).into_response()
}

/// An error as JSON: `{"detail": "…"}`.
#[derive(Debug)]
pub(super) struct ErrorResponse {
    status: StatusCode,
    detail: Cow<'static, str>,
}

impl ErrorResponse {
    pub(super) fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, detail: detail.into() }
    }

    /// The store failed. The reason goes to the log, since it may name hosts and tables.
    pub(super) fn unreadable() -> Self {
        let detail = "the status store cannot be read right now; try again later";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    }
}

impl IntoResponse for ErrorResponse {
    fn into_response(self) -> Response {
        let body = serde_json::json!({ "detail": self.detail });
        let mut response = json(body.to_string());
        *response.status_mut() = self.status;
        response
    }
}
