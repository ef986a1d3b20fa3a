//! A document from the attributes of an item, also one of an older writer.
//!
//! Older writers put other words and fewer attributes into the same table. None of them costs an
//! agent or a session, and nothing is made up:
//!
//! | in the item | is read as |
//! | --- | --- |
//! | an agent's `status`: `loading`, `completed` | in progress, success |
//! | any other that is not known | [`AgentState::Other`], with the word; an `error` beside it is kept |
//! | the same, beside none but attributes that no agent has | no agent |
//! | an empty one | pending |
//! | `overallStatus`: `pending`, or none | [`OverallStatus::Pending`] |
//! | any other that is not known | [`OverallStatus::Other`], with the word |
//! | `created_at`, without a `createdAt` | `createdAt` |
//! | a time without an offset | UTC |
//! | no time of creation, or of the last change | none: the Unix epoch |

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::cut::shorten;
use super::schema::{
    ACTIVITY, AGENT_STATUS, ATTEMPTS, CALLS, COMPLETED_AT, CORRELATION_ID, COST_USD, CREATED_AT,
    CREATED_AT_OF_OTHERS, DURATION, ERROR, ERROR_TYPE, EXPIRES_AT, FINISH_REASON, LAST_UPDATED,
    MODEL, MODELS, OVERALL_STATUS, PREVIOUS_RUN, REVISION, STARTED_AT, SUB_STEPS, TASK_ID,
    TIME_TO_FIRST_CHUNK, TOKEN_COUNTS, TOKEN_USAGE, TOTAL_COST_USD, TOTAL_TOKEN_USAGE, TRACE_ID,
    UNFINISHED_TASKS, UNPRICED_CALLS, WAITING_FOR, WRITERS, is_reserved,
};
use super::usage_delta::Spending;
use super::writers::Writers;
use super::{
    AgentState, AgentStatus, Attempt, Budget, CallError, ErrorMessage, Item, ModelUsage,
    OverallStatus, PreviousRun, SessionId, SharedAgent, TaskId, Timestamp, TokenUsage, TotalCost,
    Value, WaitingFor, WorkflowStatus,
};

/// The longest word of an older writer that is kept, in bytes. A longer one is cut.
const MAX_WORD_BYTES: usize = 64;

impl WorkflowStatus {
    /// Reads a document from the attributes of an item.
    ///
    /// This never fails, even for items of older writers: an attribute that is missing or has
    /// another type counts as absent. A top-level map with a `status` is an agent, whatever its word,
    /// unless that is unknown and nothing beside it is an agent's.
    /// Any other string or number that is not one of the item's own attributes is a caller's
    /// attribute.
    ///
    /// Where an older writer has spelled the time of creation `created_at`, that is read. A time
    /// that the item does not have is the Unix epoch.
    #[must_use]
    pub fn from_item(session_id: &SessionId, item: &Item) -> Self {
        let time = |name| item.get(name).and_then(Value::as_str)?.parse::<Timestamp>().ok();
        let absent = Timestamp::from_millis(0);
        let by_other_name = match time(CREATED_AT) {
            Some(_) => None,
            None => time(CREATED_AT_OF_OTHERS),
        };
        let created_at = time(CREATED_AT).or(by_other_name).unwrap_or(absent);
        let mut status = Self::new(session_id.clone(), created_at);
        status.last_updated = time(LAST_UPDATED).unwrap_or(absent);
        status.overall_status = OverallStatus::Pending;
        let mut attributes = Vec::new();
        for (name, value) in item.iter() {
            match (name, value) {
                (CORRELATION_ID, Value::String(id)) => status.correlation_id = Some(id.clone()),
                (ERROR, Value::String(text)) => status.error = Some(ErrorMessage::new(text)),
                (OVERALL_STATUS, Value::String(text)) => {
                    (status.overall_status, status.other_status) = overall_status(text);
                }
                (UNFINISHED_TASKS, Value::List(ids)) => {
                    let ids = ids.iter().filter_map(|id| TaskId::new(id.as_str()?));
                    status.unfinished_tasks = ids.take(Self::MAX_UNFINISHED_TASKS).collect();
                }
                (EXPIRES_AT, number) => {
                    let secs = number.as_u64().map(|at| i64::try_from(at).unwrap_or(i64::MAX));
                    status.expires_at =
                        secs.map(|at| Timestamp::from_millis(at.saturating_mul(1000)));
                }
                (COMPLETED_AT, Value::String(at)) => status.completed_at = at.parse().ok(),
                (TRACE_ID, Value::String(id)) => status.trace_id = Some(id.as_str().into()),
                (PREVIOUS_RUN, Value::Map(run)) => {
                    status.previous_run = Some(Box::new(PreviousRun::from_item(run)));
                }
                (REVISION, number) => status.revision = number.as_u64().unwrap_or(0),
                (WRITERS, Value::Map(writers)) => status.writers = Writers::from_item(writers),
                (CREATED_AT_OF_OTHERS, _) if by_other_name.is_some() => {}
                (name, _) if is_reserved(name) => {}
                (name, Value::Map(map)) => {
                    if let Some(agent) = AgentStatus::from_item(map) {
                        status.agents.push((name.into(), SharedAgent::new(agent)));
                    }
                }
                (_, Value::List(_)) => {}
                (name, value) => {
                    attributes.push((name.to_owned(), value.clone()));
                }
            }
        }
        status.attributes = attributes.into_iter().collect();
        status.budget = Budget::from_item(item).map(Box::new);
        status
    }
}

impl AgentStatus {
    pub(super) fn from_item(item: &Item) -> Option<Self> {
        let text = |name| item.get(name).and_then(Value::as_str);
        let time = |name| text(name)?.parse::<Timestamp>().ok();
        let mut agent = Self::pending(text(ACTIVITY).unwrap_or_default().into());
        (agent.state, agent.other_state) = agent_state(text(AGENT_STATUS)?);
        if agent.state == AgentState::Other && !may_be_agent(item) {
            return None;
        }
        if agent.state == AgentState::InProgress {
            agent.waiting_for = text(WAITING_FOR).and_then(waiting_for);
            agent.task_id =
                text(TASK_ID).and_then(TaskId::new).filter(|_| agent.waiting_for.is_some());
        }
        agent.started_at = time(STARTED_AT);
        agent.completed_at = time(COMPLETED_AT);
        agent.last_updated = time(LAST_UPDATED).or(agent.completed_at).or(agent.started_at);
        let usage = item.get(TOKEN_USAGE).and_then(Value::as_map);
        agent.usage = usage.and_then(TokenUsage::from_item).into();
        if let Some(message) = text(ERROR)
            && matches!(agent.state, AgentState::Error | AgentState::Other)
        {
            let class = text(ERROR_TYPE).unwrap_or(CallError::AGENT).to_owned();
            agent.error = Some(Box::new(CallError::new(Cow::Owned(class), message)));
        }
        if agent.started_at.is_none() || agent.completed_at.is_none() {
            agent.recorded_duration = item.get(DURATION).and_then(seconds).map(Box::new);
        }
        agent.calls = item.get(CALLS).and_then(Value::as_u64).unwrap_or(0);
        agent.model = text(MODEL).map(Into::into);
        agent.finish_reason = text(FINISH_REASON).map(Into::into);
        agent.time_to_first_chunk = item.get(TIME_TO_FIRST_CHUNK).and_then(seconds);
        let models = item.get(MODELS).and_then(Value::as_map).into_iter().flat_map(Item::iter);
        let models =
            models.filter_map(|(model, usage)| ModelUsage::from_item(model, usage.as_map()?));
        let spending = Spending {
            cost: TotalCost::from_item(item, COST_USD),
            models: models.take(ModelUsage::MAX).collect(),
        };
        agent.spending = (spending != Spending::default()).then(|| Box::new(spending));
        let attempts = item.get(ATTEMPTS).and_then(Value::as_list).unwrap_or_default().iter();
        agent.attempts =
            attempts.filter_map(|attempt| Attempt::from_item(attempt.as_map()?)).collect();
        let extra = item.iter().filter(|(name, _)| !AGENT_ATTRIBUTES.contains(name));
        let extra: Item = extra.map(|(name, value)| (name.to_owned(), value.clone())).collect();
        agent.extra = (!extra.is_empty()).then(|| Arc::new(extra));
        Some(agent)
    }
}

impl PreviousRun {
    fn from_item(item: &Item) -> Self {
        let text = |name| item.get(name).and_then(Value::as_str);
        let time = |name| text(name)?.parse::<Timestamp>().ok();
        let (overall_status, other_status) =
            overall_status(text(OVERALL_STATUS).unwrap_or_default());
        let usage = item.get(TOTAL_TOKEN_USAGE).and_then(Value::as_map);
        Self {
            overall_status,
            other_status,
            error: text(ERROR).map(ErrorMessage::new),
            created_at: time(CREATED_AT).unwrap_or(Timestamp::from_millis(0)),
            completed_at: time(COMPLETED_AT),
            total_token_usage: usage
                .and_then(TokenUsage::from_item)
                .unwrap_or(TokenUsage::new(0, 0)),
            total_cost: TotalCost::from_item(item, TOTAL_COST_USD),
        }
    }
}

/// The attributes of an agent that the document has fields for.
const AGENT_ATTRIBUTES: [&str; 19] = [
    AGENT_STATUS,
    ACTIVITY,
    WAITING_FOR,
    TASK_ID,
    STARTED_AT,
    COMPLETED_AT,
    LAST_UPDATED,
    DURATION,
    TOKEN_USAGE,
    ERROR,
    ERROR_TYPE,
    CALLS,
    MODEL,
    FINISH_REASON,
    TIME_TO_FIRST_CHUNK,
    COST_USD,
    UNPRICED_CALLS,
    MODELS,
    ATTEMPTS,
];

impl TokenUsage {
    pub(super) fn from_item(item: &Item) -> Option<Self> {
        let count = |name| item.get(name).and_then(Value::as_u64);
        let usage = Self::from_counts(TOKEN_COUNTS.map(count));
        (!usage.is_empty()).then_some(usage)
    }
}

pub(super) fn seconds(value: &Value) -> Option<Duration> {
    match value {
        Value::Integer(seconds) => Some(Duration::from_secs(*seconds)),
        Value::Float(seconds) => Duration::try_from_secs_f64(*seconds).ok(),
        _ => None,
    }
}

fn overall_status(text: &str) -> (OverallStatus, Option<Arc<str>>) {
    use OverallStatus::{Completed, Failed, Initializing, Other, Pending, Processing};
    let known = [Pending, Initializing, Processing, Completed, Failed];
    match known.into_iter().find(|status| status.as_str() == text) {
        Some(status) => (status, None),
        None if text.trim().is_empty() => (Pending, None),
        None => (Other, Some(word(text))),
    }
}

fn agent_state(text: &str) -> (AgentState, Option<Arc<str>>) {
    use AgentState::{Error, InProgress, Other, Pending, Success};
    let known = [Pending, InProgress, Success, Error];
    match known.into_iter().find(|state| state.as_str() == text) {
        Some(state) => (state, None),
        None => match text {
            "loading" => (InProgress, None),
            "completed" => (Success, None),
            _ if text.trim().is_empty() => (Pending, None),
            _ => (Other, Some(word(text))),
        },
    }
}

/// Whether a map may be an agent. One with a status of its own kind and nothing that an agent has,
/// such as `{"status": "archived", "owner": "ops"}`, is something else.
fn may_be_agent(item: &Item) -> bool {
    let is_of_agents =
        |name: &str| name == SUB_STEPS || name != AGENT_STATUS && AGENT_ATTRIBUTES.contains(&name);
    item.len() == 1 || item.iter().any(|(name, _)| is_of_agents(name))
}

/// An older writer's word, as it is.
fn word(text: &str) -> Arc<str> {
    let mut word = text.to_owned();
    shorten(&mut word, MAX_WORD_BYTES);
    word.into()
}

fn waiting_for(text: &str) -> Option<WaitingFor> {
    use WaitingFor::{Authorization, Input, Task};
    [Task, Input, Authorization].into_iter().find(|waiting_for| waiting_for.as_str() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_waits_is_read_as_it_was_written() {
        let id = SessionId::new("s").unwrap();
        let mut status = WorkflowStatus::new(id.clone(), Timestamp::from_millis(1_766_570_400_000));
        let tasks = (0..WorkflowStatus::MAX_UNFINISHED_TASKS).map(|n| format!("task-{n}"));
        status.unfinished_tasks = tasks.filter_map(|id| TaskId::new(&id)).collect();
        for waiting_for in [WaitingFor::Task, WaitingFor::Input, WaitingFor::Authorization] {
            let mut agent = AgentStatus::pending("".into());
            agent.state = AgentState::InProgress;
            agent.waiting_for = Some(waiting_for);
            agent.task_id = TaskId::new("task-1");
            status.agents = vec![("a".into(), SharedAgent::new(agent))];
            let item = status.to_item();
            let agent = item.get("a").unwrap().as_map().unwrap();
            assert_eq!(agent.get("waitingFor"), Some(&Value::from(waiting_for.as_str())));
            assert_eq!(agent.get("taskId"), Some(&Value::from("task-1")));
            let read = WorkflowStatus::from_item(&id, &item);
            assert_eq!(read.agent("a"), status.agent("a"));
            assert_eq!(read.unfinished_tasks, status.unfinished_tasks);
        }
    }

    #[test]
    fn only_an_agent_in_progress_waits() {
        let read = |status: &str, waiting_for: &str| {
            let mut item = Item::new();
            item.insert(AGENT_STATUS, status);
            item.insert(WAITING_FOR, waiting_for);
            item.insert(TASK_ID, "task-1");
            let agent = AgentStatus::from_item(&item).unwrap();
            (agent.waiting_for, agent.task_id)
        };
        assert_eq!(read("in-progress", "input"), (Some(WaitingFor::Input), TaskId::new("task-1")));
        assert_eq!(read("in-progress", "rain"), (None, None));
        assert_eq!(read("success", "input"), (None, None));
    }

    #[test]
    fn a_duration_without_its_times_is_read() {
        let given = |status: &str, duration: Value| {
            let mut item = Item::new();
            item.insert(AGENT_STATUS, status);
            item.insert(COMPLETED_AT, "2025-12-24T10:00:17.000Z");
            item.insert(DURATION, duration);
            AgentStatus::from_item(&item).unwrap()
        };
        let agent = given("success", Value::Integer(17));
        assert_eq!(agent.duration(), Some(Duration::from_secs(17)));
        assert_eq!(agent.to_item().get(DURATION), Some(&Value::Float(17.0)));
        let agent = given("error", Value::Float(0.25));
        assert_eq!(agent.duration(), Some(Duration::from_millis(250)));
        for value in [Value::Float(-1.0), Value::Float(f64::MAX), Value::from("17")] {
            assert_eq!(given("success", value).duration(), None);
        }
        assert_eq!(given("in-progress", Value::Integer(17)).duration(), None);
    }

    fn item(attributes: &[(&str, Value)]) -> Item {
        attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    fn read(item: &Item) -> WorkflowStatus {
        WorkflowStatus::from_item(&SessionId::new("s").unwrap(), item)
    }

    #[test]
    fn an_agent_is_there_whatever_its_word() {
        let start = "2025-12-24T10:00:00.000Z";
        for (word, state, shown) in [
            ("pending", AgentState::Pending, "pending"),
            ("loading", AgentState::InProgress, "in-progress"),
            ("in-progress", AgentState::InProgress, "in-progress"),
            ("completed", AgentState::Success, "success"),
            ("success", AgentState::Success, "success"),
            ("error", AgentState::Error, "error"),
            ("warning", AgentState::Other, "warning"),
            ("info", AgentState::Other, "info"),
            ("stopped", AgentState::Other, "stopped"),
            ("Läuft noch", AgentState::Other, "Läuft noch"),
            ("other", AgentState::Other, "other"),
            ("", AgentState::Pending, "pending"),
        ] {
            let map = item(&[
                (AGENT_STATUS, word.into()),
                (ACTIVITY, "Reading".into()),
                (STARTED_AT, start.into()),
                (COMPLETED_AT, "2025-12-24T10:00:05.000Z".into()),
                (ERROR, "a page is missing".into()),
            ]);
            let status = read(&item(&[("a", map.into())]));
            let agent = status.agent("a").unwrap();
            assert_eq!((agent.state, agent.state_text()), (state, shown), "{word}");
            assert_eq!(agent.other_state.is_some(), state == AgentState::Other, "{word}");
            assert_eq!(&*agent.activity, "Reading", "{word}");
            assert_eq!(agent.started_at.unwrap().to_string(), start, "{word}");
            assert_eq!(agent.duration(), Some(Duration::from_secs(5)), "{word}");
            let has_error = matches!(state, AgentState::Error | AgentState::Other);
            assert_eq!(agent.error.is_some(), has_error, "{word}");
            let written = status.to_item().get("a").unwrap().as_map().unwrap().clone();
            assert_eq!(written.get(AGENT_STATUS), Some(&Value::from(shown)), "{word}");
        }
        let bare = item(&[(AGENT_STATUS, "stopped".into())]);
        let something_else = item(&[(AGENT_STATUS, "archived".into()), ("owner", "ops".into())]);
        let status = read(&item(&[("a", bare.into()), ("b", something_else.into())]));
        assert_eq!(status.agents().map(|(name, _)| name).collect::<Vec<_>>(), ["a"]);
        let long = item(&[(AGENT_STATUS, "ä".repeat(100).into())]);
        let status = read(&item(&[("a", long.into())]));
        assert_eq!(status.agent("a").unwrap().state_text(), format!("{}…", "ä".repeat(30)));
    }

    #[test]
    fn a_workflow_has_the_word_of_its_item_and_stalls_only_with_a_heartbeat() {
        use OverallStatus::{Completed, Failed, Initializing, Other, Pending, Processing};
        for (word, state, has_heartbeat) in [
            (Some("pending"), Pending, false),
            (None, Pending, false),
            (Some(" "), Pending, false),
            (Some("initializing"), Initializing, true),
            (Some("processing"), Processing, true),
            (Some("completed"), Completed, false),
            (Some("failed"), Failed, false),
            (Some("archived"), Other, false),
        ] {
            for revision in [0, 7] {
                let mut item = item(&[(LAST_UPDATED, "2025-12-24T10:00:00.000Z".into())]);
                if let Some(word) = word {
                    item.insert(OVERALL_STATUS, word);
                }
                if revision > 0 {
                    item.insert(REVISION, revision);
                }
                let status = read(&item);
                let shown = word.map(str::trim).filter(|w| !w.is_empty()).unwrap_or("pending");
                assert_eq!((status.overall_status, status.status_text()), (state, shown));
                assert_eq!(status.other_status.is_some(), state == Other, "{word:?}");
                let later = status.last_updated.saturating_add(Duration::from_secs(3_600));
                let is_stalled = status.is_stalled(later, Duration::from_secs(30));
                assert_eq!(is_stalled, has_heartbeat && revision > 0, "{word:?} {revision}");
                assert_eq!(status.to_item().get(OVERALL_STATUS), Some(&Value::from(shown)));
            }
        }
    }

    #[test]
    fn a_time_that_the_item_does_not_have_is_not_made_up() {
        let (early, late) = ("2025-12-24T10:00:00.000Z", "2025-12-24T11:00:00.000Z");
        let times = |attributes: &[(&str, &str)]| {
            let attributes: Vec<_> =
                attributes.iter().map(|(name, time)| (*name, Value::from(*time))).collect();
            let status = read(&item(&attributes));
            let text = |time: Timestamp| (time.as_millis() != 0).then(|| time.to_string());
            let written = status.to_item();
            for (name, time) in
                [(CREATED_AT, status.created_at), (LAST_UPDATED, status.last_updated)]
            {
                assert_eq!(written.get(name), text(time).map(Value::from).as_ref());
            }
            (text(status.created_at), text(status.last_updated), status.attributes.len())
        };
        let some = |time: &str| Some(time.to_owned());
        assert_eq!(times(&[(LAST_UPDATED, late)]), (None, some(late), 0));
        assert_eq!(times(&[(CREATED_AT, early)]), (some(early), None, 0));
        assert_eq!(times(&[("created_at", early)]), (some(early), None, 0));
        assert_eq!(times(&[("created_at", "soon")]), (None, None, 1));
        let both = [(CREATED_AT, early), ("created_at", late), (LAST_UPDATED, late)];
        assert_eq!(times(&both), (some(early), some(late), 1));
        let spoiled = [(CREATED_AT, "never"), ("created_at", early)];
        assert_eq!(times(&spoiled), (some(early), None, 0));
        assert_eq!(times(&[]), (None, None, 0));
    }

    #[test]
    fn agents_whose_start_is_lost_are_ordered_by_their_end() {
        let agent = |attributes: &[(&str, Value)]| {
            let mut map = item(attributes);
            map.insert(AGENT_STATUS, "success");
            Value::Map(map)
        };
        let at = |minute: u32| Value::from(format!("2025-12-24T10:{minute:02}:00.000Z"));
        let status = read(&item(&[
            ("b", agent(&[])),
            ("a", agent(&[])),
            ("d", agent(&[(COMPLETED_AT, at(1))])),
            ("c", agent(&[(COMPLETED_AT, at(9)), (DURATION, Value::Integer(420))])),
            ("e", agent(&[(STARTED_AT, at(3)), (COMPLETED_AT, at(4))])),
        ]));
        let names: Vec<_> = status.agents_by_start().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["d", "c", "e", "a", "b"]);
    }
}
