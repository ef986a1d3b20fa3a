//! The workflow of one request, from its opening to its one end.

use std::fmt::Display;

use http::response::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode};

use crate::exchange::{Observer, ResponseObserver};
use crate::status::{Outcome, SessionId, TokenUsage};
use crate::tracker::Scope;
use crate::usage::{End, PathHint};
use crate::workflow::Workflow;

/// The workflow of a request that has no response yet. Dropped, it fails.
pub(super) struct PendingWorkflow {
    /// Taken by whichever end comes first.
    workflow: Option<Workflow>,
    scope: Scope,
    /// The response to HEAD has a body that nobody reads.
    is_head: bool,
    /// The response to CONNECT, if it is a success, opens a tunnel.
    is_connect: bool,
    response_header: Option<HeaderName>,
}

impl PendingWorkflow {
    pub(super) fn new(
        workflow: Workflow,
        method: &Method,
        response_header: Option<HeaderName>,
    ) -> Self {
        let scope = workflow.task_scope();
        let (is_head, is_connect) = (method == Method::HEAD, method == Method::CONNECT);
        Self { workflow: Some(workflow), scope, is_head, is_connect, response_header }
    }

    pub(super) fn session(&self) -> &SessionId {
        self.scope.id()
    }

    pub(super) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The handler has given the head of the response, which is told the session id.
    pub(super) fn answered(
        mut self,
        head: &mut Parts,
    ) -> Option<ResponseObserver<WorkflowObserver>> {
        let workflow = self.workflow.take()?;
        if let Some(name) = self.response_header.take()
            && let Ok(id) = HeaderValue::from_bytes(self.session().as_str().as_bytes())
        {
            head.headers.entry(name).or_insert(id);
        }
        let is_left_open =
            matches!(head.status, StatusCode::ACCEPTED | StatusCode::SWITCHING_PROTOCOLS)
                || self.is_connect && head.status.is_success();
        let ending = WorkflowObserver { workflow, is_left_open };
        let mut answer =
            ResponseObserver::new(ending, head.status, &head.headers, PathHint::default());
        let is_bodiless = matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if self.is_head || is_bodiless {
            answer.end(End::Complete);
        }
        Some(answer)
    }

    /// The inner service gives an error in place of a response.
    pub(super) fn failed(mut self, error: &dyn Display) {
        if let Some(workflow) = self.workflow.take() {
            finish(&workflow, Err(error));
        }
    }
}

impl Drop for PendingWorkflow {
    fn drop(&mut self) {
        if let Some(workflow) = self.workflow.take() {
            let why = if std::thread::panicking() {
                "the handler panicked"
            } else {
                "the caller gave up before the answer"
            };
            finish(&workflow, Err(&why));
        }
    }
}

/// The workflow of a request whose response is being sent.
pub(super) struct WorkflowObserver {
    workflow: Workflow,
    /// The response says that the work goes on.
    is_left_open: bool,
}

impl Observer for WorkflowObserver {
    // The handler may pass on one agent's whole answer, and then call the next.
    const ENDS_AT_MARKER: bool = false;

    fn end(&mut self, outcome: Outcome, _: Option<TokenUsage>) {
        match outcome {
            _ if self.is_left_open => {
                if self.workflow.is_last() {
                    let why = "the answer was that the work goes on, and nobody holds the workflow";
                    finish(&self.workflow, Err(&why));
                }
            }
            Outcome::Success => finish(&self.workflow, Ok(())),
            Outcome::Error(_) if std::thread::panicking() => {
                finish(&self.workflow, Err(&"the handler panicked"));
            }
            Outcome::Error(error) => finish(&self.workflow, Err(&error.message)),
        }
    }
}

/// Finishes the workflow, unless the handler has let go of it: then it is somebody else's.
fn finish(workflow: &Workflow, result: Result<(), &dyn Display>) {
    if !workflow.is_detached() {
        match result {
            Ok(()) => workflow.complete(),
            Err(error) => workflow.fail(error),
        }
    }
}
