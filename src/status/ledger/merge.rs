//! What is done if somebody else wrote the item in between: the ledger becomes the sum of both.

use std::sync::Arc;

use super::{Ledger, Live, NewRun, Tally, WORKFLOW_ENDED, add_tokens};
use crate::status::{AgentState, AgentStatus, Item, OverallStatus, Timestamp, WorkflowStatus};

impl Ledger {
    /// The item was not what the write expected; this is what it is.
    pub(crate) fn conflicted(&mut self, found: Option<&Item>, writer: &str, now: Timestamp) {
        let Some(found) = found else {
            // The item was deleted. All that is known is written again.
            self.stored = None;
            return;
        };
        self.put_in_texts();
        let found = WorkflowStatus::from_item(&self.view.session_id, found);
        let last_seen = found.writers.get(writer).copied().unwrap_or(0);
        match self.new_run {
            NewRun::Since(first) if last_seen >= first => self.new_run = NewRun::No,
            NewRun::No => {}
            // An item of the run before: all of it goes.
            NewRun::Unwritten | NewRun::Since(_) => {
                self.comes_after(&found);
                self.stored = Some(Arc::new(found));
                return;
            }
        }
        // Only an item that this process has seen, or written, can be of an earlier run
        // than the one that was found; otherwise this is the one to resume.
        let knows_item =
            self.stored.is_some() || self.first_seq.is_some_and(|first| last_seen >= first);
        let known = self
            .stored
            .as_ref()
            .map_or(self.view.created_at, |stored| stored.created_at.max(self.view.created_at));
        if knows_item && found.created_at > known {
            self.follow(&found);
        }
        self.attempted.retain(|attempt| attempt.seq > last_seen);
        self.merge(&found, now);
        self.stored = Some(Arc::new(found));
        self.version += 1;
    }

    /// Somebody else began the workflow anew. What is known of the run before goes, its
    /// end with it. Calls in flight, and what no item has seen of those that ended, go
    /// with the new run: it is not known when they began, and nothing is to be lost.
    fn follow(&mut self, found: &WorkflowStatus) {
        let mut view = WorkflowStatus::new(self.view.session_id.clone(), found.created_at);
        view.last_updated = self.view.last_updated;
        for ((name, mut agent), live) in self.view.agents.drain(..).zip(&self.live) {
            // What only the end of its run ended goes with that end, however late it was told.
            let went_with_run = live.in_flight == 0
                && agent.error.as_ref().is_some_and(|error| error.class == WORKFLOW_ENDED);
            if agent.last_updated > Some(found.created_at) && !went_with_run {
                view.overall_status = OverallStatus::Processing;
                for at in [&mut agent.started_at, &mut agent.completed_at] {
                    *at = at.map(|at| at.max(found.created_at));
                }
            } else {
                agent = AgentStatus::pending(Arc::clone(&live.activities.pending));
            }
            view.agents.push((name, agent));
        }
        self.view = view;
        self.stored = None;
        self.idle_since = None;
    }

    /// Makes the view the sum of what was found in the table and what it lacks.
    fn merge(&mut self, found: &WorkflowStatus, now: Timestamp) {
        let base = self.stored.take();
        let view = &mut self.view;

        // What this process has not changed itself is as found.
        if base.as_ref().is_some_and(|base| base.correlation_id == view.correlation_id)
            || view.correlation_id.is_none()
        {
            view.correlation_id.clone_from(&found.correlation_id);
        }
        for (name, value) in &found.attributes {
            let unchanged =
                base.as_ref().is_some_and(|b| b.attributes.get(name) == view.attributes.get(name));
            if unchanged || !view.attributes.contains_key(name) {
                view.attributes.insert(name.clone(), value.clone());
            }
        }
        // An item written by other means may not say when it was created.
        if found.created_at.as_millis() > 0 {
            view.created_at = found.created_at;
        }
        view.last_updated = view.last_updated.max(found.last_updated);
        if self.idle_since.take_if(|since| found.last_updated > *since).is_some() {
            // It was not idle: another process has been at work on it.
            view.overall_status = OverallStatus::Processing;
        }
        // Never backwards, and the first end counts.
        let both_started =
            [found.overall_status, view.overall_status].contains(&OverallStatus::Processing);
        if found.overall_status.is_finished() {
            view.overall_status = found.overall_status;
            view.error.clone_from(&found.error);
        } else if both_started && !view.overall_status.is_finished() {
            view.overall_status = OverallStatus::Processing;
        }

        for (name, agent) in &found.agents {
            let slot = view.agents.iter().position(|(known, _)| known == name);
            match slot {
                Some(slot) => {
                    let base = base.as_ref().and_then(|base| base.agent(name));
                    merge_agent(&mut view.agents[slot].1, agent, base);
                }
                None => {
                    view.agents.push((Arc::clone(name), agent.clone()));
                    self.live.push(Live::idle(Arc::default()));
                    self.pending.push(Tally::default());
                }
            }
        }
        // Calls and tokens are what was found and what is not acknowledged.
        for (slot, (name, agent)) in view.agents.iter_mut().enumerate() {
            let found = found.agents.iter().find(|(known, _)| known == name);
            agent.calls = found.map_or(0, |(_, found)| found.calls);
            agent.token_usage = found.and_then(|(_, found)| found.token_usage);
            let lacking = self.attempted.iter().filter_map(|attempt| attempt.tallies.get(slot));
            for tally in lacking.chain([&self.pending[slot]]) {
                agent.calls = agent.calls.saturating_add(tally.calls);
                add_tokens(&mut agent.token_usage, &tally.tokens);
            }
        }
        if self.is_finished() {
            self.end_agents_in_progress(now);
        } else {
            // While any call is in flight here, its agent is in progress.
            for slot in 0..self.live.len() {
                if self.live[slot].in_flight > 0
                    && self.view.agents[slot].1.state != AgentState::InProgress
                {
                    self.show_in_progress(slot, None, now);
                }
            }
        }
    }
}

/// An agent's state is the later one's; it started when the first call did.
fn merge_agent(mine: &mut AgentStatus, found: &AgentStatus, base: Option<&AgentStatus>) {
    // What this process has not changed is as found, whatever the two clocks say.
    if base == Some(&*mine) {
        *mine = found.clone();
        return;
    }
    let started_at = match (mine.started_at, found.started_at) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (known, None) | (None, known) => known,
    };
    if found.last_updated > mine.last_updated {
        *mine = found.clone();
    }
    // A pending one was set back by hand, and has not started.
    if mine.state != AgentState::Pending {
        mine.started_at = started_at;
    }
}
