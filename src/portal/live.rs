//! [`Live`]: the sessions that somebody watches, and the one task that reads them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::view::{Shown, View, etag};
use crate::status::{Item, SessionId, Timestamp, WorkflowStatus};
use crate::store::{StatusReader, StoreError, StoreErrorKind};

/// How many sessions may be watched at once: each costs a read at every poll, whether it
/// exists or not.
const MAX_SESSIONS: usize = 1_000;

/// How long a read may take before the store counts as not answering.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait at most between two reads of a store that does not answer.
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// How many reads in a row that seem older than what was read before are put down to
/// eventual consistency.
const MAX_DOUBTS: u8 = 2;

/// What a watcher of a session is told: always the newest, so that one who is slow skips
/// states and is never behind.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct State {
    /// The workflow as last read; `None` until the first read.
    pub(super) snapshot: Option<Snapshot>,
    /// Whether the store did not answer the last time.
    pub(super) is_stale: bool,
}

/// A workflow as its watchers are shown it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Snapshot {
    /// JSON on one line. One text, however many watch it.
    pub(super) json: Arc<str>,
    /// Set once the workflow has finished. A client that reconnects, as browsers do, sends
    /// it back to say that it has seen the end.
    pub(super) id: Option<String>,
}

impl Snapshot {
    fn new(shown: &Shown) -> Self {
        Self { json: shown.json.as_str().into(), id: shown.finished.then(|| etag(&shown.json)) }
    }
}

/// Too many sessions are watched.
#[derive(Debug)]
pub(super) struct TooMany;

/// The live sessions of a store. However many watch them, one task reads the store, for
/// all of them at once, and only while somebody watches.
#[derive(Debug)]
pub(super) struct Live<R> {
    shared: Arc<Shared<R>>,
}

#[derive(Debug)]
struct Shared<R> {
    reader: Arc<R>,
    view: Arc<View>,
    poll_interval: Duration,
    watched: Mutex<Watched>,
    /// Somebody watches a session that was not read yet.
    woken: Notify,
}

#[derive(Debug, Default)]
struct Watched {
    sessions: HashMap<SessionId, Session>,
    is_polled: bool,
}

#[derive(Debug, Default)]
struct Session {
    state: watch::Sender<State>,
    seen: Option<Seen>,
    doubts: u8,
}

/// By what an item is known to be older than another.
#[derive(Clone, Copy, Debug)]
struct Seen {
    created_at: Timestamp,
    revision: u64,
}

impl<R: StatusReader> Live<R> {
    pub(super) fn new(reader: Arc<R>, view: Arc<View>, poll_interval: Duration) -> Self {
        let (watched, woken) = (Mutex::default(), Notify::new());
        Self { shared: Arc::new(Shared { reader, view, poll_interval, watched, woken }) }
    }

    /// Watches a session, until the receiver is dropped. The receiver's sender goes when
    /// the workflow has finished.
    pub(super) fn watch(&self, session_id: &SessionId) -> Result<watch::Receiver<State>, TooMany> {
        let mut watched = self.shared.lock();
        if let Some(session) = watched.sessions.get(session_id) {
            return Ok(session.state.subscribe());
        }
        if watched.sessions.len() >= MAX_SESSIONS {
            watched.sessions.retain(|_, session| !session.is_abandoned());
            if watched.sessions.len() >= MAX_SESSIONS {
                return Err(TooMany);
            }
        }
        let session = Session::default();
        let receiver = session.state.subscribe();
        watched.sessions.insert(session_id.clone(), session);
        if watched.is_polled {
            self.shared.woken.notify_one();
        } else {
            watched.is_polled = true;
            tokio::spawn(poll(Polling(Arc::clone(&self.shared))));
        }
        Ok(receiver)
    }
}

/// Reads until nobody watches any more.
async fn poll<R: StatusReader>(polling: Polling<R>) {
    let shared = &polling.0;
    let mut failures = 0;
    let mut next = Instant::now();
    loop {
        let is_due = Instant::now() >= next;
        let Some(session_ids) = shared.to_read(is_due) else { return };
        if !session_ids.is_empty() {
            match shared.read(&session_ids).await {
                Ok(items) => {
                    if failures > 0 {
                        tracing::info!("the status store answers again");
                    }
                    failures = 0;
                    shared.publish(&session_ids, &items);
                }
                Err(error) => {
                    if failures == 0 {
                        let (sessions, session_id) = (session_ids.len(), &session_ids[0]);
                        tracing::warn!(%error, sessions, ?session_id, "live events wait for the status store");
                    }
                    failures += 1;
                    shared.mark_stale();
                }
            }
        }
        if is_due {
            next = Instant::now() + shared.pause(failures);
        }
        tokio::select! {
            () = sleep_until(next) => {}
            () = shared.woken.notified(), if failures == 0 => {}
        }
    }
}

impl<R: StatusReader> Shared<R> {
    /// The sessions to read: all, or only those that were not read yet. `None` if nobody
    /// watches any more, and then the polling has ended.
    fn to_read(&self, all: bool) -> Option<Vec<SessionId>> {
        let mut watched = self.lock();
        watched.sessions.retain(|_, session| !session.is_abandoned());
        if watched.sessions.is_empty() {
            watched.is_polled = false;
            return None;
        }
        let due = |session: &Session| all || session.state.borrow().snapshot.is_none();
        let due = watched.sessions.iter().filter(|(_, session)| due(session));
        Some(due.map(|(id, _)| id.clone()).collect())
    }

    async fn read(&self, session_ids: &[SessionId]) -> Result<Vec<Option<Item>>, StoreError> {
        let too_slow = |_| StoreError::new(StoreErrorKind::Unavailable, "it does not answer");
        let items = timeout(READ_TIMEOUT, self.reader.get_many(session_ids));
        items.await.map_err(too_slow).flatten()
    }

    fn publish(&self, session_ids: &[SessionId], items: &[Option<Item>]) {
        let now = SystemTime::now().into();
        let mut watched = self.lock();
        for (session_id, item) in session_ids.iter().zip(items) {
            let Some(session) = watched.sessions.get_mut(session_id) else { continue };
            let snapshot = if session.is_to_believe(session_id, item.as_ref()) {
                let shown = self.view.workflow(session_id.as_str(), item.as_ref(), now);
                Some(Snapshot::new(&shown))
            } else {
                session.state.borrow().snapshot.clone()
            };
            let is_finished = snapshot.as_ref().is_some_and(|snapshot| snapshot.id.is_some());
            session.show(State { snapshot, is_stale: false });
            if is_finished {
                watched.sessions.remove(session_id);
            }
        }
    }

    fn mark_stale(&self) {
        for session in self.lock().sessions.values() {
            session.state.send_if_modified(|state| !std::mem::replace(&mut state.is_stale, true));
        }
    }

    /// How long to wait after so many failures in a row.
    fn pause(&self, failures: u32) -> Duration {
        let backoff = self.poll_interval.saturating_mul(2_u32.saturating_pow(failures));
        backoff.min(MAX_BACKOFF).max(self.poll_interval)
    }
}

impl<R> Shared<R> {
    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn is_abandoned(&self) -> bool {
        self.state.receiver_count() == 0
    }

    /// Whether what was read is as new as what was read earlier. It need not be where
    /// reads are eventually consistent.
    fn is_to_believe(&mut self, session_id: &SessionId, item: Option<&Item>) -> bool {
        let found = item.map(|item| {
            let status = WorkflowStatus::from_item(session_id, item);
            Seen { created_at: status.created_at, revision: status.revision }
        });
        let seems_older = match (found, self.seen) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(found), Some(seen)) => {
                found.revision < seen.revision && found.created_at <= seen.created_at
            }
        };
        if seems_older && self.doubts < MAX_DOUBTS {
            self.doubts += 1;
            return false;
        }
        self.doubts = 0;
        self.seen = found;
        true
    }

    fn show(&self, new: State) {
        self.state.send_if_modified(|state| {
            let is_changed = *state != new;
            *state = new;
            is_changed
        });
    }
}

/// The task that reads. If it ends by a panic of the reader's, its watchers are let go, so
/// that they come again.
struct Polling<R>(Arc<Shared<R>>);

impl<R> Drop for Polling<R> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            *self.0.lock() = Watched::default();
        }
    }
}
