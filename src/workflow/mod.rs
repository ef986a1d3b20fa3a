//! [`Workflow`]: the handle of one run of an orchestrator.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::agent::{Agent, InvalidName};
use crate::status::{
    AgentReport, ErrorMessage, InvalidSessionId, SessionId, Value, WorkflowStatus,
};
use crate::tracker::{MAX_ATTRIBUTES, Scope, SessionHandle, StatusTracker};

impl StatusTracker {
    /// A workflow of this session id (a text or a [`SessionId`]), not started yet.
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
            correlation_id: None,
            attributes: BTreeMap::new(),
            new_run: false,
        }
    }

    /// Starts a workflow without a handle to it, for callers that keep only its id. It
    /// stays open, and is renewed by the heartbeat for as long as this process lives, until
    /// [`finalize_status`](Self::finalize_status).
    ///
    /// # Errors
    ///
    /// If the session id or an attribute cannot be used, or there is no room for one more
    /// session. Saving is the recorder's, and its failures are not told here.
    pub fn initialize_status(
        &self,
        session_id: impl Into<String>,
        correlation_id: Option<&str>,
        attributes: &[(&str, &str)],
    ) -> Result<(), WorkflowError> {
        let mut workflow = self.workflow(session_id);
        workflow.correlation_id = correlation_id.map(str::to_owned);
        for (name, value) in attributes {
            workflow = workflow.attribute(*name, *value);
        }
        workflow.open()?;
        Ok(())
    }

    /// Sets the state of an agent whose calls pass through no layer.
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
    /// If the session id or the agent's name cannot be used, or there is no room for one
    /// more session, or in the session for one more agent.
    pub fn update_agent_status(
        &self,
        session_id: impl AsRef<str>,
        agent: &str,
        report: AgentReport,
    ) -> Result<(), WorkflowError> {
        let session_id = SessionId::new(session_id)?;
        let agent = self.shared().registry.resolve(&Agent::new(agent))?;
        match self.tracked(&session_id)?.report(agent.agent(), report) {
            true => Ok(()),
            false => Err(WorkflowError::TooManyAgents { name: agent.agent().name().to_owned() }),
        }
    }

    /// Finishes a workflow: `Ok(())` completes it, `Err(&error)` says why it failed. A
    /// workflow that is finished already stays as it is.
    ///
    /// # Errors
    ///
    /// If the session id cannot be used, or there is no room for one more session.
    pub fn finalize_status(
        &self,
        session_id: impl AsRef<str>,
        result: Result<(), &dyn fmt::Display>,
    ) -> Result<(), WorkflowError> {
        let session = self.tracked(&SessionId::new(session_id)?)?;
        session.finish(None, result.map_err(ErrorMessage::new));
        Ok(())
    }

    fn tracked(&self, session: &SessionId) -> Result<SessionHandle, WorkflowError> {
        let session = self
            .shared()
            .session(session)
            .map(|session| SessionHandle::new(self.shared(), session));
        session.ok_or_else(|| match self.shared().handoff.is_closed() {
            true => WorkflowError::ShutDown,
            false => WorkflowError::Full,
        })
    }
}

/// A workflow that is about to start.
#[derive(Clone, Debug)]
#[must_use = "a workflow does nothing until it is started or run"]
pub struct WorkflowBuilder {
    tracker: StatusTracker,
    session_id: String,
    correlation_id: Option<String>,
    attributes: BTreeMap<String, Value>,
    new_run: bool,
}

impl WorkflowBuilder {
    /// The longest text of an attribute, in bytes of UTF-8; of a map, that of all its names
    /// and texts.
    pub const MAX_TEXT_BYTES: usize = 4096;
    /// How many attributes a session may have, whoever sets them. With this and the longest
    /// text an item stays below the 400 KB that a table allows.
    pub const MAX_ATTRIBUTES: usize = MAX_ATTRIBUTES;
    /// How deep maps may be nested in an attribute.
    pub const MAX_DEPTH: usize = 16;

    /// What the workflow is known by elsewhere.
    pub fn correlation_id(mut self, id: impl Into<String>) -> Self {
        self.correlation_id = Some(id.into());
        self
    }

    /// A further attribute of the item, such as `documentId`.
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.attributes.insert(name.into(), value.into());
        self
    }

    /// Begins anew: an item of that session is replaced. Without this it is resumed, and
    /// one that is finished stays finished.
    ///
    /// Calls and workflows of this process that began before no longer count.
    pub fn new_run(mut self) -> Self {
        self.new_run = true;
        self
    }

    /// Starts the workflow.
    ///
    /// # Errors
    ///
    /// If the session id or an attribute cannot be used, or there is no room for one more
    /// session.
    pub fn start(self) -> Result<Workflow, WorkflowError> {
        let tracker = self.tracker.clone();
        let (session, run) = self.open()?;
        let open = Open { session, run, detached: AtomicBool::new(false), tracker };
        Ok(Workflow { open: Arc::new(open) })
    }

    fn open(self) -> Result<(SessionHandle, u64), WorkflowError> {
        let session_id = SessionId::new(&self.session_id)?;
        for (name, value) in &self.attributes {
            check_attribute(&self.tracker, name, value)?;
        }
        check_correlation_id(self.correlation_id.as_deref())?;
        let session = self.tracker.tracked(&session_id)?;
        let run = session
            .open(self.correlation_id, self.attributes, self.new_run)
            .map_err(|attributes| WorkflowError::TooManyAttributes { attributes })?;
        Ok((session, run))
    }

    /// Starts the workflow, runs the future in its [scope](Workflow::scope), and finishes
    /// it by the result: `Ok` completes it, `Err` fails it, and so does a future that
    /// panics or is dropped before its end.
    ///
    /// If the workflow cannot be [started](Self::start) the future runs all the same, and
    /// the first time a warning is logged. Its calls are untracked, in the scope of another
    /// workflow too: they are not that one's.
    ///
    /// # Errors
    ///
    /// That of the future, as it is.
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

/// Whether an item can have this attribute.
pub(crate) fn check_attribute(
    tracker: &StatusTracker,
    name: &str,
    value: &Value,
) -> Result<(), WorkflowError> {
    tracker.shared().registry.check_attribute(name)?;
    check_size(name, size(value, 0))
}

/// Whether an item can have this correlation id.
pub(crate) fn check_correlation_id(id: Option<&str>) -> Result<(), WorkflowError> {
    check_size("correlationId", Some(id.map_or(0, str::len)))
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

/// The bytes of all texts and names in a value; `None` if its maps are nested too deep.
fn size(value: &Value, depth: usize) -> Option<usize> {
    match value {
        Value::String(text) => Some(text.len()),
        Value::Map(_) if depth == WorkflowBuilder::MAX_DEPTH => None,
        Value::Map(map) => map
            .iter()
            // A byte at least, so that there is a limit to how many there are.
            .map(|(name, value)| Some(name.len().max(1) + size(value, depth + 1)?))
            .sum(),
        _ => Some(0),
    }
}

/// A workflow, or a change to one, that cannot be recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WorkflowError {
    /// The session id cannot be used.
    #[error(transparent)]
    SessionId(#[from] InvalidSessionId),
    /// The name of an attribute or an agent cannot be used.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The text of an attribute is too long for an item.
    #[error(
        "the text of `{name}` has {bytes} bytes; at most {max} are kept in an item",
        max = WorkflowBuilder::MAX_TEXT_BYTES
    )]
    TextTooLong {
        /// The attribute.
        name: String,
        /// How long the text is, in bytes.
        bytes: usize,
    },
    /// The maps of an attribute are nested too deep for an item.
    #[error(
        "the maps of `{name}` are nested too deep; at most {max} levels are kept in an item",
        max = WorkflowBuilder::MAX_DEPTH
    )]
    TooDeep {
        /// The attribute.
        name: String,
    },
    /// The session would have too many attributes for an item.
    #[error(
        "the session would have {attributes} attributes; at most {max} are kept in an item: \
         put some together in a map, or leave out what no reader shows",
        max = WorkflowBuilder::MAX_ATTRIBUTES
    )]
    TooManyAttributes {
        /// How many it would have.
        attributes: usize,
    },
    /// The session has no room for one more agent that was not declared.
    #[error(
        "the session has {max} agents or more, and `{name}` was not declared: declare it by \
         `StatusTrackerBuilder::agent`, or name agents by what they do, not by what they work on",
        max = StatusTracker::MAX_AGENTS
    )]
    TooManyAgents {
        /// The agent.
        name: String,
    },
    /// As many sessions as are allowed are live or unsaved.
    #[error(
        "no room for one more session; finish some, see why they are not saved, or raise \
         `StatusTrackerBuilder::max_sessions`"
    )]
    Full,
    /// The tracker was shut down.
    #[error("the tracker was shut down; nothing is recorded any more")]
    ShutDown,
}

/// The handle of one run of an orchestrator.
///
/// A clone is the same workflow. When the last clone is dropped before the workflow was
/// finished, it fails; [`detach`](Self::detach) leaves it open instead.
///
/// ```
/// # use tower_agent_status::{StatusTracker, WorkflowError};
/// # async fn process() -> Result<String, std::io::Error> { Ok(String::new()) }
/// # async fn example(tracker: &StatusTracker) -> Result<(), WorkflowError> {
/// let workflow = tracker.workflow("session-corr_abc123").start()?;
/// match workflow.scope(process()).await {
///     Ok(document_id) => {
///         workflow.set_attribute("documentId", document_id)?;
///         workflow.complete();
///     }
///     Err(error) => workflow.fail(error),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Workflow {
    open: Arc<Open>,
}

/// What the clones of a workflow share; it closes the workflow when the last is gone.
struct Open {
    session: SessionHandle,
    /// The run it belongs to: it does not finish one that was begun after it.
    run: u64,
    detached: AtomicBool,
    /// Keeps the recorder at work as long as there is something to record.
    tracker: StatusTracker,
}

impl Open {
    fn describe(
        &self,
        correlation_id: Option<String>,
        attributes: BTreeMap<String, Value>,
    ) -> Result<(), WorkflowError> {
        self.session
            .describe(self.run, correlation_id, attributes)
            .map_err(|attributes| WorkflowError::TooManyAttributes { attributes })
    }

    fn finish(&self, result: Result<(), ErrorMessage>) {
        self.session.finish(Some(self.run), result);
    }

    /// The workflow has failed, unless it is finished.
    fn abandon(&self) {
        self.session.abandon(self.run, untimely_end());
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if !*self.detached.get_mut() {
            self.abandon();
        }
        self.session.close();
    }
}

/// Why a workflow ended that was not finished.
fn untimely_end() -> &'static str {
    if std::thread::panicking() {
        "the workflow panicked"
    } else {
        "the workflow was dropped before its end"
    }
}

impl Workflow {
    /// The session's id: give it to a request as an extension, or to a spawned task with
    /// [`SessionId::scope`].
    #[must_use]
    pub fn session_id(&self) -> &SessionId {
        self.open.session.id()
    }

    /// The newest state, whether saved yet or not.
    #[must_use]
    pub fn status(&self) -> WorkflowStatus {
        self.open.session.status()
    }

    /// What the workflow is known by elsewhere, where that is learnt only now.
    ///
    /// # Errors
    ///
    /// If the id is too long for an item.
    pub fn set_correlation_id(&self, id: impl Into<String>) -> Result<(), WorkflowError> {
        let id = Some(id.into());
        check_correlation_id(id.as_deref())?;
        self.open.describe(id, BTreeMap::new())
    }

    /// A further attribute of the item, where it is learnt only now.
    ///
    /// # Errors
    ///
    /// If the item cannot have an attribute of that name, or not one more, or the value is
    /// too large.
    pub fn set_attribute(
        &self,
        name: impl Into<String>,
        value: impl Into<Value>,
    ) -> Result<(), WorkflowError> {
        let (name, value) = (name.into(), value.into());
        check_attribute(&self.open.tracker, &name, &value)?;
        self.open.describe(None, BTreeMap::from([(name, value)]))
    }

    /// Makes this the session of every call that `future` makes.
    ///
    /// The scope goes with the future through `join!`, `select!` and `FuturesUnordered`,
    /// and not into a task started with `tokio::spawn`: wrap such a task's future in a
    /// scope of its own.
    pub fn scope<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        self.task_scope().around(future)
    }

    /// The [scope](Self::scope) of its calls, to be entered by hand.
    pub(crate) fn task_scope(&self) -> Scope {
        self.open.session.scope()
    }

    /// Runs the future in the workflow's [scope](Self::scope) and finishes the workflow by
    /// the result: `Ok` completes it, `Err` fails it, and so does a future that panics or
    /// is dropped before its end.
    ///
    /// # Errors
    ///
    /// That of the future, as it is.
    pub async fn run<F, T, E>(self, future: F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
        E: fmt::Display,
    {
        let unfinished = Unfinished(self);
        // Declared after the guard, the future is dropped before it: its calls end as
        // what they are before the workflow ends.
        let result = unfinished.0.scope(future).await;
        match &result {
            Ok(_) => unfinished.0.complete(),
            Err(error) => unfinished.0.fail(error),
        }
        result
    }

    /// Finishes the workflow: it ended well. A workflow that is finished already stays as
    /// it is. Agents that are still in progress end with an error that says so.
    pub fn complete(&self) {
        self.open.finish(Ok(()));
    }

    /// Finishes the workflow: it failed. A workflow that is finished already stays as it
    /// is. Agents that are still in progress end with an error that says so.
    pub fn fail(&self, error: impl fmt::Display) {
        self.open.finish(Err(ErrorMessage::new(error)));
    }

    /// Lets go of the workflow and leaves it open, to be finished by another process or
    /// by [`StatusTracker::finalize_status`]. Once its clones are gone, only its calls in
    /// flight keep it from being taken for stalled.
    pub fn detach(self) {
        self.open.detached.store(true, Ordering::Relaxed);
    }

    /// Whether this tracker records it.
    pub(crate) fn is_of(&self, tracker: &StatusTracker) -> bool {
        Arc::ptr_eq(self.open.tracker.shared(), tracker.shared())
    }

    /// Whether somebody has [let go](Self::detach) of it.
    pub(crate) fn is_detached(&self) -> bool {
        self.open.detached.load(Ordering::Relaxed)
    }

    /// Whether nobody else has a clone, so that nobody else can finish it.
    pub(crate) fn is_last(&self) -> bool {
        Arc::strong_count(&self.open) == 1
    }
}

/// Fails the workflow of a `run` that does not come to its end, whoever holds clones.
struct Unfinished(Workflow);

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.0.open.abandon();
    }
}

impl fmt::Debug for Workflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workflow").field("session_id", self.session_id()).finish_non_exhaustive()
    }
}
