//! The last calls of an agent, one by one.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_agent_status::status::{AgentState, AgentStatus, Value};
use tower_agent_status::store::MemoryStore;
use tower_agent_status::{StatusLayer, StatusTracker};

use crate::support::{AGENT, SESSION, builder, of_session, stored, ticking_clock};

const ANSWER: &str =
    r#"{"model":"m-1","usage":{"input_tokens":3,"output_tokens":4},"stop_reason":"end_turn"}"#;

fn tracker() -> (StatusTracker, MemoryStore) {
    let store = MemoryStore::new();
    (builder(store.clone()).clock(ticking_clock()).start().unwrap(), store)
}

/// Makes a call that is answered with this status.
async fn call(tracker: &StatusTracker, status: u16) {
    let service = service_fn(|_: Request<()>| {
        let response =
            Response::builder().status(status).header("content-type", "application/json");
        let response = response.header("x-request-id", format!("req-{status}"));
        let (response, body) = match status {
            200 => (response, ANSWER),
            _ => (response.header("retry-after", "7"), r#"{"error":{"message":"too many"}}"#),
        };
        let response = response.body(Full::new(Bytes::from_static(body.as_bytes())));
        async move { Ok::<_, Infallible>(response.unwrap()) }
    });
    let client = StatusLayer::new(tracker, AGENT).layer(service);
    let request = Request::post("/").body(()).unwrap();
    let response = client.oneshot(of_session(SESSION, request)).await.unwrap();
    response.into_body().collect().await.unwrap();
}

async fn agent(tracker: &StatusTracker, store: &MemoryStore) -> AgentStatus {
    stored(tracker, store, SESSION).await;
    store.status(SESSION).unwrap().agent(AGENT).unwrap().clone()
}

#[tokio::test]
async fn one_call_that_succeeds_is_no_attempt_and_one_that_fails_is() {
    let (tracker, store) = tracker();
    call(&tracker, 200).await;
    assert_eq!(agent(&tracker, &store).await.attempts().count(), 0);

    let (tracker, store) = self::tracker();
    call(&tracker, 429).await;
    let failed = agent(&tracker, &store).await;
    let attempt = failed.attempts().next().unwrap();
    assert_eq!((failed.attempts().count(), attempt.state()), (1, AgentState::Error));
    assert_eq!(attempt.error_type.as_deref(), Some("http_429"));
    assert_eq!(attempt.request_id.as_deref(), Some("req-429"));
    assert_eq!(attempt.retry_after, Some(Duration::from_secs(7)));
    assert_eq!((attempt.token_usage, &attempt.model), (None, &None));
}

#[tokio::test]
async fn the_first_call_becomes_an_attempt_with_the_second() {
    let (tracker, store) = tracker();
    call(&tracker, 200).await;
    let first = agent(&tracker, &store).await;
    call(&tracker, 503).await;
    call(&tracker, 200).await;
    let agent = agent(&tracker, &store).await;
    let attempts: Vec<_> = agent.attempts().collect();
    let classes: Vec<_> = attempts.iter().map(|attempt| attempt.error_type.as_deref()).collect();
    assert_eq!(classes, [None, Some("http_503"), None]);
    assert_eq!(Some(attempts[0].started_at), first.started_at);
    assert_eq!(Some(attempts[0].duration()), first.duration());
    for attempt in [attempts[0], attempts[2]] {
        assert_eq!(attempt.model.as_deref(), Some("m-1"));
        assert_eq!(attempt.token_usage.unwrap().total_tokens, Some(7));
    }
    assert!(attempts.windows(2).all(|pair| pair[0].started_at < pair[1].started_at));
}

#[tokio::test]
async fn the_last_eight_are_kept() {
    let (tracker, store) = tracker();
    for status in [500, 501, 502, 503, 504, 505, 506, 507, 508, 429] {
        call(&tracker, status).await;
    }
    let item = stored(&tracker, &store, SESSION).await;
    let agent = item.get(AGENT).and_then(Value::as_map).unwrap();
    let attempts = agent.get("attempts").and_then(Value::as_list).unwrap().iter();
    let classes: Vec<_> =
        attempts.map(|a| a.as_map().unwrap().get("errorType").unwrap().as_str().unwrap()).collect();
    assert_eq!(classes.len(), 8);
    assert_eq!((classes[0], classes[7]), ("http_502", "http_429"));
}

#[tokio::test]
async fn another_process_adds_its_attempts() {
    let store = MemoryStore::new();
    let clock = Arc::new(ticking_clock());
    for status in [200, 503, 200] {
        // Each knows nothing of the item when its call ends.
        let clock = Arc::clone(&clock);
        let tracker = builder(store.clone()).clock(move || clock()).start().unwrap();
        call(&tracker, status).await;
        tracker.shutdown(Duration::from_secs(5)).await.unwrap();
    }
    let status = store.status(SESSION).unwrap();
    let classes: Vec<_> =
        status.agent(AGENT).unwrap().attempts().map(|a| a.error_type.is_some()).collect();
    assert_eq!(classes.iter().filter(|failed| **failed).count(), 1, "{classes:?}");
    assert_eq!(classes.len(), 3);
}
