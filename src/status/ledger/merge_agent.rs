//! The merge of one agent's state. The numbers are those of the rules of [`merge`](super::merge).

use std::time::Duration;

use crate::status::{AgentState, AgentStatus, Timestamp};

/// Merges the state of one agent: the later state and the earlier start.
pub(super) fn merge_agent(
    local: &mut AgentStatus,
    remote: &AgentStatus,
    base: Option<&AgentStatus>,
    now: Timestamp,
) {
    // (9) Before times are compared: the clock of the process that changed it may be behind.
    if base == Some(&*local) {
        *local = remote.clone();
        return;
    }
    let started_at = match (local.started_at, remote.started_at) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (known, None) | (None, known) => known,
    };
    // (15) The end of the workflow ended it on one side only. On the other, its call has really
    // ended. So it is if the end of the workflow was known already, and a third process has noted it
    // as well, at a later time.
    let was_at_work =
        base.is_some_and(|base| base.state == AgentState::InProgress || base.ended_with_workflow());
    let takes_remote = if was_at_work && local.ended_with_workflow() && remote.has_ended() {
        true
    } else if was_at_work && local.has_ended() && remote.ended_with_workflow() {
        false
    } else {
        // (16) A time that is yet to come says only that the clocks disagree. What this process
        // knows is written last, and stands: if the other is still at work, it will say so again.
        // If it has died, nobody would end what it began.
        let is_unordered = local.last_updated.is_some()
            && remote.last_updated.is_some_and(|updated| is_ahead(updated, now));
        remote.last_updated > local.last_updated && !is_unordered
    };
    if takes_remote {
        let model = local.model.take();
        *local = remote.clone();
        local.model = local.model.take().or(model);
    } else {
        if local.model.is_none() {
            local.model.clone_from(&remote.model);
        }
        if remote.last_updated > local.last_updated {
            local.touch_after(remote.last_updated);
        }
    }
    if remote.extra.is_some() {
        local.extra.clone_from(&remote.extra);
    }
    // (10) A pending agent has no start: a report may have set it back.
    if local.state != AgentState::Pending {
        local.started_at = started_at;
    }
}

/// Whether the clock of the process that noted this time must be ahead of this one's. Clocks that
/// are kept in step differ by milliseconds.
pub(super) fn is_ahead(time: Timestamp, now: Timestamp) -> bool {
    time > now.saturating_add(Duration::from_secs(1))
}
