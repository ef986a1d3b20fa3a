//! [`ClientCall`]: a call in flight, and who watches it.

use http::StatusCode;
use tracing::span::Entered;

use crate::exchange::Observer;
use crate::status::SessionId;
use crate::status::{CallError, Outcome, TokenDelta, TokenUsage};
use crate::telemetry::CallTelemetry;
use crate::tracker::TrackedCall;

/// A call, and who watches it. Dropped before it is told how it ended, as by a panic in
/// between, it ends as well.
pub(crate) struct ClientCall {
    tracked: TrackedCall,
    telemetry: CallTelemetry,
    remaining: Remaining,
    /// Whether the request is one for the head alone.
    pub(crate) is_head: bool,
    /// The usage that the tracker knows of, if any.
    told: Option<TokenUsage>,
}

/// What is still to be told. Who watches may panic, and is then not told again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Remaining {
    End,
    EndToTracker,
    Nothing,
}

/// Dropped by a panic only, of who is to watch the call: it ends.
struct StartGuard<'a>(&'a TrackedCall);

impl Drop for StartGuard<'_> {
    fn drop(&mut self) {
        self.0.end(Outcome::Error(CallError::lost_in_a_panic()), None);
    }
}

impl ClientCall {
    /// A call that has started is watched from now on.
    #[inline]
    pub(crate) fn new(
        tracked: TrackedCall,
        watch: impl FnOnce(&SessionId) -> CallTelemetry,
        is_head: bool,
    ) -> Self {
        let guard = StartGuard(&tracked);
        let telemetry = watch(tracked.session_id());
        std::mem::forget(guard);
        Self { tracked, telemetry, remaining: Remaining::End, is_head, told: None }
    }

    /// The head of the response has arrived.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.watched(|telemetry| telemetry.answered(status.as_u16()));
    }

    /// Shows something to who watches.
    #[inline]
    fn watched(&mut self, show: impl FnOnce(&mut CallTelemetry)) {
        self.remaining = Remaining::EndToTracker;
        show(&mut self.telemetry);
        self.remaining = Remaining::End;
    }

    /// The one outcome, told to the table and to those who watch. `usage` is all that the
    /// call used.
    pub(crate) fn tell(&mut self, outcome: Outcome, usage: Option<TokenUsage>) {
        let error = match &outcome {
            Outcome::Success => None,
            Outcome::Error(error) => Some(error),
        };
        // Usage that is no longer known at the end was told, and was paid for.
        let tokens = usage.as_ref().map(|usage| self.since_told(usage));
        self.remaining = Remaining::EndToTracker;
        self.telemetry.ended(error, usage.as_ref());
        self.remaining = Remaining::Nothing;
        self.tracked.end(outcome, tokens);
    }

    fn since_told(&self, usage: &TokenUsage) -> TokenDelta {
        usage.delta_from(&self.told.unwrap_or_default())
    }
}

impl Observer for ClientCall {
    const ENDS_AT_MARKER: bool = true;

    #[inline]
    fn enter(&self) -> Option<Entered<'_>> {
        Some(self.telemetry.enter())
    }

    #[inline]
    fn chunk(&mut self, is_stream: impl FnOnce() -> bool) {
        self.watched(|telemetry| telemetry.chunk(is_stream));
    }

    fn progress(&mut self, usage: &TokenUsage) {
        if self.told != Some(*usage) {
            let tokens = self.since_told(usage);
            self.told = Some(*usage);
            self.tracked.progress(tokens);
        }
    }

    fn end(&mut self, outcome: Outcome, usage: Option<TokenUsage>) {
        self.tell(outcome, usage);
    }
}

impl Drop for ClientCall {
    fn drop(&mut self) {
        let lost = || Outcome::Error(CallError::lost_in_a_panic());
        match self.remaining {
            Remaining::Nothing => {}
            Remaining::EndToTracker => self.tracked.end(lost(), None),
            Remaining::End => self.tell(lost(), None),
        }
    }
}
