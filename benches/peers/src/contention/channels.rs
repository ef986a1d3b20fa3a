//! Channels: a message for each hand-off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_queue::ArrayQueue;
use tokio::sync::mpsc;

use super::{Figures, HANDOFFS, Pace, consumer, runner};
use crate::Runner;

/// Room for what two producers hand over in a round and in what comes before it.
const ROOM: usize = 3 * HANDOFFS as usize;

/// Which entry, and what to add to it.
struct Message {
    entry: usize,
    figures: Figures,
}

fn message(entry: usize) -> Message {
    Message { entry, figures: Figures::ONE }
}

/// Adds a message to what its entry has.
fn note(message: &Message, totals: &mut [Figures; 2]) {
    totals[message.entry].add(message.figures);
}

fn sum([mut total, other]: [Figures; 2]) -> Figures {
    total.add(other);
    total
}

pub fn tokio(producers: usize, pace: Pace) -> Runner {
    let (sender, mut receiver) = mpsc::channel::<Message>(ROOM);
    let consumer = consumer(async move {
        let mut totals = [Figures::default(); 2];
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

/// Without a bound: with one, all of its room is made at once.
pub fn crossbeam(producers: usize) -> Runner {
    let (sender, receiver) = crossbeam_channel::unbounded::<Message>();
    let consumer = std::thread::spawn(move || {
        let mut totals = [Figures::default(); 2];
        receiver.iter().for_each(|message| note(&message, &mut totals));
        sum(totals)
    });
    let send = |sender: &crossbeam_channel::Sender<Message>, thread| {
        assert!(sender.try_send(message(thread)).is_ok(), "there is room");
    };
    runner(producers, sender, send, consumer)
}

/// Nobody is woken by a queue: the consumer looks again and again.
pub fn queue(producers: usize) -> Runner {
    let queue = Arc::new(ArrayQueue::<Message>::new(ROOM));
    let is_over = Arc::new(AtomicBool::new(false));
    let consumer = std::thread::spawn({
        let (queue, is_over) = (Arc::clone(&queue), Arc::clone(&is_over));
        move || {
            let mut totals = [Figures::default(); 2];
            loop {
                // Asked before the last look.
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
