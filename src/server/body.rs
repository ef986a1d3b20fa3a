//! [`WorkflowBody`]: the response body of a request that has opened a workflow.

use std::fmt::{self, Display};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf as _;
use http::{HeaderMap, header};
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;

use super::workflow::WorkflowObserver;
use crate::exchange::ResponseObserver;
use crate::exchange::body;
use crate::tracker::Scope;
use crate::usage::End;

/// A response body that is polled in the scope of its workflow, and whose end is the
/// workflow's.
///
/// Every frame, the trailers, the size hint and the errors are the inner body's.
#[pin_project]
pub struct WorkflowBody<B> {
    // Before the workflow: the calls in it end as what they are, and then the workflow.
    #[pin]
    inner: B,
    scope: Option<Scope>,
    answer: Option<ResponseObserver<WorkflowObserver>>,
    /// How much of the announced length is still to come.
    announced: Option<u64>,
}

impl<B: Body> WorkflowBody<B> {
    pub(super) fn new(
        inner: B,
        scope: Scope,
        answer: Option<ResponseObserver<WorkflowObserver>>,
        headers: &HeaderMap,
    ) -> Self {
        let length = |value: &http::HeaderValue| value.to_str().ok()?.parse().ok();
        let announced = headers.get(header::CONTENT_LENGTH).and_then(length);
        let mut body = Self { inner, scope: Some(scope), answer, announced };
        // Nobody may poll an empty body.
        if body.inner.is_end_stream() || announced == Some(0) {
            body.end();
        }
        body
    }

    /// The body of a response to a request that has opened none.
    pub(super) fn untracked(inner: B) -> Self {
        Self { inner, scope: None, answer: None, announced: None }
    }

    fn end(&mut self) {
        if let Some(mut answer) = self.answer.take() {
            answer.end(End::Complete);
        }
    }
}

impl<B> WorkflowBody<B> {
    /// The inner body.
    pub fn get_ref(&self) -> &B {
        &self.inner
    }

    /// The inner body. The workflow ends here, as it does when a body is dropped.
    pub fn into_inner(self) -> B {
        self.inner
    }
}

impl<B> Body for WorkflowBody<B>
where
    B: Body,
    B::Error: Display,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.project();
        let Some(scope) = this.scope else { return this.inner.poll_frame(cx) };
        let frame = ready!(scope.enter(|| {
            body::poll_frame(this.inner, this.answer, cx, |error, told| told(error))
        }));
        // A server that has sent what was announced does not poll again.
        if let (Some(announced), Some(Ok(frame))) = (this.announced, &frame) {
            let passed = frame.data_ref().map_or(0, |data| data.remaining() as u64);
            *announced = announced.saturating_sub(passed);
            if *announced == 0
                && let Some(mut answer) = this.answer.take()
            {
                answer.end(End::Complete);
            }
        }
        Poll::Ready(frame)
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B> fmt::Debug for WorkflowBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkflowBody")
            .field("session_id", &self.scope.as_ref().map(Scope::id))
            .field("is_open", &self.answer.is_some())
            .finish_non_exhaustive()
    }
}
