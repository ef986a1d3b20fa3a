//! [`Shared`]: what the request path and the recorder share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::handoff::{self, Handoff, Mark, RecorderState};
use super::log_once::{LogOnce, Warnings};
use super::recorder::RecorderLink;
use super::registry::{Registry, ReservedNames};
use super::session::SessionState;
use super::sessions::Sessions;
use super::{Clock, Command, Costs, Scope, Session, UnsavedSession};
use crate::status::{ErrorMessage, Excess, Ledger, SessionId, Timestamp, random_writer_id};

/// What bounds a tracker's sessions.
#[derive(Clone)]
pub(crate) struct Limits {
    pub(crate) max_sessions: usize,
    /// A session that no workflow was opened on is completed after this long without a call.
    pub(crate) idle_timeout: Option<Duration>,
    /// The same, while an agent waits.
    pub(crate) waiting_timeout: Duration,
    /// How long the item of a session is kept after its creation.
    pub(crate) retention: Duration,
    pub(crate) clock: Clock,
    /// The level of the spans of calls and workflows.
    pub(crate) span_level: tracing::Level,
}

static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// What the recorder takes at a time.
pub(crate) type Batch = handoff::Batch<SessionId, SessionState, Command, Instant>;

/// What the request path and the recorder share.
pub(crate) struct Shared {
    /// Distinguishes the trackers of this process; never 0.
    number: u64,
    /// The id of this tracker among an item's writers.
    pub(crate) writer: String,
    limits: Limits,
    pub(crate) costs: Costs,
    pub(crate) registry: Registry,
    sessions: Mutex<Sessions>,
    pub(crate) handoff: Handoff<SessionId, SessionState, Command, Instant>,
    pub(super) recorder: RecorderLink,
    pub(crate) warnings: Warnings,
    losses: Losses,
    pub(super) lost: AtomicU64,
}

/// What was lost, each kind logged as an error once.
#[derive(Default)]
struct Losses {
    full: LogOnce,
    full_session: LogOnce,
    closed: LogOnce,
}

impl Shared {
    pub(crate) fn new(limits: Limits, costs: Costs, reserved: Arc<dyn ReservedNames>) -> Self {
        Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            writer: random_writer_id(),
            limits,
            costs,
            registry: Registry::new(reserved),
            sessions: Mutex::default(),
            handoff: Handoff::new(),
            recorder: RecorderLink::default(),
            warnings: Warnings::default(),
            losses: Losses::default(),
            lost: AtomicU64::new(0),
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn span_level(&self) -> tracing::Level {
        self.limits.span_level
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.limits.clock.now()
    }

    /// The session with this id, which is added if it is new; `None` if there is no room for
    /// it, or the recorder has ended.
    pub(crate) fn session(&self, id: &SessionId) -> Option<Arc<Session>> {
        if self.has_ended() {
            self.lose_after_the_end(id);
            return None;
        }
        let mut sessions = self.lock_sessions();
        if let Some(session) = sessions.get(id) {
            return Some(Arc::clone(session));
        }
        let mut left = None;
        if sessions.len() >= self.limits.max_sessions {
            left = sessions.remove_idle();
            if left.is_none() {
                drop(sessions);
                self.lose("full", "too many sessions are live or unsaved", &self.losses.full, id);
                return None;
            }
        }
        let ledger = Ledger::new(id.clone(), self.now());
        let mut ledger = ledger.with_retention(self.limits.retention);
        self.registry.add_declared(&mut ledger);
        let session = Arc::new(Session::new(id.clone(), SessionState::new(ledger)));
        sessions.insert(Arc::clone(&session));
        drop(sessions);
        if let Some(left) = left {
            self.left_for_another(&left);
        }
        Some(session)
    }

    /// Warns of a workflow that was started in a finished session without a new run.
    #[cold]
    pub(crate) fn warn_of_finished(&self, id: &SessionId) {
        if self.warnings.finished.is_first() {
            tracing::warn!(
                session_id = %id,
                "a workflow was started in a finished session: its calls are recorded, its end is \
                 not; to record it as a run of its own, use `new_run` or `new_run_after`; further \
                 occurrences are not logged"
            );
        }
    }

    /// Warns that a workflow has exceeded a limit. Its calls go on.
    #[cold]
    pub(crate) fn warn_of_excess(id: &SessionId, excess: &Excess) {
        #[cfg(feature = "metrics")]
        crate::telemetry::metrics::over_budget(excess.as_str());
        match *excess {
            Excess::Usd { used, limit } => tracing::warn!(
                session_id = %id, used_usd = %used, budget_usd = %limit,
                "a workflow has exceeded its cost budget; its calls go on"
            ),
            Excess::Tokens { used, limit } => tracing::warn!(
                session_id = %id, used_tokens = used, budget_tokens = limit,
                "a workflow has exceeded its token budget; its calls go on"
            ),
        }
    }

    /// A session has left memory to make room for another.
    #[cold]
    fn left_for_another(&self, session: &Session) {
        let state = session.lock();
        let is_awaited = self.limits.idle_timeout.is_some() && !state.was_opened;
        if is_awaited && !state.ledger.is_finished() && self.warnings.left_early.is_first() {
            tracing::warn!(
                session_id = %session.id,
                max_sessions = self.limits.max_sessions,
                "a session left memory to make room, before its idle timeout; unless a call \
                 resumes it, it stays as it is; further occurrences are not logged"
            );
        }
    }

    /// The session of a scope.
    #[inline]
    pub(crate) fn session_of(&self, scope: &Scope) -> Option<Arc<Session>> {
        // A session that a scope holds is not released; see `release`.
        match scope.cached(self.number) {
            Some(session) if !self.has_ended() => Some(session),
            _ => {
                let session = self.session(scope.id())?;
                scope.cache(self.number, Arc::clone(&session));
                Some(session)
            }
        }
    }

    /// Changes a session, and has it saved if `change` returns true.
    #[inline]
    pub(super) fn change(
        &self,
        session: &Arc<Session>,
        change: impl FnOnce(&mut SessionState, Timestamp) -> bool,
    ) {
        let clock = self.now();
        let is_running = self.handoff.change(session, Instant::now, |state| {
            let now = state.time_of_event(clock);
            if change(state, now) { Mark::Dirty } else { Mark::Nothing }
        });
        if !is_running {
            self.changed_without_recorder(&session.id);
        }
    }

    #[cold]
    fn changed_without_recorder(&self, id: &SessionId) {
        match self.handoff.recorder() {
            // Another thread has started one, which takes the change.
            RecorderState::Running => {}
            RecorderState::Stopped => self.replace_recorder(),
            RecorderState::Ended => self.lose_after_the_end(id),
        }
    }

    /// Changes only the token usage of a session, which is worth a write of its own now and
    /// then. Any other write takes it along.
    pub(super) fn change_usage(
        &self,
        session: &Arc<Session>,
        change: impl FnOnce(&mut SessionState, Timestamp) -> bool,
    ) {
        let clock = self.now();
        let is_running = self.handoff.change(session, Instant::now, |state| {
            let now = state.time_of_event(clock);
            if change(state, now) { Mark::Usage } else { Mark::Nothing }
        });
        if !is_running && !self.has_ended() {
            self.replace_recorder();
        }
    }

    pub(super) fn lock_sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a change that came after the recorder has ended.
    fn lose_after_the_end(&self, id: &SessionId) {
        self.count_after_the_end();
        self.lose("closed", &self.recorder_end().to_string(), &self.losses.closed, id);
    }

    /// Counts a call whose agent has no room in its session.
    pub(super) fn lose_of_full_session(&self, id: &SessionId) {
        let why = "the session has too many agents to add one that was not declared";
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

    /// The sessions whose newest state is not saved.
    pub(crate) fn unsaved(
        &self,
        why: impl Fn(&Arc<Session>) -> Option<ErrorMessage>,
    ) -> Vec<UnsavedSession> {
        let mut unsaved = Vec::new();
        self.for_each_session(|session| {
            if session.lock().ledger.is_dirty() {
                let session_id = session.id.clone();
                unsaved.push(UnsavedSession { session_id, error: why(session) });
            }
        });
        unsaved
    }
}

/// The recorder's side.
impl Shared {
    pub(crate) fn has_sessions(&self) -> bool {
        self.lock_sessions().len() > 0
    }

    /// Does something with each session. It holds one at a time, since a session that is held
    /// cannot make room for another.
    pub(crate) fn for_each_session(&self, mut with: impl FnMut(&Arc<Session>)) {
        let ids = self.lock_sessions().ids();
        for id in ids {
            let session = self.lock_sessions().get(&id).cloned();
            if let Some(session) = session {
                with(&session);
            }
        }
    }

    /// How many agents wait, over all sessions in memory.
    #[cfg(feature = "metrics")]
    pub(crate) fn waiting_agents(&self) -> usize {
        let mut agents = 0;
        self.for_each_session(|session| agents += session.lock().ledger.waiting_agents());
        agents
    }

    /// Removes a session that is saved and that nobody uses, so that memory is bounded by what
    /// is live. An unfinished session stays until it was idle for this long, or until its room is
    /// needed.
    pub(crate) fn release(&self, session: &Arc<Session>, idle: Duration, now: Instant) {
        let mut sessions = self.lock_sessions();
        // One is the map's and one the caller's. Further clones come from the map, which is
        // locked, or from another clone, which would count here.
        if Arc::strong_count(session) > 2 {
            return;
        }
        let mut state = session.lock();
        if !state.is_idle() {
            return;
        }
        // With an idle timeout, the session must still be here when that is reached.
        let idle = self.limits.idle_timeout.map_or(idle, |after| {
            let is_waiting = state.ledger.is_waiting();
            let waiting = if is_waiting { self.limits.waiting_timeout } else { after };
            idle.max(after.max(waiting).saturating_mul(2))
        });
        if state.ledger.is_finished() || state.silence(now) >= idle {
            sessions.remove(&session.id);
        } else if state.ticket.is_none() {
            state.ticket = Some(sessions.list_idle(&session.id, state.ledger.version()));
        }
    }

    /// Sends a heartbeat for a session that is alive and has not changed for this long.
    pub(crate) fn heartbeat(&self, session: &Arc<Session>, silent: Duration, now: Instant) {
        let clock = self.now();
        self.handoff.change(session, Instant::now, |state| {
            if state.heartbeat(silent, clock, now) { Mark::Dirty } else { Mark::Nothing }
        });
    }

    /// How often to sweep over all sessions: a sixteenth of the shortest interval to be kept,
    /// so that what a sweep does is neither much too late nor done much too often.
    pub(crate) fn sweep_every(&self, heartbeat: Duration) -> Duration {
        heartbeat.min(self.limits.idle_timeout.unwrap_or(heartbeat)) / 16
    }

    /// Completes a session that no workflow was opened on, once it has reached the idle
    /// timeout. While an agent waits, it has to reach the waiting timeout, too.
    pub(crate) fn finish_idle(&self, session: &Arc<Session>, now: Instant) {
        let Some(idle) = self.limits.idle_timeout else { return };
        self.change(session, |state, time| {
            let silence = state.silence(now);
            let waited_enough = silence >= self.limits.waiting_timeout;
            !state.was_opened && silence >= idle && state.ledger.finish_idle(waited_enough, time)
        });
    }
}
