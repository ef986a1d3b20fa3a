//! The part of a [merge](super::merge) that handles older writers: those that keep no `revision`.
//!
//! They put a new item (`PutItem`), put back a copy that they read earlier, or replace the maps of
//! agents, whatever this process has written in the meantime. The next write of this process notices:
//! the version of the item has changed, and no process has added its number to `writers`. Then:
//!
//! ```text
//! what they have left out             is written again, with the next write
//! what this process does not know     stays
//! an agent that both have written     the later state; the tokens of this process, if it has any
//! an agent of another process         the later state; the tokens that the item had, or more
//! an agent that only they have        the later state, with the tokens of that; else what the item had
//! the run                             stays this one, whatever they say when it began, unless it had
//!                                     ended: then they have begun another
//! ```
//!
//! If other processes have written since, a change by an older writer still shows in an agent that
//! has ended and counts no call.

use std::sync::Arc;

use super::{Ledger, unsaved_usage};
use crate::status::{AgentStatus, Item, ItemVersion, UsageDelta, Value, WorkflowStatus};

impl Ledger {
    /// Makes this item the base of what is written next.
    pub(super) fn set_base(&mut self, remote: WorkflowStatus, found: &Item) {
        let found = ItemVersion::of(found);
        self.stored_version = (found != version_of(&remote)).then(|| Box::new(found));
        self.base = Some(Arc::new(remote));
    }

    /// The version that the item must have for the next write; `None` if there must be none.
    pub(super) fn base_version(&self) -> Option<ItemVersion> {
        let base = self.base.as_deref()?;
        Some(self.stored_version.as_deref().cloned().unwrap_or_else(|| version_of(base)))
    }

    /// Whether an older writer has changed the item, and no process of this crate has since.
    pub(super) fn was_changed_by_older_writer(
        &self,
        remote: &WorkflowStatus,
        found: &Item,
    ) -> bool {
        let Some(base) = self.base.as_deref() else { return false };
        let is_base = self.base_version().is_some_and(|version| version == ItemVersion::of(found));
        // A copy of an item that has since been deleted belongs to another run.
        let is_another = remote.revision > 0 && remote.created_at != self.local.created_at;
        !is_base && !is_another && !remote.writers.has_newer(&base.writers)
    }

    /// Finds out which calls and tokens are missing from the item, so that the next write restores
    /// them. Returns whether it restores all that are missing.
    ///
    /// Runs at each conflict until a write is applied, since other processes restore theirs as well.
    pub(super) fn find_missing_usage(
        &mut self,
        remote: &WorkflowStatus,
        by_older_writer: bool,
        writer: &str,
    ) -> bool {
        let was_written = |missing: &MissingUsage| {
            missing.seq.is_some_and(|seq| remote.writers.have(writer, seq))
        };
        let before = self.missing_usage.take().filter(|missing| !was_written(missing));
        let Some(base) = self.base.clone() else { return false };
        let mut is_all = by_older_writer;
        let none = AgentStatus::pending(Arc::default());
        let mut known_agents = Vec::new();
        let mut deltas = vec![UsageDelta::default(); self.local.agents.len()];
        for (slot, (name, local)) in self.local.agents.iter().enumerate() {
            // `max_by_key` takes the last of two with as many calls: the one from before the change.
            let known = before.iter().filter_map(|missing| missing.known(name));
            let known = base.agent(name).into_iter().chain(known);
            let known = known.max_by_key(|agent| agent.calls);
            let (known, theirs) = (known.unwrap_or(&none), remote.agent(name).unwrap_or(&none));
            let is_theirs = is_of_other_writer(theirs) && known.calls > 0;
            if known == theirs || !(by_older_writer || is_theirs) {
                continue;
            }
            // It is a copy of an item that has since been deleted, and may have calls not known here.
            if theirs.calls > known.calls {
                is_all = false;
                continue;
            }
            let unsaved = unsaved_usage(&self.unacknowledged, &self.unsent, slot);
            let is_ours = self.active[slot].is_recorded || !unsaved.is_empty();
            let is_later = theirs.last_updated > local.last_updated;
            let missing = UsageDelta::between(theirs, known);
            let has_tokens = known.usage.is_some() || !unsaved.tokens.is_empty();
            if !is_ours && known.calls == 0 && is_later {
                continue;
            }
            // They may count the same calls.
            let are_same = is_ours && has_tokens;
            let increases = missing.clone().increases();
            is_all &= theirs.calls == 0 || increases.tokens == missing.tokens;
            deltas[slot] = if are_same { missing } else { increases };
            known_agents.push((Arc::clone(name), known.clone()));
        }
        if !known_agents.is_empty() {
            let missing = MissingUsage { agents: known_agents, deltas, seq: None };
            self.missing_usage = Some(Box::new(missing));
        }
        is_all
    }
}

/// Whether only an older writer can have left an agent like this: they count no calls.
fn is_of_other_writer(agent: &AgentStatus) -> bool {
    agent.calls == 0 && agent.has_ended()
}

/// Calls and tokens that the item had, and no longer has.
#[derive(Debug)]
pub(super) struct MissingUsage {
    /// The agents as they were when the item had them.
    agents: Vec<(Arc<str>, AgentStatus)>,
    /// What is missing, by slot.
    deltas: Vec<UsageDelta>,
    /// The number of the first write that restores them.
    pub(super) seq: Option<u64>,
}

impl MissingUsage {
    fn known(&self, name: &str) -> Option<&AgentStatus> {
        self.agents.iter().find(|(known, _)| **known == *name).map(|(_, agent)| agent)
    }

    pub(super) fn delta(&self, slot: usize) -> Option<&UsageDelta> {
        self.deltas.get(slot)
    }
}

/// The version of an item as this process writes it.
fn version_of(document: &WorkflowStatus) -> ItemVersion {
    let updated = document.last_updated;
    let updated = (updated.as_millis() != 0).then(|| Value::from(updated.to_string()));
    let mut version = ItemVersion::new(None, None);
    version.revision = (document.revision > 0).then_some(Value::Integer(document.revision));
    version.last_updated = updated;
    version
}
