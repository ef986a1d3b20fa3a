//! [`PendingWrite`]: one write of a ledger, from its preparation to its answer.
//!
//! The recorder has at most one write of a session in flight. It prepares one, sends it,
//! and reports the answer by exactly one method before it prepares the next:
//!
//! | answer | method | base | deltas of this write |
//! | --- | --- | --- | --- |
//! | applied | [`write_applied`](Ledger::write_applied) | becomes what was written | dropped, with all before |
//! | another writer was faster | [`write_conflicted`](Ledger::write_conflicted) | becomes the item found | kept, unless the item has them |
//! | failed, surely not applied | [`write_failed`](Ledger::write_failed) | stays | go back to `unsent` |
//! | lost: it may have been applied | [`write_failed`](Ledger::write_failed) | stays | kept |
//! | not sent: no difference | [`write_skipped`](Ledger::write_skipped) | stays | go back to `unsent` |
//!
//! A lost answer needs no case of its own. If that write was applied, the item has another
//! revision, so the next write conflicts, and the item's `writers` then shows which writes
//! of ours it has: what the last of them wrote is the base of the merge. If it was not applied, the
//! next write carries the same and more.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::{Ledger, NewRun, SentDeltas};
use crate::status::{FittedChange, Precondition, Timestamp, UsageDelta, WorkflowStatus, Writers};

/// One write, from its preparation to its answer.
#[derive(Clone, Debug)]
pub(crate) struct PendingWrite {
    pub(crate) precondition: Precondition,
    next: Arc<WorkflowStatus>,
    base: Option<Arc<WorkflowStatus>>,
    writes_derived: bool,
    seq: u64,
    version: u64,
}

impl PendingWrite {
    /// The attributes to write, or `None` if the table has them all.
    ///
    /// Takes longer than preparing the write, and does not need the ledger: call it
    /// outside the session's lock.
    pub(crate) fn change(&self) -> Option<FittedChange> {
        self.next.change_from(self.base.as_deref(), self.writes_derived)
    }
}

/// What the table holds if a write was applied whose answer was lost.
#[derive(Debug)]
pub(super) struct LostWrite {
    /// The first and the last number of the writes that carried this.
    pub(super) seqs: RangeInclusive<u64>,
    pub(super) version: u64,
    pub(super) document: Arc<WorkflowStatus>,
}

impl LostWrite {
    /// In a long outage, the first and the last are most likely to have reached the table. Between
    /// them some are forgotten, so that memory does not grow with time.
    const KEPT: usize = 8;

    fn add(lost: &mut Vec<Self>, write: &PendingWrite) {
        if let Some(last) = lost.last_mut()
            && last.version == write.version
        {
            last.seqs = *last.seqs.start()..=write.seq;
            return;
        }
        if lost.len() == Self::KEPT {
            lost.remove(Self::KEPT / 2);
        }
        let document = Arc::clone(&write.next);
        lost.push(Self { seqs: write.seq..=write.seq, version: write.version, document });
    }
}

/// A revision that no other write has made: from the clock, and from who writes. So an item that
/// was deleted and made again, or replaced by a copy, never comes to a revision that a process
/// knows of the one before.
///
/// It is exact as a number of JavaScript until the year 2255.
fn new_revision(writer: &str, seq: u64) -> u64 {
    const WRITERS: u64 = 1_000;
    let who = writer.bytes().fold(0, |sum: u64, byte| (sum * 31 + u64::from(byte)) % WRITERS);
    seq.saturating_mul(WRITERS).saturating_add(who)
}

impl Ledger {
    /// Prepares the write that brings the table up to date; `None` if it lacks nothing.
    ///
    /// `seq` numbers the writes of `writer` over all its sessions, and over all the ledgers
    /// it has had for one session. It is even, and rises by two at least. No workflow `is_open`
    /// on the session in this process: unless a call is in flight, this may be its last write.
    /// The expiry is ahead of `now`.
    pub(crate) fn prepare_write(
        &mut self,
        writer: &str,
        seq: u64,
        is_open: bool,
        now: Timestamp,
    ) -> Option<PendingWrite> {
        if !self.is_dirty() {
            return None;
        }
        self.keep_base();
        self.keep_expiry_ahead(now);
        self.name_attempts(writer);
        let mut next = self.share_local();
        let base = self.base.as_deref();
        let known = base.or(self.deleted.as_deref());
        next.writers = known.map_or_else(Writers::default, |known| known.writers.clone());
        let is_done = !self.is_active() && (!is_open || self.is_finished());
        let seq = next.writers.note(writer, seq, is_done);
        let after = base.map_or(0, |base| base.revision.saturating_add(1));
        next.revision = after.max(new_revision(writer, seq));
        let precondition = self.base_version().map_or(Precondition::Absent, Precondition::Version);
        self.first_seq.get_or_insert(seq);
        if let Some(missing) = &mut self.missing_usage {
            missing.seq.get_or_insert(seq);
        }
        self.sent_version = self.version;
        if self.new_run == NewRun::Unsent {
            self.new_run = NewRun::Sent { seq, created_at: self.local.created_at };
        }
        let has_usage =
            |delta: &Option<Box<UsageDelta>>| delta.as_ref().is_some_and(|delta| !delta.is_empty());
        if self.unsent.iter().any(has_usage) {
            for (active, delta) in self.active.iter_mut().zip(&self.unsent) {
                active.is_recorded |= has_usage(delta);
            }
            let deltas = self.unsent.iter_mut().map(Option::take).collect();
            // Nearly always the only one.
            self.unacknowledged.reserve_exact(1);
            self.unacknowledged.push(SentDeltas { seq, version: self.version, deltas });
        }
        Some(PendingWrite {
            precondition,
            next: Arc::new(next),
            base: self.base.clone(),
            writes_derived: self.writes_derived
                || self.base.as_ref().is_some_and(|base| base.revision == 0),
            seq,
            version: self.version,
        })
    }

    /// Copies `local`, and shares its agents with the copy. An agent that was called again and again will
    /// be, and on the path of its next call, a copy of its attempts would take long. So it keeps its own
    /// until the workflow ends.
    fn share_local(&mut self) -> WorkflowStatus {
        self.refresh_activities();
        let is_finished = self.is_finished();
        let mut agents = std::mem::take(&mut self.local.agents);
        let mut copy = self.local.clone();
        let shared = agents.iter_mut().map(|(name, agent)| {
            let keeps_own = !is_finished && agent.attempts.len() > 1;
            (Arc::clone(name), agent.share(keeps_own))
        });
        copy.agents = shared.collect();
        self.local.agents = agents;
        copy
    }

    /// Sets this process as the origin of its own attempts.
    fn name_attempts(&mut self, writer: &str) {
        let mut agents = self.local.agents.iter().map(|(_, agent)| &agent.attempts);
        if agents.any(|attempts| attempts.has_unnamed()) {
            let writer = writer.into();
            for (_, agent) in &mut self.local.agents {
                if agent.attempts.has_unnamed() {
                    agent.attempts.name_origin(&writer);
                }
            }
        }
    }

    /// The write was applied.
    pub(crate) fn write_applied(&mut self, write: PendingWrite) {
        if self.new_run == NewRun::Unsent
            && let Some(previous) = &mut self.previous_ledger
        {
            previous.write_applied(write.clone());
        }
        // What was written includes the deltas of all writes before, too. Most sessions wait for their
        // next call now, and keep no memory for this.
        self.unacknowledged = Vec::new();
        self.lost.clear();
        // Another run may have begun while the write was in flight.
        if self.new_run != NewRun::Unsent {
            self.new_run = NewRun::None;
            self.new_run_after = None;
            self.previous_ledger = None;
        }
        self.idle_since = None;
        self.deleted = None;
        self.stored_version = None;
        self.writes_derived = false;
        if self.new_run == NewRun::None {
            self.missing_usage = None;
        }
        self.saved_version = write.version;
        self.seen_version = self.seen_version.max(write.version);
        if self.tasks.is_some() {
            self.confirm_tasks(write.version);
        }
        self.set_written(write.next);
    }

    /// The table holds this document, which is `local` unless something has changed meanwhile.
    fn set_written(&mut self, written: Arc<WorkflowStatus>) {
        let local = &mut self.local;
        local.writers.clone_from(&written.writers);
        local.revision = written.revision;
        // An agent with a copy of its own will be called again.
        let mut agents = local.agents.iter().zip(&written.agents);
        let are_shared = agents.all(|((_, own), (_, written))| own.is_shared_with(written));
        self.is_base = self.new_run == NewRun::None && are_shared && *local == *written;
        self.base = (!self.is_base).then_some(written);
    }

    /// The write was not sent, since it would change nothing.
    pub(crate) fn write_skipped(&mut self, write: &PendingWrite) {
        self.write_failed(write, false);
        self.saved_version = write.version;
        self.idle_since = None;
    }

    /// The write failed, or its answer was lost.
    pub(crate) fn write_failed(&mut self, write: &PendingWrite, may_have_been_applied: bool) {
        if self.new_run == NewRun::Unsent {
            // It was a write of the previous run.
            if let Some(previous) = &mut self.previous_ledger {
                previous.write_failed(write, may_have_been_applied);
            }
            return;
        }
        if may_have_been_applied {
            LostWrite::add(&mut self.lost, write);
            return;
        }
        // No item can hold this write, so the next one carries its deltas.
        if let Some(sent) = self.unacknowledged.pop_if(|sent| sent.seq == write.seq) {
            for (unsent, delta) in self.unsent.iter_mut().zip(sent.deltas) {
                match (&mut *unsent, delta) {
                    (Some(unsent), Some(delta)) => unsent.add(&delta),
                    (None, delta) => *unsent = delta,
                    (Some(_), None) => {}
                }
            }
        }
        if matches!(self.new_run, NewRun::Sent { seq, .. } if seq == write.seq) {
            self.new_run = NewRun::Unsent;
        }
    }
}
