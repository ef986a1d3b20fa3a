//! The layers around the routes: compression, limits and tracing.

use std::io::Read as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use flate2::read::GzDecoder;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use tower_agent_status::SessionId;
use tower_agent_status::status::Item;
use tower_agent_status::store::{ListRequest, RecentItems, StatusReader, StoreError};
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

use crate::events::Piece;
use crate::support::{Store, ask, completed, get, portal, processing, whole};

/// Sends a request that accepts these encodings.
async fn accepting(
    router: &Router,
    method: Method,
    path: &str,
    encodings: &str,
) -> (StatusCode, HeaderMap, Vec<u8>) {
    let request = Request::builder().method(method).uri(path).header("accept-encoding", encodings);
    let (head, body) = ask(router, request.body(Body::empty()).unwrap()).await.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status, head.headers, body.to_vec())
}

fn gunzip(bytes: &[u8]) -> String {
    let mut text = String::new();
    GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    text
}

#[tokio::test]
async fn pages_and_json_are_compressed_if_accepted() {
    let store = Store::default();
    store.put("s", &completed(1)).await;
    let router = portal(store).token("secret").router();
    // Errors are JSON too.
    let paths = [("/", StatusCode::OK), ("/api/workflow/recent", StatusCode::UNAUTHORIZED)];
    for (path, expected) in paths {
        let (status, headers, plain) = accepting(&router, Method::GET, path, "identity").await;
        assert_eq!(status, expected, "{path}");
        assert_eq!(headers.get("content-encoding"), None, "{path}");
        assert_eq!(headers["vary"], "accept-encoding", "{path}");
        let (status, headers, bytes) = accepting(&router, Method::GET, path, "br, gzip").await;
        assert_eq!((status, &headers["content-encoding"]), (expected, &"gzip".parse().unwrap()));
        assert_eq!(headers["vary"], "accept-encoding", "{path}");
        assert_eq!(headers.get("content-length"), None, "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(gunzip(&bytes).as_bytes(), plain, "{path}");
    }
}

#[tokio::test]
async fn compressed_responses_decode_to_the_same_text() {
    let store = Store::default();
    for n in 0..500 {
        store.put(&format!("session-{n}"), &completed(1)).await;
    }
    let router = portal(store).router();
    for path in [
        "/",
        "/api/workflow/session-7/status",
        "/api/workflow/recent?limit=500",
        "/api/workflow/metrics",
    ] {
        let (_, _, plain) = whole(&router, path).await;
        let (status, headers, bytes) = accepting(&router, Method::GET, path, "gzip").await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert_eq!(headers["content-encoding"], "gzip", "{path}");
        assert_eq!(gunzip(&bytes), plain, "{path}");
        println!("{path}: {} bytes, {} compressed", plain.len(), bytes.len());
    }
}

#[tokio::test(start_paused = true)]
async fn events_are_never_compressed() {
    let store = Store::default();
    store.put("s", &processing(1)).await;
    let router = portal(store.clone()).router();
    let mut request = get("/api/workflow/s/events");
    request.headers_mut().insert("accept-encoding", "gzip, deflate, br, zstd".parse().unwrap());
    let response = ask(&router, request).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers().get("content-encoding"), None);
    let mut events = crate::events::Events::from(response.into_body());
    assert_eq!(events.next().await, Piece::Comment("live".to_owned()));
    assert!(events.data().await.contains("processing"));
    store.put("s", &completed(2)).await;
    assert!(events.data().await.contains("completed"));
    assert_eq!(events.next().await, Piece::End);
}

#[tokio::test]
async fn a_head_request_has_the_headers_and_no_body() {
    let store = Store::default();
    store.put("s", &completed(1)).await;
    let router = portal(store).router();
    for path in ["/", "/api/workflow/recent", "/api/workflow/s/status", "/api/workflow/s/events"] {
        for encodings in ["gzip", "identity"] {
            let (status, headers, body) = accepting(&router, Method::HEAD, path, encodings).await;
            assert_eq!(status, StatusCode::OK, "{path}");
            assert_eq!(body, b"", "{path}");
            assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
            let is_compressed = headers.get("content-encoding").is_some();
            let is_stream = path.ends_with("/events");
            assert_eq!(is_compressed, encodings == "gzip" && !is_stream, "{path} {encodings}");
        }
    }
}

#[tokio::test]
async fn an_unchanged_list_is_not_sent_again_in_any_encoding() {
    let store = Store::default();
    store.put("s", &completed(1)).await;
    let router = portal(store).router();
    let (_, headers, _) = accepting(&router, Method::GET, "/api/workflow/recent", "gzip").await;
    // Two encodings share the tag, so it must be weak.
    assert!(headers["etag"].as_bytes().starts_with(b"W/\""), "{headers:?}");
    for encodings in ["gzip", "identity"] {
        let mut request = get("/api/workflow/recent");
        request.headers_mut().insert("if-none-match", headers["etag"].clone());
        request.headers_mut().insert("accept-encoding", encodings.parse().unwrap());
        let (head, body) = ask(&router, request).await.into_parts();
        assert_eq!(head.status, StatusCode::NOT_MODIFIED);
        assert_eq!(head.headers["etag"], headers["etag"]);
        assert_eq!(head.headers["vary"], "accept-encoding");
        assert_eq!(head.headers.get("content-encoding"), None);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "");
    }
}

#[tokio::test]
async fn a_request_with_a_large_body_is_refused() {
    let store = Store::default();
    let router = portal(store.clone()).router();
    for (method, size, expected) in [
        (Method::GET, 1024, StatusCode::OK),
        (Method::GET, 1025, StatusCode::PAYLOAD_TOO_LARGE),
        (Method::POST, 1_000_000_000, StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let request = Request::builder().method(method).uri("/api/workflow/s/status");
        let request = request.header("content-length", size.to_string());
        let response = ask(&router, request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), expected, "{size}");
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        if expected == StatusCode::PAYLOAD_TOO_LARGE {
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let detail = r#"{"detail":"the request body is too large; no route needs one"}"#;
            assert_eq!(body, detail);
        }
    }
    assert_eq!(store.reads().gets, 1);
}

/// A store that never responds.
struct Silent;

impl StatusReader for Silent {
    async fn get(&self, _: &SessionId) -> Result<Option<Item>, StoreError> {
        std::future::pending().await
    }

    async fn get_many(&self, _: &[SessionId]) -> Result<Vec<Option<Item>>, StoreError> {
        std::future::pending().await
    }

    async fn list<T: Send>(
        &self,
        _: &ListRequest,
        _: impl Fn(&SessionId, Item) -> T + Send + Sync,
    ) -> Result<RecentItems<T>, StoreError> {
        std::future::pending().await
    }

    async fn delete(&self, _: &SessionId) -> Result<bool, StoreError> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_never_responds_times_out_except_for_events() {
    let router = portal(Silent).keep_alive_interval(Duration::from_secs(3_600)).router();
    for path in ["/api/workflow/s/status", "/api/workflow/recent", "/api/workflow/metrics"] {
        let begun = tokio::time::Instant::now();
        let (status, headers, body) = whole(&router, path).await;
        assert_eq!(begun.elapsed().as_secs(), 60, "{path}");
        assert_eq!(status, StatusCode::GATEWAY_TIMEOUT, "{path}");
        assert_eq!(headers["content-type"], "application/json", "{path}");
        assert_eq!(
            body, r#"{"detail":"the status store took too long to answer; try again later"}"#,
            "{path}"
        );
    }
    let begun = tokio::time::Instant::now();
    let mut events = crate::events::Events::of(&router, "s").await;
    assert_eq!(events.next().await, Piece::Comment("stale".to_owned()));
    assert_eq!(events.next().await, Piece::Comment("stale".to_owned()));
    assert!(begun.elapsed() > Duration::from_secs(3_600), "{:?}", begun.elapsed());
}

/// Collects the traces of tower-http on this thread.
struct Traces(Arc<Mutex<String>>);

impl Subscriber for Traces {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("tower_http")
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        let mut text = self.0.lock().unwrap();
        text.push_str(span.metadata().name());
        span.record(&mut Fields(&mut text));
        span::Id::from_u64(1)
    }

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Fields(&mut self.0.lock().unwrap()));
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!(" {field}={value:?}"));
    }
}

#[tokio::test]
async fn a_request_is_traced_without_its_token() {
    let traces = Arc::new(Mutex::new(String::new()));
    let _guard = tracing::subscriber::set_default(Traces(Arc::clone(&traces)));
    let store = Store::default();
    store.fails(true);
    let router = portal(store).token("s3cret").router();
    let mut request = get("/api/workflow/s/status");
    request.headers_mut().insert("authorization", "Bearer s3cret".parse().unwrap());
    assert_eq!(ask(&router, request).await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let traces = traces.lock().unwrap();
    for part in ["request", "method=GET", "uri=/api/workflow/s/status", "status=500"] {
        assert!(traces.contains(part), "no {part} in {traces}");
    }
    assert!(!traces.contains("s3cret"), "{traces}");
    // The handler logs the reason. There is no second error.
    assert!(!traces.contains("response failed"), "{traces}");
}
