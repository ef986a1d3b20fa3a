//! The metrics of the forwarder, for Prometheus.

use std::net::SocketAddr;

use super::super::failure::Failure;

/// Serves metrics at `/metrics` of an address, for as long as the process runs. Must be called within a
/// runtime, and before the tracker starts.
#[cfg(feature = "prometheus")]
pub(super) fn serve(address: SocketAddr) -> Result<(), Failure> {
    use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};
    use tower_agent_status::metrics;

    let tokens = Matcher::Prefix("gen_ai.client.inference.operation.".to_owned());
    let workflows = Matcher::Full(metrics::WORKFLOW_DURATION.to_owned());
    let builder = PrometheusBuilder::new()
        .with_http_listener(address)
        .set_buckets(&metrics::DURATION_BUCKETS)
        .and_then(|builder| builder.set_buckets_for_metric(tokens, &metrics::TOKEN_BUCKETS))
        .and_then(|builder| {
            builder.set_buckets_for_metric(workflows, &metrics::WORKFLOW_DURATION_BUCKETS)
        });
    builder.and_then(PrometheusBuilder::install).map_err(|error| {
        let why = match error {
            BuildError::FailedToCreateHTTPListener(why) => why,
            error => error.to_string(),
        };
        Failure::Unusable(format!(
            "cannot serve metrics on {address}: {why}; choose another address with `--metrics-addr`"
        ))
    })
}

#[cfg(not(feature = "prometheus"))]
pub(super) fn serve(_: SocketAddr) -> Result<(), Failure> {
    let message = "this command was built without metrics: install it with \
                   `--features cli,forward,prometheus`, or leave out `--metrics-addr`";
    Err(Failure::Unusable(message.to_owned()))
}
