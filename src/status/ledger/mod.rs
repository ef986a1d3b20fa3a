//! [`Ledger`]: one session as this process knows it, and what of it the table still lacks.
//!
//! A change is made here first and written later. Three things are kept apart:
//!
//! - `view`, the document with everything this process knows;
//! - `stored`, the document the table is known to hold;
//! - the calls and tokens the table has not acknowledged yet, tagged with the first write
//!   that carried them.
//!
//! A write replaces `stored` by `view` if the item still has `stored`'s revision. If it has
//! not, somebody wrote in between, or an earlier write of ours was applied though its
//! answer was lost. The item tells which: `writers` holds the number of our last write it
//! has seen. What it has not seen is added to it, and the sum is the new view. So no token
//! is lost and none is counted twice, whatever was lost on the way.

mod merge;
mod saving;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::saving::Proposal;

use super::{
    Activities, AgentReport, AgentState, AgentStatus, CallError, ErrorMessage, Outcome,
    OverallStatus, SessionId, Timestamp, TokenDelta, TokenUsage, Value, WorkflowStatus,
};

/// The class of an agent that was in progress when its workflow ended.
const WORKFLOW_ENDED: &str = "workflow_ended";

/// One session as this process knows it.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// All that is known, but for activities: see [`Live::has_own_text`].
    view: WorkflowStatus,
    /// What is not for the table, in the order of `view.agents`.
    live: Vec<Live>,
    stored: Option<Arc<WorkflowStatus>>,
    /// Not part of any write yet, in the order of `view.agents`.
    pending: Vec<Tally>,
    /// Part of writes that were not acknowledged.
    attempted: Vec<Attempt>,
    new_run: NewRun,
    /// The workflow was ended since it seemed idle, and the table has not acknowledged it:
    /// when it was last heard of.
    idle_since: Option<Timestamp>,
    /// Counts the runs that were begun here.
    run: u64,
    /// The number of the first write.
    first_seq: Option<u64>,
    version: u64,
    saved_version: u64,
}

/// The calls of one agent that this process has in flight.
#[derive(Debug)]
struct Live {
    activities: Arc<Activities>,
    in_flight: u32,
    /// When the calls in flight began.
    started_at: Option<Timestamp>,
    /// The first failure among the calls that overlap.
    failed: Option<CallError>,
    /// The agent was reported to be in progress, and nothing else since.
    by_hand: bool,
    /// The activity is the agent's own text for its state. It is put into the view when
    /// somebody looks: calls change it more often than that, and each change of a shared
    /// text is two operations that processors share.
    has_own_text: bool,
}

impl Live {
    fn idle(activities: Arc<Activities>) -> Self {
        Self {
            activities,
            in_flight: 0,
            started_at: None,
            failed: None,
            by_hand: false,
            has_own_text: false,
        }
    }

    /// Shows this activity, or else the agent's own for its state.
    fn show(&mut self, activity: Option<Arc<str>>, agent: &mut AgentStatus) {
        self.has_own_text = activity.is_none();
        if let Some(activity) = activity {
            agent.activity = activity;
        }
    }
}

/// What one agent adds to the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    calls: u64,
    tokens: TokenDelta,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.calls = self.calls.saturating_add(other.calls);
        // Most calls tell their tokens at their end, if at all.
        if !other.tokens.is_empty() {
            self.tokens.add(&other.tokens);
        }
    }
}

#[derive(Debug)]
struct Attempt {
    seq: u64,
    tallies: Vec<Tally>,
}

/// Whether the item in the table is of an earlier run and to be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NewRun {
    /// The item in the table, if any, is of this run.
    No,
    /// Nothing of the new run was written yet.
    Unwritten,
    /// This was the first write of the new run; it may have been applied.
    Since(u64),
}

impl Ledger {
    pub(crate) fn new(session_id: SessionId, now: Timestamp) -> Self {
        Self {
            view: WorkflowStatus::new(session_id, now),
            live: Vec::new(),
            stored: None,
            pending: Vec::new(),
            attempted: Vec::new(),
            new_run: NewRun::No,
            idle_since: None,
            run: 0,
            first_seq: None,
            version: 0,
            saved_version: 0,
        }
    }

    /// The document with everything this process knows.
    pub(crate) fn view(&mut self) -> &WorkflowStatus {
        self.put_in_texts();
        &self.view
    }

    fn put_in_texts(&mut self) {
        for ((_, agent), live) in self.view.agents.iter_mut().zip(&mut self.live) {
            if std::mem::take(&mut live.has_own_text) {
                agent.activity = Arc::clone(live.activities.of(agent.state));
            }
        }
    }

    /// When any of it last changed, or the workflow was last known alive.
    pub(crate) fn last_updated(&self) -> Timestamp {
        self.view.last_updated
    }

    /// Whether there is an agent of that name.
    pub(crate) fn has_agent(&self, name: &str) -> bool {
        self.view.agent(name).is_some()
    }

    /// The table has, or had, everything up to this version.
    pub(crate) fn saved_version(&self) -> u64 {
        self.saved_version
    }

    /// Counts the changes.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Whether the table lacks something.
    pub(crate) fn is_dirty(&self) -> bool {
        self.version != self.saved_version
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.view.overall_status.is_finished()
    }

    /// Whether an agent is at work here: a call is in flight, or somebody said so by hand.
    pub(crate) fn is_at_work(&self) -> bool {
        let mut agents = self.view.agents.iter().zip(&self.live);
        agents.any(|((_, agent), live)| {
            live.in_flight > 0 || live.by_hand && agent.state == AgentState::InProgress
        })
    }

    /// The place of an agent; an unknown one is added as pending, which is not a change
    /// that has to be written for its own sake.
    #[inline]
    pub(crate) fn slot(&mut self, name: &Arc<str>, activities: &Arc<Activities>) -> usize {
        let known = self
            .view
            .agents
            .iter()
            // The same text is nearly always the same allocation.
            .position(|(known, _)| Arc::ptr_eq(known, name) || known == name);
        match known {
            Some(slot) => {
                // An agent first seen in the table has no texts of its own.
                if !Arc::ptr_eq(&self.live[slot].activities, activities) {
                    self.put_in_texts();
                    self.live[slot].activities = Arc::clone(activities);
                }
                slot
            }
            None => {
                let pending = AgentStatus::pending(Arc::clone(&activities.pending));
                self.add_agent(Arc::clone(name), pending, Arc::clone(activities))
            }
        }
    }

    fn add_agent(
        &mut self,
        name: Arc<str>,
        agent: AgentStatus,
        activities: Arc<Activities>,
    ) -> usize {
        self.view.agents.push((name, agent));
        self.live.push(Live::idle(activities));
        self.pending.push(Tally::default());
        self.view.agents.len() - 1
    }

    /// How many agents there are.
    pub(crate) fn agents(&self) -> usize {
        self.view.agents.len()
    }

    /// How many attributes there are with these.
    pub(crate) fn attributes_with(&self, more: &BTreeMap<String, Value>) -> usize {
        let known = &self.view.attributes;
        known.len() + more.keys().filter(|name| !known.contains_key(*name)).count()
    }

    /// Sets what the workflow is known by.
    pub(crate) fn describe(
        &mut self,
        correlation_id: Option<String>,
        attributes: BTreeMap<String, Value>,
        now: Timestamp,
    ) {
        if correlation_id.is_some() {
            self.view.correlation_id = correlation_id;
        }
        self.view.attributes.extend(attributes);
        self.changed(now);
    }

    /// Which run this is, of those that were begun here. A call, and the handle of a
    /// workflow, belong to the one in which they began.
    pub(crate) fn run(&self) -> u64 {
        self.run
    }

    /// Begins the workflow anew, with no agents: the item of an earlier run is replaced by
    /// the next write.
    pub(crate) fn begin_new_run(&mut self, now: Timestamp) {
        let view = WorkflowStatus::new(self.view.session_id.clone(), now);
        let before = std::mem::replace(&mut self.view, view);
        if self.first_seq.is_some() {
            self.comes_after(&before);
        }
        self.run += 1;
        self.live.clear();
        self.pending.clear();
        self.attempted.clear();
        self.idle_since = None;
        self.new_run = NewRun::Unwritten;
        self.version += 1;
    }

    /// Makes the times of this run later than those of the run before. When a run was
    /// created tells it from others, and clocks differ.
    fn comes_after(&mut self, before: &WorkflowStatus) {
        let after = before.created_at.saturating_add(Duration::from_millis(1));
        self.view.created_at = self.view.created_at.max(after);
        let last = self.view.last_updated.max(before.last_updated);
        self.view.last_updated = last.max(self.view.created_at);
    }

    /// A call of an agent starts. Whether there is something new to write.
    #[inline]
    pub(crate) fn started(&mut self, slot: usize, now: Timestamp) -> bool {
        let live = &mut self.live[slot];
        live.in_flight += 1;
        if live.in_flight == 1 {
            live.failed = None;
            live.started_at = Some(now);
        }
        // A finished workflow is not reopened; what comes of the call is told at its end.
        if self.is_finished() || self.view.agents[slot].1.state == AgentState::InProgress {
            return false;
        }
        self.show_in_progress(slot, None, now);
        self.changed(now);
        true
    }

    #[inline]
    fn show_in_progress(&mut self, slot: usize, activity: Option<Arc<str>>, now: Timestamp) {
        let agent = &mut self.view.agents[slot].1;
        agent.started_at.get_or_insert(now);
        agent.completed_at = None;
        agent.error = None;
        agent.state = AgentState::InProgress;
        self.live[slot].show(activity, agent);
        agent.last_updated = agent.last_updated.max(Some(now));
        if self.view.overall_status == OverallStatus::Initializing {
            self.view.overall_status = OverallStatus::Processing;
        }
    }

    #[inline]
    fn show_ended(
        &mut self,
        slot: usize,
        activity: Option<Arc<str>>,
        error: Option<CallError>,
        now: Timestamp,
    ) {
        if self.view.overall_status == OverallStatus::Initializing {
            self.view.overall_status = OverallStatus::Processing;
        }
        let live = &mut self.live[slot];
        let agent = &mut self.view.agents[slot].1;
        let started_at = *agent.started_at.get_or_insert(live.started_at.unwrap_or(now));
        agent.state = if error.is_none() { AgentState::Success } else { AgentState::Error };
        live.show(activity, agent);
        // Two clocks may have told the two times.
        agent.completed_at = Some(now.max(started_at));
        agent.error = error;
        agent.last_updated = agent.last_updated.max(Some(now));
    }

    /// A call that is in flight has used tokens.
    pub(crate) fn progressed(&mut self, slot: usize, tokens: TokenDelta, now: Timestamp) {
        self.add_tally(slot, Tally { calls: 0, tokens });
        let agent = &mut self.view.agents[slot].1;
        // Of a call that came after its workflow's end nothing is shown until it ends, and
        // the agent's state is no newer for it.
        if agent.state == AgentState::InProgress {
            agent.last_updated = agent.last_updated.max(Some(now));
        }
        self.changed(now);
    }

    /// A call ended, and has used these tokens since they were last told.
    #[inline]
    pub(crate) fn ended(
        &mut self,
        slot: usize,
        outcome: Outcome,
        tokens: Option<TokenDelta>,
        now: Timestamp,
    ) {
        match tokens {
            Some(tokens) => self.add_tally(slot, Tally { calls: 1, tokens }),
            // Nothing to add up, as of most calls.
            None => {
                for calls in [&mut self.pending[slot].calls, &mut self.view.agents[slot].1.calls] {
                    *calls = calls.saturating_add(1);
                }
            }
        }
        let live = &mut self.live[slot];
        live.in_flight = live.in_flight.saturating_sub(1);
        live.by_hand = false;
        if let Outcome::Error(error) = outcome {
            live.failed.get_or_insert(error);
        }
        if live.in_flight == 0 {
            let failed = live.failed.take();
            self.show_ended(slot, None, failed, now);
        }
        self.changed(now);
    }

    /// Sets the state of an agent whose calls pass through no layer.
    pub(crate) fn report(&mut self, slot: usize, report: AgentReport, now: Timestamp) {
        let AgentReport { state, activity, token_usage, error } = report;
        let tokens = token_usage.unwrap_or_default().delta_from(&TokenUsage::default());
        let ends = matches!(state, AgentState::Success | AgentState::Error);
        self.add_tally(slot, Tally { calls: u64::from(ends), tokens });
        let is_finished = self.is_finished();
        let live = &mut self.live[slot];
        live.by_hand = state == AgentState::InProgress && live.in_flight == 0 && !is_finished;
        match state {
            // While any call is in flight its agent is in progress. The report counts as
            // one more of those that overlap.
            _ if live.in_flight > 0 && !is_finished => {
                if state == AgentState::Error {
                    live.failed.get_or_insert(error.unwrap_or_else(unexplained));
                }
                let agent = &mut self.view.agents[slot].1;
                agent.last_updated = agent.last_updated.max(Some(now));
            }
            AgentState::Pending | AgentState::InProgress if is_finished => {}
            AgentState::Pending => {
                let live = &mut self.live[slot];
                let agent = &mut self.view.agents[slot].1;
                let AgentStatus { token_usage, calls, last_updated, .. } = *agent;
                let text = Arc::clone(&live.activities.pending);
                *agent = AgentStatus { token_usage, calls, ..AgentStatus::pending(text) };
                live.show(activity, agent);
                agent.last_updated = last_updated.max(Some(now));
            }
            AgentState::InProgress => self.show_in_progress(slot, activity, now),
            AgentState::Success => self.show_ended(slot, activity, None, now),
            AgentState::Error => {
                let error = error.unwrap_or_else(unexplained);
                self.show_ended(slot, activity, Some(error), now);
            }
        }
        self.changed(now);
    }

    fn add_tally(&mut self, slot: usize, tally: Tally) {
        self.pending[slot].add(&tally);
        let agent = &mut self.view.agents[slot].1;
        agent.calls = agent.calls.saturating_add(tally.calls);
        add_tokens(&mut agent.token_usage, &tally.tokens);
    }

    /// The workflow ends: `Err` says why it failed. The first end counts; whether this
    /// was it.
    pub(crate) fn finish(&mut self, result: Result<(), ErrorMessage>, now: Timestamp) -> bool {
        if self.is_finished() {
            // Whoever knows the end says so now.
            self.idle_since = None;
            return false;
        }
        self.view.overall_status = match &result {
            Ok(()) => OverallStatus::Completed,
            Err(_) => OverallStatus::Failed,
        };
        self.view.error = result.err();
        self.end_agents_in_progress(now);
        self.changed(now);
        true
    }

    /// Completes a workflow that seems to be over, since nothing was heard of it. Whether
    /// that was its end. It is taken back if the table has heard of it since.
    pub(crate) fn finish_idle(&mut self, now: Timestamp) -> bool {
        let agents = &self.view.agents;
        let is_over = self.view.overall_status == OverallStatus::Processing
            && agents.iter().all(|(_, agent)| agent.state != AgentState::InProgress);
        let since = self.view.last_updated;
        let ends = is_over && self.finish(Ok(()), now);
        if ends {
            self.idle_since = Some(since);
        }
        ends
    }

    fn end_agents_in_progress(&mut self, now: Timestamp) {
        for slot in 0..self.view.agents.len() {
            if self.view.agents[slot].1.state == AgentState::InProgress {
                let error = CallError::new(
                    WORKFLOW_ENDED,
                    "the workflow ended while this agent was in progress",
                );
                self.show_ended(slot, None, Some(error), now);
            }
        }
    }

    /// Says that the workflow and its running agents are alive. Whether there is
    /// something new to write.
    pub(crate) fn heartbeat(&mut self, now: Timestamp) -> bool {
        if self.is_finished() {
            return false;
        }
        for ((_, agent), live) in self.view.agents.iter_mut().zip(&self.live) {
            if live.in_flight > 0 {
                agent.last_updated = agent.last_updated.max(Some(now));
            }
        }
        self.changed(now);
        true
    }

    fn changed(&mut self, now: Timestamp) {
        self.view.last_updated = self.view.last_updated.max(now);
        self.version += 1;
    }
}

fn unexplained() -> CallError {
    CallError::new("agent", "the agent failed")
}

fn add_tokens(usage: &mut Option<TokenUsage>, delta: &TokenDelta) {
    if !delta.is_empty() {
        usage.get_or_insert_default().add(delta);
    }
}

#[cfg(test)]
mod tests;
