//! The hand-off of the crate: each entry holds figures, and what of them was taken.

use std::future::poll_fn;
use std::sync::Arc;

use super::handoff::{Batch, Content, Entry, Handoff, Mark};
use super::{Figures, Pace, consumer, runner};
use crate::Runner;

#[derive(Default)]
struct Counters {
    told: Figures,
    taken: Figures,
}

impl Content for Counters {
    fn is_dirty(&self) -> bool {
        self.told != self.taken
    }
}

/// The recorder is to take what there is, and end.
struct End;

type Shared = Handoff<usize, Counters, End>;

pub fn entries(threads: usize, entries: usize, pace: Pace) -> Runner {
    let handoff = Arc::new(Shared::new());
    let entries: Vec<_> =
        (0..entries).map(|id| Arc::new(Entry::new(id, Counters::default()))).collect();
    let consumer = consumer(consume(Arc::clone(&handoff), entries.len(), pace));
    let change = |producers: &Producers, thread: usize| {
        let entry = &producers.entries[thread % producers.entries.len()];
        let is_open = producers.handoff.change(entry, |counters| {
            counters.told.add(Figures::ONE);
            Mark::Dirty
        });
        assert!(is_open, "somebody takes it");
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

/// Does what the recorder does, but for the writing: an entry stays in its hands until there
/// is nothing new in it.
async fn consume(handoff: Arc<Shared>, entries: usize, pace: Pace) -> Figures {
    let mut news = Batch::default();
    let mut hands: Vec<Arc<Entry<usize, Counters>>> = Vec::new();
    let mut again = Vec::new();
    let mut taken = vec![Figures::default(); entries];
    let mut is_over = false;
    while !is_over || !hands.is_empty() {
        if hands.is_empty() {
            poll_fn(|cx| handoff.poll_changed(cx)).await;
        }
        pace.wait().await;
        handoff.take(&mut news, true);
        hands.append(&mut news.dirty);
        is_over |= news.commands.pop().is_some();
        for entry in hands.drain(..) {
            let told = entry.take(|counters| counters.is_dirty().then_some(counters.told));
            let Some(told) = told else { continue };
            taken[entry.id] = told;
            if entry.acknowledge(|counters| counters.taken = told) {
                again.push(entry);
            }
        }
        std::mem::swap(&mut hands, &mut again);
    }
    taken.into_iter().fold(Figures::default(), |mut all, more| {
        all.add(more);
        all
    })
}
