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
//! | `totalCostUsd` | number | what the calls of all agents have cost, in US dollars, to 15 decimals; absent while that is not known of any call |
//! | `unpricedCalls` | number | how many calls used tokens whose cost is not known, or only in part: the sum is a minimum then; absent if there is none |
//! | `budgetUsd`, `budgetTokens` | number | what the workflow may cost, and how many tokens it may use; absent without a limit |
//! | `budgetExceededAt` | string | when a process found that the workflow has gone over one of these |
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
//! | `model` | string | the model that answered the last call that named one, or else the one that is declared, in at most 128 bytes |
//! | `finishReason` | string | why the model stopped in the last call that has ended, as the provider spells it; of several reasons the first that is not a normal one |
//! | `timeToFirstChunk` | number | how long the first piece of the body took in that call, in seconds; only of a stream |
//! | `costUsd`, `unpricedCalls` | number | as `totalCostUsd` and `unpricedCalls` of the item, of this agent's calls |
//! | `models` | map | the token usage, `costUsd` and `unpricedCalls` of each model, by its name, at most 8; absent unless the agent has used several |
//! | `attempts` | list of maps | the last 8 calls that have ended, see below; absent while there was only one, unless that failed |
//!
//! # Attempt
//!
//! | attribute | type | meaning |
//! | --- | --- | --- |
//! | `startedAt` | string | when the call started |
//! | `duration` | number | how long it took to the end of its body, in seconds |
//! | `status` | string | `success` or `error` |
//! | `errorType` | string | the class of its failure |
//! | `model` | string | the model that answered |
//! | `tokenUsage` | map | the tokens that it used |
//! | `requestId` | string | the provider's id of the request |
//! | `retryAfter` | number | how long the provider said to wait before another try, in seconds |
//! | `by` | string | which process has made the call, and its number if several have ended in the same millisecond |
//!
//! # Token usage
//!
//! Each a number: `inputTokens`, `outputTokens`, `totalTokens`, `cacheReadInputTokens`,
//! `cacheWriteInputTokens`, `reasoningTokens`, `cacheWrite5mInputTokens`, `cacheWrite1hInputTokens`.
//! [`TokenUsage`] defines what they count.
//!
//! # Older writers
//!
//! They put other words and fewer attributes into the same table. [`WorkflowStatus::from_item`]
//! reads an agent's `loading` as in progress and `completed` as success, a workflow's `pending` as
//! it is, and any other word as [`AgentState::Other`](super::AgentState::Other) or
//! [`OverallStatus::Other`](super::OverallStatus::Other), with the word. What is absent stays
//! absent. Anything else in the map of an agent stays there when the agent changes, and the portal
//! shows its `subSteps`. Heartbeats are only expected of items that have a `revision`.

use std::collections::BTreeSet;
use std::time::Duration;

use super::fit::is_too_large;
use super::{
    AgentStatus, Attempt, Budget, Change, Item, ModelUsage, PreviousRun, Timestamp, TokenUsage,
    TotalCost, Value, WorkflowStatus,
};

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
/// What the calls of all agents have cost, in US dollars; absent while that is not known of any call.
pub const TOTAL_COST_USD: &str = "totalCostUsd";
/// How many calls used tokens whose cost is not known, or only in part; absent if there is none. In the
/// item as in the map of an agent.
pub const UNPRICED_CALLS: &str = "unpricedCalls";
/// What the calls of the workflow may cost, in US dollars.
pub const BUDGET_USD: &str = "budgetUsd";
/// How many tokens the agents of the workflow may use.
pub const BUDGET_TOKENS: &str = "budgetTokens";
/// When it was found that the workflow has gone over one of these.
pub const BUDGET_EXCEEDED_AT: &str = "budgetExceededAt";
/// The id of the distributed trace that the workflow belongs to.
pub const TRACE_ID: &str = "traceId";
/// The ids of the tasks that calls left unfinished: a list of strings.
pub const UNFINISHED_TASKS: &str = "unfinishedTasks";

pub(super) const WRITERS: &str = "writers";

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
/// In an attempt: who has made the call, and, after a dot, its number if several have ended in the same
/// millisecond.
pub(super) const ATTEMPT_BY: &str = "by";
pub(super) const REQUEST_ID: &str = "requestId";
/// In an attempt: how long to wait before the next, in seconds.
pub(super) const RETRY_AFTER: &str = "retryAfter";
/// The steps of an agent's work, as older writers list them: maps, usually with `title`, `status`
/// and `description`.
pub(crate) const SUB_STEPS: &str = "subSteps";

/// The counts of a token usage, in the order of [`TokenUsage::counts`].
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

/// A change of an item that is small enough to be saved.
#[derive(Debug)]
pub(crate) struct FittedChange {
    pub(crate) change: Change,
    /// The names of what was left out or cut.
    pub(crate) left_out: BTreeSet<String>,
}

impl WorkflowStatus {
    /// Returns the document as attributes, without the session id: the store adds it under
    /// the name of its table's key.
    #[must_use]
    pub fn to_item(&self) -> Item {
        let mut item = Item::new();
        for (name, value) in &self.attributes {
            item.insert(name, value.clone());
        }
        for (name, agent) in &self.agents {
            item.insert(&**name, agent.to_item());
        }
        if let Some(id) = &self.correlation_id {
            item.insert(CORRELATION_ID, id.as_str());
        }
        if let Some(error) = &self.error {
            item.insert(ERROR, error.as_str());
        }
        item.insert(OVERALL_STATUS, self.status_text());
        item.insert(TOTAL_TOKEN_USAGE, self.total_token_usage().to_item());
        self.total_cost().insert_into(&mut item, TOTAL_COST_USD);
        if let Some(budget) = &self.budget {
            budget.insert_into(&mut item);
        }
        if let Some(id) = &self.trace_id {
            item.insert(TRACE_ID, &**id);
        }
        if self.created_at.as_millis() != 0 {
            item.insert(CREATED_AT, self.created_at.to_string());
            item.insert(CREATED_DAY, self.created_at.day());
        }
        if self.last_updated.as_millis() != 0 {
            item.insert(LAST_UPDATED, self.last_updated.to_string());
        }
        if let Some(at) = self.completed_at {
            item.insert(COMPLETED_AT, at.to_string());
        }
        if let Some(run) = &self.previous_run {
            item.insert(PREVIOUS_RUN, run.to_item());
        }
        if let Some(at) = self.expires_at {
            item.insert(EXPIRES_AT, u64::try_from(at.as_secs()).unwrap_or(0));
        }
        if !self.unfinished_tasks.is_empty() {
            let ids = self.unfinished_tasks.iter().map(|id| Value::from(id.as_str()));
            item.insert(UNFINISHED_TASKS, ids.collect::<Vec<_>>());
        }
        item.insert(REVISION, self.revision);
        item.insert(WRITERS, self.writers.to_item());
        item
    }

    /// Returns the write that turns the item of `before` (`None`: no item) into the item of
    /// `self`, or `None` if the two differ in revision and writers only. What does not fit into an
    /// item is left out. With `writes_derived`, the day of creation, its time and the sum of the tokens
    /// are written even if they are the same, since an older writer may have left them out.
    pub(crate) fn change_from(
        &self,
        before: Option<&Self>,
        writes_derived: bool,
    ) -> Option<FittedChange> {
        // An older writer sets no day, may format the time in another way, and may have no sum.
        let bookkeeping = |name: &str| {
            matches!(name, REVISION | WRITERS)
                || (writes_derived && matches!(name, CREATED_AT | CREATED_DAY | TOTAL_TOKEN_USAGE))
        };
        let mut set = self.to_item();
        let left_out = self.fit(&mut set);
        let mut cut = left_out.clone();
        let before = before.map(|before| {
            let item = before.to_item();
            if is_too_large(&item) {
                // The table lacks this: it is written as soon as there is room.
                cut.append(&mut before.fit(&mut item.clone()));
            }
            item
        });
        let mut remove = Vec::new();
        if let Some(before) = &before {
            remove.extend(
                before.iter().map(|(name, _)| name.to_owned()).filter(|n| set.get(n).is_none()),
            );
            let differs = |name: &str, value: &Value| {
                bookkeeping(name) || cut.contains(name) || before.get(name) != Some(value)
            };
            set = set.into_iter().filter(|(name, value)| differs(name, value)).collect();
            if remove.is_empty() && set.iter().all(|(name, _)| bookkeeping(name)) {
                return None;
            }
        }
        let change = Change { session_id: self.session_id.clone(), set, remove };
        Some(FittedChange { change, left_out })
    }
}

impl AgentStatus {
    pub(super) fn to_item(&self) -> Item {
        let mut item = Item::new();
        item.insert(AGENT_STATUS, self.state_text());
        item.insert(ACTIVITY, &*self.activity);
        if let Some(waiting_for) = self.waiting_for {
            item.insert(WAITING_FOR, waiting_for.as_str());
            if let Some(id) = &self.task_id {
                item.insert(TASK_ID, id.as_str());
            }
        }
        let mut time = |name, time: Option<Timestamp>| {
            if let Some(time) = time {
                item.insert(name, time.to_string());
            }
        };
        time(STARTED_AT, self.started_at);
        time(COMPLETED_AT, self.completed_at);
        time(LAST_UPDATED, self.last_updated);
        if let Some(duration) = self.duration() {
            item.insert(DURATION, seconds(duration));
        }
        if let Some(model) = &self.model {
            item.insert(MODEL, &**model);
        }
        if let Some(reason) = &self.finish_reason {
            item.insert(FINISH_REASON, &**reason);
        }
        if let Some(time) = self.time_to_first_chunk {
            item.insert(TIME_TO_FIRST_CHUNK, seconds(time));
        }
        if let Some(usage) = &self.token_usage {
            item.insert(TOKEN_USAGE, usage.to_item());
        }
        self.cost().insert_into(&mut item, COST_USD);
        if !self.models().is_empty() {
            let models = self.models().iter();
            let models = models.map(|usage| (usage.model.to_string(), usage.to_item().into()));
            item.insert(MODELS, models.collect::<Item>());
        }
        if !self.attempts.is_empty() {
            let attempts = self.attempts().map(|attempt| attempt.to_item().into());
            item.insert(ATTEMPTS, attempts.collect::<Vec<Value>>());
        }
        if let Some(error) = &self.error {
            item.insert(ERROR, error.message.as_str());
            item.insert(ERROR_TYPE, &*error.class);
        }
        if self.calls > 0 {
            item.insert(CALLS, self.calls);
        }
        for (name, value) in self.extra.iter().flat_map(|extra| extra.iter()) {
            if item.get(name).is_none() {
                item.insert(name, value.clone());
            }
        }
        item
    }
}

impl PreviousRun {
    pub(super) fn to_item(&self) -> Item {
        let mut item = Item::new();
        item.insert(OVERALL_STATUS, self.status_text());
        if let Some(error) = &self.error {
            item.insert(ERROR, error.as_str());
        }
        if self.created_at.as_millis() != 0 {
            item.insert(CREATED_AT, self.created_at.to_string());
        }
        if let Some(at) = self.completed_at {
            item.insert(COMPLETED_AT, at.to_string());
        }
        item.insert(TOTAL_TOKEN_USAGE, self.total_token_usage.to_item());
        self.total_cost.insert_into(&mut item, TOTAL_COST_USD);
        item
    }
}

impl ModelUsage {
    /// Its tokens and its cost, in one map.
    pub(crate) fn to_item(&self) -> Item {
        let mut item = self.token_usage.map_or_else(Item::new, TokenUsage::to_item);
        self.cost.insert_into(&mut item, COST_USD);
        item
    }
}

impl Attempt {
    pub(super) fn to_item(&self) -> Item {
        let mut item = Item::new();
        if let Some(origin) = self.origin_text() {
            item.insert(ATTEMPT_BY, origin);
        }
        item.insert(STARTED_AT, self.started_at.to_string());
        item.insert(DURATION, seconds(self.duration()));
        item.insert(AGENT_STATUS, self.state().as_str());
        if let Some(class) = &self.error_type {
            item.insert(ERROR_TYPE, &**class);
        }
        if let Some(model) = &self.model {
            item.insert(MODEL, &**model);
        }
        if let Some(usage) = &self.token_usage {
            item.insert(TOKEN_USAGE, usage.to_item());
        }
        if let Some(id) = &self.request_id {
            item.insert(REQUEST_ID, &**id);
        }
        if let Some(wait) = self.retry_after {
            item.insert(RETRY_AFTER, seconds(wait));
        }
        item
    }
}

impl TotalCost {
    /// Adds its two parts, where there is something to say.
    fn insert_into(&self, item: &mut Item, usd: &str) {
        if let Some(cost) = self.usd {
            item.insert(usd, cost);
        }
        if self.unpriced_calls > 0 {
            item.insert(UNPRICED_CALLS, self.unpriced_calls);
        }
    }
}

impl Budget {
    fn insert_into(&self, item: &mut Item) {
        if let Some(usd) = self.usd {
            item.insert(BUDGET_USD, usd);
        }
        if let Some(tokens) = self.tokens {
            item.insert(BUDGET_TOKENS, tokens);
        }
        if let Some(at) = self.exceeded_at {
            item.insert(BUDGET_EXCEEDED_AT, at.to_string());
        }
    }
}

/// A duration in seconds, to the millisecond.
#[expect(clippy::cast_precision_loss, reason = "2^53 ms are 285,000 years")]
fn seconds(duration: Duration) -> Value {
    // One division gives the float nearest to the milliseconds. `as_secs_f64` rounds twice, and turns
    // 1118 ms into 1.1179999999999999 s.
    Value::Float(duration.as_millis() as f64 / 1000.0)
}

impl TokenUsage {
    pub(super) fn to_item(self) -> Item {
        let counts = TOKEN_COUNTS.into_iter().zip(self.counts());
        counts.filter_map(|(name, count)| Some((name.to_owned(), Value::Integer(count?)))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{OverallStatus, SessionId};

    #[test]
    fn an_item_of_another_writer_gets_its_day_with_the_first_change() {
        let mut theirs = Item::new();
        theirs.insert(CREATED_AT, "2025-12-25T00:30:00.123456+01:00");
        let before = WorkflowStatus::from_item(&SessionId::new("s").unwrap(), &theirs);
        let mut after = before.clone();
        after.revision = 1;
        after.overall_status = OverallStatus::Completed;
        let adopted = after.change_from(Some(&before), true).unwrap().change.set;
        assert_eq!(adopted.get(CREATED_AT), Some(&Value::from("2025-12-24T23:30:00.123Z")));
        assert_eq!(adopted.get(CREATED_DAY), Some(&Value::from("2025-12-24")));

        let mut later = after.clone();
        later.revision = 2;
        later.overall_status = OverallStatus::Failed;
        let change = later.change_from(Some(&after), false).unwrap().change.set;
        let names: Vec<_> = change.iter().map(|(name, _)| name).collect();
        assert_eq!(names, [OVERALL_STATUS, REVISION, WRITERS]);
    }

    #[test]
    fn a_duration_has_the_decimals_of_its_times() {
        let start = Timestamp::from_millis(1_766_570_400_000);
        let mut agent = AgentStatus::pending("".into());
        for millis in 0..10_000 {
            agent.started_at = Some(start);
            agent.completed_at = Some(start.saturating_add(Duration::from_millis(millis)));
            let item = agent.to_item();
            let Some(Value::Float(duration)) = item.get(DURATION) else {
                panic!("{item:?} has no duration");
            };
            let written = format!("{}.{:03}", millis / 1000, millis % 1000);
            assert_eq!(*duration, written.parse::<f64>().unwrap());
        }
    }

    #[test]
    fn what_is_missing_in_an_item_follows_from_the_rest() {
        let id = SessionId::new("s").unwrap();
        let (early, late) = ("2025-12-24T10:00:00.000Z", "2025-12-24T10:00:17.000Z");
        let read = |attributes: &[(&str, Value)]| {
            let attributes = attributes.iter().cloned();
            let item: Item = attributes.map(|(name, value)| (name.to_owned(), value)).collect();
            WorkflowStatus::from_item(&id, &item)
        };
        let times = |status: &WorkflowStatus| {
            (status.created_at.to_string(), status.last_updated.to_string())
        };
        // A time that is missing is not made up from another.
        let never = Timestamp::from_millis(0).to_string();
        let created = read(&[(CREATED_AT, early.into())]);
        assert_eq!(times(&created), (early.to_owned(), never.clone()));
        let updated = read(&[(LAST_UPDATED, late.into())]);
        assert_eq!(times(&updated), (never, late.to_owned()));
        let status = read(&[(CREATED_AT, early.into()), (LAST_UPDATED, late.into())]);
        assert_eq!(times(&status), (early.to_owned(), late.to_owned()));

        let status = read(&[
            (OVERALL_STATUS, "processing".into()),
            (REVISION, "7".into()),
            (EXPIRES_AT, u64::MAX.into()),
            ("pages", Value::List(vec!["1".into()])),
            ("documentId", "d".into()),
        ]);
        assert_eq!(status.overall_status, OverallStatus::Processing);
        assert_eq!(status.revision, 0);
        assert!(status.expires_at > Some(status.created_at), "{:?}", status.expires_at);
        let attributes: Vec<_> = status.attributes.keys().collect();
        assert_eq!(attributes, ["documentId"], "a list is none of a caller's");

        let tasks = (0..20).map(|n| Value::from(format!("task-{n}"))).collect();
        let status = read(&[(UNFINISHED_TASKS, Value::List(tasks))]);
        assert_eq!(status.unfinished_tasks.len(), WorkflowStatus::MAX_UNFINISHED_TASKS);
    }

    #[test]
    fn what_is_missing_in_an_agent_follows_from_the_rest() {
        let (early, late) = ("2025-12-24T10:00:00.000Z", "2025-12-24T10:00:17.000Z");
        let read = |attributes: &[(&str, Value)]| {
            let attributes = attributes.iter().cloned();
            let item: Item = attributes.map(|(name, value)| (name.to_owned(), value)).collect();
            AgentStatus::from_item(&item).unwrap()
        };
        let status = |text: &str| (AGENT_STATUS, Value::from(text));
        let (start, end) = ((STARTED_AT, early.into()), (COMPLETED_AT, late.into()));
        let last_updated = |agent: &AgentStatus| agent.last_updated.map(|time| time.to_string());
        let agent = read(&[status("success"), start.clone(), end.clone()]);
        assert_eq!(last_updated(&agent).as_deref(), Some(late));
        let agent = read(&[status("in-progress"), start.clone()]);
        assert_eq!(last_updated(&agent).as_deref(), Some(early));
        assert_eq!(read(&[status("pending")]).last_updated, None);

        let error = (ERROR, Value::from("no quota"));
        assert_eq!(read(&[status("success"), error.clone()]).error, None);
        let failed = read(&[status("error"), error]).error.unwrap();
        let class = crate::status::CallError::AGENT;
        assert_eq!((&*failed.class, failed.message.as_str()), (class, "no quota"));

        // What the times say of the duration counts.
        let agent = read(&[status("success"), start, end, (DURATION, Value::Integer(3))]);
        assert_eq!(agent.duration(), Some(Duration::from_secs(17)));
        assert_eq!(agent.recorded_duration, None);

        let agent = read(&[status("success"), (TOKEN_USAGE, Value::Map(Item::new()))]);
        assert_eq!(agent.token_usage, None);
        let names: Vec<_> = agent.to_item().iter().map(|(name, _)| name.to_owned()).collect();
        assert_eq!(names, [ACTIVITY, AGENT_STATUS], "no calls are not written");
    }

    #[test]
    fn an_agent_outranks_an_attribute_and_a_time_before_the_epoch_is_none() {
        let id = SessionId::new("s").unwrap();
        let mut status = WorkflowStatus::new(id, Timestamp::from_millis(0));
        status.attributes.insert("a".to_owned(), "text".into());
        status.agents = vec![("a".into(), AgentStatus::pending("".into()))];
        status.expires_at = Some(Timestamp::from_millis(-5_000));
        let item = status.to_item();
        assert!(item.get("a").and_then(Value::as_map).is_some(), "{item:?}");
        assert_eq!(item.get(EXPIRES_AT), Some(&Value::Integer(0)));
    }

    #[test]
    fn a_change_that_only_removes_something_is_one() {
        let id = SessionId::new("s").unwrap();
        let mut before = WorkflowStatus::new(id, Timestamp::from_millis(0));
        before.revision = 1;
        before.correlation_id = Some("c".to_owned());
        let mut after = before.clone();
        after.revision = 2;
        assert!(after.change_from(Some(&before), false).is_none());
        after.correlation_id = None;
        let change = after.change_from(Some(&before), false).unwrap().change;
        assert_eq!(change.remove, [CORRELATION_ID]);
    }
}
