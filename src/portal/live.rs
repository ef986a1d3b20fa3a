//! [`Live`]: the watched sessions, and the one task that polls the store for them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::version::Version;
use super::view::{Rendered, View, etag};
use super::visible::Viewer;
use crate::status::{Item, SessionId, WorkflowStatus};
use crate::store::{StatusReader, StoreError, StoreErrorKind};

/// The most sessions that can be watched at once. Each is read at every poll, even if it
/// does not exist.
const MAX_SESSIONS: usize = 1_000;

/// How many sessions are read at once.
const MAX_BATCH: usize = 100;

/// How long a read may take before the store is considered unavailable.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest pause between two reads while the store is unavailable.
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// How many reads in a row may be older than the last one before they are believed. Two
/// allow for eventually consistent reads; a session that was deleted stays older.
const MAX_OLDER_READS: u8 = 2;

/// The newest state of a session. It is not a queue: a slow watcher skips states instead
/// of falling behind.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct State {
    /// The workflow as last read; `None` until the first read.
    pub(super) snapshot: Option<Snapshot>,
    /// Whether the last read failed.
    pub(super) is_stale: bool,
}

/// A workflow as sent to its watchers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Snapshot {
    /// JSON on one line, shared by all watchers.
    pub(super) json: Arc<str>,
    /// The event's id, set once the workflow has finished. A browser that reconnects sends
    /// it back, which tells that it has seen the end.
    pub(super) id: Option<String>,
    /// The workflow, if there is one and something decides about [access](super::visible) to it.
    pub(super) status: Option<Arc<WorkflowStatus>>,
}

impl Snapshot {
    fn new(workflow: &Rendered, status: Option<WorkflowStatus>) -> Self {
        let Rendered { json, finished } = workflow;
        let id = finished.then(|| etag(json));
        Self { json: json.as_str().into(), id, status: status.map(Arc::new) }
    }
}

impl Snapshot {
    /// What a viewer sees: a workflow that they may not see is one that is not there.
    pub(super) fn seen_by(self, viewer: &Viewer, session_id: &SessionId, view: &View) -> Self {
        match &self.status {
            Some(status) if !viewer.sees(status) => {
                let now = SystemTime::now().into();
                Self::new(&view.workflow(session_id.as_str(), None, now), None)
            }
            _ => self,
        }
    }
}

/// [`MAX_SESSIONS`] are being watched.
#[derive(Debug)]
pub(super) struct TooManySessions;

/// The watched sessions of a store.
///
/// One task polls the store for all of them, however many clients watch, and stops when
/// nobody does.
#[derive(Debug)]
pub(super) struct Live<R> {
    shared: Arc<Shared<R>>,
}

#[derive(Debug)]
struct Shared<R> {
    reader: Arc<R>,
    view: Arc<View>,
    poll_interval: Duration,
    /// Whether watchers need the workflow, beside its JSON.
    keeps_status: bool,
    watched: Mutex<Watched>,
    /// Wakes the polling task for a session that has not been read yet.
    added: Notify,
}

#[derive(Debug, Default)]
struct Watched {
    sessions: HashMap<SessionId, Session>,
    is_polled: bool,
}

#[derive(Debug, Default)]
struct Session {
    state: watch::Sender<State>,
    version: Option<Version>,
    older_reads: u8,
}

impl<R: StatusReader> Live<R> {
    pub(super) fn new(
        reader: Arc<R>,
        view: Arc<View>,
        poll_interval: Duration,
        keeps_status: bool,
    ) -> Self {
        let (watched, added) = (Mutex::default(), Notify::new());
        let shared = Shared { reader, view, poll_interval, keeps_status, watched, added };
        Self { shared: Arc::new(shared) }
    }

    /// Watches a session until the receiver is dropped. The channel closes once the workflow
    /// has finished.
    pub(super) fn watch(
        &self,
        session_id: &SessionId,
    ) -> Result<watch::Receiver<State>, TooManySessions> {
        let mut watched = self.shared.lock();
        if let Some(session) = watched.sessions.get(session_id) {
            return Ok(session.state.subscribe());
        }
        if watched.sessions.len() >= MAX_SESSIONS {
            watched.sessions.retain(|_, session| !session.is_abandoned());
            if watched.sessions.len() >= MAX_SESSIONS {
                return Err(TooManySessions);
            }
        }
        let session = Session::default();
        let receiver = session.state.subscribe();
        watched.sessions.insert(session_id.clone(), session);
        if watched.is_polled {
            self.shared.added.notify_one();
        } else {
            watched.is_polled = true;
            tokio::spawn(poll(Polling(Arc::clone(&self.shared))));
        }
        Ok(receiver)
    }
}

/// Polls the store until nobody is watching.
async fn poll<R: StatusReader>(polling: Polling<R>) {
    let shared = &polling.0;
    let mut failures = 0;
    let mut next = Instant::now();
    loop {
        let is_due = Instant::now() >= next;
        let Some(session_ids) = shared.to_read(is_due) else { return };
        match shared.refresh(&session_ids).await {
            Ok(()) if session_ids.is_empty() => {}
            Ok(()) => {
                if failures > 0 {
                    tracing::info!("the status store is answering again");
                }
                failures = 0;
            }
            Err(error) => {
                if failures == 0 {
                    let (sessions, session_id) = (session_ids.len(), &session_ids[0]);
                    tracing::warn!(%error, sessions, ?session_id, "cannot read the status store for live events; retrying");
                }
                failures += 1;
                shared.mark_stale();
            }
        }
        if is_due {
            next = Instant::now() + shared.pause(failures);
        }
        tokio::select! {
            () = sleep_until(next) => {}
            () = shared.added.notified(), if failures == 0 => {}
        }
    }
}

impl<R: StatusReader> Shared<R> {
    /// The sessions to read: all, or only those that have not been read yet. `None` if nobody
    /// is watching; the polling task must then end.
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

    /// Reads and publishes these sessions. Each batch is dropped before the next is read: an item
    /// may have 400 KB.
    async fn refresh(&self, session_ids: &[SessionId]) -> Result<(), StoreError> {
        for batch in session_ids.chunks(MAX_BATCH) {
            let items = self.read(batch).await?;
            self.publish(batch, &items);
        }
        Ok(())
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
            let status = item.as_ref().map(|item| WorkflowStatus::from_item(session_id, item));
            let snapshot = if session.accepts(status.as_ref()) {
                let workflow = self.view.workflow(session_id.as_str(), status.as_ref(), now);
                Some(Snapshot::new(&workflow, status.filter(|_| self.keeps_status)))
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

    /// The pause before the next read, after this many failures in a row.
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

    /// Whether to show what was read. An eventually consistent read may return an older item
    /// than the read before it, or none.
    fn accepts(&mut self, status: Option<&WorkflowStatus>) -> bool {
        let found = status.map(Version::of);
        let is_older = match (found, self.version) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(found), Some(last)) => found.is_older_than(last),
        };
        if is_older && self.older_reads < MAX_OLDER_READS {
            self.older_reads += 1;
            return false;
        }
        self.older_reads = 0;
        self.version = found;
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

/// Held by the polling task. If the reader panics, dropping it closes all streams, so that
/// clients reconnect and a new task starts.
struct Polling<R>(Arc<Shared<R>>);

impl<R> Drop for Polling<R> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            *self.0.lock() = Watched::default();
        }
    }
}
