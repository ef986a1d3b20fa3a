//! The one task that writes what the tracker knows into the store.
//!
//! ```text
//!   tracker ── dirty list ──▶ due (gather, back off) ──▶ write, one a session ──▶ store
//!                                  ▲                          │
//!                                  └── changed meanwhile, ────┘
//!                                      conflict, failure
//! ```
//!
//! A session on its way through this loop is in exactly one place: the dirty list, the
//! queue of what is due, or a write. So there is never more than one write of a session in
//! flight, and while it is, any number of changes becomes one more.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};

use super::waiters::{Waiters, key};
use super::{Settings, UnsavedError};
use crate::status::{ErrorMessage, PendingWrite};
use crate::store::{StatusStore, StoreError, StoreErrorKind, WriteOutcome};
#[cfg(feature = "metrics")]
use crate::telemetry::metrics;
use crate::tracker::{Batch, Command, Session, Shared, Unsaved};

/// How many writes may be in flight at once, over all sessions.
const MAX_WRITES: usize = 64;
/// The first failure of a session waits up to this long, each further one up to twice
/// as long as the one before.
const BACKOFF_BASE: Duration = Duration::from_millis(50);
/// No failure waits longer. It is also how soon writing resumes after an outage.
const BACKOFF_CAP: Duration = Duration::from_secs(5);
/// How soon a write that failed for good is tried again: somebody may have granted the
/// access, or created the table.
const PERMANENT_BACKOFF: Duration = Duration::from_secs(60);
/// How often in a row the item may turn out to be another before the session backs off.
const CONFLICTS_AT_ONCE: u32 = 3;
/// How often in a row it may, before that counts as a failure.
const CONFLICTS_IN_A_ROW: u32 = 32;
/// No write may take longer: it counts as failed, though it may yet be applied. The stores
/// of this crate give up long before.
const WRITE_LIMIT: Duration = Duration::from_secs(60);
/// How long an unfinished session that nobody uses stays in memory.
const IDLE: Duration = Duration::from_secs(600);

/// Says that nothing is saved any more, however the recorder ends.
struct Closing(Arc<Shared>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.handoff.close();
        let unsaved = self.0.unsaved(|_| None);
        if !unsaved.is_empty() {
            #[cfg(feature = "metrics")]
            metrics::lost("unsaved", unsaved.len() as u64);
            let error = UnsavedError { unsaved };
            tracing::error!(%error, "the recorder has ended");
        }
    }
}

pub(super) struct Worker<S> {
    closing: Closing,
    store: Arc<S>,
    settings: Settings,
    /// Sessions to write, the first due on top.
    due: BinaryHeap<Reverse<Due>>,
    /// The sessions whose last write failed.
    failing: HashMap<usize, Failing>,
    /// How many writes may be in flight: halved by each failure of the store, and one
    /// more with each success, so that a store that comes back is not met by all at once.
    limit: usize,
    /// The store asked all to slow down until then.
    resume_at: Option<Instant>,
    /// The store's failing was said, and no write has been applied since: what fails for
    /// thousands of sessions is said once.
    outage: bool,
    /// What was last taken from the tracker.
    batch: Batch,
    /// Those who wait for a flush; without a reply the recorder ends instead.
    waiters: Waiters<Session, Unsaved, Option<Reply>>,
    ending: Option<Shutdown>,
    next_sweep: Option<Instant>,
    /// When tokens of calls in flight are next written for their own sake.
    next_usage: Option<Instant>,
}

/// A session waiting to be written.
struct Due {
    at: Instant,
    session: Arc<Session>,
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
        // Sessions come from maps whose order is random.
        self.at.cmp(&other.at).then_with(|| self.session.id.cmp(&other.session.id))
    }
}

#[derive(Default)]
struct Failing {
    failures: u32,
    conflicts: u32,
    permanent: bool,
    error: Option<ErrorMessage>,
}

type Reply = oneshot::Sender<Vec<Unsaved>>;

/// The recorder is to end: when all is saved, or at the deadline.
struct Shutdown {
    deadline: Instant,
    replies: Vec<Reply>,
}

/// A write that has ended.
struct Done {
    session: Arc<Session>,
    pending: PendingWrite,
    result: Result<WriteOutcome, StoreError>,
    epoch: u64,
}

impl<S: StatusStore> Worker<S> {
    pub(super) fn new(shared: Arc<Shared>, store: Arc<S>, settings: Settings) -> Self {
        Self {
            closing: Closing(shared),
            store,
            settings,
            due: BinaryHeap::new(),
            failing: HashMap::new(),
            limit: MAX_WRITES,
            resume_at: None,
            outage: false,
            batch: Batch::default(),
            waiters: Waiters::new(),
            ending: None,
            next_sweep: None,
            next_usage: None,
        }
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.closing.0
    }

    pub(super) async fn run(mut self) {
        let mut writes = FuturesUnordered::new();
        loop {
            let now = Instant::now();
            self.sweep(now);
            self.take_batch(now);
            while writes.len() < self.limit
                && let Some(session) = self.next_due(now)
            {
                writes.extend(self.begin(session));
            }
            #[cfg(feature = "metrics")]
            metrics::dirty(self.due.len() + writes.len());
            if self.is_over(now, writes.is_empty()) {
                break;
            }
            let wake_at = self.wake_at(writes.len() < self.limit);
            let shared = Arc::clone(self.shared());
            tokio::select! {
                // The same happenings lead to the same writes, so that a failure can be
                // replayed. Batch and the sweep are seen to above, whatever came first.
                biased;
                Some(done) = writes.next() => self.end(done),
                () = poll_fn(|cx| shared.handoff.poll_changed(cx)) => {}
                () = sleep_until(wake_at.unwrap_or(now)), if wake_at.is_some() => {}
            }
        }
        // A write that is still under way may yet be applied; its session counts as unsaved.
        drop(writes);
        // First, so that a change made from now on is known to be lost.
        self.shared().handoff.close();
        for reply in self.ending.take().map(|ending| ending.replies).unwrap_or_default() {
            // Whoever asked may have stopped waiting.
            let _ = reply.send(self.unsaved());
        }
    }

    /// Takes up the sessions that became dirty, and the commands.
    fn take_batch(&mut self, now: Instant) {
        let ends = self.ending.is_some();
        let usage_is_due = ends || self.next_usage.is_some_and(|at| at <= now);
        self.closing.0.handoff.take(&mut self.batch, usage_is_due);
        let gather = if ends { Duration::ZERO } else { self.settings.batch_delay };
        let dirty = self.batch.dirty.drain(..).map(|session| Due { at: now + gather, session });
        let figures = self.batch.usage.drain(..).map(|session| Due { at: now, session });
        self.due.extend(dirty.chain(figures).map(Reverse));
        self.next_usage = self
            .batch
            .usage_is_waiting
            .then(|| self.next_usage.unwrap_or(now + self.settings.live_usage_interval));
        for command in std::mem::take(&mut self.batch.commands) {
            let reply = match command {
                Command::Flush(reply) => Some(reply),
                Command::Shutdown { deadline, reply } => {
                    self.make_all_due(now);
                    let ending =
                        self.ending.get_or_insert(Shutdown { deadline, replies: Vec::new() });
                    // Of several deadlines the first: what was promised to one who asked.
                    ending.deadline = ending.deadline.min(deadline);
                    ending.replies.push(reply);
                    continue;
                }
                // Whoever asked for the end waits for more than one try.
                Command::LastTry if self.ending.is_some() => continue,
                Command::LastTry => None,
            };
            self.make_all_due(now);
            let sessions = self.shared().all_sessions();
            let unsaved = sessions.into_iter().filter_map(|session| {
                let state = session.lock();
                let version = state.is_queued().then(|| state.ledger.version())?;
                drop(state);
                Some((session, version))
            });
            self.waiters.add(unsaved, reply);
        }
        if self.next_sweep.is_none() && self.shared().has_sessions() {
            self.next_sweep =
                Some(now + self.shared().sweep_every(self.settings.heartbeat_interval));
        }
    }

    /// Makes everything due now.
    fn make_all_due(&mut self, now: Instant) {
        let due = std::mem::take(&mut self.due);
        self.due = due.into_iter().map(|Reverse(due)| Reverse(Due { at: now, ..due })).collect();
        self.resume_at = None;
    }

    fn next_due(&mut self, now: Instant) -> Option<Arc<Session>> {
        if self.resume_at.is_some_and(|at| at > now) {
            return None;
        }
        let first = self.due.peek_mut().filter(|first| first.0.at <= now)?;
        Some(std::collections::binary_heap::PeekMut::pop(first).0.session)
    }

    /// When there is something to do without anybody saying so.
    fn wake_at(&self, may_write: bool) -> Option<Instant> {
        let due =
            self.due.peek().filter(|_| may_write).map(|Reverse(due)| {
                self.resume_at.map_or(due.at, |resume_at| due.at.max(resume_at))
            });
        let deadline = self.ending.as_ref().map(|ending| ending.deadline);
        [due, deadline, self.next_sweep, self.next_usage].into_iter().flatten().min()
    }

    /// Begins the write of a session, if there is something to write.
    fn begin(&mut self, session: Arc<Session>) -> Option<impl Future<Output = Done> + use<S>> {
        let seq = self.shared().next_seq();
        let writer = &self.shared().writer;
        let pending = session.take(|state| state.ledger.prepare_write(writer, seq));
        let Some(pending) = pending else {
            self.settle(&session, None, self.waiters.epoch());
            return None;
        };
        // Not under the lock: the request path may want it.
        let Some(change) = pending.change() else {
            if session.acknowledge(|state| state.ledger.write_skipped(&pending)) {
                let at = Instant::now() + self.settings.batch_delay;
                self.due.push(Reverse(Due { at, session: Arc::clone(&session) }));
            }
            self.settle(&session, None, self.waiters.epoch());
            return None;
        };
        #[cfg(feature = "metrics")]
        if self.failing.get(&key(&session)).is_some_and(Failing::is_at_it) {
            metrics::retried();
        }
        let store = Arc::clone(&self.store);
        let epoch = self.waiters.epoch();
        Some(async move {
            #[cfg(feature = "metrics")]
            let started = Instant::now();
            let write =
                AssertUnwindSafe(async { store.write(&change, pending.precondition).await });
            let unavailable =
                |what| Err(StoreError::new(StoreErrorKind::Unavailable, what).ambiguous());
            let result = match timeout(WRITE_LIMIT, write.catch_unwind()).await {
                Ok(Ok(result)) => result,
                Ok(Err(_)) => unavailable("the store panicked"),
                Err(_) => unavailable("the store did not answer within a minute"),
            };
            #[cfg(feature = "metrics")]
            metrics::written(result_name(&result), started.elapsed());
            Done { session, pending, result, epoch }
        })
    }

    /// Draws the consequences of a write that has ended.
    fn end(&mut self, done: Done) {
        let Done { session, pending, result, epoch } = done;
        let now = self.shared().now();
        let writer = &self.closing.0.writer;
        let is_dirty = session.acknowledge(|state| match &result {
            Ok(WriteOutcome::Applied) => state.ledger.write_applied(pending),
            Ok(WriteOutcome::Conflict(found)) => {
                state.ledger.write_conflicted(found.as_ref(), writer, now);
            }
            Err(error) => state.ledger.write_failed(&pending, error.may_have_been_applied()),
        });
        let failing = self.failing.entry(key(&session)).or_default();
        let mut delay = self.settings.batch_delay;
        let mut failed = None;
        match result {
            Ok(WriteOutcome::Applied) => {
                if std::mem::take(&mut self.outage) {
                    tracing::info!(session_id = %session.id, "status is saved again");
                }
                *failing = Failing::default();
                self.limit = MAX_WRITES.min(self.limit + 1);
            }
            Ok(WriteOutcome::Conflict(_)) => {
                failing.conflicts += 1;
                delay = match failing.conflicts.checked_sub(CONFLICTS_AT_ONCE) {
                    None | Some(0) => Duration::ZERO,
                    Some(more) => jittered(more),
                };
                if failing.conflicts >= CONFLICTS_IN_A_ROW {
                    let what = "the item is another at every try";
                    let error = StoreError::new(StoreErrorKind::Unavailable, what);
                    delay = failing.note(&session, &error, &mut self.outage);
                    failed.clone_from(&failing.error);
                }
            }
            Err(error) => {
                delay = failing.note(&session, &error, &mut self.outage);
                if error.is_retryable() {
                    self.limit = (self.limit / 2).max(1);
                }
                if error.kind() == StoreErrorKind::Throttled {
                    self.resume_at = Some(Instant::now() + delay);
                }
                failed.clone_from(&failing.error);
            }
        }
        if is_dirty {
            // A flush that came while this was under way has its own try to come.
            let is_awaited = failed.is_some() && self.waiters.have_come_since(epoch, &session);
            if is_awaited || !self.waiters.is_empty() && failed.is_none() {
                delay = Duration::ZERO;
            }
            let at = Instant::now() + delay;
            self.due.push(Reverse(Due { at, session: Arc::clone(&session) }));
        }
        self.settle(&session, failed, epoch);
    }

    /// Tells those who wait what became of a session, and lets go of it if it is over.
    fn settle(&mut self, session: &Arc<Session>, failed: Option<ErrorMessage>, epoch: u64) {
        let (saved, is_dirty) = {
            let state = session.lock();
            (state.ledger.saved_version(), state.ledger.is_dirty())
        };
        let failed =
            failed.map(|error| Unsaved { session_id: session.id.clone(), error: Some(error) });
        self.waiters.tried(session, saved, failed.as_ref(), epoch);
        if !is_dirty {
            self.failing.remove(&key(session));
            self.shared().release(session, IDLE);
        }
    }

    /// Answers those who waited; whether the recorder is to end.
    fn is_over(&mut self, now: Instant, no_writes: bool) -> bool {
        let mut last_try_done = false;
        for (reply, failed) in self.waiters.take_answered() {
            match reply {
                // Whoever asked may have stopped waiting.
                Some(reply) => drop(reply.send(failed)),
                // What could not be saved is said when the recorder has ended.
                None => last_try_done = true,
            }
        }
        let ended = self.ending.as_ref().is_some_and(|ending| {
            // What failed for good is not waited for.
            let is_lost = |Reverse(due): &Reverse<Due>| {
                self.failing.get(&key(&due.session)).is_some_and(|failing| failing.permanent)
            };
            now >= ending.deadline || no_writes && self.due.iter().all(is_lost)
        });
        last_try_done || ended
    }

    /// Renews what is alive and lets go of what is over, now and then.
    fn sweep(&mut self, now: Instant) {
        if self.next_sweep.is_none_or(|at| at > now) {
            return;
        }
        // By the next sweep it would be due.
        let every = self.shared().sweep_every(self.settings.heartbeat_interval);
        let silent = self.settings.heartbeat_interval.saturating_sub(every);
        for session in self.shared().all_sessions() {
            self.shared().heartbeat(&session, silent);
            self.shared().finish_idle(&session);
            self.shared().release(&session, IDLE);
        }
        self.next_sweep = self.shared().has_sessions().then(|| now + every);
    }

    fn unsaved(&self) -> Vec<Unsaved> {
        self.shared().unsaved(|session| self.failing.get(&key(session))?.error.clone())
    }
}

/// What a write came to, for those who count.
#[cfg(feature = "metrics")]
fn result_name(result: &Result<WriteOutcome, StoreError>) -> &'static str {
    match result.as_ref().map_err(StoreError::kind) {
        Ok(WriteOutcome::Applied) => "applied",
        Ok(WriteOutcome::Conflict(_)) => "conflict",
        Err(StoreErrorKind::Throttled) => "throttled",
        Err(StoreErrorKind::Unavailable) => "unavailable",
        Err(StoreErrorKind::Permanent) => "permanent",
    }
}

impl Failing {
    /// Whether the last write was not applied.
    #[cfg(feature = "metrics")]
    fn is_at_it(&self) -> bool {
        self.failures > 0 || self.conflicts > 0
    }

    /// Notes a failure, says it if it is batch, and tells how long to wait.
    fn note(&mut self, session: &Session, error: &StoreError, outage: &mut bool) -> Duration {
        let is_news =
            if error.is_retryable() { !std::mem::replace(outage, true) } else { !self.permanent };
        self.failures += 1;
        self.permanent = !error.is_retryable();
        let message = ErrorMessage::new(error);
        let (session_id, failures) = (&session.id, self.failures);
        if !is_news {
            tracing::debug!(%session_id, failures, error = %message, "status still not saved");
        } else if self.permanent {
            tracing::error!(%session_id, error = %message, "status cannot be saved");
        } else {
            tracing::warn!(%session_id, error = %message, "status not saved; trying again");
        }
        self.error = Some(message);
        if self.permanent { PERMANENT_BACKOFF } else { jittered(self.failures) }
    }
}

/// Exponential backoff with full jitter: anything up to a bound that doubles.
fn jittered(failures: u32) -> Duration {
    let bound = BACKOFF_BASE.saturating_mul(1 << failures.saturating_sub(1).min(16));
    bound.min(BACKOFF_CAP).mul_f64(fastrand::f64())
}
