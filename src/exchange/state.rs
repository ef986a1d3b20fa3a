//! [`ExchangeState`]: what an exchange carries from step to step.

use http::{HeaderMap, StatusCode, header};

use super::Observer;
use crate::status::{CallError, Outcome};
use crate::usage::{End, RequestHint, ResponseHead, UsageReader};

/// What an exchange carries from step to step, in one box: futures and bodies are moved often,
/// and most of them carry no exchange. Dropping it ends the exchange.
pub(super) struct ExchangeState<O: Observer> {
    pub(super) observer: O,
    phase: Phase,
    hint: RequestHint,
    /// There from the head until the body is read.
    head: Option<ResponseHead>,
    /// There if the body comes in several chunks. Most come in one, for which no reader is kept.
    reader: Option<UsageReader>,
    /// How much of the announced length is still to come, where the exchange ends there.
    pub(super) content_length: Option<u64>,
    /// The call is one whose protocol has an end of its own, which may come after the body.
    pub(super) is_rpc: bool,
    /// The body says that it is over. A server does not poll such a body again.
    pub(super) is_at_end: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Pending,
    Answered,
    /// The connection has become another protocol's.
    Upgraded,
    Over,
}

impl<O: Observer> ExchangeState<O> {
    #[inline]
    pub(super) fn new(observer: O, hint: RequestHint) -> Box<Self> {
        // Most fields are empty, and need not be copied into memory that is allocated first:
        // `Box::new` would take 63 instructions more.
        let state = Box::new_uninit();
        Box::write(
            state,
            Self {
                observer,
                phase: Phase::Pending,
                hint,
                head: None,
                reader: None,
                content_length: None,
                is_rpc: false,
                is_at_end: false,
            },
        )
    }

    /// Whether the outcome is known; what comes after it changes nothing.
    pub(super) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Whether the connection has become another protocol's.
    pub(super) fn is_upgraded(&self) -> bool {
        self.phase == Phase::Upgraded
    }

    /// The head of the response is there.
    pub(super) fn answered(&mut self, status: StatusCode, headers: &mut HeaderMap) {
        self.phase = Phase::Answered;
        self.observer.response(status, headers);
        let head = ResponseHead::new(status, headers, self.hint.take());
        self.is_rpc = head.is_rpc();
        self.head = Some(head);
        if O::ENDS_AT_CONTENT_LENGTH && !self.is_rpc {
            let length = headers.get(header::CONTENT_LENGTH);
            self.content_length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        }
        if status != StatusCode::OK || self.hint.is_head_or_connect() {
            self.answered_without_body(status);
        }
    }

    /// The response may be one that has no body, whatever a layer further in makes of it.
    #[cold]
    fn answered_without_body(&mut self, status: StatusCode) {
        let is_upgrade = status == StatusCode::SWITCHING_PROTOCOLS
            || self.hint.is_connect() && status.is_success();
        let has_none = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if is_upgrade {
            self.upgrade();
        }
        if self.hint.is_head() || has_none && !is_upgrade {
            self.end(End::Complete);
        }
    }

    /// What follows is not HTTP: it has no announced length, and nothing in it can be read.
    #[cold]
    fn upgrade(&mut self) {
        self.phase = Phase::Upgraded;
        self.content_length = None;
        self.skip_rest();
    }

    /// The body passes unseen from here on.
    #[cold]
    pub(super) fn skip_rest(&mut self) {
        if let Some((reader, _)) = self.reader() {
            reader.skip_rest();
        }
    }

    /// The reader, made when it is first needed, and the observer of what it finds.
    pub(super) fn reader(&mut self) -> Option<(&mut UsageReader, &mut O)> {
        if let Some(head) = self.head.take() {
            self.reader = Some(UsageReader::new(head));
        }
        Some((self.reader.as_mut()?, &mut self.observer))
    }

    /// Reads the last chunk of the body, which ends the exchange. The observer learns its usage
    /// with the outcome only. The reader of a body that comes in one chunk lives on the stack.
    pub(super) fn last(&mut self, feed: impl FnOnce(&mut UsageReader)) {
        if self.is_over() {
            return;
        }
        self.phase = Phase::Over;
        let Self { observer, head, reader, .. } = self;
        let finish = |reader: &mut UsageReader| {
            feed(reader);
            observer.chunk(|| reader.is_stream());
            let outcome = reader.classify(End::Complete).0;
            observer.finish(outcome, reader.task(), Some(reader));
        };
        match (head.take(), reader) {
            (Some(head), _) => finish(&mut UsageReader::new(head)),
            (None, Some(reader)) => finish(reader),
            (None, None) => {}
        }
    }

    /// The trailers have passed, which ends the exchange.
    pub(super) fn trailers(&mut self, trailers: &HeaderMap) {
        if !self.is_over()
            && let Some((reader, _)) = self.reader()
        {
            reader.trailers(trailers);
        }
        self.end(End::Complete);
    }

    /// The body has ended.
    pub(super) fn end(&mut self, end: End<'_>) {
        if self.is_over() {
            return;
        }
        self.phase = Phase::Over;
        if let Some((reader, observer)) = self.reader() {
            let outcome = reader.classify(end).0;
            observer.finish(outcome, reader.task(), Some(reader));
        }
    }

    /// The exchange has failed before there was a response.
    pub(super) fn failed(&mut self, error: CallError) {
        self.phase = Phase::Over;
        self.observer.finish(Outcome::Error(error), None, None);
    }
}

impl<O: Observer> Drop for ExchangeState<O> {
    fn drop(&mut self) {
        match self.phase {
            Phase::Pending => self.observer.dropped(),
            Phase::Answered if self.is_at_end => self.end(End::Complete),
            Phase::Answered => self.end(End::Dropped),
            // Only a panic drops it in the middle of something.
            Phase::Upgraded if !std::thread::panicking() => self.end(End::Complete),
            Phase::Upgraded => self.end(End::Dropped),
            Phase::Over => {}
        }
    }
}
