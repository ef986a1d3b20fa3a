//! [`ActiveCalls`]: the calls of one agent that are in flight, and what their ends make of it.

use std::sync::Arc;

use crate::status::{Activities, AgentState, AgentStatus, CallError, Outcome, Timestamp};

/// The calls of one agent that are in flight in this process.
#[derive(Debug)]
pub(super) struct ActiveCalls {
    pub(super) activities: Arc<Activities>,
    pub(super) in_flight: u32,
    /// When the first of the calls in flight started.
    pub(super) started_at: Option<Timestamp>,
    /// The version with the end of the last call that ended in this process.
    pub(super) last_end: u64,
    /// The first error among the calls that overlap, or that a call was cancelled, if there is
    /// no other.
    pub(super) error: Option<Box<CallError>>,
    /// A call among those that overlap has succeeded.
    pub(super) has_success: bool,
    /// A call among those in flight, or the one whose task the agent waits for, started after
    /// the workflow had ended.
    pub(super) is_after_end: bool,
    /// The agent was reported to be in progress, and no later event has ended that.
    pub(super) reported_in_progress: bool,
    /// A write of this process has carried calls or tokens of the agent.
    pub(super) is_recorded: bool,
    /// The document is to show the agent's own text for its state, and does not yet. The
    /// text is filled in when the document is read: calls change the state more often than
    /// that, and each change of a shared text is two atomic operations on its count.
    pub(super) activity_is_stale: bool,
}

impl ActiveCalls {
    pub(super) fn none(activities: Arc<Activities>) -> Self {
        Self {
            activities,
            in_flight: 0,
            started_at: None,
            last_end: 0,
            error: None,
            has_success: false,
            is_after_end: false,
            reported_in_progress: false,
            is_recorded: false,
            activity_is_stale: false,
        }
    }

    /// One of the calls that overlap has failed, or is known to have failed.
    pub(super) fn add_error(&mut self, error: CallError) {
        match &mut self.error {
            Some(first) if first.class == CallError::CANCELLED => **first = error,
            Some(_) => {}
            none => *none = Some(Box::new(error)),
        }
    }

    /// The error of the calls that overlapped, now that the last has ended. One that was
    /// cancelled counts only if none succeeded: its caller raced it against another.
    pub(super) fn take_error(&mut self) -> Option<Box<CallError>> {
        let has_success = self.has_success;
        self.error.take_if(|error| !(has_success && error.class == CallError::CANCELLED))
    }

    /// Takes the error out of an outcome that has one.
    #[cold]
    pub(super) fn add_error_of(&mut self, outcome: &mut Outcome) {
        if let Outcome::Error(error) = std::mem::replace(outcome, Outcome::Success) {
            self.add_error(error);
        }
    }

    /// Sets the agent in progress.
    #[inline]
    pub(super) fn begin(
        &mut self,
        agent: &mut AgentStatus,
        activity: Option<Arc<str>>,
        now: Timestamp,
    ) {
        agent.started_at.get_or_insert(now);
        agent.completed_at = None;
        agent.error = None;
        agent.state = AgentState::InProgress;
        agent.wait_no_more();
        self.set_activity(activity, agent);
        agent.touch(now);
    }

    /// Ends the agent.
    #[inline]
    pub(super) fn end(
        &mut self,
        agent: &mut AgentStatus,
        activity: Option<Arc<str>>,
        error: Option<Box<CallError>>,
        now: Timestamp,
    ) {
        let started_at = *agent.started_at.get_or_insert(self.started_at.unwrap_or(now));
        agent.state = if error.is_none() { AgentState::Success } else { AgentState::Error };
        agent.wait_no_more();
        self.set_activity(activity, agent);
        // The start may come from another process, whose clock is ahead.
        agent.completed_at = Some(now.max(started_at));
        agent.error = error;
        agent.touch(now);
    }

    #[cold]
    pub(super) fn end_with_error(&mut self, agent: &mut AgentStatus, now: Timestamp) {
        let error = self.take_error();
        self.end(agent, None, error, now);
    }

    /// Sets the activity of the agent: to this text, or to its own for its state.
    #[inline]
    pub(super) fn set_activity(&mut self, activity: Option<Arc<str>>, agent: &mut AgentStatus) {
        self.activity_is_stale = activity.is_none();
        if let Some(activity) = activity {
            agent.activity = activity;
        }
    }
}
