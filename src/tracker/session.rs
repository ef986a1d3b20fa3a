//! [`Session`]: one session in memory; and [`Tracked`], by which the request path changes it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Hub, StatusTracker, TrackedCall};
use crate::agent::Agent;
use crate::session::SessionId;
use crate::status::{
    AgentReport, ErrorMessage, Ledger, Timestamp, TokenDelta, Value, WorkflowStatus,
};

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
    pub(super) progressed: bool,
    /// How many workflows are open.
    pub(super) open: usize,
}

impl Session {
    pub(super) fn new(id: SessionId, ledger: Ledger) -> Self {
        let state = Mutex::new(State { ledger, queued: false, progressed: false, open: 0 });
        Self { id, state }
    }

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
    pub(super) fn new(hub: &Arc<Hub>, session: &Arc<Session>) -> Self {
        Self { hub: Arc::clone(hub), session: Arc::clone(session) }
    }

    pub(crate) fn id(&self) -> &SessionId {
        &self.session.id
    }

    pub(crate) fn status(&self) -> WorkflowStatus {
        self.session.lock().ledger.view().clone()
    }

    /// Changes the session, and has it saved if `change` says that there is something
    /// to save. The mark is set under the lock that covered the change.
    pub(super) fn change(&self, change: impl FnOnce(&mut State, Timestamp) -> bool) -> bool {
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
                self.hub.lose_after_the_end(&self.session.id);
            }
        }
        changed
    }

    /// A call in flight has used tokens. That alone is worth a write now and then only;
    /// whatever else changes takes it along.
    pub(super) fn progressed(&self, slot: usize, run: u64, tokens: TokenDelta) {
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
        TrackedCall::new(tracker.clone(), self, slot, run)
    }
}
