//! A webhook against receivers on sockets: those that accept, and those that fail, are slow, redirect,
//! or have an address that is not allowed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail like tests")]

mod addresses;
mod queue;
mod restarts;
mod support;

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use tower_agent_status::status::{Item, Value};
use tower_agent_status::store::MemoryStore;

use support::{Answer, Receiver, ago, item, put};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

#[tokio::test]
async fn a_failed_and_a_stalled_workflow_are_sent_once() {
    let store = MemoryStore::new();
    let mut failed = item("failed", 5 * MINUTE, MINUTE);
    failed.insert("error", "no answer");
    failed.insert("documentId", "FAB_1");
    failed.insert("customer", "confidential");
    let mut agent = Item::new();
    agent.insert("status", "error");
    agent.insert("errorType", "timeout");
    agent.insert("error", "timed out");
    failed.insert("pdfAdapter", Value::Map(agent));
    put(&store, "failed", failed).await;
    put(&store, "stalled", item("processing", 4 * MINUTE, 3 * MINUTE)).await;
    put(&store, "alive", item("processing", 3 * MINUTE, SECOND)).await;
    put(&store, "done", item("completed", 3 * MINUTE, MINUTE)).await;

    let mut receiver = Receiver::start([]).await;
    let webhook = receiver.webhook().attributes(["documentId"]).start(store.clone()).unwrap();
    let (first, second) = (receiver.next().await, receiver.next().await);
    assert_eq!((first.session(), second.session()), ("failed".to_owned(), "stalled".to_owned()));
    assert_eq!(first.path, "/hook");
    assert_eq!(first.header("content-type"), "application/json");
    assert!(!first.headers.contains_key("webhook-signature"));
    let body = first.json();
    assert_eq!(body["type"], "workflow.failed");
    assert_eq!(body["data"]["error"], "no answer");
    let agent = json!([{ "name": "pdfAdapter", "status": "error", "errorType": "timeout", "error": "timed out" }]);
    assert_eq!(body["data"]["agents"], agent);
    assert_eq!(body["data"]["attributes"], json!({ "documentId": "FAB_1" }));
    assert!(!String::from_utf8_lossy(&first.body).contains("confidential"));
    let body = second.json();
    assert_eq!(
        (&body["type"], &body["data"]["stalled"]),
        (&json!("workflow.stalled"), &json!(true))
    );

    // It fails after all, which is another state; and then there is another run.
    put(&store, "stalled", item("failed", 4 * MINUTE, SECOND)).await;
    let ended = receiver.next().await;
    assert_eq!(
        (ended.session(), ended.json()["type"].clone()),
        ("stalled".into(), json!("workflow.failed"))
    );
    put(&store, "failed", item("failed", SECOND, SECOND)).await;
    let again = receiver.next().await;
    assert_eq!(again.session(), "failed");
    let ids = [first.id(), second.id(), ended.id(), again.id()];
    assert!(ids.iter().enumerate().all(|(n, id)| !ids[..n].contains(id)), "{ids:?}");
    assert!(receiver.is_idle());
    let counts = webhook.counts();
    assert_eq!((counts.failed, counts.dropped_full), (0, 0));
}

#[tokio::test]
async fn a_workflow_that_began_long_ago_is_watched_until_it_ends() {
    let store = MemoryStore::new();
    put(&store, "long", item("processing", 3 * HOUR, SECOND)).await;
    let mut receiver = Receiver::start([]).await;
    let _webhook = receiver.webhook().start(store.clone()).unwrap();
    // Something that is sent shows that it has looked.
    put(&store, "other", item("failed", SECOND, SECOND)).await;
    assert_eq!(receiver.next().await.session(), "other");
    put(&store, "long", item("failed", 3 * HOUR, Duration::ZERO)).await;
    assert_eq!(receiver.next().await.session(), "long");
}

#[tokio::test]
async fn each_request_is_signed_for_its_time_and_body() {
    let store = MemoryStore::new();
    put(&store, "s", item("failed", MINUTE, SECOND)).await;
    let key = [7; 32];
    let mut receiver = Receiver::start([Answer::Status(500)]).await;
    let webhook = receiver.webhook().secret(&BASE64_STANDARD.encode(key)).unwrap();
    let _webhook = webhook.start(store).unwrap();
    for _ in 0..2 {
        let request = receiver.next().await;
        let (id, time) = (request.id(), request.header("webhook-timestamp"));
        let seconds: i64 = time.parse().unwrap();
        assert!((seconds - ago(Duration::ZERO).as_secs()).abs() < 60, "{time}");
        let signed = [format!("{id}.{time}.").as_bytes(), &request.body].concat();
        let expected = format!("v1,{}", BASE64_STANDARD.encode(hmac_sha256(&key, &signed)));
        assert_eq!(request.header("webhook-signature"), expected);
    }
}

/// As RFC 2104 defines it, for keys of up to a block.
fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    use sha2::{Digest as _, Sha256};
    let padded = |pad: u8| {
        let mut block = [pad; 64];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Sha256::digest([&padded(0x36)[..], message].concat());
    Sha256::digest([&padded(0x5c)[..], &inner[..]].concat()).to_vec()
}

#[tokio::test]
async fn what_is_not_accepted_is_sent_again_with_the_same_id() {
    let store = MemoryStore::new();
    put(&store, "s", item("failed", MINUTE, SECOND)).await;
    let mut elsewhere = Receiver::start([]).await;
    let answers = [Answer::Status(500), Answer::Redirect(elsewhere.url()), Answer::Never];
    let mut receiver = Receiver::start(answers).await;
    let webhook = receiver.webhook().timeout(Duration::from_millis(300));
    let webhook = webhook.start(store.clone()).unwrap();
    let first = receiver.next().await;
    for _ in 0..3 {
        let again = receiver.next().await;
        assert_eq!((again.id(), &again.body), (first.id(), &first.body));
    }
    // One that comes later is sent later, so the first has been accepted.
    put(&store, "later", item("failed", SECOND, SECOND)).await;
    assert_eq!(receiver.next().await.session(), "later");
    while webhook.counts().delivered < 2 {
        tokio::task::yield_now().await;
    }
    let counts = webhook.counts();
    assert_eq!((counts.failed, counts.dropped_full, counts.pending), (3, 0, 0));
    assert!(elsewhere.is_idle(), "a redirect was followed");
    assert!(receiver.is_idle());
}

#[tokio::test]
async fn the_portal_shows_the_metrics_of_its_webhook_after_the_gauges() {
    use tower::ServiceExt as _;
    use tower_agent_status::portal::Portal;

    let store = MemoryStore::new();
    put(&store, "s", item("failed", MINUTE, SECOND)).await;
    let exposition = async |portal: Portal<MemoryStore>| {
        let request = http::Request::get("/api/workflow/metrics");
        let request = request.body(axum::body::Body::empty()).unwrap();
        let response = portal.router().oneshot(request).await.unwrap();
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    };
    let mut receiver = Receiver::start([]).await;
    let webhook = receiver.webhook().start(store.clone()).unwrap();
    receiver.next().await;
    while webhook.counts().delivered == 0 {
        tokio::task::yield_now().await;
    }
    let without = exposition(Portal::new(store.clone())).await;
    let with = exposition(Portal::new(store.clone()).webhook(&webhook)).await;
    // A user to whom some workflows are hidden is not told how many of them have failed.
    let hidden = exposition(Portal::new(store).webhook(&webhook).visible(|_, _| false)).await;
    assert!(!hidden.contains("agent_status_webhook"), "{hidden}");
    let samples: Vec<_> = with
        .strip_prefix(&without)
        .unwrap()
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    let expected = [
        "agent_status_webhook_requests{result=\"success\"} 1",
        "agent_status_webhook_requests{result=\"error\"} 0",
        "agent_status_webhook_dropped{reason=\"full\"} 0",
        "agent_status_webhook_dropped{reason=\"expired\"} 0",
        "agent_status_webhook_pending 0",
    ];
    assert_eq!(samples, expected);
    // They are those of the facade.
    use tower_agent_status::metrics::{WEBHOOK_DROPPED, WEBHOOK_PENDING, WEBHOOK_REQUESTS};
    for name in [WEBHOOK_REQUESTS, WEBHOOK_DROPPED, WEBHOOK_PENDING] {
        assert!(with.contains(&format!("# TYPE {} ", name.replace('.', "_"))), "{name}");
    }
}
