//! [`AgentReport`]: what a caller says of an agent whose calls pass through no layer.

use std::fmt;
use std::sync::Arc;

use super::{AgentState, CallError, TokenUsage};

/// What a caller says of an agent by hand, through
/// [`StatusTracker::update_agent_status`](crate::StatusTracker::update_agent_status).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentReport {
    pub(crate) state: AgentState,
    pub(crate) activity: Option<Arc<str>>,
    pub(crate) token_usage: Option<TokenUsage>,
    pub(crate) error: Option<CallError>,
}

impl AgentReport {
    /// The agent is in this state, with the agent's own text for it.
    #[must_use]
    pub fn new(state: AgentState) -> Self {
        Self { state, activity: None, token_usage: None, error: None }
    }

    /// What is shown, in place of the agent's own text.
    #[must_use]
    pub fn activity(mut self, activity: impl Into<String>) -> Self {
        self.activity = Some(activity.into().into());
        self
    }

    /// Tokens that were used and not told before; they are added to the agent's.
    #[must_use]
    pub fn token_usage(mut self, usage: TokenUsage) -> Self {
        self.token_usage = Some(usage);
        self
    }

    /// Why the agent failed; of use with [`AgentState::Error`] only.
    #[must_use]
    pub fn error(mut self, message: impl fmt::Display) -> Self {
        self.error = Some(CallError::new("agent", message));
        self
    }
}
