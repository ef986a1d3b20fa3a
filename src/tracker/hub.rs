//! [`Hub`]: what the request path and the recorder share.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Notify;

use super::{Clock, Order, Session, Tracked, Unsaved};
use crate::agent::{Agent, InvalidName, check_name};
use crate::session::SessionId;
use crate::status::{ErrorMessage, Ledger, Timestamp};

/// How a tracker keeps its sessions.
#[derive(Clone)]
pub(crate) struct Limits {
    pub(crate) max_sessions: usize,
    pub(crate) clock: Clock,
}

type Reserves = dyn Fn(&str) -> bool + Send + Sync;

/// What the request path and the recorder share.
pub(crate) struct Hub {
    /// The name of this tracker among an item's writers.
    pub(crate) writer: String,
    limits: Limits,
    /// Whether the store keeps something of its own under a name.
    reserves: Box<Reserves>,
    agents: RwLock<Vec<Arc<Agent>>>,
    sessions: Mutex<HashMap<SessionId, Arc<Session>>>,
    /// Sessions that became dirty and were not taken by the recorder yet.
    dirty: Mutex<Vec<Arc<Session>>>,
    /// Sessions that have used tokens since, and for which nothing else has changed yet.
    progressed: Mutex<Vec<Arc<Session>>>,
    orders: Mutex<Vec<Order>>,
    /// Wakes the recorder.
    pub(crate) wake: Notify,
    /// The recorder has ended: nothing is saved any more.
    closed: AtomicBool,
    said: Said,
    pub(super) lost: AtomicU64,
    /// The number of the last write.
    last_seq: AtomicU64,
}

/// What is logged once and not for every call.
#[derive(Default)]
struct Said {
    untracked: AtomicBool,
    full: AtomicBool,
    closed: AtomicBool,
    invalid_session: AtomicBool,
}

impl Hub {
    pub(crate) fn new(limits: Limits, reserves: Box<Reserves>) -> Self {
        // The standard library seeds this from the operating system's randomness.
        let random = || RandomState::new().hash_one(0_u8);
        Self {
            writer: format!("{:016x}{:016x}", random(), random()),
            limits,
            reserves,
            agents: RwLock::default(),
            sessions: Mutex::default(),
            dirty: Mutex::default(),
            progressed: Mutex::default(),
            orders: Mutex::default(),
            wake: Notify::new(),
            closed: AtomicBool::new(false),
            said: Said::default(),
            lost: AtomicU64::new(0),
            last_seq: AtomicU64::new(0),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.limits.clock.now()
    }

    /// Makes an agent known, so that every new session shows it.
    pub(crate) fn declare(&self, agent: Agent) -> Result<Arc<Agent>, InvalidName> {
        self.check_name(agent.name())?;
        let mut agents = self.agents.write().unwrap_or_else(PoisonError::into_inner);
        if agents.iter().any(|known| known.name() == agent.name()) {
            return Err(InvalidName::Twice(agent.name().to_owned()));
        }
        let agent = Arc::new(agent);
        agents.push(Arc::clone(&agent));
        Ok(agent)
    }

    /// The agent of that name; an unknown one is made known.
    pub(crate) fn agent(&self, name: &str) -> Result<Arc<Agent>, InvalidName> {
        let known = self.declared().into_iter().find(|known| known.name() == name);
        match known.map_or_else(|| self.declare(Agent::new(name)), Ok) {
            // Another thread was faster.
            Err(InvalidName::Twice(_)) => self.agent(name),
            agent => agent,
        }
    }

    /// The agent of that name, for a report by hand; an unknown one is not made known to
    /// other sessions, since such names may be of any number.
    pub(crate) fn reported_agent(&self, name: &str) -> Result<Arc<Agent>, InvalidName> {
        self.check_name(name)?;
        let known = self.declared().into_iter().find(|known| known.name() == name);
        Ok(known.unwrap_or_else(|| Arc::new(Agent::new(name))))
    }

    fn declared(&self) -> Vec<Arc<Agent>> {
        self.agents.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn check_name(&self, name: &str) -> Result<(), InvalidName> {
        check_name(name)?;
        if (self.reserves)(name) {
            return Err(InvalidName::TableAttribute(name.to_owned()));
        }
        Ok(())
    }

    /// Whether an attribute of a workflow may have this name.
    pub(crate) fn check_attribute(&self, name: &str) -> Result<(), InvalidName> {
        self.check_name(name)?;
        if self.declared().iter().any(|agent| agent.name() == name) {
            return Err(InvalidName::Twice(name.to_owned()));
        }
        Ok(())
    }

    /// A session of which this process knows, or learns now; `None` if there is no room
    /// for one more.
    pub(crate) fn session(self: &Arc<Self>, id: &SessionId) -> Option<Tracked> {
        if self.is_closed() {
            self.lose_after_the_end(id);
            return None;
        }
        let mut sessions = self.lock_sessions();
        if let Some(session) = sessions.get(id) {
            return Some(Tracked::new(self, session));
        }
        if sessions.len() >= self.limits.max_sessions {
            drop(sessions);
            self.lose("full", "too many sessions are live or unsaved", &self.said.full, id);
            return None;
        }
        let mut ledger = Ledger::new(Arc::clone(id.shared()), self.now());
        for agent in self.declared() {
            ledger.slot(agent.shared_name(), agent.activities());
        }
        let session = Arc::new(Session::new(id.clone(), ledger));
        sessions.insert(id.clone(), Arc::clone(&session));
        Some(Tracked::new(self, &session))
    }

    pub(crate) fn order(&self, order: Order) {
        let mut orders = self.lock_orders();
        // An order that nobody will take is dropped, which tells who waits for its answer.
        if !self.is_closed() {
            orders.push(order);
            self.wake.notify_one();
        }
    }

    pub(super) fn lock_sessions(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lock_dirty(&self) -> MutexGuard<'_, Vec<Arc<Session>>> {
        self.dirty.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lock_progressed(&self) -> MutexGuard<'_, Vec<Arc<Session>>> {
        self.progressed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_orders(&self) -> MutexGuard<'_, Vec<Order>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a change that came after the recorder had ended.
    pub(super) fn lose_after_the_end(&self, id: &SessionId) {
        self.lose("closed", "the tracker was shut down", &self.said.closed, id);
    }

    fn lose(&self, reason: &'static str, why: &str, said: &AtomicBool, id: &SessionId) {
        #[cfg(feature = "metrics")]
        crate::metrics::lost(reason, 1);
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
impl Hub {
    /// The sessions that became dirty since this was last asked.
    pub(crate) fn take_dirty(&self) -> Vec<Arc<Session>> {
        std::mem::take(&mut *self.lock_dirty())
    }

    /// Whether there are sessions whose calls in flight have used tokens.
    pub(crate) fn has_progressed(&self) -> bool {
        !self.lock_progressed().is_empty()
    }

    /// The sessions that have used tokens and are to be written for that alone. They are
    /// in the caller's hands now, like those of the dirty list.
    pub(crate) fn take_progressed(&self) -> Vec<Arc<Session>> {
        let mut taken = std::mem::take(&mut *self.lock_progressed());
        taken.retain(|session| {
            let mut state = session.lock();
            state.progressed = false;
            let is_new = !state.queued && state.ledger.is_dirty();
            state.queued |= is_new;
            is_new
        });
        taken
    }

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

    pub(crate) fn take_orders(&self) -> Vec<Order> {
        std::mem::take(&mut *self.lock_orders())
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
        let is_over = ledger.is_finished() || self.now().since(ledger.view().last_updated) >= idle;
        if is_over && !state.queued && !ledger.is_dirty() && !ledger.has_calls_in_flight() {
            sessions.remove(&session.id);
        }
    }

    /// Renews the sessions that are alive and have been silent for so long.
    pub(crate) fn heartbeat(self: &Arc<Self>, session: &Arc<Session>, silent: Duration) {
        Tracked::new(self, session).change(|state, now| {
            let alive = state.open > 0 || state.ledger.has_calls_in_flight();
            let since = now.since(state.ledger.view().last_updated);
            alive && since >= silent && state.ledger.heartbeat(now)
        });
    }

    /// The recorder has ended. What is not saved now never will be.
    pub(crate) fn close(&self) {
        let mut orders = self.lock_orders();
        self.closed.store(true, Ordering::Release);
        orders.clear();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}
