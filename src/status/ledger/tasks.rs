//! Tasks: answers that name themselves, agents that wait for them, and how both are counted.
//!
//! An answer may say that the work goes on: it is queued or running, or needs input or
//! authorization. Then the call has ended well, and its agent is still in progress:
//!
//! ```text
//!  a call leaves a task unfinished ──▶ its agent waits, and the id is in `unfinished_tasks`
//!    ├ a call of any agent says how the task ended ──▶ the agent ends in the same way
//!    ├ a call of the agent itself starts ──▶ it waits no more while that call is in flight
//!    │   ├ fails ──▶ the agent ends as an error
//!    │   └ succeeds ──▶ the agent ends, unless a task of it is still unfinished
//!    └ the workflow ends ──▶ the agent ends as an error of class `unfinished`
//! ```
//!
//! A call that fails by itself (a time-out, a status of 503) says nothing about the task.
//!
//! # Counting
//!
//! An answer with an id counts once, however often it is fetched: of each id, the largest counts
//! seen so far are in `local`, and an answer adds what it has beyond them. The tokens belong to
//! the agent whose call named the id first. A GET fetches what is stored, and so uses no tokens:
//! it adds some only to a task that a call of this session left unfinished. Another process may
//! have made that call, and the item that names the task may not be known here yet. So an
//! answer to a GET that matches nothing is kept until the next write is acknowledged, or a
//! merge brings the item.
//!
//! What a merge does with tasks is in `merge_tasks`.
//!
//! # Cost
//!
//! A session without such answers has an empty pointer, and its calls check that and no more.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Ledger;
use crate::status::{
    AgentState, CallDetails, CallError, NewTokens, Outcome, Task, TaskId, Timestamp, TokenUsage,
    TotalCost, UsageDelta, WaitingFor, WorkflowStatus,
};

/// How many answers with an id a session remembers.
const MAX_KNOWN: usize = 64;

/// What a session knows of the answers that had an id.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    /// The last to be named at the end.
    pub(super) known: VecDeque<KnownTask>,
    /// Answers to GETs that match no task known here, the oldest first.
    pub(super) unmatched: VecDeque<Fetched>,
    /// The agents that are to wait for a task without an id once their last call has ended.
    nameless: Vec<(usize, WaitingFor)>,
}

#[derive(Debug)]
pub(super) struct KnownTask {
    pub(super) id: TaskId,
    /// The slot of the agent whose work it is.
    pub(super) slot: usize,
    /// What it waits for; `None` once it has ended.
    pub(super) waiting_for: Option<WaitingFor>,
    /// The agent waits for it.
    pub(super) is_awaited: bool,
    /// It is known from GETs only, and the item was not known when they were answered. Another
    /// process may have started it, and may have seen its end.
    pub(super) is_unconfirmed: bool,
    /// The ledger's version with which it was last added to the unfinished tasks.
    pub(super) named_at: u64,
    /// A call has left it unfinished, so that a GET may bring more tokens.
    pub(super) was_unfinished: bool,
    /// How it ended, if an answer said so.
    pub(super) end: Option<TaskEnd>,
    /// The largest counts that were seen, all of them in `local`.
    pub(super) counted: TokenUsage,
    /// The largest cost, likewise.
    pub(super) cost: TotalCost,
    /// The parts of these that the table is not known to have, each with the ledger's version.
    pub(super) unsaved: Vec<(u64, UsageDelta)>,
}

/// How a task ended: well, or with this error.
#[derive(Clone, Debug)]
pub(super) struct TaskEnd {
    error: Option<CallError>,
    at: Timestamp,
}

/// The answer to a GET, kept until it is known whether it counts.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) id: TaskId,
    pub(super) slot: usize,
    pub(super) used: Used,
    pub(super) end: Option<TaskEnd>,
    /// The ledger's version with this answer.
    pub(super) version: u64,
    /// A GET before it has found the task unfinished.
    pub(super) is_named: bool,
}

/// The total usage that an answer reports for its task.
#[derive(Clone, Debug)]
pub(super) struct Used {
    tokens: TokenUsage,
    model: Option<Arc<str>>,
    cost: TotalCost,
}

/// What an answer adds to its task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    pub(crate) usage: TokenUsage,
    pub(crate) cost: Option<TotalCost>,
}

/// The tokens of a call whose answer belongs to a task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TaskUsage {
    /// The tokens that the answer reports.
    pub(crate) reported: Option<TokenUsage>,
    /// Those that were added to the agent during the call.
    pub(crate) recorded: TokenUsage,
    /// The call fetched what is stored.
    pub(crate) is_get: bool,
}

impl Tasks {
    fn known(&mut self, id: &TaskId) -> Option<&mut KnownTask> {
        self.known.iter_mut().find(|known| known.id == *id)
    }

    /// The task with this id, which is now the last to be named.
    pub(super) fn name(&mut self, id: &TaskId, slot: usize) -> &mut KnownTask {
        let at = self.known.iter().position(|known| known.id == *id);
        let task = at.and_then(|at| self.known.remove(at)).unwrap_or_else(|| KnownTask {
            id: id.clone(),
            slot,
            waiting_for: None,
            is_awaited: false,
            is_unconfirmed: false,
            named_at: u64::MAX,
            was_unfinished: false,
            end: None,
            counted: TokenUsage::default(),
            cost: TotalCost::default(),
            unsaved: Vec::new(),
        });
        if self.known.len() == MAX_KNOWN {
            self.known.pop_front();
        }
        self.known.push_back(task);
        let last = self.known.len() - 1;
        &mut self.known[last]
    }

    /// The task that an agent waits for, the last one named of several.
    fn awaited(&self, slot: usize) -> Option<&KnownTask> {
        self.known.iter().rfind(|known| known.slot == slot && known.is_awaited)
    }

    /// The agent waits for nothing any more.
    fn release(&mut self, slot: usize) {
        for known in self.known.iter_mut().filter(|known| known.slot == slot) {
            known.is_awaited = false;
        }
        self.nameless.retain(|(waiting, _)| *waiting != slot);
    }

    /// The table has had everything up to this version.
    pub(super) fn saved(&mut self, version: u64) {
        for known in &mut self.known {
            known.unsaved.retain(|(counted_at, _)| *counted_at > version);
        }
    }

    pub(super) fn has_ended(&self, id: &TaskId) -> bool {
        self.known.iter().any(|known| known.id == *id && known.end.is_some())
    }
}

impl Ledger {
    /// A call has ended with an answer that belongs to a task. Returns what counts of it.
    #[cold]
    pub(crate) fn call_ended_with_task(
        &mut self,
        slot: usize,
        mut outcome: Outcome,
        task: Task,
        usage: TaskUsage,
        details: &CallDetails<'_>,
        now: Timestamp,
    ) -> Option<Counted> {
        self.keep_base();
        let Task { id, waiting_for } = task;
        let TaskUsage { reported, recorded, is_get } = usage;
        let tasks = self.tasks.get_or_insert_default();
        let Some(id) = id else {
            if let (Outcome::Success, Some(waiting_for)) = (&outcome, waiting_for) {
                tasks.nameless.push((slot, waiting_for));
            }
            let tokens = reported.map(|usage| usage.delta_from(&recorded));
            let tokens = tokens.as_ref().map_or(NewTokens::None, NewTokens::Rest);
            self.call_ended(slot, &mut outcome, tokens, details, now);
            let cost = details.cost.copied();
            return reported.map(|usage| Counted { usage, cost });
        };
        let end = match (&outcome, waiting_for) {
            (Outcome::Success, None) => Some(None),
            // The answer reports this failure. All other classes are of the call itself.
            (Outcome::Error(error), None) if error.class == CallError::AGENT => {
                Some(Some(error.clone()))
            }
            _ => None,
        };
        let end = end.map(|error| TaskEnd { error, at: now });

        // The call's own tokens are taken back, and what its answer adds to the task is counted.
        let mut own = self.usage(slot);
        let has_model = own.set_model(details.model);
        if let Some(usage) = details.usage_without_model {
            own.name_model(usage, has_model);
        }
        let model = own.model_of_call(has_model);
        let tokens = reported.unwrap_or(recorded);
        let cost = details.cost.copied().unwrap_or_default();
        let used = Used { tokens, model: model.clone(), cost };
        let taken_back = TokenUsage::default().delta_from(&recorded);
        own.add(&UsageDelta::of_tokens(taken_back, model));
        let is_named = self.is_left_unfinished(&id);
        let task = self.tasks.as_mut().and_then(|tasks| tasks.known(&id));
        if let Some(task) = task.filter(|_| !is_get) {
            task.is_unconfirmed = false;
        }
        let is_matched = !is_get || is_named && !self.is_unconfirmed(&id);
        let counted = if is_matched {
            self.count(&id, slot, &used)
        } else {
            let (version, end) = (self.version + 1, end.clone());
            self.keep_unmatched(Fetched { id: id.clone(), slot, used, end, version, is_named });
            None
        };

        match (waiting_for, end) {
            (Some(waiting_for), _) => {
                let succeeded = outcome == Outcome::Success;
                self.task_goes_on(&id, slot, waiting_for, succeeded, is_get, now);
            }
            (None, Some(end)) if is_matched || is_named => self.task_ended(&id, slot, &end),
            _ => {}
        }
        let details = CallDetails { cost: None, usage_without_model: None, ..*details };
        self.call_ended(slot, &mut outcome, NewTokens::None, &details, now);
        counted
    }

    /// Keeps the answer to a GET until it is known whether a call of the session has left its
    /// task unfinished.
    fn keep_unmatched(&mut self, fetched: Fetched) {
        let unmatched = &mut self.tasks.get_or_insert_default().unmatched;
        if unmatched.len() == MAX_KNOWN {
            unmatched.pop_front();
        }
        unmatched.push_back(fetched);
    }

    /// Adds to the agent of a task what this usage has beyond the counts seen before.
    pub(super) fn count(&mut self, id: &TaskId, slot: usize, used: &Used) -> Option<Counted> {
        let slot = self.agent_of(id, slot);
        let task = self.tasks.get_or_insert_default().name(id, slot);
        let (largest, cost) = (task.counted.max(&used.tokens), task.cost.max(&used.cost));
        if (largest, cost) == (task.counted, task.cost) {
            return None;
        }
        let (before, slot) = (std::mem::replace(&mut task.counted, largest), task.slot);
        let cost = cost.delta_from(&std::mem::replace(&mut task.cost, cost));
        let delta = UsageDelta::of_tokens(largest.delta_from(&before), used.model.clone());
        let delta = delta.with_cost(cost);
        let mut counted = Counted { usage: largest.saturating_sub(&before), cost: None };
        if !cost.is_empty() {
            counted.cost.get_or_insert_default().add(&cost);
        }
        task.unsaved.push((self.version + 1, delta.clone()));
        self.usage(slot).add(&delta);
        Some(counted)
    }

    /// The slot of the agent whose work a task is: the one whose call named it first, or the
    /// first one that waits for it, or else this one.
    pub(super) fn agent_of(&mut self, id: &TaskId, slot: usize) -> usize {
        if let Some(known) = self.tasks.as_mut().and_then(|tasks| tasks.known(id)) {
            return known.slot;
        }
        let waiting = self.local.agents.iter().enumerate().filter(|(_, (_, agent))| {
            agent.waiting_for.is_some() && agent.task_id.as_ref() == Some(id)
        });
        let first = waiting.min_by_key(|(_, (_, agent))| agent.started_at);
        first.map_or(slot, |(slot, _)| slot)
    }

    fn is_unconfirmed(&self, id: &TaskId) -> bool {
        let known = self.tasks.iter().flat_map(|tasks| &tasks.known);
        known.into_iter().any(|known| known.id == *id && known.is_unconfirmed)
    }

    /// Whether a call of this session has left the task unfinished, as far as is known here.
    fn is_left_unfinished(&self, id: &TaskId) -> bool {
        let known = self.tasks.iter().flat_map(|tasks| &tasks.known);
        known.into_iter().any(|known| known.id == *id && known.was_unfinished)
            || names(&self.local, id)
    }

    /// An answer says that a task has not ended.
    fn task_goes_on(
        &mut self,
        id: &TaskId,
        slot: usize,
        waiting_for: WaitingFor,
        succeeded: bool,
        is_get: bool,
        now: Timestamp,
    ) {
        let (owner, was_named) = (self.agent_of(id, slot), self.is_left_unfinished(id));
        let task = self.tasks.get_or_insert_default().name(id, owner);
        task.is_unconfirmed |= is_get && !was_named;
        if is_get && task.end.is_some() {
            // A slow answer, from before the end.
            return;
        }
        task.end = None;
        task.waiting_for = Some(waiting_for);
        task.was_unfinished = true;
        // After a call that failed its agent is in error, and waits no more.
        task.is_awaited |= succeeded && owner == slot;
        if !self.local.unfinished_tasks.contains(id) {
            task.named_at = self.version + 1;
            self.local.unfinished_tasks.push(id.clone());
            let excess = self.local.unfinished_tasks.len();
            let excess = excess.saturating_sub(WorkflowStatus::MAX_UNFINISHED_TASKS);
            self.local.unfinished_tasks.drain(..excess);
        }
        for (other, (_, agent)) in self.local.agents.iter_mut().enumerate() {
            if other != slot
                && agent.waiting_for.is_some_and(|known| known != waiting_for)
                && agent.task_id.as_ref() == Some(id)
            {
                agent.waiting_for = Some(waiting_for);
                agent.last_updated = agent.last_updated.max(Some(now));
            }
        }
    }

    /// An answer of the agent in this slot says how a task ended.
    fn task_ended(&mut self, id: &TaskId, slot: usize, end: &TaskEnd) {
        let owner = self.agent_of(id, slot);
        let task = self.tasks.get_or_insert_default().name(id, owner);
        let was_awaited = std::mem::take(&mut task.is_awaited);
        task.waiting_for = None;
        task.end = Some(end.clone());
        self.local.unfinished_tasks.retain(|known| known != id);
        let known = self.tasks.iter().flat_map(|tasks| &tasks.known);
        let has_another =
            known.into_iter().any(|task| task.slot == owner && task.waiting_for.is_some());
        for waiting in 0..self.local.agents.len() {
            let agent = &self.local.agents[waiting].1;
            let waits_for_it = agent.waiting_for.is_some() && agent.task_id.as_ref() == Some(id);
            let is_its_own = waiting == owner && was_awaited;
            let ended_before_it = waiting == owner
                && !has_another
                && agent.error.as_ref().is_some_and(|error| error.class == CallError::UNFINISHED);
            if waiting == slot || !(waits_for_it || is_its_own || ended_before_it) {
                // This agent ends by its own call.
            } else if self.active[waiting].in_flight > 0 {
                if let Some(error) = &end.error {
                    self.active[waiting].add_error(error.clone());
                }
            } else if ended_before_it || agent.waiting_for.is_some() {
                self.end_waiting(waiting, end.clone());
            }
        }
    }

    /// Ends an agent that waited for a task, unless it waits for another one, too.
    pub(super) fn end_waiting(&mut self, slot: usize, end: TaskEnd) {
        let TaskEnd { error, at } = end;
        if error.is_some() {
            self.release_tasks(slot);
            self.set_ended(slot, None, error.map(Box::new), at);
        } else {
            self.set_ended_or_waiting(slot, at);
        }
        self.active[slot].is_after_end &= self.local.agents[slot].1.waiting_for.is_some();
    }

    /// The calls of an agent have ended without an error. It waits if a task of it is
    /// unfinished.
    #[cold]
    pub(super) fn set_ended_or_waiting(&mut self, slot: usize, now: Timestamp) {
        let Some(tasks) = &mut self.tasks else { return self.set_ended(slot, None, None, now) };
        let nameless = tasks.nameless.iter().rfind(|(waiting, _)| *waiting == slot).copied();
        tasks.nameless.retain(|(waiting, _)| *waiting != slot);
        let awaited = tasks.awaited(slot);
        let named = awaited.and_then(|task| Some((task.waiting_for?, Some(task.id.clone()))));
        match named.or(nameless.map(|(_, waiting_for)| (waiting_for, None))) {
            Some((waiting_for, id)) => self.set_waiting(slot, waiting_for, id, now),
            None => self.set_ended(slot, None, None, now),
        }
    }

    fn set_waiting(
        &mut self,
        slot: usize,
        waiting_for: WaitingFor,
        id: Option<TaskId>,
        now: Timestamp,
    ) {
        self.local.overall_status.begin();
        let active = &mut self.active[slot];
        let agent = &mut *self.local.agents[slot].1;
        agent.started_at.get_or_insert(active.started_at.unwrap_or(now));
        agent.completed_at = None;
        agent.error = None;
        if agent.state != AgentState::InProgress {
            agent.state = AgentState::InProgress;
            agent.other_state = None;
            active.set_activity(None, agent);
        }
        agent.waiting_for = Some(waiting_for);
        agent.task_id = id;
        agent.last_updated = agent.last_updated.max(Some(now));
    }

    /// The agent waits for none of its tasks any more: it has ended.
    #[cold]
    pub(super) fn release_tasks(&mut self, slot: usize) {
        if let Some(tasks) = &mut self.tasks {
            tasks.release(slot);
        }
    }

    /// How many agents wait.
    #[cfg(feature = "metrics")]
    pub(crate) fn waiting_agents(&self) -> usize {
        self.local.agents.iter().filter(|(_, agent)| agent.waiting_for.is_some()).count()
    }
}

/// Whether a document names a task as unfinished.
pub(super) fn names(status: &WorkflowStatus, id: &TaskId) -> bool {
    status.unfinished_tasks.contains(id)
        || status.agents.iter().any(|(_, agent)| agent.task_id.as_ref() == Some(id))
}
