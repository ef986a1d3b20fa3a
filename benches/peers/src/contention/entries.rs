//! The hand-off of the crate: each entry holds its total counts, and those already taken.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Instant;

use super::handoff::{Batch, Content, Entry, Handoff, Mark};
use super::{Counts, Pace, consumer, runner};
use crate::Runner;

#[derive(Default)]
struct Counters {
    total: Counts,
    taken: Counts,
}

impl Content for Counters {
    fn is_dirty(&self) -> bool {
        self.total != self.taken
    }
}

/// The command to take everything and end.
struct End;

type Shared = Handoff<usize, Counters, End, Instant>;

pub fn entries(threads: usize, entries: usize, pace: Pace) -> Runner {
    let handoff = Arc::new(Shared::new());
    let entries: Vec<_> =
        (0..entries).map(|id| Arc::new(Entry::new(id, Counters::default()))).collect();
    let consumer = consumer(consume(Arc::clone(&handoff), entries.len(), pace));
    let change = |producers: &Producers, thread: usize| {
        let entry = &producers.entries[thread % producers.entries.len()];
        let is_running = producers.handoff.change(entry, Instant::now, |counters| {
            counters.total.add(Counts::ONE);
            Mark::Dirty
        });
        assert!(is_running, "the consumer is running");
    };
    runner(threads, Producers { handoff, entries }, change, consumer)
}

struct Producers {
    handoff: Arc<Shared>,
    entries: Vec<Arc<Entry<usize, Counters>>>,
}

impl Drop for Producers {
    fn drop(&mut self) {
        self.handoff.send(End);
    }
}

/// Does what the recorder does, except for the writes: it holds an entry until there is
/// nothing new in it.
async fn consume(handoff: Arc<Shared>, entries: usize, pace: Pace) -> Counts {
    let mut batch = Batch::default();
    let mut held: Vec<Arc<Entry<usize, Counters>>> = Vec::new();
    let mut again = Vec::new();
    let mut taken = vec![Counts::default(); entries];
    let mut is_over = false;
    while !is_over || !held.is_empty() {
        if held.is_empty() {
            poll_fn(|cx| handoff.poll_changed(cx, false)).await;
        }
        pace.wait().await;
        handoff.take(&mut batch, true);
        held.extend(batch.dirty.drain(..).map(|(entry, _)| entry));
        is_over |= batch.commands.pop().is_some();
        for entry in held.drain(..) {
            let total = entry.take(|counters| counters.is_dirty().then_some(counters.total));
            let Some(total) = total else { continue };
            taken[entry.id] = total;
            if entry.acknowledge(|counters| counters.taken = total) {
                again.push(entry);
            }
        }
        std::mem::swap(&mut held, &mut again);
    }
    taken.into_iter().fold(Counts::default(), |mut all, more| {
        all.add(more);
        all
    })
}
