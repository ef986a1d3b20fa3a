//! [`Workflow`]: the handle of one run of an orchestrator.

mod builder;
mod error;
mod task_scope;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::status::{CallError, ErrorMessage, SessionId, Value, WorkflowStatus};
use crate::telemetry::WorkflowTelemetry;
use crate::tracker::{SessionHandle, StatusTracker};

pub use self::builder::WorkflowBuilder;
pub(crate) use self::builder::{check_attribute, check_correlation_id};
pub use self::error::WorkflowError;
pub(crate) use self::task_scope::TaskScope;

/// The handle of one run of an orchestrator.
///
/// Clones share the same workflow. If the last clone is dropped before the workflow is finished,
/// the workflow fails; [`detach`](Self::detach) leaves it open instead.
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

/// What the clones of a workflow share. Dropping the last closes the workflow.
struct Open {
    session: SessionHandle,
    /// The run that the workflow belongs to: it does not finish one that began later.
    run: u64,
    detached: AtomicBool,
    telemetry: WorkflowTelemetry,
    /// Keeps the recorder running as long as there may be something to record.
    tracker: StatusTracker,
}

impl Open {
    fn describe(
        &self,
        correlation_id: Option<String>,
        attributes: BTreeMap<String, Value>,
    ) -> Result<(), WorkflowError> {
        self.session.describe(self.run, correlation_id, attributes).map_err(WorkflowError::from)
    }

    fn complete(&self) {
        self.session.finish(Some(self.run), Ok(()));
        self.telemetry.finish(None);
    }

    fn fail(&self, class: &str, error: &ErrorMessage) {
        self.session.finish(Some(self.run), Err(error.clone()));
        self.telemetry.finish(Some((class, &error.as_str())));
    }

    /// Fails the workflow, unless it is finished.
    fn abandon(&self) {
        let (class, why) = if std::thread::panicking() {
            (CallError::PANIC, "the workflow panicked")
        } else {
            (CallError::CANCELLED, "the workflow was dropped before its end")
        };
        self.session.abandon(self.run, why);
        self.telemetry.finish(Some((class, &why)));
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

impl Workflow {
    fn new(tracker: StatusTracker, session: SessionHandle, run: u64) -> Self {
        let detached = AtomicBool::new(false);
        let mut open = Open { session, run, detached, telemetry: Default::default(), tracker };
        // A subscriber may panic. The workflow is then dropped, which ends it.
        let level = open.tracker.shared().span_level();
        open.telemetry = WorkflowTelemetry::start(level, open.session.id());
        Self { open: Arc::new(open) }
    }

    /// The session id. Insert it into a request's extensions, or give its scope to a spawned task
    /// with [`SessionId::scope`].
    #[must_use]
    pub fn session_id(&self) -> &SessionId {
        self.open.session.id()
    }

    /// The newest state, whether it is saved yet or not.
    #[must_use]
    pub fn status(&self) -> WorkflowStatus {
        self.open.session.status()
    }

    /// Sets the correlation id after the start.
    ///
    /// # Errors
    ///
    /// If the id is too long for an item.
    pub fn set_correlation_id(&self, id: impl Into<String>) -> Result<(), WorkflowError> {
        let id = Some(id.into());
        check_correlation_id(id.as_deref())?;
        self.open.describe(id, BTreeMap::new())
    }

    /// Sets an attribute of the item after the start.
    ///
    /// # Errors
    ///
    /// If no item can have an attribute of that name, if this one has too many already, or if
    /// the value is too large.
    pub fn set_attribute(
        &self,
        name: impl Into<String>,
        value: impl Into<Value>,
    ) -> Result<(), WorkflowError> {
        let (name, value) = (name.into(), value.into());
        check_attribute(&self.open.tracker, &name, &value)?;
        self.open.describe(None, BTreeMap::from([(name, value)]))
    }

    /// Runs a future in the workflow's scope: every call that it makes belongs to this session.
    ///
    /// The scope is a task-local. It reaches through `join!`, `select!` and `FuturesUnordered`,
    /// but not into a task started with `tokio::spawn`: give such a task's future a scope of its
    /// own.
    pub fn scope<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        self.task_scope().around(future)
    }

    /// The [scope](Self::scope), for futures and bodies that are polled one by one.
    pub(crate) fn task_scope(&self) -> TaskScope {
        TaskScope::new(self.open.session.scope(), self.open.telemetry.span())
    }

    /// Runs a future in the workflow's [scope](Self::scope) and finishes the workflow with its
    /// result: `Ok` completes the workflow and `Err` fails it. A future that panics, or is dropped
    /// before its end, fails it too.
    ///
    /// # Errors
    ///
    /// Returns the future's own error.
    pub async fn run<F, T, E>(self, future: F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
        E: fmt::Display,
    {
        let unfinished = Unfinished(self);
        // Declared after the guard, so dropped before it: the calls of the future end by
        // themselves, and then the workflow does.
        let result = unfinished.0.scope(future).await;
        match &result {
            Ok(_) => unfinished.0.complete(),
            Err(error) => unfinished.0.fail(error),
        }
        result
    }

    /// Completes the workflow.
    ///
    /// A workflow that is already finished stays as it is. Agents with a call in flight end as
    /// errors of class `workflow_ended`, and agents that wait for a task as `unfinished`.
    pub fn complete(&self) {
        self.open.complete();
    }

    /// Fails the workflow.
    ///
    /// A workflow that is already finished stays as it is. Agents with a call in flight end as
    /// errors of class `workflow_ended`, and agents that wait for a task as `unfinished`.
    pub fn fail(&self, error: impl fmt::Display) {
        let class = error_class(&error);
        self.fail_as(class, error);
    }

    /// Fails the workflow with an error of this type, which has low cardinality.
    pub(crate) fn fail_as(&self, class: &str, error: impl fmt::Display) {
        self.open.fail(class, &ErrorMessage::new(error));
    }

    /// Leaves the workflow open, so that another process or
    /// [`StatusTracker::finalize_status`] can finish it.
    ///
    /// Once all clones are gone, only calls in flight send heartbeats for the session.
    pub fn detach(self) {
        self.open.detached.store(true, Ordering::Relaxed);
    }

    /// Whether this tracker records the workflow.
    pub(crate) fn is_of(&self, tracker: &StatusTracker) -> bool {
        Arc::ptr_eq(self.open.tracker.shared(), tracker.shared())
    }

    /// Whether the workflow was [detached](Self::detach).
    pub(crate) fn is_detached(&self) -> bool {
        self.open.detached.load(Ordering::Relaxed)
    }

    /// Whether there is no other clone, so that nobody else can finish the workflow.
    pub(crate) fn is_last(&self) -> bool {
        Arc::strong_count(&self.open) == 1
    }
}

/// The `error.type` of the program's own error: its Rust type, if that is informative.
fn error_class<E>(_: &E) -> &'static str {
    let name = std::any::type_name::<E>().trim_start_matches(['&', ' ']);
    let is_text = matches!(name, "str" | "alloc::string::String" | "core::fmt::Arguments");
    if is_text || name.starts_with("dyn ") { "_OTHER" } else { name }
}

/// Fails the workflow of a `run` that does not come to its end, even if there are other clones.
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
