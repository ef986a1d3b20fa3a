//! The orchestrator as a service: `POST /invocations` and `GET /ping`, which is what
//! Amazon Bedrock `AgentCore` asks of a runtime.

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

/// The platform passes headers of this prefix on to the runtime, where it is told to.
const CORRELATION_ID: HeaderName =
    HeaderName::from_static("x-amzn-bedrock-agentcore-runtime-custom-correlation-id");
/// The platform's session: a microVM that may serve many workflows.
const RUNTIME_SESSION_ID: HeaderName =
    HeaderName::from_static("x-amzn-bedrock-agentcore-runtime-session-id");

/// All that the service has to do with status, but for what only the body of a request
/// tells.
fn tracked(tracker: &StatusTracker) -> WorkflowLayer {
    WorkflowLayer::new(tracker)
        .session_header_with(CORRELATION_ID, |id| format!("session-{id}"))
        .correlation_header(CORRELATION_ID)
        .attribute_header("runtimeSessionId", RUNTIME_SESSION_ID)
}

#[derive(Clone)]
struct Service {
    orchestrator: Arc<Orchestrator<Client<HyperClient>>>,
    /// Becomes true when there is no more time for what is still running.
    is_over: watch::Receiver<bool>,
    started: SystemTime,
}

/// Serves until `stop`, and then for so long at most as it takes to answer what is running.
/// What is not done by then ends with an error.
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
        // Around the routes above, and not around those below.
        .route_layer(tracked(tracker))
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

/// Processes a document. Who accepts `text/event-stream` is told while it goes on.
async fn invoke(
    State(service): State<Service>,
    Extension(workflow): Extension<Workflow>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let document = match document(&workflow, &headers, &body) {
        Ok(document) => document,
        Err(error) => {
            let answer = json!({ "success": false, "error": error.to_string() });
            return (StatusCode::BAD_REQUEST, Json(answer)).into_response();
        }
    };
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    if accept.is_some_and(|accept| accept.contains("text/event-stream")) {
        let started = json!({ "event": "started", "document_id": document.id });
        // Nothing is done before the body is read.
        let finished = stream::once(async move { service.process(&document).await.1 });
        let events = stream::iter([started])
            .chain(finished)
            .map(|event| Ok::<_, Infallible>(Event::default().data(event.to_string())));
        return Sse::new(events).keep_alive(KeepAlive::default()).into_response();
    }
    let (status, answer) = service.process(&document).await;
    (status, Json(answer)).into_response()
}

/// Reads the request, and adds to the item what it tells.
fn document(workflow: &Workflow, headers: &HeaderMap, body: &[u8]) -> Result<Document, BoxError> {
    let asked: Value = serde_json::from_slice(body)?;
    let text = |name: &str| asked[name].as_str().filter(|text| !text.is_empty());
    let id = text("document_id").ok_or("`document_id` is missing")?;
    let source_type = text("source_type").unwrap_or("BANK");
    workflow.set_attribute("documentId", id)?;
    workflow.set_attribute("sourceType", source_type)?;
    let correlation_id = headers.get(CORRELATION_ID).and_then(|id| id.to_str().ok());
    Ok(Document {
        id: id.to_owned(),
        source_type: source_type.to_owned(),
        correlation_id: correlation_id.unwrap_or(workflow.session_id().as_str()).to_owned(),
    })
}

impl Service {
    async fn process(mut self, document: &Document) -> (StatusCode, Value) {
        let result = tokio::select! {
            result = self.orchestrator.process(document) => result,
            // Dropped, the call in flight is cancelled.
            _ = self.is_over.wait_for(|is_over| *is_over) => Err("the service was stopped".into()),
        };
        match result {
            Ok(settlement) => {
                let settlement = match settlement {
                    Settlement::Matched => "matched",
                    Settlement::SentToReview => "sent to review",
                };
                let answer = json!({ "success": true, "document_id": document.id, "settlement": settlement });
                (StatusCode::OK, answer)
            }
            Err(error) => {
                let answer = json!({ "success": false, "document_id": document.id, "error": error.to_string() });
                (StatusCode::INTERNAL_SERVER_ERROR, answer)
            }
        }
    }
}
