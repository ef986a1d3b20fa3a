//! What the process's subscriber and its metrics recorder receive about calls and workflows.
//!
//! | file | what it has |
//! | --- | --- |
//! | `span`, `workflow` | the spans of a call and of a workflow |
//! | `metrics` | the names of all metrics, and what is recorded of writes |
//! | `call_metrics`, `agent_metrics` | what is recorded of calls |
//! | `operation`, `provider`, `kind` | the operation and the provider of a call, and what else its request shows |
//! | `agent_telemetry` | what is kept from one call of an agent to the next |

mod agent_metrics;
mod agent_telemetry;
#[cfg(feature = "metrics")]
mod call_metrics;
mod kind;
#[cfg(feature = "metrics")]
pub mod metrics;
mod operation;
mod provider;
mod span;
mod workflow;

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use tokio::time::Instant;
use tracing::Level;
use tracing::span::Entered;

pub(crate) use self::agent_telemetry::AgentTelemetry;
pub(crate) use self::provider::Provider;
pub(crate) use self::workflow::{WorkflowSpan, WorkflowTelemetry};

use self::agent_metrics::{AgentMetrics, EndedCall};
use self::kind::CallKind;
use self::operation::Operation;
use self::provider::ProviderName;
use self::span::{CallEnd, CallSpan, CallStart};
use crate::agent::Agent;
use crate::status::{CallError, SessionId, TokenUsage, TotalCost};
use crate::usage::{ModelSource, UsageReader};

/// The schema URL of the conventions that the names of spans and metrics follow: the newest version of
/// OpenTelemetry's conventions for generative AI that has a URL.
///
/// The [guide](crate::guide::telemetry) shows where to set it.
pub const GEN_AI_SCHEMA_URL: &str = "https://opentelemetry.io/schemas/gen-ai-dev/1.42.0-dev";

/// Where a call goes.
pub(crate) struct CallTarget<'a> {
    pub(crate) method: &'a Method,
    pub(crate) host: Option<&'a str>,
    /// The port of the request, or else of its scheme.
    pub(crate) port: Option<u16>,
    /// Without a query.
    pub(crate) path: &'a str,
}

/// The span and the metrics of one call, from its start to its end. Each time is taken once,
/// for both.
///
/// Without a subscriber or a recorder it is empty, and moves with its call at no cost.
#[derive(Default)]
pub(crate) struct CallTelemetry(Option<Box<Listened>>);

/// A call that a subscriber or a recorder observes.
struct Listened {
    span: CallSpan,
    started_at: Instant,
    kind: Arc<CallKind>,
    metrics: AgentMetrics,
    first_chunk: Option<Duration>,
}

impl CallTelemetry {
    /// A call starts. Its span, of this level, is a child of the current one. `target` is called only
    /// with a subscriber or a recorder.
    #[inline]
    pub(crate) fn start<'a>(
        &mut self,
        agent: &Agent,
        telemetry: &AgentTelemetry,
        session: &SessionId,
        level: Level,
        target: &dyn Fn() -> CallTarget<'a>,
    ) {
        if span::may_be_wanted(level) || AgentMetrics::are_recorded() {
            self.start_for_listeners(agent, telemetry, session, level, target);
        }
    }

    #[inline(never)]
    fn start_for_listeners<'a>(
        &mut self,
        agent: &Agent,
        telemetry: &AgentTelemetry,
        session: &SessionId,
        level: Level,
        target: &dyn Fn() -> CallTarget<'a>,
    ) {
        let call = OnceCell::new();
        let start = || {
            let target = target();
            CallStart { kind: telemetry.kind_of(agent, &target), target }
        };
        let known = || call.get_or_init(start);
        let span = CallSpan::new(level, session, &known);
        if !span.is_enabled() && !AgentMetrics::are_recorded() {
            return;
        }
        known();
        self.0 = call.into_inner().map(|call| {
            Box::new(Listened {
                span,
                started_at: Instant::now(),
                kind: call.kind,
                metrics: telemetry.metrics().clone(),
                first_chunk: None,
            })
        });
    }

    /// Whether a subscriber or a recorder observes the call.
    #[inline]
    pub(crate) fn is_observed(&self) -> bool {
        self.0.is_some()
    }

    /// Makes what happens until the guard is dropped part of the call's span.
    #[inline]
    pub(crate) fn enter(&self) -> Option<Entered<'_>> {
        self.0.as_ref().map(|call| call.span.enter())
    }

    /// The head of the response has arrived.
    #[inline]
    pub(crate) fn response(&self, status: StatusCode) {
        if let Some(call) = &self.0 {
            call.span.response(status);
        }
    }

    /// The first chunk of the body of a stream has arrived.
    pub(crate) fn first_chunk(&mut self) {
        if let Some(call) = &mut self.0 {
            let elapsed = call.started_at.elapsed();
            call.first_chunk = Some(elapsed);
            call.span.first_chunk(elapsed);
        }
    }

    /// The call has ended. Called once. `response` has what else the response says.
    #[inline]
    pub(crate) fn finish(
        &self,
        error: Option<&CallError>,
        usage: Option<&TokenUsage>,
        cost: Option<&TotalCost>,
        response: Option<&UsageReader>,
    ) {
        if let Some(call) = &self.0 {
            call.finish(error, usage, cost, response);
        }
    }
}

impl Listened {
    #[cold]
    #[inline(never)]
    fn finish(
        &self,
        error: Option<&CallError>,
        usage: Option<&TokenUsage>,
        cost: Option<&TotalCost>,
        response: Option<&UsageReader>,
    ) {
        // Only the metrics need it.
        let elapsed = AgentMetrics::are_recorded().then(|| self.started_at.elapsed());
        let mut info = response.map(UsageReader::info).unwrap_or_default();
        let format = response.and_then(UsageReader::format);
        let kind = &*self.kind;
        let is_stated = info.model_source == Some(ModelSource::Response);
        let response_model = info.model.take().filter(|_| is_stated);
        let operation = kind
            .operation
            .unwrap_or_else(|| format.map_or(Operation::InvokeAgent, Operation::of_format));
        let by_format = match &kind.provider {
            None => format.and_then(Provider::of_format),
            Some(_) => None,
        };
        let provider = kind.provider.clone().or(by_format.map(ProviderName::Known));
        if self.span.is_enabled() {
            let is_by = |one| provider == Some(ProviderName::Known(one));
            let new_operation = Some(operation).filter(|&it| it != kind.operation());
            if info.finish_reasons.is_empty()
                && operation.is_inference()
                && was_cut_short(error, response)
            {
                info.finish_reasons.push("error".into());
            }
            let end = CallEnd {
                operation: new_operation,
                span_name: new_operation.map(|operation| kind.span_name_for(operation)),
                provider: by_format,
                response_model: response_model.as_deref(),
                response_id: info.response_id.as_deref(),
                finish_reasons: &info.finish_reasons,
                service_tier: info.service_tier.as_deref().filter(|_| is_by(Provider::OpenAi)),
                aws_request_id: info.request_id.as_deref().filter(|_| is_by(Provider::AwsBedrock)),
                usage,
                cost_usd: cost.and_then(|cost| cost.usd).map(|usd| usd.to_f64()),
            };
            self.span.finish(&end, error);
        }
        if let Some(elapsed) = elapsed {
            self.metrics.ended(&EndedCall {
                operation,
                provider: provider.as_ref(),
                request_model: kind.request_model.as_deref(),
                response_model: response_model.as_deref(),
                error,
                usage,
                cost,
                elapsed,
                first_chunk: self.first_chunk,
            });
        }
    }
}

/// Whether a model visibly began to answer, and failed before it gave a finish reason.
fn was_cut_short(error: Option<&CallError>, response: Option<&UsageReader>) -> bool {
    response.is_some() && error.is_some_and(|error| !error.class.starts_with("http_"))
}
