//! The part of a [merge](super::merge) that is about [tasks](super::tasks).
//!
//! The unfinished tasks merge as a set: those of the item, with what was added and ended here
//! since `base`. Then the answers that matched no task find out whether the item names theirs.

use std::collections::VecDeque;

use super::Ledger;
use super::tasks::{Fetched, names};
use crate::status::{TaskId, WorkflowStatus};

impl Ledger {
    /// A write with everything up to this version was applied, on condition that the item was
    /// as it is known here. So it names no further tasks: those that only GETs have named are
    /// tasks of this session now, and answers that match none do not count.
    #[cold]
    pub(super) fn confirm_tasks(&mut self, version: u64) {
        let Some(tasks) = &mut self.tasks else { return };
        tasks.saved(version);
        for task in tasks.known.iter_mut().filter(|task| task.named_at <= version) {
            task.is_unconfirmed = false;
        }
        let (saved, rest) = std::mem::take(&mut tasks.unmatched)
            .into_iter()
            .partition::<VecDeque<_>, _>(|fetched| fetched.version <= version);
        tasks.unmatched = rest;
        for Fetched { id, slot, used, .. } in saved.into_iter().filter(|f| f.is_named) {
            if self.count(&id, slot, &used).is_some() {
                self.version += 1;
            }
        }
    }

    /// A conflict has shown that the table has everything up to this version.
    pub(super) fn tasks_saved(&mut self, version: u64) {
        if let Some(tasks) = &mut self.tasks {
            tasks.saved(version);
        }
    }

    /// Takes back what was counted here of tasks that `remote` does not name any more: the
    /// process that saw their end has counted them.
    fn take_back(&mut self, is_ended_elsewhere: impl Fn(&TaskId) -> bool) {
        let known = self.tasks.iter_mut().flat_map(|tasks| &mut tasks.known);
        for task in known.filter(|task| is_ended_elsewhere(&task.id)) {
            for (_, delta) in task.unsaved.drain(..) {
                self.unsent[task.slot].get_or_insert_default().add(&delta.negated());
            }
        }
    }

    /// Keeps what belongs to the new run that another process has begun: the tasks of agents
    /// that have moved along.
    pub(super) fn adopt_tasks(&mut self) {
        let Some(tasks) = &mut self.tasks else { return };
        let agents = &self.local.agents;
        for task in &mut tasks.known {
            let agent = &agents[task.slot].1;
            if agent.waiting_for.is_none() || !task.is_awaited {
                task.is_awaited = false;
                task.waiting_for = None;
            } else {
                self.local.unfinished_tasks.push(task.id.clone());
            }
        }
    }

    /// Merges the unfinished tasks: those of `remote`, with what was added and ended here since
    /// `base`. Returns the tasks that were ended elsewhere.
    pub(super) fn merge_unfinished(
        &mut self,
        remote: &WorkflowStatus,
        base: Option<&WorkflowStatus>,
        seen: Option<u64>,
        by_older_writer: bool,
    ) -> Vec<TaskId> {
        let base = base.map_or(&[][..], |base| &base.unfinished_tasks);
        // A write whose answer was lost has named some as well.
        let known = self.tasks.iter().flat_map(|tasks| &tasks.known);
        let sent = known.into_iter().filter(|task| Some(task.named_at) <= seen);
        let base: Vec<_> = base.iter().chain(sent.map(|task| &task.id)).cloned().collect();
        let local = std::mem::take(&mut self.local.unfinished_tasks);
        let knows_tasks = remote.revision > 0 && !by_older_writer;
        let remote = &remote.unfinished_tasks;
        // In a full list, a task may be missing because newer ones came. An older writer
        // does not know of tasks.
        let is_full = remote.len() >= WorkflowStatus::MAX_UNFINISHED_TASKS;
        if !is_full && knows_tasks {
            self.take_back(|id| base.contains(id) && !remote.contains(id));
        }
        let tasks = self.tasks.as_deref();
        let ended_here = |id: &TaskId| {
            base.contains(id) && !local.contains(id)
                || tasks.is_some_and(|tasks| tasks.has_ended(id))
        };
        let mut merged: Vec<_> = remote.iter().filter(|id| !ended_here(id)).cloned().collect();
        let (kept, added): (Vec<_>, Vec<_>) =
            local.into_iter().filter(|id| !remote.contains(id)).partition(|id| base.contains(id));
        let (kept, ended) = match (is_full, knows_tasks) {
            (true, _) => (Vec::new(), Vec::new()),
            (false, false) => (kept, Vec::new()),
            (false, true) => (Vec::new(), kept),
        };
        merged.extend(kept.into_iter().chain(added));
        let excess = merged.len().saturating_sub(WorkflowStatus::MAX_UNFINISHED_TASKS);
        merged.drain(..excess);
        self.local.unfinished_tasks = merged;
        if let Some(tasks) = &mut self.tasks {
            for task in tasks.known.iter_mut().filter(|task| ended.contains(&task.id)) {
                task.waiting_for = None;
                task.is_awaited = false;
                task.was_unfinished = false;
            }
        }
        ended
    }

    /// Decides on the tasks that only GETs have named so far. Those that the item names belong
    /// to the agents that wait for them there. The others have never been tasks of this session,
    /// or have ended. In both cases the agents that fetched them have ended.
    fn confirm_fetched(&mut self, remote: &WorkflowStatus) {
        let (mut fetched_by, mut dropped) = (Vec::new(), Vec::new());
        // The item may have forgotten some; see `merge_unfinished`.
        let may_be_missing = remote.revision == 0
            || remote.unfinished_tasks.len() >= WorkflowStatus::MAX_UNFINISHED_TASKS;
        let known = self.tasks.iter_mut().flat_map(|tasks| &mut tasks.known);
        for task in known.filter(|task| task.is_unconfirmed) {
            if !names(remote, &task.id) {
                if !may_be_missing {
                    task.is_unconfirmed = false;
                    task.was_unfinished = false;
                    task.waiting_for = None;
                    task.is_awaited = false;
                    self.local.unfinished_tasks.retain(|id| *id != task.id);
                    dropped.push(task.id.clone());
                    fetched_by.push((task.slot, task.id.clone()));
                }
                continue;
            }
            task.is_unconfirmed = false;
            let waiting = remote.agents.iter().filter(|(_, agent)| {
                agent.waiting_for.is_some() && agent.task_id.as_ref() == Some(&task.id)
            });
            let Some((first, agent)) = waiting.min_by_key(|(_, agent)| agent.started_at) else {
                continue;
            };
            let slot = self.local.agents.iter().position(|(name, _)| name == first);
            if let Some(slot) = slot.filter(|slot| *slot != task.slot)
                && agent.started_at < self.local.agents[task.slot].1.started_at
            {
                fetched_by.push((task.slot, task.id.clone()));
                task.slot = slot;
                task.is_awaited = false;
            }
        }
        for fetched in self.tasks.iter_mut().flat_map(|tasks| &mut tasks.unmatched) {
            // What named it was nothing but such a GET.
            fetched.is_named &= !dropped.contains(&fetched.id);
        }
        for (slot, id) in fetched_by {
            let agent = &self.local.agents[slot].1;
            if agent.waiting_for.is_some()
                && agent.task_id.as_ref() == Some(&id)
                && self.active[slot].in_flight == 0
                && let Some(at) = agent.last_updated
            {
                self.set_ended_or_waiting(slot, at);
            }
        }
    }

    /// Counts the answers whose task the item turns out to name, and ends the agents that wait
    /// for a task whose end is known.
    pub(super) fn match_tasks(&mut self, remote: &WorkflowStatus) {
        if self.tasks.is_none() {
            return;
        }
        self.confirm_fetched(remote);
        let sent = self.sent_version;
        let mut matched = VecDeque::new();
        if let Some(tasks) = &mut self.tasks {
            let all = std::mem::take(&mut tasks.unmatched).into_iter();
            let (named, others): (VecDeque<_>, VecDeque<_>) =
                all.partition(|fetched| names(remote, &fetched.id));
            matched = named;
            tasks.unmatched = others;
            tasks.unmatched.retain(|fetched| fetched.version > sent);
        }
        for fetched in matched {
            self.count(&fetched.id, fetched.slot, &fetched.used);
            let slot = self.agent_of(&fetched.id, fetched.slot);
            let task = self.tasks.get_or_insert_default().name(&fetched.id, slot);
            task.was_unfinished = true;
            if let Some(end) = fetched.end {
                task.waiting_for = None;
                task.is_awaited = false;
                task.end.get_or_insert(end);
                self.local.unfinished_tasks.retain(|id| *id != fetched.id);
            }
        }
        for slot in 0..self.local.agents.len() {
            let agent = &self.local.agents[slot].1;
            let Some(id) = &agent.task_id else { continue };
            let known = self.tasks.iter().flat_map(|tasks| &tasks.known);
            let end = known.into_iter().find(|known| known.id == *id).and_then(|k| k.end.clone());
            if self.active[slot].in_flight == 0
                && let Some(end) = end
            {
                self.end_waiting(slot, end);
            }
        }
    }
}
