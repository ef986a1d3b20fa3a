//! [`WorkflowFuture`]: the response to a request that has opened a workflow.

use std::fmt::{self, Display};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use http_body::Body;
use pin_project::pin_project;

use super::body::WorkflowBody;
use super::workflow::PendingWorkflow;
use crate::exchange::poll_tracked;

/// The future of [`WorkflowService`](super::WorkflowService).
///
/// Dropped before the response is there, it leaves its workflow failed.
#[pin_project]
pub struct WorkflowFuture<F> {
    // Before the workflow: the calls in it end as what they are, and then the workflow.
    #[pin]
    inner: F,
    unanswered: Option<PendingWorkflow>,
}

impl<F> WorkflowFuture<F> {
    pub(super) fn new(inner: F, unanswered: Option<PendingWorkflow>) -> Self {
        Self { inner, unanswered }
    }
}

impl<F, R, E> Future for WorkflowFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body,
    R::Error: Display,
    E: Display,
{
    type Output = Result<Response<WorkflowBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(scope) = this.unanswered.as_ref().map(|u| u.scope().clone()) else {
            return this.inner.poll(cx).map_ok(|response| response.map(WorkflowBody::untracked));
        };
        let result = ready!(poll_tracked(this.unanswered, |_| scope.enter(|| this.inner.poll(cx))));
        let unanswered = this.unanswered.take();
        Poll::Ready(match result {
            Ok(response) => {
                let (mut head, body) = response.into_parts();
                let answer = unanswered.and_then(|unanswered| unanswered.answered(&mut head));
                let body = WorkflowBody::new(body, scope, answer, &head.headers);
                Ok(Response::from_parts(head, body))
            }
            Err(error) => {
                if let Some(unanswered) = unanswered {
                    unanswered.failed(&error);
                }
                Err(error)
            }
        })
    }
}

impl<F> fmt::Debug for WorkflowFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkflowFuture")
            .field("session_id", &self.unanswered.as_ref().map(PendingWorkflow::session))
            .finish_non_exhaustive()
    }
}
