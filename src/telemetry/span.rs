//! The tracing span of a call, in the terms of OpenTelemetry's conventions for generative AI.
//!
//! The names are those of <https://github.com/open-telemetry/semantic-conventions-genai>, where they are
//! "in development". They are written here, in `workflow` and in `metrics`, and nowhere else. An unknown
//! field stays empty and is not recorded.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tracing::field::{self, Empty};
use tracing::level_filters::{LevelFilter, STATIC_MAX_LEVEL};
use tracing::span::Entered;
use tracing::{Level, Span, record_all};

use super::CallTarget;
use super::kind::CallKind;
use super::operation::Operation;
use super::provider::{Provider, ProviderName};
use crate::status::{CallError, SessionId, TokenUsage};

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

/// What is known about a call only when it ends, and not before the response.
#[derive(Default, PartialEq)]
pub(super) struct CallEnd<'a> {
    /// The operation and the name of the span, if only the format of the response shows them.
    pub(super) operation: Option<Operation>,
    pub(super) span_name: Option<String>,
    /// The provider, if only the format of the response shows it.
    pub(super) provider: Option<Provider>,
    pub(super) response_model: Option<&'a str>,
    pub(super) response_id: Option<&'a str>,
    /// Why the model stopped.
    pub(super) finish_reasons: &'a [Box<str>],
    /// From OpenAI.
    pub(super) service_tier: Option<&'a str>,
    /// From Bedrock. The conventions have no name for the request ids of others.
    pub(super) aws_request_id: Option<&'a str>,
    pub(super) usage: Option<&'a TokenUsage>,
    pub(super) cost_usd: Option<f64>,
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
            // To record a field later, it is looked for by its name from the first field on. So these
            // come first: further back, the status would take 170 instructions more.
            http.response.status_code = Empty,
            otel.name = &*call().kind.span_name,
            gen_ai.operation.name = call().kind.operation().name(),
            gen_ai.provider.name = call().kind.provider.as_ref().map(ProviderName::as_str),
            gen_ai.response.model = Empty,
            gen_ai.response.id = Empty,
            gen_ai.response.finish_reasons = Empty,
            gen_ai.usage.input_tokens = Empty,
            gen_ai.usage.output_tokens = Empty,
            gen_ai.usage.cache_read.input_tokens = Empty,
            gen_ai.usage.cache_write.input_tokens = Empty,
            gen_ai.usage.reasoning.output_tokens = Empty,
            openai.response.service_tier = Empty,
            aws.request_id = Empty,
            // The conventions have no name for it yet.
            agent_status.cost_usd = Empty,
            gen_ai.response.time_to_first_chunk = Empty,
            otel.status_code = Empty,
            otel.status_description = Empty,
            "error.type" = Empty,
            otel.kind = "client",
            gen_ai.agent.name = &*call().kind.agent,
            gen_ai.conversation.id = session.as_str(),
            gen_ai.request.model = call().kind.request_model.as_deref(),
            http.request.method = call().target.method.as_str(),
            server.address = call().target.host,
            // As a signed integer: the bridges to OpenTelemetry format any other as text.
            server.port = call().target.host.and(call().target.port).map(i64::from),
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
        self.0.record("http.response.status_code", i64::from(status.as_u16()));
    }

    pub(super) fn first_chunk(&self, elapsed: Duration) {
        self.0.record("gen_ai.response.time_to_first_chunk", elapsed.as_secs_f64());
    }

    /// How the call ended. The span is closed by dropping this.
    pub(super) fn finish(&self, end: &CallEnd<'_>, error: Option<&CallError>) {
        if let Some(error) = error {
            failed(&self.0, &error.class, error.message.as_str());
        }
        // Each record has a cost of its own, in every layer of the subscriber: of a chat answer, one for
        // each field would take the OpenTelemetry SDK 2,000 instructions more.
        if *end == CallEnd::default() {
            return;
        }
        let reasons = Some(end.finish_reasons).filter(|reasons| !reasons.is_empty());
        let [input, output, cache_read, cache_write, reasoning] = end.tokens();
        record_all!(
            self.0,
            otel.name = end.span_name.as_deref(),
            gen_ai.operation.name = end.operation.map(Operation::name),
            gen_ai.provider.name = end.provider.map(Provider::name),
            gen_ai.response.model = end.response_model,
            gen_ai.response.id = end.response_id,
            // A field cannot be a list, so the reasons are written as text.
            gen_ai.response.finish_reasons = reasons.map(field::debug),
            gen_ai.usage.input_tokens = input,
            gen_ai.usage.output_tokens = output,
            gen_ai.usage.cache_read.input_tokens = cache_read,
            gen_ai.usage.cache_write.input_tokens = cache_write,
            gen_ai.usage.reasoning.output_tokens = reasoning,
            openai.response.service_tier = end.service_tier,
            aws.request_id = end.aws_request_id,
            agent_status.cost_usd = end.cost_usd,
        );
    }
}

impl CallEnd<'_> {
    fn tokens(&self) -> [Option<i64>; 5] {
        let counts = self.usage.map_or([None; 5], |usage| {
            [
                usage.input_tokens,
                usage.output_tokens,
                usage.cache_read_input_tokens,
                usage.cache_write_input_tokens,
                usage.reasoning_tokens,
            ]
        });
        // OpenTelemetry has only signed integers: a bridge to it formats any others as text.
        counts.map(|count| count.map(|count| i64::try_from(count).unwrap_or(i64::MAX)))
    }
}

/// Marks a span as failed.
pub(super) fn failed(span: &Span, class: &str, message: impl std::fmt::Display) {
    record_all!(
        span,
        otel.status_code = "ERROR",
        otel.status_description = field::display(message),
        "error.type" = class,
    );
}
