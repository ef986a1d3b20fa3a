//! [`StatusService`]: the service that a [`StatusLayer`](crate::StatusLayer) makes.

use std::marker::PhantomData;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::call::ClientCall;
use super::tracking::Tracking;
use crate::exchange::{DefaultErrorDisplay, ErrorDisplay, ExchangeBody, ExchangeFuture};

/// Tracks the calls of one agent. Made by [`StatusLayer`](crate::StatusLayer).
///
/// `D` selects how errors are formatted; see
/// [`StatusLayer::error_sources`](crate::StatusLayer::error_sources).
#[derive(Clone, Debug)]
pub struct StatusService<S, D = DefaultErrorDisplay> {
    pub(super) inner: S,
    pub(super) tracking: Tracking,
    error_display: PhantomData<fn() -> D>,
}

/// The future of a [`StatusService`].
///
/// If it is dropped before the response arrives, the agent is recorded as `cancelled`.
pub type StatusFuture<F, D = DefaultErrorDisplay> = ExchangeFuture<F, ClientCall, D>;

/// The response body of a call that passed through a [`StatusService`].
///
/// Every frame, the trailers, the size hint and the errors are the inner body's. If it is
/// dropped before its end, the agent is recorded as `cancelled`.
pub type StatusBody<B, D = DefaultErrorDisplay> = ExchangeBody<B, ClientCall, D>;

impl<S, D> StatusService<S, D> {
    pub(super) fn new(inner: S, tracking: Tracking) -> Self {
        Self { inner, tracking, error_display: PhantomData }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B, R, D> Service<Request<B>> for StatusService<S, D>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body,
    D: ErrorDisplay<S::Error>,
{
    type Response = Response<StatusBody<R, D>>;
    type Error = S::Error;
    type Future = StatusFuture<S::Future, D>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // Nothing starts here: `call` may never come.
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let call = self.tracking.begin(&mut request);
        StatusFuture::start(call, || self.inner.call(request))
    }
}
