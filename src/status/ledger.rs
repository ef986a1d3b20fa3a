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

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{
    Activities, AgentReport, AgentState, AgentStatus, CallError, Change, ErrorMessage, Expected,
    Item, Outcome, OverallStatus, Timestamp, TokenDelta, TokenUsage, Value, WorkflowStatus,
};

/// How many writers an item remembers; the longest silent are forgotten first.
const WRITERS_KEPT: usize = 32;

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

/// One write, from its making to its answer.
#[derive(Debug)]
pub(crate) struct Proposal {
    pub(crate) expected: Expected,
    next: Arc<WorkflowStatus>,
    stored: Option<Arc<WorkflowStatus>>,
    seq: u64,
    version: u64,
}

impl Proposal {
    /// What is to be written; `None` if the table has it all. This takes longer than the
    /// making of the proposal, and needs the ledger no more.
    pub(crate) fn change(&self) -> Option<Change> {
        self.next.change_from(self.stored.as_deref())
    }
}

impl Ledger {
    pub(crate) fn new(session_id: Arc<str>, now: Timestamp) -> Self {
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
        let view = WorkflowStatus::new(Arc::clone(&self.view.session_id), now);
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
        let after = before.created_at.plus(Duration::from_millis(1));
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
        let tokens = token_usage.unwrap_or_default().since(&TokenUsage::default());
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

    /// The write that brings the table up to date, if it lacks anything.
    ///
    /// Each proposal is answered by one of [`applied`](Self::applied),
    /// [`conflicted`](Self::conflicted), [`failed`](Self::failed) and
    /// [`needless`](Self::needless) before the next.
    ///
    /// `seq` numbers the writes of this writer over all its sessions, and over all the
    /// ledgers that it has had for one session, each higher than the one before. It is
    /// taken from the clock, so that it also tells how long a writer has been silent.
    pub(crate) fn propose(&mut self, writer: &str, seq: u64) -> Option<Proposal> {
        if !self.is_dirty() {
            return None;
        }
        let mut next = self.view().clone();
        let stored = self.stored.as_deref();
        next.revision = stored.map_or(0, |stored| stored.revision).saturating_add(1);
        next.writers = stored.map_or_else(BTreeMap::new, |stored| stored.writers.clone());
        next.writers.insert(writer.to_owned(), seq);
        while next.writers.len() > WRITERS_KEPT {
            // Never this one, whose clock may be behind: its next conflict asks for it.
            let others = next.writers.iter().filter(|(id, _)| id.as_str() != writer);
            let oldest = others.min_by_key(|(_, seq)| **seq);
            let Some(oldest) = oldest.map(|(id, _)| id.clone()) else { break };
            next.writers.remove(&oldest);
        }
        let expected = match stored.map(|stored| stored.revision) {
            None => Expected::Absent,
            Some(0) => Expected::Unrevised,
            Some(revision) => Expected::Revision(revision),
        };
        self.first_seq.get_or_insert(seq);
        if self.new_run == NewRun::Unwritten {
            self.new_run = NewRun::Since(seq);
        }
        if self.pending.iter().any(|tally| *tally != Tally::default()) {
            let none = vec![Tally::default(); self.pending.len()];
            let tallies = std::mem::replace(&mut self.pending, none);
            self.attempted.push(Attempt { seq, tallies });
        }
        Some(Proposal {
            expected,
            next: Arc::new(next),
            stored: self.stored.clone(),
            seq,
            version: self.version,
        })
    }

    /// The proposal changes nothing, and was not written.
    pub(crate) fn needless(&mut self, proposal: &Proposal) {
        self.failed(proposal, false);
        self.saved_version = proposal.version;
        self.idle_since = None;
    }

    /// The write was applied.
    pub(crate) fn applied(&mut self, proposal: Proposal) {
        self.attempted.clear();
        // A new run may have begun while the write was under way.
        if self.new_run != NewRun::Unwritten {
            self.new_run = NewRun::No;
        }
        self.idle_since = None;
        self.stored = Some(proposal.next);
        self.saved_version = proposal.version;
    }

    /// The write failed.
    pub(crate) fn failed(&mut self, proposal: &Proposal, may_have_been_applied: bool) {
        if may_have_been_applied {
            return;
        }
        // Nobody has seen this write, so what it carried belongs to the next one.
        if let Some(attempt) = self.attempted.pop_if(|attempt| attempt.seq == proposal.seq) {
            for (pending, tally) in self.pending.iter_mut().zip(&attempt.tallies) {
                pending.add(tally);
            }
        }
        if self.new_run == NewRun::Since(proposal.seq) {
            self.new_run = NewRun::Unwritten;
        }
    }

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
        let mut view = WorkflowStatus::new(Arc::clone(&self.view.session_id), found.created_at);
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
