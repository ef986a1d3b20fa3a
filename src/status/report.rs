//! [`AgentReport`]: the state of an agent whose calls pass through no layer.

use std::fmt;
use std::sync::Arc;

use super::{AgentState, CallError, Cost, MAX_MODEL_BYTES, TokenUsage, TotalCost, activity};

/// The state of an agent, as reported by the caller to
/// [`StatusTracker::update_agent_status`](crate::StatusTracker::update_agent_status).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentReport {
    pub(crate) state: AgentState,
    pub(crate) activity: Option<Arc<str>>,
    pub(crate) token_usage: Option<TokenUsage>,
    pub(crate) error: Option<CallError>,
    pub(crate) model: Option<Box<str>>,
    pub(crate) cost: TotalCost,
}

impl AgentReport {
    /// Reports this state, with the agent's own activity text for it. [`AgentState::Other`] leaves
    /// the state as it is.
    #[must_use]
    pub fn new(state: AgentState) -> Self {
        Self {
            state,
            activity: None,
            token_usage: None,
            error: None,
            model: None,
            cost: TotalCost::default(),
        }
    }

    /// Sets the activity text, in place of the agent's own. It is cut to
    /// [`Agent::MAX_TEXT_BYTES`](crate::Agent::MAX_TEXT_BYTES).
    #[must_use]
    pub fn activity(mut self, text: impl Into<String>) -> Self {
        self.activity = Some(activity(text));
        self
    }

    /// Adds tokens to the agent's usage. Report each token once.
    #[must_use]
    pub fn token_usage(mut self, usage: TokenUsage) -> Self {
        self.token_usage = Some(usage);
        self
    }

    /// Sets the model that used the tokens. Its name has at most 128 bytes; a longer one is left out.
    /// With a price list, the tokens have the price of this model.
    #[must_use]
    pub fn model(mut self, model: &str) -> Self {
        self.model = (1..=MAX_MODEL_BYTES).contains(&model.len()).then(|| model.into());
        self
    }

    /// Sets the cost of the tokens, which takes precedence over the price list.
    #[must_use]
    pub fn cost(mut self, cost: Cost) -> Self {
        self.cost = TotalCost::new(cost);
        self
    }

    /// Sets the reason for the failure. Ignored unless the state is [`AgentState::Error`].
    #[must_use]
    pub fn error(mut self, message: impl fmt::Display) -> Self {
        self.error = Some(CallError::new(CallError::AGENT, message));
        self
    }
}
