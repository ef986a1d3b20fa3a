//! The one task that writes what the tracker knows into the store.
//!
//! ```text
//!   tracker ── dirty list ──▶ due (batch, back off) ──▶ write, one a session ──▶ store
//!                                  ▲                          │
//!                                  └── changed meanwhile, ────┘
//!                                      conflict, failure
//! ```
//!
//! A session on its way through this loop is in exactly one place: the dirty list, the queue of
//! what is due, or a write. So a session never has more than one write in flight, and whatever
//! changes in the meantime becomes one more write.
//!
//! A flush or a shutdown puts everything that is due into a queue of its own, `first`. What is
//! there is tried once, side by side: neither a backoff, nor a pause after throttling, nor the
//! limit after failures holds it up. [`Rounds`](super::rounds) has the bounds of that.

mod lifecycle;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::backoff::{FailedWrites, backoff};
use super::concurrency::WriteLimit;
use super::due::Due;
use super::flush_waiters::{Waiters, key};
use super::rounds::{Round, RoundEnd};
use super::sequence::Sequence;
use super::write::{self, FinishedWrite, InFlight};
use crate::status::{ErrorMessage, FittedChange, Lack, Precondition, UncertainUsage};
use crate::store::{StatusStore, StoreError, StoreErrorKind, WriteOutcome};
#[cfg(feature = "metrics")]
use crate::telemetry::metrics;
use crate::tracker::{Batch, Command, RecorderEnd, Session, Shared, UnsavedSession};

/// How many conflicts in a row are retried at once before the session backs off.
const CONFLICTS_AT_ONCE: u32 = 3;
/// How many conflicts in a row count as a failure.
const CONFLICTS_IN_A_ROW: u32 = 32;
/// How long an unfinished session that nobody uses stays in memory.
const IDLE: Duration = Duration::from_secs(600);

/// How often the recorder writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) batch_delay: Duration,
    pub(super) live_usage_interval: Duration,
    pub(super) heartbeat_interval: Duration,
    /// How many writes may be in flight; `None` finds it.
    pub(super) max_writes_in_flight: Option<usize>,
}

pub(super) struct Worker<S> {
    shared: Arc<Shared>,
    store: Arc<S>,
    settings: Settings,
    /// Sessions to write, the first that is due on top.
    due: BinaryHeap<Reverse<Due>>,
    /// Sessions that a flush or a shutdown waits for, to be tried before all others.
    first: VecDeque<Arc<Session>>,
    /// The sessions whose last write was not applied.
    failures: HashMap<usize, FailedWrites>,
    /// How many writes can be in flight. After failures it is low, so that not all sessions rush
    /// to a store that comes back.
    limit: WriteLimit,
    /// Throttled: no write starts before then.
    resume_at: Option<Instant>,
    /// An outage was logged, and no write was applied since. What fails for thousands of
    /// sessions is logged once.
    outage: bool,
    /// What was last taken from the hand-off.
    batch: Batch,
    /// The rounds in which every session is tried once.
    waiters: Waiters<Session, UnsavedSession, Round<Reply>>,
    shutdown: Option<Shutdown>,
    sequence: Sequence,
    next_sweep: Option<Instant>,
    /// When the token usage of running streams is next written.
    next_usage: Option<Instant>,
    /// It replaces one that was stopped, and has not run yet.
    is_new_replacement: bool,
}

type Reply = oneshot::Sender<Vec<UnsavedSession>>;

/// The recorder ends when everything is saved, or at the deadline.
struct Shutdown {
    deadline: Instant,
    replies: Vec<Reply>,
}

impl<S: StatusStore> Worker<S> {
    pub(super) fn new(shared: Arc<Shared>, store: Arc<S>, settings: Settings) -> Self {
        Self {
            shared,
            store,
            settings,
            due: BinaryHeap::new(),
            first: VecDeque::new(),
            failures: HashMap::new(),
            limit: WriteLimit::new(settings.max_writes_in_flight),
            resume_at: None,
            outage: false,
            batch: Batch::default(),
            waiters: Waiters::new(),
            shutdown: None,
            sequence: Sequence::new(),
            next_sweep: None,
            next_usage: None,
            is_new_replacement: false,
        }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    async fn save_changes(&mut self) {
        let mut writes = FuturesUnordered::new();
        loop {
            let now = Instant::now();
            self.sweep(now);
            self.take_batch(now);
            while let Some(session) = self.next_session(now, writes.len()) {
                let write = self.start_write(session, writes.len());
                writes.extend(write);
            }
            #[cfg(feature = "metrics")]
            metrics::dirty(self.first.len() + self.due.len() + writes.len());
            if self.is_over(now, writes.is_empty()) {
                break;
            }
            let wake_at = self.wake_at(now, writes.len());
            // What is pushed from now on is due no earlier, so that it need not wake the recorder.
            let has_timer = wake_at.is_some_and(|at| at <= now + self.batch_delay());
            let shared = Arc::clone(&self.shared);
            tokio::select! {
                // The same happenings lead to the same writes, so that a failure can be
                // replayed. Batch and the sweep are seen to above, whatever came first.
                biased;
                Some(write) = writes.next() => self.finish_write(write),
                () = poll_fn(|cx| shared.handoff.poll_changed(cx, has_timer)) => {}
                () = sleep_until(wake_at.unwrap_or(now)), if wake_at.is_some() => {}
            }
        }
        // A write that is still in flight may yet be applied; its session counts as unsaved.
        drop(writes);
        // Closed first, so that a change made from now on counts as lost.
        self.shared.end_recorder(RecorderEnd::ShutDown);
        for reply in self.shutdown.take().map(|shutdown| shutdown.replies).unwrap_or_default() {
            // The caller may have stopped waiting.
            let _ = reply.send(self.unsaved());
        }
    }

    /// Takes the sessions that became dirty, and the commands.
    fn take_batch(&mut self, now: Instant) {
        let ends = self.shutdown.is_some();
        let usage_is_due = ends || self.next_usage.is_some_and(|at| at <= now);
        self.shared.handoff.take(&mut self.batch, usage_is_due);
        let delay = self.batch_delay();
        // A push from outside of a runtime whose time is paused has the time of another clock.
        let due_at = |pushed_at: Instant| pushed_at.min(now) + delay;
        let dirty = self.batch.dirty.drain(..);
        let dirty = dirty.map(|(session, pushed_at)| Due { at: due_at(pushed_at), session });
        let usage = self.batch.usage.drain(..).map(|session| Due { at: now, session });
        self.due.extend(dirty.chain(usage).map(Reverse));
        self.next_usage = self
            .batch
            .usage_is_waiting
            .then(|| self.next_usage.unwrap_or(now + self.settings.live_usage_interval));
        for command in std::mem::take(&mut self.batch.commands) {
            let end = match command {
                Command::Flush(reply) => RoundEnd::Reply(reply),
                Command::Shutdown { deadline, reply } => {
                    let shutdown =
                        self.shutdown.get_or_insert(Shutdown { deadline, replies: Vec::new() });
                    // The first of several deadlines: it was promised to its caller.
                    shutdown.deadline = shutdown.deadline.min(deadline);
                    shutdown.replies.push(reply);
                    RoundEnd::GoOn
                }
                // A shutdown in progress retries more than once.
                Command::LastTry if self.shutdown.is_some() => continue,
                Command::LastTry => RoundEnd::End,
            };
            self.start_round(now, end);
        }
        if self.next_sweep.is_none() && self.shared.has_sessions() {
            self.next_sweep = Some(now + self.shared.sweep_every(self.settings.heartbeat_interval));
        }
    }

    /// How long a change waits for others to share its write.
    fn batch_delay(&self) -> Duration {
        if self.shutdown.is_some() { Duration::ZERO } else { self.settings.batch_delay }
    }

    /// Has every unsaved session tried once, now, even one that backs off.
    fn start_round(&mut self, now: Instant, end: RoundEnd<Reply>) {
        // In the order in which they were due: it is the same in each run of a test.
        let due = std::mem::take(&mut self.due).into_sorted_vec();
        self.first.extend(due.into_iter().rev().map(|Reverse(due)| due.session));
        let mut unsaved = Vec::new();
        self.shared.for_each_session(|session| {
            let state = session.lock();
            if state.is_queued() {
                unsaved.push((Arc::clone(session), state.ledger.version()));
            }
        });
        self.waiters.add(unsaved.into_iter(), Round { since: now, end });
    }

    /// The next session to write, with this many writes in flight.
    fn next_session(&mut self, now: Instant, in_flight: usize) -> Option<Arc<Session>> {
        if !self.first.is_empty() {
            let has_room = in_flight < self.width(now);
            return if has_room { self.first.pop_front() } else { None };
        }
        if in_flight >= self.limit.now() || self.resume_at.is_some_and(|at| at > now) {
            return None;
        }
        let first = self.due.peek_mut().filter(|first| first.0.at <= now)?;
        Some(std::collections::binary_heap::PeekMut::pop(first).0.session)
    }

    /// How many writes of `first` may be in flight.
    fn width(&self, now: Instant) -> usize {
        let (usual, most) = (self.limit.usual(), self.limit.most_in_round());
        let in_round = self.waiters.first().map_or(usual, |round| round.width(now, usual, most));
        self.limit.now().max(in_round)
    }

    /// When there is something to do next, even if nothing changes.
    fn wake_at(&self, now: Instant, in_flight: usize) -> Option<Instant> {
        let round = self.waiters.first();
        let (usual, most) = (self.limit.usual(), self.limit.most_in_round());
        let wider = round.filter(|_| !self.first.is_empty());
        let wider = wider.and_then(|round| round.wider_at(now, usual, most));
        let expires = round.and_then(Round::expires_at);
        let may_write = self.first.is_empty() && in_flight < self.limit.now();
        let due =
            self.due.peek().filter(|_| may_write).map(|Reverse(due)| {
                self.resume_at.map_or(due.at, |resume_at| due.at.max(resume_at))
            });
        let deadline = self.shutdown.as_ref().map(|shutdown| shutdown.deadline);
        let all = [wider, expires, due, deadline, self.next_sweep, self.next_usage];
        all.into_iter().flatten().min()
    }

    /// Starts the write of a session, if there is something to write, with this many in flight.
    fn start_write(
        &mut self,
        session: Arc<Session>,
        in_flight: usize,
    ) -> Option<impl Future<Output = FinishedWrite> + use<S>> {
        let clock = self.shared.now();
        let seq = self.sequence.next(clock, Instant::now());
        let writer = &self.shared.writer;
        let pending =
            session.take(|state| state.ledger.prepare_write(writer, seq, state.is_open(), clock));
        let Some(mut pending) = pending else {
            self.resolve(&session, None, self.waiters.epoch());
            return None;
        };
        // Built outside of the lock, which the request path may be waiting for.
        let Some(FittedChange { change, left_out }) = pending.change() else {
            if session.acknowledge(|state| state.ledger.write_skipped(&pending)) {
                let at = Instant::now() + self.settings.batch_delay;
                self.due.push(Reverse(Due { at, session: Arc::clone(&session) }));
            }
            self.resolve(&session, None, self.waiters.epoch());
            return None;
        };
        if !left_out.is_empty() {
            self.shared.warnings.item.warn(
                &format_args!("{left_out:?} of session `{}`", session.id),
                "the item is too large for DynamoDB and is saved without some texts: set fewer or \
                 shorter attributes, or use fewer agents",
            );
        }
        #[cfg(feature = "metrics")]
        if self.failures.get(&key(&session)).is_some_and(FailedWrites::is_retrying) {
            metrics::retried();
        }
        // The ledger needs it no more.
        let precondition = std::mem::replace(&mut pending.precondition, Precondition::Absent);
        let in_flight_write = InFlight::new(&self.shared, session, pending);
        let store = Arc::clone(&self.store);
        let (epoch, window) = (self.waiters.epoch(), self.limit.start(in_flight));
        Some(async move {
            let started = Instant::now();
            let result = write::send(&*store, &change, precondition).await;
            let took = started.elapsed();
            #[cfg(feature = "metrics")]
            metrics::written(write::result_name(&result), took);
            FinishedWrite { write: in_flight_write, result, took, window, epoch }
        })
    }

    /// Acts on how a write has ended.
    fn finish_write(&mut self, write: FinishedWrite) {
        let FinishedWrite { write, result, took, window, epoch } = write;
        let Some((session, pending)) = write.end() else { return };
        let clock = self.shared.now();
        let writer = &self.shared.writer;
        let mut lack = Lack::default();
        let mut excess = None;
        let mut resumes_finished = false;
        let is_dirty = session.acknowledge(|state| match &result {
            Ok(WriteOutcome::Applied) => {
                state.ledger.write_applied(pending);
                state.may_resume_finished = false;
            }
            Ok(WriteOutcome::Conflict(found)) => {
                let now = state.time_of_event(clock);
                let was_finished = state.ledger.is_finished();
                lack = state.ledger.write_conflicted(found.as_ref(), writer, now);
                excess = state.ledger.take_excess();
                let is_finished = state.ledger.is_finished() && !was_finished;
                resumes_finished = std::mem::take(&mut state.may_resume_finished) && is_finished;
            }
            Err(error) => state.ledger.write_failed(&pending, error.may_have_been_applied()),
        });
        if let Some(excess) = excess {
            Shared::warn_of_excess(&session.id, &excess);
        }
        if resumes_finished {
            self.shared.warn_of_finished(&session.id);
        }
        if lack.is_another {
            tracing::error!(
                session_id = %session.id,
                "what this process had saved is missing from the status: the item was deleted \
                 meanwhile, and another process made it again",
            );
        }
        if let Some(UncertainUsage { calls, tokens, cost }) = lack.uncertain {
            tracing::error!(
                session_id = %session.id,
                calls,
                tokens = tokens.total(),
                cost_usd = cost.to_usd(),
                "calls may be missing from the status: a write of them got no answer, and so many \
                 processes have written the item since that it cannot tell whether it has them",
            );
        }
        let failure = self.failures.entry(key(&session)).or_default();
        let mut delay = self.settings.batch_delay;
        let mut failed = None;
        match result {
            Ok(WriteOutcome::Applied) => {
                if std::mem::take(&mut self.outage) {
                    tracing::info!(session_id = %session.id, "status writes have recovered");
                }
                *failure = FailedWrites::default();
                self.limit.applied(window, took, Instant::now());
            }
            Ok(WriteOutcome::Conflict(_)) => {
                failure.conflicts += 1;
                delay = match failure.conflicts.checked_sub(CONFLICTS_AT_ONCE) {
                    None | Some(0) => Duration::ZERO,
                    Some(more) => backoff(more),
                };
                if failure.conflicts >= CONFLICTS_IN_A_ROW {
                    let what = "the item changed between every attempt";
                    let error = StoreError::new(StoreErrorKind::Unavailable, what);
                    delay = failure.record(&session, &error, &mut self.outage);
                    failed.clone_from(&failure.error);
                }
            }
            Err(error) => {
                delay = failure.record(&session, &error, &mut self.outage);
                if error.is_retryable() {
                    self.limit.failed();
                }
                if error.kind() == StoreErrorKind::Throttled {
                    self.resume_at = Some(Instant::now() + delay);
                }
                failed.clone_from(&failure.error);
            }
        }
        self.resolve(&session, failed, epoch);
        // A round that began during this write is owed an attempt of its own.
        if is_dirty && self.waiters.wait_for(&session) {
            self.first.push_back(session);
        } else if is_dirty {
            self.due.push(Reverse(Due { at: Instant::now() + delay, session }));
        }
    }

    /// Answers the flushes that waited for this session, and releases it if it is over.
    fn resolve(&mut self, session: &Arc<Session>, failed: Option<ErrorMessage>, epoch: u64) {
        let (saved, is_dirty) = {
            let state = session.lock();
            (state.ledger.saved_version(), state.ledger.is_dirty())
        };
        let failed = failed
            .map(|error| UnsavedSession { session_id: session.id.clone(), error: Some(error) });
        self.waiters.tried(session, saved, failed.as_ref(), epoch);
        if !is_dirty {
            self.failures.remove(&key(session));
            self.shared.release(session, IDLE, Instant::now());
        }
    }

    /// Answers the flushes that are complete. Returns whether the recorder must end.
    fn is_over(&mut self, now: Instant, no_writes: bool) -> bool {
        let mut last_try_done = false;
        let answered = self.waiters.take_answered();
        let expired = self.waiters.take_expired(
            |round| round.expires_at().is_some_and(|at| at <= now),
            |session| {
                let error = self.failures.get(&key(session)).and_then(|f| f.error.clone());
                UnsavedSession { session_id: session.id.clone(), error }
            },
        );
        for (round, failed) in answered.chain(expired) {
            match round.end {
                // The caller may have stopped waiting.
                RoundEnd::Reply(reply) => drop(reply.send(failed)),
                // Those that failed are tried again until the deadline.
                RoundEnd::GoOn => {}
                // The guard logs what could not be saved.
                RoundEnd::End => last_try_done = true,
            }
        }
        let ended = self.shutdown.as_ref().is_some_and(|shutdown| {
            // Permanent failures are not waited for.
            let is_lost = |Reverse(due): &Reverse<Due>| {
                self.failures.get(&key(&due.session)).is_some_and(|failure| failure.is_permanent)
            };
            now >= shutdown.deadline
                || no_writes && self.first.is_empty() && self.due.iter().all(is_lost)
        });
        last_try_done || ended
    }

    /// Sends the heartbeats that are due, and releases sessions that are over.
    fn sweep(&mut self, now: Instant) {
        if self.next_sweep.is_none_or(|at| at > now) {
            return;
        }
        // A heartbeat that would be due by the next sweep is sent now.
        let every = self.shared.sweep_every(self.settings.heartbeat_interval);
        let silent = self.settings.heartbeat_interval.saturating_sub(every);
        self.shared.for_each_session(|session| {
            self.shared.heartbeat(session, silent, now);
            self.shared.finish_idle(session, now);
            self.shared.release(session, IDLE, now);
        });
        #[cfg(feature = "metrics")]
        metrics::waiting(self.shared.waiting_agents());
        self.next_sweep = self.shared.has_sessions().then(|| now + every);
    }

    fn unsaved(&self) -> Vec<UnsavedSession> {
        self.shared.unsaved(|session| self.failures.get(&key(session))?.error.clone())
    }
}
