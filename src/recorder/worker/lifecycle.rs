//! How a [`Worker`] starts and ends: at a shutdown, with its runtime, or by a panic.

use std::cmp::Reverse;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;

use futures_util::future::FutureExt as _;

use super::super::UnsavedError;
use super::Worker;
use crate::store::StatusStore;
#[cfg(feature = "metrics")]
use crate::telemetry::metrics;
use crate::tracker::{RecorderEnd, Start};

impl<S: StatusStore> Worker<S> {
    /// Starts another recorder like this one, which goes on where this one was stopped.
    pub(in crate::recorder) fn start_another(&self) -> Start {
        let shared = Arc::downgrade(&self.shared);
        let (store, settings) = (Arc::clone(&self.store), self.settings);
        let sequence = self.sequence.clone();
        Box::new(move |runtime| {
            if let Some(shared) = shared.upgrade() {
                let mut worker = Self::new(shared, Arc::clone(&store), settings);
                worker.sequence = sequence.clone();
                worker.is_new_replacement = true;
                runtime.spawn(worker.run());
            }
        })
    }

    /// Runs until a shutdown, or until the last tracker is gone.
    pub(in crate::recorder) async fn run(mut self) {
        self.is_new_replacement = false;
        if let Err(panic) = AssertUnwindSafe(self.save_changes()).catch_unwind().await {
            self.shared.end_recorder(RecorderEnd::Panicked);
            resume_unwind(panic);
        }
    }
}

/// Puts what is in its hands back to the hand-off, and logs what is unsaved.
impl<S> Drop for Worker<S> {
    fn drop(&mut self) {
        let due = std::mem::take(&mut self.due).into_iter().map(|Reverse(due)| due.session);
        let can_go_on = self.shared.recorder_dropped(due.chain(std::mem::take(&mut self.first)));
        // A runtime that is ending drops the recorders that late changes start on it.
        if can_go_on && self.is_new_replacement {
            return;
        }
        let unsaved = self.shared.unsaved(|_| None);
        if unsaved.is_empty() {
            return;
        }
        let error = UnsavedError { unsaved, lost: 0 };
        if can_go_on {
            tracing::error!(
                %error,
                "the recorder's runtime has ended: what is unsaved waits for a change, a flush or a \
                 shutdown on another runtime, and is lost if the process ends first; call `flush` \
                 before a runtime ends, and `shutdown` before the process does"
            );
            return;
        }
        #[cfg(feature = "metrics")]
        metrics::lost("unsaved", error.unsaved.len() as u64);
        tracing::error!(%error, why = %self.shared.recorder_end(), "the recorder has ended");
    }
}
