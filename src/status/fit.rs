//! The size of an item, and what is left out of one that is too large to be saved.
//!
//! The limits on what users set add up to less than an item holds. What older writers put into
//! the same item, and agents beyond [`MAX_AGENTS`](crate::StatusTracker::MAX_AGENTS), have no such
//! limits. The states and the tokens are saved all the same.

use std::collections::BTreeSet;

use super::{AgentState, Item, Value, WorkflowStatus, schema};

/// The largest item that is written. DynamoDB allows 400 KB, names included. The rest is for the
/// session id, which a table may hold twice, and for what counts more than is assumed here.
const MAX_ITEM_BYTES: usize = 395_000;

/// How much of an agent's texts stays in an item that is too large.
const SHORT_BYTES: usize = 64;

impl WorkflowStatus {
    /// Cuts the item of this document to what DynamoDB can hold. Returns the names of what was
    /// left out or cut, which is mostly nothing.
    ///
    /// These are left out, until the item is small enough: the caller's attributes, the largest
    /// first; what older writers have put into the maps of agents, the largest first; the ends of the
    /// agents' texts; agents that were not called.
    pub(super) fn fit(&self, item: &mut Item) -> BTreeSet<String> {
        let mut excess = Excess(item_size(item).saturating_sub(MAX_ITEM_BYTES));
        let mut cut = BTreeSet::new();
        if excess.0 == 0 {
            return cut;
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
}

/// Cuts a text to this many bytes.
pub(crate) fn shorten(text: &mut String, max: usize) {
    if text.len() > max {
        text.truncate(text.floor_char_boundary(max - '…'.len_utf8()));
        text.push('…');
    }
}

fn item_size(item: &Item) -> usize {
    // Each element of a map and of a list takes one byte more than what it holds.
    item.iter().map(|(name, value)| name.len() + 1 + value.size()).sum()
}

/// Whether something must be left out of the item.
pub(super) fn is_too_large(item: &Item) -> bool {
    item_size(item) > MAX_ITEM_BYTES
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

    use super::*;
    use crate::status::{
        AgentStatus, CallError, ErrorMessage, MAX_ACTIVITY_BYTES, SessionId, TaskId, Timestamp,
        TokenUsage, WaitingFor,
    };
    use crate::{Agent, StatusTracker, WorkflowBuilder};

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
            status.attributes.insert(name(1_000 + n), text.into());
        }
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
            agent.error = Some(CallError::new("k".repeat(100), "e".repeat(1_000)));
            (agent.started_at, agent.completed_at) = (Some(time), Some(time));
            agent.last_updated = Some(time);
            agent.token_usage = Some(TokenUsage::from_counts([Some(u64::MAX); 8]));
            agent.calls = u64::MAX;
            status.agents.push((name(n).into(), agent));
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
        // The session id under two names, with the names.
        const { assert!(MAX_ITEM_BYTES + 2 * (2_048 + Agent::MAX_NAME_BYTES) < 400 * 1_024) };
    }

    #[test]
    fn what_is_too_large_is_left_out_and_the_states_stay() {
        // Attributes, texts, and agents that were not called.
        for agents in [150, 240, 350] {
            let mut status = largest(agents);
            if agents == 350 {
                for (_, agent) in &mut status.agents[200..] {
                    *agent = AgentStatus::pending("p".into());
                }
            }
            let mut item = status.to_item();
            let cut = status.fit(&mut item);
            assert!(!cut.is_empty() && !is_too_large(&item), "{}", item_size(&item));
            let read = WorkflowStatus::from_item(&status.session_id, &item);
            assert_eq!(read.overall_status, status.overall_status);
            assert_eq!(read.total_token_usage(), status.total_token_usage());
            for (name, agent) in status.agents().filter(|(_, agent)| agent.calls > 0) {
                assert_eq!(read.agent(name).unwrap().state, agent.state);
                assert_eq!(read.agent(name).unwrap().token_usage, agent.token_usage);
            }
        }
    }

    #[test]
    fn what_was_left_out_is_written_when_there_is_room() {
        let large = largest(150);
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
