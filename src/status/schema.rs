//! The attributes of an item: a contract with its readers.
//!
//! Attributes may be added, but none is renamed and none changes its type.
//!
//! # Item
//!
//! | attribute | type | meaning |
//! | --- | --- | --- |
//! | `sessionId` | string | the session id; the partition key, unless the table's key has another name |
//! | `correlationId` | string | the id of the workflow in other systems |
//! | `overallStatus` | string | `initializing`, `processing`, `completed` or `failed` |
//! | `error` | string | why the workflow failed, in at most 500 bytes |
//! | `endedBy`, `endReason` | string | who ended the workflow on behalf of its processes, in at most 128 bytes, and why, in at most 500; see [`ManualEnd`](super::ManualEnd) |
//! | `createdAt`, `completedAt`, `lastUpdated` | string | times: RFC 3339 in UTC, with milliseconds; `completedAt` once the workflow has completed or failed |
//! | `createdDay` | string | the day of `createdAt` |
//! | `createdShard16` | string | the same, and one of 16 shards, such as `2026-11-26.7`: if the table's index of the newest sessions has so many |
//! | `expiresAt` | number | when the item may be deleted, in seconds since the Unix epoch; absent if it was removed to keep the item |
//! | `totalTokenUsage` | map | the sum of the agents' token usage |
//! | `totalCostUsd` | number | the cost of the calls of all agents, in US dollars, to 15 decimal places; absent if no cost is known |
//! | `unpricedCalls` | number | the number of calls whose cost is unknown, or known only in part; the sum is then a minimum; absent if there is none |
//! | `budgetUsd`, `budgetTokens` | number | the limits on the workflow's cost and tokens; absent without a limit |
//! | `budgetExceededAt` | string | when the workflow was first found to exceed one of these |
//! | `traceId` | string | the id of the distributed trace that the workflow belongs to: 32 hexadecimal digits |
//! | `previousRun` | map | `overallStatus`, `error`, `createdAt`, `completedAt`, `totalTokenUsage`, `totalCostUsd` and `unpricedCalls` of the run that this one replaced; absent if there was none |
//! | `unfinishedTasks` | list of strings | the ids of the tasks that calls left unfinished, the newest last, at most 16; absent without any |
//! | `revision` | number | rises with each write, and is no other write's of the session |
//! | `writers` | map | the number of each writing process's last write, by its id: milliseconds since the Unix epoch, odd if the process had nothing in progress; and under `forgotten` the highest number of those that are not listed any more, if there are any |
//! | *name of an agent* | map | the agent, see below |
//! | *name of an attribute* | any | what the caller has set, such as `documentId` |
//!
//! # Agent
//!
//! Unknown values are absent.
//!
//! | attribute | type | meaning |
//! | --- | --- | --- |
//! | `status` | string | `pending`, `in-progress`, `success` or `error` |
//! | `activity` | string | what the agent is doing, as text for people |
//! | `waitingFor` | string | `task`, `input` or `authorization`: the agent has answered and waits for this; only beside `in-progress` |
//! | `taskId` | string | the id of the task that it waits for, in at most 128 bytes |
//! | `startedAt`, `completedAt`, `lastUpdated` | string | times, as above |
//! | `duration` | number | from the start of the first call to the end of the last, in seconds |
//! | `calls` | number | the number of its calls that have ended |
//! | `tokenUsage` | map | the tokens of all its calls |
//! | `error`, `errorType` | string | the message, in at most 500 bytes, and the class of a failure |
//! | `model` | string | the model of the last call that named one, or else the one that is declared, in at most 128 bytes |
//! | `finishReason` | string | why the model stopped in the last call that has ended, as the provider spells it; if there are several reasons, the first that is not normal |
//! | `timeToFirstChunk` | number | the time from the start of that call to the first chunk of its body, in seconds; only for a stream |
//! | `costUsd`, `unpricedCalls` | number | like `totalCostUsd` and `unpricedCalls` of the item, for this agent's calls |
//! | `models` | map | the token usage, `costUsd` and `unpricedCalls` of each model by its name, for at most 8 models; absent unless the agent has used several |
//! | `attempts` | list of maps | the last 8 calls that have ended, see below; absent while there was only one, unless that failed |
//!
//! # Attempt
//!
//! | attribute | type | meaning |
//! | --- | --- | --- |
//! | `startedAt` | string | when the call started |
//! | `duration` | number | the time to the end of its body, in seconds |
//! | `status` | string | `success` or `error` |
//! | `errorType` | string | the error type, if it failed |
//! | `model` | string | the model, if known |
//! | `tokenUsage` | map | the tokens that it used |
//! | `requestId` | string | the provider's id of the request |
//! | `retryAfter` | number | how long the provider asked to wait before a retry, in seconds |
//! | `by` | string | which process made the call, and its number if several ended in the same millisecond |
//!
//! # Token usage
//!
//! Each a number: `inputTokens`, `outputTokens`, `totalTokens`, `cacheReadInputTokens`,
//! `cacheWriteInputTokens`, `reasoningTokens`, `cacheWrite5mInputTokens`, `cacheWrite1hInputTokens`.
//! [`TokenUsage`](super::TokenUsage) defines what they count.
//!
//! # Older writers
//!
//! They put other words and fewer attributes into the same table. [`WorkflowStatus::from_item`](super::WorkflowStatus::from_item)
//! reads an agent's `loading` as in progress and `completed` as success, a workflow's `pending` as
//! it is, and any other word as [`AgentState::Other`](super::AgentState::Other) or
//! [`OverallStatus::Other`](super::OverallStatus::Other), with the word. What is absent stays
//! absent. Anything else in the map of an agent stays there when the agent changes, and the portal
//! shows its `subSteps`. Heartbeats are only expected of items that have a `revision`.

use std::time::Duration;

/// The session id; the partition key, unless the table's key has another name.
pub const SESSION_ID: &str = "sessionId";
/// When the item may be deleted, in seconds since the Unix epoch; under another name if the
/// table's time-to-live attribute has one.
pub const EXPIRES_AT: &str = "expiresAt";
/// The number of times the item was written.
pub const REVISION: &str = "revision";
/// When the workflow started: RFC 3339 in UTC, with milliseconds.
pub const CREATED_AT: &str = "createdAt";
/// How some older writers spell [`CREATED_AT`]. It is read where that is missing.
pub(crate) const CREATED_AT_OF_OTHERS: &str = "created_at";
/// The UTC day of [`CREATED_AT`], as `2025-12-24`: the partition key of an index of the
/// newest sessions, whose sort key is [`CREATED_AT`]. Both are set by the first write only, so
/// an index that projects keys only costs nothing at later writes.
pub const CREATED_DAY: &str = "createdDay";
/// With a number of shards, such as `createdShard16`: the partition key of an index of the newest
/// sessions that is spread over so many partitions a day. The value is [`CREATED_DAY`], a dot, and
/// the CRC-32 (that of gzip) of the session id modulo the number of shards, as `2025-12-24.7`. The
/// store adds it to the first write.
pub const CREATED_SHARD: &str = "createdShard";
/// When the item last changed, or the workflow was last known to be alive.
pub const LAST_UPDATED: &str = "lastUpdated";
/// When the workflow completed or failed.
pub const COMPLETED_AT: &str = "completedAt";
/// What is kept of the run that this one replaced: a map.
pub const PREVIOUS_RUN: &str = "previousRun";
/// The state of the workflow: [`OverallStatus::as_str`](super::OverallStatus::as_str).
pub const OVERALL_STATUS: &str = "overallStatus";
/// The id of the workflow in other systems.
pub const CORRELATION_ID: &str = "correlationId";
/// The sum of the agents' token usage.
pub const TOTAL_TOKEN_USAGE: &str = "totalTokenUsage";
/// Why the workflow failed.
pub const ERROR: &str = "error";
/// Who ended the workflow on behalf of its processes; see [`ManualEnd`](super::ManualEnd). Readers get
/// it as one of the caller's attributes. The name is not reserved: a workflow may set it.
pub const ENDED_BY: &str = "endedBy";
/// Why [`ENDED_BY`] ended it.
pub const END_REASON: &str = "endReason";
/// The cost of the calls of all agents, in US dollars; absent if no cost is known.
pub const TOTAL_COST_USD: &str = "totalCostUsd";
/// The number of calls whose cost is unknown, or known only in part; absent if there is none. In the item
/// and in the map of an agent.
pub const UNPRICED_CALLS: &str = "unpricedCalls";
/// The limit on the cost of the workflow's calls, in US dollars.
pub const BUDGET_USD: &str = "budgetUsd";
/// The limit on the tokens of the workflow's agents.
pub const BUDGET_TOKENS: &str = "budgetTokens";
/// When the workflow was first found to exceed one of these.
pub const BUDGET_EXCEEDED_AT: &str = "budgetExceededAt";
/// The id of the distributed trace that the workflow belongs to.
pub const TRACE_ID: &str = "traceId";
/// The ids of the tasks that calls left unfinished: a list of strings.
pub const UNFINISHED_TASKS: &str = "unfinishedTasks";

pub(crate) const WRITERS: &str = "writers";

pub(super) const AGENT_STATUS: &str = "status";
pub(super) const ACTIVITY: &str = "activity";
pub(super) const WAITING_FOR: &str = "waitingFor";
pub(super) const TASK_ID: &str = "taskId";
pub(super) const STARTED_AT: &str = "startedAt";
pub(super) const DURATION: &str = "duration";
pub(super) const TOKEN_USAGE: &str = "tokenUsage";
pub(super) const ERROR_TYPE: &str = "errorType";
pub(super) const CALLS: &str = "calls";
pub(super) const MODEL: &str = "model";
pub(super) const FINISH_REASON: &str = "finishReason";
pub(super) const TIME_TO_FIRST_CHUNK: &str = "timeToFirstChunk";
pub(super) const COST_USD: &str = "costUsd";
pub(super) const MODELS: &str = "models";
pub(super) const ATTEMPTS: &str = "attempts";
/// In an attempt: which process made the call, and, after a dot, its number if several ended in the same
/// millisecond.
pub(super) const ATTEMPT_BY: &str = "by";
pub(super) const REQUEST_ID: &str = "requestId";
/// In an attempt: how long the provider asked to wait before a retry, in seconds.
pub(super) const RETRY_AFTER: &str = "retryAfter";
/// The steps of an agent's work, as older writers list them: maps, usually with `title`, `status`
/// and `description`.
pub(crate) const SUB_STEPS: &str = "subSteps";

/// The counts of a token usage, in the order of `TokenUsage::counts`.
pub(super) const TOKEN_COUNTS: [&str; 8] = [
    "inputTokens",
    "outputTokens",
    "totalTokens",
    "cacheReadInputTokens",
    "cacheWriteInputTokens",
    "reasoningTokens",
    "cacheWrite5mInputTokens",
    "cacheWrite1hInputTokens",
];

/// The item's own attributes. No agent and no caller's attribute may have such a name.
pub(crate) const RESERVED: [&str; 20] = [
    SESSION_ID,
    EXPIRES_AT,
    REVISION,
    CORRELATION_ID,
    OVERALL_STATUS,
    TOTAL_TOKEN_USAGE,
    CREATED_AT,
    CREATED_DAY,
    COMPLETED_AT,
    LAST_UPDATED,
    ERROR,
    TOTAL_COST_USD,
    UNPRICED_CALLS,
    BUDGET_USD,
    BUDGET_TOKENS,
    BUDGET_EXCEEDED_AT,
    TRACE_ID,
    PREVIOUS_RUN,
    UNFINISHED_TASKS,
    WRITERS,
];

/// Whether an attribute of this name is one of the item's own.
pub(crate) fn is_reserved(name: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    RESERVED.contains(&name) || name.strip_prefix(CREATED_SHARD).is_some_and(is_number)
}

/// How long after its creation an item expires, unless
/// [set otherwise](crate::StatusTrackerBuilder::retention): 90 days.
pub const DEFAULT_RETENTION: Duration = Duration::from_secs(90 * 24 * 60 * 60);
