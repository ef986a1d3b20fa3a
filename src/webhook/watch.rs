//! Watches the table for workflows that fail or stall.
//!
//! ```text
//! every 10 s    the list of the last two minutes, and the workflows that were not finished
//! every hour    the list of the last day; also at the start, and when the queue has room again
//! ```

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::counts::Counters;
use super::delivery::Queue;
use super::notification::{Event, Notification, NotificationId};
use crate::status::{ErrorMessage, Item, SessionId, Timestamp, WorkflowStatus};
use crate::store::{ListRequest, StatusReader, StoreError, StoreErrorKind};

/// How far back each look goes. An item may appear in the index late, and a writer's clock may be
/// behind.
const SHORT_REACH: Duration = Duration::from_secs(2 * 60);

/// How far back a long look goes, how often there is one, and how many items it reads at most.
const LONG_REACH: Duration = Duration::from_secs(24 * 60 * 60);
const LONG_EVERY: Duration = Duration::from_secs(60 * 60);
const MAX_LISTED: usize = 10_000;

/// How many unfinished workflows are watched at most.
const MAX_OPEN: usize = 10_000;

/// How many items are read and kept at once.
const BATCH: usize = 100;

/// The longest time from a failed read to the next.
const MAX_BACKOFF: Duration = Duration::from_secs(5 * 60);

/// For how long a read may take.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// What to watch for.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    pub(super) every: Duration,
    pub(super) heartbeat: Duration,
    pub(super) attributes: Vec<String>,
    /// Nothing is said of what happened before.
    pub(super) not_before: Timestamp,
}

pub(super) struct Watcher<R> {
    reader: R,
    watch: Watch,
    queue: Queue,
    counters: Arc<Counters>,
    /// The unfinished workflows.
    open: HashSet<SessionId>,
    known: Known,
    last_long: Option<Instant>,
    /// Whether it was logged that the queue has no room.
    was_full: bool,
    /// How often in a row the store could not be read.
    failures: u32,
    has_warned_of_open: bool,
}

/// The notifications of what can still be seen, and what has become of each.
type Known = HashMap<NotificationId, Fate>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It was put into the queue.
    Put,
    /// The queue had no room for it.
    Dropped,
}

/// What an item says.
struct Seen {
    /// Whether it is to be looked at again.
    is_open: bool,
    /// What has happened to its workflow, if anything.
    event: Option<NotificationId>,
    /// The notification of it, if that is to be put into the queue.
    notification: Option<Box<Notification>>,
}

impl<R: StatusReader> Watcher<R> {
    pub(super) fn new(reader: R, watch: Watch, queue: Queue, counters: Arc<Counters>) -> Self {
        Self {
            reader,
            watch,
            queue,
            counters,
            open: HashSet::new(),
            known: Known::new(),
            last_long: None,
            was_full: false,
            failures: 0,
            has_warned_of_open: false,
        }
    }

    /// Watches until it is dropped.
    pub(super) async fn run(mut self) {
        let mut ticks = interval(self.watch.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let looked = timeout(READ_TIMEOUT, self.read()).await.unwrap_or_else(|_| {
                let text = format!("the store did not respond within {READ_TIMEOUT:?}");
                Err(StoreError::new(StoreErrorKind::Unavailable, text))
            });
            match looked {
                Ok(()) if std::mem::take(&mut self.failures) > 0 => {
                    tracing::info!("the webhook can read the store again");
                }
                Ok(()) => {}
                Err(error) => {
                    // What it has missed may be older than a short look goes.
                    self.last_long = None;
                    if self.failures == 0 {
                        let error = ErrorMessage::new(error);
                        tracing::warn!(%error, "the webhook cannot read the store; trying again");
                    }
                    self.failures = self.failures.saturating_add(1);
                    // A long look costs more, so there are fewer while the store is overloaded.
                    let every = self.watch.every;
                    let backoff = every.saturating_mul(1 << self.failures.min(16));
                    ticks.reset_after(backoff.min(MAX_BACKOFF).max(every));
                }
            }
        }
    }

    /// Reads what may have changed.
    async fn read(&mut self) -> Result<(), StoreError> {
        let now = Timestamp::from(SystemTime::now());
        let is_due = self.last_long.is_none_or(|last| last.elapsed() >= LONG_EVERY);
        // What was dropped is still in the table. A read that fails half-way leaves some of it to the
        // next.
        let has_dropped = self.known.values().any(|fate| *fate == Fate::Dropped);
        let finds_dropped = has_dropped && self.queue.has_room();
        let is_long = is_due || finds_dropped;
        let reach = if is_long { LONG_REACH } else { SHORT_REACH };
        let request = ListRequest::new(MAX_LISTED).since(now.saturating_sub(reach));
        let see = |id: &SessionId, item: Item| self.see(id, &item, now, finds_dropped);
        let list = self.reader.list(&request, see).await?;
        if finds_dropped {
            // Should some of them not fit again, that is another occasion to warn.
            self.was_full = false;
        }
        let listed: HashSet<_> = list.items.iter().map(|(id, _)| id.clone()).collect();
        let mut events = HashSet::new();
        // The oldest first, in the order in which they are sent.
        for (id, seen) in list.items.into_iter().rev() {
            events.extend(seen.event);
            self.note(id, seen);
        }
        let rest: Vec<_> = self.open.difference(&listed).cloned().collect();
        for batch in rest.chunks(BATCH) {
            let items = self.reader.get_many(batch).await?;
            for (id, item) in batch.iter().zip(items) {
                let Some(item) = item else {
                    self.open.remove(id);
                    continue;
                };
                let seen = self.see(id, &item, now, finds_dropped);
                events.extend(seen.event);
                self.note(id.clone(), seen);
            }
        }
        if is_long {
            self.last_long = Some(Instant::now());
            // What a long look does not see, none will.
            self.known.retain(|id, _| events.contains(id));
        }
        Ok(())
    }

    fn see(&self, id: &SessionId, item: &Item, now: Timestamp, finds_dropped: bool) -> Seen {
        let Watch { heartbeat, attributes, not_before, .. } = &self.watch;
        let status = WorkflowStatus::from_item(id, item);
        // Nobody is expected to finish what has not been written for a day.
        let is_live = now.duration_since(status.last_updated) < LONG_REACH || status.is_waiting();
        let mut seen = Seen {
            is_open: is_live && !status.overall_status.is_finished(),
            event: None,
            notification: None,
        };
        let event = Event::of(&status, now, *heartbeat).filter(|(_, at)| at >= not_before);
        let Some((event, at)) = event else { return seen };
        let id = NotificationId::new(&status, event);
        seen.event = Some(id);
        let is_known = match self.known.get(&id) {
            None => false,
            Some(Fate::Put) => true,
            Some(Fate::Dropped) => !finds_dropped,
        };
        if !is_known {
            let notification = Notification::new(&status, event, at, attributes);
            seen.notification = Some(Box::new(notification));
        }
        seen
    }

    /// Notes what an item says.
    fn note(&mut self, id: SessionId, seen: Seen) {
        if let Some(notification) = seen.notification {
            self.put(*notification);
        }
        if !seen.is_open {
            self.open.remove(&id);
        } else if self.open.len() < MAX_OPEN {
            self.open.insert(id);
        } else if !self.open.contains(&id) && !std::mem::replace(&mut self.has_warned_of_open, true)
        {
            tracing::warn!(
                "the webhook already watches {MAX_OPEN} unfinished workflows: it reads any others \
                 only once an hour"
            );
        }
    }

    fn put(&mut self, notification: Notification) {
        let id = notification.id;
        if self.queue.put(notification).is_ok() {
            self.known.insert(id, Fate::Put);
            return;
        }
        let is_first = self.known.insert(id, Fate::Dropped).is_none();
        let was_full = std::mem::replace(&mut self.was_full, true);
        if is_first {
            self.counters.found_full();
        }
        if !was_full {
            let dropped = self.counters.read().dropped_full;
            tracing::warn!(
                %id,
                dropped,
                "the webhook's queue is full: notifications are dropped until the receiver accepts some"
            );
        }
    }
}
