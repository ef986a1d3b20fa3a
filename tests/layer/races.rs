//! Calls that race: the caller takes the first answer and drops the other call.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::sync::Notify;
use tower::hedge::{Hedge, Policy};
use tower::{Layer, ServiceExt as _};
use tower_agent_status::status::{AgentState, TokenUsage};
use tower_agent_status::store::MemoryStore;
use tower_agent_status::{StatusLayer, StatusTracker};

use crate::support::agent::{AgentBody, MockAgent, client, receive, whole};
use crate::support::{AGENT, SESSION, builder, of_session, stored};

const ANSWER: &str = r#"{"success": true, "token_usage": {"input_tokens": 5, "output_tokens": 2}}"#;

fn answer(status: u16) -> Response<AgentBody> {
    let answer = Response::builder().status(status).header("content-type", "application/json");
    answer.body(whole(ANSWER)).unwrap()
}

/// An agent that never answers.
async fn silent(called: Arc<Notify>) -> MockAgent {
    MockAgent::start(move |_| {
        called.notify_one();
        std::future::pending()
    })
    .await
}

fn request(url: &str) -> Request<Full<Bytes>> {
    of_session(SESSION, Request::post(url).body(Full::default()).unwrap())
}

fn tracked() -> (StatusTracker, MemoryStore, StatusLayer) {
    let store = MemoryStore::new();
    let tracker = builder(store.clone()).start().unwrap();
    let layer = StatusLayer::new(&tracker, AGENT);
    (tracker, store, layer)
}

/// The agent in the end: its state, the class of its error, its calls, and its tokens.
async fn ended(
    tracker: &StatusTracker,
    store: &MemoryStore,
) -> (AgentState, String, u64, Option<TokenUsage>) {
    stored(tracker, store, SESSION).await;
    let status = store.status(SESSION).unwrap();
    let agent = status.agent(AGENT).unwrap();
    let class = agent.error.as_ref().map(|error| error.class.to_string()).unwrap_or_default();
    (agent.state, class, agent.calls, agent.token_usage())
}

/// Sends every request a second time if there is no answer to the first.
#[derive(Clone)]
struct Always;

impl Policy<Request<Full<Bytes>>> for Always {
    fn clone_request(&self, request: &Request<Full<Bytes>>) -> Option<Request<Full<Bytes>>> {
        Some(request.clone())
    }

    fn can_retry(&self, _: &Request<Full<Bytes>>) -> bool {
        true
    }
}

#[tokio::test]
async fn a_hedged_call_whose_second_try_answers_is_a_success() {
    let calls = Arc::new(AtomicUsize::new(0));
    let agent = MockAgent::start(move |_| {
        let is_first = calls.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            if is_first {
                std::future::pending::<()>().await;
            }
            answer(200)
        }
    });
    let agent = agent.await;
    let (tracker, store, layer) = tracked();
    let hedged = Hedge::new_with_mock_latencies(
        layer.layer(client()),
        Always,
        1,
        0.5,
        Duration::from_secs(60),
        &[1; 10],
    );
    let response = hedged.oneshot(request(&agent.url("/"))).await.unwrap();
    assert_eq!(receive(response).await.body, ANSWER.as_bytes());
    let used = Some(TokenUsage::new(5, 2));
    assert_eq!(ended(&tracker, &store).await, (AgentState::Success, String::new(), 2, used));
}

#[tokio::test]
async fn the_first_of_two_providers_to_answer_decides() {
    // How it answers, and how the agent ends.
    for (status, state, class) in
        [(200, AgentState::Success, ""), (500, AgentState::Error, "http_500")]
    {
        let called = Arc::new(Notify::new());
        let slow = silent(Arc::clone(&called)).await;
        let quick = MockAgent::start(move |_| {
            let called = Arc::clone(&called);
            async move {
                // Both calls are in flight before this one is answered.
                called.notified().await;
                answer(status)
            }
        });
        let quick = quick.await;
        let (tracker, store, layer) = tracked();
        let call = |agent: &MockAgent| {
            let call = layer.layer(client()).oneshot(request(&agent.url("/")));
            async { receive(call.await.unwrap()).await }
        };
        tokio::select! {
            _ = call(&slow) => panic!("it never answers"),
            received = call(&quick) => assert_eq!(received.status, status),
        }
        let (ended_state, ended_class, calls, _) = ended(&tracker, &store).await;
        assert_eq!((ended_state, ended_class.as_str(), calls), (state, class, 2));
    }
}

#[tokio::test]
async fn a_race_that_nobody_waits_for_is_cancelled() {
    let called = Arc::new(Notify::new());
    let slow = silent(Arc::clone(&called)).await;
    let (tracker, store, layer) = tracked();
    let call = || layer.layer(client()).oneshot(request(&slow.url("/")));
    tokio::select! {
        _ = call() => panic!("it never answers"),
        _ = call() => panic!("it never answers"),
        () = async { called.notified().await } => {}
    }
    let cancelled = (AgentState::Error, "cancelled".to_owned(), 2, None);
    assert_eq!(ended(&tracker, &store).await, cancelled);
}
