//! Costs, and shares of models, as the portal sends them: under the names of the item, and as texts to
//! display.

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::status::{Budget, ModelUsage, TotalCost};

/// Adds a cost to a JSON object: its amount under the name `usd`, what is missing from it, and its text
/// under the name `text`. Without a cost it adds nothing.
pub(super) fn add_cost<M: SerializeMap>(
    map: &mut M,
    cost: &TotalCost,
    (usd, text): (&str, &str),
) -> Result<(), M::Error> {
    if cost.is_empty() {
        return Ok(());
    }
    if let Some(amount) = cost.usd {
        map.serialize_entry(usd, &amount.to_f64())?;
    }
    if cost.unpriced_calls > 0 {
        map.serialize_entry("unpricedCalls", &cost.unpriced_calls)?;
    }
    map.serialize_entry(text, &CostText(cost))
}

/// The names of an agent's cost, and of a model's.
pub(super) const OF_AGENT: (&str, &str) = ("costUsd", "cost");
/// The names of a workflow's cost, and of a run's.
pub(super) const OF_WORKFLOW: (&str, &str) = ("totalCostUsd", "totalCost");

/// A cost as text: `{"short": "≥ $0.0123", "exact": "≥ $0.012345"}`.
struct CostText<'a>(&'a TotalCost);

impl Serialize for CostText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("short", &format!("{:#}", self.0))?;
        map.serialize_entry("exact", &self.0.to_string())?;
        map.end()
    }
}

/// Adds the limits of a workflow, and when it was found to have gone over one.
pub(super) fn add_budget<M: SerializeMap>(map: &mut M, budget: &Budget) -> Result<(), M::Error> {
    if let Some(usd) = budget.usd {
        map.serialize_entry("budgetUsd", &usd.to_f64())?;
    }
    if let Some(tokens) = budget.tokens {
        map.serialize_entry("budgetTokens", &tokens)?;
    }
    if let Some(at) = budget.exceeded_at {
        map.serialize_entry("budgetExceededAt", &at.to_string())?;
    }
    match budget.usd {
        Some(usd) => map.serialize_entry("budget", &CostText(&TotalCost::new(usd))),
        None => Ok(()),
    }
}

/// The tokens and costs of an agent's models, by their names.
pub(super) struct Models<'a>(pub(super) &'a [ModelUsage]);

impl Serialize for Models<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|usage| (&*usage.model, ModelJson(usage))))
    }
}

struct ModelJson<'a>(&'a ModelUsage);

impl Serialize for ModelJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let item = self.0.to_item();
        for (name, value) in item.iter() {
            map.serialize_entry(name, value)?;
        }
        if !self.0.cost.is_empty() {
            map.serialize_entry(OF_AGENT.1, &CostText(&self.0.cost))?;
        }
        map.end()
    }
}
