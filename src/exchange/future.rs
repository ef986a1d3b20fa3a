//! [`StatusFuture`]: the response of a tracked call.

use std::fmt::{self, Display};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use http_body::Body;
use pin_project::pin_project;

use crate::exchange::body::StatusBody;
use crate::exchange::{Call, ResponseObserver, poll_tracked};

/// The future of [`StatusService`](crate::StatusService).
///
/// Dropped before the response is there, it leaves its agent `cancelled`.
#[pin_project]
pub struct StatusFuture<F> {
    #[pin]
    inner: F,
    call: Option<Call>,
}

impl<F> StatusFuture<F> {
    pub(crate) fn new(inner: F, call: Option<Call>) -> Self {
        Self { inner, call }
    }
}

impl<F, R, E> Future for StatusFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body,
    E: Display,
{
    type Output = Result<Response<StatusBody<R>>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(poll_tracked(this.call, |call| {
            let _entered = call.and_then(Call::enter);
            this.inner.poll(cx)
        }));
        let answer = this.call.take().and_then(|call| answered(call, &result));
        Poll::Ready(result.map(|response| response.map(|body| StatusBody::new(body, answer))))
    }
}

/// What is to be read of a call that was answered or has failed. SessionState apart, so that a future
/// of no call is as small a piece of code as it can be.
#[inline(never)]
fn answered<R, E: Display>(
    call: Call,
    result: &Result<Response<R>, E>,
) -> Option<ResponseObserver> {
    match result {
        Ok(response) => call.answered(response.status(), response.headers()),
        Err(error) => {
            call.failed(error);
            None
        }
    }
}

impl<F> fmt::Debug for StatusFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusFuture").field("is_tracked", &self.call.is_some()).finish()
    }
}
