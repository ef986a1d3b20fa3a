//! [`WorkflowStatus`] and [`AgentStatus`]: the document of one workflow.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{CallError, ErrorMessage, SessionId, Timestamp, TokenUsage, Value};

/// How far a workflow is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OverallStatus {
    /// It was started, and no agent was called yet.
    Initializing,
    /// Agents are at work.
    Processing,
    /// It ended well.
    Completed,
    /// It ended with a failure.
    Failed,
}

impl OverallStatus {
    /// The spelling in the table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Initializing => "initializing",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }

    /// Whether the workflow has ended.
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

/// How far an agent is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AgentState {
    /// It was not called yet.
    #[default]
    Pending,
    /// A call is in flight.
    InProgress,
    /// Its last call, or group of overlapping calls, ended well.
    Success,
    /// Its last call, or one of the last group of overlapping calls, failed.
    Error,
}

impl AgentState {
    /// The spelling in the table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InProgress => "in-progress",
            Self::Success => "success",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for AgentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is shown beside each state of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Activities {
    pub(crate) pending: Arc<str>,
    pub(crate) in_progress: Arc<str>,
    pub(crate) success: Arc<str>,
    pub(crate) error: Arc<str>,
}

impl Activities {
    /// The text of this state.
    pub(crate) fn of(&self, state: AgentState) -> &Arc<str> {
        match state {
            AgentState::Pending => &self.pending,
            AgentState::InProgress => &self.in_progress,
            AgentState::Success => &self.success,
            AgentState::Error => &self.error,
        }
    }
}

impl Default for Activities {
    fn default() -> Self {
        Self {
            pending: "Waiting".into(),
            in_progress: "In progress".into(),
            success: "Complete".into(),
            error: "Failed".into(),
        }
    }
}

/// The state of one agent of a workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AgentStatus {
    /// How far the agent is.
    pub state: AgentState,
    /// What it is doing, for people.
    pub activity: Arc<str>,
    /// When its first call started.
    pub started_at: Option<Timestamp>,
    /// When its last call ended; absent while a call is in flight.
    pub completed_at: Option<Timestamp>,
    /// The tokens of all its calls, as far as they were reported.
    pub token_usage: Option<TokenUsage>,
    /// Why it failed; absent unless the state is [`AgentState::Error`].
    pub error: Option<CallError>,
    /// How many of its calls have ended.
    pub calls: u64,
    /// When any of this last changed, or its running call was last known alive.
    pub last_updated: Option<Timestamp>,
    /// What an item gave as the duration without giving both times.
    pub(crate) recorded_duration: Option<Duration>,
}

impl AgentStatus {
    pub(crate) fn pending(activity: Arc<str>) -> Self {
        Self {
            state: AgentState::Pending,
            activity,
            started_at: None,
            completed_at: None,
            token_usage: None,
            error: None,
            calls: 0,
            last_updated: None,
            recorded_duration: None,
        }
    }

    /// The time from the start of the first call to the end of the last one; absent while
    /// a call is in flight. Of an item that was written by other means and lacks one of
    /// the times, the duration that it gives.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        let has_ended = matches!(self.state, AgentState::Success | AgentState::Error);
        match (self.started_at, self.completed_at) {
            (Some(start), Some(end)) => Some(end.duration_since(start)),
            _ => self.recorded_duration.filter(|_| has_ended),
        }
    }
}

/// The document of one workflow: what the table holds under its session id.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct WorkflowStatus {
    /// The workflow's name and the table's key.
    pub session_id: SessionId,
    /// What the workflow is known by elsewhere.
    pub correlation_id: Option<String>,
    /// Further attributes given by the caller, such as `documentId`.
    pub attributes: BTreeMap<String, Value>,
    /// How far the workflow is.
    pub overall_status: OverallStatus,
    /// Why it failed.
    pub error: Option<ErrorMessage>,
    /// When it was started.
    pub created_at: Timestamp,
    /// When any of this last changed, or the workflow was last known alive.
    pub last_updated: Timestamp,
    /// How many times the item was written; 0 if it was written by other means.
    pub revision: u64,
    /// The number of the last write of each writer, by the writer's id. A writer's numbers
    /// rise, and are taken from its clock: milliseconds since 1970.
    pub writers: BTreeMap<String, u64>,
    pub(crate) agents: Vec<(Arc<str>, AgentStatus)>,
}

impl WorkflowStatus {
    pub(crate) fn new(session_id: SessionId, now: Timestamp) -> Self {
        Self {
            session_id,
            correlation_id: None,
            attributes: BTreeMap::new(),
            overall_status: OverallStatus::Initializing,
            error: None,
            created_at: now,
            last_updated: now,
            revision: 0,
            writers: BTreeMap::new(),
            agents: Vec::new(),
        }
    }

    /// One agent.
    #[must_use]
    pub fn agent(&self, name: &str) -> Option<&AgentStatus> {
        self.agents().find(|(known, _)| *known == name).map(|(_, agent)| agent)
    }

    /// The agents, in the order in which they were declared or first called (in the
    /// order of their names where the document was read from a table).
    pub fn agents(&self) -> impl Iterator<Item = (&str, &AgentStatus)> {
        self.agents.iter().map(|(name, agent)| (&**name, agent))
    }

    /// Whether the workflow has missed three heartbeats of this length (30 s unless
    /// [set](crate::StatusTrackerBuilder::heartbeat_interval)) without having finished: its
    /// process has ended, or cannot reach the table. Between the calls of a session that no
    /// process holds open there is no heartbeat, and it seems stalled too.
    #[must_use]
    pub fn is_stalled(&self, now: Timestamp, heartbeat: Duration) -> bool {
        !self.overall_status.is_finished()
            && now.duration_since(self.last_updated) >= heartbeat.saturating_mul(3)
    }

    /// The sum over the agents; zero where nothing is known yet. It is always computed,
    /// never kept, so that it cannot differ from its parts.
    #[must_use]
    pub fn total_token_usage(&self) -> TokenUsage {
        self.agents
            .iter()
            .filter_map(|(_, agent)| agent.token_usage.as_ref())
            .fold(TokenUsage::new(0, 0), |total, usage| total.saturating_add(usage))
    }
}
