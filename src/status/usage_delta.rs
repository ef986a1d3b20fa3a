//! [`UsageDelta`]: the calls, tokens and costs to add to an agent; and the agent's sums by model.
//!
//! Most agents use one model. All that such an agent has used belongs to its `model`, and neither the
//! agent nor a delta keeps anything else. Otherwise, both keep a share for each model:
//!
//! ```text
//! no shares    all tokens and costs belong to `model`, or to an unknown model if it is `None`
//! shares       each is what one model has used; the rest belongs to unknown models
//! ```

use std::sync::Arc;

use super::total_cost::CostDelta;
use super::{AgentStatus, CommonText, RawText, TokenDelta, TokenUsage, TotalCost, UsageSum};

/// The tokens and the cost of one of the models that an agent has used.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ModelUsage {
    /// The model.
    pub model: Arc<str>,
    /// The tokens that it used; `None` if it reported none.
    pub token_usage: Option<TokenUsage>,
    /// Its cost.
    pub cost: TotalCost,
}

impl ModelUsage {
    /// The maximum number of an agent's models with a share. The tokens of others are only in the sum.
    pub(super) const MAX: usize = 8;
}

/// The cost of an agent's calls, and the shares of its models.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Spending {
    pub(super) cost: TotalCost,
    pub(super) models: Vec<ModelUsage>,
}

/// Calls, tokens and costs to add to one agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UsageDelta {
    pub(crate) calls: u64,
    pub(crate) tokens: TokenDelta,
    /// Absent if there is none, as without a price list.
    cost: Option<Box<CostDelta>>,
    model: Option<Arc<str>>,
    shares: Vec<ShareDelta>,
}

/// The share of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ShareDelta {
    model: Arc<str>,
    tokens: TokenDelta,
    cost: CostDelta,
}

impl UsageDelta {
    /// Tokens of a model.
    pub(super) fn of_tokens(tokens: TokenDelta, model: Option<Arc<str>>) -> Self {
        Self { tokens, model, ..Self::default() }
    }

    /// Sets the number of calls.
    pub(super) fn with_calls(mut self, calls: u64) -> Self {
        self.calls = calls;
        self
    }

    /// Sets the cost.
    #[inline]
    pub(super) fn with_cost(mut self, cost: CostDelta) -> Self {
        if !cost.is_empty() {
            self.cost = Some(Box::new(cost));
        }
        self
    }

    /// The difference from `earlier` to `later`.
    pub(super) fn between(earlier: &AgentStatus, later: &AgentStatus) -> Self {
        let usage = |agent: &AgentStatus| agent.token_usage().unwrap_or_default();
        let delta = Self {
            calls: later.calls.saturating_sub(earlier.calls),
            tokens: usage(later).delta_from(&usage(earlier)),
            model: later.model.clone(),
            ..Self::default()
        };
        let mut delta = delta.with_cost(later.cost().delta_from(&earlier.cost()));
        let is_of_one = later.models().is_empty()
            && earlier.models().is_empty()
            && later.model == earlier.model;
        if !is_of_one {
            let before = shares_of(earlier);
            let shares = shares_of(later).into_iter().map(|share| {
                let known = before.iter().find(|known| known.model == share.model);
                let (tokens, cost) = known
                    .map_or((None, TotalCost::default()), |known| (known.token_usage, known.cost));
                ShareDelta {
                    tokens: share
                        .token_usage
                        .unwrap_or_default()
                        .delta_from(&tokens.unwrap_or_default()),
                    cost: share.cost.delta_from(&cost),
                    model: share.model,
                }
            });
            delta.shares = shares.collect();
        }
        delta
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls == 0 && !self.has_amounts() && self.shares.is_empty()
    }

    pub(super) fn cost(&self) -> CostDelta {
        self.cost.as_deref().copied().unwrap_or_default()
    }

    #[inline]
    fn has_amounts(&self) -> bool {
        !self.tokens.is_empty() || self.cost.is_some()
    }

    /// The delta that undoes this one, except for the calls.
    pub(super) fn negated(&self) -> Self {
        let negate = |share: &ShareDelta| ShareDelta {
            model: Arc::clone(&share.model),
            tokens: share.tokens.negated(),
            cost: share.cost.negated(),
        };
        Self {
            calls: 0,
            tokens: self.tokens.negated(),
            cost: self.cost.as_deref().map(|cost| Box::new(cost.negated())),
            model: self.model.clone(),
            shares: self.shares.iter().map(negate).collect(),
        }
    }

    /// The same without its decreases.
    pub(super) fn increases(mut self) -> Self {
        self.tokens = self.tokens.increases();
        self.cost =
            self.cost.map(|cost| Box::new(cost.increases())).filter(|cost| !cost.is_empty());
        for share in &mut self.shares {
            share.tokens = share.tokens.increases();
            share.cost = share.cost.increases();
        }
        self
    }

    /// Adds tokens of a model, if there is no other. Returns whether it did.
    #[inline]
    pub(super) fn add_tokens(&mut self, tokens: &TokenDelta, model: Option<&Arc<str>>) -> bool {
        let is_of_one = self.takes_model(model);
        if is_of_one {
            self.tokens.add(tokens);
        }
        is_of_one
    }

    /// Adds all tokens of a call to this delta and to its agent's sum, if there is no other model.
    /// Returns whether it did.
    #[inline]
    pub(super) fn add_call(
        &mut self,
        usage: &TokenUsage,
        sum: &mut UsageSum,
        model: Option<&Arc<str>>,
    ) -> bool {
        let is_of_one = self.takes_model(model);
        if is_of_one {
            sum.add_to_both(&mut self.tokens, usage);
        }
        is_of_one
    }

    /// Whether all that it has, and what is about to be added to it, belongs to this model.
    #[inline]
    fn takes_model(&mut self, model: Option<&Arc<str>>) -> bool {
        if !self.shares.is_empty() {
            return false;
        }
        let is_same = is_same(self.model.as_ref(), model);
        if !is_same && !self.has_amounts() {
            self.model = model.cloned();
            return true;
        }
        is_same
    }

    #[inline]
    pub(super) fn add(&mut self, other: &Self) {
        self.calls = self.calls.saturating_add(other.calls);
        // Most calls report their tokens once, at their end, or not at all.
        if other.has_amounts() || !other.shares.is_empty() {
            self.add_amounts(other);
        }
    }

    #[inline]
    fn add_amounts(&mut self, other: &Self) {
        let is_of_one = self.shares.is_empty() && other.shares.is_empty();
        if is_of_one && !self.has_amounts() {
            self.model.clone_from(&other.model);
        } else if !(is_of_one && self.model == other.model) {
            self.add_shares(other);
        }
        self.tokens.add(&other.tokens);
        if let Some(cost) = &other.cost {
            self.cost.get_or_insert_default().add(cost);
        }
    }

    #[cold]
    fn add_shares(&mut self, other: &Self) {
        let mut shares = self.shares();
        for more in other.shares() {
            match shares.iter_mut().find(|share| share.model == more.model) {
                Some(share) => {
                    share.tokens.add(&more.tokens);
                    share.cost.add(&more.cost);
                }
                None => shares.push(more),
            }
        }
        self.shares = shares;
    }

    fn shares(&self) -> Vec<ShareDelta> {
        if !self.shares.is_empty() {
            return self.shares.clone();
        }
        let of = |model: &Arc<str>| ShareDelta {
            model: Arc::clone(model),
            tokens: self.tokens,
            cost: self.cost(),
        };
        self.model.iter().filter(|_| self.has_amounts()).map(of).collect()
    }
}

/// Whether these are the same allocation, as equal names nearly always are.
#[inline]
fn is_same(a: Option<&Arc<str>>, b: Option<&Arc<str>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    }
}

/// The shares of an agent's models, even if it has only one.
fn shares_of(agent: &AgentStatus) -> Vec<ModelUsage> {
    match agent.models() {
        [] => {
            let of = |model: &Arc<str>| ModelUsage {
                model: Arc::clone(model),
                token_usage: agent.token_usage(),
                cost: agent.cost(),
            };
            agent.model.iter().filter(|_| agent.has_amounts()).map(of).collect()
        }
        models => models.to_vec(),
    }
}

/// The share of a model, inserted in order if it is new and there is room.
fn share_of<'a>(models: &'a mut Vec<ModelUsage>, model: &Arc<str>) -> Option<&'a mut ModelUsage> {
    match models.binary_search_by(|known| known.model.cmp(model)) {
        Ok(at) => models.get_mut(at),
        Err(_) if models.len() >= ModelUsage::MAX => None,
        Err(at) => {
            let (model, cost) = (Arc::clone(model), TotalCost::default());
            models.insert(at, ModelUsage { model, token_usage: None, cost });
            models.get_mut(at)
        }
    }
}

impl AgentStatus {
    /// Returns the cost of its calls, as far as it is known. It is empty without a price list.
    #[must_use]
    pub fn cost(&self) -> TotalCost {
        self.spending.as_ref().map_or(TotalCost::default(), |spending| spending.cost)
    }

    /// Returns the tokens and costs of its models, ordered by name, if it has used more than one.
    ///
    /// There are at most 8. Tokens of other models, and of unknown ones, are only in
    /// [`token_usage`](Self::token_usage).
    #[must_use]
    pub fn models(&self) -> &[ModelUsage] {
        self.spending.as_ref().map_or(&[], |spending| &spending.models)
    }

    fn has_amounts(&self) -> bool {
        self.usage.is_some() || !self.cost().is_empty()
    }

    /// Sets the model that its last call has used. Returns `false` if the text is not a valid name of
    /// a model.
    #[inline]
    pub(super) fn set_model(&mut self, model: RawText<'_>, common: &CommonText) -> bool {
        self.model.as_ref().is_some_and(|known| model.is(known))
            || self.set_other_model(model, common)
    }

    #[cold]
    fn set_other_model(&mut self, model: RawText<'_>, common: &CommonText) -> bool {
        let Some(model) = common.share(model) else { return false };
        if self.model.as_ref() != Some(&model) {
            self.tell_models_apart();
            self.model = Some(model);
            if self.models().is_empty() {
                self.put_models(Vec::new());
            }
        }
        true
    }

    /// Whether all that it has used, and what a call adds, belongs to its model, or to none if it has
    /// none. `has_model` says whether the call belongs to its model.
    #[inline]
    pub(super) fn is_of_one_model(&self, has_model: bool) -> bool {
        has_model == self.model.is_some() && self.models().is_empty()
    }

    /// Creates the share of its only model so far, if it has one.
    fn tell_models_apart(&mut self) {
        if self.models().is_empty() {
            let models = shares_of(self);
            if !models.is_empty() {
                self.spending.get_or_insert_default().models = models;
            }
        }
    }

    /// Adds what calls have used.
    #[inline]
    pub(super) fn add_usage(&mut self, delta: &UsageDelta) {
        self.calls = self.calls.saturating_add(delta.calls);
        if delta.has_amounts() || !delta.shares.is_empty() {
            self.add_amounts(delta);
        }
    }

    fn add_amounts(&mut self, delta: &UsageDelta) {
        let is_of_one =
            self.models().is_empty() && delta.shares.is_empty() && self.model == delta.model;
        if !is_of_one {
            self.tell_models_apart();
        }
        if !delta.tokens.is_empty() {
            self.usage.add(&delta.tokens);
        }
        if let Some(cost) = &delta.cost {
            self.spending.get_or_insert_default().cost.add(cost);
        }
        if !is_of_one {
            self.add_shares(delta);
        }
    }

    /// Adds the shares of a delta, after its sums.
    #[cold]
    fn add_shares(&mut self, delta: &UsageDelta) {
        let mut models = self.take_models();
        for share in delta.shares() {
            let Some(known) = share_of(&mut models, &share.model) else { continue };
            if !share.tokens.is_empty() {
                known.token_usage.get_or_insert_default().add(&share.tokens);
            }
            known.cost.add(&share.cost);
        }
        self.put_models(models);
        self.simplify_models();
    }

    /// Replaces what it has used with what another process has written; `None` is nothing.
    pub(super) fn set_usage(&mut self, other: Option<&Self>) {
        self.calls = other.map_or(0, |other| other.calls);
        self.usage = other.map(|other| other.usage.clone()).unwrap_or_default();
        self.spending = other.and_then(|other| other.spending.clone());
        if let Some(other) = other.filter(|other| other.model != self.model)
            && self.models().is_empty()
        {
            self.put_models(shares_of(other));
        }
    }

    fn take_models(&mut self) -> Vec<ModelUsage> {
        let models = self.spending.as_mut().map(|spending| &mut spending.models);
        models.map(std::mem::take).unwrap_or_default()
    }

    /// Sets the shares of its models, or none if it has used nothing yet.
    fn put_models(&mut self, mut models: Vec<ModelUsage>) {
        if models.is_empty()
            && self.has_amounts()
            && let Some(model) = &self.model
        {
            // What it has used does not belong to this model.
            share_of(&mut models, model);
        }
        if !models.is_empty() {
            self.spending.get_or_insert_default().models = models;
        }
    }

    /// Removes the shares if there is only one, and everything belongs to it.
    pub(super) fn simplify_models(&mut self) {
        let [only] = self.models() else { return };
        let is_all = Some(&only.model) == self.model.as_ref()
            && self.usage.is(only.token_usage.as_ref())
            && only.cost == self.cost();
        if is_all && let Some(spending) = &mut self.spending {
            spending.models = Vec::new();
            if spending.cost.is_empty() {
                self.spending = None;
            }
        }
    }
}
