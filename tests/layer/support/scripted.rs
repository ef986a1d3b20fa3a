//! A body that follows a script, poll by poll.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame, SizeHint};

/// The result of one poll.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Data(&'static str),
    Trailers,
    /// Trailers with this `grpc-status`.
    GrpcStatus(&'static str),
    Pending,
    Error(&'static str),
    /// The end, although more steps follow.
    End,
    Panic,
}

/// A body that takes one step per poll, and ends after the last one.
#[derive(Clone, Debug)]
pub(crate) struct Scripted {
    steps: VecDeque<Step>,
    knows_length: bool,
}

impl Scripted {
    /// A body without a known length, like a chunked one.
    pub(crate) fn chunked(steps: &[Step]) -> Self {
        Self { steps: steps.iter().copied().collect(), knows_length: false }
    }

    /// A body that knows how much data is left, like one with a content-length.
    pub(crate) fn sized(steps: &[Step]) -> Self {
        Self { knows_length: true, ..Self::chunked(steps) }
    }

    fn left(&self) -> usize {
        let data = |step: &Step| if let Step::Data(data) = step { data.len() } else { 0 };
        self.steps.iter().map(data).sum()
    }
}

impl Body for Scripted {
    type Data = Bytes;
    // An error that is only text: the layer may not require more.
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        Poll::Ready(match self.steps.pop_front() {
            Some(Step::Data(data)) => Some(Ok(Frame::data(Bytes::from_static(data.as_bytes())))),
            Some(Step::Trailers) => Some(Ok(Frame::trailers(trailers()))),
            Some(Step::GrpcStatus(code)) => Some(Ok(Frame::trailers(grpc_status(code)))),
            Some(Step::Error(error)) => Some(Err(error)),
            Some(Step::Pending) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Some(Step::Panic) => panic!("scripted panic of the body"),
            Some(Step::End) | None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        let has_trailers = |step: &Step| matches!(step, Step::Trailers | Step::GrpcStatus(_));
        self.knows_length && self.left() == 0 && !self.steps.iter().any(has_trailers)
    }

    fn size_hint(&self) -> SizeHint {
        if self.knows_length { SizeHint::with_exact(self.left() as u64) } else { SizeHint::new() }
    }
}

fn grpc_status(code: &'static str) -> HeaderMap {
    let name = http::HeaderName::from_static("grpc-status");
    HeaderMap::from_iter([(name, HeaderValue::from_static(code))])
}

/// The trailers of every other body that has any.
pub(crate) fn trailers() -> HeaderMap {
    HeaderMap::from_iter([(
        http::HeaderName::from_static("x-checksum"),
        HeaderValue::from_static("abc"),
    )])
}
