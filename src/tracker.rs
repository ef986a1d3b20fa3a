//! [`StatusTracker`]: the newest state of every session, in memory.
//!
//! This is the only state that the request path and the recorder share. The request path
//! locks one session for the time of a few assignments; a session that changed is put on
//! the dirty list under that same lock, once, and stays the recorder's until it is saved.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::agent::{Agent, InvalidName, check_name};
use crate::session::{SessionId, random_digits};
use crate::status::{
    AgentReport, CallError, ErrorMessage, Ledger, Outcome, Timestamp, TokenDelta, TokenUsage,
    Value, WorkflowStatus,
};

/// Knows the newest state of every session, and has it saved.
///
/// A clone is the same tracker. Layers and workflows hold one; when the last is gone the
/// recorder makes one more try to save what is not saved, and ends. A process that is
/// about to end should rather call [`shutdown`](Self::shutdown), which waits and says
/// what could not be saved.
#[derive(Clone)]
pub struct StatusTracker {
    handle: Arc<Handle>,
}

/// Tells the recorder when the last tracker is gone.
struct Handle {
    hub: Arc<Hub>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.hub.order(Order::LastTry);
    }
}

impl StatusTracker {
    pub(crate) fn new(hub: Arc<Hub>) -> Self {
        Self { handle: Arc::new(Handle { hub }) }
    }

    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.handle.hub
    }

    /// How many calls, workflows and changes were not recorded, because too many sessions were live or unsaved,
    /// or because the tracker was shut down. The first of them is logged.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.hub().lost.load(Ordering::Relaxed)
    }

    /// The newest state of a session that is live in this process, whether saved yet or
    /// not; `None` if this process has nothing to do with it (any more).
    #[must_use]
    pub fn status(&self, session_id: &str) -> Option<WorkflowStatus> {
        let session = self.hub().lock_sessions().get(session_id).cloned()?;
        Some(session.lock().ledger.view().clone())
    }
}

impl fmt::Debug for StatusTracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusTracker").field("writer", &self.hub().writer).finish_non_exhaustive()
    }
}

/// How a tracker keeps its sessions.
#[derive(Clone)]
pub(crate) struct Limits {
    pub(crate) max_sessions: usize,
    pub(crate) clock: Clock,
}

/// Where the time of day comes from.
#[derive(Clone)]
pub(crate) enum Clock {
    System,
    Given(Arc<dyn Fn() -> SystemTime + Send + Sync>),
}

impl Clock {
    pub(crate) fn now(&self) -> Timestamp {
        match self {
            Self::System => SystemTime::now(),
            Self::Given(clock) => clock(),
        }
        .into()
    }
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
    lost: AtomicU64,
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
    undescribed: AtomicBool,
}

/// What the recorder is asked for, and where the answer goes.
pub(crate) enum Order {
    /// Try once to save everything there is.
    Flush(oneshot::Sender<Vec<Unsaved>>),
    /// Try to save everything until the deadline, then end.
    Shutdown { deadline: Instant, reply: oneshot::Sender<Vec<Unsaved>> },
    /// All handles are gone: try once to save everything, then end.
    LastTry,
}

/// A session whose newest state is not in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unsaved {
    /// The session.
    pub session_id: SessionId,
    /// Why it could not be saved; `None` if there was no time to try.
    pub error: Option<ErrorMessage>,
}

impl Hub {
    pub(crate) fn new(limits: Limits, reserves: Box<Reserves>) -> Self {
        Self {
            writer: random_digits(),
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
            self.lose("the tracker was shut down", &self.said.closed, id);
            return None;
        }
        let mut sessions = self.lock_sessions();
        if let Some(session) = sessions.get(id) {
            return Some(Tracked { hub: Arc::clone(self), session: Arc::clone(session) });
        }
        if sessions.len() >= self.limits.max_sessions {
            drop(sessions);
            self.lose("too many sessions are live or unsaved", &self.said.full, id);
            return None;
        }
        let mut ledger = Ledger::new(Arc::clone(id.shared()), self.now());
        for agent in self.declared() {
            ledger.slot(agent.shared_name(), agent.activities());
        }
        let state = Mutex::new(State { ledger, queued: false, progressed: false, open: 0 });
        let session = Arc::new(Session { id: id.clone(), state });
        sessions.insert(id.clone(), Arc::clone(&session));
        Some(Tracked { hub: Arc::clone(self), session })
    }

    pub(crate) fn order(&self, order: Order) {
        let mut orders = self.lock_orders();
        // An order that nobody will take is dropped, which tells who waits for its answer.
        if !self.is_closed() {
            orders.push(order);
            self.wake.notify_one();
        }
    }

    fn lock_sessions(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_dirty(&self) -> MutexGuard<'_, Vec<Arc<Session>>> {
        self.dirty.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_progressed(&self) -> MutexGuard<'_, Vec<Arc<Session>>> {
        self.progressed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_orders(&self) -> MutexGuard<'_, Vec<Order>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lose(&self, why: &str, said: &AtomicBool, id: &SessionId) {
        let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
        if said.swap(true, Ordering::Relaxed) {
            tracing::debug!(session_id = %id, lost, "status not recorded: {why}");
        } else {
            tracing::error!(session_id = %id, lost, "status not recorded: {why}");
        }
    }

    /// Says once that a request named a session that cannot be.
    pub(crate) fn warn_of_invalid_session(&self, error: &dyn fmt::Display) {
        if !self.said.invalid_session.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "call not tracked; further ones are not logged");
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
        let tracked = Tracked { hub: Arc::clone(self), session: Arc::clone(session) };
        tracked.change(|state, now| {
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

/// One session in memory.
pub(crate) struct Session {
    pub(crate) id: SessionId,
    state: Mutex<State>,
}

pub(crate) struct State {
    pub(crate) ledger: Ledger,
    /// The session is on the dirty list or in the recorder's hands.
    pub(crate) queued: bool,
    /// The session is on the list of those that have used tokens.
    progressed: bool,
    /// How many workflows are open.
    open: usize,
}

impl Session {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A ledger is never left half-changed: its methods do not panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session, and the hub that has its changes saved.
#[derive(Clone)]
pub(crate) struct Tracked {
    hub: Arc<Hub>,
    session: Arc<Session>,
}

impl Tracked {
    pub(crate) fn id(&self) -> &SessionId {
        &self.session.id
    }

    pub(crate) fn status(&self) -> WorkflowStatus {
        self.session.lock().ledger.view().clone()
    }

    /// Changes the session, and has it saved if `change` says that there is something
    /// to save. The mark is set under the lock that covered the change.
    fn change(&self, change: impl FnOnce(&mut State, Timestamp) -> bool) -> bool {
        let now = self.hub.now();
        let mut state = self.session.lock();
        let changed = change(&mut state, now);
        if changed && !state.queued {
            state.queued = true;
            let mut dirty = self.hub.lock_dirty();
            dirty.push(Arc::clone(&self.session));
            let first = dirty.len() == 1;
            drop(dirty);
            drop(state);
            // The recorder takes the whole list, so the first entry wakes it for all.
            if first {
                self.hub.wake.notify_one();
            }
            if self.hub.is_closed() {
                let why = "the tracker was shut down";
                self.hub.lose(why, &self.hub.said.closed, &self.session.id);
            }
        }
        changed
    }

    /// A call in flight has used tokens. That alone is worth a write now and then only;
    /// whatever else changes takes it along.
    fn progressed(&self, slot: usize, run: u64, tokens: TokenDelta) {
        let now = self.hub.now();
        let mut state = self.session.lock();
        if state.ledger.run() != run {
            return;
        }
        state.ledger.progressed(slot, tokens, now);
        if !state.queued && !state.progressed {
            state.progressed = true;
            let mut progressed = self.hub.lock_progressed();
            progressed.push(Arc::clone(&self.session));
            let first = progressed.len() == 1;
            drop(progressed);
            drop(state);
            if first {
                self.hub.wake.notify_one();
            }
        }
    }

    /// A workflow is opened on this session; the run it belongs to.
    pub(crate) fn open(
        &self,
        correlation_id: Option<String>,
        attributes: BTreeMap<String, Value>,
        new_run: bool,
    ) -> u64 {
        let mut run = 0;
        self.change(|state, now| {
            state.open += 1;
            if new_run {
                state.ledger.begin_new_run(now);
            }
            state.ledger.describe(correlation_id, attributes, now);
            run = state.ledger.run();
            true
        });
        run
    }

    /// More is known of a workflow of that run.
    pub(crate) fn describe(
        &self,
        run: u64,
        correlation_id: Option<String>,
        attributes: BTreeMap<String, Value>,
    ) {
        self.change(|state, now| {
            let is_current = run == state.ledger.run();
            if is_current {
                state.ledger.describe(correlation_id, attributes, now);
            }
            is_current
        });
    }

    /// A workflow on this session is closed, finished or not.
    pub(crate) fn close(&self) {
        let mut state = self.session.lock();
        state.open = state.open.saturating_sub(1);
    }

    /// The workflow ends, if the run is the one that ends; `None` is whichever it is.
    pub(crate) fn finish(&self, run: Option<u64>, result: Result<(), ErrorMessage>) {
        self.change(|state, now| {
            run.is_none_or(|run| run == state.ledger.run()) && state.ledger.finish(result, now)
        });
    }

    /// Sets the state of an agent whose calls pass through no layer.
    pub(crate) fn report(&self, agent: &Agent, report: AgentReport) {
        self.change(|state, now| {
            let slot = state.ledger.slot(agent.shared_name(), agent.activities());
            state.ledger.report(slot, report, now);
            true
        });
    }

    /// A call of an agent starts.
    pub(crate) fn start_call(self, agent: &Agent, tracker: &StatusTracker) -> TrackedCall {
        let (mut slot, mut run) = (0, 0);
        self.change(|state, now| {
            slot = state.ledger.slot(agent.shared_name(), agent.activities());
            run = state.ledger.run();
            state.ledger.started(slot, now)
        });
        let told = TokenUsage::default();
        TrackedCall { has_ended: false, _tracker: tracker.clone(), tracked: self, slot, run, told }
    }
}

/// One call in flight. Who holds it [ends](Self::end) it; dropped, as by a panic in
/// between, it ends as well.
pub(crate) struct TrackedCall {
    has_ended: bool,
    /// Keeps the recorder at work until the call is told.
    _tracker: StatusTracker,
    tracked: Tracked,
    slot: usize,
    /// The run in which it began. Once another has begun, nothing is told any more.
    run: u64,
    /// The usage that the tracker knows of.
    told: TokenUsage,
}

impl TrackedCall {
    /// The tokens used so far.
    pub(crate) fn progress(&mut self, usage: &TokenUsage) {
        if *usage == self.told {
            return;
        }
        let tokens = usage.since(&self.told);
        self.told = *usage;
        self.tracked.progressed(self.slot, self.run, tokens);
    }

    /// The call has ended; `usage` is all it used.
    pub(crate) fn end(mut self, outcome: Outcome, usage: Option<TokenUsage>) {
        self.end_now(outcome, usage);
    }

    fn end_now(&mut self, outcome: Outcome, usage: Option<TokenUsage>) {
        self.has_ended = true;
        // Usage that is no longer known at the end was told, and was paid for.
        let tokens = usage.unwrap_or(self.told).since(&self.told);
        self.tracked.change(|state, now| {
            let is_current = state.ledger.run() == self.run;
            if is_current {
                state.ledger.ended(self.slot, outcome, tokens, now);
            }
            is_current
        });
    }
}

impl Drop for TrackedCall {
    fn drop(&mut self) {
        if !self.has_ended {
            let error = CallError::new("panic", "the call was lost in a panic");
            self.end_now(Outcome::Error(error), None);
        }
    }
}
