//! The orchestrator as a service: `POST /invocations` and `GET /ping`, as Amazon Bedrock
//! `AgentCore` requires of a runtime.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Json, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use futures_util::stream::{self, StreamExt as _};
use http::{HeaderMap, HeaderName, StatusCode, header};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower::BoxError;
use tower_agent_status::{StatusTracker, Workflow, WorkflowLayer};

use super::orchestrator::{Document, Orchestrator, Settlement};
use super::tracking::{Client, HyperClient};

/// The headers that may have the correlation id. `AgentCore` passes those with its prefix to the
/// runtime if configured to.
static CORRELATION_ID: [HeaderName; 2] = [
    HeaderName::from_static("x-correlation-id"),
    HeaderName::from_static("x-amzn-bedrock-agentcore-runtime-custom-correlation-id"),
];
/// The session of `AgentCore`: a microVM, which may serve many workflows.
const RUNTIME_SESSION_ID: HeaderName =
    HeaderName::from_static("x-amzn-bedrock-agentcore-runtime-session-id");

/// The layer that opens a workflow for each request. Attributes that come from the request's
/// body are set in [`document`].
fn workflow_layer(tracker: &StatusTracker) -> WorkflowLayer {
    WorkflowLayer::new(tracker)
        .session_from(|head| correlation_id(head.headers).map(|id| format!("session-{id}")))
        .correlation_from(|head| correlation_id(head.headers).map(str::to_owned))
        .attribute_header("runtimeSessionId", RUNTIME_SESSION_ID)
}

fn correlation_id(headers: &HeaderMap) -> Option<&str> {
    let ids = CORRELATION_ID.iter().filter_map(|name| headers.get(name)?.to_str().ok());
    ids.map(str::trim).find(|id| !id.is_empty())
}

#[derive(Clone)]
struct Service {
    orchestrator: Arc<Orchestrator<Client<HyperClient>>>,
    /// Becomes true when the grace period is over.
    is_over: watch::Receiver<bool>,
    started: SystemTime,
}

/// Serves until `stop` resolves. Running requests then have `grace` to finish, after which they
/// end with an error.
pub(crate) async fn serve(
    listener: TcpListener,
    tracker: &StatusTracker,
    orchestrator: Orchestrator<Client<HyperClient>>,
    stop: impl Future<Output = ()> + Send + 'static,
    grace: Duration,
) -> io::Result<()> {
    let (over, is_over) = watch::channel(false);
    let service =
        Service { orchestrator: Arc::new(orchestrator), is_over, started: SystemTime::now() };
    let app = Router::new()
        .route("/invocations", post(invoke))
        // Wraps the routes above, and not those below.
        .route_layer(workflow_layer(tracker))
        .route("/ping", get(ping))
        .with_state(service);
    let stopping = async move {
        stop.await;
        tokio::spawn(async move {
            tokio::time::sleep(grace).await;
            over.send_replace(true);
        });
    };
    axum::serve(listener, app).with_graceful_shutdown(stopping).await
}

async fn ping(State(service): State<Service>) -> Json<Value> {
    let started = service.started.duration_since(UNIX_EPOCH).unwrap_or_default();
    Json(json!({ "status": "Healthy", "time_of_last_update": started.as_secs() }))
}

/// Processes a document. A client that accepts `text/event-stream` gets progress events.
async fn invoke(
    State(service): State<Service>,
    Extension(workflow): Extension<Workflow>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let document = match document(&workflow, &headers, &body) {
        Ok(document) => document,
        Err(error) => {
            let body = json!({ "success": false, "error": error.to_string() });
            return (StatusCode::BAD_REQUEST, Json(body)).into_response();
        }
    };
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    if accept.is_some_and(|accept| accept.contains("text/event-stream")) {
        let started = json!({ "event": "started", "document_id": document.id });
        // Processing starts once the body is polled.
        let finished = stream::once(async move { service.process(&document).await.1 });
        let events = stream::iter([started])
            .chain(finished)
            .map(|event| Ok::<_, Infallible>(Event::default().data(event.to_string())));
        return Sse::new(events).keep_alive(KeepAlive::default()).into_response();
    }
    let (status, body) = service.process(&document).await;
    (status, Json(body)).into_response()
}

/// Parses the request, and sets the document's attributes on the workflow.
fn document(workflow: &Workflow, headers: &HeaderMap, body: &[u8]) -> Result<Document, BoxError> {
    let request: Value = serde_json::from_slice(body)?;
    let text = |name: &str| request[name].as_str().filter(|text| !text.is_empty());
    let id = text("document_id").ok_or("`document_id` is missing")?;
    let source_type = text("source_type").unwrap_or("BANK");
    workflow.set_attribute("documentId", id)?;
    workflow.set_attribute("sourceType", source_type)?;
    Ok(Document {
        id: id.to_owned(),
        source_type: source_type.to_owned(),
        correlation_id: correlation_id(headers)
            .unwrap_or(workflow.session_id().as_str())
            .to_owned(),
    })
}

impl Service {
    async fn process(mut self, document: &Document) -> (StatusCode, Value) {
        let result = tokio::select! {
            result = self.orchestrator.process(document) => result,
            // Dropping the future cancels the call in flight.
            _ = self.is_over.wait_for(|is_over| *is_over) => Err("the service was stopped".into()),
        };
        match result {
            Ok(settlement) => {
                let settlement = match settlement {
                    Settlement::Matched => "matched",
                    Settlement::SentToReview => "sent to review",
                };
                let body = json!({ "success": true, "document_id": document.id, "settlement": settlement });
                (StatusCode::OK, body)
            }
            Err(error) => {
                let body = json!({ "success": false, "document_id": document.id, "error": error.to_string() });
                (StatusCode::INTERNAL_SERVER_ERROR, body)
            }
        }
    }
}
