//! What an item has about calls besides their tokens: attempts, models, costs and budgets.

use super::read::seconds as read_seconds;
use super::schema::{
    AGENT_STATUS, ATTEMPT_BY, BUDGET_EXCEEDED_AT, BUDGET_TOKENS, BUDGET_USD, COST_USD, DURATION,
    ERROR_TYPE, MODEL, REQUEST_ID, RETRY_AFTER, STARTED_AT, TOKEN_USAGE, UNPRICED_CALLS,
};
use super::to_item::seconds;
use super::{
    AgentState, Attempt, Budget, CallError, Item, ModelUsage, Timestamp, TokenUsage, TotalCost,
    Value,
};

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
    pub(super) fn insert_into(&self, item: &mut Item, usd: &str) {
        if let Some(cost) = self.usd {
            item.insert(usd, cost);
        }
        if self.unpriced_calls > 0 {
            item.insert(UNPRICED_CALLS, self.unpriced_calls);
        }
    }
}

impl TotalCost {
    pub(super) fn from_item(item: &Item, usd: &str) -> Self {
        Self {
            usd: item.get(usd).and_then(Value::as_cost),
            unpriced_calls: item.get(UNPRICED_CALLS).and_then(Value::as_u64).unwrap_or(0),
        }
    }
}

impl ModelUsage {
    pub(super) fn from_item(model: &str, item: &Item) -> Option<Self> {
        let cost = TotalCost::from_item(item, COST_USD);
        Some(Self { model: model.into(), token_usage: TokenUsage::from_item(item), cost })
    }
}

impl Attempt {
    pub(super) fn from_item(item: &Item) -> Option<Self> {
        let text = |name| item.get(name).and_then(Value::as_str);
        let class = || text(ERROR_TYPE).unwrap_or(CallError::AGENT).to_owned().into();
        let (origin, number) = Self::origin_of(text(ATTEMPT_BY));
        let started_at: Timestamp = text(STARTED_AT)?.parse().ok()?;
        Some(Self {
            started_at,
            completed_at: started_at.saturating_add(item.get(DURATION).and_then(read_seconds)?),
            error_type: (text(AGENT_STATUS) == Some(AgentState::Error.as_str())).then(class),
            model: text(MODEL).map(Into::into),
            token_usage: item
                .get(TOKEN_USAGE)
                .and_then(Value::as_map)
                .and_then(TokenUsage::from_item),
            request_id: text(REQUEST_ID).map(Into::into),
            retry_after: item.get(RETRY_AFTER).and_then(read_seconds),
            origin,
            number,
            version: 0,
        })
    }
}

impl Budget {
    pub(super) fn from_item(item: &Item) -> Option<Self> {
        let budget = Self {
            usd: item.get(BUDGET_USD).and_then(Value::as_cost),
            tokens: item.get(BUDGET_TOKENS).and_then(Value::as_u64),
            exceeded_at: item
                .get(BUDGET_EXCEEDED_AT)
                .and_then(Value::as_str)
                .and_then(|at| at.parse().ok()),
        };
        (!budget.is_empty()).then_some(budget)
    }
}
