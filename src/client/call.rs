//! [`ClientCall`]: an agent's call in flight, and its telemetry.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};

use crate::agent::Agent;
use crate::exchange::Observer;
use crate::session::RequestHead;
use crate::status::{
    CallDetails, CallError, NewTokens, Outcome, Task, TaskUsage, TokenDelta, TokenUsage, TotalCost,
};
use crate::telemetry::{CallTelemetry, Provider};
use crate::tracker::{PricedCall, TrackedCall};
use crate::usage::{ModelSource, UsageReader};

/// An agent's call in flight, and its telemetry. If dropped before its outcome is recorded (by
/// a panic, say), it ends as an error.
pub struct ClientCall {
    tracked: TrackedCall,
    telemetry: CallTelemetry,
    remaining: Remaining,
    /// A GET fetches what is stored.
    is_get: bool,
    has_chunk: bool,
    /// Set if there is a price list.
    priced: Option<Box<PricedBy>>,
    /// In whole milliseconds; only for a stream.
    time_to_first_chunk: Option<Duration>,
    /// The usage that the tracker knows, if any. Only streams have some before their end, and
    /// in a box it keeps all other calls small enough to be moved without a call to `memcpy`.
    recorded: Option<Box<Recorded>>,
}

/// What the tracker knows of a call in flight.
struct Recorded {
    usage: TokenUsage,
    /// The part that was recorded before the model was known.
    without_model: Option<TokenUsage>,
}

/// What the price of a call depends on, other than its response.
pub(super) struct PricedBy {
    /// The provider, as the request shows or the agent declares it.
    provider: Option<Cow<'static, str>>,
    /// The model that the agent declares.
    model: Option<Arc<str>>,
}

impl PricedBy {
    #[cold]
    pub(super) fn new(agent: &Agent, request: RequestHead<'_>) -> Self {
        let by_request = Provider::of_request(request.host, request.path);
        let by_agent = || agent.provider_name().map(|name| Cow::Owned(name.to_string()));
        Self {
            provider: by_request.map(|provider| Cow::Borrowed(provider.name())).or_else(by_agent),
            model: agent.shared_model().cloned(),
        }
    }
}

/// What is still to be recorded. A subscriber or a metrics recorder may panic; it is then not
/// called again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Remaining {
    TelemetryAndTracker,
    Tracker,
    Nothing,
}

impl ClientCall {
    /// Starts the telemetry of a call that the tracker knows already.
    #[inline]
    pub(super) fn new(
        tracked: TrackedCall,
        is_get: bool,
        priced: Option<Box<PricedBy>>,
        start_telemetry: impl FnOnce(&mut CallTelemetry, &TrackedCall),
    ) -> Self {
        let mut call = Self {
            tracked,
            telemetry: CallTelemetry::default(),
            // If the telemetry panics, the tracker learns that the call has ended.
            remaining: Remaining::Tracker,
            is_get,
            has_chunk: false,
            priced,
            time_to_first_chunk: None,
            recorded: None,
        };
        start_telemetry(&mut call.telemetry, &call.tracked);
        call.remaining = Remaining::TelemetryAndTracker;
        call
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
        let error = outcome.error().cloned();
        let recorded = self.recorded.as_deref().map(|recorded| recorded.usage).unwrap_or_default();
        let used = TaskUsage { reported: usage, recorded, is_get: self.is_get };
        self.remaining = Remaining::Nothing;
        // While the task goes on, its cost is unknown but not missing.
        let cost = match task.waiting_for {
            Some(_) if usage.is_none() => None,
            _ => self.cost(response, usage),
        };
        let details = self.details(response, usage.as_ref(), cost.as_ref());
        let counted = self.tracked.end_with_task(outcome, task, used, &details);
        let usage = counted.as_ref().map(|counted| &counted.usage);
        let cost = counted.as_ref().and_then(|counted| counted.cost.as_ref());
        self.telemetry.finish(error.as_ref(), usage, cost, response);
    }

    fn unrecorded(&self, usage: &TokenUsage) -> TokenDelta {
        match &self.recorded {
            Some(recorded) => usage.delta_from(&recorded.usage),
            None => usage.as_delta(),
        }
    }

    /// The cost of the call, if there is a price list.
    #[inline]
    fn cost(&self, response: Option<&UsageReader>, usage: Option<TokenUsage>) -> Option<TotalCost> {
        let cost = self.cost_of(self.priced.as_deref()?, response?, usage);
        (!cost.is_empty()).then_some(cost)
    }

    #[cold]
    fn cost_of(
        &self,
        priced: &PricedBy,
        response: &UsageReader,
        usage: Option<TokenUsage>,
    ) -> TotalCost {
        let info = response.info();
        // Of Bedrock, only the path has the name that price lists have.
        let models = [&info.model, &info.path_model].map(|model| model.as_deref());
        let models = models.into_iter().chain([priced.model.as_deref()]);
        let models: Vec<&str> = models.flatten().collect();
        let by_format = || response.format().and_then(Provider::of_format).map(Provider::name);
        self.tracked.costs().of(&PricedCall {
            models: &models,
            is_answered: info.model_source == Some(ModelSource::Response),
            provider: priced.provider.as_deref().or_else(by_format),
            usage,
            service_tier: info.service_tier.as_deref(),
            web_search_requests: info.web_search_requests.unwrap_or(0),
            reported_usd: info.cost_usd.as_deref(),
            has_impossible_cost: info.has_impossible_cost,
            at: self.tracked.now(),
        })
    }

    // A function of its own would copy its result.
    #[inline(always)]
    fn details<'a>(
        &'a self,
        response: Option<&'a UsageReader>,
        usage: Option<&'a TokenUsage>,
        cost: Option<&'a TotalCost>,
    ) -> CallDetails<'a> {
        let mut details = CallDetails::none(self.tracked.started_at());
        if let Some(response) = response {
            response.describe(&mut details);
        }
        details.time_to_first_chunk = self.time_to_first_chunk;
        details.usage = usage;
        details.cost = cost;
        if let Some(recorded) = &self.recorded {
            details.usage = usage.or(Some(&recorded.usage));
            details.usage_without_model = recorded.without_model.as_ref();
        }
        details
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
        let has_model = self.tracked.progress(tokens, response.model());
        let without_model = (!has_model).then_some(*usage);
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
        mut outcome: Outcome,
        task: Option<Box<Task>>,
        response: Option<&UsageReader>,
    ) {
        let usage = response.and_then(UsageReader::usage);
        if let Some(task) = task {
            return self.finish_with_task(outcome, usage, *task, response);
        }
        // Usage that is not known any more at the end was recorded before, and was paid for.
        let rest;
        let tokens = match (&usage, &self.recorded) {
            (None, _) => NewTokens::None,
            (Some(usage), None) => NewTokens::All(usage),
            (Some(usage), Some(recorded)) => {
                rest = usage.delta_from(&recorded.usage);
                NewTokens::Rest(&rest)
            }
        };
        let cost = self.cost(response, usage);
        if self.telemetry.is_observed() {
            self.remaining = Remaining::Tracker;
            self.telemetry.finish(outcome.error(), usage.as_ref(), cost.as_ref(), response);
        }
        self.remaining = Remaining::Nothing;
        let details = self.details(response, usage.as_ref(), cost.as_ref());
        self.tracked.end(&mut outcome, tokens, &details);
    }

    fn dropped(&mut self) {
        let error = if std::thread::panicking() {
            CallError::new(CallError::PANIC, "the call panicked")
        } else {
            CallError::new(CallError::CANCELLED, "the caller gave up before the agent answered")
        };
        self.finish(Outcome::Error(error), None, None);
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
                self.tracked.end(&mut lost(), NewTokens::None, &details);
            }
            Remaining::TelemetryAndTracker => self.finish(lost(), None, None),
        }
    }
}
