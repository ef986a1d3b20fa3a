//! [`WorkflowBuilder`], and what [`StatusTracker`] does for workflows without a handle.

use std::fmt;
use std::time::Duration;

use super::{Workflow, WorkflowError};
use crate::agent::Agent;
use crate::status::{AgentReport, Cost, ErrorMessage, SessionId, Value};
use crate::tracker::{
    Description, MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTES, NewRunPolicy, Scope, SessionHandle,
    StatusTracker,
};

impl StatusTracker {
    /// Configures a workflow with this session id, a string or a [`SessionId`].
    ///
    /// ```no_run
    /// # async fn example(tracker: tower_agent_status::StatusTracker) -> Result<(), std::io::Error> {
    /// # async fn process() -> Result<(), std::io::Error> { Ok(()) }
    /// tracker
    ///     .workflow("session-corr_abc123")
    ///     .correlation_id("corr_abc123")
    ///     .attribute("documentId", "FAB_26933659")
    ///     .run(process())
    ///     .await
    /// # }
    /// ```
    pub fn workflow(&self, session_id: impl Into<String>) -> WorkflowBuilder {
        WorkflowBuilder {
            tracker: self.clone(),
            session_id: session_id.into(),
            description: Description::default(),
            budget_usd: None,
        }
    }

    /// Starts a workflow without a handle, for callers that only have its session id.
    ///
    /// It stays open, with heartbeats for as long as this process lives, until
    /// [`finalize_status`](Self::finalize_status) finishes it.
    ///
    /// ```
    /// # use tower_agent_status::{StatusTracker, WorkflowError};
    /// # fn example(tracker: &StatusTracker) -> Result<(), WorkflowError> {
    /// let attributes = [("documentId", "FAB_26933659".into()), ("pages", 12.into())];
    /// tracker.initialize_status("session-corr_abc123", Some("corr_abc123"), &attributes)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If the session id or an attribute is invalid, or there is no room for another session.
    /// Failures to save are not reported here; see [`flush`](Self::flush).
    pub fn initialize_status(
        &self,
        session_id: impl Into<String>,
        correlation_id: Option<&str>,
        attributes: &[(&str, Value)],
    ) -> Result<(), WorkflowError> {
        let mut workflow = self.workflow(session_id);
        workflow.description.correlation_id = correlation_id.map(str::to_owned);
        for (name, value) in attributes {
            workflow = workflow.attribute(*name, value.clone());
        }
        workflow.open()?;
        Ok(())
    }

    /// Sets the state of an agent whose calls do not pass through a layer.
    ///
    /// ```
    /// use tower_agent_status::status::{AgentReport, AgentState, TokenUsage};
    /// # use tower_agent_status::{StatusTracker, WorkflowError};
    ///
    /// # fn example(tracker: &StatusTracker) -> Result<(), WorkflowError> {
    /// let report = AgentReport::new(AgentState::Success)
    ///     .activity("8 trades found")
    ///     .token_usage(TokenUsage::new(1_200, 340));
    /// tracker.update_agent_status("session-corr_abc123", "tradeExtraction", report)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If the session id or the agent's name is invalid, or there is no room for another
    /// session, or in the session for another agent.
    pub fn update_agent_status(
        &self,
        session_id: impl AsRef<str>,
        agent: &str,
        report: AgentReport,
    ) -> Result<(), WorkflowError> {
        let session_id = SessionId::new(session_id)?;
        let agent = self.shared().registry.resolve(&Agent::new(agent))?;
        match self.session_handle(&session_id)?.report(agent.agent(), report) {
            true => Ok(()),
            false => Err(WorkflowError::TooManyAgents { name: agent.agent().name().to_owned() }),
        }
    }

    /// Finishes a workflow: `Ok(())` completes it, and `Err(&error)` fails it. A workflow that is
    /// already finished stays as it is.
    ///
    /// # Errors
    ///
    /// If the session id is invalid, or there is no room for another session.
    pub fn finalize_status(
        &self,
        session_id: impl AsRef<str>,
        result: Result<(), &dyn fmt::Display>,
    ) -> Result<(), WorkflowError> {
        let session = self.session_handle(&SessionId::new(session_id)?)?;
        session.finish(None, result.map_err(ErrorMessage::new));
        Ok(())
    }

    fn session_handle(&self, session: &SessionId) -> Result<SessionHandle, WorkflowError> {
        let session = self
            .shared()
            .session(session)
            .map(|session| SessionHandle::new(self.shared(), session));
        session.ok_or_else(|| match self.shared().has_ended() {
            true => WorkflowError::ShutDown,
            false => WorkflowError::Full,
        })
    }
}

/// Configures a workflow before it starts.
#[derive(Clone, Debug)]
#[must_use = "a workflow does nothing until it is started or run"]
pub struct WorkflowBuilder {
    tracker: StatusTracker,
    session_id: String,
    description: Description,
    budget_usd: Option<f64>,
}

impl WorkflowBuilder {
    /// The longest text of an attribute, in bytes of UTF-8. For a map, this is the sum over all
    /// its names and texts.
    pub const MAX_TEXT_BYTES: usize = 4096;
    /// How many attributes a session can have, over all writers.
    pub const MAX_ATTRIBUTES: usize = MAX_ATTRIBUTES;
    /// How many bytes the attributes of a session can have together, names and numbers included:
    /// 96 KiB. With that and [as many agents as there is room for](StatusTracker::MAX_AGENTS), an
    /// item stays below the 400 KB that DynamoDB allows.
    pub const MAX_ATTRIBUTE_BYTES: usize = MAX_ATTRIBUTE_BYTES;
    /// How deep the maps of an attribute can be nested.
    pub const MAX_DEPTH: usize = 16;

    /// Sets the correlation id, by which other systems know the workflow.
    pub fn correlation_id(mut self, id: impl Into<String>) -> Self {
        self.description.correlation_id = Some(id.into());
        self
    }

    /// Sets an attribute of the item, such as `documentId`.
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.description.attributes.insert(name.into(), value.into());
        self
    }

    /// Sets how long the item is kept after its creation, from one minute to 30 years; anything
    /// beyond counts as the nearest of the two. The default is the
    /// [tracker's](crate::StatusTrackerBuilder::retention).
    ///
    /// It holds for a session that is resumed, too, and over what other processes have set before:
    /// the last to say so decides. The table deletes the item only if it has time to live.
    pub fn retention(mut self, retention: Duration) -> Self {
        self.description.retention = Some(retention);
        self
    }

    /// Starts a new run: an existing item of the session is replaced, and
    /// [`previous_run`](crate::status::WorkflowStatus::previous_run) has what is kept of it.
    ///
    /// Without this the session is resumed. A finished session then stays finished: the calls are
    /// recorded, the end of this workflow is not, and the first time a warning is logged.
    ///
    /// Earlier calls and workflows of this process in the session are no longer recorded.
    pub fn new_run(mut self) -> Self {
        self.description.new_run = NewRunPolicy::Always;
        self
    }

    /// Starts a new run, like [`new_run`](Self::new_run), if the session has been finished for at least
    /// this long; otherwise the session is resumed. Use it where a message may be delivered twice: the
    /// second delivery then joins the run that the first has just finished.
    ///
    /// If the session is not in memory, its item decides, with the first write. While this process
    /// has another workflow open in the session, or a call in flight, no new run begins. Of two
    /// processes that begin one at the same time, the second joins the first.
    pub fn new_run_after(mut self, finished_for: Duration) -> Self {
        self.description.new_run = NewRunPolicy::After(finished_for);
        self
    }

    /// Sets the limit on the total cost of the workflow's calls, in US dollars, by the price list of the
    /// tracker. Without one, or without the feature `prices`, no cost is known, and it is never exceeded.
    ///
    /// A workflow that exceeds it continues: no call is refused. A warning is logged, the metric
    /// `agent_status.budget.exceeded` is incremented, and the item records the time, each once.
    pub fn budget_usd(mut self, usd: f64) -> Self {
        self.budget_usd = Some(usd);
        self
    }

    /// Sets the limit on the total tokens of the workflow's agents. A workflow that exceeds it continues,
    /// as with [`budget_usd`](Self::budget_usd).
    pub fn budget_tokens(mut self, tokens: u64) -> Self {
        self.description.budget.get_or_insert_default().tokens = Some(tokens);
        self
    }

    /// Sets the id of the distributed trace that the workflow belongs to: 32 lower-case hexadecimal
    /// digits that are not all zero. Any other text is ignored.
    pub fn trace_id(mut self, id: &str) -> Self {
        if is_trace_id(id) {
            self.description.trace_id = Some(id.into());
        }
        self
    }

    /// Starts the workflow.
    ///
    /// # Errors
    ///
    /// If the session id, an attribute or the budget is invalid, or there is no room for another session.
    pub fn start(self) -> Result<Workflow, WorkflowError> {
        let tracker = self.tracker.clone();
        let (session, run) = self.open()?;
        Ok(Workflow::new(tracker, session, run))
    }

    fn open(self) -> Result<(SessionHandle, u64), WorkflowError> {
        let session_id = SessionId::new(&self.session_id)?;
        let mut description = self.description;
        for (name, value) in &description.attributes {
            check_attribute(&self.tracker, name, value)?;
        }
        check_correlation_id(description.correlation_id.as_deref())?;
        if let Some(usd) = self.budget_usd {
            let cost = Cost::from_f64(usd)
                .map_err(|why| WorkflowError::Budget { usd: usd.to_string(), why })?;
            description.budget.get_or_insert_default().usd = Some(cost);
        }
        let session = self.tracker.session_handle(&session_id)?;
        let run = session.open(description)?;
        Ok((session, run))
    }

    /// Starts the workflow, runs a future in its [scope](Workflow::scope), and finishes the
    /// workflow with the result: `Ok` completes it and `Err` fails it. A future that panics, or is
    /// dropped before its end, fails it too.
    ///
    /// If `run` cannot [start](Self::start) the workflow, the future runs all the same and its
    /// calls go untracked, even inside another scope. The first time, a warning is logged.
    ///
    /// # Errors
    ///
    /// Returns the future's own error.
    pub async fn run<F, T, E>(self, future: F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
        E: fmt::Display,
    {
        let tracker = self.tracker.clone();
        match self.start() {
            Ok(workflow) => workflow.run(future).await,
            Err(error) => {
                tracker.shared().warnings.workflow.warn(&error, "workflow not tracked");
                Scope::outside(future).await
            }
        }
    }
}

/// Checks that an item can have this attribute.
pub(crate) fn check_attribute(
    tracker: &StatusTracker,
    name: &str,
    value: &Value,
) -> Result<(), WorkflowError> {
    tracker.shared().registry.check_attribute(name)?;
    check_size(name, size(value, 0))
}

/// Checks that an item can have this correlation id.
pub(crate) fn check_correlation_id(id: Option<&str>) -> Result<(), WorkflowError> {
    check_size("correlationId", Some(id.map_or(0, str::len)))
}

/// Whether this is a valid trace id of W3C Trace Context.
fn is_trace_id(id: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    id.len() == 32 && id.bytes().all(is_digit) && id.bytes().any(|byte| byte != b'0')
}

fn check_size(name: &str, bytes: Option<usize>) -> Result<(), WorkflowError> {
    let name = || name.to_owned();
    match bytes {
        None => Err(WorkflowError::TooDeep { name: name() }),
        Some(bytes) if bytes > WorkflowBuilder::MAX_TEXT_BYTES => {
            Err(WorkflowError::TextTooLong { name: name(), bytes })
        }
        Some(_) => Ok(()),
    }
}

/// The bytes of all texts and names in a value; `None` if its maps and lists are nested too deep.
fn size(value: &Value, depth: usize) -> Option<usize> {
    match value {
        Value::String(text) => Some(text.len()),
        Value::Map(_) | Value::List(_) if depth == WorkflowBuilder::MAX_DEPTH => None,
        Value::Map(map) => map
            .iter()
            // At least one byte each, so that their number is limited, too.
            .map(|(name, value)| Some(name.len().max(1) + size(value, depth + 1)?))
            .sum(),
        Value::List(list) => list.iter().map(|value| Some(1 + size(value, depth + 1)?)).sum(),
        // Numbers count with `MAX_ATTRIBUTE_BYTES`.
        _ => Some(0),
    }
}
