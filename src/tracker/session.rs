//! [`Session`]: one session in memory; and [`SessionHandle`], by which the request path changes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::handoff::{Content, Entry};
use super::{Scope, Shared};
use crate::agent::Agent;
use crate::status::{
    AgentReport, ErrorMessage, Ledger, SessionId, Timestamp, Value, WorkflowStatus,
};

/// How many attributes a workflow may have beside those of every item.
pub(crate) const MAX_ATTRIBUTES: usize = 64;

/// How many agents a session may have before there is no room for one that was not declared.
pub(super) const MAX_AGENTS: usize = 128;

/// One session in memory.
pub(crate) type Session = Entry<SessionId, SessionState>;

/// What is kept of a session.
pub(crate) struct SessionState {
    pub(crate) ledger: Ledger,
    /// How many workflows are open.
    pub(super) open: usize,
    /// A workflow was opened at any time.
    pub(super) was_opened: bool,
}

impl SessionState {
    pub(super) fn new(ledger: Ledger) -> Self {
        Self { ledger, open: 0, was_opened: false }
    }
}

impl Content for SessionState {
    fn is_dirty(&self) -> bool {
        self.ledger.is_dirty()
    }
}

/// A session, and the shared that has its changes saved.
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

    /// The scope of its calls.
    pub(crate) fn scope(&self) -> Scope {
        let scope = Scope::new(self.session.id.clone());
        scope.cache(self.shared.number(), Arc::clone(&self.session));
        scope
    }

    pub(crate) fn status(&self) -> WorkflowStatus {
        self.session.lock().ledger.status().clone()
    }

    /// Changes the session, and has it saved if `change` says that there is something
    /// to save.
    pub(super) fn change(&self, change: impl FnOnce(&mut SessionState, Timestamp) -> bool) {
        self.shared.change(&self.session, change);
    }

    /// A workflow is opened on this session; the run it belongs to, or how many attributes
    /// it would have, where that is too many.
    pub(crate) fn open(
        &self,
        correlation_id: Option<String>,
        attributes: BTreeMap<String, Value>,
        new_run: bool,
    ) -> Result<u64, usize> {
        let mut run = Err(0);
        self.change(|state, now| {
            let all = match new_run {
                true => attributes.len(),
                false => state.ledger.attribute_count_with(&attributes),
            };
            if all > MAX_ATTRIBUTES {
                run = Err(all);
                return false;
            }
            state.open += 1;
            state.was_opened = true;
            if new_run {
                state.ledger.begin_new_run(now);
                self.shared.registry.add_declared(&mut state.ledger);
            }
            state.ledger.set_attributes(correlation_id, attributes, now);
            run = Ok(state.ledger.run());
            true
        });
        run
    }

    /// More is known of a workflow of that run; how many attributes it would have, where
    /// that is too many.
    pub(crate) fn describe(
        &self,
        run: u64,
        correlation_id: Option<String>,
        attributes: BTreeMap<String, Value>,
    ) -> Result<(), usize> {
        let mut described = Ok(());
        self.change(|state, now| {
            if run != state.ledger.run() {
                return false;
            }
            let all = state.ledger.attribute_count_with(&attributes);
            if all > MAX_ATTRIBUTES && !attributes.is_empty() {
                described = Err(all);
                return false;
            }
            state.ledger.set_attributes(correlation_id, attributes, now);
            true
        });
        described
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

    /// Whoever was to end the workflow of that run is gone. What that means is only put into
    /// words if nobody has ended it before, as nearly always somebody has.
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

    /// Sets the state of an agent whose calls pass through no layer. Whether there was room
    /// for it.
    pub(crate) fn report(&self, agent: &Agent, report: AgentReport) -> bool {
        let mut has_room = false;
        self.change(|state, now| {
            let Some(slot) = self.shared.slot(state, agent) else { return false };
            has_room = true;
            state.ledger.report(slot, report, now);
            true
        });
        has_room
    }
}

impl Shared {
    /// The place of an agent. Names that requests bring may be any number, and an item has
    /// its limits: what it could not hold would keep all else of it from being saved.
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
