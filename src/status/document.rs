//! [`WorkflowStatus`]: the status document of a workflow.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{
    AgentState, AgentStatus, Attributes, Budget, ErrorMessage, SessionId, SharedAgent, TaskId,
    Timestamp, TokenUsage, TotalCost, Writers,
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
    /// A call has started or ended, so the workflow is no longer initializing.
    #[inline]
    pub(super) fn begin(&mut self) {
        if *self == Self::Initializing {
            *self = Self::Processing;
        }
    }

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

/// The status document of a workflow: what the table holds under its session id.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct WorkflowStatus {
    /// The session id, which is the key of the item.
    pub session_id: SessionId,
    /// The id of the workflow in other systems.
    pub correlation_id: Option<String>,
    /// Attributes set by the caller, such as `documentId`.
    pub attributes: Attributes,
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
    pub(crate) agents: Vec<(Arc<str>, SharedAgent)>,
}

impl WorkflowStatus {
    /// How many [unfinished tasks](Self::unfinished_tasks) an item remembers.
    pub const MAX_UNFINISHED_TASKS: usize = 16;

    pub(crate) fn new(session_id: SessionId, now: Timestamp) -> Self {
        Self {
            session_id,
            correlation_id: None,
            attributes: Attributes::default(),
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
        self.agents.iter().map(|(name, agent)| (&**name, &**agent))
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
            .filter_map(|(_, agent)| agent.token_usage())
            .fold(TokenUsage::new(0, 0), |total, usage| total.saturating_add(&usage))
    }

    /// Returns the cost of the calls of all agents, as far as it is known. It is empty without a price
    /// list.
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
    /// The cost of its calls, as far as it is known.
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
    use crate::status::WaitingFor;

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
                status.agents.push(("a".into(), SharedAgent::new(agent)));
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
