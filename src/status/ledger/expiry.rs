//! When the item may be deleted: so long after its creation, and never in the past.
//!
//! ```text
//! a session that this process begins       createdAt + its workflow's retention, or the tracker's
//! an item that another process began       what the item says
//!     a workflow here says its own         createdAt + that, with the next write; after that,
//!                                          again what the item says
//!     an item of an older writer, without  now + retention; if it replaced a known item, what that had
//!     one that had its expiry removed      none: somebody wants to keep it
//! a new run                                as a session that begins
//! a write close to the expiry              MARGIN after it, or the retention if that is shorter
//! ```
//!
//! So processes with different settings do not take turns in changing the item, and no write is made
//! for the expiry alone. An item lasts for as long as it is written, since it is put off when less than
//! half of the margin is left: with the shortest retention that is 30 seconds, which is more than a
//! heartbeat takes.

use std::time::Duration;

use super::Ledger;
use crate::status::schema::DEFAULT_RETENTION;
use crate::status::{Timestamp, WorkflowStatus};

/// The shortest retention. Shorter ones count as this.
const MIN_RETENTION: Duration = Duration::from_secs(60);
/// The longest retention: 30 years. Longer ones count as this.
const MAX_RETENTION: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
/// How far the expiry of a session that lives longer than its retention is ahead.
const MARGIN: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the item of a session is kept after its creation, and who says so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retention {
    /// The tracker's setting.
    setting: Duration,
    /// What a workflow of this process has said of this run.
    own: Option<Duration>,
    /// The shortest that the item of this run has said.
    of_item: Option<Duration>,
}

impl Default for Retention {
    fn default() -> Self {
        Self::new(DEFAULT_RETENTION)
    }
}

impl Retention {
    fn new(setting: Duration) -> Self {
        Self { setting: clamp(setting), own: None, of_item: None }
    }

    fn current(&self) -> Duration {
        self.own.unwrap_or(self.setting)
    }

    /// How far an expiry that is put off is ahead. What another process keeps for an hour, this one
    /// must not put off for a day because it would keep it itself for longer.
    fn margin(&self) -> Duration {
        self.current().min(self.of_item.unwrap_or(MARGIN)).min(MARGIN)
    }
}

fn clamp(retention: Duration) -> Duration {
    retention.clamp(MIN_RETENTION, MAX_RETENTION)
}

/// The table has whole seconds.
fn expiry(from: Timestamp, after: Duration) -> Timestamp {
    Timestamp::from_millis(from.saturating_add(after).as_secs().saturating_mul(1000))
}

impl Ledger {
    /// Sets how long the items of sessions and runs that begin in this ledger are kept.
    pub(crate) fn with_retention(mut self, setting: Duration) -> Self {
        self.retention = Retention::new(setting);
        self.expire_after_creation();
        self
    }

    /// A workflow says how long the item of this run is kept.
    pub(crate) fn set_retention(&mut self, own: Duration) {
        self.keep_retention(Some(own));
        if let Some(after) = &mut self.new_run_after {
            after.retention = Some(own);
        }
        self.version += 1;
    }

    /// What the workflow of this run has said stands, if it has said anything.
    pub(super) fn keep_retention(&mut self, own: Option<Duration>) {
        self.retention.own = own.map(clamp);
        self.expire_after_creation();
    }

    /// Forgets what was said of a run that is over.
    pub(super) fn forget_retention(&mut self) {
        self.retention = Retention::new(self.retention.setting);
    }

    pub(super) fn expire_after_creation(&mut self) {
        self.keep_base();
        let at = expiry(self.local.created_at, self.retention.current());
        self.local.expires_at = Some(at);
    }

    /// Merges the expiry, once the time of creation is merged.
    pub(super) fn merge_expiry(
        &mut self,
        remote: &WorkflowStatus,
        base: Option<&WorkflowStatus>,
        by_older_writer: bool,
        now: Timestamp,
    ) {
        let is_unsaved = base.is_none_or(|base| base.expires_at != self.local.expires_at);
        if self.retention.own.is_some() && is_unsaved {
            self.expire_after_creation();
            return;
        }
        if let Some(at) = remote.expires_at {
            let of_item = clamp(at.duration_since(remote.created_at));
            let shortest = self.retention.of_item.map_or(of_item, |known| known.min(of_item));
            self.retention.of_item = Some(shortest);
        }
        self.local.expires_at = match remote.expires_at {
            // Older writers may know nothing of an expiry.
            None if by_older_writer && base.is_some() => self.local.expires_at,
            None if remote.revision == 0 => Some(expiry(now, self.retention.current())),
            stands => stands,
        };
    }

    /// Puts the expiry off if a write at this time would leave it too close.
    pub(super) fn keep_expiry_ahead(&mut self, now: Timestamp) {
        let now = now.max(self.local.last_updated);
        let margin = self.retention.margin();
        if self.local.expires_at.is_some_and(|at| at < now.saturating_add(margin / 2)) {
            self.local.expires_at = Some(expiry(now, margin));
        }
    }
}
