//! `GET /api/workflow/events`: several workflows and the overview in one stream.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::time::Instant;

use crate::support::{Store, ask, completed, portal, processing, whole};

const POLL: Duration = Duration::from_secs(1);

/// A client that reads the stream.
pub(crate) struct Stream {
    body: Body,
    received: String,
}

impl Stream {
    pub(crate) async fn open(router: &Router, query: &str) -> Self {
        Self::open_as(router, query, "").await
    }

    pub(crate) async fn open_as(router: &Router, query: &str, tenant: &str) -> Self {
        let request =
            Request::get(format!("/api/workflow/events?{query}")).header("tenant", tenant);
        let response = ask(router, request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), StatusCode::OK);
        let headers = response.headers();
        assert_eq!(headers["content-type"], "text/event-stream");
        assert_eq!(headers["cache-control"], "no-store");
        assert_eq!(headers["x-accel-buffering"], "no");
        let mut stream = Self { body: response.into_body(), received: String::new() };
        assert_eq!(stream.next().await.unwrap(), (":".into(), "live".into()));
        stream
    }

    /// The next event: its name and data, or `:` and the text of a comment. `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<(String, String)> {
        loop {
            if let Some((piece, rest)) = self.received.split_once("\n\n") {
                let (piece, rest) = (piece.to_owned(), rest.to_owned());
                self.received = rest;
                return Some(match piece.strip_prefix(": ") {
                    Some(comment) => (":".to_owned(), comment.to_owned()),
                    None => {
                        let (name, data) = piece.split_once('\n').unwrap();
                        let name = name.strip_prefix("event: ").unwrap();
                        (name.to_owned(), data.strip_prefix("data: ").unwrap().to_owned())
                    }
                });
            }
            let frame = self.body.frame().await?.unwrap().into_data().unwrap();
            self.received.push_str(std::str::from_utf8(&frame).unwrap());
        }
    }

    /// The next event of this name, as JSON.
    pub(crate) async fn event(&mut self, expected: &str) -> Value {
        let (name, data) = self.next().await.unwrap();
        assert_eq!(name, expected, "{data}");
        serde_json::from_str(&data).unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn several_workflows_share_a_stream_and_a_poll() {
    let store = Store::default();
    store.put("a", &processing(1)).await;
    let router = portal(store.clone()).poll_interval(POLL).router();
    let mut stream = Stream::open(&router, "session=a&session=b&session=a").await;
    let mut found = [stream.event("workflow").await, stream.event("workflow").await];
    found.sort_by_key(|workflow| workflow["sessionId"].to_string());
    let (_, _, same) = whole(&router, "/api/workflow/a/status").await;
    assert_eq!(found[0], serde_json::from_str::<Value>(&same).unwrap());
    assert_eq!(found[1]["overallStatus"], "pending");

    store.put("b", &completed(1)).await;
    let workflow = stream.event("workflow").await;
    assert_eq!(
        (&workflow["sessionId"], &workflow["overallStatus"]),
        (&"b".into(), &"completed".into())
    );
    // The stream goes on, and `b` is read no more.
    let before = store.reads();
    store.put("a", &processing(2)).await;
    assert_eq!(stream.event("workflow").await["sessionId"], "a");
    let after = store.reads();
    assert_eq!(after.keys - before.keys, after.batches - before.batches, "one key for each batch");
    // When all have ended, it is kept alive without any reads.
    store.put("a", &completed(3)).await;
    assert_eq!(stream.event("workflow").await["overallStatus"], "completed");
    let (reads, start) = (store.reads(), Instant::now());
    assert_eq!(stream.next().await.unwrap(), (":".into(), "live".into()));
    assert_eq!(start.elapsed(), Duration::from_secs(15));
    assert_eq!(store.reads(), reads);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_cannot_be_watched_does_not_end_the_others() {
    let store = Store::default();
    store.put("a", &processing(1)).await;
    let router = portal(store).poll_interval(POLL).router();
    let long = "x".repeat(3_000);
    let mut stream = Stream::open(&router, &format!("session={long}&session=a&session=")).await;
    for expected in ["", &long] {
        let refused = stream.event("refused").await;
        assert_eq!(refused["sessionId"], expected);
        assert!(!refused["detail"].as_str().unwrap().is_empty());
    }
    assert_eq!(stream.event("workflow").await["sessionId"], "a");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_is_told_once_for_all() {
    let store = Store::default();
    store.put("a", &processing(1)).await;
    store.put("b", &processing(1)).await;
    let router = portal(store.clone()).poll_interval(POLL).router();
    let mut stream = Stream::open(&router, "session=a&session=b&overview=true").await;
    let mut names = Vec::new();
    for _ in 0..3 {
        names.push(stream.next().await.unwrap().0);
    }
    names.sort_unstable();
    assert_eq!(names, ["overview", "workflow", "workflow"]);
    store.fails(true);
    assert_eq!(stream.next().await.unwrap(), (":".into(), "stale".into()));
    store.put("a", &processing(2)).await;
    store.fails(false);
    // It is live once everything that it has is.
    let mut pieces = Vec::new();
    while pieces.last() != Some(&":".to_owned()) {
        let (name, text) = stream.next().await.unwrap();
        assert!(name != ":" || text == "live" || pieces.is_empty(), "{text}");
        pieces.push(if text == "stale" { "stale".into() } else { name });
    }
}

#[tokio::test]
async fn what_to_watch_must_be_said() {
    let router = portal(Store::default()).router();
    let many: String = (0..101).map(|n| format!("session={n}&")).collect();
    for (query, detail) in [
        ("", "name what to watch: `session=…`, or `overview=true`"),
        ("overview=false", "name what to watch: `session=…`, or `overview=true`"),
        ("overview=1", "`overview` must be `true` or `false`"),
        (&many, "a stream has at most 100 sessions"),
    ] {
        let (status, _, body) = whole(&router, &format!("/api/workflow/events?{query}")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["detail"], detail, "{query}");
    }
}
