//! [`WorkflowStatus`] and [`AgentStatus`]: the status document of a workflow.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::attempt::Attempts;
use super::fit::shorten;
use super::usage_delta::Spending;
use super::{
    Budget, CallError, ErrorMessage, Item, SessionId, TaskId, Timestamp, TokenUsage, TotalCost,
    Value, WaitingFor, Writers, finish_reason,
};

/// The state of a workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OverallStatus {
    /// Nothing has begun: an older writer has made the item, or the item does not say.
    Pending,
    /// It was started, and no agent has been called yet.
    Initializing,
    /// An agent has been called.
    Processing,
    /// It ended successfully.
    Completed,
    /// It failed.
    Failed,
    /// An older writer's word, which is [`WorkflowStatus::other_status`]. Whether it is an end is not
    /// known.
    Other,
}

impl OverallStatus {
    /// Returns the spelling used in the table, or `other`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Initializing => "initializing",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Other => "other",
        }
    }

    /// Returns `true` if the workflow has ended: completed or failed.
    #[must_use]
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }
}

impl fmt::Display for OverallStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The state of an agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AgentState {
    /// It has not been called yet.
    #[default]
    Pending,
    /// A call is in flight, or the agent [waits](AgentStatus::waiting_for) for a task that its
    /// last call left unfinished.
    InProgress,
    /// Its last call, or the last group of overlapping calls, succeeded.
    Success,
    /// Its last call, or one of the last group of overlapping calls, failed.
    Error,
    /// An older writer's word, which is [`AgentStatus::other_state`]. Whether the agent has ended is
    /// not known.
    Other,
}

impl AgentState {
    /// Returns the spelling used in the table, or `other`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InProgress => "in-progress",
            Self::Success => "success",
            Self::Error => "error",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for AgentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The activity text of an agent in each state; and the model that was declared for it, since all who
/// have the one need the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Activities {
    pub(crate) pending: Arc<str>,
    pub(crate) in_progress: Arc<str>,
    pub(crate) success: Arc<str>,
    pub(crate) error: Arc<str>,
    pub(crate) model: Option<Arc<str>>,
}

impl Activities {
    /// The text for a state.
    pub(crate) fn of(&self, state: AgentState) -> &Arc<str> {
        match state {
            // An older writer's word has an older writer's text.
            AgentState::Pending | AgentState::Other => &self.pending,
            AgentState::InProgress => &self.in_progress,
            AgentState::Success => &self.success,
            AgentState::Error => &self.error,
        }
    }
}

/// The longest activity text, in bytes.
pub(crate) const MAX_ACTIVITY_BYTES: usize = 512;

/// An activity text, cut to [`MAX_ACTIVITY_BYTES`].
pub(crate) fn activity(text: impl Into<String>) -> Arc<str> {
    let mut text = text.into();
    shorten(&mut text, MAX_ACTIVITY_BYTES);
    text.into()
}

impl Default for Activities {
    fn default() -> Self {
        Self {
            pending: "Waiting".into(),
            in_progress: "In progress".into(),
            success: "Complete".into(),
            error: "Failed".into(),
            model: None,
        }
    }
}

/// The state of one agent of a workflow.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AgentStatus {
    /// The state of the agent.
    pub state: AgentState,
    /// An older writer's word for its state, cut to 64 bytes; absent unless that is
    /// [`AgentState::Other`].
    pub other_state: Option<Arc<str>>,
    /// What it is doing, as text for people.
    pub activity: Arc<str>,
    /// What it waits for, if it has answered and has not finished; absent unless the state is
    /// [`AgentState::InProgress`], and while a call that may change it is in flight.
    pub waiting_for: Option<WaitingFor>,
    /// The id of the task that it waits for, if its answer had one.
    pub task_id: Option<TaskId>,
    /// When its first call started.
    pub started_at: Option<Timestamp>,
    /// When its last call ended; absent while a call is in flight.
    pub completed_at: Option<Timestamp>,
    /// The tokens of all its calls, as far as they reported any.
    pub token_usage: Option<TokenUsage>,
    /// The reason for its failure; absent unless the state is [`AgentState::Error`], or
    /// [`AgentState::Other`] with an error beside it.
    pub error: Option<CallError>,
    /// The number of its calls that have ended.
    pub calls: u64,
    /// The model that answered its last call that named one, or else the one that was
    /// [declared](crate::Agent::model) for it. At most 128 bytes.
    pub model: Option<Arc<str>>,
    /// Why the model stopped in its last call that has ended, as the provider spells it: `stop`,
    /// `length`, `content_filter`. Of several reasons, the first that is not a
    /// [normal one](Self::stopped_normally).
    pub finish_reason: Option<Arc<str>>,
    /// How long the first piece of the body took in its last call that has ended, if that was a
    /// stream.
    pub time_to_first_chunk: Option<Duration>,
    /// When this last changed, or its call in flight was last known to be alive.
    pub last_updated: Option<Timestamp>,
    /// What its calls have cost, and the shares of its models. Absent if there is neither.
    pub(super) spending: Option<Box<Spending>>,
    pub(super) attempts: Attempts,
    /// The duration in an item that lacks one of the two times.
    pub(crate) recorded_duration: Option<Duration>,
    /// Other attributes in the agent's map, which an older writer has put there, such as `subSteps`.
    pub(crate) extra: Option<Arc<Item>>,
}

impl AgentStatus {
    pub(crate) fn pending(activity: Arc<str>) -> Self {
        Self {
            state: AgentState::Pending,
            other_state: None,
            activity,
            waiting_for: None,
            task_id: None,
            started_at: None,
            completed_at: None,
            token_usage: None,
            error: None,
            calls: 0,
            model: None,
            finish_reason: None,
            time_to_first_chunk: None,
            spending: None,
            attempts: Attempts::default(),
            last_updated: None,
            recorded_duration: None,
            extra: None,
        }
    }

    /// Returns its state as the item has it: the spelling of [`state`](Self::state), or another
    /// writer's word.
    #[must_use]
    pub fn state_text(&self) -> &str {
        match (self.state, &self.other_state) {
            (AgentState::Other, Some(word)) => word,
            (state, _) => state.as_str(),
        }
    }

    /// When its first call started, as far as the item tells: a writer that has lost the start may
    /// have left the end and the duration, or the end alone.
    fn began_at(&self) -> Option<Timestamp> {
        let ended = self.completed_at;
        let duration = self.recorded_duration.unwrap_or_default();
        self.started_at.or_else(|| ended.map(|ended| ended.saturating_sub(duration)))
    }

    /// Whether calls of the agent have ended it.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state, AgentState::Success | AgentState::Error) && !self.ended_with_workflow()
    }

    /// Whether only the end of its workflow has ended the agent.
    pub(crate) fn ended_with_workflow(&self) -> bool {
        let ends = [CallError::WORKFLOW_ENDED, CallError::UNFINISHED];
        self.error.as_ref().is_some_and(|error| ends.contains(&&*error.class))
    }

    /// Its state has changed. The time is later than the one before, also if that comes from a
    /// process whose clock is ahead: so it tells in which order the states came.
    #[inline]
    pub(crate) fn touch(&mut self, now: Timestamp) {
        match self.last_updated {
            Some(last) if last > now => self.touch_after(Some(last)),
            _ => self.last_updated = Some(now),
        }
    }

    /// Its state is newer than one of this time.
    #[cold]
    pub(crate) fn touch_after(&mut self, other: Option<Timestamp>) {
        if other >= self.last_updated {
            let after = |other: Timestamp| other.saturating_add(Duration::from_millis(1));
            self.last_updated = other.map(after);
        }
    }

    /// Keeps what its calls have used, and what other writers have put into its map.
    pub(crate) fn keep_usage(&mut self, before: Self) {
        self.calls = before.calls;
        self.model = before.model;
        self.token_usage = before.token_usage;
        self.spending = before.spending;
        self.attempts = before.attempts;
        self.extra = before.extra;
    }

    /// The agent has ended, or is called anew.
    #[inline]
    pub(crate) fn wait_no_more(&mut self) {
        if self.waiting_for.is_some() || self.other_state.is_some() {
            self.drop_words();
        }
    }

    #[cold]
    fn drop_words(&mut self) {
        self.waiting_for = None;
        self.task_id = None;
        self.other_state = None;
    }

    /// Returns `true` if the model has stopped because it was done, or to have a tool called; also if no
    /// reason is known.
    #[must_use]
    pub fn stopped_normally(&self) -> bool {
        self.finish_reason
            .as_deref()
            .is_none_or(|reason| finish_reason::is_normal(reason.as_bytes()))
    }

    /// Returns the time from the start of the first call to the end of the last one, or
    /// `None` while a call is in flight.
    ///
    /// An item from an older writer may have a duration without both times; then that duration
    /// is returned.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        use AgentState::{Error, Other, Success};
        let has_ended = matches!(self.state, Success | Error | Other);
        match (self.started_at, self.completed_at) {
            (Some(start), Some(end)) => Some(end.duration_since(start)),
            _ => self.recorded_duration.filter(|_| has_ended),
        }
    }
}

/// The status document of a workflow: what the table holds under its session id.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct WorkflowStatus {
    /// The session id, which is the key of the item.
    pub session_id: SessionId,
    /// The id of the workflow in other systems.
    pub correlation_id: Option<String>,
    /// Attributes set by the caller, such as `documentId`.
    pub attributes: BTreeMap<String, Value>,
    /// The state of the workflow.
    pub overall_status: OverallStatus,
    /// An older writer's word for the state of the workflow, cut to 64 bytes; absent unless that is
    /// [`OverallStatus::Other`].
    pub other_status: Option<Arc<str>>,
    /// The reason for its failure.
    pub error: Option<ErrorMessage>,
    /// When it completed or failed. `None` if it has not, or if an older writer's item does not say.
    pub completed_at: Option<Timestamp>,
    /// The id of the distributed trace that the workflow belongs to: 32 hexadecimal digits, as in the
    /// header `traceparent`.
    pub trace_id: Option<Arc<str>>,
    /// The limits on what the workflow may use, if it has any, and whether it has gone over one.
    pub budget: Option<Box<Budget>>,
    /// What is kept of the run that this one replaced, if it replaced one.
    pub previous_run: Option<Box<PreviousRun>>,
    /// When it started; the Unix epoch if an older writer's item does not say.
    pub created_at: Timestamp,
    /// When this last changed, or the workflow was last known to be alive; the Unix epoch if another
    /// writer's item does not say.
    pub last_updated: Timestamp,
    /// When the table may delete it, in whole seconds: after its
    /// [retention](crate::StatusTrackerBuilder::retention), and ahead of each write. `None` if the
    /// item has no expiry.
    pub expires_at: Option<Timestamp>,
    /// The ids of tasks that calls of this session left unfinished, the newest last, and at most
    /// [`MAX_UNFINISHED_TASKS`](Self::MAX_UNFINISHED_TASKS). The tokens of a GET count only if its
    /// answer has one of these ids.
    pub unfinished_tasks: Vec<TaskId>,
    /// Rises with each write of the item; 0 if an older writer wrote it, since those keep none.
    pub revision: u64,
    pub(crate) writers: Writers,
    pub(crate) agents: Vec<(Arc<str>, AgentStatus)>,
}

impl WorkflowStatus {
    /// How many [unfinished tasks](Self::unfinished_tasks) an item remembers.
    pub const MAX_UNFINISHED_TASKS: usize = 16;

    pub(crate) fn new(session_id: SessionId, now: Timestamp) -> Self {
        Self {
            session_id,
            correlation_id: None,
            attributes: BTreeMap::new(),
            overall_status: OverallStatus::Initializing,
            other_status: None,
            error: None,
            completed_at: None,
            trace_id: None,
            budget: None,
            previous_run: None,
            created_at: now,
            last_updated: now,
            expires_at: None,
            unfinished_tasks: Vec::new(),
            revision: 0,
            writers: Writers::default(),
            agents: Vec::new(),
        }
    }

    /// Returns the state of the workflow as the item has it: the spelling of
    /// [`overall_status`](Self::overall_status), or an older writer's word.
    #[must_use]
    pub fn status_text(&self) -> &str {
        match (self.overall_status, &self.other_status) {
            (OverallStatus::Other, Some(word)) => word,
            (status, _) => status.as_str(),
        }
    }

    /// When the run ended, if it has. An item without that time ended when it last changed.
    pub(crate) fn ended_at(&self) -> Option<Timestamp> {
        let ended = self.completed_at.unwrap_or(self.last_updated);
        self.overall_status.is_finished().then_some(ended)
    }

    /// Returns an agent by its name.
    #[must_use]
    pub fn agent(&self, name: &str) -> Option<&AgentStatus> {
        self.agents().find(|(known, _)| *known == name).map(|(_, agent)| agent)
    }

    /// Iterates over the agents with their names, in the order in which they were declared or
    /// first called; in a document read from a table, ordered by name.
    pub fn agents(&self) -> impl Iterator<Item = (&str, &AgentStatus)> {
        self.agents.iter().map(|(name, agent)| (&**name, agent))
    }

    /// Returns the agents with their names in the order in which they started, followed by those
    /// that have not, by name. Where an item has lost the start of an agent, its end tells, less its
    /// duration.
    #[must_use]
    pub fn agents_by_start(&self) -> Vec<(&str, &AgentStatus)> {
        let mut agents: Vec<_> = self.agents().collect();
        agents.sort_by_cached_key(|(name, agent)| {
            let began_at = agent.began_at();
            (began_at.is_none(), began_at, *name)
        });
        agents
    }

    /// Returns `true` if the workflow has not finished and has missed three heartbeats of
    /// this length (30 s unless
    /// [set otherwise](crate::StatusTrackerBuilder::heartbeat_interval)).
    ///
    /// Its process has ended, or cannot reach the table. There is no heartbeat between the
    /// calls of a session that no process holds open, so such a session looks stalled too. A
    /// workflow that [waits](Self::is_waiting) is never stalled: its work goes on elsewhere. Nor is
    /// one that is [pending](OverallStatus::Pending), in a state that is
    /// [not known](OverallStatus::Other), or without a [`revision`](Self::revision): writers that
    /// keep none have no heartbeat.
    #[must_use]
    pub fn is_stalled(&self, now: Timestamp, heartbeat: Duration) -> bool {
        use OverallStatus::{Initializing, Processing};
        matches!(self.overall_status, Initializing | Processing)
            && self.revision > 0
            && self.last_updated.as_millis() != 0
            && now.duration_since(self.last_updated) >= heartbeat.saturating_mul(3)
            && !self.is_waiting()
    }

    /// Returns `true` if the workflow is not known to have finished, an agent
    /// [waits](AgentStatus::waiting_for), and no other agent has a call in flight.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        let mut in_progress = self
            .agents
            .iter()
            .filter(|(_, agent)| agent.state == AgentState::InProgress)
            .peekable();
        !self.overall_status.is_finished()
            && in_progress.peek().is_some()
            && in_progress.all(|(_, agent)| agent.waiting_for.is_some())
    }

    /// Returns the sum over the agents. Input, output and total are zero rather than absent
    /// while no agent has reported any.
    ///
    /// The sum is computed on each call, so it always matches its parts.
    #[must_use]
    pub fn total_token_usage(&self) -> TokenUsage {
        self.agents
            .iter()
            .filter_map(|(_, agent)| agent.token_usage.as_ref())
            .fold(TokenUsage::new(0, 0), |total, usage| total.saturating_add(usage))
    }

    /// Returns what the calls of all agents have cost, as far as that is known. It is empty without a
    /// price list.
    ///
    /// The sum is computed on each call, so it always matches its parts.
    #[must_use]
    pub fn total_cost(&self) -> TotalCost {
        let costs = self.agents.iter().map(|(_, agent)| agent.cost());
        costs.fold(TotalCost::default(), |total, cost| total.saturating_add(&cost))
    }
}

/// What is kept of a run of a session after another run has replaced it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PreviousRun {
    /// The state of the workflow when it was replaced.
    pub overall_status: OverallStatus,
    /// An older writer's word for that; absent unless it is [`OverallStatus::Other`].
    pub other_status: Option<Arc<str>>,
    /// The reason for its failure.
    pub error: Option<ErrorMessage>,
    /// When it started; the Unix epoch if its item did not say.
    pub created_at: Timestamp,
    /// When it completed or failed; `None` if it had not.
    pub completed_at: Option<Timestamp>,
    /// The sum over its agents. Input, output and total are zero if no agent reported tokens.
    pub total_token_usage: TokenUsage,
    /// What its calls have cost, as far as that is known.
    pub total_cost: TotalCost,
}

impl PreviousRun {
    pub(crate) fn of(run: &WorkflowStatus) -> Self {
        Self {
            overall_status: run.overall_status,
            other_status: run.other_status.clone(),
            error: run.error.clone(),
            created_at: run.created_at,
            completed_at: run.ended_at(),
            total_token_usage: run.total_token_usage(),
            total_cost: run.total_cost(),
        }
    }

    /// Returns its state as the item has it: the spelling of
    /// [`overall_status`](Self::overall_status), or an older writer's word.
    #[must_use]
    pub fn status_text(&self) -> &str {
        match (self.overall_status, &self.other_status) {
            (OverallStatus::Other, Some(word)) => word,
            (status, _) => status.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workflow_that_waits_is_not_stalled() {
        use AgentState::{InProgress, Pending, Success};
        let start = Timestamp::from_millis(1_766_570_400_000);
        let day = Duration::from_secs(24 * 60 * 60);
        let is = |agents: &[(AgentState, Option<WaitingFor>)], overall_status| {
            let mut status = WorkflowStatus::new(SessionId::new("s").unwrap(), start);
            status.overall_status = overall_status;
            status.revision = 1;
            for (state, waiting_for) in agents {
                let agent = AgentStatus {
                    state: *state,
                    waiting_for: *waiting_for,
                    ..AgentStatus::pending("".into())
                };
                status.agents.push(("a".into(), agent));
            }
            let now = start.saturating_add(day);
            (status.is_waiting(), status.is_stalled(now, Duration::from_secs(30)))
        };
        let waits = (InProgress, Some(WaitingFor::Input));
        let table = [
            (&[waits][..], (true, false)),
            (&[waits, (Success, None), (Pending, None), waits], (true, false)),
            // A call is in flight, or was when its process died.
            (&[waits, (InProgress, None)], (false, true)),
            (&[(InProgress, None)], (false, true)),
            (&[(Success, None)], (false, true)),
            (&[], (false, true)),
        ];
        for (agents, expected) in table {
            assert_eq!(is(agents, OverallStatus::Processing), expected, "{agents:?}");
            assert_eq!(is(agents, OverallStatus::Completed), (false, false), "{agents:?}");
        }
    }
}
