//! [`Part`]: an attribute of an item as the document has it.
//!
//! Most of a document is as it was in the write before. Parts are compared without being converted, and
//! only those that are written become values.

use super::schema::{
    BUDGET_EXCEEDED_AT, BUDGET_TOKENS, BUDGET_USD, COMPLETED_AT, CORRELATION_ID, CREATED_AT,
    CREATED_DAY, ERROR, EXPIRES_AT, LAST_UPDATED, OVERALL_STATUS, PREVIOUS_RUN, REVISION,
    TOTAL_COST_USD, TOTAL_TOKEN_USAGE, TRACE_ID, UNFINISHED_TASKS, UNPRICED_CALLS, WRITERS,
};
use super::{
    Cost, PreviousRun, SharedAgent, TaskId, Timestamp, TokenUsage, TotalCost, Value,
    WorkflowStatus, Writers,
};

/// An attribute of an item as the document has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Part<'a> {
    Agent(&'a SharedAgent),
    Cost(&'a Cost),
    Day(Timestamp),
    Number(u64),
    PreviousRun(&'a PreviousRun),
    Tasks(&'a [TaskId]),
    Str(&'a str),
    Time(Timestamp),
    Usage(&'a TokenUsage),
    Value(&'a Value),
    Writers(&'a Writers),
}

impl Part<'_> {
    pub(super) fn to_value(self) -> Value {
        match self {
            Self::Agent(agent) => agent.to_item().into(),
            Self::Cost(cost) => (*cost).into(),
            Self::Day(time) => time.day().into(),
            Self::Number(number) => number.into(),
            Self::PreviousRun(run) => run.to_item().into(),
            Self::Tasks(ids) => {
                ids.iter().map(|id| Value::from(id.as_str())).collect::<Vec<_>>().into()
            }
            Self::Str(text) => text.into(),
            Self::Time(time) => time.to_string().into(),
            Self::Usage(usage) => usage.to_item().into(),
            Self::Value(value) => value.clone(),
            Self::Writers(writers) => writers.to_item().into(),
        }
    }

    /// The value, if that of `before` is another.
    pub(super) fn change_from(self, before: Self) -> Option<Value> {
        if before == self {
            return None;
        }
        let value = self.to_value();
        let is_same = self.may_equal(before) && before.to_value() == value;
        (!is_same).then_some(value)
    }

    /// Whether this may have the value of another part, though the two are not equal.
    fn may_equal(self, other: Self) -> bool {
        match (self, other) {
            (Self::Number(_), Self::Number(_))
            | (Self::Str(_), Self::Str(_))
            | (Self::Time(_), Self::Time(_))
            | (Self::Usage(_), Self::Usage(_)) => false,
            // Some of what an agent has is not in its map. Its time is.
            (Self::Agent(agent), Self::Agent(other)) => agent.last_updated == other.last_updated,
            _ => true,
        }
    }

    /// The bytes that the value takes in an item, or some more.
    pub(super) fn max_bytes(self) -> usize {
        /// Any number, time or day, and the counts of a usage with their names.
        const PLAIN: usize = 250;
        match self {
            Self::Agent(agent) => {
                agent.max_item_bytes().unwrap_or_else(|| Value::from(agent.to_item()).size())
            }
            Self::Cost(_) | Self::Day(_) | Self::Number(_) | Self::Time(_) | Self::Usage(_) => {
                PLAIN
            }
            Self::PreviousRun(_) | Self::Tasks(_) => self.to_value().size(),
            Self::Str(text) => text.len(),
            Self::Value(value) => value.size(),
            Self::Writers(writers) => writers.max_bytes(),
        }
    }
}

/// The sums over the agents of a document.
pub(super) struct Totals {
    usage: TokenUsage,
    cost: TotalCost,
}

/// The attributes that have the same names in all items.
pub(super) type OwnParts<'a> = [(&'static str, Option<Part<'a>>); 19];

impl WorkflowStatus {
    pub(super) fn totals(&self) -> Totals {
        Totals { usage: self.total_token_usage(), cost: self.total_cost() }
    }

    /// The attributes of the item that have the same names in all items, without the session id: the
    /// store adds it under the name of its table's key.
    pub(super) fn own_parts<'a>(&'a self, totals: &'a Totals) -> OwnParts<'a> {
        let Totals { usage, cost } = totals;
        let at = |time: Timestamp| Some(time).filter(|time| time.as_millis() != 0);
        let unpriced = Some(cost.unpriced_calls).filter(|calls| *calls > 0);
        let budget = self.budget.as_deref();
        let expiry = |at: Timestamp| u64::try_from(at.as_secs()).unwrap_or(0);
        let tasks = Some(&*self.unfinished_tasks).filter(|tasks| !tasks.is_empty());
        [
            (BUDGET_EXCEEDED_AT, budget.and_then(|budget| budget.exceeded_at).map(Part::Time)),
            (BUDGET_TOKENS, budget.and_then(|budget| budget.tokens).map(Part::Number)),
            (BUDGET_USD, budget.and_then(|budget| budget.usd.as_ref()).map(Part::Cost)),
            (COMPLETED_AT, self.completed_at.map(Part::Time)),
            (CORRELATION_ID, self.correlation_id.as_deref().map(Part::Str)),
            (CREATED_AT, at(self.created_at).map(Part::Time)),
            (CREATED_DAY, at(self.created_at).map(Part::Day)),
            (ERROR, self.error.as_ref().map(|error| Part::Str(error.as_str()))),
            (EXPIRES_AT, self.expires_at.map(expiry).map(Part::Number)),
            (LAST_UPDATED, at(self.last_updated).map(Part::Time)),
            (OVERALL_STATUS, Some(Part::Str(self.status_text()))),
            (PREVIOUS_RUN, self.previous_run.as_deref().map(Part::PreviousRun)),
            (REVISION, Some(Part::Number(self.revision))),
            (TOTAL_COST_USD, cost.usd.as_ref().map(Part::Cost)),
            (TOTAL_TOKEN_USAGE, Some(Part::Usage(usage))),
            (TRACE_ID, self.trace_id.as_deref().map(Part::Str)),
            (UNFINISHED_TASKS, tasks.map(Part::Tasks)),
            (UNPRICED_CALLS, unpriced.map(Part::Number)),
            (WRITERS, Some(Part::Writers(&self.writers))),
        ]
    }

    /// Those of the same attributes that may be of any size.
    pub(super) fn own_parts_of_any_size(&self) -> [Option<Part<'_>>; 7] {
        let tasks = Some(&*self.unfinished_tasks).filter(|tasks| !tasks.is_empty());
        [
            Some(Part::Str(self.status_text())),
            self.correlation_id.as_deref().map(Part::Str),
            self.error.as_ref().map(|error| Part::Str(error.as_str())),
            self.trace_id.as_deref().map(Part::Str),
            self.previous_run.as_deref().map(Part::PreviousRun),
            tasks.map(Part::Tasks),
            Some(Part::Writers(&self.writers)),
        ]
    }

    /// The agents and the caller's attributes. An agent takes precedence over an attribute of the same
    /// name.
    pub(super) fn named_parts(&self) -> impl Iterator<Item = (&str, Part<'_>)> {
        let agents = self.agents.iter().map(|(name, agent)| (&**name, Part::Agent(agent)));
        let attributes = self.attributes.iter().filter(|(name, _)| self.agent(name).is_none());
        agents.chain(attributes.map(|(name, value)| (name, Part::Value(value))))
    }

    /// The agent or the attribute of this name.
    pub(super) fn named_part(&self, name: &str) -> Option<Part<'_>> {
        let agent = self.agents.iter().find(|(known, _)| **known == *name);
        let agent = agent.map(|(_, agent)| Part::Agent(agent));
        agent.or_else(|| self.attributes.get(name).map(Part::Value))
    }
}
