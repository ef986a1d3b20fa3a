//! [`TrackedCall`]: one call in flight.

use std::sync::Arc;
use std::time::Duration;

use super::{Costs, Session, Shared, StatusTracker};
use crate::agent::Agent;
use crate::status::{
    CallDetails, Counted, NewTokens, Outcome, RawText, SessionId, Task, TaskUsage, Timestamp,
    TokenDelta,
};

/// One call in flight. Its holder [ends](Self::end) it, once.
pub(crate) struct TrackedCall {
    /// Keeps the recorder running until the call has ended.
    tracker: StatusTracker,
    session: Arc<Session>,
    slot: usize,
    started_at: Timestamp,
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
            started = Some((slot, state.ledger.run(), now));
            state.ledger.call_started(slot, is_get, now)
        });
        let Some((slot, run, started_at)) = started else {
            shared.lose_of_full_session(&session.id);
            return None;
        };
        Some(Self { tracker: tracker.clone(), session, slot, started_at, run })
    }

    /// How long ago the call started, by the time of day.
    pub(crate) fn elapsed(&self) -> Duration {
        self.tracker.shared().now().duration_since(self.started_at)
    }

    pub(crate) fn started_at(&self) -> Timestamp {
        self.started_at
    }

    pub(crate) fn costs(&self) -> &Costs {
        &self.tracker.shared().costs
    }

    /// The time of day.
    pub(crate) fn now(&self) -> Timestamp {
        self.tracker.shared().now()
    }

    pub(crate) fn session_id(&self) -> &SessionId {
        &self.session.id
    }

    /// Adds the tokens that the call has used since the last time, of this model if it is already known.
    /// Returns whether a model is known, which may be the declared one.
    pub(crate) fn progress(&self, tokens: TokenDelta, model: Option<RawText<'_>>) -> bool {
        let mut has_model = false;
        self.tracker.shared().change_usage(&self.session, |state, now| {
            let is_current = state.ledger.run() == self.run;
            if is_current {
                has_model = state.ledger.call_progressed(self.slot, tokens, model, now);
            }
            is_current
        });
        has_model
    }

    /// Ends the call, and adds the tokens that it has used since the last time. Takes the error out of the
    /// outcome, which is a reference so that it is not copied into the closure.
    #[inline]
    pub(crate) fn end(
        &self,
        outcome: &mut Outcome,
        tokens: NewTokens<'_>,
        details: &CallDetails<'_>,
    ) {
        let mut excess = None;
        self.tracker.shared().change(&self.session, |state, now| {
            let is_current = state.ledger.run() == self.run;
            if is_current {
                state.ledger.call_ended(self.slot, outcome, tokens, details, now);
                if state.ledger.has_excess() {
                    excess = state.ledger.take_excess();
                }
            }
            is_current
        });
        if let Some(excess) = excess {
            Shared::warn_of_excess(&self.session.id, &excess);
        }
    }

    /// Ends the call with an answer that belongs to a task. Returns what counts of it in the session.
    #[cold]
    pub(crate) fn end_with_task(
        &self,
        outcome: Outcome,
        task: Task,
        usage: TaskUsage,
        details: &CallDetails<'_>,
    ) -> Option<Counted> {
        let (mut counted, mut excess) = (None, None);
        self.tracker.shared().change(&self.session, |state, now| {
            let (ledger, slot) = (&mut state.ledger, self.slot);
            let is_current = ledger.run() == self.run;
            if is_current {
                counted = ledger.call_ended_with_task(slot, outcome, task, usage, details, now);
                excess = ledger.take_excess();
            }
            is_current
        });
        if let Some(excess) = excess {
            Shared::warn_of_excess(&self.session.id, &excess);
        }
        counted
    }
}
