//! A policy for `tower::retry`.

use std::future::{Ready, ready};

use bytes::Bytes;
use http::StatusCode;
use http_body_util::Full;
use tower::retry::Policy;

/// Retries at once after the status 429.
#[derive(Clone, Copy, Debug)]
pub struct TooManyRequests;

fn retry(status: Option<StatusCode>) -> Option<Ready<()>> {
    status.filter(|status| *status == StatusCode::TOO_MANY_REQUESTS).map(|_| ready(()))
}

type Request = http::Request<Full<Bytes>>;

impl<B, E> Policy<Request, http::Response<B>, E> for TooManyRequests {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        _: &mut Request,
        result: &mut Result<http::Response<B>, E>,
    ) -> Option<Self::Future> {
        retry(result.as_ref().ok().map(http::Response::status))
    }

    fn clone_request(&mut self, request: &Request) -> Option<Request> {
        Some(request.clone())
    }
}

impl<E> Policy<reqwest::Request, reqwest::Response, E> for TooManyRequests {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        _: &mut reqwest::Request,
        result: &mut Result<reqwest::Response, E>,
    ) -> Option<Self::Future> {
        retry(result.as_ref().ok().map(reqwest::Response::status))
    }

    fn clone_request(&mut self, request: &reqwest::Request) -> Option<reqwest::Request> {
        request.try_clone()
    }
}
