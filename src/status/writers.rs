//! [`Writers`]: which processes have written an item, and the number of each one's last write.
//!
//! A process whose write got no answer finds out here whether it was applied: the write put its
//! number into the item together with everything else. So a process is remembered for as long as
//! it could still repeat a write:
//!
//! ```text
//! up to 256 of them             for good
//! beyond                        until it is silent for an hour; or for two minutes, if its last
//!                               write said that nothing was in progress
//! beyond 4,096                  until it is the one that is silent for longest
//! ```
//!
//! Who is forgotten leaves a trace: [`forgotten`](Writers::forgotten) is the highest number of a write
//! by any of them. A write with a higher number, by a process that the item does not know, was never
//! applied. Of one with a lower number nobody can tell any more.
//!
//! **Numbers.** They rise with each write of a process, and come from its clock: milliseconds since the
//! Unix epoch. So they also tell how long a process has been silent. An odd number says that the
//! process had nothing in progress, and may be done.
//!
//! **Cost.** 17 bytes of the item for each process: eight for its id, eight for the number, and one.

use super::{Item, Value};

/// Fewer than these are never forgotten.
const REMEMBERED: usize = 256;
/// More than these are not remembered: some 70 KB of the 400 that an item may have.
const MAX: usize = 4096;
/// After this, a process that had something in progress is given up. In milliseconds, as numbers are.
const SILENT: u64 = 60 * 60 * 1000;
/// After this, a process that had nothing in progress has learned what became of its last write.
const DONE: u64 = 2 * 60 * 1000;

/// What stands in the item beside the ids of processes, which have eight characters.
const FORGOTTEN: &str = "forgotten";

/// The processes that have written an item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Writers {
    /// The id of each one, and the number of its last write, ordered by id. Most items have one or
    /// two, for which a map would take ten times the memory.
    last: Vec<(Box<str>, u64)>,
    /// The highest number of a write by any that is not remembered; 0 if all are.
    forgotten: u64,
}

impl Writers {
    /// The number of a process's last write, if the item knows the process.
    pub(crate) fn last_write(&self, writer: &str) -> Option<u64> {
        let at = self.position(writer).ok()?;
        self.last.get(at).map(|(_, seq)| *seq)
    }

    fn position(&self, writer: &str) -> Result<usize, usize> {
        self.last.binary_search_by(|(id, _)| (**id).cmp(writer))
    }

    /// Whether the item has this write, as far as it remembers.
    pub(crate) fn have(&self, writer: &str, seq: u64) -> bool {
        self.last_write(writer).is_some_and(|last| seq <= last)
    }

    /// Whether the item may have this write, and does not remember.
    pub(crate) fn may_have_forgotten(&self, writer: &str, seq: u64) -> bool {
        seq <= self.forgotten && self.last_write(writer).is_none()
    }

    /// Whether another process than this one has written since `before`.
    pub(crate) fn others_wrote(&self, writer: &str, before: &Self) -> bool {
        self.last.iter().any(|(id, seq)| **id != *writer && before.last_write(id) < Some(*seq))
    }

    /// Whether any process has written since `before`.
    pub(crate) fn has_newer(&self, before: &Self) -> bool {
        self.forgotten > before.forgotten
            || self.last.iter().any(|(id, seq)| before.last_write(id) < Some(*seq))
    }

    /// Sets the number of a process's last write.
    pub(crate) fn set(&mut self, writer: &str, seq: u64) {
        match self.position(writer) {
            Ok(at) => self.last[at].1 = seq,
            Err(at) => {
                if self.last.is_empty() {
                    self.last.reserve_exact(1);
                }
                self.last.insert(at, (writer.into(), seq));
            }
        }
    }

    /// Takes over the numbers of `others` that are higher.
    pub(crate) fn join(&mut self, others: &Self) {
        for (id, seq) in &others.last {
            let known = self.last_write(id).unwrap_or(0);
            self.set(id, known.max(*seq));
        }
        self.forgotten = self.forgotten.max(others.forgotten);
    }

    /// Notes a write, and forgets who may go. `seq` is even; `is_done` says that nothing is in
    /// progress.
    ///
    /// Returns the number of the write.
    pub(crate) fn note(&mut self, writer: &str, seq: u64, is_done: bool) -> u64 {
        let seq = seq + u64::from(is_done);
        self.set(writer, seq);
        if self.last.len() > REMEMBERED {
            self.forget(writer, seq);
        }
        seq
    }

    /// Forgets those that may go, the ones that are silent for longest first. Never this process,
    /// though its clock may be behind.
    #[cold]
    fn forget(&mut self, writer: &str, now: u64) {
        let may_go = |seq: u64| {
            let silent = now.saturating_sub(seq);
            silent >= SILENT || seq % 2 == 1 && silent >= DONE
        };
        let are_too_many = self.last.len() > MAX;
        let others = self.last.iter().filter(|(id, _)| **id != *writer);
        let others = others.filter(|(_, seq)| are_too_many || may_go(*seq));
        let mut oldest: Vec<_> = others.map(|(id, seq)| (*seq, id.clone())).collect();
        oldest.sort_unstable();
        for (seq, id) in oldest {
            let len = self.last.len();
            if len <= REMEMBERED {
                break;
            }
            if len > MAX || may_go(seq) {
                if let Ok(at) = self.position(&id) {
                    self.last.remove(at);
                }
                self.forgotten = self.forgotten.max(seq);
            }
        }
    }

    /// The bytes that they take in an item, or some more.
    pub(super) fn max_bytes(&self) -> usize {
        /// The number, what a map takes for each, and the number of those that are forgotten.
        const BESIDE_ID: usize = 16;
        let ids = self.last.iter().map(|(id, _)| id.len() + BESIDE_ID);
        ids.sum::<usize>() + FORGOTTEN.len() + BESIDE_ID
    }

    pub(super) fn to_item(&self) -> Item {
        let last = self.last.iter().map(|(id, seq)| (id.to_string(), Value::Integer(*seq)));
        let mut item: Item = last.collect();
        if self.forgotten > 0 {
            item.insert(FORGOTTEN, self.forgotten);
        }
        item
    }

    pub(super) fn from_item(item: &Item) -> Self {
        let mut writers = Self::default();
        for (id, seq) in item.iter() {
            match (id, seq.as_u64()) {
                (FORGOTTEN, seq) => writers.forgotten = seq.unwrap_or(0),
                (_, Some(seq)) => writers.set(id, seq),
                (_, None) => {}
            }
        }
        writers
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.last.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_766_570_400_000;

    fn ids(writers: &Writers) -> Vec<&str> {
        writers.last.iter().map(|(id, _)| &**id).collect()
    }

    #[test]
    fn nobody_is_forgotten_who_may_repeat_a_write() {
        let mut writers = Writers::default();
        // Twice as many as are always remembered, within an hour, none of them done.
        for n in 0..2 * REMEMBERED as u64 {
            writers.note(&format!("w{n}"), NOW + 2 * n, false);
        }
        assert_eq!(writers.len(), 2 * REMEMBERED);
        assert_eq!(writers.forgotten, 0);
        // Nor does who is done go at once.
        for n in 0..2 * REMEMBERED as u64 {
            writers.note(&format!("d{n}"), NOW + 2 * n, true);
        }
        assert_eq!(writers.len(), 4 * REMEMBERED);
    }

    #[test]
    fn those_go_first_that_are_silent_for_longest() {
        let mut writers = Writers::default();
        for n in 0..REMEMBERED as u64 {
            writers.note(&format!("w{n:03}"), NOW + 2 * n, n % 2 == 1);
        }
        // The clock of this one is behind, and it is the one that writes.
        writers.note("behind", NOW - SILENT, false);
        assert_eq!(writers.len(), REMEMBERED + 1);
        writers.note("x", NOW + DONE + 4, false);
        // w001 is the first one that was done. Who was not stays, though it is older.
        assert!(!ids(&writers).contains(&"w001"));
        assert_eq!(writers.last_write("w000"), Some(NOW));
        assert_eq!(writers.forgotten, NOW + 3);
        writers.note("y", NOW + SILENT + 2, false);
        assert_eq!(writers.len(), REMEMBERED);
        assert_eq!(writers.last_write("y"), Some(NOW + SILENT + 2));
    }

    #[test]
    fn a_write_is_uncertain_only_below_the_highest_that_was_forgotten() {
        let mut writers = Writers { forgotten: NOW, ..Writers::default() };
        assert!(writers.may_have_forgotten("w", NOW));
        assert!(!writers.may_have_forgotten("w", NOW + 2));
        assert!(!writers.have("w", NOW));
        writers.note("w", NOW - 10, false);
        assert!(writers.have("w", NOW - 10) && !writers.have("w", NOW - 8));
        assert!(!writers.may_have_forgotten("w", NOW - 8));
        assert_eq!(Writers::from_item(&writers.to_item()), writers);
    }

    #[test]
    fn there_is_an_end_to_what_is_remembered() {
        let mut writers = Writers::default();
        for n in 0..MAX as u64 + 10 {
            writers.note(&format!("w{n}"), NOW + 2 * n, false);
        }
        assert_eq!(writers.len(), MAX);
        assert_eq!(writers.forgotten, NOW + 18);
    }
}
