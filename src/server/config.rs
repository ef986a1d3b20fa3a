//! [`WorkflowConfig`]: which requests open a workflow, and how it is described.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Request};

use super::workflow::WorkflowObserver;
use crate::exchange::Pending;
use crate::session::{RequestHead, SessionLookup};
use crate::status::{SessionId, Value};
use crate::tracker::{NewRunPolicy, StatusTracker};
use crate::workflow::{Workflow, WorkflowError, check_attribute, check_correlation_id};

type MayName = dyn Fn(RequestHead<'_>, &SessionId) -> bool + Send + Sync;
type FromHead<T> = Arc<dyn Fn(RequestHead<'_>) -> T + Send + Sync>;

/// How long a session must have been finished for a request to begin a new run. A queue redelivers a
/// message after its visibility timeout, which is 30 s by default in SQS.
const NEW_RUN_AFTER: Duration = Duration::from_secs(60);

/// The settings of a [`WorkflowLayer`](super::WorkflowLayer).
#[derive(Clone)]
pub(super) struct WorkflowConfig {
    pub(super) tracker: StatusTracker,
    pub(super) filter: FromHead<bool>,
    pub(super) source: SessionLookup,
    /// Whether a request may name a session.
    pub(super) may_name: Option<Arc<MayName>>,
    pub(super) correlation: Option<FromHead<Option<String>>>,
    /// Checked names, and where the value of each comes from.
    pub(super) attributes: Vec<(String, FromHead<Option<Value>>)>,
    pub(super) retention: Option<Duration>,
    pub(super) budget_usd: Option<f64>,
    pub(super) budget_tokens: Option<u64>,
    pub(super) new_run: NewRunPolicy,
    pub(super) response_header: Option<HeaderName>,
}

impl WorkflowConfig {
    pub(super) fn new(tracker: &StatusTracker) -> Self {
        Self {
            tracker: tracker.clone(),
            filter: Arc::new(|head| !head.method.is_safe()),
            source: SessionLookup::default(),
            may_name: None,
            correlation: None,
            attributes: Vec::new(),
            retention: None,
            budget_usd: None,
            budget_tokens: None,
            new_run: NewRunPolicy::After(NEW_RUN_AFTER),
            response_header: Some(HeaderName::from_static("x-workflow-session-id")),
        }
    }

    /// Starts the workflow of a request, and gives the handler its handle as an extension.
    pub(super) fn begin<B>(&self, request: &mut Request<B>) -> Option<Pending<WorkflowObserver>> {
        let workflow = self.open(RequestHead::new(request))?;
        request.extensions_mut().insert(workflow.clone());
        let header = self.response_header.clone();
        let observer = WorkflowObserver::new(workflow, request.method(), header);
        Some(Pending::new(observer, request.method(), None))
    }

    /// Starts the workflow of a request, unless the filter or a layer around says otherwise.
    /// Attributes that an item cannot have are left out.
    fn open(&self, head: RequestHead<'_>) -> Option<Workflow> {
        let around = head.extensions.get::<Workflow>();
        if around.is_some_and(|around| around.is_of(&self.tracker)) || !(self.filter)(head) {
            return None;
        }
        let shared = self.tracker.shared();
        let session = self.source.incoming(head).unwrap_or_else(|error| {
            shared.warnings.session.warn(&error, "a new session is used instead");
            None
        });
        let session = session.filter(|session| self.may_name(head, session));
        let mut workflow = self.tracker.workflow(session.unwrap_or_else(SessionId::random));
        if let Some(id) = self.correlation.as_ref().and_then(|from| from(head))
            && self.keeps(check_correlation_id(Some(&id)))
        {
            workflow = workflow.correlation_id(id);
        }
        for (name, from) in &self.attributes {
            if let Some(value) = from(head)
                && self.keeps(check_attribute(&self.tracker, name, &value))
            {
                workflow = workflow.attribute(name, value);
            }
        }
        if let Some(retention) = self.retention {
            workflow = workflow.retention(retention);
        }
        if let Some(usd) = self.budget_usd {
            workflow = workflow.budget_usd(usd);
        }
        if let Some(tokens) = self.budget_tokens {
            workflow = workflow.budget_tokens(tokens);
        }
        if let Some(id) = head.trace_id() {
            workflow = workflow.trace_id(id);
        }
        workflow = match self.new_run {
            NewRunPolicy::Always => workflow.new_run(),
            NewRunPolicy::After(finished_for) => workflow.new_run_after(finished_for),
            NewRunPolicy::Never => workflow,
        };
        let warn = |error: &WorkflowError| {
            shared.warnings.workflow.warn(error, "workflow not tracked");
        };
        workflow.start().inspect_err(warn).ok()
    }

    /// Whether the request may name this session. One among its extensions was not named by the
    /// client.
    fn may_name(&self, head: RequestHead<'_>, session: &SessionId) -> bool {
        let Some(may_name) = &self.may_name else { return true };
        let is_allowed = head.extensions.get::<SessionId>().is_some() || may_name(head, session);
        if !is_allowed {
            let why = format_args!("a request may not name the session {:?}", session.as_str());
            let warnings = &self.tracker.shared().warnings;
            warnings.foreign_session.warn(&why, "a new session is used instead");
        }
        is_allowed
    }

    fn keeps(&self, checked: Result<(), WorkflowError>) -> bool {
        let warnings = &self.tracker.shared().warnings;
        let warn = |error: &WorkflowError| {
            warnings.attribute.warn(error, "left out of the workflow");
        };
        checked.inspect_err(warn).is_ok()
    }
}

impl fmt::Debug for WorkflowConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkflowConfig")
            .field("tracker", &self.tracker)
            .field("source", &self.source)
            .field("may_name_any", &self.may_name.is_none())
            .field("new_run", &self.new_run)
            .field("response_header", &self.response_header)
            .finish_non_exhaustive()
    }
}
