//! [`AgentStatus`]: the state of one agent of a workflow, and the texts that it shows.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::attempt::Attempts;
use super::cut::shorten;
use super::usage_delta::Spending;
use super::{
    CallError, CommonText, Item, TaskId, Timestamp, TokenUsage, UsageSum, WaitingFor, finish_reason,
};

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

/// The activity text of an agent in each state, and the model that was declared for it: whatever uses
/// the one needs the other.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Activities {
    /// The agent before its first call, with its text for that. All documents share it.
    pub(crate) pending: Arc<AgentStatus>,
    pub(crate) in_progress: Arc<str>,
    pub(crate) success: Arc<str>,
    pub(crate) error: Arc<str>,
    pub(crate) model: Option<Arc<str>>,
    /// The model and the finish reason of most calls.
    pub(super) common_model: CommonText,
    pub(super) common_reason: CommonText,
}

/// No agent before its first call has a number that is unequal to itself.
impl Eq for Activities {}

impl Activities {
    /// The text for a state.
    pub(crate) fn of(&self, state: AgentState) -> &Arc<str> {
        match state {
            // An older writer's word has an older writer's text.
            AgentState::Pending | AgentState::Other => &self.pending.activity,
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
            pending: AgentStatus::pending("Waiting".into()).into(),
            in_progress: "In progress".into(),
            success: "Complete".into(),
            error: "Failed".into(),
            model: None,
            common_model: CommonText::default(),
            common_reason: CommonText::default(),
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
    pub(super) usage: UsageSum,
    /// The reason for its failure; absent unless the state is [`AgentState::Error`], or
    /// [`AgentState::Other`] with an error beside it.
    pub error: Option<Box<CallError>>,
    /// The number of its calls that have ended.
    pub calls: u64,
    /// The model of its last call that named one, or else the one that was
    /// [declared](crate::Agent::model) for it. At most 128 bytes.
    pub model: Option<Arc<str>>,
    /// Why the model stopped in its last call that has ended, as the provider spells it: `stop`,
    /// `length`, `content_filter`. If there are several reasons, the first that is not
    /// [normal](Self::stopped_normally).
    pub finish_reason: Option<Arc<str>>,
    /// The time from the start of its last ended call to the first chunk of the body, if that was
    /// a stream.
    pub time_to_first_chunk: Option<Duration>,
    /// When this last changed, or its call in flight was last known to be alive.
    pub last_updated: Option<Timestamp>,
    /// The cost of its calls, and the shares of its models. Absent if there is neither.
    pub(super) spending: Option<Box<Spending>>,
    pub(super) attempts: Attempts,
    /// The duration in an item that lacks one of the two times.
    pub(crate) recorded_duration: Option<Box<Duration>>,
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
            usage: UsageSum::default(),
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

    /// Returns the tokens of all its calls, as far as they reported any.
    #[must_use]
    pub fn token_usage(&self) -> Option<TokenUsage> {
        self.usage.get()
    }

    /// When its first call started, as far as the item tells: a writer that has lost the start may
    /// have left the end and the duration, or the end alone.
    pub(super) fn began_at(&self) -> Option<Timestamp> {
        let ended = self.completed_at;
        let duration = self.recorded_duration.as_deref().copied().unwrap_or_default();
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

    /// Resets it, except for what its calls have used and what other writers have put into its map.
    pub(crate) fn keep_usage(&mut self, before: Self) {
        self.calls = before.calls;
        self.model = before.model;
        self.usage = before.usage;
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

    /// Returns `true` if the model stopped because it was done or to call a tool, or if no reason is
    /// known.
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
            _ => self.recorded_duration.as_deref().copied().filter(|_| has_ended),
        }
    }
}
