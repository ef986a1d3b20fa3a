//! [`TrackedCall`]: one call in flight.

use std::sync::Arc;

use super::{Session, StatusTracker};
use crate::agent::Agent;
use crate::status::{CallError, Outcome, TokenDelta, TokenUsage};

/// One call in flight. Who holds it [ends](Self::end) it once; dropped, as by a panic in
/// between, it ends as well.
pub(crate) struct TrackedCall {
    has_ended: bool,
    /// Keeps the recorder at work until the call is told.
    tracker: StatusTracker,
    session: Arc<Session>,
    slot: usize,
    /// The run in which it began. Once another has begun, nothing is told any more.
    run: u64,
    /// The usage that the tracker knows of, if any.
    told: Option<TokenUsage>,
}

impl TrackedCall {
    /// A call of an agent starts, if there is room for the agent.
    pub(crate) fn start(
        tracker: &StatusTracker,
        session: Arc<Session>,
        agent: &Agent,
    ) -> Option<Self> {
        let hub = tracker.hub();
        let mut started = None;
        hub.change(&session, |kept, now| {
            let Some(slot) = hub.slot(kept, agent) else { return false };
            started = Some((slot, kept.ledger.run()));
            kept.ledger.started(slot, now)
        });
        let Some((slot, run)) = started else {
            hub.lose_of_full_session(&session.id);
            return None;
        };
        Some(Self { has_ended: false, tracker: tracker.clone(), session, slot, run, told: None })
    }

    /// The tokens used so far.
    pub(crate) fn progress(&mut self, usage: &TokenUsage) {
        if self.told == Some(*usage) {
            return;
        }
        let tokens = self.since_told(usage);
        self.told = Some(*usage);
        self.tracker.hub().change_figures(&self.session, |kept, now| {
            let is_current = kept.ledger.run() == self.run;
            if is_current {
                kept.ledger.progressed(self.slot, tokens, now);
            }
            is_current
        });
    }

    fn since_told(&self, usage: &TokenUsage) -> TokenDelta {
        usage.since(&self.told.unwrap_or_default())
    }

    /// The call has ended; `usage` is all it used.
    pub(crate) fn end(&mut self, outcome: Outcome, usage: Option<TokenUsage>) {
        self.has_ended = true;
        // Usage that is no longer known at the end was told, and was paid for.
        let tokens = usage.map(|usage| self.since_told(&usage)).unwrap_or_default();
        self.tracker.hub().change(&self.session, |kept, now| {
            let is_current = kept.ledger.run() == self.run;
            if is_current {
                kept.ledger.ended(self.slot, outcome, tokens, now);
            }
            is_current
        });
    }
}

impl Drop for TrackedCall {
    fn drop(&mut self) {
        if !self.has_ended {
            self.end(Outcome::Error(CallError::lost_in_a_panic()), None);
        }
    }
}
