//! Tests of an orchestrator against mocked agents.
//!
//! Run with
//!
//! ```not_rust
//! cargo run --example testing
//! ```
//!
//! The orchestrator is that of the example `orchestrator`, unchanged. The agents are a
//! function from a request to a response: no sockets. What is asserted is what people
//! would see: which agents were called, how they ended, and what it cost.
//!
//! In a project of your own these are `#[tokio::test]`s, and `main` is not needed.

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

type Answer = Response<Full<Bytes>>;

/// What the agent of that name answers.
type Mocked = fn(&'static str) -> BoxFuture<'static, Answer>;

fn answer(status: StatusCode, content_type: &str, text: String) -> BoxFuture<'static, Answer> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    if let Ok(content_type) = content_type.parse() {
        response.headers_mut().insert("content-type", content_type);
    }
    Box::pin(std::future::ready(response))
}

fn ok(answered: &Value) -> BoxFuture<'static, Answer> {
    answer(StatusCode::OK, "application/json", answered.to_string())
}

/// Agents that do what they should.
fn well(agent: &'static str) -> BoxFuture<'static, Answer> {
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
            answer(StatusCode::OK, "text/event-stream", events)
        }
        _ => {
            ok(&json!({ "success": true, "classification": "MATCHED", "token_usage": token_usage }))
        }
    }
}

/// Matching is overloaded.
fn overloaded(agent: &'static str) -> BoxFuture<'static, Answer> {
    match agent {
        "tradeMatching" => answer(
            StatusCode::SERVICE_UNAVAILABLE,
            "application/json",
            json!({ "error": { "message": "too many trades" } }).to_string(),
        ),
        other => well(other),
    }
}

/// The PDF adapter never answers.
fn silent(agent: &'static str) -> BoxFuture<'static, Answer> {
    match agent {
        "pdfAdapter" => Box::pin(std::future::pending()),
        other => well(other),
    }
}

/// Runs the orchestrator, each of whose clients calls a mocked agent through a layer.
async fn run(store: &MemoryStore, mocked: Mocked) -> Result<Settlement, BoxError> {
    let names = ["pdfAdapter", "tradeExtraction", "tradeMatching", "exceptionManagement"];
    // Without gathering, each state is a write, and the history has them all.
    let mut tracker = StatusTracker::builder(store.clone()).batch_delay(Duration::ZERO);
    for name in names {
        tracker = tracker.agent(Agent::new(name));
    }
    let tracker = tracker.start()?;
    let [pdf_adapter, trade_extraction, trade_matching, exception_management] =
        names.map(|name| orchestrator::Agent {
            client: StatusLayer::new(&tracker, name).layer(service_fn(
                move |_: Request<Full<Bytes>>| async move {
                    // Let the recorder see that the call has started.
                    tokio::task::yield_now().await;
                    Ok::<_, Infallible>(mocked(name).await)
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
async fn a_trade_that_matches_needs_three_agents() {
    let store = MemoryStore::new();
    let settlement = run(&store, well).await;
    assert!(matches!(settlement, Ok(Settlement::Matched)), "{settlement:?}");

    let status = store.wait_until_finished("session-1").await;
    assert_completed(&status);
    // An agent that is not named here was not called.
    let called = ["pdfAdapter", "tradeExtraction", "tradeMatching"];
    assert_agents(&status, called.map(|name| (name, Success)));
    assert_tokens(&status, 400, 70);
    // What a portal could have seen of it.
    assert_eq!(store.states("session-1", "tradeMatching"), [Pending, InProgress, Success]);
}

// #[tokio::test]
async fn an_agent_that_fails_ends_the_workflow() {
    let store = MemoryStore::new();
    let settlement = run(&store, overloaded).await;
    assert!(settlement.is_err(), "{settlement:?}");

    let status = store.wait_until_finished("session-1").await;
    assert_failed(&status, "too many trades");
    assert_agents(
        &status,
        [("pdfAdapter", Success), ("tradeExtraction", Success), ("tradeMatching", Error)],
    );
    // What the others cost was paid all the same.
    assert_tokens(&status, 300, 50);
}

// #[tokio::test]
async fn an_agent_that_never_answers_is_given_up() {
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
    a_trade_that_matches_needs_three_agents().await;
    an_agent_that_fails_ends_the_workflow().await;
    an_agent_that_never_answers_is_given_up().await;
    eprintln!("three tests, and all is well");
}
