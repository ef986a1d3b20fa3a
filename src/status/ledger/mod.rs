//! [`Ledger`]: one session as this process knows it, and what the table still lacks.
//!
//! A change is applied here first and written later. The ledger keeps the three sides of a
//! three-way merge, and the deltas that make the merge exact:
//!
//! - `local`: the document with everything this process knows;
//! - `base`: the document the table is known to hold, from the last acknowledged write or
//!   the last conflict; or from a write whose answer was lost, once a conflict shows that it was
//!   applied;
//! - the remote side, the item as another writer left it, arrives with a conflict only;
//! - `unsent` and `unacknowledged`: the calls and tokens that `local` counts and `base` does
//!   not. They move to `unacknowledged`, tagged with the number of a write, when that write
//!   is prepared.
//!
//! ```text
//!  call_started  call_ended  report  finish       events.rs, tasks.rs
//!        └───────────┴──┬──────┴───────┘
//!                       ▼
//!          local, and deltas in unsent
//!                       │ prepare_write            write.rs
//!                       ▼
//!          PendingWrite: local − base, on condition that the item has base's version
//!                       │
//!        ┌──────────────┼────────────────┐
//!  write_applied   write_failed    write_conflicted
//!  base = local    deltas are      local = remote + deltas
//!  deltas gone     kept            base = remote            merge.rs
//! ```
//!
//! # Invariant
//!
//! For each agent, the calls, tokens and costs of `local` are those of `base` plus
//! `unacknowledged`, `unsent` and `missing_usage`. (Not while the next write is to replace the item
//! as a whole: after it was deleted, and at the start of a new run.) Nothing is incremented in
//! the table: sums are computed here and written as values. So no token is lost and none is
//! counted twice, whichever answers are lost and however many processes write. Attempts need no delta:
//! each has an id, and lists of them merge as sets.
//!
//! # Cost
//!
//! The start and the end of a call run on the caller's path, under the session's lock: a
//! few stores into one agent's slot. The first change after a write allocates: a saved session keeps its
//! document once, `local` shares its agents with what was written, and the deltas of a saved agent take no
//! memory. An agent that is called again and again keeps a copy of its own instead. Everything else runs
//! in the recorder. Preparing a write copies what has changed in the document under the lock; comparing
//! it with `base` happens outside.

mod active_calls;
mod agent_usage;
mod events;
mod expiry;
mod merge;
mod merge_agent;
mod merge_tasks;
mod new_run;
mod new_run_after;
mod older_writers;
mod tasks;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) use self::merge::{Lack, UncertainUsage};
pub(crate) use self::tasks::{Counted, TaskUsage};
pub(crate) use self::write::PendingWrite;

use self::active_calls::ActiveCalls;
use self::agent_usage::AgentUsage;
use self::expiry::Retention;
use self::new_run::NewRun;
use self::new_run_after::NewRunAfter;
use self::older_writers::MissingUsage;
use self::tasks::Tasks;
use self::write::LostWrite;

use super::usage_delta::UsageDelta;
use super::{
    Activities, AgentState, Budget, Excess, ItemVersion, SessionId, SharedAgent, Timestamp, Value,
    WorkflowStatus, Writers,
};

/// How many bytes of an item these attributes take, names included.
pub(crate) fn attribute_bytes<'a>(
    attributes: impl IntoIterator<Item = (&'a str, &'a Value)>,
) -> usize {
    attributes.into_iter().map(|(name, value)| name.len() + value.size()).sum()
}

/// One session as this process knows it.
///
/// `local.agents`, `active`, `unsent` and the deltas of each [`SentDeltas`] are parallel: an
/// agent's index in them is its slot. Agents are only ever appended during a run, so a slot
/// stays valid until [`begin_new_run`](Self::begin_new_run).
#[derive(Debug)]
pub(crate) struct Ledger {
    /// Everything this process knows. An activity may be stale; see
    /// [`ActiveCalls::activity_is_stale`].
    local: WorkflowStatus,
    /// The state of each agent that is not for the table.
    active: Vec<ActiveCalls>,
    /// What the table is known to hold; `None` if it is not known, or if [`local`](Self::is_base) is it.
    base: Option<Arc<WorkflowStatus>>,
    /// The table holds `local`, with its revision and writers. So does a saved session in memory: it
    /// needs no other document, and keeps none. Whatever changes `local` [keeps the base](Self::keep_base)
    /// first.
    is_base: bool,
    /// The version of the item in the table, if it is not the one that `base` would be written with:
    /// an older writer may format the time in another way, or have no revision.
    stored_version: Option<Box<ItemVersion>>,
    /// Whether the next write has the derived attributes too (`createdAt`, `createdDay`,
    /// `totalTokenUsage`), since an older writer wrote `base` and may have left them out.
    writes_derived: bool,
    /// The item that was deleted, until it is written again. It then has what its writers had
    /// written, since `local` has.
    deleted: Option<Arc<WorkflowStatus>>,
    /// Calls and tokens that no write carries yet; `None` for an agent without any.
    unsent: Vec<Option<Box<UsageDelta>>>,
    /// Calls and tokens of writes that were not acknowledged, in the order of the writes.
    unacknowledged: Vec<SentDeltas>,
    /// Calls and tokens that `local` counts and the item no longer has: an older writer overwrote
    /// them, or the item was deleted.
    missing_usage: Option<Box<MissingUsage>>,
    /// The writes whose answers were lost, since `base`, in their order. Only one can have been
    /// applied.
    lost: Vec<LostWrite>,
    new_run: NewRun,
    /// The condition on which this is a new run, until the item has decided it.
    new_run_after: Option<Box<NewRunAfter>>,
    /// The ledger of the previous run, if that was not saved when this one began. Kept until this run
    /// has replaced it.
    previous_ledger: Option<Box<Ledger>>,
    /// How long the item is kept.
    retention: Retention,
    /// The names of the attributes that this process has set.
    own_attributes: Vec<Box<str>>,
    /// The answers that had an id. Most sessions have none.
    tasks: Option<Box<Tasks>>,
    /// Set while the workflow is completed for idleness and the table has not acknowledged
    /// it: when the session was last updated before that.
    idle_since: Option<Timestamp>,
    /// The limit that the workflow has just exceeded, until it is logged.
    excess: Option<Box<Excess>>,
    /// How many runs have begun in this ledger.
    run: u64,
    /// The number of the first write.
    first_seq: Option<u64>,
    /// Counts the changes.
    version: u64,
    /// The version that the last acknowledged write carried.
    saved_version: u64,
    /// The newest version that the table is known to have had, acknowledged or not.
    seen_version: u64,
    /// The version that the last write carried, whatever became of it. The item that the write met
    /// says nothing about later changes.
    sent_version: u64,
}

/// The deltas that one write carried, by slot.
#[derive(Debug)]
struct SentDeltas {
    seq: u64,
    /// The version of the ledger that the write carried.
    version: u64,
    deltas: Vec<Option<Box<UsageDelta>>>,
}

impl Ledger {
    pub(crate) fn new(session_id: SessionId, now: Timestamp) -> Self {
        let mut ledger = Self {
            local: WorkflowStatus::new(session_id, now),
            active: Vec::new(),
            base: None,
            is_base: false,
            stored_version: None,
            writes_derived: false,
            deleted: None,
            unsent: Vec::new(),
            unacknowledged: Vec::new(),
            missing_usage: None,
            lost: Vec::new(),
            new_run: NewRun::None,
            new_run_after: None,
            previous_ledger: None,
            retention: Retention::default(),
            own_attributes: Vec::new(),
            tasks: None,
            idle_since: None,
            excess: None,
            run: 0,
            first_seq: None,
            version: 0,
            saved_version: 0,
            seen_version: 0,
            sent_version: 0,
        };
        ledger.expire_after_creation();
        ledger
    }

    /// The document with everything this process knows.
    pub(crate) fn status(&mut self) -> &WorkflowStatus {
        self.refresh_activities();
        &self.local
    }

    /// A copy of the document for the application. Only what the table holds has a revision.
    pub(crate) fn snapshot(&mut self) -> WorkflowStatus {
        let mut status = self.status().clone();
        (status.writers, status.revision) = (Writers::default(), 0);
        status
    }

    fn refresh_activities(&mut self) {
        for ((_, agent), active) in self.local.agents.iter_mut().zip(&mut self.active) {
            // Stale only after a change, which has kept the base.
            if std::mem::take(&mut active.activity_is_stale) {
                debug_assert!(!self.is_base, "the base was not kept");
                agent.activity = Arc::clone(active.activities.of(agent.state));
            }
        }
    }

    /// When the session last changed, or was last known to be alive.
    pub(crate) fn last_updated(&self) -> Timestamp {
        self.local.last_updated
    }

    /// The number of the newest change.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// The number of the newest change that the table has acknowledged.
    pub(crate) fn saved_version(&self) -> u64 {
        self.saved_version
    }

    /// Whether the table lacks something.
    pub(crate) fn is_dirty(&self) -> bool {
        self.version != self.saved_version
    }

    /// Whether the table is known to hold the session.
    pub(crate) fn is_saved(&self) -> bool {
        self.base.is_some() || self.is_base
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.local.overall_status.is_finished()
    }

    /// Whether an agent waits, and no call is in flight anywhere.
    pub(crate) fn is_waiting(&self) -> bool {
        self.local.is_waiting()
    }

    /// Whether a call is in flight in this process, or an agent was reported in progress, which
    /// its workflow has not ended.
    pub(crate) fn is_active(&self) -> bool {
        let is_finished = self.is_finished();
        let mut agents = self.local.agents.iter().zip(&self.active);
        agents.any(|((_, agent), active)| {
            active.in_flight > 0
                || active.reported_in_progress
                    && agent.state == AgentState::InProgress
                    && !is_finished
        })
    }

    /// Which run this is, of those that began in this ledger. A call and the handle of a
    /// workflow belong to the run in which they began.
    pub(crate) fn run(&self) -> u64 {
        self.run
    }

    pub(crate) fn has_agent(&self, name: &str) -> bool {
        self.local.agent(name).is_some()
    }

    pub(crate) fn agent_count(&self) -> usize {
        self.local.agents.len()
    }

    /// How many attributes there would be with these added.
    pub(crate) fn attribute_count_with(&self, more: &BTreeMap<String, Value>) -> usize {
        let known = &self.local.attributes;
        known.len() + more.keys().filter(|name| !known.contains_key(name)).count()
    }

    /// How many bytes the attributes would take, names included, with these added.
    pub(crate) fn attribute_bytes_with(&self, more: &BTreeMap<String, Value>) -> usize {
        let kept = self.local.attributes.iter().filter(|(name, _)| !more.contains_key(*name));
        let more = more.iter().map(|(name, value)| (name.as_str(), value));
        attribute_bytes(kept.chain(more))
    }

    /// The slot of an agent. An unknown agent is added as pending, which alone does not
    /// make the ledger dirty.
    #[inline]
    pub(crate) fn slot(&mut self, name: &Arc<str>, activities: &Arc<Activities>) -> usize {
        let known = self
            .local
            .agents
            .iter()
            // The same name is nearly always the same allocation.
            .position(|(known, _)| Arc::ptr_eq(known, name) || known == name);
        match known {
            Some(slot) => {
                // An agent first seen in the table has default activities.
                if !Arc::ptr_eq(&self.active[slot].activities, activities) {
                    // A stale activity is of the old texts: fill it in before they go.
                    self.refresh_activities();
                    self.active[slot].activities = Arc::clone(activities);
                }
                slot
            }
            None => {
                let pending = SharedAgent::new(Arc::clone(&activities.pending));
                self.add_agent(Arc::clone(name), pending, Arc::clone(activities))
            }
        }
    }

    fn add_agent(
        &mut self,
        name: Arc<str>,
        agent: SharedAgent,
        activities: Arc<Activities>,
    ) -> usize {
        self.keep_base();
        self.local.agents.push((name, agent));
        self.active.push(ActiveCalls::none(activities));
        self.unsent.push(None);
        self.local.agents.len() - 1
    }

    /// Sets the correlation id, if given, and adds attributes.
    pub(crate) fn set_attributes(
        &mut self,
        correlation_id: Option<String>,
        attributes: BTreeMap<String, Value>,
        now: Timestamp,
    ) {
        self.keep_base();
        self.note_description(correlation_id.as_ref(), &attributes);
        if correlation_id.is_some() {
            self.local.correlation_id = correlation_id;
        }
        let own = &mut self.own_attributes;
        let is_new = |name: &&String| !own.iter().any(|own| **own == ***name);
        let new: Vec<_> =
            attributes.keys().filter(is_new).map(|name| name.as_str().into()).collect();
        // Mostly set once, and all together.
        own.reserve_exact(new.len());
        own.extend(new);
        self.local.attributes.extend(attributes);
        self.touch(now);
    }

    /// Sets the trace that the workflow belongs to, if given, and its limits, if there are any.
    pub(crate) fn set_limits(&mut self, trace_id: Option<Arc<str>>, budget: Option<Box<Budget>>) {
        self.keep_base();
        self.note_limits(trace_id.as_ref(), budget.as_deref());
        if trace_id.is_some() {
            self.local.trace_id = trace_id;
        }
        if let Some(mut budget) = budget {
            budget.exceeded_at = self.local.budget.as_ref().and_then(|known| known.exceeded_at);
            self.local.budget = Some(budget);
        }
    }

    /// Records that the workflow has exceeded a limit, if it has just done so.
    #[inline]
    fn check_budget(&mut self, now: Timestamp) {
        if self.local.budget.is_some() {
            self.find_excess(now);
        }
    }

    #[cold]
    fn find_excess(&mut self, now: Timestamp) {
        let excess = self.local.excess();
        if let Some(budget) = &mut self.local.budget
            && budget.exceeded_at.is_none()
            && excess.is_some()
        {
            budget.exceeded_at = Some(now);
            self.excess = excess.map(Box::new);
        }
    }

    /// Whether the workflow has just exceeded a limit.
    #[inline]
    pub(crate) fn has_excess(&self) -> bool {
        self.excess.is_some()
    }

    /// The limit that the workflow has just exceeded. It is returned once.
    #[inline]
    pub(crate) fn take_excess(&mut self) -> Option<Box<Excess>> {
        self.excess.take()
    }

    fn usage(&mut self, slot: usize) -> AgentUsage<'_> {
        AgentUsage {
            active: &mut self.active[slot],
            agent: &mut self.local.agents[slot].1,
            unsent: self.unsent[slot].get_or_insert_default(),
        }
    }

    /// When the only call of an agent started, and the version with its end, if this process made it.
    fn own_call(&self, slot: usize) -> Option<(Timestamp, u64)> {
        own_call(&self.active[slot], &self.unacknowledged, &self.unsent, slot)
    }

    /// `local` is about to change: what the table holds is kept apart from now on.
    #[inline]
    fn keep_base(&mut self) {
        if self.is_base {
            self.copy_base();
        }
    }

    #[cold]
    fn copy_base(&mut self) {
        self.base = Some(Arc::new(self.local.clone()));
        self.is_base = false;
    }

    #[inline]
    fn touch(&mut self, now: Timestamp) {
        debug_assert!(!self.is_base, "the base was not kept");
        self.local.last_updated = self.local.last_updated.max(now);
        self.version += 1;
    }
}

#[cold]
fn own_call(
    active: &ActiveCalls,
    unacknowledged: &[SentDeltas],
    unsent: &[Option<Box<UsageDelta>>],
    slot: usize,
) -> Option<(Timestamp, u64)> {
    let is_own = active.is_recorded || unsaved_usage(unacknowledged, unsent, slot).calls > 0;
    Some((active.started_at.filter(|_| is_own)?, active.last_end))
}

/// The calls and tokens of an agent that `base` does not count.
fn unsaved_usage(
    unacknowledged: &[SentDeltas],
    unsent: &[Option<Box<UsageDelta>>],
    slot: usize,
) -> UsageDelta {
    let mut sum = UsageDelta::default();
    // (7) A write that was sent before the agent appeared has no delta in its slot.
    let lacking = unacknowledged.iter().filter_map(|sent| sent.deltas.get(slot));
    lacking.chain([&unsent[slot]]).flatten().for_each(|delta| sum.add(delta));
    sum
}
