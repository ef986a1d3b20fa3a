//! [`WorkflowTelemetry`]: the span and the duration of a workflow.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument as _, Level, Span};

use super::AgentMetrics;
use super::span::{self, span_at};
use crate::status::SessionId;

/// The span and the duration of a workflow, from its start to its end. Calls and whatever else happens
/// inside are children of the span.
#[derive(Default)]
pub(crate) struct WorkflowTelemetry(
    /// In a box, since a session without a listener has none.
    Mutex<Option<Box<Running>>>,
);

struct Running {
    span: WorkflowSpan,
    started: Instant,
}

/// The span of a workflow, for everything that happens inside it.
#[derive(Clone, Debug)]
pub(crate) struct WorkflowSpan(Span);

impl WorkflowTelemetry {
    /// A workflow starts. Its span, of this level, is a child of the current one.
    pub(crate) fn start(level: Level, session: &SessionId) -> Self {
        let is_recorded = AgentMetrics::are_recorded();
        if !span::may_be_wanted(level) && !is_recorded {
            return Self(Mutex::new(None));
        }
        let span = span_at!(
            level,
            "invoke_workflow",
            otel.kind = "internal",
            otel.status_code = Empty,
            otel.status_description = Empty,
            gen_ai.operation.name = "invoke_workflow",
            gen_ai.conversation.id = session.as_str(),
            "error.type" = Empty,
        );
        let is_wanted = is_recorded || !span.is_disabled();
        let running = || Box::new(Running { span: WorkflowSpan(span), started: Instant::now() });
        Self(Mutex::new(is_wanted.then(running)))
    }

    /// The span, until the workflow ends.
    pub(crate) fn span(&self) -> WorkflowSpan {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.as_ref().map_or(WorkflowSpan(Span::none()), |running| running.span.clone())
    }

    /// The workflow has ended, with an error if there is an error type. Only the first end counts.
    pub(crate) fn finish(&self, error: Option<(&str, &dyn Display)>) {
        // Not while it is locked: a subscriber may panic.
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(running) = running else { return };
        let Running { span: WorkflowSpan(span), started } = *running;
        if let Some((class, message)) = error
            && !span.is_disabled()
        {
            span::failed(&span, class, message);
        }
        #[cfg(feature = "metrics")]
        super::metrics::workflow_ended(started.elapsed(), error.map(|(class, _)| class.to_owned()));
        #[cfg(not(feature = "metrics"))]
        let _ = started;
    }
}

impl WorkflowSpan {
    /// Makes a future part of the workflow.
    pub(crate) fn around<F: Future>(self, future: F) -> impl Future<Output = F::Output> + use<F> {
        future.instrument(self.0)
    }

    /// Makes a closure part of the workflow.
    pub(crate) fn enter<T>(&self, poll: impl FnOnce() -> T) -> T {
        self.0.in_scope(poll)
    }
}
