//! [`TaskScope`]: the scope in which the tasks of a workflow run.

use crate::status::SessionId;
use crate::telemetry::WorkflowSpan;
use crate::tracker::Scope;

/// The scope in which the tasks of a workflow run: the session that their calls belong to, and the
/// workflow's span.
pub(crate) struct TaskScope {
    scope: Scope,
    span: WorkflowSpan,
}

impl TaskScope {
    pub(super) fn new(scope: Scope, span: WorkflowSpan) -> Self {
        Self { scope, span }
    }

    pub(crate) fn id(&self) -> &SessionId {
        self.scope.id()
    }

    /// Runs a future in this scope.
    pub(super) fn around<F: Future>(self, future: F) -> impl Future<Output = F::Output> + use<F> {
        self.span.around(self.scope.around(future))
    }

    /// Runs a closure in this scope, for futures and bodies that are polled one by one.
    pub(crate) fn enter<T>(&self, poll: impl FnOnce() -> T) -> T {
        self.span.enter(|| self.scope.enter(poll))
    }
}
