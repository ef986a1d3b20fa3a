//! [`ExchangeFuture`]: an exchange up to the head of its response.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;
use pin_project::pin_project;

use super::body::ExchangeBody;
use super::error_display::{DefaultErrorDisplay, ErrorDisplay};
use super::{Observer, Pending};
use crate::status::CallError;

/// The future of a service whose exchanges are observed.
///
/// If it is dropped before the response arrives, the exchange ends as cancelled.
#[pin_project]
pub struct ExchangeFuture<F, O: Observer, D = DefaultErrorDisplay> {
    // The inner future is dropped first: calls that are made in it end as what they are, and
    // then the exchange around them.
    #[pin]
    inner: F,
    pending: Option<Pending<O>>,
    error_display: PhantomData<fn() -> D>,
}

impl<F, O: Observer, D> ExchangeFuture<F, O, D> {
    /// Calls the inner service. The exchange is there before, so that it sees a panic.
    #[inline]
    pub(crate) fn start(pending: Option<Pending<O>>, call: impl FnOnce() -> F) -> Self {
        let inner = Pending::poll_in(pending.as_ref(), call);
        Self { inner, pending, error_display: PhantomData }
    }
}

/// A response of any of the types that clients and servers have for one.
pub trait ObservableResponse<O: Observer, D> {
    /// The same response, with its body observed.
    type Output;

    /// Shows the exchange the head of the response, if there is an exchange, and has the body observed.
    fn observed(self, pending: Option<Pending<O>>) -> Self::Output;
}

impl<B: http_body::Body, O: Observer, D> ObservableResponse<O, D> for Response<B> {
    type Output = Response<ExchangeBody<B, O, D>>;

    // `map` and a call of its own would copy the head of the response twice.
    #[inline(always)]
    fn observed(self, pending: Option<Pending<O>>) -> Self::Output {
        let (mut head, body) = self.into_parts();
        let observer = pending.map(|pending| pending.answered(head.status, &mut head.headers));
        Response::from_parts(head, ExchangeBody::new(body, observer))
    }
}

impl<F, R, E, O, D> Future for ExchangeFuture<F, O, D>
where
    F: Future<Output = Result<R, E>>,
    R: ObservableResponse<O, D>,
    O: Observer,
    D: ErrorDisplay<E>,
{
    type Output = Result<R::Output, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.pending.take() {
            None => this.inner.poll(cx).map_ok(|response| response.observed(None)),
            Some(pending) => poll_pending::<_, _, _, _, D>(this.inner, pending, this.pending, cx),
        }
    }
}

/// Polls a future whose exchange is observed. Kept out of line, so that the future of an untracked
/// call stays small.
#[inline(never)]
fn poll_pending<F, R, E, O, D>(
    inner: Pin<&mut F>,
    pending: Pending<O>,
    slot: &mut Option<Pending<O>>,
    cx: &mut Context<'_>,
) -> Poll<Result<R::Output, E>>
where
    F: Future<Output = Result<R, E>>,
    R: ObservableResponse<O, D>,
    O: Observer,
    D: ErrorDisplay<E>,
{
    match Pending::poll_in(Some(&pending), || inner.poll(cx)) {
        Poll::Pending => {
            *slot = Some(pending);
            Poll::Pending
        }
        Poll::Ready(Ok(response)) => Poll::Ready(Ok(response.observed(Some(pending)))),
        Poll::Ready(Err(error)) => {
            failed::<_, _, D>(pending, &error);
            Poll::Ready(Err(error))
        }
    }
}

/// The exchange has failed without a response.
#[cold]
fn failed<E, O: Observer, D: ErrorDisplay<E>>(pending: Pending<O>, error: &E) {
    let shown = D::display(error);
    pending.failed(if D::is_timeout(error) {
        CallError::timeout(&shown)
    } else {
        CallError::transport(&shown)
    });
}

impl<F, O: Observer, D> fmt::Debug for ExchangeFuture<F, O, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExchangeFuture").field("is_observed", &self.pending.is_some()).finish()
    }
}
