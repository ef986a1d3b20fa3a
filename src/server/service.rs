//! [`WorkflowService`]: the service that a [`WorkflowLayer`](super::WorkflowLayer) makes.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::config::WorkflowConfig;
use super::workflow::WorkflowObserver;
use crate::exchange::{DefaultErrorDisplay, ErrorDisplay, ExchangeBody, ExchangeFuture};

/// Opens a workflow for each request. Made by [`WorkflowLayer`](super::WorkflowLayer).
#[derive(Clone, Debug)]
pub struct WorkflowService<S> {
    inner: S,
    config: Option<Arc<WorkflowConfig>>,
}

/// The future of a [`WorkflowService`].
///
/// If it is dropped before the response arrives, the workflow fails.
pub type WorkflowFuture<F> = ExchangeFuture<F, WorkflowObserver>;

/// The response body of a request that has opened a workflow.
///
/// It is polled in the scope of its workflow, and the workflow ends with it. Every frame, the
/// trailers, the size hint and the errors are the inner body's.
pub type WorkflowBody<B> = ExchangeBody<B, WorkflowObserver>;

impl<S> WorkflowService<S> {
    pub(super) fn new(inner: S, config: Option<Arc<WorkflowConfig>>) -> Self {
        Self { inner, config }
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

impl<S, B, R> Service<Request<B>> for WorkflowService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    DefaultErrorDisplay: ErrorDisplay<S::Error>,
    R: Body,
{
    type Response = Response<WorkflowBody<R>>;
    type Error = S::Error;
    type Future = WorkflowFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let workflow = self.config.as_ref().and_then(|config| config.begin(&mut request));
        WorkflowFuture::start(workflow, || self.inner.call(request))
    }
}
