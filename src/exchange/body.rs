//! [`ExchangeBody`]: an exchange from the head of its response to the end of the body.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;

use super::error_chain::{DisplayOnly, ErrorDisplay};
use super::unwind::poll_guarded;
use super::{Observer, ResponseObserver};
use crate::usage::End;

/// A response body that is observed as it passes.
///
/// Every frame, the trailers, the size hint and the errors are the inner body's.
#[pin_project]
pub struct ExchangeBody<B, O: Observer, D = DisplayOnly> {
    // The inner body is dropped first: calls that are made in it end as what they are, and
    // then the exchange around them.
    #[pin]
    inner: B,
    observer: Option<ResponseObserver<O>>,
    error_display: PhantomData<fn() -> D>,
}

impl<B: Body, O: Observer, D> ExchangeBody<B, O, D> {
    /// The body of a response; without an observer nobody looks at it.
    #[inline]
    pub(crate) fn new(inner: B, mut observer: Option<ResponseObserver<O>>) -> Self {
        // An empty body, as of HEAD or of status 204, may never be polled.
        if let Some(open) = &mut observer
            && (is_over(&inner) || open.has_passed_content_length())
        {
            open.complete();
            observer = None;
        }
        Self { inner, observer, error_display: PhantomData }
    }
}

impl<B, O: Observer, D> ExchangeBody<B, O, D> {
    /// The inner body.
    pub fn get_ref(&self) -> &B {
        &self.inner
    }

    /// The inner body. The exchange ends here, as it does when a body is dropped.
    pub fn into_inner(self) -> B {
        self.inner
    }
}

/// An empty body of no exchange, for layers that answer in place of a service.
impl<B: Default, O: Observer, D> Default for ExchangeBody<B, O, D> {
    fn default() -> Self {
        Self { inner: B::default(), observer: None, error_display: PhantomData }
    }
}

impl<B, O, D> Body for ExchangeBody<B, O, D>
where
    B: Body,
    O: Observer,
    D: ErrorDisplay<B::Error>,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.project();
        if this.observer.is_none() {
            return this.inner.poll_frame(cx);
        }
        poll_observed::<_, _, D>(this.inner, this.observer, cx)
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

/// Whether no more data comes. On HTTP/2 the end of a body may be told some time after the last
/// byte of its announced length.
fn is_over(body: &impl Body) -> bool {
    body.is_end_stream() || body.size_hint().exact() == Some(0)
}

/// What polling a body gives.
type Polled<B> = Poll<Option<Result<Frame<<B as Body>::Data>, <B as Body>::Error>>>;

/// Polls a body and shows the observer what comes. Kept apart, so that the body of a call that
/// is not tracked stays small.
#[inline(never)]
fn poll_observed<B: Body, O: Observer, D: ErrorDisplay<B::Error>>(
    mut inner: Pin<&mut B>,
    observer: &mut Option<ResponseObserver<O>>,
    cx: &mut Context<'_>,
) -> Polled<B> {
    // One value from here to the end, which need not be copied.
    let polled = poll_guarded(observer, |observer| match observer {
        Some(observer) => observer.poll_in(|| inner.as_mut().poll_frame(cx)),
        None => inner.as_mut().poll_frame(cx),
    });
    let (Poll::Ready(frame), Some(open)) = (&polled, &mut *observer) else { return polled };
    match frame {
        Some(Ok(frame)) => match (frame.data_ref(), frame.trailers_ref()) {
            // A caller that knows the length may not poll again.
            (Some(data), _) => open.data(data, is_over(&*inner)),
            (None, Some(trailers)) => open.trailers(trailers),
            // Data and trailers are all the frames there are, so far.
            (None, None) => {}
        },
        Some(Err(error)) => open.end(End::Failed(&D::display(error))),
        None => open.complete(),
    }
    if open.is_over() {
        *observer = None;
    }
    polled
}

impl<B, O: Observer, D> fmt::Debug for ExchangeBody<B, O, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExchangeBody").field("is_observed", &self.observer.is_some()).finish()
    }
}
