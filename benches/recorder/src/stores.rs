//! The stores that the status is written to.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tower_agent_status::status::{Change, Precondition};
use tower_agent_status::store::{StatusStore, StoreError, WriteOutcome};

/// A store that answers at once and discards everything.
#[derive(Clone)]
pub struct Nowhere;

impl StatusStore for Nowhere {
    async fn write(&self, _: &Change, _: Precondition) -> Result<WriteOutcome, StoreError> {
        Ok(WriteOutcome::Applied)
    }
}

/// A store that counts the writes it applies, and notifies those waiting for them.
#[derive(Clone)]
pub struct Counted<S> {
    store: S,
    counts: Counts,
}

/// The writes applied, in all and by session.
#[derive(Clone, Default)]
pub struct Counts {
    sessions: Arc<Mutex<HashMap<String, watch::Sender<u64>>>>,
    writes: Arc<AtomicU64>,
}

/// The writes of one session.
#[derive(Clone)]
pub struct Saves(watch::Receiver<u64>);

impl<S> Counted<S> {
    pub fn new(store: S) -> (Self, Counts) {
        let counts = Counts::default();
        (Self { store, counts: counts.clone() }, counts)
    }
}

impl Counts {
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    pub fn of(&self, session_id: &str) -> Saves {
        let (sender, receiver) = watch::channel(0);
        self.sessions.lock().expect("never poisoned").insert(session_id.to_owned(), sender);
        Saves(receiver)
    }

    /// Stops counting for a session that nothing waits for any more.
    pub fn forget(&self, session_id: &str) {
        self.sessions.lock().expect("never poisoned").remove(session_id);
    }
}

impl Saves {
    pub async fn reach(mut self, writes: u64) {
        self.0.wait_for(|count| *count >= writes).await.expect("the session is not forgotten");
    }
}

impl<S: StatusStore> StatusStore for Counted<S> {
    /// # Panics
    ///
    /// If the change is not applied, since the benches measure a table that is available.
    async fn write(
        &self,
        change: &Change,
        expected: Precondition,
    ) -> Result<WriteOutcome, StoreError> {
        let written = self.store.write(change, expected).await;
        assert!(matches!(written, Ok(WriteOutcome::Applied)), "not written: {written:?}");
        self.counts.writes.fetch_add(1, Ordering::Relaxed);
        let sessions = self.counts.sessions.lock().expect("never poisoned");
        if let Some(session) = sessions.get(change.session_id.as_str()) {
            session.send_modify(|count| *count += 1);
        }
        written
    }

    fn is_reserved(&self, attribute: &str) -> bool {
        self.store.is_reserved(attribute)
    }
}
