//! The tracing span of a call, in the terms of OpenTelemetry's conventions for generative AI.
//!
//! The names are those of the semantic conventions 1.41, where they are "in development".
//! They are written here and nowhere else. A field that is not known stays empty, which is
//! not recorded.

use std::time::Duration;

use http::{Method, StatusCode};
use tracing::field::Empty;
use tracing::span::Entered;

use crate::agent::Agent;
use crate::status::{CallError, SessionId, TokenUsage};

/// The span of one call. Where no subscriber wants it, it is nothing but a flag.
pub(super) struct CallSpan(tracing::Span);

impl CallSpan {
    /// A child of the current span, with what is known when the call starts.
    #[inline]
    pub(super) fn new<'a>(
        agent: &Agent,
        session: &SessionId,
        method: &Method,
        host: &dyn Fn() -> Option<&'a str>,
    ) -> Self {
        // The fields are evaluated only if a subscriber wants the span.
        Self(tracing::info_span!(
            target: "tower_agent_status",
            "invoke_agent",
            otel.kind = "client",
            otel.status_code = Empty,
            otel.status_description = Empty,
            gen_ai.operation.name = "invoke_agent",
            gen_ai.agent.name = agent.name(),
            gen_ai.conversation.id = session.as_str(),
            gen_ai.response.time_to_first_chunk = Empty,
            gen_ai.usage.input_tokens = Empty,
            gen_ai.usage.output_tokens = Empty,
            gen_ai.usage.cache_read.input_tokens = Empty,
            gen_ai.usage.cache_creation.input_tokens = Empty,
            gen_ai.usage.reasoning.output_tokens = Empty,
            http.request.method = method.as_str(),
            http.response.status_code = Empty,
            server.address = host(),
            "error.type" = Empty,
        ))
    }

    pub(super) fn is_enabled(&self) -> bool {
        !self.0.is_disabled()
    }

    /// Makes what happens until the guard is dropped part of the call.
    #[inline]
    pub(super) fn enter(&self) -> Entered<'_> {
        self.0.enter()
    }

    pub(super) fn response(&self, status: StatusCode) {
        self.0.record("http.response.status_code", status.as_u16());
    }

    pub(super) fn first_chunk(&self, elapsed: Duration) {
        self.0.record("gen_ai.response.time_to_first_chunk", elapsed.as_secs_f64());
    }

    /// How the call ended. The span is closed by dropping this.
    pub(super) fn finish(&self, error: Option<&CallError>, usage: Option<&TokenUsage>) {
        if !self.is_enabled() {
            return;
        }
        if let Some(error) = error {
            self.0.record("otel.status_code", "ERROR");
            self.0.record("otel.status_description", error.message.as_str());
            self.0.record("error.type", &*error.class);
        }
        let Some(usage) = usage else { return };
        let fields = [
            ("gen_ai.usage.input_tokens", usage.input_tokens),
            ("gen_ai.usage.output_tokens", usage.output_tokens),
            ("gen_ai.usage.cache_read.input_tokens", usage.cache_read_input_tokens),
            ("gen_ai.usage.cache_creation.input_tokens", usage.cache_write_input_tokens),
            ("gen_ai.usage.reasoning.output_tokens", usage.reasoning_tokens),
        ];
        for (name, tokens) in fields {
            if let Some(tokens) = tokens {
                self.0.record(name, tokens);
            }
        }
    }
}
