//! Metrics of calls and writes, through the `metrics` facade.
//!
//! | name | kind | unit | labels | description |
//! | --- | --- | --- | --- | --- |
//! | `gen_ai.client.token.usage` | histogram | tokens | `gen_ai.operation.name`, `gen_ai.agent.name`, `gen_ai.token.type` (`input`, `output`) | tokens of a call, if it reports them |
//! | `gen_ai.client.operation.duration` | histogram | seconds | `gen_ai.operation.name`, `gen_ai.agent.name`, `error.type` | a call, from its start to the end of its body |
//! | `gen_ai.client.operation.time_to_first_chunk` | histogram | seconds | `gen_ai.operation.name`, `gen_ai.agent.name` | a streamed call, from its start to the first chunk of its body |
//! | `agent_status.calls` | counter | calls | `gen_ai.agent.name`, `outcome` (`success`, `error`), `error.type` | finished calls |
//! | `agent_status.writes` | counter | writes | `result` (`applied`, `conflict`, `throttled`, `unavailable`, `permanent`) | finished writes to the store |
//! | `agent_status.write.duration` | histogram | seconds | `result` | a write to the store |
//! | `agent_status.write.retries` | counter | writes | | retried writes, after a conflict or a failure |
//! | `agent_status.sessions.dirty` | gauge | sessions | | sessions that wait to be written, or are being written; with several trackers, those of the last one to report |
//! | `agent_status.agents.waiting` | gauge | agents | | agents that wait for a task, for input or for authorization, in the sessions in memory; counted every few seconds, and with several trackers, those of the last one to report |
//! | `agent_status.lost` | counter | changes | `reason` (`full`, `closed`, `unsaved`) | changes that were not recorded: too many sessions were live, a session had too many agents, the tracker was shut down, or a session was still unsaved when the recorder ended |
//!
//! The `gen_ai` names and units follow OpenTelemetry's semantic conventions 1.41.
//! `gen_ai.operation.name` is always `invoke_agent`. `error.type` is present if a call failed, and
//! has the `errorType` of the agent's item (`http_500`, `timeout`, …). No label has the session id,
//! whose number of values is unbounded. `gen_ai.agent.name` is [`_OTHER`] for agents that come from
//! a request and were not declared.
//!
//! [`_OTHER`]: OTHER_AGENTS
//!
//! # Installing an exporter
//!
//! You can install an exporter before or after the tracker: each call and each write uses the
//! metrics recorder that is current when it ends. Without one, this costs a few instructions and no
//! allocation. Units and descriptions are registered when a tracker is built. For an exporter that
//! is installed later, call [`describe`].
//!
//! Of an answer that was fetched before, such as the result of a poll, only the tokens that its
//! session has not counted yet are recorded.
//!
//! Calls without a session are not tracked, and not counted. Stalled workflows are not counted
//! here either, since their processes are gone: the feature `portal` counts them for Prometheus,
//! at a route of its own.

use std::sync::Arc;
use std::time::Duration;

use ::metrics::{Key, Label, Level, Metadata, Recorder, SharedString, Unit, with_recorder};

use crate::status::{CallError, TokenUsage};

/// Tokens of a call that reports them: a histogram.
pub const TOKEN_USAGE: &str = "gen_ai.client.token.usage";
/// A call, from its start to the end of its body: a histogram, in seconds.
pub const OPERATION_DURATION: &str = "gen_ai.client.operation.duration";
/// A streamed call, from its start to the first piece of its body: a histogram, in seconds.
pub const TIME_TO_FIRST_CHUNK: &str = "gen_ai.client.operation.time_to_first_chunk";
/// Calls that have ended: a counter.
pub const CALLS: &str = "agent_status.calls";
/// Writes to the store that completed or timed out: a counter.
pub const WRITES: &str = "agent_status.writes";
/// A write to the store: a histogram, in seconds.
pub const WRITE_DURATION: &str = "agent_status.write.duration";
/// Retries of writes: a counter.
pub const WRITE_RETRIES: &str = "agent_status.write.retries";
/// Sessions that wait to be written, or are being written: a gauge.
pub const SESSIONS_DIRTY: &str = "agent_status.sessions.dirty";
/// Agents that wait for a task, for input or for authorization: a gauge.
pub const AGENTS_WAITING: &str = "agent_status.agents.waiting";
/// Workflows that have gone over a budget: a counter.
pub const OVER_BUDGET: &str = "agent_status.budget.exceeded";
/// Costs in responses that were ignored, since they are negative or over 10,000 USD: a counter.
pub const IGNORED_COSTS: &str = "agent_status.cost.ignored";
/// Updates that were lost and will never be recorded: a counter.
pub const LOST: &str = "agent_status.lost";

/// The value of `gen_ai.agent.name` for all undeclared agents.
pub const OTHER_AGENTS: &str = "_OTHER";

static METADATA: Metadata<'static> =
    Metadata::new("tower_agent_status", Level::INFO, Some(module_path!()));

/// Tells units and descriptions to the recorder of metrics that is installed now. Building
/// a tracker does this too.
pub fn describe() {
    use Unit::{Count, Seconds};
    with_recorder(|to| {
        let histogram = |name: &'static str, unit, what: &'static str| {
            to.describe_histogram(name.into(), Some(unit), what.into());
        };
        let counter = |name: &'static str, what: &'static str| {
            to.describe_counter(name.into(), Some(Count), what.into());
        };
        histogram(TOKEN_USAGE, Count, "Number of input and output tokens used");
        histogram(OPERATION_DURATION, Seconds, "Duration of a call, to the end of its body");
        histogram(TIME_TO_FIRST_CHUNK, Seconds, "Time to the first piece of a streamed body");
        counter(CALLS, "Calls that have ended, by outcome");
        counter(WRITES, "Writes to the status store, by result");
        histogram(WRITE_DURATION, Seconds, "Duration of a write to the status store");
        counter(WRITE_RETRIES, "Retries of writes to the status store");
        let what = "Sessions that are not saved yet";
        to.describe_gauge(SESSIONS_DIRTY.into(), Some(Count), what.into());
        let what = "Agents that wait for a task, for input or for authorization";
        to.describe_gauge(AGENTS_WAITING.into(), Some(Count), what.into());
        counter(LOST, "Calls, changes and sessions whose status is not saved and will not be");
    });
}

/// The metrics of one agent's calls: keys that are made once. What they stand for is asked
/// of the current recorder each time, since that may be installed at any time.
#[derive(Debug)]
pub(crate) struct CallMetrics {
    agent: Arc<str>,
    duration: Key,
    first_chunk: Key,
    input: Key,
    output: Key,
    succeeded: Key,
}

impl CallMetrics {
    pub(crate) fn new(agent: &Arc<str>) -> Self {
        let with = |name, more: Option<Label>| {
            let mut labels = operation_labels(agent);
            labels.extend(more);
            Key::from_parts(name, labels)
        };
        let token_type = |kind| Some(Label::from_static_parts("gen_ai.token.type", kind));
        let success = Label::from_static_parts("outcome", "success");
        Self {
            agent: Arc::clone(agent),
            duration: with(OPERATION_DURATION, None),
            first_chunk: with(TIME_TO_FIRST_CHUNK, None),
            input: with(TOKEN_USAGE, token_type("input")),
            output: with(TOKEN_USAGE, token_type("output")),
            succeeded: Key::from_parts(CALLS, vec![agent_label(agent), success]),
        }
    }

    pub(super) fn first_chunk(&self, elapsed: Duration) {
        with_recorder(|to| to.register_histogram(&self.first_chunk, &METADATA).record(elapsed));
    }

    pub(super) fn finish(
        &self,
        elapsed: Duration,
        error: Option<&CallError>,
        usage: Option<&TokenUsage>,
    ) {
        with_recorder(|to| {
            match error {
                None => count_call(to, &self.succeeded, &self.duration, elapsed),
                Some(error) => {
                    let class: SharedString = error.class.clone().into();
                    let class = Label::new("error.type", class);
                    let outcome = Label::from_static_parts("outcome", "error");
                    let calls = vec![agent_label(&self.agent), outcome, class.clone()];
                    let duration = self.duration.with_extra_labels(vec![class]);
                    count_call(to, &Key::from_parts(CALLS, calls), &duration, elapsed);
                }
            }
            let Some(usage) = usage else { return };
            for (key, tokens) in
                [(&self.input, usage.input_tokens), (&self.output, usage.output_tokens)]
            {
                if let Some(tokens) = tokens {
                    // Above 2^53 a float is not exact, and no call uses as many.
                    to.register_histogram(key, &METADATA).record(tokens as f64);
                }
            }
        });
    }
}

fn count_call(to: &dyn Recorder, calls: &Key, duration: &Key, after: Duration) {
    to.register_counter(calls, &METADATA).increment(1);
    to.register_histogram(duration, &METADATA).record(after);
}

fn operation_labels(agent: &Arc<str>) -> Vec<Label> {
    vec![Label::from_static_parts("gen_ai.operation.name", "invoke_agent"), agent_label(agent)]
}

fn agent_label(agent: &Arc<str>) -> Label {
    Label::new("gen_ai.agent.name", SharedString::from(Arc::clone(agent)))
}

/// A write was answered, or given up.
pub(crate) fn written(result: &'static str, after: Duration) {
    let labels = vec![Label::from_static_parts("result", result)];
    let (writes, duration) =
        (Key::from_parts(WRITES, labels.clone()), Key::from_parts(WRITE_DURATION, labels));
    with_recorder(|to| {
        to.register_counter(&writes, &METADATA).increment(1);
        to.register_histogram(&duration, &METADATA).record(after);
    });
}

/// A write is to be made again.
pub(crate) fn retried() {
    static KEY: Key = Key::from_static_name(WRITE_RETRIES);
    with_recorder(|to| to.register_counter(&KEY, &METADATA).increment(1));
}

/// So many sessions are not saved.
pub(crate) fn dirty(sessions: usize) {
    static KEY: Key = Key::from_static_name(SESSIONS_DIRTY);
    with_recorder(|to| to.register_gauge(&KEY, &METADATA).set(sessions as f64));
}

/// So many agents wait.
pub(crate) fn waiting(agents: usize) {
    static KEY: Key = Key::from_static_name(AGENTS_WAITING);
    with_recorder(|to| to.register_gauge(&KEY, &METADATA).set(agents as f64));
}

/// A workflow has gone over its budget of this.
pub(crate) fn over_budget(limit: &'static str) {
    let key = Key::from_parts(OVER_BUDGET, vec![Label::from_static_parts("limit", limit)]);
    with_recorder(|to| to.register_counter(&key, &METADATA).increment(1));
}

/// A response said that its call cost what no call can.
#[cfg(feature = "prices")]
pub(crate) fn ignored_cost() {
    static KEY: Key = Key::from_static_name(IGNORED_COSTS);
    with_recorder(|to| to.register_counter(&KEY, &METADATA).increment(1));
}

/// So much is not recorded, and will not be.
pub(crate) fn lost(reason: &'static str, number: u64) {
    let key = Key::from_parts(LOST, vec![Label::from_static_parts("reason", reason)]);
    with_recorder(|to| to.register_counter(&key, &METADATA).increment(number));
}
