//! [`ResponseFuture`]: the response of a tracked call.

use std::fmt::{self, Display};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use http_body::Body;
use pin_project::pin_project;

use crate::body::StatusBody;
use crate::call::{Call, poll_tracked};

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
        let result = ready!(poll_tracked(this.call, |call| {
            let _entered = call.map(Call::enter);
            this.inner.poll(cx)
        }));
        let call = this.call.take();
        Poll::Ready(match result {
            Ok(response) => {
                let (head, body) = response.into_parts();
                let answer = call.and_then(|call| call.answered(head.status, &head.headers));
                Ok(Response::from_parts(head, StatusBody::new(body, answer)))
            }
            Err(error) => {
                if let Some(call) = call {
                    call.failed(&error);
                }
                Err(error)
            }
        })
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("is_tracked", &self.call.is_some()).finish()
    }
}
