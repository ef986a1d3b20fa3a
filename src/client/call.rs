//! [`ClientCall`]: an agent's call in flight, and its telemetry.

use std::fmt;
use std::time::Duration;

use http::{HeaderMap, StatusCode};

use crate::exchange::Observer;
use crate::status::{
    CallDetails, CallError, Outcome, RawText, Task, TaskUsage, TokenDelta, TokenUsage, TotalCost,
};
use crate::telemetry::{CallTelemetry, Provider};
use crate::tracker::{PricedCall, TrackedCall};
use crate::usage::{CallFacts, ModelSource, UsageReader};

/// An agent's call in flight, and its telemetry. If dropped before its outcome is recorded (by
/// a panic, say), it ends as an error.
pub struct ClientCall {
    tracked: TrackedCall,
    telemetry: CallTelemetry,
    remaining: Remaining,
    /// A GET fetches what is stored.
    is_get: bool,
    has_chunk: bool,
    /// As the request shows it, if there is a price list.
    provider: Option<Provider>,
    /// Of a stream, in whole milliseconds.
    time_to_first_chunk: Option<Duration>,
    /// The usage that the tracker knows, if any. Only streams have some before their end, and
    /// in a box it keeps all other calls small enough to be moved without a call to `memcpy`.
    recorded: Option<Box<Recorded>>,
}

/// What the tracker knows of a call in flight.
struct Recorded {
    usage: TokenUsage,
    /// The part that came before the model was known.
    without_model: Option<TokenUsage>,
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
        let details = CallDetails::none(self.0.started_at());
        self.0.end(Outcome::Error(CallError::lost_in_a_panic()), None, &details);
    }
}

impl ClientCall {
    /// Starts the telemetry of a call that the tracker knows already.
    #[inline]
    pub(super) fn new(
        tracked: TrackedCall,
        is_get: bool,
        provider: Option<Provider>,
        telemetry: impl FnOnce(&TrackedCall) -> CallTelemetry,
    ) -> Self {
        let guard = StartGuard(&tracked);
        let telemetry = telemetry(&tracked);
        std::mem::forget(guard);
        let remaining = Remaining::TelemetryAndTracker;
        Self {
            tracked,
            telemetry,
            remaining,
            is_get,
            has_chunk: false,
            provider,
            time_to_first_chunk: None,
            recorded: None,
        }
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
        let recorded = self.recorded.as_deref().map(|recorded| recorded.usage).unwrap_or_default();
        let used = TaskUsage { reported: usage, recorded, is_get: self.is_get };
        self.remaining = Remaining::Nothing;
        let facts = response.map(CallFacts::of).unwrap_or_default();
        // While the task goes on, what it costs is not known, and nothing is missing.
        let cost = match task.waiting_for {
            Some(_) if usage.is_none() => None,
            _ => self.cost(response, usage),
        };
        let details = self.details(&facts, usage.as_ref(), cost.as_ref());
        let counted = self.tracked.end_with_task(outcome, task, used, &details);
        self.telemetry.finish(error.as_ref(), counted.as_ref(), response);
    }

    fn unrecorded(&self, usage: &TokenUsage) -> TokenDelta {
        match &self.recorded {
            Some(recorded) => usage.delta_from(&recorded.usage),
            None => usage.as_delta(),
        }
    }

    /// What the call has cost, if there is a price list.
    #[inline]
    fn cost(&self, response: Option<&UsageReader>, usage: Option<TokenUsage>) -> Option<TotalCost> {
        match response {
            Some(response) if self.tracked.costs().are_known() => {
                Some(self.cost_of(response, usage)).filter(|cost| !cost.is_empty())
            }
            _ => None,
        }
    }

    #[cold]
    fn cost_of(&self, response: &UsageReader, usage: Option<TokenUsage>) -> TotalCost {
        let info = response.info();
        let models = [info.model.as_deref(), self.tracked.declared_model()];
        let models: Vec<&str> = models.into_iter().flatten().collect();
        let by_agent = self.tracked.agent().agent().provider_name();
        let by_format = || response.format().and_then(Provider::of_format).map(Provider::name);
        let provider = self.provider.map(Provider::name).or(by_agent.map(|name| &**name));
        let provider = provider.or_else(by_format);
        self.tracked.costs().of(&PricedCall {
            models: &models,
            is_answered: info.model_source == Some(ModelSource::Response),
            provider,
            usage,
            service_tier: info.service_tier.as_deref(),
            web_searches: info.web_search_requests.unwrap_or(0),
            reported_usd: info.cost_usd.as_deref(),
            has_impossible_cost: info.has_impossible_cost,
            at: self.tracked.now(),
        })
    }

    #[inline]
    fn declared_model(&self) -> Option<RawText<'_>> {
        self.tracked.declared_model().map(|model| RawText(model.as_bytes()))
    }

    #[inline]
    fn details<'a>(
        &'a self,
        facts: &'a CallFacts<'_>,
        usage: Option<&'a TokenUsage>,
        cost: Option<&'a TotalCost>,
    ) -> CallDetails<'a> {
        let recorded = self.recorded.as_deref();
        CallDetails {
            started_at: self.tracked.started_at(),
            model: facts.model.or_else(|| self.declared_model()),
            finish_reason: facts.finish_reason,
            time_to_first_chunk: self.time_to_first_chunk,
            usage: usage.or(recorded.map(|recorded| &recorded.usage)),
            usage_without_model: recorded.and_then(|recorded| recorded.without_model.as_ref()),
            cost,
            request_id: facts.request_id,
            retry_after: facts.retry_after,
        }
    }
}

impl Observer for ClientCall {
    const ENDS_AT_MARKER: bool = true;
    const ENDS_AT_CONTENT_LENGTH: bool = false;

    #[inline]
    fn poll_in<T>(call: Option<&Self>, poll: impl FnOnce() -> T) -> T {
        let _entered = call.and_then(|call| call.telemetry.enter());
        poll()
    }

    fn response(&mut self, status: StatusCode, _: &mut HeaderMap) {
        self.with_telemetry(|telemetry| telemetry.response(status));
    }

    #[inline]
    fn chunk(&mut self, is_stream: impl FnOnce() -> bool) {
        if !std::mem::replace(&mut self.has_chunk, true) && is_stream() {
            self.time_to_first_chunk = Some(self.tracked.elapsed());
            self.with_telemetry(CallTelemetry::first_chunk);
        }
    }

    fn progress(&mut self, usage: &TokenUsage, response: &UsageReader) {
        if self.recorded.as_ref().is_some_and(|recorded| recorded.usage == *usage) {
            return;
        }
        let tokens = self.unrecorded(usage);
        let model = response.model().or_else(|| self.declared_model());
        self.tracked.progress(tokens, model);
        let without_model = model.is_none().then_some(*usage);
        match &mut self.recorded {
            Some(known) => {
                known.usage = *usage;
                known.without_model = without_model.or(known.without_model);
            }
            None => self.recorded = Some(Box::new(Recorded { usage: *usage, without_model })),
        }
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
        let facts = response.map(CallFacts::of).unwrap_or_default();
        let cost = self.cost(response, usage);
        let details = self.details(&facts, usage.as_ref(), cost.as_ref());
        self.tracked.end(outcome, tokens, &details);
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
            Remaining::Tracker => {
                let details = CallDetails::none(self.tracked.started_at());
                self.tracked.end(lost(), None, &details);
            }
            Remaining::TelemetryAndTracker => self.finish(lost(), None, None, None),
        }
    }
}
