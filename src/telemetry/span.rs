//! The tracing span of a call, in the terms of OpenTelemetry's conventions for generative AI.
//!
//! The names are those of <https://github.com/open-telemetry/semantic-conventions-genai>, where they are
//! "in development". They are written here, in `workflow` and in `metrics`, and nowhere else. An unknown
//! field stays empty and is not recorded.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tracing::field::{Empty, debug, display};
use tracing::level_filters::{LevelFilter, STATIC_MAX_LEVEL};
use tracing::span::Entered;
use tracing::{Level, Span};

use super::CallTarget;
use super::kind::CallKind;
use super::operation::Operation;
use super::provider::{Provider, ProviderName};
use crate::status::{CallError, SessionId, TokenUsage, TotalCost};
use crate::usage::ResponseInfo;

/// A span of this crate at a level that is known only at run time. `tracing` needs a callsite for each
/// level.
macro_rules! span_at {
    ($level:expr, $($fields:tt)*) => {
        match $level {
            tracing::Level::ERROR => tracing::error_span!(target: "tower_agent_status", $($fields)*),
            tracing::Level::WARN => tracing::warn_span!(target: "tower_agent_status", $($fields)*),
            tracing::Level::INFO => tracing::info_span!(target: "tower_agent_status", $($fields)*),
            tracing::Level::DEBUG => tracing::debug_span!(target: "tower_agent_status", $($fields)*),
            tracing::Level::TRACE => tracing::trace_span!(target: "tower_agent_status", $($fields)*),
        }
    };
}
pub(super) use span_at;

/// Whether a subscriber may want spans of this level: one check of an atomic.
#[inline]
pub(super) fn may_be_wanted(level: Level) -> bool {
    level <= STATIC_MAX_LEVEL && level <= LevelFilter::current()
}

/// The span of one call. Where no subscriber wants it, it is nothing but a flag.
pub(super) struct CallSpan(Span);

/// What is known about a call when it starts.
pub(super) struct CallStart<'a> {
    pub(super) kind: Arc<CallKind>,
    pub(super) target: CallTarget<'a>,
}

impl CallSpan {
    /// A child of the current span, with what is known when the call starts. `call` is called only
    /// if a subscriber enables the span.
    #[inline]
    pub(super) fn new<'c, 'a: 'c>(
        level: Level,
        session: &SessionId,
        call: &dyn Fn() -> &'c CallStart<'a>,
    ) -> Self {
        Self(span_at!(
            level,
            "invoke_agent",
            otel.name = &*call().kind.span_name,
            otel.kind = "client",
            otel.status_code = Empty,
            otel.status_description = Empty,
            gen_ai.operation.name = call().kind.operation().name(),
            gen_ai.provider.name = call().kind.provider.as_ref().map(ProviderName::as_str),
            gen_ai.agent.name = &*call().kind.agent,
            gen_ai.conversation.id = session.as_str(),
            gen_ai.request.model = call().kind.request_model.as_deref(),
            gen_ai.response.model = Empty,
            gen_ai.response.id = Empty,
            gen_ai.response.finish_reasons = Empty,
            gen_ai.response.time_to_first_chunk = Empty,
            gen_ai.usage.input_tokens = Empty,
            gen_ai.usage.output_tokens = Empty,
            gen_ai.usage.cache_read.input_tokens = Empty,
            gen_ai.usage.cache_write.input_tokens = Empty,
            gen_ai.usage.reasoning.output_tokens = Empty,
            openai.response.service_tier = Empty,
            aws.request_id = Empty,
            http.request.method = call().target.method.as_str(),
            http.response.status_code = Empty,
            server.address = call().target.host,
            server.port = call().target.host.and(call().target.port),
            "error.type" = Empty,
            // The conventions have no name for it yet.
            agent_status.cost_usd = Empty,
        ))
    }

    #[inline]
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

    /// What only the format of the response shows.
    pub(super) fn operation(&self, operation: Operation, span_name: &str) {
        self.0.record("otel.name", span_name);
        self.0.record("gen_ai.operation.name", operation.name());
    }

    /// The same.
    pub(super) fn provider(&self, provider: Provider) {
        self.0.record("gen_ai.provider.name", provider.name());
    }

    /// What the response says about itself.
    pub(super) fn info(
        &self,
        info: &ResponseInfo,
        model: Option<&str>,
        provider: Option<Provider>,
    ) {
        let text = |field, text: Option<&str>| {
            if let Some(text) = text {
                self.0.record(field, text);
            }
        };
        text("gen_ai.response.model", model);
        text("gen_ai.response.id", info.response_id.as_deref());
        match provider {
            Some(Provider::OpenAi) => {
                text("openai.response.service_tier", info.service_tier.as_deref());
            }
            // The conventions have no name for the request ids of others.
            Some(Provider::AwsBedrock) => text("aws.request_id", info.request_id.as_deref()),
            _ => {}
        }
    }

    /// Why the model stopped. A field cannot be a list, so the reasons are written as text.
    pub(super) fn finish_reasons(&self, reasons: &[Box<str>]) {
        self.0.record("gen_ai.response.finish_reasons", debug(reasons));
    }

    /// How the call ended. The span is closed by dropping this.
    pub(super) fn finish(
        &self,
        error: Option<&CallError>,
        usage: Option<&TokenUsage>,
        cost: Option<&TotalCost>,
    ) {
        if let Some(usd) = cost.and_then(|cost| cost.usd) {
            self.0.record("agent_status.cost_usd", usd.to_f64());
        }
        if let Some(error) = error {
            failed(&self.0, &error.class, error.message.as_str());
        }
        let Some(usage) = usage else { return };
        let fields = [
            ("gen_ai.usage.input_tokens", usage.input_tokens),
            ("gen_ai.usage.output_tokens", usage.output_tokens),
            ("gen_ai.usage.cache_read.input_tokens", usage.cache_read_input_tokens),
            ("gen_ai.usage.cache_write.input_tokens", usage.cache_write_input_tokens),
            ("gen_ai.usage.reasoning.output_tokens", usage.reasoning_tokens),
        ];
        for (name, tokens) in fields {
            if let Some(tokens) = tokens {
                self.0.record(name, tokens);
            }
        }
    }
}

/// Marks a span as failed.
pub(super) fn failed(span: &Span, class: &str, message: impl std::fmt::Display) {
    span.record("otel.status_code", "ERROR");
    span.record("otel.status_description", display(message));
    span.record("error.type", class);
}
