//! [`Command`]: a request to the recorder; and [`UnsavedSession`], an item of its replies.

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::status::ErrorMessage;
use crate::status::SessionId;

/// A request to the recorder, with the sender of its reply.
pub(crate) enum Command {
    /// Try once to save everything.
    Flush(oneshot::Sender<Vec<UnsavedSession>>),
    /// Try to save everything until the deadline, then end.
    Shutdown { deadline: Instant, reply: oneshot::Sender<Vec<UnsavedSession>> },
    /// The last tracker is gone: try once to save everything, then end.
    LastTry,
}

/// A session whose newest state is not saved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnsavedSession {
    /// The session.
    pub session_id: SessionId,
    /// Why it could not be saved, or `None` if there was no time to try, or to wait for an answer.
    pub error: Option<ErrorMessage>,
}
