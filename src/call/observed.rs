//! [`Observed`]: a call in flight, and who watches it.

use http::StatusCode;
use tracing::span::Entered;

use super::Told;
use super::nesting::Inside;
use crate::observe::Observer;
use crate::status::{Outcome, TokenUsage};
use crate::tracker::TrackedCall;
use crate::usage::Reading;

/// A call, and who watches it.
pub(crate) struct Observed {
    tracked: TrackedCall,
    observer: Observer,
    /// Whether the request is one for the head alone.
    pub(super) is_head: bool,
    /// What the thread is inside of while the call is polled.
    pub(super) inside: Inside,
}

impl Observed {
    pub(super) fn new(
        tracked: TrackedCall,
        observer: Observer,
        is_head: bool,
        inside: Inside,
    ) -> Self {
        Self { tracked, observer, is_head, inside }
    }

    /// The head of the response has arrived.
    pub(super) fn answered(&self, status: StatusCode) {
        self.observer.answered(status.as_u16());
    }

    /// The one outcome, told to the table and to those who watch.
    pub(super) fn tell(&mut self, outcome: Outcome, usage: Option<TokenUsage>) {
        self.observer.ended(&outcome, usage.as_ref());
        self.tracked.end(outcome, usage);
    }
}

impl Told for Observed {
    const ENDS_AT_MARKER: bool = true;

    fn enter(&self) -> Option<Entered<'_>> {
        Some(self.observer.enter())
    }

    fn chunk(&mut self, is_stream: impl FnOnce() -> bool) {
        self.observer.chunk(is_stream);
    }

    fn progress(&mut self, usage: &TokenUsage) {
        self.tracked.progress(usage);
    }

    fn end(&mut self, reading: Reading) {
        self.tell(reading.outcome, reading.usage);
    }
}

