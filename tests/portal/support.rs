//! A store that can fail and counts its reads, and requests to a portal.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value as Json, json};
use tower::ServiceExt as _;
use tower_agent_status::Agent;
use tower_agent_status::SessionId;
use tower_agent_status::portal::Portal;
use tower_agent_status::status::{Change, Item, Precondition, Timestamp, Value};
use tower_agent_status::store::{
    ListRequest, MemoryStore, RecentItems, StatusReader, StatusStore as _, StoreError,
    StoreErrorKind,
};

/// A store in memory. A clone is the same store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    pub(crate) memory: MemoryStore,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    fails: AtomicBool,
    is_truncated: AtomicBool,
    is_unindexed: AtomicBool,
    gets: AtomicUsize,
    batches: AtomicUsize,
    keys: AtomicUsize,
    largest_batch: AtomicUsize,
    lists: AtomicUsize,
}

/// The reads of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reads {
    pub(crate) gets: usize,
    pub(crate) batches: usize,
    /// The number of items requested in batches.
    pub(crate) keys: usize,
    pub(crate) lists: usize,
}

impl Store {
    pub(crate) fn fails(&self, fails: bool) {
        self.shared.fails.store(fails, Ordering::SeqCst);
    }

    pub(crate) fn truncates(&self) {
        self.shared.is_truncated.store(true, Ordering::SeqCst);
    }

    pub(crate) fn has_unindexed(&self) {
        self.shared.is_unindexed.store(true, Ordering::SeqCst);
    }

    pub(crate) fn reads(&self) -> Reads {
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        Reads {
            gets: count(&self.shared.gets),
            batches: count(&self.shared.batches),
            keys: count(&self.shared.keys),
            lists: count(&self.shared.lists),
        }
    }

    /// The most items that were requested in one batch.
    #[cfg(unix)]
    pub(crate) fn largest_batch(&self) -> usize {
        self.shared.largest_batch.load(Ordering::SeqCst)
    }

    /// Replaces an item.
    pub(crate) async fn put(&self, session: &str, item: &Json) {
        let session = id(session);
        self.memory.delete(&session).await.unwrap();
        let change = Change::new(session, self::item(item), Vec::new());
        self.memory.write(&change, Precondition::Absent).await.unwrap();
    }

    fn answer(&self, counter: &AtomicUsize) -> Result<(), StoreError> {
        counter.fetch_add(1, Ordering::SeqCst);
        if self.shared.fails.load(Ordering::SeqCst) {
            let secret = "no route to table-of-secrets at 10.1.2.3";
            return Err(StoreError::new(StoreErrorKind::Unavailable, secret));
        }
        Ok(())
    }
}

impl StatusReader for Store {
    async fn get(&self, session_id: &SessionId) -> Result<Option<Item>, StoreError> {
        self.answer(&self.shared.gets)?;
        self.memory.get(session_id).await
    }

    async fn get_many(&self, session_ids: &[SessionId]) -> Result<Vec<Option<Item>>, StoreError> {
        self.shared.keys.fetch_add(session_ids.len(), Ordering::SeqCst);
        self.shared.largest_batch.fetch_max(session_ids.len(), Ordering::SeqCst);
        self.answer(&self.shared.batches)?;
        self.memory.get_many(session_ids).await
    }

    async fn list<T: Send>(
        &self,
        request: &ListRequest,
        map: impl Fn(&SessionId, Item) -> T + Send + Sync,
    ) -> Result<RecentItems<T>, StoreError> {
        self.answer(&self.shared.lists)?;
        let mut recent = self.memory.list(request, map).await?;
        recent.truncated = self.shared.is_truncated.load(Ordering::SeqCst);
        recent.unindexed = self.shared.is_unindexed.load(Ordering::SeqCst);
        Ok(recent)
    }

    async fn delete(&self, _: &SessionId) -> Result<bool, StoreError> {
        panic!("the portal deletes nothing")
    }
}

/// A portal with two declared agents.
pub(crate) fn portal<R: StatusReader>(reader: R) -> Portal<R> {
    Portal::new(reader)
        .agent(Agent::new("pdfAdapter").pending("Waiting for upload"))
        .agent(Agent::new("tradeMatching").pending("Waiting for extraction"))
}

/// Sends a request to a router.
pub(crate) async fn ask(router: &Router, request: Request<Body>) -> Response<Body> {
    router.clone().oneshot(request).await.unwrap()
}

pub(crate) fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

/// Gets a path and reads the whole response.
pub(crate) async fn whole(router: &Router, path: &str) -> (StatusCode, HeaderMap, String) {
    let (head, body) = ask(router, get(path)).await.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status, head.headers, String::from_utf8(body.to_vec()).unwrap())
}

/// The time `time` ago.
pub(crate) fn ago(time: Duration) -> String {
    Timestamp::from(SystemTime::now() - time).to_string()
}

/// A running workflow, updated just now.
pub(crate) fn processing(revision: u64) -> Json {
    json!({
        "overallStatus": "processing", "revision": revision,
        "createdAt": "2025-12-24T10:00:00.000Z", "lastUpdated": ago(Duration::ZERO),
        "pdfAdapter": { "status": "in-progress", "activity": format!("Extracting page {revision}") },
    })
}

/// The same workflow, completed.
pub(crate) fn completed(revision: u64) -> Json {
    let mut item = processing(revision);
    item["overallStatus"] = json!("completed");
    item["pdfAdapter"] = json!({ "status": "success", "activity": "Extracted" });
    item
}

fn item(json: &Json) -> Item {
    let Json::Object(map) = json else { panic!("{json} is not an item") };
    map.iter().map(|(name, json)| (name.clone(), value(json))).collect()
}

fn value(json: &Json) -> Value {
    match json {
        Json::String(text) => Value::String(text.clone()),
        Json::Number(number) if number.is_u64() => Value::Integer(number.as_u64().unwrap()),
        Json::Number(number) => Value::Float(number.as_f64().unwrap()),
        Json::Array(list) => Value::List(list.iter().map(value).collect()),
        Json::Object(_) => Value::Map(item(json)),
        _ => panic!("{json} cannot be stored in an item"),
    }
}

/// A session id of a test.
pub(crate) fn id(text: &str) -> SessionId {
    SessionId::new(text).unwrap()
}
