//! [`ClientCall`]: an agent's call in flight, and its telemetry.

use std::fmt;

use http::{HeaderMap, StatusCode};

use crate::exchange::Observer;
use crate::status::{CallError, Outcome, Task, TaskUsage, TokenDelta, TokenUsage};
use crate::telemetry::CallTelemetry;
use crate::tracker::TrackedCall;
use crate::usage::UsageReader;

/// An agent's call in flight, and its telemetry. If dropped before its outcome is recorded (by
/// a panic, say), it ends as an error.
pub struct ClientCall {
    tracked: TrackedCall,
    telemetry: CallTelemetry,
    remaining: Remaining,
    /// A GET fetches what is stored.
    is_get: bool,
    /// The usage that the tracker knows, if any. Only streams have some before their end, and
    /// in a box it keeps all other calls small enough to be moved without a call to `memcpy`.
    recorded: Option<Box<TokenUsage>>,
}

/// What is still to be recorded. A subscriber or a metrics recorder may panic; it is then not
/// called again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Remaining {
    TelemetryAndTracker,
    Tracker,
    Nothing,
}

/// Ends a call whose telemetry could not be started. Dropped by a panic only.
struct StartGuard<'a>(&'a TrackedCall);

impl Drop for StartGuard<'_> {
    fn drop(&mut self) {
        self.0.end(Outcome::Error(CallError::lost_in_a_panic()), None);
    }
}

impl ClientCall {
    /// Starts the telemetry of a call that the tracker knows already.
    #[inline]
    pub(super) fn new(
        tracked: TrackedCall,
        is_get: bool,
        telemetry: impl FnOnce(&TrackedCall) -> CallTelemetry,
    ) -> Self {
        let guard = StartGuard(&tracked);
        let telemetry = telemetry(&tracked);
        std::mem::forget(guard);
        let remaining = Remaining::TelemetryAndTracker;
        Self { tracked, telemetry, remaining, is_get, recorded: None }
    }

    /// Does something with the telemetry that may panic.
    #[inline]
    fn with_telemetry(&mut self, with: impl FnOnce(&mut CallTelemetry)) {
        self.remaining = Remaining::Tracker;
        with(&mut self.telemetry);
        self.remaining = Remaining::TelemetryAndTracker;
    }

    /// Ends a call whose answer belongs to a task. The tracker decides how much of its usage
    /// counts: the answer may have been fetched before.
    #[cold]
    fn finish_with_task(
        &mut self,
        outcome: Outcome,
        usage: Option<TokenUsage>,
        task: Task,
        response: Option<&UsageReader>,
    ) {
        let error = match &outcome {
            Outcome::Success => None,
            Outcome::Error(error) => Some(error.clone()),
        };
        let recorded = self.recorded.as_deref().copied().unwrap_or_default();
        let usage = TaskUsage { reported: usage, recorded, is_get: self.is_get };
        self.remaining = Remaining::Nothing;
        let counted = self.tracked.end_with_task(outcome, task, usage);
        self.telemetry.finish(error.as_ref(), counted.as_ref(), response);
    }

    fn unrecorded(&self, usage: &TokenUsage) -> TokenDelta {
        match &self.recorded {
            Some(recorded) => usage.delta_from(recorded),
            None => usage.delta_from(&TokenUsage::default()),
        }
    }
}

impl Observer for ClientCall {
    const ENDS_AT_MARKER: bool = true;
    const ENDS_AT_CONTENT_LENGTH: bool = false;

    #[inline]
    fn poll_in<T>(call: Option<&Self>, poll: impl FnOnce() -> T) -> T {
        let _entered = call.map(|call| call.telemetry.enter());
        poll()
    }

    fn response(&mut self, status: StatusCode, _: &mut HeaderMap) {
        self.with_telemetry(|telemetry| telemetry.response(status));
    }

    #[inline]
    fn chunk(&mut self, is_stream: impl FnOnce() -> bool) {
        self.with_telemetry(|telemetry| telemetry.chunk(is_stream));
    }

    fn progress(&mut self, usage: &TokenUsage) {
        if self.recorded.as_deref() == Some(usage) {
            return;
        }
        let tokens = self.unrecorded(usage);
        match &mut self.recorded {
            Some(recorded) => **recorded = *usage,
            None => self.recorded = Some(Box::new(*usage)),
        }
        self.tracked.progress(tokens);
    }

    fn finish(
        &mut self,
        outcome: Outcome,
        usage: Option<TokenUsage>,
        task: Option<Box<Task>>,
        response: Option<&UsageReader>,
    ) {
        if let Some(task) = task {
            return self.finish_with_task(outcome, usage, *task, response);
        }
        let error = match &outcome {
            Outcome::Success => None,
            Outcome::Error(error) => Some(error),
        };
        // Usage that is not known any more at the end was recorded before, and was paid for.
        let tokens = usage.as_ref().map(|usage| self.unrecorded(usage));
        self.remaining = Remaining::Tracker;
        self.telemetry.finish(error, usage.as_ref(), response);
        self.remaining = Remaining::Nothing;
        self.tracked.end(outcome, tokens);
    }

    fn dropped(&mut self) {
        let error = if std::thread::panicking() {
            CallError::new(CallError::PANIC, "the call panicked")
        } else {
            CallError::new(CallError::CANCELLED, "the caller gave up before the agent answered")
        };
        self.finish(Outcome::Error(error), None, None, None);
    }
}

impl fmt::Debug for ClientCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCall").field("session_id", self.tracked.session_id()).finish()
    }
}

impl Drop for ClientCall {
    fn drop(&mut self) {
        let lost = || Outcome::Error(CallError::lost_in_a_panic());
        match self.remaining {
            Remaining::Nothing => {}
            Remaining::Tracker => self.tracked.end(lost(), None),
            Remaining::TelemetryAndTracker => self.finish(lost(), None, None, None),
        }
    }
}
