//! The size of an item, and what is left out of one that is too large to be saved.
//!
//! The limits on what users set add up to less than an item holds, without the attempts of agents and
//! their shares by model: those of a few dozen agents at all limits are left out. What older writers put
//! into the same item, and agents beyond [`MAX_AGENTS`](crate::StatusTracker::MAX_AGENTS), have no such
//! limits. The states, the tokens and the costs are saved all the same.

use std::collections::BTreeSet;

use super::cut::shorten;
use super::item_parts::Part;
use super::{AgentState, Item, Value, WorkflowStatus, schema};

/// The largest item that is written. DynamoDB allows 400 KB, names included. The rest is for the
/// session id, which a table may hold twice, and for what counts more than is assumed here.
const MAX_ITEM_BYTES: usize = 395_000;

/// How much of an agent's texts stays in an item that is too large.
const SHORT_BYTES: usize = 64;

impl WorkflowStatus {
    /// Whether the item is surely small enough, as far as that is easy to tell.
    pub(super) fn surely_fits(&self) -> bool {
        /// The names of an item's own attributes, and those of their values that are numbers, times or
        /// sums.
        const OWN: usize = 4_000;
        let own = self.own_parts_of_any_size().into_iter().flatten().map(Part::max_bytes);
        let named = self.named_parts().map(|(name, part)| name.len() + 1 + part.max_bytes());
        OWN + own.chain(named).sum::<usize>() <= MAX_ITEM_BYTES
    }

    /// Cuts the item of this document to what DynamoDB can hold. Returns the names of what was
    /// left out or cut, which is mostly nothing.
    ///
    /// These are left out, until the item is small enough: the attempts of agents, and then their
    /// shares by model, the largest first; the caller's attributes, the largest first; what older
    /// writers have put into the maps of agents, the largest first; the ends of the agents' texts;
    /// agents that were not called.
    pub(super) fn fit(&self, item: &mut Item) -> BTreeSet<String> {
        let mut excess = Excess(item_size(item).saturating_sub(MAX_ITEM_BYTES));
        let mut cut = BTreeSet::new();
        if excess.0 == 0 {
            return cut;
        }
        for attribute in [schema::ATTEMPTS, schema::MODELS] {
            let size = |name: &str| Some(item.get(name)?.as_map()?.get(attribute)?.size());
            let sizes = self.agents.iter().filter_map(|(name, _)| Some((size(name)?, name)));
            let mut sizes: Vec<_> = sizes.collect();
            sizes.sort_unstable();
            for (_, name) in sizes.into_iter().rev() {
                excess.remove_from_agent(item, name, attribute, &mut cut);
            }
        }
        let mut largest: Vec<_> =
            self.attributes.iter().map(|(name, value)| (value.size(), name)).collect();
        largest.sort_unstable();
        for (_, name) in largest.iter().rev() {
            excess.remove(item, name, &mut cut);
        }
        let extra =
            self.agents.iter().filter_map(|(name, agent)| Some((agent.extra.as_ref()?, name)));
        let mut extra: Vec<_> =
            extra.map(|(extra, name)| (item_size(extra), name, extra)).collect();
        extra.sort_unstable_by_key(|(size, name, _)| (*size, *name));
        for (_, name, extra) in extra.into_iter().rev() {
            if excess.0 > 0
                && let Some(Value::Map(mut map)) = item.remove(name)
            {
                let before = item_size(&map);
                let is_extra = |name: &str| extra.get(name).is_some();
                map = map.into_iter().filter(|(name, _)| !is_extra(name)).collect();
                excess.0 = excess.0.saturating_sub(before - item_size(&map));
                item.insert(&**name, map);
                cut.insert(name.to_string());
            }
        }
        for (name, _) in &self.agents {
            if excess.0 > 0
                && let Some(Value::Map(mut map)) = item.remove(name)
            {
                for text in [schema::ACTIVITY, schema::ERROR, schema::ERROR_TYPE] {
                    if let Some(Value::String(mut long)) = map.remove(text) {
                        let before = long.len();
                        shorten(&mut long, SHORT_BYTES);
                        excess.0 = excess.0.saturating_sub(before - long.len());
                        map.insert(text, long);
                    }
                }
                item.insert(&**name, map);
                cut.insert(name.to_string());
            }
        }
        for (name, agent) in &self.agents {
            if agent.state == AgentState::Pending && agent.calls == 0 {
                excess.remove(item, name, &mut cut);
            }
        }
        cut
    }
}

/// By how many bytes an item is too large.
struct Excess(usize);

impl Excess {
    /// Removes an attribute, if the item is too large.
    fn remove(&mut self, item: &mut Item, name: &str, cut: &mut BTreeSet<String>) {
        if self.0 > 0
            && let Some(value) = item.remove(name)
        {
            self.0 = self.0.saturating_sub(name.len() + value.size());
            cut.insert(name.to_owned());
        }
    }

    /// Removes an attribute from the map of an agent, if the item is too large.
    fn remove_from_agent(
        &mut self,
        item: &mut Item,
        agent: &str,
        name: &str,
        cut: &mut BTreeSet<String>,
    ) {
        if self.0 > 0
            && let Some(Value::Map(mut map)) = item.remove(agent)
        {
            self.remove(&mut map, name, &mut BTreeSet::new());
            item.insert(agent, map);
            cut.insert(agent.to_owned());
        }
    }
}

fn item_size(item: &Item) -> usize {
    // Each element of a map and of a list takes one byte more than what it holds.
    item.iter().map(|(name, value)| name.len() + 1 + value.size()).sum()
}

impl Value {
    /// The bytes that the value takes of the 400 KB of a DynamoDB item, or a few more.
    pub(crate) fn size(&self) -> usize {
        const CONTAINER: usize = 3;
        match self {
            Self::String(text) => text.len(),
            // Two digits a byte, and one or two bytes.
            Self::Integer(number) => {
                2 + number.checked_ilog10().map_or(0, |digits| digits as usize + 1).div_ceil(2)
            }
            // At most 17 digits.
            Self::Float(_) => 2 + 9,
            Self::Decimal(cost) => 2 + cost.to_string().len().div_ceil(2),
            Self::Map(map) => CONTAINER + item_size(map),
            Self::List(list) => {
                CONTAINER + list.iter().map(|value| 1 + value.size()).sum::<usize>()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::status::attempt::{Attempts, Origin};
    use crate::status::usage_delta::Spending;
    use crate::status::{
        AgentStatus, Attempt, Budget, CallError, Cost, ErrorMessage, MAX_ACTIVITY_BYTES,
        ModelUsage, PreviousRun, SessionId, SharedAgent, TaskId, Timestamp, TokenUsage, TotalCost,
        WaitingFor,
    };
    use crate::{Agent, StatusTracker, WorkflowBuilder};

    const MOST: TotalCost = TotalCost { usd: Some(Cost::MAX), unpriced_calls: u64::MAX };

    /// A document at every limit, with this many agents.
    fn largest(agents: usize) -> WorkflowStatus {
        let time = Timestamp::from_millis(1_766_570_400_123);
        let mut status = WorkflowStatus::new(SessionId::new("s".repeat(2_048)).unwrap(), time);
        status.expires_at = Some(time);
        status.correlation_id = Some("c".repeat(WorkflowBuilder::MAX_TEXT_BYTES));
        status.error = Some(ErrorMessage::new("e".repeat(ErrorMessage::MAX_BYTES)));
        let name = |n: usize| format!("{n:0>width$}", width = Agent::MAX_NAME_BYTES);
        let each = WorkflowBuilder::MAX_ATTRIBUTE_BYTES / WorkflowBuilder::MAX_ATTRIBUTES;
        for n in 0..WorkflowBuilder::MAX_ATTRIBUTES {
            let text = "x".repeat(each - Agent::MAX_NAME_BYTES);
            status.attributes.extend([(name(1_000 + n), text.into())]);
        }
        status.trace_id = Some("a".repeat(32).into());
        status.budget = Some(Box::new(Budget {
            usd: Some(Cost::MAX),
            tokens: Some(u64::MAX),
            exceeded_at: Some(time),
        }));
        let mut run = PreviousRun::of(&status);
        run.total_token_usage = TokenUsage::from_counts([Some(u64::MAX); 8]);
        run.total_cost = MOST;
        status.previous_run = Some(Box::new(run));
        let id = "t".repeat(TaskId::MAX_BYTES);
        status.unfinished_tasks = vec![TaskId::new(&id).unwrap(); 16];
        for n in 0..256 {
            status.writers.note(&format!("{n:08}"), u64::MAX - 1, false);
        }
        for n in 0..agents {
            let mut agent = AgentStatus::pending(Arc::from("a".repeat(MAX_ACTIVITY_BYTES)));
            agent.state = AgentState::Error;
            agent.waiting_for = Some(WaitingFor::Authorization);
            agent.task_id = TaskId::new(&id);
            agent.error = Some(CallError::new("k".repeat(100), "e".repeat(1_000)).into());
            (agent.started_at, agent.completed_at) = (Some(time), Some(time));
            agent.last_updated = Some(time);
            agent.usage = Some(TokenUsage::from_counts([Some(u64::MAX); 8])).into();
            agent.calls = u64::MAX;
            agent.model = Some("m".repeat(Agent::MAX_MODEL_BYTES).into());
            agent.finish_reason = Some("f".repeat(40).into());
            agent.time_to_first_chunk = Some(Duration::MAX);
            agent.spending = Some(Box::new(Spending { cost: MOST, models: Vec::new() }));
            status.agents.push((name(n).into(), SharedAgent::new(agent)));
        }
        status
    }

    /// The same with as many attempts and models of each agent as are kept.
    fn largest_with_calls(agents: usize) -> WorkflowStatus {
        let mut status = largest(agents);
        let usage = Some(TokenUsage::from_counts([Some(u64::MAX); 8]));
        let model = |n: usize| format!("{n:m>width$}", width = Agent::MAX_MODEL_BYTES).into();
        for (_, agent) in &mut status.agents {
            for n in 0..Attempts::KEPT {
                let millis = 1_766_570_400_123 + i64::try_from(n).unwrap();
                agent.attempts.insert(Attempt {
                    started_at: Timestamp::from_millis(millis - 86_399_999),
                    completed_at: Timestamp::from_millis(millis),
                    error_type: Some("k".repeat(100).into()),
                    model: Some(model(n)),
                    token_usage: usage,
                    request_id: Some("r".repeat(128).into()),
                    retry_after: Some(Duration::from_millis(31_622_399_999)),
                    origin: Origin::Writer("w".repeat(8).into()),
                    number: u32::MAX,
                    version: 0,
                });
            }
            let models = (0..ModelUsage::MAX).map(model);
            let models = models.map(|model| ModelUsage { model, token_usage: usage, cost: MOST });
            agent.spending.as_mut().unwrap().models = models.collect();
        }
        status
    }

    #[test]
    fn all_limits_together_fit_into_an_item() {
        let status = largest(StatusTracker::MAX_AGENTS);
        let mut item = status.to_item();
        assert!(item_size(&item) > MAX_ITEM_BYTES / 10 * 9, "{}", item_size(&item));
        assert_eq!(status.fit(&mut item), BTreeSet::new(), "{}", item_size(&item));
        assert_eq!(item, status.to_item());
        let of_agents =
            status.agents.iter().map(|(name, _)| name.len() + 1 + item.get(name).unwrap().size());
        let of_agents: usize = of_agents.sum();
        assert!((280_000..290_000).contains(&of_agents), "{of_agents}, and the docs say 290 KB");
        // The session id under two names, with the names.
        const { assert!(MAX_ITEM_BYTES + 2 * (2_048 + Agent::MAX_NAME_BYTES) < 400 * 1_024) };
    }

    #[test]
    fn attempts_go_first_and_then_the_shares_of_models() {
        // How many agents keep their attempts and their shares: some, or none, of each.
        for (agents, keeps_shares) in [(25, true), (60, false), (StatusTracker::MAX_AGENTS, false)]
        {
            let status = largest_with_calls(agents);
            let mut item = status.to_item();
            let cut = status.fit(&mut item);
            assert!(item_size(&item) <= MAX_ITEM_BYTES, "{}", item_size(&item));
            let read = WorkflowStatus::from_item(&status.session_id, &item);
            let has = |of: &dyn Fn(&AgentStatus) -> bool| {
                read.agents().filter(|(_, agent)| of(agent)).count()
            };
            let attempts = has(&|agent| agent.attempts().next().is_some());
            let shares = has(&|agent| !agent.models().is_empty());
            if keeps_shares {
                assert!(attempts < agents && shares == agents, "{attempts} {shares}");
            } else {
                assert!(attempts == 0 && shares < agents, "{attempts} {shares}");
            }
            // Only agents are cut, and nothing else of them.
            let is_agent = |name: &String| status.agent(name).is_some();
            assert!(!cut.is_empty() && cut.iter().all(is_agent));
            let mut expected = status.clone();
            for (name, agent) in &mut expected.agents {
                let read = read.agent(name).unwrap();
                agent.attempts = read.attempts.clone();
                agent.spending.as_mut().unwrap().models = read.models().to_vec();
            }
            assert!(item == expected.to_item(), "{agents} agents have lost something else");
        }
    }

    #[test]
    fn what_is_too_large_is_left_out_and_the_states_stay() {
        // Attributes, texts, and agents that were not called.
        for agents in [150, 240, 350] {
            let mut status = largest(agents);
            if agents == 350 {
                for (_, agent) in &mut status.agents[200..] {
                    **agent = AgentStatus::pending("p".into());
                }
            }
            let mut item = status.to_item();
            let cut = status.fit(&mut item);
            assert!(!cut.is_empty() && item_size(&item) <= MAX_ITEM_BYTES, "{}", item_size(&item));
            let read = WorkflowStatus::from_item(&status.session_id, &item);
            assert_eq!(read.overall_status, status.overall_status);
            assert_eq!(read.total_token_usage(), status.total_token_usage());
            for (name, agent) in status.agents().filter(|(_, agent)| agent.calls > 0) {
                assert_eq!(read.agent(name).unwrap().state, agent.state);
                assert_eq!(read.agent(name).unwrap().token_usage(), agent.token_usage());
            }
        }
    }

    #[test]
    fn documents_that_share_agents_differ_as_others_do() {
        let apart = |status: &WorkflowStatus| {
            let mut status = status.clone();
            for (_, agent) in &mut status.agents {
                *agent = SharedAgent::new(AgentStatus::clone(agent));
            }
            status
        };
        for before in [largest(2), largest(128), largest(150), largest_with_calls(25)] {
            let mut after = before.clone();
            after.agents[1].1.calls = 7;
            let shared = after.change_from(Some(&before), false).unwrap();
            let expected = apart(&after).change_from(Some(&apart(&before)), false).unwrap();
            assert_eq!(shared.change, expected.change);
            assert_eq!(shared.left_out, expected.left_out);
            let is_small = before.agents.len() == 2;
            assert!(!is_small || shared.change.set.get(&before.agents[0].0).is_none());
            for (name, agent) in before.agents.iter().filter(|(_, a)| a.attempts.is_empty()) {
                let most = agent.max_item_bytes();
                assert!(most >= Some(Value::Map(agent.to_item()).size()), "{name}: {most:?}");
            }
        }
    }

    #[test]
    fn what_was_left_out_is_written_when_there_is_room() {
        for large in [largest(150), largest_with_calls(25), largest_with_calls(60)] {
            let first = large.change_from(None, false).unwrap();
            assert!(!first.left_out.is_empty());
            let mut small = large.clone();
            small.revision += 1;
            small.agents.truncate(1);
            let change = small.change_from(Some(&large), false).unwrap();
            assert_eq!(change.left_out, BTreeSet::new());
            let mut item = first.change.set;
            change.change.apply(&mut item);
            assert_eq!(item, small.to_item());
        }
    }
}
