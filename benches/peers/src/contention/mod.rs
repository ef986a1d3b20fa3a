//! The hand-off to the recorder, where several threads hand over at once.
//!
//! [`handoff`] is the file of the crate, which knows nothing of calls: an entry is changed,
//! and put on a list unless it is there already. It stands against channels, whose messages
//! say which entry they are for and what to add to it, as small as can be.
//!
//! On the other side somebody takes what comes, all of it: in the end each figure that was
//! handed over has to have arrived, or the bench fails. So the channels have room for a whole
//! round, and none of their messages is ever refused. One that takes at once takes whatever
//! there is as soon as there is something. The other takes 5 ms later, as the recorder does,
//! so that neighbours travel together.
//!
//! Only the producers are timed.

mod channels;
mod entries;
#[allow(dead_code, reason = "the crate has more uses of it")]
#[path = "../../../../src/tracker/handoff.rs"]
mod handoff;
mod sync;
mod whole;

use std::thread::JoinHandle;
use std::time::Duration;

use crate::{Row, Runner, Way};

/// How often a producer hands over in a round.
const HANDOFFS: u64 = 300_000;

/// When the consumer takes what has come.
#[derive(Clone, Copy)]
enum Pace {
    AtOnce,
    Gathering,
}

impl Pace {
    /// For the consumer: something has come.
    async fn wait(self) {
        if matches!(self, Self::Gathering) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// What is handed over: figures to add.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Figures {
    calls: u64,
    tokens: u64,
}

impl Figures {
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
    if matches!(pace, Pace::AtOnce) {
        ways.extend([
            Way::new("crossbeam-channel try_send", move || channels::crossbeam(producers)),
            Way::new("crossbeam ArrayQueue push", move || channels::queue(producers)),
        ]);
    }
    Row { name, unit: "hand-off", units: producers as u64, runs: HANDOFFS, peer: CHANNEL, ways }
}

/// Runs something on so many threads at once, each as often as asked; on this one if one is
/// enough.
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

/// Producers, and the consumer of what they hand over.
struct Pair<P> {
    /// The producers' side; the consumer ends when it is gone.
    producers: Option<P>,
    handed_over: Figures,
    consumer: Option<JoinHandle<Figures>>,
}

impl<P> Drop for Pair<P> {
    fn drop(&mut self) {
        drop(self.producers.take());
        let taken = self.consumer.take().expect("one consumer").join().expect("its figures");
        assert_eq!(taken, self.handed_over, "what was handed over has arrived");
    }
}

/// Hands [`Figures::ONE`] over on so many threads, until the runner is dropped.
fn runner<P: Sync + 'static>(
    threads: usize,
    producers: P,
    hand_over: impl Fn(&P, usize) + Sync + 'static,
    consumer: JoinHandle<Figures>,
) -> Runner {
    let handed_over = Figures::default();
    let mut pair = Pair { producers: Some(producers), handed_over, consumer: Some(consumer) };
    Box::new(move |times| {
        let producers = pair.producers.as_ref().expect("there until the end");
        let run = |thread, times| (0..times).for_each(|_| hand_over(producers, thread));
        on_threads(threads, run, times);
        let all = times * threads as u64;
        pair.handed_over.add(Figures { calls: all, tokens: all * Figures::ONE.tokens });
        None
    })
}

/// Runs a consumer on a thread of its own.
fn consumer<T: Send + 'static>(consume: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    std::thread::spawn(move || crate::calls::runtime().block_on(consume))
}
