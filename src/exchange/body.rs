//! [`StatusBody`]: the response body of a tracked call.

use std::fmt::{self, Display};
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;

use crate::exchange::{Observer, ResponseObserver, poll_tracked};
use crate::usage::End;

/// A response body that is looked at as it passes.
///
/// Every frame, the trailers, the size hint and the errors are the inner body's.
#[pin_project]
pub struct StatusBody<B> {
    #[pin]
    inner: B,
    answer: Option<ResponseObserver>,
}

impl<B: Body> StatusBody<B> {
    /// The body of an answer, or of one that nobody looks at.
    #[inline]
    pub(crate) fn new(inner: B, mut answer: Option<ResponseObserver>) -> Self {
        // An empty body, of HEAD or of status 204, may never be polled.
        if answer.is_some()
            && is_over(&inner)
            && let Some(mut answer) = answer.take()
        {
            answer.end(End::Complete);
        }
        Self { inner, answer }
    }
}

impl<B> StatusBody<B> {
    /// The inner body.
    pub fn get_ref(&self) -> &B {
        &self.inner
    }

    /// The inner body. Its call ends here, as it does when a body is dropped.
    pub fn into_inner(self) -> B {
        self.inner
    }
}

impl<B> Body for StatusBody<B>
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
        if this.answer.is_none() {
            return this.inner.poll_frame(cx);
        }
        poll_frame(this.inner, this.answer, cx, |error, told| told(error))
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

/// Whether no more data comes. On HTTP/2 the end of a body may be told some time after
/// the last byte of its announced length.
pub(crate) fn is_over(body: &impl Body) -> bool {
    body.is_end_stream() || body.size_hint().exact() == Some(0)
}

/// What polling a body gives.
type Polled<B> = Poll<Option<Result<Frame<<B as Body>::Data>, <B as Body>::Error>>>;

/// Polls a body and looks at what comes. `show` says how an error is to be shown; the
/// caller gets it as it is. SessionState apart, so that a body of no call is as small a piece of
/// code as it can be.
#[inline(never)]
pub(crate) fn poll_frame<B: Body, T: Observer>(
    mut inner: Pin<&mut B>,
    answer: &mut Option<ResponseObserver<T>>,
    cx: &mut Context<'_>,
    show: impl FnOnce(&B::Error, &mut dyn FnMut(&dyn Display)),
) -> Polled<B> {
    // One value from here to the end, which need not be copied.
    let polled = poll_tracked(answer, |answer| {
        let _entered = answer.map(ResponseObserver::enter);
        inner.as_mut().poll_frame(cx)
    });
    let (Poll::Ready(frame), Some(looking)) = (&polled, &mut *answer) else { return polled };
    match frame {
        Some(Ok(frame)) => {
            // A caller that knows the length may not poll again.
            let is_last = frame.is_trailers() || is_over(&*inner);
            match frame.data_ref() {
                Some(data) => looking.data(data, is_last),
                None => looking.end(End::Complete),
            }
        }
        Some(Err(error)) => show(error, &mut |shown| looking.end(End::Failed(shown))),
        None => looking.end(End::Complete),
    }
    if looking.is_over() {
        *answer = None;
    }
    polled
}

impl<B> fmt::Debug for StatusBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusBody").field("is_tracked", &self.answer.is_some()).finish()
    }
}
