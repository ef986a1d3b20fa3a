//! [`ExchangeFuture`]: an exchange up to the head of its response.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;
use pin_project::pin_project;

use super::body::ExchangeBody;
use super::error_chain::{DisplayOnly, ErrorDisplay};
use super::{Observer, Pending};

/// The future of a service whose exchanges are observed.
///
/// Dropped before the response is there, it ends its exchange as cancelled.
#[pin_project]
pub struct ExchangeFuture<F, O: Observer, D = DisplayOnly> {
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
        let inner = match &pending {
            Some(pending) => pending.poll_in(call),
            None => call(),
        };
        Self { inner, pending, error_display: PhantomData }
    }
}

/// A response of any of the types that clients and servers have for one.
pub trait ObservableResponse<O: Observer, D> {
    /// The same response, with its body observed.
    type Observed;

    /// Shows the head of the response, and takes up whatever observes it from then on.
    fn answered(self, pending: Pending<O>) -> Self::Observed;

    /// The response of an exchange that nobody observes.
    fn unobserved(self) -> Self::Observed;
}

impl<B: http_body::Body, O: Observer, D> ObservableResponse<O, D> for Response<B> {
    type Observed = Response<ExchangeBody<B, O, D>>;

    #[inline]
    fn answered(mut self, pending: Pending<O>) -> Self::Observed {
        let observer = pending.answered(self.status(), self.headers_mut());
        self.map(|body| ExchangeBody::new(body, Some(observer)))
    }

    #[inline]
    fn unobserved(self) -> Self::Observed {
        self.map(|body| ExchangeBody::new(body, None))
    }
}

impl<F, R, E, O, D> Future for ExchangeFuture<F, O, D>
where
    F: Future<Output = Result<R, E>>,
    R: ObservableResponse<O, D>,
    O: Observer,
    D: ErrorDisplay<E>,
{
    type Output = Result<R::Observed, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.pending.take() {
            None => this.inner.poll(cx).map_ok(R::unobserved),
            Some(pending) => poll_pending::<_, _, _, _, D>(this.inner, pending, this.pending, cx),
        }
    }
}

/// Kept apart, so that the future of a call that is not tracked stays small.
#[inline(never)]
fn poll_pending<F, R, E, O, D>(
    inner: Pin<&mut F>,
    pending: Pending<O>,
    slot: &mut Option<Pending<O>>,
    cx: &mut Context<'_>,
) -> Poll<Result<R::Observed, E>>
where
    F: Future<Output = Result<R, E>>,
    R: ObservableResponse<O, D>,
    O: Observer,
    D: ErrorDisplay<E>,
{
    Poll::Ready(match pending.poll_in(|| inner.poll(cx)) {
        Poll::Pending => {
            *slot = Some(pending);
            return Poll::Pending;
        }
        Poll::Ready(Ok(response)) => Ok(response.answered(pending)),
        Poll::Ready(Err(error)) => {
            pending.failed(&D::display(&error));
            Err(error)
        }
    })
}

impl<F, O: Observer, D> fmt::Debug for ExchangeFuture<F, O, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExchangeFuture").field("is_observed", &self.pending.is_some()).finish()
    }
}
