//! The hand-off to the recorder under contention from several threads.
//!
//! [`handoff`] is the crate's own file. It is independent of calls: a producer changes an
//! entry, and puts it on a list unless it is already there. It is compared with channels that
//! have the smallest possible messages: an entry and the counts to add to it.
//!
//! A consumer takes everything. The bench fails unless all counts that were handed over have
//! arrived in the end, so the channels have capacity for a whole round and never reject a
//! message. With [`Pace::AtOnce`] the consumer takes what there is as soon as there is
//! anything. With [`Pace::Gathering`] it waits 5 ms first, as the recorder does, so that
//! changes are batched.
//!
//! Only the producers are timed.

mod channels;
mod entries;
#[allow(dead_code, reason = "the bench uses only part of it")]
#[path = "../../../../src/tracker/handoff.rs"]
mod handoff;
mod lock;
mod sync;
mod whole;

use std::thread::JoinHandle;
use std::time::Duration;

use crate::{Row, Runner, Way};

/// How many times each producer hands over in a round.
const HANDOFFS: u64 = 300_000;

/// When the consumer takes what was handed over.
#[derive(Clone, Copy)]
enum Pace {
    AtOnce,
    Gathering,
}

impl Pace {
    /// Called by the consumer when something was handed over.
    async fn wait(self) {
        if matches!(self, Self::Gathering) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// What is handed over: counts to add.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counts {
    calls: u64,
    tokens: u64,
}

impl Counts {
    const ONE: Self = Self { calls: 1, tokens: 2000 };

    fn add(&mut self, more: Self) {
        self.calls += more.calls;
        self.tokens += more.tokens;
    }
}

const CHANNEL: &str = "tokio mpsc try_send";

pub fn rows() -> Vec<Row> {
    let mut rows = vec![
        row("hand-off, 1 producer", 1, Pace::AtOnce),
        row("hand-off, 2 producers", 2, Pace::AtOnce),
        row("hand-off, 1 producer, gathered", 1, Pace::Gathering),
        row("hand-off, 2 producers, gathered", 2, Pace::Gathering),
    ];
    rows.extend(whole::rows());
    rows
}

fn row(name: &'static str, producers: usize, pace: Pace) -> Row {
    let mut ways = vec![
        Way::new(CHANNEL, move || channels::tokio(producers, pace)),
        Way::new("Handoff::change, one entry", move || entries::entries(producers, 1, pace)),
    ];
    if producers > 1 {
        ways.push(Way::new("Handoff::change, an entry for each producer", move || {
            entries::entries(producers, producers, pace)
        }));
    }
    if producers > 1 && matches!(pace, Pace::AtOnce) {
        ways.extend([
            Way::new("a Mutex that all share, and nothing else", move || lock::mutex(producers)),
            Way::new("an AtomicU64 that all share, and nothing else", move || {
                lock::atomic(producers)
            }),
        ]);
    }
    if matches!(pace, Pace::AtOnce) {
        ways.extend([
            Way::new("crossbeam-channel try_send", move || channels::crossbeam(producers)),
            Way::new("crossbeam ArrayQueue push", move || channels::queue(producers)),
        ]);
    }
    Row { name, unit: "hand-off", units: producers as u64, runs: HANDOFFS, peer: CHANNEL, ways }
}

/// Runs a closure on this many threads at once, or on the current one if one is enough.
fn on_threads(threads: usize, run: impl Fn(usize, u64) + Sync, times: u64) {
    if threads == 1 {
        return run(0, times);
    }
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let run = &run;
            scope.spawn(move || run(thread, times));
        }
    });
}

/// The producers, and the consumer of what they hand over.
struct Pair<P> {
    /// The producers' side. Dropping it ends the consumer.
    producers: Option<P>,
    handed_over: Counts,
    consumer: Option<JoinHandle<Counts>>,
}

impl<P> Drop for Pair<P> {
    fn drop(&mut self) {
        drop(self.producers.take());
        let taken = self.consumer.take().expect("one consumer").join().expect("its counts");
        assert_eq!(taken, self.handed_over, "everything that was handed over has arrived");
    }
}

/// Hands over [`Counts::ONE`] on this many threads, until the runner is dropped.
fn runner<P: Sync + 'static>(
    threads: usize,
    producers: P,
    hand_over: impl Fn(&P, usize) + Sync + 'static,
    consumer: JoinHandle<Counts>,
) -> Runner {
    let handed_over = Counts::default();
    let mut pair = Pair { producers: Some(producers), handed_over, consumer: Some(consumer) };
    Box::new(move |times| {
        let producers = pair.producers.as_ref().expect("there until the end");
        let run = |thread, times| (0..times).for_each(|_| hand_over(producers, thread));
        on_threads(threads, run, times);
        let all = times * threads as u64;
        pair.handed_over.add(Counts { calls: all, tokens: all * Counts::ONE.tokens });
        None
    })
}

/// Runs a consumer on its own thread.
fn consumer<T: Send + 'static>(consume: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    std::thread::spawn(move || crate::calls::runtime().block_on(consume))
}
