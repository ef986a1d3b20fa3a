//! Metrics of calls, workflows and writes, through the `metrics` facade.
//!
//! | name | kind | unit | labels | description |
//! | --- | --- | --- | --- | --- |
//! | `gen_ai.client.inference.duration` | histogram | seconds | those of a call, `error.type` | a model call, from its start to the end of its body |
//! | `gen_ai.client.operation.duration` | histogram | seconds | those of a call, `error.type` | any other call: of an agent, of embeddings, of a stored response |
//! | `gen_ai.client.inference.time_to_first_chunk` | histogram | seconds | those of a call | a streamed model call, from its start to the first chunk of its body |
//! | `gen_ai.client.inference.usage.input_tokens` | counter | tokens | those of a call, `gen_ai.token.modality` | input tokens, cached ones included |
//! | `gen_ai.client.inference.usage.output_tokens` | counter | tokens | those of a call, `gen_ai.token.modality` | output tokens, reasoning included |
//! | `gen_ai.client.inference.usage.cache_read.input_tokens` | counter | tokens | those of a call, `gen_ai.token.modality` | the part of the input that was read from a cache |
//! | `gen_ai.client.inference.usage.cache_write.input_tokens` | counter | tokens | those of a call, `gen_ai.token.modality` | the part of the input that was written to a cache |
//! | `gen_ai.client.inference.usage.reasoning.output_tokens` | counter | tokens | those of a call, `gen_ai.token.modality` | the part of the output that was reasoning |
//! | `gen_ai.client.inference.operation.input_tokens` | histogram | tokens | those of a call, `error.type` | input tokens per model call |
//! | `gen_ai.client.inference.operation.output_tokens` | histogram | tokens | those of a call, `error.type` | output tokens per model call |
//! | `gen_ai.invoke_agent.duration` | histogram | seconds | `gen_ai.operation.name` (`invoke_workflow`), `error.type` | a workflow with a handle, from its start to its end |
//! | `agent_status.calls` | counter | calls | `gen_ai.agent.name`, `outcome` (`success`, `error`), `error.type` | finished calls |
//! | `agent_status.tokens` | counter | tokens | `gen_ai.operation.name`, `gen_ai.agent.name`, `token_type` (`input`, `output`) | tokens that agents and calls for embeddings report |
//! | `agent_status.time_to_first_chunk` | histogram | seconds | those of a call | a streamed call of an agent, from its start to the first chunk of its body |
//! | `agent_status.cost` | histogram | US dollars | those of a call | the cost of a call, as far as it is known; its sum is an approximation, and that of the item is exact |
//! | `agent_status.unpriced_calls` | counter | calls | those of a call | calls whose cost is unknown, or known only in part |
//! | `agent_status.cost.ignored` | counter | responses | | costs in responses that are negative or more than 10,000 USD, which are ignored |
//! | `agent_status.budget.exceeded` | counter | workflows | `limit` (`usd`, `tokens`) | workflows that have exceeded a budget |
//! | `agent_status.writes` | counter | writes | `result` (`applied`, `conflict`, `throttled`, `unavailable`, `permanent`) | finished writes to the store |
//! | `agent_status.write.duration` | histogram | seconds | `result` | a write to the store |
//! | `agent_status.write.retries` | counter | writes | | retried writes, after a conflict or a failure |
//! | `agent_status.sessions.dirty` | gauge | sessions | | sessions that wait to be written, or are being written; with several trackers, those of the last one to report |
//! | `agent_status.agents.waiting` | gauge | agents | | agents that wait for a task, for input or for authorization, in the sessions in memory; counted every few seconds, and with several trackers, those of the last one to report |
//! | `agent_status.webhook.requests` | counter | requests | `result` (`success`, `error`) | requests of a webhook: accepted, or to be made again |
//! | `agent_status.webhook.dropped` | counter | notifications | `reason` (`full`, `expired`) | notifications of a webhook that found its queue full, or were not accepted for a day |
//! | `agent_status.webhook.pending` | gauge | notifications | | notifications in the queue of a webhook; with several, those of the last one to report |
//! | `agent_status.lost` | counter | changes | `reason` (`full`, `closed`, `unsaved`) | changes that were not recorded: too many sessions were live, a session had too many agents, the tracker was shut down, or a session was still unsaved when the recorder ended |
//!
//! The `gen_ai` names and units follow OpenTelemetry's [conventions for generative
//! AI](https://github.com/open-telemetry/semantic-conventions-genai), whose schema is
//! [`GEN_AI_SCHEMA_URL`](crate::GEN_AI_SCHEMA_URL).
//!
//! # Labels
//!
//! | label of a call | value |
//! | --- | --- |
//! | `gen_ai.operation.name` | `chat`, `generate_content` or `text_completion` for a model call, `embeddings`, `fetch_response`, or else `invoke_agent` |
//! | `gen_ai.provider.name` | the provider, if known |
//! | `gen_ai.agent.name` | the agent, or [`_OTHER`](OTHER_AGENTS) for agents that come from a request and were not declared |
//! | `gen_ai.request.model` | the model, if the path of the request names it |
//! | `gen_ai.response.model` | the model, if the response names it |
//!
//! The [guide](crate::guide::telemetry) explains how the operation and the provider are found.
//! `gen_ai.token.modality` is always `unknown`. `error.type` is present if a call or a workflow failed:
//! for a call it is the `errorType` of the agent's item (`http_500`, `timeout`, …).
//!
//! The number of values is bounded. No label has the session id. Of each agent, the first
//! [32](MAX_MODELS) names of models become labels, and all others are [`_OTHER`](OTHER_MODELS). A provider
//! that only the settings of an undeclared agent name is `_OTHER`, too.
//!
//! # Tokens
//!
//! Each model call is counted in all five `gen_ai` counters and in both histograms, even if it
//! failed or reports nothing: with 0. Of an answer that was fetched before, such as the result of a poll,
//! only the tokens that its session has not counted yet are recorded. A response that was created in the
//! background reports its tokens only when it is fetched, so they are recorded with the first fetch, as
//! `fetch_response`.
//!
//! # Buckets
//!
//! The conventions specify bucket boundaries for the histograms: [`DURATION_BUCKETS`],
//! [`TOKEN_BUCKETS`] for both histograms of tokens, and [`WORKFLOW_DURATION_BUCKETS`] for
//! [`WORKFLOW_DURATION`]. Configure them in the exporter.
//!
//! # Installing an exporter
//!
//! You can install an exporter before or after the tracker: each write uses the metrics recorder that is
//! current when it ends; so does each call, if a recorder was installed when it started. Without one,
//! a call costs a few more instructions and no allocation. A recorder of a zero-sized type cannot be
//! distinguished from none, and receives no metrics of calls. Units and descriptions are registered when
//! a tracker is built. For an exporter that is installed later, call [`describe`].
//!
//! Calls without a session are not tracked, and not counted. Stalled workflows are not counted
//! here either, since their processes are gone: the feature `portal` counts them for Prometheus,
//! at a route of its own.

use std::time::Duration;

use ::metrics::{Key, Label, Level, Metadata, Unit, with_recorder};

/// A model call, from its start to the end of its body: a histogram, in seconds.
pub const INFERENCE_DURATION: &str = "gen_ai.client.inference.duration";
/// Any other call, from its start to the end of its body: a histogram, in seconds.
pub const OPERATION_DURATION: &str = "gen_ai.client.operation.duration";
/// A streamed model call, from its start to the first chunk of its body: a histogram, in
/// seconds.
pub const TIME_TO_FIRST_CHUNK: &str = "gen_ai.client.inference.time_to_first_chunk";
/// Input tokens of model calls: a counter.
pub const INPUT_TOKENS: &str = "gen_ai.client.inference.usage.input_tokens";
/// Output tokens of model calls: a counter.
pub const OUTPUT_TOKENS: &str = "gen_ai.client.inference.usage.output_tokens";
/// The part of [`INPUT_TOKENS`] that was read from a cache: a counter.
pub const CACHE_READ_TOKENS: &str = "gen_ai.client.inference.usage.cache_read.input_tokens";
/// The part of [`INPUT_TOKENS`] that was written to a cache: a counter.
pub const CACHE_WRITE_TOKENS: &str = "gen_ai.client.inference.usage.cache_write.input_tokens";
/// The part of [`OUTPUT_TOKENS`] that was reasoning: a counter.
pub const REASONING_TOKENS: &str = "gen_ai.client.inference.usage.reasoning.output_tokens";
/// Input tokens per model call: a histogram.
pub const INPUT_TOKENS_PER_CALL: &str = "gen_ai.client.inference.operation.input_tokens";
/// Output tokens per model call: a histogram.
pub const OUTPUT_TOKENS_PER_CALL: &str = "gen_ai.client.inference.operation.output_tokens";
/// A workflow, from its start to its end: a histogram, in seconds.
pub const WORKFLOW_DURATION: &str = "gen_ai.invoke_agent.duration";
/// Calls that have ended: a counter.
pub const CALLS: &str = "agent_status.calls";
/// Tokens of calls other than model calls: a counter.
pub const TOKENS: &str = "agent_status.tokens";
/// A streamed call other than a model call, from its start to the first chunk of its body: a histogram, in
/// seconds.
pub const AGENT_TIME_TO_FIRST_CHUNK: &str = "agent_status.time_to_first_chunk";
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
/// The cost of calls: a histogram, in US dollars. Recorded only with a price list.
pub const COST: &str = "agent_status.cost";
/// Calls whose cost is unknown, or known only in part: a counter.
pub const UNPRICED_CALLS: &str = "agent_status.unpriced_calls";
/// Workflows that have exceeded a budget: a counter.
pub const BUDGET_EXCEEDED: &str = "agent_status.budget.exceeded";
/// Costs in responses that are negative or more than 10,000 USD, which are ignored: a counter.
pub const COST_IGNORED: &str = "agent_status.cost.ignored";
/// Requests of a webhook: a counter.
pub const WEBHOOK_REQUESTS: &str = "agent_status.webhook.requests";
/// Notifications of a webhook that found its queue full, or were not accepted for a day: a counter.
pub const WEBHOOK_DROPPED: &str = "agent_status.webhook.dropped";
/// Notifications in the queue of a webhook: a gauge.
pub const WEBHOOK_PENDING: &str = "agent_status.webhook.pending";
/// Updates that were lost and will never be recorded: a counter.
pub const LOST: &str = "agent_status.lost";

/// The value of `gen_ai.agent.name` for all undeclared agents.
pub const OTHER_AGENTS: &str = "_OTHER";
/// The value of `gen_ai.request.model` and `gen_ai.response.model` for models beyond the first
/// [`MAX_MODELS`] of an agent.
pub const OTHER_MODELS: &str = "_OTHER";
/// The maximum number of model names that become labels, for each agent.
pub const MAX_MODELS: usize = 32;

/// The bucket boundaries that the conventions specify for the durations of calls and for the time to the
/// first chunk, in seconds.
pub const DURATION_BUCKETS: [f64; 14] =
    [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
/// The bucket boundaries that the conventions specify for tokens per call.
pub const TOKEN_BUCKETS: [f64; 14] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];
/// The bucket boundaries that the conventions specify for [`WORKFLOW_DURATION`], in seconds.
pub const WORKFLOW_DURATION_BUCKETS: [f64; 13] =
    [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6];

pub(super) static METADATA: Metadata<'static> =
    Metadata::new("tower_agent_status", Level::INFO, Some(module_path!()));

/// Registers units and descriptions with the metrics recorder that is installed now. Building a tracker
/// does this too.
pub fn describe() {
    use Unit::{Count, Seconds};
    with_recorder(|to| {
        let histogram = |name: &'static str, unit, what: &'static str| {
            to.describe_histogram(name.into(), Some(unit), what.into());
        };
        let counter = |name: &'static str, what: &'static str| {
            to.describe_counter(name.into(), Some(Count), what.into());
        };
        histogram(INFERENCE_DURATION, Seconds, "Duration of a model call, to its last byte");
        histogram(OPERATION_DURATION, Seconds, "Duration of any other call, to its last byte");
        histogram(TIME_TO_FIRST_CHUNK, Seconds, "Time to the first chunk of a model's stream");
        counter(INPUT_TOKENS, "Input tokens of model calls, cached ones included");
        counter(OUTPUT_TOKENS, "Output tokens of model calls, reasoning included");
        counter(CACHE_READ_TOKENS, "Input tokens that were read from a cache");
        counter(CACHE_WRITE_TOKENS, "Input tokens that were written to a cache");
        counter(REASONING_TOKENS, "Output tokens that were reasoning");
        histogram(INPUT_TOKENS_PER_CALL, Count, "Input tokens per model call");
        histogram(OUTPUT_TOKENS_PER_CALL, Count, "Output tokens per model call");
        histogram(WORKFLOW_DURATION, Seconds, "Duration of a workflow, from its start to its end");
        counter(CALLS, "Calls that have ended, by outcome");
        counter(TOKENS, "Tokens that agents and calls for embeddings report");
        histogram(
            AGENT_TIME_TO_FIRST_CHUNK,
            Seconds,
            "Time to the first chunk of an agent's stream",
        );
        // There is no unit for money.
        to.describe_histogram(COST.into(), None, "Cost of a call, in US dollars".into());
        counter(UNPRICED_CALLS, "Calls whose cost is unknown, or known only in part");
        counter(COST_IGNORED, "Ignored costs in responses: negative, or over 10,000 USD");
        counter(BUDGET_EXCEEDED, "Workflows that have exceeded a budget, by limit");
        counter(WRITES, "Writes to the status store, by result");
        histogram(WRITE_DURATION, Seconds, "Duration of a write to the status store");
        counter(WRITE_RETRIES, "Retries of writes to the status store");
        let what = "Sessions that are not saved yet";
        to.describe_gauge(SESSIONS_DIRTY.into(), Some(Count), what.into());
        let what = "Agents that wait for a task, for input or for authorization";
        to.describe_gauge(AGENTS_WAITING.into(), Some(Count), what.into());
        counter(WEBHOOK_REQUESTS, "Requests of a webhook, by result");
        counter(WEBHOOK_DROPPED, "Notifications of a webhook that were dropped, by reason");
        let what = "Notifications in the queue of a webhook";
        to.describe_gauge(WEBHOOK_PENDING.into(), Some(Count), what.into());
        counter(LOST, "Calls, changes and sessions whose status is not saved and will not be");
    });
}

/// Whether a recorder is installed. The no-op recorder is zero-sized, which is the only way to
/// distinguish it from others.
pub(super) fn is_recorded() -> bool {
    with_recorder(|to| size_of_val(to) != 0)
}

/// A workflow has ended.
pub(super) fn workflow_ended(after: Duration, error: Option<String>) {
    let mut labels = vec![Label::from_static_parts("gen_ai.operation.name", "invoke_workflow")];
    labels.extend(error.map(|class| Label::new("error.type", class)));
    let key = Key::from_parts(WORKFLOW_DURATION, labels);
    with_recorder(|to| to.register_histogram(&key, &METADATA).record(after));
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

/// A workflow has exceeded this limit of its budget.
pub(crate) fn over_budget(limit: &'static str) {
    let key = Key::from_parts(BUDGET_EXCEEDED, vec![Label::from_static_parts("limit", limit)]);
    with_recorder(|to| to.register_counter(&key, &METADATA).increment(1));
}

/// A response reported an impossible cost.
#[cfg(feature = "prices")]
pub(crate) fn ignored_cost() {
    static KEY: Key = Key::from_static_name(COST_IGNORED);
    with_recorder(|to| to.register_counter(&KEY, &METADATA).increment(1));
}

/// A request of a webhook was answered, or failed.
#[cfg(feature = "webhook")]
pub(crate) fn webhook_request(result: &'static str) {
    let key = Key::from_parts(WEBHOOK_REQUESTS, vec![Label::from_static_parts("result", result)]);
    with_recorder(|to| to.register_counter(&key, &METADATA).increment(1));
}

/// A notification of a webhook was dropped.
#[cfg(feature = "webhook")]
pub(crate) fn webhook_dropped(reason: &'static str) {
    let key = Key::from_parts(WEBHOOK_DROPPED, vec![Label::from_static_parts("reason", reason)]);
    with_recorder(|to| to.register_counter(&key, &METADATA).increment(1));
}

/// So many notifications of a webhook are in its queue.
#[cfg(feature = "webhook")]
pub(crate) fn webhook_pending(notifications: u64) {
    static KEY: Key = Key::from_static_name(WEBHOOK_PENDING);
    with_recorder(|to| to.register_gauge(&KEY, &METADATA).set(notifications as f64));
}

/// So much is not recorded, and will not be.
pub(crate) fn lost(reason: &'static str, number: u64) {
    let key = Key::from_parts(LOST, vec![Label::from_static_parts("reason", reason)]);
    with_recorder(|to| to.register_counter(&key, &METADATA).increment(number));
}
