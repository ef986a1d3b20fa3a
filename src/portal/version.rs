//! [`Version`]: tells whether one read of an item is older than another.

use crate::status::{Timestamp, WorkflowStatus};

/// What an item says of its own age. An eventually consistent read may return an older item than
/// the read before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Version {
    created_at: Timestamp,
    last_updated: Timestamp,
    /// 0 if an older writer has put the item there, since those keep no revision.
    revision: u64,
}

impl Version {
    pub(super) fn of(status: &WorkflowStatus) -> Self {
        Self {
            created_at: status.created_at,
            last_updated: status.last_updated,
            revision: status.revision,
        }
    }

    pub(super) fn is_older_than(self, last: Self) -> bool {
        // A new run is created later than the previous run, whatever its revision.
        if self.created_at > last.created_at {
            return false;
        }
        // An item without a revision is either one that an older writer has put in the place of
        // what was read last, or what was there before a revision came.
        let has_none = self.revision == 0 && last.revision > 0;
        self.revision < last.revision && !(has_none && self.last_updated > last.last_updated)
    }
}
