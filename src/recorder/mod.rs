//! The recorder: the background task that saves what the tracker knows.
//!
//! It is started by [`StatusTrackerBuilder`], and asked to flush or to shut down through
//! [`StatusTracker`].
//!
//! | file | what it has |
//! | --- | --- |
//! | `builder` | the settings, and how a tracker starts |
//! | `worker` | the task: batches, writes, retries, heartbeats |
//! | `worker/lifecycle` | how the task starts, and ends with a shutdown or its runtime |
//! | `due` | the sessions that wait to be written, the first that is due in front |
//! | `write` | one write: how it is sent, and how it has ended |
//! | `concurrency` | how many writes may be in flight |
//! | `backoff` | how long a session waits after a failed write, and what is logged |
//! | `rounds` | how a flush or a shutdown tries every session, side by side |
//! | `sequence` | the numbers of the writes |
//! | `flush_waiters` | the rounds that wait for writes |

mod backoff;
mod builder;
mod concurrency;
mod due;
mod flush_waiters;
mod rounds;
mod sequence;
mod worker;
mod write;

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::status::ErrorMessage;
use crate::tracker::{Command, StatusTracker, UnsavedSession};

pub use self::builder::{StartError, StatusTrackerBuilder};

/// Longer than any process lives, and short enough to be added to any moment.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

impl StatusTracker {
    /// Saves everything that has changed before this call, and waits for it.
    ///
    /// Each unsaved session is written once, immediately, even if it is backing off or the store
    /// throttles. This suits hosts that freeze the process between requests. The writes run side
    /// by side: at least 64 at once, and up to 256 if it takes longer than a second, or as many as
    /// [are set](StatusTrackerBuilder::max_writes_in_flight). It returns within a minute, whatever
    /// the number of sessions.
    ///
    /// # Errors
    ///
    /// Returns the sessions that could not be saved, and why, and those that were not reached
    /// within the minute. The recorder keeps retrying them. After a shutdown, it returns how many
    /// changes came too late to be recorded, if any did.
    ///
    /// If the runtime of the recorder has ended, the recorder goes on in the current one. Outside of
    /// a tokio runtime this is not possible, and all unsaved sessions are returned.
    ///
    /// A runtime that still exists keeps its recorder. If nothing drives it, as between two calls of
    /// `block_on` on a current-thread runtime, this waits, however long that takes.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, saving continues in the background.
    pub async fn flush(&self) -> Result<(), UnsavedError> {
        self.ask(Command::Flush).await
    }

    /// Saves everything and stops the recorder.
    ///
    /// Each unsaved session is written at once, as by [`flush`](Self::flush). Failed writes are
    /// retried, with backoff, until the timeout. Changes made after this has
    /// returned are not saved; the first of them is logged. To save what has changed and go on, as
    /// at the end of a test, use [`flush`](Self::flush).
    ///
    /// # Errors
    ///
    /// As those of [`flush`](Self::flush).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the recorder still stops as described.
    pub async fn shutdown(&self, timeout: Duration) -> Result<(), UnsavedError> {
        let deadline = Instant::now() + timeout.min(FAR);
        self.ask(|reply| Command::Shutdown { deadline, reply }).await
    }

    /// Sends the recorder a command, and waits for its reply.
    async fn ask(
        &self,
        command: impl Fn(oneshot::Sender<Vec<UnsavedSession>>) -> Command,
    ) -> Result<(), UnsavedError> {
        let unsaved = loop {
            if let Err(why) = self.shared().require_recorder() {
                // Nothing will be saved here.
                break self.shared().unsaved(|_| Some(ErrorMessage::new(&why)));
            }
            let (reply, answer) = oneshot::channel();
            self.shared().handoff.send(command(reply));
            // Without a reply, the recorder was stopped, perhaps with another runtime than this.
            if let Ok(unsaved) = answer.await {
                break unsaved;
            }
        };
        let lost = self.shared().lost_after_the_end();
        if unsaved.is_empty() && lost == 0 { Ok(()) } else { Err(UnsavedError { unsaved, lost }) }
    }
}

/// The error returned when the newest state of some sessions could not be saved, or changes came too
/// late to be recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnsavedError {
    /// The sessions.
    pub unsaved: Vec<UnsavedSession>,
    /// How many calls, workflows and changes came after the recorder had ended, most often because
    /// the tracker was shut down. They are not recorded.
    pub lost: u64,
}

impl fmt::Display for UnsavedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 5;
        match self.unsaved.len() {
            0 => {}
            1 => f.write_str("1 session could not be saved: ")?,
            n => write!(f, "{n} sessions could not be saved: ")?,
        }
        for (n, unsaved) in self.unsaved.iter().take(SHOWN).enumerate() {
            write!(f, "{}{}", if n == 0 { "" } else { ", " }, unsaved.session_id)?;
        }
        if self.unsaved.len() > SHOWN {
            f.write_str(", …")?;
        }
        if let Some(error) = self.unsaved.iter().find_map(|unsaved| unsaved.error.as_ref()) {
            write!(f, " ({error})")?;
        }
        let separator = if self.unsaved.is_empty() { "" } else { "; " };
        match self.lost {
            0 => Ok(()),
            1 => write!(f, "{separator}1 change came after the recorder had ended and is lost"),
            n => write!(f, "{separator}{n} changes came after the recorder had ended and are lost"),
        }
    }
}

impl std::error::Error for UnsavedError {}

/// The background task that saves what a tracker knows. It ends with
/// [`StatusTracker::shutdown`], or after the last tracker is dropped.
#[must_use = "nothing is saved unless this future is run"]
pub struct Recorder(Pin<Box<dyn Future<Output = ()> + Send>>);

impl Future for Recorder {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recorder")
    }
}
