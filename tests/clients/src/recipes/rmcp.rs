//! An MCP client over HTTP.

use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use tower_agent_status::{Layer as _, StatusLayer, StatusTracker};

use crate::adapters::ToolCalls;

/// A transport whose tool calls are calls of the agent.
#[must_use]
pub fn transport(
    tracker: &StatusTracker,
    url: &str,
    session_id: String,
) -> StreamableHttpClientTransport<ToolCalls> {
    let (url, client) = (url.to_owned(), reqwest::Client::new());
    // recipe
    // The transport sends from tasks of its own, which the scope of a workflow does not reach.
    let layer =
        StatusLayer::new(tracker, "pdfAdapter").session_from(move |_| Some(session_id.clone()));
    let transport = StreamableHttpClientTransport::with_client(
        ToolCalls(layer.layer(client)),
        StreamableHttpClientTransportConfig::with_uri(url),
    );
    // end
    transport
}
