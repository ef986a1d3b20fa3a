//! [`Shared`]: what the request path and the recorder share.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use super::handoff::{self, Handoff, Mark};
use super::session::SessionState;
use super::{Clock, Command, Scope, Session, Unsaved};
use crate::agent::{Agent, InvalidName, check_name};
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

type Reserves = dyn Fn(&str) -> bool + Send + Sync;

/// What the request path and the recorder share.
pub(crate) struct Shared {
    /// Tells the trackers of this process apart; never 0.
    number: u64,
    /// The name of this tracker among an item's writers.
    pub(crate) writer: String,
    limits: Limits,
    /// Whether the store keeps something of its own under a name.
    is_reserved: Box<Reserves>,
    agents: RwLock<Vec<Arc<Agent>>>,
    sessions: Mutex<HashMap<SessionId, Arc<Session>>>,
    pub(crate) handoff: Handoff<SessionId, SessionState, Command>,
    said: LogOnce,
    pub(super) lost: AtomicU64,
    /// The number of the last write.
    last_seq: AtomicU64,
}

/// What is logged once and not for every call.
#[derive(Default)]
struct LogOnce {
    untracked: AtomicBool,
    full: AtomicBool,
    full_session: AtomicBool,
    closed: AtomicBool,
    invalid_session: AtomicBool,
    undescribed: AtomicBool,
    invalid_agent: AtomicBool,
}

impl Shared {
    pub(crate) fn new(limits: Limits, is_reserved: Box<Reserves>) -> Self {
        Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            writer: random_digits(),
            limits,
            is_reserved,
            agents: RwLock::default(),
            sessions: Mutex::default(),
            handoff: Handoff::new(),
            said: LogOnce::default(),
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

    /// Makes an agent known, so that every new session shows it.
    pub(crate) fn declare(&self, agent: Agent) -> Result<Arc<Agent>, InvalidName> {
        self.check_name(agent.name())?;
        let mut agents = self.agents.write().unwrap_or_else(PoisonError::into_inner);
        if agents.iter().any(|known| known.name() == agent.name()) {
            return Err(InvalidName::Duplicate(agent.name().to_owned()));
        }
        let agent = Arc::new(agent);
        agents.push(Arc::clone(&agent));
        Ok(agent)
    }

    /// The agent of that name; an unknown one is made known.
    pub(crate) fn agent(&self, name: &str) -> Result<Arc<Agent>, InvalidName> {
        match self.known(name).map_or_else(|| self.declare(Agent::new(name)), Ok) {
            // Another thread was faster.
            Err(InvalidName::Duplicate(_)) => self.agent(name),
            agent => agent,
        }
    }

    /// The agent as it is known, or else as a request or a report names it. Such a one is
    /// not made known to other sessions, since there may be any number of them.
    pub(crate) fn named_agent(&self, agent: &Agent) -> Result<Arc<Agent>, InvalidName> {
        if let Some(known) = self.known(agent.name()) {
            return Ok(known);
        }
        self.check_name(agent.name())?;
        Ok(Arc::new(agent.undeclared()))
    }

    fn known(&self, name: &str) -> Option<Arc<Agent>> {
        let agents = self.agents.read().unwrap_or_else(PoisonError::into_inner);
        agents.iter().find(|known| known.name() == name).cloned()
    }

    pub(super) fn is_declared(&self, name: &str) -> bool {
        self.known(name).is_some()
    }

    fn declared(&self) -> Vec<Arc<Agent>> {
        self.agents.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes the agents that are known to all sessions known to this one.
    pub(super) fn show_declared(&self, ledger: &mut Ledger) {
        for agent in self.declared() {
            ledger.slot(agent.shared_name(), agent.activities());
        }
    }

    fn check_name(&self, name: &str) -> Result<(), InvalidName> {
        check_name(name)?;
        if (self.is_reserved)(name) {
            return Err(InvalidName::ReservedByStore(name.to_owned()));
        }
        Ok(())
    }

    /// Whether an attribute of a workflow may have this name.
    pub(crate) fn check_attribute(&self, name: &str) -> Result<(), InvalidName> {
        self.check_name(name)?;
        if self.known(name).is_some() {
            return Err(InvalidName::Duplicate(name.to_owned()));
        }
        Ok(())
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
            self.lose("full", "too many sessions are live or unsaved", &self.said.full, id);
            return None;
        }
        let mut ledger = Ledger::new(id.clone(), self.now());
        self.show_declared(&mut ledger);
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
    pub(super) fn change_figures(
        &self,
        session: &Arc<Session>,
        change: impl FnOnce(&mut SessionState, Timestamp) -> bool,
    ) {
        let now = self.now();
        self.handoff.change(session, |state| {
            if change(state, now) { Mark::Figures } else { Mark::Nothing }
        });
    }

    pub(super) fn lock_sessions(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a change that came after the recorder had ended.
    fn lose_after_the_end(&self, id: &SessionId) {
        self.lose("closed", "the tracker was shut down", &self.said.closed, id);
    }

    /// Counts a call of an agent for which its session has no room.
    pub(super) fn lose_of_full_session(&self, id: &SessionId) {
        let why = "the session has too many agents for one more that was not declared";
        self.lose("full", why, &self.said.full_session, id);
    }

    fn lose(&self, reason: &'static str, why: &str, said: &AtomicBool, id: &SessionId) {
        #[cfg(feature = "metrics")]
        crate::telemetry::metrics::lost(reason, 1);
        let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
        if said.swap(true, Ordering::Relaxed) {
            tracing::debug!(session_id = %id, lost, reason, "status not recorded: {why}");
        } else {
            tracing::error!(session_id = %id, lost, reason, "status not recorded: {why}");
        }
    }

    /// Says once that a request named a session that cannot be.
    pub(crate) fn warn_of_invalid_session(&self, error: &dyn fmt::Display) {
        if !self.said.invalid_session.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "call not tracked; further ones are not logged");
        }
    }

    /// Says once that a request named an agent that cannot be.
    pub(crate) fn warn_of_invalid_agent(&self, error: &dyn fmt::Display) {
        if !self.said.invalid_agent.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "agent not tracked; further ones are not logged");
        }
    }

    /// Says once that something a request tells of its workflow cannot be kept.
    pub(crate) fn warn_of_undescribed_workflow(&self, error: &dyn fmt::Display) {
        if !self.said.undescribed.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "left out of the workflow; further ones are not logged");
        }
    }

    /// Says once that a workflow could not be started.
    pub(crate) fn warn_of_untracked_workflow(&self, error: &dyn fmt::Display) {
        if !self.said.untracked.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "workflow not tracked; further ones are not logged");
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
        if is_over && !state.is_queued() && !ledger.is_dirty() && !ledger.is_at_work() {
            sessions.remove(&session.id);
        }
    }

    /// Renews the sessions that are alive and have been silent for so long.
    pub(crate) fn heartbeat(&self, session: &Arc<Session>, silent: Duration) {
        self.change(session, |state, now| {
            let alive = state.open > 0 || state.ledger.is_at_work();
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
