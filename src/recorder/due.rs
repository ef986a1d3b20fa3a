//! [`Due`]: a session that waits to be written, and which of two comes first.

use std::sync::Arc;

use tokio::time::Instant;

use crate::tracker::Session;

/// A session waiting to be written.
pub(super) struct Due {
    pub(super) at: Instant,
    pub(super) session: Arc<Session>,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // Sessions come from maps whose order is random.
        self.at.cmp(&other.at).then_with(|| self.session.id.cmp(&other.session.id))
    }
}
