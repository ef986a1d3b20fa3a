//! A generated client over tonic's channel, as docs/clients.md shows it.

use tonic::transport::{Channel, Endpoint};
use tower::Layer as _;
use tower_agent_status::{StatusLayer, StatusService, StatusTracker, WithSources};

use crate::AgentClient;

#[must_use]
pub fn client(
    tracker: &StatusTracker,
    endpoint: &Endpoint,
) -> AgentClient<StatusService<Channel, WithSources>> {
    // recipe
    let channel = endpoint.connect_lazy();
    let channel = StatusLayer::new(tracker, "pdfAdapter").error_sources().layer(channel);
    let client = AgentClient::new(channel);
    // end
    client
}
