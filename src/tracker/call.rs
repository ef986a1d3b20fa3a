//! [`TrackedCall`]: one call in flight.

use super::{StatusTracker, Tracked};
use crate::status::{CallError, Outcome, TokenUsage};

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
    pub(super) fn new(tracker: StatusTracker, tracked: Tracked, slot: usize, run: u64) -> Self {
        let told = TokenUsage::default();
        Self { has_ended: false, _tracker: tracker, tracked, slot, run, told }
    }

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
        let tokens = usage.map(|usage| usage.since(&self.told)).unwrap_or_default();
        self.tracked.change(|kept, now| {
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
            self.end_now(Outcome::Error(CallError::lost_in_a_panic()), None);
        }
    }
}
