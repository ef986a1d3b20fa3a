//! Delivers notifications: a few at once, each again until it is accepted.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep_until};

use super::counts::Counters;
use super::notification::Notification;

/// How many notifications the queue holds, those in flight included.
pub(super) const CAPACITY: usize = 1_000;

/// How many are in flight at once.
const AT_ONCE: usize = 4;

/// After the first failure of a notification it is sent again after this time at most; after each
/// further one, after twice the time before.
const BACKOFF_BASE: Duration = Duration::from_secs(1);
const BACKOFF_CAP: Duration = Duration::from_secs(5 * 60);

/// For how long a notification is sent again.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The side of the queue that puts notifications into it.
#[derive(Debug)]
pub(super) struct Queue {
    sender: mpsc::UnboundedSender<Queued>,
    room: Arc<Semaphore>,
    counters: Arc<Counters>,
}

/// A notification in the queue.
#[derive(Debug)]
pub(super) struct Queued {
    notification: Notification,
    /// When it was put into the queue.
    since: Instant,
    failures: u32,
    /// Its place in the queue.
    _room: OwnedSemaphorePermit,
}

/// The queue is full.
#[derive(Debug)]
pub(super) struct QueueFull;

impl Queue {
    pub(super) fn new(counters: Arc<Counters>) -> (Self, UnboundedReceiver<Queued>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { sender, room: Arc::new(Semaphore::new(CAPACITY)), counters }, receiver)
    }

    pub(super) fn put(&self, notification: Notification) -> Result<(), QueueFull> {
        let room = Arc::clone(&self.room).try_acquire_owned().map_err(|_| QueueFull)?;
        let since = Instant::now();
        let queued = Queued { notification, since, failures: 0, _room: room };
        self.counters.queued();
        // The receiver lives as long as this.
        let _ = self.sender.send(queued);
        Ok(())
    }

    /// Whether at least half of it is free.
    pub(super) fn has_room(&self) -> bool {
        self.room.available_permits() >= CAPACITY / 2
    }
}

/// Why a notification was not accepted.
#[derive(Debug)]
pub(super) struct NotAccepted {
    pub(super) why: String,
    /// How long the receiver asks to wait.
    pub(super) retry_after: Option<Duration>,
}

/// Delivers what comes in until it is dropped.
pub(super) async fn deliver<F>(
    mut incoming: UnboundedReceiver<Queued>,
    counters: Arc<Counters>,
    send: impl Fn(Notification) -> F,
) where
    F: Future<Output = Result<(), NotAccepted>>,
{
    let mut waiting: BinaryHeap<Reverse<Due>> = BinaryHeap::new();
    let mut in_flight = FuturesUnordered::new();
    let mut number = 0;
    // Whether the last request has failed, so that only the first of an outage is warned of.
    let mut is_down = false;
    loop {
        let next = waiting.peek().filter(|_| in_flight.len() < AT_ONCE).map(|Reverse(due)| due.at);
        let due = async {
            match next {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        };
        tokio::select! {
            Some(queued) = incoming.recv() => {
                number += 1;
                waiting.push(Reverse(Due { at: queued.since, number, queued }));
            }
            () = due => {
                let Some(Reverse(Due { number, queued, .. })) = waiting.pop() else { continue };
                let sending = send(queued.notification.clone());
                in_flight.push(async move { (number, queued, sending.await) });
            }
            Some((number, mut queued, result)) = in_flight.next() => {
                let id = queued.notification.id;
                let failed = match result {
                    Ok(()) => {
                        counters.delivered();
                        if std::mem::take(&mut is_down) {
                            tracing::info!("the webhook's receiver is accepting notifications again");
                        }
                        continue;
                    }
                    Err(failed) => failed,
                };
                counters.failed();
                queued.failures += 1;
                let why = failed.why;
                let at = Instant::now() + backoff(queued.failures, failed.retry_after);
                if at.duration_since(queued.since) > MAX_AGE {
                    counters.expired();
                    tracing::warn!(%id, %why, "dropped a notification that was not accepted for a day");
                    continue;
                }
                if !std::mem::replace(&mut is_down, true) {
                    tracing::warn!(%id, %why, "the webhook's receiver did not accept a notification; trying again");
                } else {
                    tracing::debug!(%id, %why, failures = queued.failures, "a notification is still not accepted");
                }
                waiting.push(Reverse(Due { at, number, queued }));
            }
        }
    }
}

/// How long to wait after so many failures: a time that doubles, less up to half of it, so that those
/// that failed together are not sent together.
fn backoff(failures: u32, retry_after: Option<Duration>) -> Duration {
    let bound = BACKOFF_BASE.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let time = bound.min(BACKOFF_CAP).mul_f64(1.0 - fastrand::f64() / 2.0);
    time.max(retry_after.unwrap_or_default().min(BACKOFF_CAP))
}

/// A notification that is sent at a time. Those of the same time keep their order.
#[derive(Debug)]
struct Due {
    at: Instant,
    number: u64,
    queued: Queued,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::sleep;

    use super::*;
    use crate::status::{SessionId, Timestamp, WorkflowStatus};
    use crate::webhook::notification::Event;

    fn notification(session: &str) -> Notification {
        let now = Timestamp::from_millis(0);
        let status = WorkflowStatus::new(SessionId::new(session).unwrap(), now);
        Notification::new(&status, Event::Failed, now, &[])
    }

    fn refused(retry_after: Option<Duration>) -> NotAccepted {
        NotAccepted { why: "no".to_owned(), retry_after }
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_are_in_flight_at_once_and_the_rest_wait() {
        let counters = Arc::new(Counters::default());
        let (queue, incoming) = Queue::new(Arc::clone(&counters));
        for n in 0..10 {
            queue.put(notification(&format!("s{n}"))).unwrap();
        }
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let send = async |_| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            sleep(Duration::from_secs(1)).await;
            now.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        };
        let delivery = deliver(incoming, Arc::clone(&counters), send);
        let _ = tokio::time::timeout(Duration::from_secs(4), delivery).await;
        assert_eq!(most.load(Ordering::SeqCst), AT_ONCE);
        assert_eq!(counters.read().delivered, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_never_accepted_is_dropped_after_a_day_and_holds_up_no_other() {
        let counters = Arc::new(Counters::default());
        let (queue, incoming) = Queue::new(Arc::clone(&counters));
        let bad = notification("bad");
        queue.put(bad.clone()).unwrap();
        queue.put(notification("good")).unwrap();
        let sent = Mutex::new(Vec::new());
        let send = async |notification: Notification| {
            let is_bad = notification.id == bad.id;
            sent.lock().unwrap().push((is_bad, Instant::now()));
            if is_bad { Err(refused(None)) } else { Ok(()) }
        };
        let delivery = deliver(incoming, Arc::clone(&counters), send);
        let _ = tokio::time::timeout(MAX_AGE + BACKOFF_CAP, delivery).await;
        let counts = counters.read();
        assert_eq!((counts.delivered, counts.dropped_expired, counts.pending), (1, 1, 0));
        let sent = sent.into_inner().unwrap();
        let times: Vec<_> = sent.iter().filter(|(is_bad, _)| *is_bad).map(|(_, at)| *at).collect();
        assert_eq!(times.len() as u64, counts.failed);
        for (failures, pair) in times.windows(2).enumerate() {
            let bound = BACKOFF_BASE.saturating_mul(1 << failures.min(16)).min(BACKOFF_CAP);
            let waited = pair[1] - pair[0];
            // tokio's clock has whole milliseconds.
            let range = bound / 2..=bound + Duration::from_millis(2);
            assert!(range.contains(&waited), "{failures}: {waited:?}");
        }
        let last = times.last().unwrap().duration_since(times[0]);
        assert!((MAX_AGE - BACKOFF_CAP..=MAX_AGE).contains(&last), "{last:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_receiver_may_ask_for_a_pause_but_not_a_long_one() {
        for (asked, least, most) in [(20, 20, 21), (100_000, 300, 301), (0, 0, 1)] {
            let counters = Arc::new(Counters::default());
            let (queue, incoming) = Queue::new(Arc::clone(&counters));
            queue.put(notification("s")).unwrap();
            let sent = Mutex::new(Vec::new());
            let send = async |_| {
                let mut sent = sent.lock().unwrap();
                sent.push(Instant::now());
                match sent.len() {
                    1 => Err(refused(Some(Duration::from_secs(asked)))),
                    _ => Ok(()),
                }
            };
            let delivery = deliver(incoming, Arc::clone(&counters), send);
            let accepted = async {
                while counters.read().delivered == 0 {
                    sleep(Duration::from_millis(100)).await;
                }
            };
            tokio::select! { () = delivery => {}, () = accepted => {} }
            let sent = sent.into_inner().unwrap();
            let waited = sent[1] - sent[0];
            // tokio's clock has whole milliseconds.
            let most = Duration::from_secs(most) + Duration::from_millis(2);
            let range = Duration::from_secs(least)..=most;
            assert!(range.contains(&waited), "{asked}: {waited:?}");
        }
    }

    #[test]
    fn the_queue_is_bounded() {
        let counters = Arc::new(Counters::default());
        let (queue, mut incoming) = Queue::new(Arc::clone(&counters));
        let one = notification("s");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _inside = runtime.enter();
        for _ in 0..CAPACITY {
            queue.put(one.clone()).unwrap();
        }
        assert!(queue.put(one.clone()).is_err());
        assert!(!queue.has_room());
        drop(incoming.try_recv().unwrap());
        assert!(queue.put(one).is_ok());
    }
}
