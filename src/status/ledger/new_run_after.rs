//! A run that is a new one only if the previous one has ended long enough ago.
//!
//! What this process knows decides at once; what the item says, with the first conflict:
//!
//! ```text
//! the item is                      so this run
//! of a run that ended long ago     replaces it
//! of one that goes on, or has      joins it, with calls that came late if it has ended
//! ended just now
//! ```
//!
//! Until then it is noted how the run was described and how it ended, since what this process takes for
//! one run may turn out to be two.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Ledger;
use super::new_run::NewRun;
use crate::status::{Budget, ErrorMessage, Timestamp, Value, WorkflowStatus, schema};

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
    trace_id: Option<Arc<str>>,
    budget: Option<Box<Budget>>,
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
            trace_id: None,
            budget: None,
            end: None,
        }
    }

    /// Whether `run` had ended long enough ago when this one was opened. It makes no difference how
    /// long the table took to answer.
    pub(super) fn replaces(&self, run: &WorkflowStatus) -> bool {
        // One that somebody has ended by hand has not ended just now: its process has died.
        let was_given_up = run.attributes.contains_key(schema::ENDED_BY);
        run.ended_at()
            .is_some_and(|ended| was_given_up || self.opened_at.duration_since(ended) >= self.age)
    }
}

impl Ledger {
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

    /// Records the trace and the limits of this run, likewise.
    pub(super) fn note_limits(&mut self, trace_id: Option<&Arc<str>>, budget: Option<&Budget>) {
        let knows_item = self.base.is_some() || self.first_seq.is_some();
        if let Some(after) = self.new_run_after.as_mut().filter(|_| knows_item) {
            after.trace_id = trace_id.cloned();
            after.budget = budget.cloned().map(Box::new);
        }
    }

    /// Whether this is a new run, now that the item shows whether the previous one has ended.
    pub(super) fn begins_with(
        &mut self,
        remote: &WorkflowStatus,
        writer: &str,
        now: Timestamp,
    ) -> bool {
        let Some(after) = self.new_run_after.take() else { return false };
        let has = |seq| remote.writers.have(writer, seq);
        // The item may be of this run, since another process has ended it.
        let is_of_this_run =
            self.lost.iter().any(|lost| lost.version > after.version && has(*lost.seqs.start()));
        if is_of_this_run || !after.replaces(remote) {
            self.new_run_after = Some(after);
            return false;
        }
        let knows_item = self.base.is_some() || self.first_seq.is_some_and(has);
        if knows_item {
            // What no item has had is of the run that begins now.
            self.unacknowledged.retain(|sent| !has(sent.seq));
            let mut begun = WorkflowStatus::new(self.local.session_id.clone(), after.opened_at);
            begun.correlation_id.clone_from(&after.correlation_id);
            begun.attributes.extend(after.attributes.clone());
            begun.trace_id.clone_from(&after.trace_id);
            begun.budget.clone_from(&after.budget);
            let written = self.base.clone().or_else(|| Some(Arc::new(remote.clone())));
            // It may have ended before its first write.
            let (status, error, ended) = match self.is_finished() {
                true => {
                    (self.local.overall_status, self.local.error.take(), self.local.completed_at)
                }
                false => (begun.overall_status, None, None),
            };
            self.adopt_new_run(&begun, written.as_deref(), writer, true, now);
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
        if after.trace_id.is_some() {
            self.local.trace_id.clone_from(&after.trace_id);
        }
        if after.budget.is_some() {
            self.local.budget.clone_from(&after.budget);
        }
    }

    /// Whether the run was to be a new one is decided now. One that was adopted has the end of the
    /// workflow.
    pub(super) fn decide_new_run(&mut self) {
        let end = self.new_run_after.take().and_then(|after| after.end);
        if let Some((result, at)) = end.filter(|_| !self.is_finished()) {
            self.finish(result, at);
        }
    }
}
