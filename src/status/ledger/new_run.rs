//! A new run of a session, whose first write replaces the item of the previous run.
//!
//! What is kept of the previous run becomes `previousRun`. If that run was not saved when this one
//! began, its ledger is kept until this one has replaced it, so that its sums include what other
//! processes have added.

use std::sync::Arc;
use std::time::Duration;

use super::{Ledger, unsaved_usage};
use crate::status::{Item, PreviousRun, Timestamp, WorkflowStatus};

/// Whether this run replaces the item of an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NewRun {
    /// It does not: the item, if there is one, is of this run.
    None,
    /// It does, and no write of the new run was sent yet.
    Unsent,
    /// It does, and the first write of the new run, with this number and time of creation, may
    /// have been applied.
    Sent { seq: u64, created_at: Timestamp },
}

impl Ledger {
    /// Starts the workflow over, with no agents. The next write replaces the item of the previous run.
    pub(crate) fn begin_new_run(&mut self, now: Timestamp) {
        self.keep_base();
        let mut next = Self::new(self.local.session_id.clone(), now);
        next.retention = self.retention;
        next.forget_retention();
        next.expire_after_creation();
        next.base.clone_from(&self.base);
        next.stored_version.clone_from(&self.stored_version);
        next.deleted.clone_from(&self.deleted);
        next.first_seq = self.first_seq;
        next.run = self.run + 1;
        next.version = self.version + 1;
        next.saved_version = self.saved_version;
        next.seen_version = self.seen_version;
        next.sent_version = self.sent_version;
        next.new_run = NewRun::Unsent;
        if self.first_seq.is_some() {
            next.order_after(&self.local);
        }
        if self.version > 0 {
            next.local.previous_run = Some(Box::new(PreviousRun::of(&self.local)));
        }
        let mut previous = std::mem::replace(self, next);
        if previous.is_dirty() {
            previous.previous_ledger = None;
            self.previous_ledger = Some(Box::new(previous));
        }
    }

    /// Makes this run's times later than those of the previous run. Runs are told apart by
    /// `created_at`, and the clocks of two processes may disagree.
    pub(super) fn order_after(&mut self, before: &WorkflowStatus) {
        let after = before.created_at.saturating_add(Duration::from_millis(1));
        self.local.created_at = self.local.created_at.max(after);
        let last = self.local.last_updated.max(before.last_updated);
        self.local.last_updated = last.max(self.local.created_at);
        self.expire_after_creation();
    }

    /// Whether the next write replaces the item that a write of this run has met.
    pub(super) fn replaces(
        &mut self,
        remote: &WorkflowStatus,
        found: &Item,
        writer: &str,
        now: Timestamp,
    ) -> bool {
        let has = |seq| remote.writers.have(writer, seq);
        match self.new_run {
            // (1) The first write of the new run, or a later one, was applied and its answer
            // lost. The item is of this run already, and may hold what others added to it.
            NewRun::Sent { seq, .. } if has(seq) => self.is_of_this_run(),
            // An item that may have forgotten this writer shows its run by the time of creation.
            NewRun::Sent { seq, created_at }
                if remote.created_at == created_at
                    && remote.writers.may_have_forgotten(writer, seq) =>
            {
                self.is_of_this_run()
            }
            NewRun::None => self.begins_with(remote, writer, now),
            NewRun::Unsent | NewRun::Sent { .. } => {
                if let Some(previous) = &mut self.previous_ledger {
                    // What that run lacks does not concern this one.
                    let _ = previous.write_conflicted(Some(found), writer, now);
                }
                let before =
                    self.previous_ledger.as_deref().map_or(remote, |previous| &previous.local);
                let joins =
                    self.new_run_after.as_ref().is_some_and(|after| !after.replaces(before));
                if joins {
                    self.join_another_run(remote);
                }
                !joins
            }
        }
    }

    fn is_of_this_run(&mut self) -> bool {
        self.new_run = NewRun::None;
        self.new_run_after = None;
        self.previous_ledger = None;
        false
    }

    /// Another process has begun a run meanwhile, or ended one: what this one has belongs to that.
    /// So do calls and tokens of the previous run that no item has had.
    fn join_another_run(&mut self, remote: &WorkflowStatus) {
        // So the merge takes it for this run, with the end, the retention and the attributes that
        // this one has.
        if remote.created_at.as_millis() > 0 {
            self.local.created_at = remote.created_at;
        }
        self.new_run = NewRun::None;
        self.new_run_after = None;
        self.base = None;
        self.stored_version = None;
        self.deleted = None;
        self.missing_usage = None;
        self.local.previous_run = None;
        let Some(mut previous) = self.previous_ledger.take() else { return };
        previous.refresh_activities();
        for slot in 0..previous.local.agents.len() {
            let delta = unsaved_usage(&previous.unacknowledged, &previous.unsent, slot);
            if !delta.is_empty() {
                let activities = Arc::clone(&previous.active[slot].activities);
                let (name, agent) = &previous.local.agents[slot];
                let slot = self.slot(name, &activities);
                self.unsent[slot].get_or_insert_default().add(&delta);
                // So does what they have left, if nothing came after it.
                let local = &mut self.local.agents[slot].1;
                if local.last_updated.is_none() && agent.has_ended() {
                    *local = agent.clone();
                    self.active[slot].activity_is_stale = false;
                }
            }
        }
    }

    /// Has the next write replace this item.
    pub(super) fn replace(&mut self, remote: WorkflowStatus, found: &Item) {
        let before = self.previous_ledger.as_deref().map_or(&remote, |previous| &previous.local);
        self.local.previous_run = Some(Box::new(PreviousRun::of(before)));
        self.order_after(&remote);
        self.deleted = None;
        self.set_base(remote, found);
    }
}
