//! `GET /api/workflow/recent`.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use tower_agent_status::SessionId;
use tower_agent_status::portal::Portal;
use tower_agent_status::status::Item;
use tower_agent_status::store::{
    ListRequest, RecentItems, StatusReader, StoreError, StoreErrorKind,
};

use crate::support::{Store, ask, get, portal, whole};
use crate::warnings::Warnings;

async fn fill(store: &Store, workflows: u32) {
    for n in 0..workflows {
        let (minute, second) = (n / 60, n % 60);
        let time = format!("2025-12-24T10:{minute:02}:{second:02}.000Z");
        let item = json!({
            "overallStatus": "completed", "createdAt": time, "lastUpdated": time,
            "pdfAdapter": { "status": "success", "tokenUsage": { "totalTokens": 1_200 } },
        });
        store.put(&format!("session-{n}"), &item).await;
    }
}

fn ids(body: &str) -> Vec<String> {
    let list: Vec<Value> = serde_json::from_str(body).unwrap();
    list.iter().map(|entry| entry["sessionId"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_newest_come_first_and_ten_by_default() {
    let store = Store::default();
    fill(&store, 600).await;
    let router = portal(store).router();
    let (status, headers, body) = whole(&router, "/api/workflow/recent?limit=1").await;
    assert_eq!(
        (status, &headers["content-type"]),
        (StatusCode::OK, &"application/json".parse().unwrap())
    );
    assert_eq!(headers.get("x-truncated"), None);
    let expected = concat!(
        r#"[{"sessionId":"session-599","status":"completed","createdAt":"2025-12-24T10:09:59.000Z","lastUpdated":"2025-12-24T10:09:59.000Z","#,
        r#""correlationId":null,"stalled":false,"totalTokens":1200,"agents":{"pdfAdapter":"success","tradeMatching":"pending"},"waiting":false}]"#,
    );
    assert_eq!(body, expected);

    let newest: Vec<_> = (0..600).rev().map(|n| format!("session-{n}")).collect();
    for (query, expected) in [("", 10), ("?limit=2", 2), ("?limit=500", 500), ("?other=1", 10)] {
        let (_, _, body) = whole(&router, &format!("/api/workflow/recent{query}")).await;
        assert_eq!(ids(&body), newest[..expected], "{query}");
    }
}

#[tokio::test]
async fn an_empty_store_gives_an_empty_list() {
    let (status, _, body) = whole(&portal(Store::default()).router(), "/api/workflow/recent").await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, "[]"));
}

#[tokio::test]
async fn an_invalid_limit_is_rejected() {
    let store = Store::default();
    let router = portal(store.clone()).router();
    for limit in ["0", "501", "-1", "1.5", "ten", "", "99999999999999999999"] {
        let (status, _, body) =
            whole(&router, &format!("/api/workflow/recent?limit={limit}")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{limit}");
        assert_eq!(body, r#"{"detail":"`limit` must be a whole number from 1 to 500"}"#);
    }
    assert_eq!(store.reads().lists, 0);
}

#[tokio::test]
async fn an_incomplete_list_has_a_header() {
    let store = Store::default();
    store.truncates();
    let (_, headers, _) = whole(&portal(store).router(), "/api/workflow/recent").await;
    assert_eq!(headers["x-truncated"], "true");
    assert_eq!(headers.get("x-unindexed"), None);
}

#[tokio::test]
async fn a_list_that_may_lack_sessions_in_no_index_has_a_header() {
    let store = Store::default();
    store.has_unindexed();
    let (_, headers, _) = whole(&portal(store).router(), "/api/workflow/recent").await;
    assert_eq!(headers["x-unindexed"], "true");
    assert_eq!(headers.get("x-truncated"), None);
}

#[tokio::test]
async fn the_reason_of_a_failure_appears_only_in_the_log() {
    let warnings = Warnings::watch();
    let store = Store::default();
    store.fails(true);
    let (status, _, body) = whole(&portal(store).router(), "/api/workflow/recent").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(body, r#"{"detail":"the status store cannot be read right now; try again later"}"#);
    assert!(matches!(&*warnings.take(), [line] if line.contains("table-of-secrets")));
}

#[tokio::test(start_paused = true)]
async fn concurrent_requests_share_a_read() {
    let store = Store::default();
    fill(&store, 20).await;
    let router = portal(store.clone()).poll_interval(Duration::from_secs(1)).router();
    for _ in 0..50 {
        whole(&router, "/api/workflow/recent?limit=10").await;
        whole(&router, "/api/workflow/recent?limit=3").await;
    }
    assert_eq!(store.reads().lists, 1);
    // A longer list needs another read.
    let (_, _, body) = whole(&router, "/api/workflow/recent?limit=20").await;
    assert_eq!((ids(&body).len(), store.reads().lists), (20, 2));
    fill(&store, 21).await;
    tokio::time::advance(Duration::from_millis(1_001)).await;
    let (_, _, body) = whole(&router, "/api/workflow/recent?limit=1").await;
    assert_eq!((ids(&body), store.reads().lists), (vec!["session-20".to_owned()], 3));
}

#[tokio::test]
async fn an_unchanged_list_is_not_modified() {
    let store = Store::default();
    fill(&store, 3).await;
    let router = portal(store).router();
    let (_, headers, _) = whole(&router, "/api/workflow/recent").await;
    assert_eq!(headers["cache-control"], "no-cache");
    let mut request = get("/api/workflow/recent");
    request.headers_mut().insert("if-none-match", headers["etag"].clone());
    assert_eq!(ask(&router, request).await.status(), StatusCode::NOT_MODIFIED);
    let mut request = get("/api/workflow/recent?limit=1");
    request.headers_mut().insert("if-none-match", headers["etag"].clone());
    assert_eq!(ask(&router, request).await.status(), StatusCode::OK);
}

/// A store that fails after a second.
#[derive(Debug)]
struct Failing(std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl StatusReader for Failing {
    async fn get(&self, _: &SessionId) -> Result<Option<Item>, StoreError> {
        Ok(None)
    }

    async fn get_many(&self, ids: &[SessionId]) -> Result<Vec<Option<Item>>, StoreError> {
        Ok(vec![None; ids.len()])
    }

    async fn list<T: Send>(
        &self,
        _: &ListRequest,
        _: impl Fn(&SessionId, Item) -> T + Send + Sync,
    ) -> Result<RecentItems<T>, StoreError> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(1)).await;
        Err(StoreError::new(StoreErrorKind::Unavailable, "it does not answer"))
    }

    async fn delete(&self, _: &SessionId) -> Result<bool, StoreError> {
        Ok(false)
    }
}

#[tokio::test(start_paused = true)]
async fn concurrent_requests_share_a_failure() {
    let reads = std::sync::Arc::default();
    let router = Portal::new(Failing(std::sync::Arc::clone(&reads))).router();
    let begun = tokio::time::Instant::now();
    let asked = (0..30).map(|_| whole(&router, "/api/workflow/recent"));
    for (status, _, _) in futures_util::future::join_all(asked).await {
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    }
    assert_eq!(reads.load(std::sync::atomic::Ordering::SeqCst), 1);
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "no request waits for the failures of others"
    );
    // A later request reads again.
    whole(&router, "/api/workflow/recent").await;
    assert_eq!(reads.load(std::sync::atomic::Ordering::SeqCst), 2);
}

/// A store whose lists take this long.
#[derive(Debug)]
struct Slow(Store, Duration);

impl StatusReader for Slow {
    async fn get(&self, id: &SessionId) -> Result<Option<Item>, StoreError> {
        self.0.get(id).await
    }

    async fn get_many(&self, ids: &[SessionId]) -> Result<Vec<Option<Item>>, StoreError> {
        self.0.get_many(ids).await
    }

    async fn list<T: Send>(
        &self,
        request: &ListRequest,
        map: impl Fn(&SessionId, Item) -> T + Send + Sync,
    ) -> Result<RecentItems<T>, StoreError> {
        tokio::time::sleep(self.1).await;
        self.0.list(request, map).await
    }

    async fn delete(&self, id: &SessionId) -> Result<bool, StoreError> {
        self.0.delete(id).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_took_long_to_read_is_kept_for_ten_times_as_long() {
    let second = Duration::from_secs(1);
    for (takes, fresh) in [(Duration::ZERO, second), (second / 20, second), (second, 10 * second)] {
        let store = Store::default();
        let slow = Slow(store.clone(), takes);
        let router = portal(slow).poll_interval(second).router();
        whole(&router, "/api/workflow/recent").await;
        let just_before = fresh - Duration::from_millis(1);
        for (pause, reads) in [(just_before, 1), (Duration::from_millis(1), 2)] {
            tokio::time::sleep(pause).await;
            whole(&router, "/api/workflow/recent").await;
            assert_eq!(store.reads().lists, reads, "{takes:?}");
        }
    }
}
