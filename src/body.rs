//! [`StatusBody`]: the response body of a tracked call.

use std::fmt::{self, Display};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;

use crate::call::Answer;
use crate::usage::End;

/// A response body that is looked at as it passes.
///
/// Every frame, the trailers, the size hint and the errors are the inner body's.
#[pin_project]
pub struct StatusBody<B> {
    #[pin]
    inner: B,
    answer: Option<Answer>,
}

impl<B: Body> StatusBody<B> {
    pub(crate) fn new(inner: B, mut answer: Option<Answer>) -> Self {
        // An empty body, of HEAD or of status 204, may never be polled.
        if inner.is_end_stream()
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
        let mut this = self.project();
        let frame = ready!(this.inner.as_mut().poll_frame(cx));
        let Some(answer) = this.answer else { return Poll::Ready(frame) };
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    answer.data(data);
                }
                // Who knows the length may not poll again.
                if frame.is_trailers() || this.inner.is_end_stream() {
                    answer.end(End::Complete);
                }
            }
            Some(Err(error)) => answer.end(End::Failed(error)),
            None => answer.end(End::Complete),
        }
        if answer.is_over() {
            *this.answer = None;
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

impl<B> fmt::Debug for StatusBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusBody").field("is_tracked", &self.answer.is_some()).finish()
    }
}
