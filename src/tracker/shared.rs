//! [`Shared`]: what the request path and the recorder share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::handoff::{self, Handoff, Mark};
use super::log_once::{LogOnce, Warnings};
use super::registry::Registry;
use super::session::SessionState;
use super::{Clock, Command, Scope, Session, Unsaved};
use crate::status::{ErrorMessage, Ledger, SessionId, Timestamp, random_digits};

/// How a tracker keeps its sessions.
#[derive(Clone)]
pub(crate) struct Limits {
    pub(crate) max_sessions: usize,
    /// After how long of silence a workflow that nobody opened is complete.
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) clock: Clock,
}

static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// What the recorder has taken.
pub(crate) type Batch = handoff::Batch<SessionId, SessionState, Command>;

/// What the request path and the recorder share.
pub(crate) struct Shared {
    /// Tells the trackers of this process apart; never 0.
    number: u64,
    /// The name of this tracker among an item's writers.
    pub(crate) writer: String,
    limits: Limits,
    pub(crate) registry: Registry,
    sessions: Mutex<HashMap<SessionId, Arc<Session>>>,
    pub(crate) handoff: Handoff<SessionId, SessionState, Command>,
    pub(crate) warnings: Warnings,
    losses: Losses,
    pub(super) lost: AtomicU64,
    /// The number of the last write.
    last_seq: AtomicU64,
}

/// What was lost, each kind logged as an error once.
#[derive(Default)]
struct Losses {
    full: LogOnce,
    full_session: LogOnce,
    closed: LogOnce,
}

impl Shared {
    pub(crate) fn new(
        limits: Limits,
        is_reserved: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            writer: random_digits(),
            limits,
            registry: Registry::new(Box::new(is_reserved)),
            sessions: Mutex::default(),
            handoff: Handoff::new(),
            warnings: Warnings::default(),
            losses: Losses::default(),
            lost: AtomicU64::new(0),
            last_seq: AtomicU64::new(0),
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.limits.clock.now()
    }

    /// A session of which this process knows, or learns now; `None` if there is no room
    /// for one more.
    pub(crate) fn session(&self, id: &SessionId) -> Option<Arc<Session>> {
        if self.handoff.is_closed() {
            self.lose_after_the_end(id);
            return None;
        }
        let mut sessions = self.lock_sessions();
        if let Some(session) = sessions.get(id) {
            return Some(Arc::clone(session));
        }
        if sessions.len() >= self.limits.max_sessions {
            drop(sessions);
            self.lose("full", "too many sessions are live or unsaved", &self.losses.full, id);
            return None;
        }
        let mut ledger = Ledger::new(id.clone(), self.now());
        self.registry.add_declared(&mut ledger);
        let session = Arc::new(Session::new(id.clone(), SessionState::new(ledger)));
        sessions.insert(id.clone(), Arc::clone(&session));
        Some(session)
    }

    /// The session of a scope.
    #[inline]
    pub(crate) fn session_of(&self, scope: &Scope) -> Option<Arc<Session>> {
        // What is kept there cannot have been let go of meanwhile.
        match scope.cached(self.number) {
            Some(session) if !self.handoff.is_closed() => Some(session),
            _ => {
                let session = self.session(scope.id())?;
                scope.cache(self.number, Arc::clone(&session));
                Some(session)
            }
        }
    }

    /// Changes a session, and has it saved if `change` says that there is something to save.
    #[inline]
    pub(super) fn change(
        &self,
        session: &Arc<Session>,
        change: impl FnOnce(&mut SessionState, Timestamp) -> bool,
    ) {
        let now = self.now();
        let is_taken_on = self
            .handoff
            .change(session, |state| if change(state, now) { Mark::Dirty } else { Mark::Nothing });
        if !is_taken_on {
            self.lose_after_the_end(&session.id);
        }
    }

    /// Changes figures of a session. That alone is worth a write now and then only;
    /// whatever else changes takes it along.
    pub(super) fn change_usage(
        &self,
        session: &Arc<Session>,
        change: impl FnOnce(&mut SessionState, Timestamp) -> bool,
    ) {
        let now = self.now();
        self.handoff.change(
            session,
            |state| {
                if change(state, now) { Mark::Usage } else { Mark::Nothing }
            },
        );
    }

    pub(super) fn lock_sessions(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a change that came after the recorder had ended.
    fn lose_after_the_end(&self, id: &SessionId) {
        self.lose("closed", "the tracker was shut down", &self.losses.closed, id);
    }

    /// Counts a call of an agent for which its session has no room.
    pub(super) fn lose_of_full_session(&self, id: &SessionId) {
        let why = "the session has too many agents for one more that was not declared";
        self.lose("full", why, &self.losses.full_session, id);
    }

    fn lose(&self, reason: &'static str, why: &str, logged: &LogOnce, id: &SessionId) {
        #[cfg(feature = "metrics")]
        crate::telemetry::metrics::lost(reason, 1);
        let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
        if logged.is_first() {
            tracing::error!(session_id = %id, lost, reason, "status not recorded: {why}");
        } else {
            tracing::debug!(session_id = %id, lost, reason, "status not recorded: {why}");
        }
    }

    /// What the table lacks.
    pub(crate) fn unsaved(
        &self,
        why: impl Fn(&Arc<Session>) -> Option<ErrorMessage>,
    ) -> Vec<Unsaved> {
        let mut sessions = self.all_sessions();
        sessions.retain(|session| session.lock().ledger.is_dirty());
        let unsaved = sessions.iter();
        unsaved.map(|s| Unsaved { session_id: s.id.clone(), error: why(s) }).collect()
    }
}

/// The recorder's side.
impl Shared {
    /// The number of the next write: the time in milliseconds, or one more than the last
    /// where that is higher.
    pub(crate) fn next_seq(&self) -> u64 {
        let now = u64::try_from(self.now().as_millis()).unwrap_or(0);
        let next = |last: u64| now.max(last + 1);
        let last = self
            .last_seq
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
        next(last.unwrap_or_else(|last| last))
    }

    pub(crate) fn has_sessions(&self) -> bool {
        !self.lock_sessions().is_empty()
    }

    pub(crate) fn all_sessions(&self) -> Vec<Arc<Session>> {
        self.lock_sessions().values().cloned().collect()
    }

    /// Lets go of a session that is saved and that nobody uses, so that memory is
    /// bounded by what is live. An unfinished one is kept until it was idle for so long.
    pub(crate) fn release(&self, session: &Arc<Session>, idle: Duration) {
        let mut sessions = self.lock_sessions();
        // The map's and the caller's. Further ones can only be had from the map, which is
        // locked, or from one of those that are in use.
        if Arc::strong_count(session) > 2 {
            return;
        }
        let state = session.lock();
        let ledger = &state.ledger;
        // One that is to be completed when it is idle has to be here then.
        let idle = self.limits.idle_timeout.map_or(idle, |after| idle.max(after.saturating_mul(2)));
        let is_idle =
            || state.open == 0 && self.now().duration_since(ledger.last_updated()) >= idle;
        let is_over = ledger.is_finished() || is_idle();
        if is_over && !state.is_queued() && !ledger.is_dirty() && !ledger.is_active() {
            sessions.remove(&session.id);
        }
    }

    /// Renews the sessions that are alive and have been silent for so long.
    pub(crate) fn heartbeat(&self, session: &Arc<Session>, silent: Duration) {
        self.change(session, |state, now| {
            let alive = state.open > 0 || state.ledger.is_active();
            let since = now.duration_since(state.ledger.last_updated());
            alive && since >= silent && state.ledger.heartbeat(now)
        });
    }

    /// How often to look through all sessions: so often in the shortest time that is to be
    /// kept that what is seen to at one of these looks is neither much too late nor written
    /// much more often than it should be.
    pub(crate) fn sweep_every(&self, heartbeat: Duration) -> Duration {
        heartbeat.min(self.limits.idle_timeout.unwrap_or(heartbeat)) / 16
    }

    /// Completes a session that was only seen by its calls, once it was idle for so long
    /// as is set.
    pub(crate) fn finish_idle(&self, session: &Arc<Session>) {
        let Some(idle) = self.limits.idle_timeout else { return };
        self.change(session, |state, now| {
            let since = now.duration_since(state.ledger.last_updated());
            !state.was_opened && since >= idle && state.ledger.finish_idle(now)
        });
    }
}
