//! Tests of an orchestrator against mocked agents.
//!
//! Run with
//!
//! ```not_rust
//! cargo run --example testing
//! ```
//!
//! The orchestrator is the one of the example `orchestrator`, unchanged. The agents are
//! functions that return a response, without sockets. The tests assert what users would see:
//! which agents were called, how they ended, and how many tokens they used.
//!
//! In your own project these would be `#[tokio::test]`s without a `main`.

#![allow(clippy::print_stderr, reason = "a program for the terminal")]

#[path = "orchestrator/orchestrator.rs"]
mod orchestrator;

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::Full;
use serde_json::{Value, json};
use tower::{BoxError, Layer as _, service_fn};
use tower_agent_status::status::AgentState::{Error, InProgress, Pending, Success};
use tower_agent_status::store::MemoryStore;
use tower_agent_status::testing::{assert_agents, assert_completed, assert_failed, assert_tokens};
use tower_agent_status::{Agent, StatusLayer, StatusTracker};

use orchestrator::{Document, Orchestrator, Settlement};

type AgentResponse = Response<Full<Bytes>>;

/// The response of the agent with this name.
type MockAgents = fn(&'static str) -> BoxFuture<'static, AgentResponse>;

fn respond(
    status: StatusCode,
    content_type: &str,
    text: String,
) -> BoxFuture<'static, AgentResponse> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    if let Ok(content_type) = content_type.parse() {
        response.headers_mut().insert("content-type", content_type);
    }
    Box::pin(std::future::ready(response))
}

fn ok(body: &Value) -> BoxFuture<'static, AgentResponse> {
    respond(StatusCode::OK, "application/json", body.to_string())
}

/// All agents succeed.
fn successful(agent: &'static str) -> BoxFuture<'static, AgentResponse> {
    let token_usage = json!({ "input_tokens": 100, "output_tokens": 20 });
    match agent {
        "pdfAdapter" => {
            ok(&json!({ "success": true, "output_location": "s3://x", "token_usage": token_usage }))
        }
        "tradeExtraction" => {
            let text = json!({ "event": { "contentBlockDelta": { "delta": { "text": "{\"trade_id\": 1}\n" } } } });
            let stop = json!({ "event": { "messageStop": { "stopReason": "end_turn" } } });
            let usage = json!({ "inputTokens": 200, "outputTokens": 30, "totalTokens": 230 });
            let usage = json!({ "event": { "metadata": { "usage": usage } } });
            let events: String =
                [text, stop, usage].iter().map(|event| format!("data: {event}\n\n")).collect();
            respond(StatusCode::OK, "text/event-stream", events)
        }
        _ => {
            ok(&json!({ "success": true, "classification": "MATCHED", "token_usage": token_usage }))
        }
    }
}

/// Trade matching is overloaded.
fn overloaded(agent: &'static str) -> BoxFuture<'static, AgentResponse> {
    match agent {
        "tradeMatching" => respond(
            StatusCode::SERVICE_UNAVAILABLE,
            "application/json",
            json!({ "error": { "message": "too many trades" } }).to_string(),
        ),
        other => successful(other),
    }
}

/// The PDF adapter never responds.
fn silent(agent: &'static str) -> BoxFuture<'static, AgentResponse> {
    match agent {
        "pdfAdapter" => Box::pin(std::future::pending()),
        other => successful(other),
    }
}

/// Runs the orchestrator with clients that call the mocked agents through a layer.
async fn run(store: &MemoryStore, agents: MockAgents) -> Result<Settlement, BoxError> {
    let names = ["pdfAdapter", "tradeExtraction", "tradeMatching", "exceptionManagement"];
    // Without a batch delay each state is written, so the history has them all.
    let mut tracker = StatusTracker::builder(store.clone()).batch_delay(Duration::ZERO);
    for name in names {
        tracker = tracker.agent(Agent::new(name));
    }
    let tracker = tracker.start()?;
    let [pdf_adapter, trade_extraction, trade_matching, exception_management] =
        names.map(|name| orchestrator::Agent {
            client: StatusLayer::new(&tracker, name).layer(service_fn(
                move |_: Request<Full<Bytes>>| async move {
                    // Lets the recorder write that the call has started.
                    tokio::task::yield_now().await;
                    Ok::<_, Infallible>(agents(name).await)
                },
            )),
            url: Uri::from_static("http://mocked/invocations"),
        });
    let orchestrator =
        Orchestrator { pdf_adapter, trade_extraction, trade_matching, exception_management };
    let document = Document {
        id: "FAB_1".to_owned(),
        source_type: "BANK".to_owned(),
        correlation_id: "corr_1".to_owned(),
    };
    let run = tracker.workflow("session-1").run(orchestrator.process(&document));
    tokio::time::timeout(Duration::from_millis(200), run).await?
}

// #[tokio::test]
async fn a_matching_trade_needs_three_agents() {
    let store = MemoryStore::new();
    let settlement = run(&store, successful).await;
    assert!(matches!(settlement, Ok(Settlement::Matched)), "{settlement:?}");

    let status = store.wait_until_finished("session-1").await;
    assert_completed(&status);
    // Agents not listed here were not called.
    let called = ["pdfAdapter", "tradeExtraction", "tradeMatching"];
    assert_agents(&status, called.map(|name| (name, Success)));
    assert_tokens(&status, 400, 70);
    // The states that a portal could have shown.
    assert_eq!(store.states("session-1", "tradeMatching"), [Pending, InProgress, Success]);
}

// #[tokio::test]
async fn a_failing_agent_fails_the_workflow() {
    let store = MemoryStore::new();
    let settlement = run(&store, overloaded).await;
    assert!(settlement.is_err(), "{settlement:?}");

    let status = store.wait_until_finished("session-1").await;
    assert_failed(&status, "too many trades");
    assert_agents(
        &status,
        [("pdfAdapter", Success), ("tradeExtraction", Success), ("tradeMatching", Error)],
    );
    // The tokens of the other agents still count.
    assert_tokens(&status, 300, 50);
}

// #[tokio::test]
async fn an_agent_that_never_responds_is_cancelled() {
    let store = MemoryStore::new();
    let settlement = run(&store, silent).await;
    assert!(settlement.is_err(), "{settlement:?}");

    let status = store.wait_until_finished("session-1").await;
    assert_failed(&status, "dropped before its end");
    assert_agents(&status, [("pdfAdapter", Error)]);
    let error = status.agent("pdfAdapter").and_then(|agent| agent.error.as_ref());
    assert!(error.is_some_and(|error| error.class == "cancelled"), "{status}");
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    a_matching_trade_needs_three_agents().await;
    a_failing_agent_fails_the_workflow().await;
    an_agent_that_never_responds_is_cancelled().await;
    eprintln!("all three tests passed");
}
