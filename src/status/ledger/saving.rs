//! [`Proposal`]: what is to be written of a ledger, and what becomes of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Attempt, Ledger, NewRun, Tally};
use crate::status::{Change, Precondition, WorkflowStatus};

/// How many writers an item remembers; the longest silent are forgotten first.
pub(super) const WRITERS_KEPT: usize = 32;

/// One write, from its making to its answer.
#[derive(Debug)]
pub(crate) struct Proposal {
    pub(crate) expected: Precondition,
    next: Arc<WorkflowStatus>,
    stored: Option<Arc<WorkflowStatus>>,
    seq: u64,
    version: u64,
}

impl Proposal {
    /// What is to be written; `None` if the table has it all. This takes longer than the
    /// making of the proposal, and needs the ledger no more.
    pub(crate) fn change(&self) -> Option<Change> {
        self.next.change_from(self.stored.as_deref())
    }
}

impl Ledger {
    /// The write that brings the table up to date, if it lacks anything.
    ///
    /// Each proposal is answered by one of [`applied`](Self::applied),
    /// [`conflicted`](Self::conflicted), [`failed`](Self::failed) and
    /// [`needless`](Self::needless) before the next.
    ///
    /// `seq` numbers the writes of this writer over all its sessions, and over all the
    /// ledgers that it has had for one session, each higher than the one before. It is
    /// taken from the clock, so that it also tells how long a writer has been silent.
    pub(crate) fn propose(&mut self, writer: &str, seq: u64) -> Option<Proposal> {
        if !self.is_dirty() {
            return None;
        }
        let mut next = self.view().clone();
        let stored = self.stored.as_deref();
        next.revision = stored.map_or(0, |stored| stored.revision).saturating_add(1);
        next.writers = stored.map_or_else(BTreeMap::new, |stored| stored.writers.clone());
        next.writers.insert(writer.to_owned(), seq);
        while next.writers.len() > WRITERS_KEPT {
            // Never this one, whose clock may be behind: its next conflict asks for it.
            let others = next.writers.iter().filter(|(id, _)| id.as_str() != writer);
            let oldest = others.min_by_key(|(_, seq)| **seq);
            let Some(oldest) = oldest.map(|(id, _)| id.clone()) else { break };
            next.writers.remove(&oldest);
        }
        let expected = match stored.map(|stored| stored.revision) {
            None => Precondition::Absent,
            Some(0) => Precondition::Unrevised,
            Some(revision) => Precondition::Revision(revision),
        };
        self.first_seq.get_or_insert(seq);
        if self.new_run == NewRun::Unwritten {
            self.new_run = NewRun::Since(seq);
        }
        if self.pending.iter().any(|tally| *tally != Tally::default()) {
            let none = vec![Tally::default(); self.pending.len()];
            let tallies = std::mem::replace(&mut self.pending, none);
            self.attempted.push(Attempt { seq, tallies });
        }
        Some(Proposal {
            expected,
            next: Arc::new(next),
            stored: self.stored.clone(),
            seq,
            version: self.version,
        })
    }

    /// The proposal changes nothing, and was not written.
    pub(crate) fn needless(&mut self, proposal: &Proposal) {
        self.failed(proposal, false);
        self.saved_version = proposal.version;
        self.idle_since = None;
    }

    /// The write was applied.
    pub(crate) fn applied(&mut self, proposal: Proposal) {
        self.attempted.clear();
        // A new run may have begun while the write was under way.
        if self.new_run != NewRun::Unwritten {
            self.new_run = NewRun::No;
        }
        self.idle_since = None;
        self.stored = Some(proposal.next);
        self.saved_version = proposal.version;
    }

    /// The write failed.
    pub(crate) fn failed(&mut self, proposal: &Proposal, may_have_been_applied: bool) {
        if may_have_been_applied {
            return;
        }
        // Nobody has seen this write, so what it carried belongs to the next one.
        if let Some(attempt) = self.attempted.pop_if(|attempt| attempt.seq == proposal.seq) {
            for (pending, tally) in self.pending.iter_mut().zip(&attempt.tallies) {
                pending.add(tally);
            }
        }
        if self.new_run == NewRun::Since(proposal.seq) {
            self.new_run = NewRun::Unwritten;
        }
    }
}
