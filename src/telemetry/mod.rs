//! What a call tells to those who watch the process: its span and its metrics. It is
//! measured once and told to both.

#[cfg(feature = "metrics")]
pub mod metrics;
mod span;

#[cfg(feature = "metrics")]
use std::sync::Arc;

use tokio::time::Instant;
use tracing::span::Entered;

use self::span::CallSpan;
use crate::agent::Agent;
use crate::session::RequestHead;
use crate::status::{CallError, SessionId, TokenUsage};

/// Watches one call, from its start to its end.
pub(crate) struct CallTelemetry {
    span: CallSpan,
    /// When the call started, if anybody wants to know.
    started: Option<Instant>,
    has_chunk: bool,
    #[cfg(feature = "metrics")]
    agent: Arc<Agent>,
}

impl CallTelemetry {
    #[inline]
    pub(crate) fn new<'a>(
        head: &dyn Fn() -> RequestHead<'a>,
        #[cfg(feature = "metrics")] agent: &Arc<Agent>,
        #[cfg(not(feature = "metrics"))] agent: &Agent,
        session: &SessionId,
    ) -> Self {
        let span = CallSpan::new(head, agent, session);
        let is_timed = cfg!(feature = "metrics") || span.is_heard();
        Self {
            span,
            started: is_timed.then(Instant::now),
            has_chunk: false,
            #[cfg(feature = "metrics")]
            agent: Arc::clone(agent),
        }
    }

    /// Makes what happens until the guard is dropped part of the call's span.
    #[inline]
    pub(crate) fn enter(&self) -> Entered<'_> {
        self.span.enter()
    }

    /// The head of the response has arrived.
    pub(crate) fn answered(&self, status: u16) {
        self.span.answered(status);
    }

    /// A piece of the body has arrived. Only of a stream is it told when the first did.
    #[inline]
    pub(crate) fn chunk(&mut self, is_stream: impl FnOnce() -> bool) {
        let is_first = !std::mem::replace(&mut self.has_chunk, true);
        if is_first
            && let Some(started) = self.started
            && is_stream()
        {
            let after = started.elapsed();
            self.span.first_chunk(after);
            #[cfg(feature = "metrics")]
            self.agent.metrics().first_chunk(after);
        }
    }

    /// The call has ended. It is told once.
    pub(crate) fn ended(&self, error: Option<&CallError>, usage: Option<&TokenUsage>) {
        self.span.ended(error, usage);
        #[cfg(feature = "metrics")]
        if let Some(started) = self.started {
            self.agent.metrics().ended(started.elapsed(), error, usage);
        }
    }
}
