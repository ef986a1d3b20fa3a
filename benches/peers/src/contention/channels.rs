//! Channels: a message for each hand-off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_queue::ArrayQueue;
use tokio::sync::mpsc;

use super::{Counts, HANDOFFS, Pace, consumer, runner};
use crate::Runner;

/// Capacity for the messages of two producers in a round and its warm-up.
const ROOM: usize = 3 * HANDOFFS as usize;

/// An entry, and the counts to add to it.
struct Message {
    entry: usize,
    counts: Counts,
}

fn message(entry: usize) -> Message {
    Message { entry, counts: Counts::ONE }
}

/// Adds a message's counts to those of its entry.
fn note(message: &Message, totals: &mut [Counts; 2]) {
    totals[message.entry].add(message.counts);
}

fn sum([mut total, other]: [Counts; 2]) -> Counts {
    total.add(other);
    total
}

pub fn tokio(producers: usize, pace: Pace) -> Runner {
    let (sender, mut receiver) = mpsc::channel::<Message>(ROOM);
    let consumer = consumer(async move {
        let mut totals = [Counts::default(); 2];
        while let Some(first) = receiver.recv().await {
            note(&first, &mut totals);
            pace.wait().await;
            while let Ok(more) = receiver.try_recv() {
                note(&more, &mut totals);
            }
        }
        sum(totals)
    });
    let send = |sender: &mpsc::Sender<Message>, thread| {
        assert!(sender.try_send(message(thread)).is_ok(), "there is room");
    };
    runner(producers, sender, send, consumer)
}

/// An unbounded channel, since a bounded one allocates its whole capacity at once.
pub fn crossbeam(producers: usize) -> Runner {
    let (sender, receiver) = crossbeam_channel::unbounded::<Message>();
    let consumer = std::thread::spawn(move || {
        let mut totals = [Counts::default(); 2];
        receiver.iter().for_each(|message| note(&message, &mut totals));
        sum(totals)
    });
    let send = |sender: &crossbeam_channel::Sender<Message>, thread| {
        assert!(sender.try_send(message(thread)).is_ok(), "there is room");
    };
    runner(producers, sender, send, consumer)
}

/// A queue does not wake its consumer, which polls it instead.
pub fn queue(producers: usize) -> Runner {
    let queue = Arc::new(ArrayQueue::<Message>::new(ROOM));
    let is_over = Arc::new(AtomicBool::new(false));
    let consumer = std::thread::spawn({
        let (queue, is_over) = (Arc::clone(&queue), Arc::clone(&is_over));
        move || {
            let mut totals = [Counts::default(); 2];
            loop {
                // Read before the queue is drained for the last time.
                let is_last = is_over.load(Ordering::Acquire);
                while let Some(message) = queue.pop() {
                    note(&message, &mut totals);
                }
                if is_last {
                    return sum(totals);
                }
                std::thread::yield_now();
            }
        }
    });
    let push = |Producers(queue, _): &Producers, thread| {
        assert!(queue.push(message(thread)).is_ok(), "there is room");
    };
    runner(producers, Producers(queue, is_over), push, consumer)
}

struct Producers(Arc<ArrayQueue<Message>>, Arc<AtomicBool>);

impl Drop for Producers {
    fn drop(&mut self) {
        self.1.store(true, Ordering::Release);
    }
}
