//! [`StatusTracker`]: the newest state of every session, in memory.
//!
//! [`Shared`] is the only state that the request path and the recorder share. The request path
//! locks one session for a few assignments; the [hand-off](handoff) takes changed sessions to
//! the recorder.
//!
//! `StatusTracker` is extended where it is needed: `recorder` adds the builder, `flush` and
//! `shutdown`, and `workflow` adds `workflow`, `initialize_status`, `update_agent_status` and
//! `finalize_status`.
//!
//! | file | what it has |
//! | --- | --- |
//! | `shared` | the sessions in memory, and the only way to change one |
//! | `sessions` | the sessions in memory, and which leaves when room is needed |
//! | `session` | one session, and the handle with which a workflow changes it |
//! | `last_change` | how long a session was silent, whatever happens to the clock |
//! | `call` | one call in flight |
//! | `registry` | the declared agents, with their metrics |
//! | `costs` | what calls cost, by the tracker's price list |
//! | `scope` | the task-local that says which session a call belongs to |
//! | `handoff` | how a changed session reaches the recorder |
//! | `recorder` | how a recorder is replaced whose runtime has ended |
//! | `command` | requests to the recorder: flush, shutdown |
//! | `log_once` | warnings that would repeat at every call |
//! | `clock`, `sync` | the time of day, and the locks that a model checker replaces |

mod call;
mod clock;
mod command;
mod costs;
mod handoff;
mod last_change;
mod log_once;
mod recorder;
mod registry;
mod scope;
mod session;
mod sessions;
mod shared;
mod sync;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::status::WorkflowStatus;

pub(crate) use call::TrackedCall;
pub(crate) use clock::Clock;
pub(crate) use command::Command;
pub use command::UnsavedSession;
pub(crate) use costs::{Costs, PricedCall};
pub(crate) use recorder::{RecorderEnd, Start};
pub(crate) use registry::{RegisteredAgent, Registry, ReservedNames};
pub(crate) use scope::Scope;
pub(crate) use session::{
    Description, MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTES, NewRunPolicy, Session, SessionHandle, TooMuch,
};
pub(crate) use shared::{Batch, Limits, Shared};

/// Holds the newest state of every session and saves it in the background.
///
/// Clones share the same tracker, also across threads and runtimes. Layers and workflows hold one. When the last is dropped, the
/// recorder tries once more to save what is unsaved, and ends. A process that is about to end
/// should call [`shutdown`](Self::shutdown) instead, which waits and returns what could not be
/// saved.
#[derive(Clone)]
pub struct StatusTracker {
    handle: Arc<Handle>,
}

/// Stops the recorder when the last tracker is dropped.
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.send_last_try();
    }
}

impl StatusTracker {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { handle: Arc::new(Handle { shared }) }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    /// How many agents a session can have before calls of an undeclared one pass untracked.
    /// There is always room for the agents that were declared. This many take at most some
    /// 290 KB of the 400 KB that DynamoDB allows an item, without their attempts and the shares of their
    /// models, which are left out where they do not fit: declare no more.
    pub const MAX_AGENTS: usize = session::MAX_AGENTS;

    /// Returns how many calls, workflows and changes were not recorded: because too many sessions
    /// were live or unsaved, because a session had too many [agents](Self::MAX_AGENTS), or
    /// because the tracker was shut down or its recorder has ended otherwise. The first of each kind is logged.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.shared().lost.load(Ordering::Relaxed)
    }

    /// Returns the newest state of a session that is live in this process, whether it is saved
    /// yet or not, or `None` if the session is not in memory. One that is saved and idle may leave
    /// at any time.
    #[must_use]
    pub fn status(&self, session_id: &str) -> Option<WorkflowStatus> {
        let session = self.shared().lock_sessions().get_by_name(session_id).cloned()?;
        Some(session.lock().ledger.snapshot())
    }
}

impl fmt::Debug for StatusTracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusTracker")
            .field("writer", &self.shared().writer)
            .finish_non_exhaustive()
    }
}
