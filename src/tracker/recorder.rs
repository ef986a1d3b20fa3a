//! Which recorder saves what the tracker knows: it may be stopped with its runtime, and replaced on
//! another one.
//!
//! A tracker often lives in a `static`, and so outlives runtimes: each `#[tokio::test]` has its own.
//! Dropping a runtime drops the recorder's task, wherever it is. What is unsaved then stays in memory,
//! and the next change, flush or shutdown inside of a runtime starts a recorder there. It is the same
//! writer to the items: a write whose answer was not awaited is one whose answer was lost.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::handoff::RecorderState;
use super::log_once::LogOnce;
use super::{Command, Session, Shared};

/// Starts a recorder on a runtime.
pub(crate) type Start = Box<dyn Fn(&Handle) + Send + Sync>;

/// The tracker's side of its recorder.
#[derive(Default)]
pub(super) struct RecorderLink {
    /// Starts another one. Not set if the application runs the recorder itself.
    start: OnceLock<Start>,
    /// Why there will be none.
    end: OnceLock<RecorderEnd>,
    /// What came after that.
    lost: AtomicU64,
    no_runtime: LogOnce,
}

/// Why nothing is saved any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecorderEnd {
    ShutDown,
    Dropped,
    Panicked,
}

impl fmt::Display for RecorderEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ShutDown => {
                "the tracker was shut down: call `shutdown` last, or `flush` to save what has \
                 changed so far"
            }
            Self::Dropped => {
                "the recorder that `StatusTrackerBuilder::build` returned was dropped: run it to \
                 its end, or use `start`"
            }
            Self::Panicked => "the recorder has panicked; its panic message says where",
        })
    }
}

/// Why nothing is saved now.
const NO_RUNTIME: &str = "the runtime that the recorder ran on has ended, and there is no other \
     one here: call `flush` or `shutdown` inside of a tokio runtime";

impl Shared {
    /// Sets how to start a recorder in place of one whose runtime has ended.
    pub(crate) fn restart_with(&self, start: Start) {
        // Only `start` of the builder calls this, once.
        let _ = self.recorder.start.set(start);
    }

    /// Whether nothing is recorded any more.
    #[inline]
    pub(crate) fn has_ended(&self) -> bool {
        self.handoff.has_ended()
    }

    /// Why nothing is recorded any more.
    pub(crate) fn recorder_end(&self) -> RecorderEnd {
        self.recorder.end.get().copied().unwrap_or(RecorderEnd::ShutDown)
    }

    /// For the recorder: it has ended, and takes nothing any more.
    pub(crate) fn end_recorder(&self, why: RecorderEnd) {
        // Only the first reason counts.
        let _ = self.recorder.end.set(why);
        self.handoff.close();
    }

    /// For the recorder: it was dropped with these sessions in its hands. Returns whether another
    /// one can go on.
    pub(crate) fn recorder_dropped(&self, in_hand: impl IntoIterator<Item = Arc<Session>>) -> bool {
        if self.recorder.start.get().is_none() {
            self.end_recorder(RecorderEnd::Dropped);
        }
        let now = Instant::now();
        self.handoff.stop(in_hand.into_iter().map(|session| (session, now)));
        !self.has_ended()
    }

    /// Makes sure that there is a recorder. If it was stopped with its runtime, one is started on
    /// the current runtime. Returns why there is none otherwise.
    pub(crate) fn require_recorder(&self) -> Result<(), String> {
        match self.handoff.recorder() {
            RecorderState::Running => return Ok(()),
            RecorderState::Ended => return Err(self.recorder_end().to_string()),
            RecorderState::Stopped => {}
        }
        let (Ok(runtime), Some(start)) = (Handle::try_current(), self.recorder.start.get()) else {
            return Err(NO_RUNTIME.to_owned());
        };
        let recorder = self.handoff.restart(|| {
            start(&runtime);
            tracing::debug!("the recorder's runtime has ended: a recorder was started on this one");
        });
        // A runtime that is ending drops a task as it is spawned.
        match recorder {
            RecorderState::Stopped => Err(NO_RUNTIME.to_owned()),
            RecorderState::Running | RecorderState::Ended => Ok(()),
        }
    }

    /// For the request path, after a change: starts a recorder if there is none.
    #[cold]
    pub(super) fn replace_recorder(&self) {
        if self.require_recorder().is_err()
            && !self.has_ended()
            && self.recorder.no_runtime.is_first()
        {
            tracing::warn!(
                "a status waits to be saved: the runtime that the recorder ran on has ended, and \
                 this change was made outside of a tokio runtime; it is saved with the next change \
                 inside of one; further occurrences are not logged"
            );
        }
    }

    /// Counts a change that came after the recorder has ended.
    pub(super) fn count_after_the_end(&self) {
        self.recorder.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// How many changes came after the recorder has ended.
    pub(crate) fn lost_after_the_end(&self) -> u64 {
        self.recorder.lost.load(Ordering::Relaxed)
    }

    /// The last tracker is gone.
    pub(super) fn send_last_try(&self) {
        let has_unsaved = || !self.unsaved(|_| None).is_empty();
        if self.handoff.recorder() == RecorderState::Stopped && has_unsaved() {
            // If it cannot be started, the one that was stopped has logged what is unsaved.
            let _ = self.require_recorder();
        }
        self.handoff.send(Command::LastTry);
    }
}
