//! [`Criteria`]: which sessions may be ended, and the texts that say why.

use std::time::Duration;

use tower_agent_status::status::{OverallStatus, Timestamp, WorkflowStatus};

use super::super::lines::known;
use super::super::text::{escaped, time};

/// Which sessions may be ended.
pub(super) struct Criteria {
    /// The heartbeat interval of the processes that write to the table.
    pub(super) heartbeat: Duration,
    /// If set, only stalled sessions that have been silent for at least this long may be ended.
    pub(super) stalled_for: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Decision {
    End,
    Finished,
    /// It was updated recently, or, with [`Criteria::stalled_for`], may not be ended for another reason.
    Alive,
}

impl Criteria {
    /// A session without an update for this long is presumed dead.
    pub(super) fn stall_limit(&self) -> Duration {
        self.heartbeat.saturating_mul(3)
    }

    pub(super) fn decide(&self, status: &WorkflowStatus, now: Timestamp) -> Decision {
        if status.overall_status.is_finished() {
            return Decision::Finished;
        }
        let may_end = match self.stalled_for {
            Some(age) => status.is_stalled(now, self.heartbeat) && is_silent(status, now, age),
            // A waiting session also sends heartbeats while a process holds it open. And a session
            // that an older writer has just written is alive, though it sends none.
            None => is_silent(status, now, self.stall_limit()),
        };
        if may_end { Decision::End } else { Decision::Alive }
    }

    /// Whether a session may be stalled, judging by an item without its revision and its agents.
    pub(super) fn may_be_stalled(&self, status: &WorkflowStatus, now: Timestamp) -> bool {
        use OverallStatus::{Initializing, Processing};
        matches!(status.overall_status, Initializing | Processing)
            && is_silent(status, now, self.stalled_for.unwrap_or(self.stall_limit()))
    }
}

fn is_silent(status: &WorkflowStatus, now: Timestamp, age: Duration) -> bool {
    now.duration_since(status.last_updated) >= age
}

/// The state of a session that may be ended: `processing, no heartbeat for 2 d 03 h`.
pub(super) fn describe(status: &WorkflowStatus, criteria: &Criteria, now: Timestamp) -> String {
    let word = if status.is_waiting() { "waiting" } else { status.status_text() };
    let silent = now.duration_since(status.last_updated);
    let updated = match known(status.last_updated) {
        _ if status.is_stalled(now, criteria.heartbeat) => {
            format!("no heartbeat for {}", time(silent))
        }
        Some(_) => format!("last updated {} ago", time(silent)),
        None => "last update unknown".to_owned(),
    };
    let writer = if status.revision == 0 { ", by a writer without heartbeats" } else { "" };
    escaped(&format!("{word}, {updated}{writer}")).into_owned()
}

/// Why a session is not ended because it is alive, and what to do about it.
pub(super) fn why_alive(status: &WorkflowStatus, criteria: &Criteria, now: Timestamp) -> String {
    let id = &status.session_id;
    let limit = time(criteria.stall_limit());
    match status.last_updated > now {
        true => format!(
            "`{id}` was not ended, since it may be alive: its `lastUpdated` is in the future ({}). \
             Check the clock of this host. Otherwise try again {limit} after that time.",
            status.last_updated,
        ),
        false => format!(
            "`{id}` was not ended, since it is alive: it was last updated {} ago. Stop its process, \
             and try again when it has been silent for three heartbeats ({limit}).",
            time(now.duration_since(status.last_updated)),
        ),
    }
}
