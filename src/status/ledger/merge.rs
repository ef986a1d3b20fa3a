//! The merge after a conflict: another writer changed the item, or an earlier write of ours
//! was applied and its answer lost.
//!
//! ```text
//! remote = the item that did not meet the precondition
//! none                              base = none: the next write creates it again, with all that
//!                                   is known here, and with who has written that
//! this run has yet to replace it    base = remote: the next write replaces all of it
//! remote is of a later run          local = that run, with the calls in flight here
//!
//! unacknowledged −= the writes that remote has seen: those up to remote.writers[me]
//! base = what the last of them wrote, if its answer was lost
//! unacknowledged −= the writes that remote may have or not: it has forgotten this writer
//! local = merge(base, local, remote):
//!     attributes, correlation id    local where it differs from what this process last wrote
//!                                   (from base, unless an answer was lost), else remote
//!     overall status                the first end; without one, processing before initializing
//!     an agent's state              local if it differs from base and is the later one, or
//!                                   the clocks disagree on that; else remote; the earlier
//!                                   start of both
//!     calls and tokens              remote + unacknowledged + unsent
//!     expiry                        remote, unless a workflow here has set it since base
//!     unfinished tasks              remote, with what was added and ended here since base
//! an agent with a call in flight here is in progress; if the workflow has finished, only with
//! a call that started after its end
//! base = remote
//! ```
//!
//! # Invariant
//!
//! After the merge, `local` counts what `base` counts plus the deltas that `base` lacks, so
//! the next write may replace the item's sums by `local`'s. This rests on `writers`: a write
//! that was applied put its number there together with its deltas, so the item has both or
//! neither. An item that has forgotten a writer says up to which number that may be so; what it
//! may have is then not added again, and reported. A finished workflow stays finished, and its first
//! end stands, with one exception (5). A conflict leaves the ledger dirty, and the recorder writes
//! again.
//!
//! # Cost
//!
//! One pass over the item: it is read into a document, and what was changed elsewhere is
//! cloned from it. Agents are looked up by linear search (there are 128 at most unless more
//! are declared). It runs in the recorder, under the session's lock; without a conflict,
//! nothing here runs at all.

use std::sync::Arc;

use super::merge_agent::{is_ahead, merge_agent};
use super::{ActiveCalls, Ledger, SentDeltas, unsaved_usage};
use crate::status::attempt::Attempt;
use crate::status::{
    AgentState, AgentStatus, CallError, CostDelta, Item, OverallStatus, SharedAgent, Timestamp,
    TokenDelta, UsageDelta, Value, WorkflowStatus, schema,
};

/// Calls and tokens that the item may count, or lack: a write of them got no answer, and the item has
/// forgotten its writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UncertainUsage {
    pub(crate) calls: u64,
    pub(crate) tokens: TokenDelta,
    pub(crate) cost: CostDelta,
}

/// What the item may lack, and this process does not write again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub(crate) struct Lack {
    /// It may count these or not, since it has forgotten this writer.
    pub(crate) uncertain: Option<UncertainUsage>,
    /// It lacks writes of this process that were acknowledged: it was deleted, and made again by a
    /// process that did not know of them.
    pub(crate) is_another: bool,
}

impl Ledger {
    /// The write did not meet its precondition, and `found` is the item as it is.
    pub(crate) fn write_conflicted(
        &mut self,
        found: Option<&Item>,
        writer: &str,
        now: Timestamp,
    ) -> Lack {
        self.keep_base();
        let Some(found) = found else {
            // The item was deleted. Everything known is written again.
            self.deleted = self.base.take().or(self.deleted.take());
            return Lack::default();
        };
        // Before remote's activities come in: a stale one here would overwrite them later.
        self.refresh_activities();
        let mut remote = WorkflowStatus::from_item(&self.local.session_id, found);
        if self.replaces(&remote, found, writer, now) {
            self.lost.clear();
            self.replace(remote, found);
            return Lack::default();
        }
        let has = |seq| remote.writers.have(writer, seq);
        let lost = std::mem::take(&mut self.lost);
        // The item has come from that write: all who wrote since knew what it carried.
        let applied = remote.writers.last_write(writer);
        let lost = lost.into_iter().rev().find(|lost| has(*lost.seqs.start()));
        if let (Some(lost), Some(applied)) = (&lost, applied)
            && lost.seqs.contains(&applied)
        {
            let mut document = Arc::clone(&lost.document);
            // A later one of those that carried the same.
            if applied != *lost.seqs.start() {
                let document = Arc::make_mut(&mut document);
                document.writers.set(writer, applied);
                document.revision = remote.revision;
            }
            self.base = Some(document);
            self.stored_version = None;
        }
        let by_older_writer = self.was_changed_by_older_writer(&remote, found);
        // An item that was deleted is known as well.
        let deleted = self.deleted.take();
        let before = self.base.clone().or(deleted);
        let is_another = before
            .as_ref()
            .and_then(|before| before.writers.last_write(writer))
            .is_some_and(|seq| !has(seq) && !remote.writers.may_have_forgotten(writer, seq));
        // (2) A later `created_at` means a later run only to a process that knows an earlier
        // item. To one that has just started, the item is a run to resume, whenever it began.
        let knows_item = before.is_some() || self.first_seq.is_some_and(has);
        let known = self
            .base
            .as_ref()
            .map_or(self.local.created_at, |base| base.created_at.max(self.local.created_at));
        // (17) What an attribute was when the item last had it from here, though no answer came.
        let written = lost.map(|lost| lost.document).or(before);
        let is_live = by_older_writer
            && self.base.as_ref().is_some_and(|base| !base.overall_status.is_finished());
        if knows_item && remote.created_at > known && !is_live {
            self.adopt_new_run(&remote, written.as_deref(), writer, false, now);
            self.describe_adopted_run();
        }
        // (11) To a process that has just started, a finished item says that its calls began
        // after the end.
        if !knows_item && remote.overall_status.is_finished() && !self.is_finished() {
            for (active, (_, agent)) in self.active.iter_mut().zip(&self.local.agents) {
                active.is_after_end = active.in_flight > 0 || agent.waiting_for.is_some();
            }
        }
        // (3) Also after another run was adopted: what no item has seen is not lost.
        let seen = self.note_seen(&remote, writer);
        self.unacknowledged.retain(|sent| !has(sent.seq));
        let uncertain = self.take_uncertain(&remote, writer);
        if let Some(version) = seen {
            self.tasks_saved(version);
        }
        let is_recovered = self.find_missing_usage(&remote, by_older_writer, writer);
        if let Some(base) = self.base.as_deref().filter(|_| by_older_writer) {
            remote.writers.join(&base.writers);
        }
        let is_copy = by_older_writer && remote.revision > 0;
        self.merge_values(&remote, written.as_deref(), is_copy);
        self.merge(&remote, seen, by_older_writer, writer, now);
        self.decide_new_run();
        let sum = Value::Map(remote.total_token_usage().to_item());
        self.writes_derived |=
            by_older_writer || found.get(schema::TOTAL_TOKEN_USAGE) != Some(&sum);
        self.set_base(remote, found);
        self.version += 1;
        Lack { uncertain, is_another: is_another && !is_recovered }
    }

    /// Records which of the unacknowledged writes have reached the item. Returns the version of the
    /// newest.
    fn note_seen(&mut self, remote: &WorkflowStatus, writer: &str) -> Option<u64> {
        let sent = self.unacknowledged.iter();
        let seen = sent.filter(|sent| remote.writers.have(writer, sent.seq));
        let seen = seen.map(|sent| sent.version).max();
        self.seen_version = self.seen_version.max(seen.unwrap_or(0));
        seen
    }

    /// Takes out the deltas of writes that may have been applied, if the item has forgotten this
    /// writer. To count a call twice would be worse than to count it not at all, since nobody could
    /// find out later.
    fn take_uncertain(&mut self, remote: &WorkflowStatus, writer: &str) -> Option<UncertainUsage> {
        let is_uncertain = |sent: &SentDeltas| remote.writers.may_have_forgotten(writer, sent.seq);
        let mut sum = UsageDelta::default();
        for sent in self.unacknowledged.iter().filter(|sent| is_uncertain(sent)) {
            sent.deltas.iter().flatten().for_each(|delta| sum.add(delta));
        }
        self.unacknowledged.retain(|sent| !is_uncertain(sent));
        let UsageDelta { calls, tokens, .. } = sum;
        (!sum.is_empty()).then(|| UncertainUsage { calls, tokens, cost: sum.cost() })
    }

    /// Moves to the run that another process has begun. What is known of the previous run
    /// goes, its end included, and so does its item: it is no base for a merge with the new one.
    /// Calls in flight, and deltas that no item has seen, move along: when those calls began is not
    /// known here, and no token may be lost. So do attributes that no item has had: `written` is
    /// what this process last wrote.
    /// With `is_own`, this process has begun the run itself.
    pub(super) fn adopt_new_run(
        &mut self,
        remote: &WorkflowStatus,
        written: Option<&WorkflowStatus>,
        writer: &str,
        is_own: bool,
        now: Timestamp,
    ) {
        let base = self.base.take();
        self.missing_usage = None;
        // What the item of the previous run had; (3) drops the deltas of it.
        self.note_seen(remote, writer);
        let mut local = WorkflowStatus::new(self.local.session_id.clone(), remote.created_at);
        local.last_updated = self.local.last_updated;
        for ((name, mut agent), active) in self.local.agents.drain(..).zip(&self.active) {
            // (4) An error that only the end of the previous run caused belongs to that end,
            // even if it was recorded after the new run began.
            let ended_with_run = !is_own && active.in_flight == 0 && agent.ended_with_workflow();
            // (14) What the item of the previous run had belongs to that run, whatever the clocks
            // say. For the rest they decide; if they disagree, it moves along as its tokens do.
            // Its sums may differ: a report in a finished run adds tokens and says nothing else.
            let saved = base.as_ref().and_then(|base| base.agent(&name));
            let is_of_run_before = saved.is_some_and(|saved| {
                (saved.state, saved.last_updated) == (agent.state, agent.last_updated)
            });
            // Its sums change, so it no longer shows only its one call.
            agent.note_only_call(active.started_at.map(|at| (at, active.last_end)));
            let is_later = agent.last_updated > Some(remote.created_at)
                || is_own && agent.last_updated == Some(remote.created_at)
                || agent.last_updated.is_some() && is_ahead(remote.created_at, now);
            if is_later && !is_of_run_before && !ended_with_run {
                local.overall_status = OverallStatus::Processing;
                let agent = &mut *agent;
                for at in [&mut agent.started_at, &mut agent.completed_at] {
                    *at = at.map(|at| at.max(remote.created_at));
                }
            } else {
                let attempts = std::mem::take(&mut agent.attempts);
                let pending = AgentStatus::clone(&active.activities.pending);
                agent = SharedAgent::new(AgentStatus { attempts, ..pending });
            }
            agent.attempts.keep_newer(self.seen_version);
            // Pushed in any case, so that slots stay valid.
            local.agents.push((name, agent));
        }
        let is_new = |name: &str, value: &Value| {
            written.is_none_or(|written| written.attributes.get(name) != Some(value))
        };
        local.attributes = std::mem::take(&mut self.local.attributes);
        local.attributes.retain(is_new);
        let id = self.local.correlation_id.take();
        local.correlation_id =
            id.filter(|id| written.is_none_or(|w| w.correlation_id.as_ref() != Some(id)));
        let id = self.local.trace_id.take();
        local.trace_id = id.filter(|id| written.is_none_or(|w| w.trace_id.as_ref() != Some(id)));
        let budget = self.local.budget.take();
        local.budget =
            budget.filter(|budget| written.is_none_or(|w| w.budget.as_ref() != Some(budget)));
        self.local = local;
        self.forget_retention();
        for active in &mut self.active {
            active.is_after_end &= is_own;
            active.is_recorded = false;
        }
        self.adopt_tasks();
        self.idle_since = None;
    }

    /// Takes the correlation id and the attributes of `remote` that this process has not changed
    /// since it has `written` them: the last write wins. If an older writer has put back an earlier
    /// copy of the item (`is_copy`), those that this process has set stand.
    pub(super) fn merge_values(
        &mut self,
        remote: &WorkflowStatus,
        written: Option<&WorkflowStatus>,
        is_copy: bool,
    ) {
        let local = &mut self.local;
        let is_unchanged =
            !is_copy && written.is_some_and(|w| w.correlation_id == local.correlation_id);
        if remote.correlation_id.is_some() && (is_unchanged || local.correlation_id.is_none()) {
            local.correlation_id.clone_from(&remote.correlation_id);
        }
        let known = local.attributes.clone();
        let taken = remote.attributes.iter().filter(|(name, _)| {
            let known = known.get(name);
            let is_own = self.own_attributes.iter().any(|own| **own == **name);
            let is_unchanged = written.is_some_and(|w| w.attributes.get(name) == known);
            !is_own || known.is_none() || is_unchanged && !is_copy
        });
        local.attributes.extend(taken.map(|(name, value)| (name.to_owned(), value.clone())));
    }

    /// Makes `local` the merge of itself and `remote`, with `base` as their common ancestor.
    pub(super) fn merge(
        &mut self,
        remote: &WorkflowStatus,
        seen: Option<u64>,
        by_older_writer: bool,
        writer: &str,
        now: Timestamp,
    ) {
        let base = self.base.take();
        let ended = self.merge_unfinished(remote, base.as_deref(), seen, by_older_writer);
        let local = &mut self.local;

        // An item of an older writer may have no time of creation, and reads as 1970 then.
        if remote.created_at.as_millis() > 0
            && !(by_older_writer && remote.created_at > local.created_at)
        {
            local.created_at = remote.created_at;
        }
        if remote.previous_run.is_some() {
            local.previous_run.clone_from(&remote.previous_run);
        }
        self.merge_expiry(remote, base.as_deref(), by_older_writer, now);
        let local = &mut self.local;
        if local.trace_id.is_none() {
            local.trace_id.clone_from(&remote.trace_id);
        }
        if let Some(budget) = &remote.budget {
            local.budget.get_or_insert_default().merge(budget);
        }
        local.last_updated = local.last_updated.max(remote.last_updated);
        // (5) The one end that is taken back: it was assumed here for idleness, and another
        // process has updated the item since. Its clock may be behind, so its number tells. A lost
        // write of ours takes nothing back: from before the end it is no later, and with the end it
        // makes `remote` finished.
        let others_wrote =
            base.as_ref().is_some_and(|base| remote.writers.others_wrote(writer, &base.writers));
        let is_taken_back =
            self.idle_since.take_if(|since| others_wrote || remote.last_updated > *since).is_some();
        if is_taken_back {
            local.overall_status = OverallStatus::Processing;
            local.completed_at = None;
            // With a finished item, the workflow stays finished, and the calls after its end go on.
            if !remote.overall_status.is_finished() {
                self.active.iter_mut().for_each(|active| active.is_after_end = false);
            }
        }
        let is_processing =
            [remote.overall_status, local.overall_status].contains(&OverallStatus::Processing);
        // (19) The item had an end, and an older writer has replaced it by another.
        let had_ended = by_older_writer
            && local.overall_status.is_finished()
            && base.as_ref().is_some_and(|base| base.overall_status.is_finished());
        if had_ended {
            // The first end stands.
        } else if remote.overall_status.is_finished() {
            local.overall_status = remote.overall_status;
            local.error.clone_from(&remote.error);
            // An older writer does not say when a run ended; it has just ended this one.
            let went_on = base.as_ref().is_some_and(|base| !base.overall_status.is_finished());
            let just_now = went_on.then_some(remote.last_updated);
            local.completed_at = remote.completed_at.or(just_now);
        } else if is_processing && !local.overall_status.is_finished() {
            local.overall_status = OverallStatus::Processing;
        }

        // (20) The only call of an agent on either side becomes an attempt, unless the agent still shows
        // nothing but that call.
        let mut only_calls = Vec::new();
        for (name, agent) in &remote.agents {
            let slot = self.local.agents.iter().position(|(known, _)| known == name);
            match slot {
                Some(slot) => {
                    let own = self.own_call(slot);
                    let local = &mut self.local.agents[slot].1;
                    let ours = Attempt::only_call_of(local, own);
                    let calls = [ours, Attempt::only_call_of(agent, None)];
                    only_calls.extend(calls.into_iter().flatten().map(|call| (slot, call)));
                    let base = base.as_ref().and_then(|base| base.agent(name));
                    // (18) An older writer has not seen what the item had.
                    let is_seen =
                        !by_older_writer || base == Some(&**agent) || local.last_updated.is_none();
                    let base = base.filter(|_| is_seen);
                    // (12) The agent waits for what another process has seen the end of, or has
                    // ended only for the idleness that is taken back.
                    let is_outdated = local.task_id.as_ref().is_some_and(|id| ended.contains(id))
                        || is_taken_back
                            && local
                                .error
                                .as_ref()
                                .is_some_and(|e| e.class == CallError::UNFINISHED);
                    let attempts = local.attempts.clone();
                    if is_outdated {
                        *local = agent.clone();
                    } else {
                        merge_agent(local, agent, base, now);
                    }
                    local.attempts.merge(&agent.attempts);
                    local.attempts.merge(&attempts);
                }
                None => {
                    self.local.agents.push((Arc::clone(name), agent.clone()));
                    self.active.push(ActiveCalls::none(Arc::default()));
                    self.unsent.push(None);
                }
            }
        }
        // (6) Counted anew for every agent, those that only one side has included: the agent
        // that `merge_agent` took from either side carries that side's sums.
        for (slot, (name, agent)) in self.local.agents.iter_mut().enumerate() {
            let remote = remote.agents.iter().find(|(known, _)| known == name);
            agent.set_usage(remote.map(|(_, remote)| &**remote));
            let unsaved = unsaved_usage(&self.unacknowledged, &self.unsent, slot);
            let missing = self.missing_usage.as_ref().and_then(|missing| missing.delta(slot));
            for delta in [Some(&unsaved), missing].into_iter().flatten() {
                agent.add_usage(delta);
            }
            agent.simplify_models();
        }
        self.check_budget(now);
        self.match_tasks(remote);
        let is_finished = self.is_finished();
        for slot in 0..self.active.len() {
            let active = &self.active[slot];
            let (name, agent) = &self.local.agents[slot];
            let is_called = active.in_flight > 0 && (!is_finished || active.is_after_end);
            // (13) The write that ended the workflow ended its agents too. So an agent that the
            // finished item has in progress was called after the end.
            let is_called_elsewhere = || {
                remote.overall_status.is_finished()
                    && remote.revision > 0
                    && remote.agent(name).is_some_and(|a| a.state == AgentState::InProgress)
            };
            if is_called {
                // (8) Another process may have ended the agent's state with a call of its own.
                if agent.state != AgentState::InProgress {
                    self.set_in_progress(slot, None, now);
                }
            } else if is_finished && !(active.is_after_end || is_called_elsewhere()) {
                self.end_with_workflow(slot, now);
            }
        }
        for (slot, call) in only_calls {
            let agent = &mut self.local.agents[slot].1;
            if !call.is_shown_by(agent) {
                agent.attempts.insert(call);
            }
        }
    }
}
