//! The part of a [merge](super::merge) that is about [tasks](super::tasks).
//!
//! The unfinished tasks merge as a set: those of the item, with what was added and ended here
//! since `base`. Then the answers that matched no task find out whether the item names theirs.

use super::Ledger;
use super::tasks::names;
use crate::status::{TaskId, WorkflowStatus};

impl Ledger {
    /// A write with everything up to this version was applied, on condition that the item was
    /// as it is known here. So it names no further tasks, and an answer that matches none does
    /// not count.
    pub(super) fn forget_unmatched(&mut self, version: u64) {
        if let Some(tasks) = &mut self.tasks {
            tasks.unmatched.retain(|fetched| fetched.version > version);
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
    ) -> Vec<TaskId> {
        let base = base.map_or(&[][..], |base| &base.unfinished_tasks);
        let local = std::mem::take(&mut self.local.unfinished_tasks);
        let (remote, remote_revision) = (&remote.unfinished_tasks, remote.revision);
        let tasks = self.tasks.as_deref();
        let ended_here = |id: &TaskId| {
            base.contains(id) && !local.contains(id)
                || tasks.is_some_and(|tasks| tasks.has_ended(id))
        };
        let mut merged: Vec<_> = remote.iter().filter(|id| !ended_here(id)).cloned().collect();
        // In a full list, a task may be missing because newer ones came.
        let is_full = remote.len() >= WorkflowStatus::MAX_UNFINISHED_TASKS;
        let (kept, added): (Vec<_>, Vec<_>) =
            local.into_iter().filter(|id| !remote.contains(id)).partition(|id| base.contains(id));
        // A writer that knows no revision does not know of tasks either.
        let (kept, ended) = match (is_full, remote_revision) {
            (true, _) => (Vec::new(), Vec::new()),
            (false, 0) => (kept, Vec::new()),
            (false, _) => (Vec::new(), kept),
        };
        merged.extend(kept.into_iter().chain(added));
        let excess = merged.len().saturating_sub(WorkflowStatus::MAX_UNFINISHED_TASKS);
        merged.drain(..excess);
        self.local.unfinished_tasks = merged;
        if let Some(tasks) = &mut self.tasks {
            for task in tasks.known.iter_mut().filter(|task| ended.contains(&task.id)) {
                task.waiting_for = None;
                task.is_awaited = false;
            }
        }
        ended
    }

    /// Gives the tasks that were fetched here before the item was known to the agents that wait
    /// for them in the item. The agents that fetched them have ended.
    fn give_back_tasks(&mut self, remote: &WorkflowStatus) {
        let mut fetched_by = Vec::new();
        let known = self.tasks.iter_mut().flat_map(|tasks| &mut tasks.known);
        for task in known.filter(|task| task.was_fetched) {
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
        self.give_back_tasks(remote);
        let unmatched = self.tasks.as_mut().map(|tasks| std::mem::take(&mut tasks.unmatched));
        for fetched in unmatched.into_iter().flatten() {
            if names(remote, &fetched.id) {
                self.count(&fetched.id, fetched.slot, &fetched.usage);
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
