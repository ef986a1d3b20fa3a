//! How many workflows have stalled, in the text format that Prometheus and the
//! OpenTelemetry collector read.
//!
//! The process of a stalled workflow is gone and reports nothing, so the figure comes from
//! who reads the table. It is read when it is asked for: a scrape is a watcher like any
//! other, and without one nothing is read.

use std::time::Duration;

use crate::status::{Item, SessionId, Timestamp, WorkflowStatus};
use crate::store::RecentItems;

/// The gauge at `/api/workflow/metrics`: workflows that have stalled, among the newest.
pub const STALLED_WORKFLOWS: &str = "agent_status_workflows_stalled";

/// Among how many of the newest workflows the stalled ones are counted, unless asked
/// otherwise, and at most.
pub(super) const AMONG: usize = 1_000;
pub(super) const MAX_AMONG: usize = 10_000;

/// What is answered, from at least the `among` newest workflows, if there are so many.
pub(super) fn exposition(
    recent: &RecentItems,
    among: usize,
    heartbeat: Duration,
    now: Timestamp,
) -> String {
    let items = &recent.items[..among.min(recent.items.len())];
    let status = |(id, item): &(SessionId, Item)| WorkflowStatus::from_item(id, item);
    let stalled = items.iter().filter(|item| status(item).is_stalled(now, heartbeat)).count();
    // One that began later cannot have stalled yet.
    let reaches_back = |oldest: &WorkflowStatus| {
        now.duration_since(oldest.created_at) > heartbeat.saturating_mul(3)
    };
    let is_whole =
        items.len() < among || items.last().map(status).as_ref().is_some_and(reaches_back);

    // Unless that is known, there is no zero: it would end an alarm.
    let sample = if stalled > 0 || (is_whole && !recent.truncated) {
        format!("{STALLED_WORKFLOWS} {stalled}")
    } else {
        "# Not known: none of those that were read is stalled, and others may be.".to_owned()
    };
    format!(
        "# HELP {STALLED_WORKFLOWS} Workflows without an end that have missed three heartbeats, \
         among the {among} newest.\n\
         # TYPE {STALLED_WORKFLOWS} gauge\n\
         {sample}\n"
    )
}
