//! [`Command`]: what the recorder is asked for; and [`Unsaved`], of which its answers are made.

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::status::ErrorMessage;
use crate::status::SessionId;

/// What the recorder is asked for, and where the answer goes.
pub(crate) enum Command {
    /// Try once to save everything there is.
    Flush(oneshot::Sender<Vec<Unsaved>>),
    /// Try to save everything until the deadline, then end.
    Shutdown { deadline: Instant, reply: oneshot::Sender<Vec<Unsaved>> },
    /// All handles are gone: try once to save everything, then end.
    LastTry,
}

/// A session whose newest state is not in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unsaved {
    /// The session.
    pub session_id: SessionId,
    /// Why it could not be saved; `None` if there was no time to try.
    pub error: Option<ErrorMessage>,
}
