//! Spans for OpenTelemetry, metrics for Prometheus, and log lines on standard error.

use std::net::SocketAddr;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use opentelemetry::InstrumentationScope;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tower::BoxError;
use tower_agent_status::{GEN_AI_SCHEMA_URL, metrics};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

/// The telemetry that must be shut down in order.
pub(crate) struct Telemetry(Option<SdkTracerProvider>);

/// Starts what the environment configures:
///
/// - log lines as JSON, filtered by `RUST_LOG` (default `info`);
/// - spans over OTLP, if `OTEL_EXPORTER_OTLP_ENDPOINT` (or `…_TRACES_ENDPOINT`) is set;
///   `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` describe their resource;
/// - metrics for Prometheus, if there is an address to listen on.
pub(crate) fn start(metrics_addr: Option<SocketAddr>) -> Result<Telemetry, BoxError> {
    let filter = EnvFilter::try_from_default_env().or_else(|_| EnvFilter::try_new("info"))?;
    let lines =
        tracing_subscriber::fmt::layer().json().with_writer(std::io::stderr).with_filter(filter);
    let traced = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]
        .iter()
        .any(|name| std::env::var_os(name).is_some());
    let provider = if traced {
        let exporter = SpanExporter::builder().with_http().build()?;
        Some(
            SdkTracerProvider::builder()
                .with_resource(Resource::builder().build())
                .with_batch_exporter(exporter)
                .build(),
        )
    } else {
        None
    };
    let spans = provider.as_ref().map(|provider| {
        // Only this crate's spans: the exporter has its own client, whose calls would be
        // exported in turn.
        let filter = EnvFilter::new("tower_agent_status=info");
        let scope = InstrumentationScope::builder("agentcore").with_schema_url(GEN_AI_SCHEMA_URL);
        let tracer = provider.tracer_with_scope(scope.build());
        tracing_opentelemetry::layer().with_tracer(tracer).with_filter(filter)
    });
    tracing_subscriber::registry().with(lines).with(spans).try_init()?;

    if let Some(addr) = metrics_addr {
        let tokens = Matcher::Prefix("gen_ai.client.inference.operation.".to_owned());
        let workflows = Matcher::Full(metrics::WORKFLOW_DURATION.to_owned());
        PrometheusBuilder::new()
            .with_http_listener(addr)
            .set_buckets(&metrics::DURATION_BUCKETS)?
            .set_buckets_for_metric(tokens, &metrics::TOKEN_BUCKETS)?
            .set_buckets_for_metric(workflows, &metrics::WORKFLOW_DURATION_BUCKETS)?
            .install()?;
    }
    Ok(Telemetry(provider))
}

impl Telemetry {
    /// Exports the remaining spans.
    pub(crate) async fn shutdown(self) {
        let Some(provider) = self.0 else { return };
        // The shutdown blocks its thread on the network.
        let ended = tokio::task::spawn_blocking(move || provider.shutdown()).await;
        if let Ok(Err(error)) = ended {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}
