//! What a call tells the process's subscriber and its metrics recorder.

mod agent_metrics;
#[cfg(feature = "metrics")]
pub mod metrics;
mod span;

use http::{Method, StatusCode};
use tokio::time::Instant;
use tracing::span::Entered;

pub(crate) use self::agent_metrics::AgentMetrics;

use self::span::CallSpan;
use crate::agent::Agent;
use crate::status::{CallError, SessionId, TokenUsage};
use crate::usage::UsageReader;

/// The span and the metrics of one call, from its start to its end. Each time is taken once,
/// for both.
pub(crate) struct CallTelemetry {
    span: CallSpan,
    metrics: AgentMetrics,
    /// When the call started; `None` if nobody wants to know.
    started: Option<Instant>,
}

impl CallTelemetry {
    /// A call starts. Its span is a child of the current one.
    #[inline]
    pub(crate) fn start<'a>(
        agent: &Agent,
        metrics: &AgentMetrics,
        session: &SessionId,
        method: &Method,
        host: &dyn Fn() -> Option<&'a str>,
    ) -> Self {
        let span = CallSpan::new(agent, session, method, host);
        let is_timed = AgentMetrics::IS_ENABLED || span.is_enabled();
        Self { span, metrics: metrics.clone(), started: is_timed.then(Instant::now) }
    }

    /// Makes what happens until the guard is dropped part of the call's span.
    #[inline]
    pub(crate) fn enter(&self) -> Entered<'_> {
        self.span.enter()
    }

    /// The head of the response has arrived.
    pub(crate) fn response(&self, status: StatusCode) {
        self.span.response(status);
    }

    /// The first chunk of the body of a stream has arrived.
    pub(crate) fn first_chunk(&mut self) {
        if let Some(started) = self.started {
            let elapsed = started.elapsed();
            self.span.first_chunk(elapsed);
            self.metrics.first_chunk(elapsed);
        }
    }

    /// The call has ended. Called once. `response` knows what the response says beside the rest.
    pub(crate) fn finish(
        &self,
        error: Option<&CallError>,
        usage: Option<&TokenUsage>,
        _response: Option<&UsageReader>,
    ) {
        self.span.finish(error, usage);
        if AgentMetrics::IS_ENABLED
            && let Some(started) = self.started
        {
            self.metrics.finish(started.elapsed(), error, usage);
        }
    }
}
