//! Everything the program needs for status tracking.

use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tower::ServiceBuilder;
use tower_agent_status::store::StatusStore;
use tower_agent_status::{
    Agent, StatusLayer, StatusService, StatusTracker, StatusTrackerBuilder, WorkflowBuilder,
};
use tower_http::decompression::{Decompression, DecompressionLayer};

use super::agents::Agents;
use super::orchestrator::{self, Document, Orchestrator};
use super::scenario::{EXCEPTION_MANAGEMENT, PDF_ADAPTER, TRADE_EXTRACTION, TRADE_MATCHING};

/// The four agents with their texts.
pub(crate) fn agents() -> [Agent; 4] {
    [
        Agent::new(PDF_ADAPTER)
            .pending("Waiting for upload")
            .in_progress("Extracting text from PDF document")
            .success("Text extraction complete")
            .error("Text extraction failed"),
        // Its stream does not name its model.
        Agent::new(TRADE_EXTRACTION)
            .model("claude-sonnet-4-5")
            .pending("Waiting for PDF processing")
            .in_progress("Extracting structured trade data")
            .success("Trade data extracted")
            .error("Trade extraction failed"),
        Agent::new(TRADE_MATCHING)
            .pending("Waiting for extraction")
            .in_progress("Matching trades across systems")
            .success("Matching complete")
            .error("Matching failed"),
        Agent::new(EXCEPTION_MANAGEMENT)
            .pending("No exceptions")
            .in_progress("Analyzing exceptions")
            .success("Exceptions sent to review")
            .error("Exception handling failed"),
    ]
}

pub(crate) fn tracker<S: StatusStore>(store: S) -> StatusTrackerBuilder<S> {
    StatusTracker::builder(store).agents(agents())
}

/// An agent's client: the one the program would use anyway, with a [`StatusLayer`] added.
///
/// The layer is inside the decompression, so it sees the bytes as sent. It can read compressed
/// responses too.
pub(crate) type Client<S> = Decompression<StatusService<S>>;

pub(crate) fn client<S>(tracker: &StatusTracker, agent: &str, inner: S) -> Client<S> {
    ServiceBuilder::new()
        .layer(DecompressionLayer::new())
        .layer(StatusLayer::new(tracker, agent))
        .service(inner)
}

pub(crate) type HyperClient = hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>;

pub(crate) fn hyper_client() -> HyperClient {
    hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http()
}

/// Builds the orchestrator, with `inner` wrapped for each agent.
pub(crate) fn orchestrator<S: Clone>(
    tracker: &StatusTracker,
    agents: &Agents,
    inner: S,
) -> Orchestrator<Client<S>> {
    let agent = |name, url: &Uri| orchestrator::Agent {
        client: client(tracker, name, inner.clone()),
        url: url.clone(),
    };
    Orchestrator {
        pdf_adapter: agent(PDF_ADAPTER, &agents.pdf_adapter),
        trade_extraction: agent(TRADE_EXTRACTION, &agents.trade_extraction),
        trade_matching: agent(TRADE_MATCHING, &agents.trade_matching),
        exception_management: agent(EXCEPTION_MANAGEMENT, &agents.exception_management),
    }
}

/// The workflow for a document, whose details become attributes of the item.
pub(crate) fn workflow(
    tracker: &StatusTracker,
    session_id: &str,
    document: &Document,
) -> WorkflowBuilder {
    tracker
        .workflow(session_id)
        .correlation_id(&document.correlation_id)
        .attribute("documentId", document.id.as_str())
        .attribute("sourceType", document.source_type.as_str())
}
