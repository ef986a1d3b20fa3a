//! [`ErrorChain`], an error told with its causes, and the [`ChainBody`] that tells so.
//!
//! The stacks that use them hide the types of their bodies, and say only in the causes of
//! an error what has failed: "error sending request", and further down "connection
//! refused".

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};

use crate::exchange::ResponseObserver;
use crate::exchange::body;
use crate::usage::End;

/// An error with its causes.
pub(crate) struct ErrorChain<'a>(pub(crate) &'a (dyn Error + 'static));

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

/// A [`StatusBody`](crate::StatusBody) that tells an error with its causes.
pub(crate) struct ChainBody<B: Body> {
    inner: B,
    answer: Option<ResponseObserver>,
    as_error: fn(&B::Error) -> &(dyn Error + 'static),
}

impl<B: Body> ChainBody<B> {
    pub(crate) fn new(
        inner: B,
        mut answer: ResponseObserver,
        as_error: fn(&B::Error) -> &(dyn Error + 'static),
    ) -> Self {
        if body::is_over(&inner) {
            answer.end(End::Complete);
        }
        Self { inner, answer: Some(answer), as_error }
    }
}

impl<B: Body + Unpin> Body for ChainBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let Self { inner, answer, as_error } = &mut *self;
        body::poll_frame(Pin::new(inner), answer, cx, |error, tell| {
            tell(&ErrorChain(as_error(error)))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
