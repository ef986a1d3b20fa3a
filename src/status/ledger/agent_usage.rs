//! [`AgentUsage`]: counts what an agent's calls have used.

use std::sync::Arc;

use super::active_calls::ActiveCalls;
use crate::status::usage_delta::UsageDelta;
use crate::status::{AgentStatus, RawText, TokenDelta, TokenUsage, TotalCost};

/// What an agent has used, in the document and in what the table still lacks. The two change together.
pub(super) struct AgentUsage<'a> {
    pub(super) active: &'a mut ActiveCalls,
    pub(super) agent: &'a mut AgentStatus,
    pub(super) unsent: &'a mut UsageDelta,
}

impl AgentUsage<'_> {
    /// Sets the model of the agent to that of a call, or else to the one that was declared for it. Returns
    /// whether the call has one.
    #[inline]
    pub(super) fn set_model(&mut self, model: Option<RawText<'_>>) -> bool {
        let activities = &self.active.activities;
        let declared = || Some(RawText(activities.model.as_ref()?.as_bytes()));
        let common = &activities.common_model;
        model.or_else(declared).is_some_and(|model| self.agent.set_model(model, common))
    }

    /// The model of a call: that of its agent, or none.
    pub(super) fn model_of_call(&self, has_model: bool) -> Option<Arc<str>> {
        self.agent.model.clone().filter(|_| has_model)
    }

    /// Assigns tokens that a call reported before it named its model to this model.
    #[cold]
    pub(super) fn name_model(&mut self, usage: &TokenUsage, has_model: bool) {
        if !has_model {
            return;
        }
        let tokens = usage.as_delta();
        let model = self.model_of_call(has_model);
        // In this order, since a sum stops at zero.
        self.add(&UsageDelta::of_tokens(tokens, model));
        self.add(&UsageDelta::of_tokens(tokens.negated(), None));
    }

    /// Adds tokens of a call.
    #[inline]
    pub(super) fn add_tokens(&mut self, tokens: &TokenDelta, has_model: bool) {
        let (agent, unsent) = (&mut *self.agent, &mut *self.unsent);
        if agent.is_of_one_model(has_model) && unsent.add_tokens(tokens, agent.model.as_ref()) {
            agent.usage.add(tokens);
        } else {
            self.add(&UsageDelta::of_tokens(*tokens, self.model_of_call(has_model)));
        }
    }

    /// Adds the tokens of a call that reported none before its end.
    #[inline]
    pub(super) fn add_call(&mut self, usage: &TokenUsage, has_model: bool) {
        let (agent, unsent) = (&mut *self.agent, &mut *self.unsent);
        if !(agent.is_of_one_model(has_model)
            && unsent.add_call(usage, &mut agent.usage, agent.model.as_ref()))
        {
            self.add(&UsageDelta::of_tokens(usage.as_delta(), self.model_of_call(has_model)));
        }
    }

    #[cold]
    pub(super) fn add_cost(&mut self, cost: &TotalCost, has_model: bool) {
        let delta = UsageDelta::of_tokens(TokenDelta::default(), self.model_of_call(has_model));
        self.add(&delta.with_cost(cost.as_delta()));
    }

    pub(super) fn add(&mut self, delta: &UsageDelta) {
        self.unsent.add(delta);
        self.agent.add_usage(delta);
    }
}
