//! The least that producers of one entry can do: each adds to the same counts, under one lock or by
//! one atomic addition, and no consumer learns of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::{Counts, consumer, runner};
use crate::Runner;

/// Adds under a lock.
pub fn mutex(threads: usize) -> Runner {
    let counts = Arc::new(Mutex::new(Counts::default()));
    let producers = Producers { counts: Arc::clone(&counts), _end: None };
    ended(
        threads,
        producers,
        |counts| counts.lock().expect("no panic").add(Counts::ONE),
        move || *counts.lock().expect("no panic"),
    )
}

/// Adds to one number only, without a lock.
pub fn atomic(threads: usize) -> Runner {
    let calls = Arc::new(AtomicU64::new(0));
    let producers = Producers { counts: Arc::clone(&calls), _end: None };
    ended(
        threads,
        producers,
        |calls| {
            calls.fetch_add(1, Ordering::AcqRel);
        },
        move || {
            let calls = calls.load(Ordering::Acquire);
            Counts { calls, tokens: calls * Counts::ONE.tokens }
        },
    )
}

/// What all producers share. Dropping it ends the consumer.
struct Producers<T> {
    counts: Arc<T>,
    _end: Option<tokio::sync::oneshot::Sender<()>>,
}

fn ended<T: Send + Sync + 'static>(
    threads: usize,
    mut producers: Producers<T>,
    add: impl Fn(&T) + Sync + 'static,
    sum: impl FnOnce() -> Counts + Send + 'static,
) -> Runner {
    let (end, ended) = tokio::sync::oneshot::channel();
    producers._end = Some(end);
    let consumer = consumer(async {
        // The sender was dropped.
        let _ = ended.await;
        sum()
    });
    runner(threads, producers, move |producers, _| add(&producers.counts), consumer)
}
