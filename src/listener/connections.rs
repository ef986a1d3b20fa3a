//! [`Connections`]: the connections of a server, up to a limit.
//!
//! ```text
//! accepted ─▶ a place is free ───────────────────────────▶ served
//!          ─▶ one waits for a request: it is closed ─────▶ served
//!          ─▶ each is being answered ────────────────────▶ refused
//! ```

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::sleep;

/// The connections of a server.
#[derive(Debug)]
pub(super) struct Connections {
    places: Arc<Semaphore>,
    waiting: Arc<Waiting>,
}

/// The connections that wait for a request, or for the rest of its head.
#[derive(Debug, Default)]
struct Waiting {
    by_age: Mutex<BTreeMap<u64, Arc<Notify>>>,
    next: AtomicU64,
}

/// The place of a connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    waiting: Arc<Waiting>,
    /// Its key among those that wait. The first is the one that has waited longest.
    age: AtomicU64,
    /// How many of its requests are being answered: on HTTP/2 there may be several at once.
    answering: watch::Sender<usize>,
    closed: Arc<Notify>,
    _place: OwnedSemaphorePermit,
}

/// Held while a request is answered, to the end of the response's body. Its connection is not
/// closed for another one meanwhile.
#[derive(Debug)]
pub(super) struct Answering(Arc<Connection>);

impl Connections {
    pub(super) fn new(max: usize) -> Self {
        let max = max.min(Semaphore::MAX_PERMITS);
        Self { places: Arc::new(Semaphore::new(max)), waiting: Arc::default() }
    }

    pub(super) fn is_full(&self) -> bool {
        self.places.available_permits() == 0
    }

    /// Makes room for a connection. If there is none, the connection that has waited longest for
    /// a request is closed. Returns `None` if all are being answered.
    pub(super) async fn enter(&self) -> Option<Arc<Connection>> {
        let place = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => place,
            Err(_) if self.close_longest_waiting() => {
                // Until its socket is closed: two for one place could exhaust the descriptors.
                Arc::clone(&self.places).acquire_owned().await.ok()?
            }
            Err(_) => return None,
        };
        let connection = Arc::new(Connection {
            waiting: Arc::clone(&self.waiting),
            age: AtomicU64::new(0),
            answering: watch::Sender::new(0),
            closed: Arc::default(),
            _place: place,
        });
        connection.wait();
        Some(connection)
    }

    /// Returns whether there was one.
    pub(super) fn close_longest_waiting(&self) -> bool {
        let longest = self.waiting.lock().pop_first();
        longest.inspect(|(_, closed)| closed.notify_one()).is_some()
    }
}

impl Connection {
    /// Resolves when the connection must make room for another one.
    pub(super) async fn closed(&self) {
        self.closed.notified().await;
    }

    /// Resolves when the connection has waited for a request for this long.
    pub(super) async fn idle(&self, limit: Duration) {
        let mut answering = self.answering.subscribe();
        loop {
            // The sender is in `self`, so it is not gone.
            let _ = answering.wait_for(|requests| *requests == 0).await;
            tokio::select! {
                () = sleep(limit) => return,
                _ = answering.changed() => {}
            }
        }
    }

    /// Marks the start of a request.
    pub(super) fn answer(self: &Arc<Self>) -> Answering {
        self.answering.send_modify(|requests| {
            *requests += 1;
            if *requests == 1 {
                self.stop_waiting();
            }
        });
        Answering(Arc::clone(self))
    }

    fn wait(&self) {
        let age = self.waiting.next.fetch_add(1, Ordering::Relaxed);
        self.age.store(age, Ordering::Relaxed);
        self.waiting.lock().insert(age, Arc::clone(&self.closed));
    }

    fn stop_waiting(&self) {
        self.waiting.lock().remove(&self.age.load(Ordering::Relaxed));
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.stop_waiting();
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let connection = &self.0;
        connection.answering.send_modify(|requests| {
            *requests -= 1;
            if *requests == 0 {
                connection.wait();
            }
        });
    }
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Notify>>> {
        self.by_age.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
