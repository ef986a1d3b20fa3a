//! [`LogOnce`]: what would be logged at every call is logged once.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};

/// Remembers whether something was logged.
#[derive(Default)]
pub(crate) struct LogOnce(AtomicBool);

impl LogOnce {
    /// Whether this is the first time.
    pub(super) fn is_first(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }

    /// Warns, if this is the first time.
    pub(crate) fn warn(&self, error: &dyn Display, what: &'static str) {
        if self.is_first() {
            tracing::warn!(%error, "{what}; further occurrences are not logged");
        }
    }
}

/// What requests may bring that cannot be recorded.
#[derive(Default)]
pub(crate) struct Warnings {
    /// A session id that cannot be one, or that cannot be read.
    pub(crate) session: LogOnce,
    /// A session that a request may not name.
    pub(crate) foreign_session: LogOnce,
    /// An agent's name that cannot be one.
    pub(crate) agent: LogOnce,
    /// A header of a workflow that cannot be read.
    pub(crate) header: LogOnce,
    /// A workflow's correlation id or attribute that an item cannot have.
    pub(crate) attribute: LogOnce,
    /// An item that is saved without some of its texts.
    pub(crate) item: LogOnce,
    /// A workflow that could not be started.
    pub(crate) workflow: LogOnce,
    /// A workflow that was started in a finished session.
    pub(super) finished: LogOnce,
    /// A session that left memory before its idle timeout.
    pub(super) left_early: LogOnce,
}
