//! A client of Bedrock with the layer, as docs/clients.md shows it.

use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::config::Builder;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use tower_agent_status::{Layer, StatusLayer, StatusTracker};

pub fn client(tracker: &StatusTracker, http_client: SharedHttpClient, config: Builder) -> Client {
    // recipe
    let http_client = StatusLayer::new(tracker, "pdfAdapter").layer(http_client);
    let client = Client::from_conf(config.http_client(http_client).build());
    // end
    client
}
