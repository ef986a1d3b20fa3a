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
    /// A response to HEAD has no body, whatever its headers say.
    is_head: bool,
    hint: RequestHint,
    /// There from the head until the body is read.
    head: Option<ResponseHead>,
    /// There if the body comes in several chunks. Most come in one, for which no reader is kept.
    reader: Option<UsageReader>,
    /// How much of the announced length is still to come, where the exchange ends there.
    pub(super) content_length: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Pending,
    Answered,
    Over,
}

impl<O: Observer> ExchangeState<O> {
    #[inline]
    pub(super) fn new(observer: O, is_head: bool, hint: RequestHint) -> Box<Self> {
        // Most fields are empty, and need not be copied into memory that is allocated first:
        // `Box::new` would take 63 instructions more.
        let state = Box::new_uninit();
        Box::write(
            state,
            Self {
                observer,
                phase: Phase::Pending,
                is_head,
                hint,
                head: None,
                reader: None,
                content_length: None,
            },
        )
    }

    /// Whether the response is one to HEAD.
    pub(super) fn is_head(&self) -> bool {
        self.is_head
    }

    /// Whether the outcome is known; what comes after it changes nothing.
    pub(super) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// The head of the response is there.
    pub(super) fn answered(&mut self, status: StatusCode, headers: &mut HeaderMap) {
        self.phase = Phase::Answered;
        self.observer.response(status, headers);
        self.head = Some(ResponseHead::new(status, headers, self.hint));
        if O::ENDS_AT_CONTENT_LENGTH {
            let length = headers.get(header::CONTENT_LENGTH);
            self.content_length = length.and_then(|length| length.to_str().ok()?.parse().ok());
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
            observer.finish(outcome, reader.usage(), reader.task());
        };
        match (head.take(), reader) {
            (Some(head), _) => finish(&mut UsageReader::new(head)),
            (None, Some(reader)) => finish(reader),
            (None, None) => {}
        }
    }

    /// The body has ended.
    pub(super) fn end(&mut self, end: End<'_>) {
        if self.is_over() {
            return;
        }
        self.phase = Phase::Over;
        if let Some((reader, observer)) = self.reader() {
            let outcome = reader.classify(end).0;
            observer.finish(outcome, reader.usage(), reader.task());
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
            Phase::Answered => self.end(End::Dropped),
            Phase::Over => {}
        }
    }
}
