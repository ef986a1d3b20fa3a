//! [`TrackedCall`]: one call in flight.

use std::sync::Arc;

use super::{Session, StatusTracker};
use crate::agent::Agent;
use crate::status::{Outcome, SessionId, Task, TaskUsage, TokenDelta, TokenUsage};

/// One call in flight. Its holder [ends](Self::end) it, once.
pub(crate) struct TrackedCall {
    /// Keeps the recorder running until the call has ended.
    tracker: StatusTracker,
    session: Arc<Session>,
    slot: usize,
    /// The run in which the call began. Once a new run has begun, the call no longer counts.
    run: u64,
}

impl TrackedCall {
    /// Starts a call, if the session has room for its agent.
    #[inline]
    pub(crate) fn start(
        tracker: &StatusTracker,
        session: Arc<Session>,
        agent: &Agent,
        is_get: bool,
    ) -> Option<Self> {
        let shared = tracker.shared();
        let mut started = None;
        shared.change(&session, |state, now| {
            let Some(slot) = shared.slot(state, agent) else { return false };
            started = Some((slot, state.ledger.run()));
            state.ledger.call_started(slot, is_get, now)
        });
        let Some((slot, run)) = started else {
            shared.lose_of_full_session(&session.id);
            return None;
        };
        Some(Self { tracker: tracker.clone(), session, slot, run })
    }

    pub(crate) fn session_id(&self) -> &SessionId {
        &self.session.id
    }

    /// Adds the tokens that the call has used since the last time.
    pub(crate) fn progress(&self, tokens: TokenDelta) {
        self.tracker.shared().change_usage(&self.session, |state, now| {
            let is_current = state.ledger.run() == self.run;
            if is_current {
                state.ledger.call_progressed(self.slot, tokens, now);
            }
            is_current
        });
    }

    /// Ends the call, and adds the tokens that it has used since the last time.
    #[inline]
    pub(crate) fn end(&self, outcome: Outcome, tokens: Option<TokenDelta>) {
        self.tracker.shared().change(&self.session, |state, now| {
            let is_current = state.ledger.run() == self.run;
            if is_current {
                state.ledger.call_ended(self.slot, outcome, tokens, now);
            }
            is_current
        });
    }

    /// Ends the call with an answer that belongs to a task. Returns the tokens that count in
    /// the session.
    #[cold]
    pub(crate) fn end_with_task(
        &self,
        outcome: Outcome,
        task: Task,
        usage: TaskUsage,
    ) -> Option<TokenUsage> {
        let mut counted = None;
        self.tracker.shared().change(&self.session, |state, now| {
            let is_current = state.ledger.run() == self.run;
            if is_current {
                counted = state.ledger.call_ended_with_task(self.slot, outcome, task, usage, now);
            }
            is_current
        });
        counted
    }
}
