//! A new run of a session, whose first write replaces the item of the previous run.
//!
//! ```text
//! begin_new_run          always
//! begin_new_run_after    if the previous run has ended long enough ago. What this process knows decides
//!                        at once; what the item says, with the first conflict:
//!
//!   the item is                      so this run
//!   of a run that ended long ago     replaces it
//!   of one that goes on, or has      joins it, with calls that came late if it has ended
//!   ended just now
//! ```
//!
//! What is kept of the previous run becomes `previousRun`. If that run was not saved when this one
//! began, its ledger is kept until this one has replaced it, so that its sums include what other
//! processes have added.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::merge::has_ended;
use super::{Ledger, UsageDelta};
use crate::status::{ErrorMessage, Item, PreviousRun, Timestamp, Value, WorkflowStatus, schema};

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

/// The condition on which this run replaces the one in the item.
#[derive(Clone, Debug)]
pub(super) struct NewRunAfter {
    /// How long ago its end must be.
    age: Duration,
    /// When this run was opened, and the version that the ledger had before.
    opened_at: Timestamp,
    version: u64,
    /// How long the workflow has said that its item is kept.
    pub(super) retention: Option<Duration>,
    correlation_id: Option<String>,
    attributes: BTreeMap<String, Value>,
    /// How and when the workflow has ended, in a session that was finished as far as was known.
    end: Option<(Result<(), ErrorMessage>, Timestamp)>,
}

impl NewRunAfter {
    fn new(age: Duration, opened_at: Timestamp, version: u64) -> Self {
        Self {
            age,
            opened_at,
            version,
            retention: None,
            correlation_id: None,
            attributes: BTreeMap::new(),
            end: None,
        }
    }

    /// Whether `run` had ended long enough ago when this one was opened. It makes no difference how
    /// long the table took to answer.
    fn replaces(&self, run: &WorkflowStatus) -> bool {
        // One that somebody has ended by hand has not ended just now: its process has died.
        let was_given_up = run.attributes.contains_key(schema::ENDED_BY);
        run.ended_at()
            .is_some_and(|ended| was_given_up || self.opened_at.duration_since(ended) >= self.age)
    }
}

impl Ledger {
    /// Starts the workflow over, with no agents. The next write replaces the item of the previous run.
    pub(crate) fn begin_new_run(&mut self, now: Timestamp) {
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

    /// Whether the run that is known has ended at least this long ago.
    pub(crate) fn has_ended_for(&self, age: Duration, now: Timestamp) -> bool {
        let after = NewRunAfter::new(age, now, self.version);
        after.replaces(&self.local)
    }

    /// Starts the workflow over if the run that is known [ended](Self::has_ended_for) at least this
    /// long ago. Otherwise the item decides.
    ///
    /// Call this only while nothing else goes on in the session in this process.
    pub(crate) fn begin_new_run_after(&mut self, age: Duration, now: Timestamp) {
        let is_finished = self.is_finished();
        let after = NewRunAfter::new(age, now, self.version);
        if is_finished && self.has_ended_for(age, now) {
            self.begin_new_run(now);
        }
        self.new_run_after = Some(Box::new(after));
    }

    /// Notes the correlation id and the attributes of this run, in case the item shows that it is a
    /// new one.
    pub(super) fn note_description(
        &mut self,
        correlation_id: Option<&String>,
        attributes: &BTreeMap<String, Value>,
    ) {
        // To a process that knows no item, all that it has is of this run.
        let knows_item = self.base.is_some() || self.first_seq.is_some();
        if let Some(after) = self.new_run_after.as_mut().filter(|_| knows_item) {
            if let Some(id) = correlation_id {
                after.correlation_id = Some(id.clone());
            }
            after.attributes.extend(attributes.clone());
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

    /// Whether this is a new run, now that the item shows whether the previous one has ended.
    fn begins_with(&mut self, remote: &WorkflowStatus, writer: &str, now: Timestamp) -> bool {
        let Some(after) = &self.new_run_after else { return false };
        let has = |seq| remote.writers.have(writer, seq);
        // The item may be of this run, since another process has ended it.
        let is_of_this_run =
            self.lost.iter().any(|lost| lost.version > after.version && has(*lost.seqs.start()));
        if is_of_this_run || !after.replaces(remote) {
            return false;
        }
        let Some(after) = self.new_run_after.take() else { return false };
        let knows_item = self.base.is_some() || self.first_seq.is_some_and(has);
        if knows_item {
            // What no item has had is of the run that begins now.
            self.unacknowledged.retain(|sent| !has(sent.seq));
            let mut begun = WorkflowStatus::new(self.local.session_id.clone(), after.opened_at);
            begun.correlation_id.clone_from(&after.correlation_id);
            begun.attributes.clone_from(&after.attributes);
            let written = self.base.clone().or_else(|| Some(Arc::new(remote.clone())));
            // It may have ended before its first write.
            let (status, error, ended) = match self.is_finished() {
                true => {
                    (self.local.overall_status, self.local.error.take(), self.local.completed_at)
                }
                false => (begun.overall_status, None, None),
            };
            self.adopt_new_run(&begun, written.as_deref(), true, now);
            if status.is_finished() {
                self.local.overall_status = status;
                (self.local.error, self.local.completed_at) = (error, ended);
            }
            self.keep_retention(after.retention);
            self.merge_values(&begun, written.as_deref(), false);
            self.merge(&begun, None, false, writer, now);
            self.expire_after_creation();
        }
        self.new_run = NewRun::Unsent;
        self.new_run_after = Some(after);
        true
    }

    /// Notes the end of a workflow in a session that is finished. If the item says that another run has
    /// begun, it is the end of that.
    pub(super) fn note_end(&mut self, result: Result<(), ErrorMessage>, now: Timestamp) {
        if let Some(after) = &mut self.new_run_after
            && after.end.is_none()
        {
            after.end = Some((result, now));
        }
    }

    /// The workflow that was opened last is of the run that was adopted, as it was described.
    pub(super) fn describe_adopted_run(&mut self) {
        let Some(after) = self.new_run_after.as_deref() else { return };
        if after.correlation_id.is_some() {
            self.local.correlation_id.clone_from(&after.correlation_id);
        }
        self.local.attributes.extend(after.attributes.clone());
    }

    /// Whether the run was to be a new one is decided now. One that was adopted has the end of the
    /// workflow.
    pub(super) fn decide_new_run(&mut self) {
        let end = self.new_run_after.take().and_then(|after| after.end);
        if let Some((result, at)) = end.filter(|_| !self.is_finished()) {
            self.finish(result, at);
        }
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
            let delta = previous.unsaved_usage(slot);
            if delta != UsageDelta::default() {
                let activities = Arc::clone(&previous.active[slot].activities);
                let (name, agent) = &previous.local.agents[slot];
                let slot = self.slot(name, &activities);
                self.unsent[slot].add(&delta);
                // So does what they have left, if nothing came after it.
                let local = &mut self.local.agents[slot].1;
                if local.last_updated.is_none() && has_ended(agent) {
                    *local = agent.clone();
                    self.active[slot].activity_is_stale = false;
                }
            }
        }
    }

    /// The calls and tokens of an agent that `base` does not count.
    pub(super) fn unsaved_usage(&self, slot: usize) -> UsageDelta {
        let mut sum = UsageDelta::default();
        // A write that was sent before the agent appeared has no delta in its slot.
        let lacking = self.unacknowledged.iter().filter_map(|sent| sent.deltas.get(slot));
        lacking.chain([&self.unsent[slot]]).for_each(|delta| sum.add(delta));
        sum
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
