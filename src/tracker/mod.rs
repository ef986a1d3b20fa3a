//! [`StatusTracker`]: the newest state of every session, in memory.
//!
//! This is the only state that the request path and the recorder share. The request path
//! locks one session for the time of a few assignments; how a session that changed gets to
//! the recorder is the [hand-off](handoff)'s.

mod call;
mod clock;
mod command;
mod handoff;
mod log_once;
mod registry;
mod scope;
mod session;
mod shared;
mod sync;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::status::WorkflowStatus;

pub(crate) use call::TrackedCall;
pub(crate) use clock::Clock;
pub(crate) use command::Command;
pub use command::Unsaved;
pub(crate) use registry::{RegisteredAgent, Registry};
pub(crate) use scope::Scope;
pub(crate) use session::{MAX_ATTRIBUTES, Session, SessionHandle};
pub(crate) use shared::{Batch, Limits, Shared};

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
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.handoff.send(Command::LastTry);
    }
}

impl StatusTracker {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { handle: Arc::new(Handle { shared }) }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    /// How many agents a session may have before calls of one that was not declared, but
    /// named by a request, pass untracked. All that are declared have room. So many take
    /// some 150 KB at most of the 400 KB that a table allows an item.
    pub const MAX_AGENTS: usize = session::MAX_AGENTS;

    /// How many calls, workflows and changes were not recorded, because too many sessions were
    /// live or unsaved, because a session had too many [agents](Self::MAX_AGENTS), or because
    /// the tracker was shut down. The first of each is logged.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.shared().lost.load(Ordering::Relaxed)
    }

    /// The newest state of a session that is live in this process, whether saved yet or
    /// not; `None` if this process has nothing to do with it (any more).
    #[must_use]
    pub fn status(&self, session_id: &str) -> Option<WorkflowStatus> {
        let session = self.shared().lock_sessions().get(session_id).cloned()?;
        Some(session.lock().ledger.status().clone())
    }
}

impl fmt::Debug for StatusTracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusTracker")
            .field("writer", &self.shared().writer)
            .finish_non_exhaustive()
    }
}
