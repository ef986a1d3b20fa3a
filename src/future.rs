//! [`ResponseFuture`]: the response of a tracked call.

use std::fmt::{self, Display};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use http_body::Body;
use pin_project::pin_project;

use crate::body::StatusBody;
use crate::call::Call;

/// The future of [`Status`](crate::Status).
///
/// Dropped before the response is there, it leaves its agent `cancelled`.
#[pin_project]
pub struct ResponseFuture<F> {
    #[pin]
    inner: F,
    call: Option<Call>,
}

impl<F> ResponseFuture<F> {
    pub(crate) fn new(inner: F, call: Option<Call>) -> Self {
        Self { inner, call }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body,
    E: Display,
{
    type Output = Result<Response<StatusBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = {
            let _entered = this.call.as_ref().and_then(Call::enter);
            ready!(this.inner.poll(cx))
        };
        Poll::Ready(match this.call.take() {
            Some(call) => answered(call, result),
            None => result.map(|response| response.map(StatusBody::untracked)),
        })
    }
}

/// What the caller gets of a call that was answered or has failed. Kept apart, so that a
/// future of no call is as small a piece of code as it can be.
#[inline(never)]
fn answered<R, E>(call: Call, result: Result<Response<R>, E>) -> Result<Response<StatusBody<R>>, E>
where
    R: Body,
    E: Display,
{
    match result {
        Ok(response) => {
            let answer = call.answered(response.status(), response.headers());
            Ok(response.map(|body| StatusBody::new(body, answer)))
        }
        Err(error) => {
            call.failed(&error);
            Err(error)
        }
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("is_tracked", &self.call.is_some()).finish()
    }
}
