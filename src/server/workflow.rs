//! [`WorkflowObserver`]: the workflow of one request, from its start to its one end.

use std::fmt::{self, Display};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::exchange::Observer;
use crate::status::{CallError, Outcome, SessionId, Task};
use crate::usage::UsageReader;
use crate::workflow::{TaskScope, Workflow};

/// The workflow of one request, which ends with the response.
pub struct WorkflowObserver {
    workflow: Workflow,
    /// The handler and the response body run in it.
    scope: TaskScope,
    /// The response to CONNECT, if it is a success, opens a tunnel.
    is_connect: bool,
    response_header: Option<HeaderName>,
    /// The response says that the work goes on.
    is_left_open: bool,
}

impl WorkflowObserver {
    pub(super) fn new(
        workflow: Workflow,
        method: &Method,
        response_header: Option<HeaderName>,
    ) -> Self {
        let (scope, is_connect) = (workflow.task_scope(), method == Method::CONNECT);
        Self { workflow, scope, is_connect, response_header, is_left_open: false }
    }

    fn session_id(&self) -> &SessionId {
        self.scope.id()
    }

    /// Finishes the workflow, unless the handler has detached it: then it is for somebody else
    /// to finish.
    fn end(&self, result: Result<(), (&str, &dyn Display)>) {
        if !self.workflow.is_detached() {
            match result {
                Ok(()) => self.workflow.complete(),
                Err((class, error)) => self.workflow.fail_as(class, error),
            }
        }
    }
}

impl fmt::Debug for WorkflowObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkflowObserver").field("session_id", self.session_id()).finish()
    }
}

impl Observer for WorkflowObserver {
    // The handler may pass on the whole answer of one agent, and then call the next.
    const ENDS_AT_MARKER: bool = false;
    // A server that has sent what it announced does not poll the body again.
    const ENDS_AT_CONTENT_LENGTH: bool = true;

    fn poll_in<T>(workflow: Option<&Self>, poll: impl FnOnce() -> T) -> T {
        match workflow {
            Some(workflow) => workflow.scope.enter(poll),
            None => poll(),
        }
    }

    fn response(&mut self, status: StatusCode, headers: &mut HeaderMap) {
        if let Some(name) = self.response_header.take()
            && let Ok(id) = HeaderValue::from_bytes(self.session_id().as_str().as_bytes())
        {
            headers.entry(name).or_insert(id);
        }
        self.is_left_open =
            matches!(status, StatusCode::ACCEPTED | StatusCode::SWITCHING_PROTOCOLS)
                || self.is_connect && status.is_success();
    }

    fn finish(&mut self, outcome: Outcome, _: Option<Box<Task>>, _: Option<&UsageReader>) {
        match outcome {
            _ if self.is_left_open => {
                if self.workflow.is_last() {
                    let why = "the answer was that the work goes on, and nobody holds the workflow";
                    self.end(Err((CallError::INCOMPLETE, &why)));
                }
            }
            Outcome::Success => self.end(Ok(())),
            Outcome::Error(_) if std::thread::panicking() => {
                self.end(Err((CallError::PANIC, &"the handler panicked")));
            }
            // The message of a gRPC call need not say what failed.
            Outcome::Error(error) if error.class.starts_with("grpc_") => {
                self.end(Err((&error.class, &error)));
            }
            Outcome::Error(error) => self.end(Err((&error.class, &error.message))),
        }
    }

    fn dropped(&mut self) {
        let (class, why) = if std::thread::panicking() {
            (CallError::PANIC, "the handler panicked")
        } else {
            (CallError::CANCELLED, "the caller gave up before the answer")
        };
        self.end(Err((class, &why)));
    }
}
