//! [`ResponseObserver`]: reads a response as it passes, for its [`Observer`].

use bytes::Buf;
use http::HeaderMap;

use super::Observer;
use super::slices::for_each_slice;
use super::state::ExchangeState;
use crate::usage::{End, Progress, UsageReader};

/// A response that is being read.
pub(crate) struct ResponseObserver<O: Observer>(Box<ExchangeState<O>>);

impl<O: Observer> ResponseObserver<O> {
    /// The response whose head was the last step.
    pub(super) fn new(state: Box<ExchangeState<O>>) -> Self {
        Self(state)
    }

    /// Whether the outcome is known; what comes after it changes nothing.
    pub(crate) fn is_over(&self) -> bool {
        self.0.is_over()
    }

    /// Whether no byte of the body is still to come, where the exchange ends with the last one.
    /// `is_body_over` says that the body has none.
    pub(super) fn ends_without_body(&self, is_body_over: bool) -> bool {
        (is_body_over && !self.0.is_upgraded()) || self.0.content_length == Some(0)
    }

    /// Whether this is a response of a remote procedure call.
    pub(super) fn is_rpc(&self) -> bool {
        self.0.is_rpc
    }

    /// Whether a body of a remote procedure call that has no more data ends the call. A gRPC call is
    /// not over before its status. Some bodies say that they are before their trailers, such as
    /// those of tonic-web.
    #[cold]
    pub(super) fn is_last_of_rpc(&mut self, is_at_end: bool) -> bool {
        let state = &mut *self.0;
        state.is_at_end = is_at_end;
        is_at_end && !state.reader().is_some_and(|(reader, _)| reader.awaits_grpc_status())
    }

    /// A body that says that it is over before it was polled.
    #[inline(never)]
    pub(super) fn is_over_at_once(&mut self, is_at_end: bool) {
        if !self.is_rpc() || self.is_last_of_rpc(is_at_end) {
            self.complete();
        }
    }

    /// Polls the inner body in what surrounds this exchange.
    #[inline]
    pub(super) fn poll_in<T>(&self, poll: impl FnOnce() -> T) -> T {
        O::poll_in(Some(&self.0.observer), poll)
    }

    /// A chunk of the body has passed. The last one ends the exchange.
    #[inline(always)]
    pub(crate) fn data(&mut self, data: &impl Buf, mut is_last: bool) {
        let state = &mut *self.0;
        if O::ENDS_AT_CONTENT_LENGTH
            && let Some(left) = &mut state.content_length
        {
            *left = left.saturating_sub(data.remaining() as u64);
            is_last |= *left == 0;
        }
        if is_last {
            return state.last(|reader| {
                feed::<O>(reader, data);
            });
        }
        let Some((reader, observer)) = state.reader() else { return };
        let progress = feed::<O>(reader, data);
        observer.chunk(|| reader.is_stream());
        if progress == Progress::Ended && O::ENDS_AT_MARKER {
            self.complete();
        } else if let Some(usage) = reader.usage() {
            observer.progress(&usage, reader);
        }
    }

    /// The rest of the body passes unseen. Nothing follows from what is missing.
    #[cfg(feature = "aws")]
    pub(crate) fn skip_rest(&mut self) {
        self.0.skip_rest();
    }

    /// The trailers have passed; nothing comes after them.
    pub(super) fn trailers(&mut self, trailers: &HeaderMap) {
        self.0.trailers(trailers);
    }

    /// All of the body has passed.
    pub(crate) fn complete(&mut self) {
        self.end(End::Complete);
    }

    /// The body has ended.
    pub(super) fn end(&mut self, end: End<'_>) {
        self.0.end(end);
    }
}

/// Feeds a chunk to a reader. If part of it cannot be seen, nothing behind it can be read.
fn feed<O: Observer>(reader: &mut UsageReader, data: &impl Buf) -> Progress {
    let mut progress = Progress::More;
    let is_all = for_each_slice(data, |slice| {
        if progress == Progress::More || !O::ENDS_AT_MARKER {
            progress = reader.feed(slice);
        }
    });
    if !is_all {
        reader.skip_rest();
    }
    progress
}
