//! Events: what calls, reports and the end of the workflow change in the document.
//!
//! Each event changes `local` at once, adds what it counts to `unsent`, and marks the ledger
//! dirty if there is something to write. An agent's state follows from these rules:
//!
//! ```text
//! in-progress   while any call is in flight, or after such a report; and after the last call,
//!               while the agent waits for a task
//! error         once the last call in flight has ended, if any call of that overlapping
//!               group failed; or after such a report
//! success       once the last call in flight has ended, if none failed; or after such a
//!               report
//! ```
//!
//! A call that was cancelled has failed only if no call of its group succeeded.
//!
//! A finished workflow is never reopened: a call that starts afterwards changes only its agent.

use std::sync::Arc;

use super::{AgentUsage, Ledger, own_call};
use crate::status::{
    AgentReport, AgentState, AgentStatus, CallDetails, CallError, ErrorMessage, NewTokens, Outcome,
    OverallStatus, RawText, Timestamp, TokenDelta, TokenUsage, UsageDelta,
};

impl Ledger {
    /// A call of an agent has started. Returns whether there is something to write.
    #[inline]
    pub(crate) fn call_started(&mut self, slot: usize, is_get: bool, now: Timestamp) -> bool {
        self.keep_base();
        let is_finished = self.is_finished();
        // Each index is checked once.
        let (active, agent) = (&mut self.active[slot], &mut self.local.agents[slot].1);
        if agent.calls == 1 {
            agent.note_only_call(own_call(active, &self.unacknowledged, &self.unsent, slot));
        }
        active.in_flight += 1;
        if active.in_flight == 1 {
            active.error = None;
            active.has_success = false;
            active.is_after_end = is_finished;
            active.started_at = Some(now);
        }
        active.is_after_end |= is_finished;
        // A GET only asks how the task is: the agent waits on. Any other call may be the input
        // that it waits for.
        if agent.state == AgentState::InProgress && (agent.waiting_for.is_none() || is_get) {
            return false;
        }
        active.begin(agent, None, now);
        self.local.overall_status.begin();
        self.touch(now);
        true
    }

    /// A call in flight has used more tokens, of this model if it is already known. Returns whether
    /// a model is known.
    pub(crate) fn call_progressed(
        &mut self,
        slot: usize,
        tokens: TokenDelta,
        model: Option<RawText<'_>>,
        now: Timestamp,
    ) -> bool {
        self.keep_base();
        self.note_only_call(slot);
        let mut usage = self.usage(slot);
        let has_model = usage.set_model(model);
        usage.add_tokens(&tokens, has_model);
        let agent = usage.agent;
        // The call may have started after its workflow ended. Then the agent's state is that
        // of an earlier call, and must not look newer in a merge.
        if agent.state == AgentState::InProgress {
            agent.last_updated = agent.last_updated.max(Some(now));
        }
        self.touch(now);
        has_model
    }

    /// A call has ended, and has used these tokens since it last reported any. Takes the error out of the
    /// outcome.
    // A function of its own would take 30 instructions more.
    #[inline(always)]
    pub(crate) fn call_ended(
        &mut self,
        slot: usize,
        outcome: &mut Outcome,
        tokens: NewTokens<'_>,
        details: &CallDetails<'_>,
        now: Timestamp,
    ) {
        self.keep_base();
        // Each index is checked once.
        let (active, agent) = (&mut self.active[slot], &mut *self.local.agents[slot].1);
        // It does not show this one, if the workflow had ended before.
        if agent.calls == 1 {
            agent.note_only_call(own_call(active, &self.unacknowledged, &self.unsent, slot));
        }
        let mut usage =
            AgentUsage { active, agent, unsent: self.unsent[slot].get_or_insert_default() };
        let has_model = usage.set_model(details.model);
        if let Some(tokens) = details.usage_without_model {
            usage.name_model(tokens, has_model);
        }
        match tokens {
            NewTokens::None => {}
            NewTokens::All(tokens) => usage.add_call(tokens, has_model),
            NewTokens::Rest(tokens) => usage.add_tokens(tokens, has_model),
        }
        if let Some(cost) = details.cost {
            usage.add_cost(cost, has_model);
        }
        let AgentUsage { active, agent, unsent } = usage;
        agent.describe_call(details, &active.activities);
        for calls in [&mut unsent.calls, &mut agent.calls] {
            *calls = calls.saturating_add(1);
        }
        active.in_flight = active.in_flight.saturating_sub(1);
        active.last_end = self.version + 1;
        // An agent itself shows its only call, if that succeeded and ended the agent.
        let is_shown = agent.calls == 1
            && active.in_flight == 0
            && *outcome == Outcome::Success
            && active.error.is_none()
            && self.tasks.is_none()
            && agent.usage.is(details.usage);
        if !is_shown {
            let model = agent.model.as_ref().filter(|_| has_model);
            agent.attempts.push(outcome, details, model, (now, self.version + 1));
        }
        active.reported_in_progress = false;
        match outcome {
            Outcome::Success => active.has_success = true,
            Outcome::Error(_) => active.add_error_of(outcome),
        }
        if active.in_flight == 0 {
            if self.tasks.is_none() {
                active.is_after_end = false;
                self.local.overall_status.begin();
                match active.error {
                    None => active.end(agent, None, None, now),
                    Some(_) => active.end_with_error(agent, now),
                }
            } else {
                let error = active.take_error();
                self.set_ended_with_tasks(slot, error, now);
            }
        }
        self.check_budget(now);
        self.touch(now);
    }

    /// Sets the state of an agent whose calls pass through no layer.
    pub(crate) fn report(&mut self, slot: usize, report: AgentReport, now: Timestamp) {
        self.keep_base();
        let AgentReport { state, activity, token_usage, error, model, cost } = report;
        let tokens = token_usage.unwrap_or_default().delta_from(&TokenUsage::default());
        let ends = matches!(state, AgentState::Success | AgentState::Error);
        self.note_only_call(slot);
        let model = model.as_deref().map(|model| RawText(model.as_bytes()));
        let mut usage = self.usage(slot);
        let has_model = usage.set_model(model);
        let model = usage.model_of_call(has_model);
        let delta = UsageDelta::of_tokens(tokens, model.clone()).with_cost(cost.as_delta());
        usage.add(&delta.with_calls(u64::from(ends)));
        let error = error.or_else(|| (state == AgentState::Error).then(default_error));
        if ends {
            let outcome = match (state, &error) {
                (AgentState::Error, Some(error)) => Outcome::Error(error.clone()),
                _ => Outcome::Success,
            };
            self.note_reported_call(slot, &outcome, token_usage.as_ref(), model.as_ref(), now);
        }
        self.check_budget(now);
        let is_finished = self.is_finished();
        let active = &mut self.active[slot];
        active.reported_in_progress =
            state == AgentState::InProgress && active.in_flight == 0 && !is_finished;
        match state {
            // The agent stays in progress while a call is in flight. The report counts as one
            // more of the overlapping calls.
            _ if active.in_flight > 0 && (!is_finished || active.is_after_end) => {
                match state {
                    AgentState::Success => active.has_success = true,
                    AgentState::Error => {
                        if let Some(error) = error {
                            active.add_error(error);
                        }
                    }
                    _ => {}
                }
                let agent = &mut self.local.agents[slot].1;
                agent.last_updated = agent.last_updated.max(Some(now));
            }
            AgentState::Pending | AgentState::InProgress if is_finished => {}
            AgentState::Pending => {
                self.release_tasks(slot);
                let active = &mut self.active[slot];
                let agent = &mut *self.local.agents[slot].1;
                let AgentStatus { last_updated, .. } = *agent;
                let pending = AgentStatus::clone(&active.activities.pending);
                let before = std::mem::replace(agent, pending);
                agent.keep_usage(before);
                active.set_activity(activity, agent);
                agent.last_updated = last_updated;
                agent.touch(now);
            }
            AgentState::InProgress => {
                self.active[slot].started_at = Some(now);
                self.set_in_progress(slot, activity, now);
            }
            // It has no word to be reported with.
            AgentState::Other => {}
            AgentState::Success => {
                self.release_tasks(slot);
                self.set_ended(slot, activity, None, now);
            }
            AgentState::Error => {
                self.release_tasks(slot);
                self.set_ended(slot, activity, error.map(Box::new), now);
            }
        }
        self.touch(now);
    }

    /// Records a reported call as an attempt, if it failed or is one of several.
    fn note_reported_call(
        &mut self,
        slot: usize,
        outcome: &Outcome,
        usage: Option<&TokenUsage>,
        model: Option<&Arc<str>>,
        now: Timestamp,
    ) {
        let (agent, active) = (&mut *self.local.agents[slot].1, &mut self.active[slot]);
        let began = active.started_at.filter(|_| active.reported_in_progress);
        let started_at = began.unwrap_or(now);
        active.last_end = self.version + 1;
        if active.in_flight == 0 {
            active.started_at = Some(started_at);
        }
        let is_shown = agent.calls == 1
            && active.in_flight == 0
            && *outcome == Outcome::Success
            && active.error.is_none()
            && agent.usage.is(usage);
        if !is_shown {
            let details = CallDetails { usage, ..CallDetails::none(started_at) };
            agent.attempts.push(outcome, &details, model, (now, self.version + 1));
        }
    }

    /// Ends the workflow; `Err` holds the reason for its failure. Only the first end counts:
    /// returns whether this was it.
    pub(crate) fn finish(&mut self, result: Result<(), ErrorMessage>, now: Timestamp) -> bool {
        self.keep_base();
        if self.is_finished() {
            // An explicit end confirms one that was only assumed for idleness.
            self.idle_since = None;
            self.note_end(result, now);
            return false;
        }
        self.local.overall_status = match &result {
            Ok(()) => OverallStatus::Completed,
            Err(_) => OverallStatus::Failed,
        };
        self.local.error = result.err();
        // The start may come from another process, whose clock is ahead.
        self.local.completed_at = Some(now.max(self.local.created_at));
        for slot in 0..self.local.agents.len() {
            self.end_with_workflow(slot, now);
        }
        self.touch(now);
        true
    }

    /// Completes an idle workflow, unless an agent is in progress or none was called. An agent
    /// that waits is no hindrance if it has `waited_enough`. Returns whether it did. A merge
    /// takes this back if the item was updated since.
    pub(crate) fn finish_idle(&mut self, waited_enough: bool, now: Timestamp) -> bool {
        let agents = &self.local.agents;
        let is_over = self.local.overall_status == OverallStatus::Processing
            && agents.iter().all(|(_, agent)| {
                agent.state != AgentState::InProgress
                    || waited_enough && agent.waiting_for.is_some()
            });
        let since = self.local.last_updated;
        let ends = is_over && self.finish(Ok(()), now);
        if ends {
            self.idle_since = Some(since);
        }
        ends
    }

    /// Renews the times of the workflow and of its agents with calls in flight. Returns
    /// whether there is something to write.
    pub(crate) fn heartbeat(&mut self, now: Timestamp) -> bool {
        if self.is_finished() {
            return false;
        }
        self.keep_base();
        for ((_, agent), active) in self.local.agents.iter_mut().zip(&self.active) {
            if active.in_flight > 0 {
                agent.last_updated = agent.last_updated.max(Some(now));
            }
        }
        self.touch(now);
        true
    }

    #[inline]
    pub(super) fn set_in_progress(
        &mut self,
        slot: usize,
        activity: Option<Arc<str>>,
        now: Timestamp,
    ) {
        self.active[slot].begin(&mut self.local.agents[slot].1, activity, now);
        self.local.overall_status.begin();
    }

    pub(super) fn set_ended(
        &mut self,
        slot: usize,
        activity: Option<Arc<str>>,
        error: Option<Box<CallError>>,
        now: Timestamp,
    ) {
        self.local.overall_status.begin();
        self.active[slot].end(&mut self.local.agents[slot].1, activity, error, now);
    }

    #[cold]
    fn set_ended_with_tasks(&mut self, slot: usize, error: Option<Box<CallError>>, now: Timestamp) {
        if error.is_none() {
            self.set_ended_or_waiting(slot, now);
        } else {
            self.release_tasks(slot);
            self.set_ended(slot, None, error, now);
        }
        self.active[slot].is_after_end &= self.local.agents[slot].1.waiting_for.is_some();
    }

    /// Ends an agent that is in progress, as an error: its workflow has ended.
    pub(super) fn end_with_workflow(&mut self, slot: usize, now: Timestamp) {
        let agent = &self.local.agents[slot].1;
        if agent.state != AgentState::InProgress {
            return;
        }
        let error = match agent.waiting_for {
            Some(waiting_for) if self.active[slot].in_flight == 0 => {
                CallError::unfinished(waiting_for, agent.task_id.as_ref())
            }
            _ => CallError::new(
                CallError::WORKFLOW_ENDED,
                "the workflow ended while this agent was in progress",
            ),
        };
        self.release_tasks(slot);
        self.set_ended(slot, None, Some(Box::new(error)), now);
    }

    /// The agent is about to change: its only call so far becomes an attempt, if the agent shows nothing
    /// else.
    #[inline]
    fn note_only_call(&mut self, slot: usize) {
        if self.local.agents[slot].1.calls == 1 {
            let own = self.own_call(slot);
            self.local.agents[slot].1.note_only_call(own);
        }
    }
}

/// The error of a report that gives none.
fn default_error() -> CallError {
    CallError::new(CallError::AGENT, "the agent failed")
}
