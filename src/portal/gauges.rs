//! The gauges of stalled and of waiting workflows, in the text format of Prometheus and the
//! OpenTelemetry collector.
//!
//! The process of a stalled workflow has died and reports nothing, and that of a waiting one may
//! have, so the portal counts them in the table. It does so at each scrape, and reads nothing
//! without one.

use std::sync::Arc;
use std::time::Duration;

use super::listed::summarize;
use super::visible::Viewer;
use crate::status::{Attributes, Item, SessionId, Timestamp, WorkflowStatus};
use crate::store::RecentItems;

/// The name of the gauge at `/api/workflow/metrics`: the number of stalled workflows among
/// the newest.
pub const STALLED_WORKFLOWS: &str = "agent_status_workflows_stalled";

/// The name of the gauge at `/api/workflow/metrics`: the number of workflows among the newest in
/// which an agent waits and no call is in flight.
pub const WAITING_WORKFLOWS: &str = "agent_status_workflows_waiting";

/// How many of the newest workflows are read by default.
pub(super) const DEFAULT_LIMIT: usize = 1_000;
/// How many of the newest workflows can be read.
pub(super) const MAX_LIMIT: usize = 10_000;

/// What the gauges need of a workflow. Thousands are kept, so its agents are not.
#[derive(Debug)]
pub(super) struct SignOfLife {
    /// Without its agents, so it does not know whether it waits.
    status: WorkflowStatus,
    is_waiting: bool,
}

impl SignOfLife {
    pub(super) fn of(session_id: &SessionId, item: Item) -> Self {
        let mut sign = Self::with_attributes(session_id, item);
        sign.status.attributes = Attributes::default();
        sign.status.correlation_id = None;
        sign
    }

    /// Keeps that by which [`Visible`](super::visible::Visible) may decide.
    pub(super) fn with_attributes(session_id: &SessionId, item: Item) -> Self {
        let mut status = WorkflowStatus::from_item(session_id, &item);
        drop(item);
        summarize(&mut status, |_| Arc::default());
        let is_waiting = status.is_waiting();
        status.agents = Vec::new();
        Self { status, is_waiting }
    }

    fn is_stalled(&self, now: Timestamp, heartbeat: Duration) -> bool {
        !self.is_waiting && self.status.is_stalled(now, heartbeat)
    }
}

/// Renders the gauges from the `limit` newest workflows of `recent`.
pub(super) fn exposition(
    recent: &RecentItems<SignOfLife>,
    limit: usize,
    viewer: &Viewer,
    heartbeat: Duration,
    now: Timestamp,
) -> String {
    let items = &recent.items[..limit.min(recent.items.len())];
    let (mut stalled, mut waiting) = (0, 0);
    for (_, sign) in items.iter().filter(|(_, sign)| viewer.sees(&sign.status)) {
        stalled += usize::from(sign.is_stalled(now, heartbeat));
        waiting += usize::from(sign.is_waiting);
    }
    // A workflow created later than this cannot have stalled yet. An item that does not say when it
    // was created is listed by its last change.
    let reaches_back = |(_, oldest): &(SessionId, SignOfLife)| {
        let WorkflowStatus { created_at, last_updated, .. } = oldest.status;
        let listed_at = if created_at.as_millis() == 0 { last_updated } else { created_at };
        now.duration_since(listed_at) > heartbeat.saturating_mul(3)
    };
    let is_complete = items.len() < limit || items.last().is_some_and(reaches_back);

    // A zero that is not certain would resolve an alert, so there is no sample then.
    let sample = if stalled > 0 || (is_complete && !recent.truncated) {
        format!("{STALLED_WORKFLOWS} {stalled}")
    } else {
        "# Unknown: no workflow that was read has stalled, but others may have.".to_owned()
    };
    format!(
        "# HELP {STALLED_WORKFLOWS} Unfinished workflows that have missed three heartbeats, \
         among the {limit} newest.\n\
         # TYPE {STALLED_WORKFLOWS} gauge\n\
         {sample}\n\
         # HELP {WAITING_WORKFLOWS} Unfinished workflows that wait for a task, for input or for \
         authorization, among the {limit} newest.\n\
         # TYPE {WAITING_WORKFLOWS} gauge\n\
         {WAITING_WORKFLOWS} {waiting}\n"
    )
}
