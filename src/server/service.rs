//! [`WorkflowService`]: the service that a [`WorkflowLayer`](super::WorkflowLayer) makes.

use std::fmt::Display;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::body::WorkflowBody;
use super::config::WorkflowConfig;
use super::future::WorkflowFuture;
use super::workflow::PendingWorkflow;
use crate::session::RequestHead;

/// Opens a workflow for each request. Made by [`WorkflowLayer`](super::WorkflowLayer).
#[derive(Clone, Debug)]
pub struct WorkflowService<S> {
    inner: S,
    opening: Arc<WorkflowConfig>,
}

impl<S> WorkflowService<S> {
    pub(super) fn new(inner: S, opening: Arc<WorkflowConfig>) -> Self {
        Self { inner, opening }
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
    S::Error: Display,
    R: Body,
    R::Error: Display,
{
    type Response = Response<WorkflowBody<R>>;
    type Error = S::Error;
    type Future = WorkflowFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let Some(workflow) = self.opening.open(RequestHead::new(&request)) else {
            return WorkflowFuture::new(self.inner.call(request), None);
        };
        request.extensions_mut().insert(workflow.clone());
        let header = self.opening.response_header.clone();
        // Before the call, so that a panic inside is recorded too.
        let unanswered = PendingWorkflow::new(workflow, request.method(), header);
        let inner = unanswered.scope().enter(|| self.inner.call(request));
        WorkflowFuture::new(inner, Some(unanswered))
    }
}
