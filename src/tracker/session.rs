//! [`Session`]: one session in memory; and [`SessionHandle`], with which a workflow changes it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::handoff::{Content, Entry, EntryState};
use super::last_change::LastChange;
use super::{PricedCall, Scope, Shared};
use crate::agent::Agent;
use crate::status::{
    AgentReport, Budget, ErrorMessage, Ledger, SessionId, Timestamp, Value, WorkflowStatus,
    attribute_bytes,
};

/// How many attributes a workflow can have in addition to those of every item.
pub(crate) const MAX_ATTRIBUTES: usize = 64;

/// How many bytes the attributes of a workflow can have, names included.
pub(crate) const MAX_ATTRIBUTE_BYTES: usize = 96 * 1024;

/// Why attributes do not fit: how many there would be, or how many bytes they would have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TooMuch {
    Attributes(usize),
    Bytes(usize),
}

impl TooMuch {
    /// Checks what the session would have with `more`. What is over a limit already is so by
    /// an older writer, which keeps nobody from a workflow: only `more` counts then.
    fn check(ledger: &Ledger, more: &BTreeMap<String, Value>) -> Result<(), Self> {
        let none = BTreeMap::new();
        let count = match ledger.attribute_count_with(&none) {
            before if before > MAX_ATTRIBUTES => more.len(),
            _ => ledger.attribute_count_with(more),
        };
        let bytes = match ledger.attribute_bytes_with(&none) {
            before if before > MAX_ATTRIBUTE_BYTES => {
                attribute_bytes(more.iter().map(|(name, value)| (name.as_str(), value)))
            }
            _ => ledger.attribute_bytes_with(more),
        };
        Self::check_alone(count, bytes)
    }

    fn check_alone(count: usize, bytes: usize) -> Result<(), Self> {
        match (count, bytes) {
            (count, _) if count > MAX_ATTRIBUTES => Err(Self::Attributes(count)),
            (_, bytes) if bytes > MAX_ATTRIBUTE_BYTES => Err(Self::Bytes(bytes)),
            _ => Ok(()),
        }
    }
}

/// How a workflow is described when it is opened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Description {
    pub(crate) correlation_id: Option<String>,
    pub(crate) attributes: BTreeMap<String, Value>,
    pub(crate) retention: Option<Duration>,
    pub(crate) new_run: NewRunPolicy,
    pub(crate) trace_id: Option<Arc<str>>,
    pub(crate) budget: Option<Box<Budget>>,
}

/// When a workflow begins a new run of its session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum NewRunPolicy {
    #[default]
    Never,
    /// If the session has been finished for at least this long.
    After(Duration),
    Always,
}

/// How many agents a session can have before there is no room for undeclared ones.
pub(super) const MAX_AGENTS: usize = 128;

/// One session in memory.
pub(crate) type Session = Entry<SessionId, SessionState>;

/// The state of a session, under its lock.
pub(crate) struct SessionState {
    pub(crate) ledger: Ledger,
    /// How many workflows are open on it.
    pub(super) open: usize,
    /// Whether a workflow was ever opened on it.
    pub(super) was_opened: bool,
    /// A workflow was opened without a new run, and it is not known yet whether the session has
    /// finished: if it has, that is worth a warning.
    pub(crate) may_resume_finished: bool,
    last_change: LastChange,
    /// Its ticket in the list of idle sessions, if it is there; see [`sessions`](super::sessions).
    pub(super) ticket: Option<u64>,
}

impl SessionState {
    pub(super) fn new(ledger: Ledger) -> Self {
        let last_change = LastChange::new(ledger.last_updated(), Instant::now());
        Self {
            ledger,
            open: 0,
            was_opened: false,
            may_resume_finished: false,
            last_change,
            ticket: None,
        }
    }

    /// Whether a workflow is open on the session.
    pub(crate) fn is_open(&self) -> bool {
        self.open > 0
    }

    /// Whether nothing goes on in the session in this process: no open workflow that has yet to end,
    /// and no call in flight.
    fn is_free(&self) -> bool {
        (self.open == 0 || self.ledger.is_finished()) && !self.ledger.is_active()
    }

    /// The time of an event now. It is what the clock shows, unless that is behind a time that the
    /// session already has: the clock was set back, or another process is ahead.
    #[inline]
    pub(crate) fn time_of_event(&mut self, clock: Timestamp) -> Timestamp {
        if clock >= self.ledger.last_updated() { clock } else { self.time_of_event_behind(clock) }
    }

    #[cold]
    fn time_of_event_behind(&mut self, clock: Timestamp) -> Timestamp {
        let now = Instant::now();
        self.note_change(now);
        self.last_change.time_of_day(clock, now)
    }

    fn note_change(&mut self, now: Instant) {
        self.last_change.note(self.ledger.last_updated(), now);
    }

    /// How long ago the session last changed, or was last known to be alive.
    pub(super) fn silence(&mut self, now: Instant) -> Duration {
        self.note_change(now);
        self.last_change.silence(now)
    }

    /// Sends a heartbeat if the session is alive and has not changed for this long. Returns
    /// whether it did.
    pub(super) fn heartbeat(&mut self, silent: Duration, clock: Timestamp, now: Instant) -> bool {
        let is_due = self.silence(now) >= silent;
        let is_alive = self.open > 0 || self.ledger.is_active();
        let time = self.last_change.time_of_day(clock, now);
        let is_sent = is_due && is_alive && self.ledger.heartbeat(time);
        if is_sent {
            // Exact from here on, even if the clock was set before.
            self.last_change = LastChange::new(self.ledger.last_updated(), now);
        }
        is_sent
    }
}

impl EntryState<SessionState> {
    /// Whether the session is saved and takes part in nothing, so that it can leave memory.
    pub(super) fn is_idle(&self) -> bool {
        let is_closed = self.open == 0 || self.ledger.is_finished();
        is_closed && !self.is_queued() && !self.ledger.is_dirty() && !self.ledger.is_active()
    }
}

impl Content for SessionState {
    fn is_dirty(&self) -> bool {
        self.ledger.is_dirty()
    }
}

/// A session, and the tracker that has its changes saved.
#[derive(Clone)]
pub(crate) struct SessionHandle {
    shared: Arc<Shared>,
    session: Arc<Session>,
}

impl SessionHandle {
    pub(crate) fn new(shared: &Arc<Shared>, session: Arc<Session>) -> Self {
        Self { shared: Arc::clone(shared), session }
    }

    pub(crate) fn id(&self) -> &SessionId {
        &self.session.id
    }

    /// The scope for its calls.
    pub(crate) fn scope(&self) -> Scope {
        let scope = Scope::new(self.session.id.clone());
        scope.cache(self.shared.number(), Arc::clone(&self.session));
        scope
    }

    pub(crate) fn status(&self) -> WorkflowStatus {
        self.session.lock().ledger.snapshot()
    }

    /// Changes the session, and has it saved if `change` returns true.
    pub(super) fn change(&self, change: impl FnOnce(&mut SessionState, Timestamp) -> bool) {
        self.shared.change(&self.session, change);
    }

    /// Opens a workflow on the session. Returns its run, or why its attributes do not fit.
    pub(crate) fn open(&self, description: Description) -> Result<u64, TooMuch> {
        let Description { correlation_id, attributes, retention, new_run, trace_id, budget } =
            description;
        let mut run = Ok(0);
        self.change(|state, now| {
            // Only while nothing else goes on in the session here.
            let after = match new_run {
                NewRunPolicy::After(age) => Some(age).filter(|_| state.is_free()),
                NewRunPolicy::Always | NewRunPolicy::Never => None,
            };
            let begins = new_run == NewRunPolicy::Always
                || after.is_some_and(|age| state.ledger.has_ended_for(age, now));
            let checked = match begins {
                true => {
                    let each = attributes.iter().map(|(name, value)| (name.as_str(), value));
                    TooMuch::check_alone(attributes.len(), attribute_bytes(each))
                }
                false => TooMuch::check(&state.ledger, &attributes),
            };
            if let Err(too_much) = checked {
                run = Err(too_much);
                return false;
            }
            match new_run {
                NewRunPolicy::After(_) => {
                    if let Some(age) = after {
                        state.ledger.begin_new_run_after(age, now);
                    }
                }
                NewRunPolicy::Always => state.ledger.begin_new_run(now),
                NewRunPolicy::Never if state.ledger.is_finished() => {
                    self.shared.warn_of_finished(&self.session.id);
                }
                NewRunPolicy::Never => state.may_resume_finished = !state.ledger.is_saved(),
            }
            if begins {
                self.shared.registry.add_declared(&mut state.ledger);
            }
            state.open += 1;
            state.was_opened = true;
            if let Some(retention) = retention {
                state.ledger.set_retention(retention);
            }
            state.ledger.set_limits(trace_id, budget);
            state.ledger.set_attributes(correlation_id, attributes, now);
            run = Ok(state.ledger.run());
            true
        });
        run
    }

    /// Adds to the description of a workflow of this run. Returns why the attributes do not fit,
    /// if they do not.
    pub(crate) fn describe(
        &self,
        run: u64,
        correlation_id: Option<String>,
        attributes: BTreeMap<String, Value>,
    ) -> Result<(), TooMuch> {
        let mut described = Ok(());
        self.change(|state, now| {
            if run != state.ledger.run() {
                return false;
            }
            if !attributes.is_empty() {
                described = TooMuch::check(&state.ledger, &attributes);
            }
            if described.is_err() {
                return false;
            }
            state.ledger.set_attributes(correlation_id, attributes, now);
            true
        });
        described
    }

    /// Closes a workflow on the session, finished or not.
    pub(crate) fn close(&self) {
        let mut state = self.session.lock();
        state.open = state.open.saturating_sub(1);
    }

    /// Finishes the workflow, if this is the current run; `None` is any run.
    pub(crate) fn finish(&self, run: Option<u64>, result: Result<(), ErrorMessage>) {
        self.change(|state, now| {
            run.is_none_or(|run| run == state.ledger.run()) && state.ledger.finish(result, now)
        });
    }

    /// Fails the workflow of this run unless it is finished, which it nearly always is: so the
    /// message is only built if it is needed.
    pub(crate) fn abandon(&self, run: u64, why: &'static str) {
        self.change(|state, now| {
            if run != state.ledger.run() {
                return false;
            }
            let is_finished = state.ledger.is_finished();
            let result = if is_finished { Ok(()) } else { Err(ErrorMessage::new(why)) };
            state.ledger.finish(result, now)
        });
    }

    /// Sets the state of an agent whose calls do not pass through a layer. Returns whether the
    /// session had room for it.
    pub(crate) fn report(&self, agent: &Agent, mut report: AgentReport) -> bool {
        self.price(agent, &mut report);
        let (mut has_room, mut excess) = (false, None);
        self.change(|state, now| {
            let Some(slot) = self.shared.slot(state, agent) else { return false };
            has_room = true;
            state.ledger.report(slot, report, now);
            excess = state.ledger.take_excess();
            true
        });
        if let Some(excess) = excess {
            Shared::warn_of_excess(&self.session.id, &excess);
        }
        has_room
    }

    /// Adds the cost of a report's tokens, unless the report has one.
    fn price(&self, agent: &Agent, report: &mut AgentReport) {
        if report.model.is_none() {
            report.model = agent.shared_model().map(|model| (**model).into());
        }
        if self.shared.costs.are_known() && report.token_usage.is_some() && report.cost.is_empty() {
            let model = report.model.as_deref();
            report.cost = self.shared.costs.of(&PricedCall {
                models: model.as_slice(),
                is_answered: false,
                provider: agent.provider_name().map(|name| &**name),
                usage: report.token_usage,
                service_tier: None,
                web_search_requests: 0,
                reported_usd: None,
                has_impossible_cost: false,
                at: self.shared.now(),
            });
        }
    }
}

impl Shared {
    /// The slot of an agent, if there is room for it. Requests may bring any number of names,
    /// but an item that is too large could not be saved at all.
    #[inline]
    pub(super) fn slot(&self, state: &mut SessionState, agent: &Agent) -> Option<usize> {
        let is_full = state.ledger.agent_count() >= MAX_AGENTS;
        if is_full
            && !state.ledger.has_agent(agent.name())
            && !self.registry.is_declared(agent.name())
        {
            return None;
        }
        Some(state.ledger.slot(agent.shared_name(), agent.activities()))
    }
}
