//! `GET /api/workflow/{sessionId}/events`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tower_agent_status::SessionId;
use tower_agent_status::portal::Portal;
use tower_agent_status::status::Item;
use tower_agent_status::store::{ListRequest, RecentItems, StatusReader, StoreError};

use crate::support::{Store, ask, completed, get, id, portal, processing, whole};
use crate::warnings::Warnings;

const POLL: Duration = Duration::from_secs(1);

/// An element of the stream.
#[derive(Debug, PartialEq)]
pub(crate) enum Piece {
    Comment(String),
    /// The data, and the id if there is one.
    Event(String, Option<String>),
    End,
}

/// A client that reads the stream of a session.
pub(crate) struct Events {
    body: Body,
    received: String,
}

impl From<Body> for Events {
    fn from(body: Body) -> Self {
        Self { body, received: String::new() }
    }
}

impl Events {
    pub(crate) async fn of(router: &Router, session: &str) -> Self {
        let response = ask(router, get(&format!("/api/workflow/{session}/events"))).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        let mut events = Self::from(response.into_body());
        // Intermediaries may hold back the head until something follows it.
        assert_eq!(events.next().await, Piece::Comment("live".to_owned()));
        events
    }

    pub(crate) async fn next(&mut self) -> Piece {
        loop {
            if let Some((piece, rest)) = self.received.split_once("\n\n") {
                let (piece, rest) = (piece.to_owned(), rest.to_owned());
                self.received = rest;
                if let Some(comment) = piece.strip_prefix(": ") {
                    return Piece::Comment(comment.to_owned());
                }
                let (id, data) = match piece.split_once('\n') {
                    Some((id, data)) => (Some(id.strip_prefix("id: ").unwrap().to_owned()), data),
                    None => (None, piece.as_str()),
                };
                return Piece::Event(data.strip_prefix("data: ").unwrap().to_owned(), id);
            }
            let Some(frame) = self.body.frame().await else {
                assert_eq!(self.received, "", "the stream broke off");
                return Piece::End;
            };
            let data = frame.unwrap().into_data().unwrap();
            self.received.push_str(std::str::from_utf8(&data).unwrap());
        }
    }

    /// Returns the data of the next element, which must be an event.
    pub(crate) async fn data(&mut self) -> String {
        match self.next().await {
            Piece::Event(data, _) => data,
            other => panic!("{other:?} is not an event"),
        }
    }
}

fn live(store: &Store) -> Portal<Store> {
    portal(store.clone()).poll_interval(POLL)
}

#[tokio::test(start_paused = true)]
async fn every_change_is_an_event_and_the_end_is_the_last() {
    let store = Store::default();
    let router = live(&store).router();
    let mut events = Events::of(&router, "s").await;
    let same = async |data: String| {
        assert_eq!(data, whole(&router, "/api/workflow/s/status").await.2);
        serde_json::from_str::<Value>(&data).unwrap()["overallStatus"].take()
    };
    assert_eq!(same(events.data().await).await, "pending");
    store.put("s", &processing(1)).await;
    assert_eq!(same(events.data().await).await, "processing");
    store.put("s", &processing(2)).await;
    assert_eq!(same(events.data().await).await, "processing");
    store.put("s", &completed(3)).await;
    assert_eq!(same(events.data().await).await, "completed");
    assert_eq!(events.next().await, Piece::End);
}

#[tokio::test(start_paused = true)]
async fn a_workflow_that_has_finished_is_one_event() {
    let store = Store::default();
    store.put("s", &completed(1)).await;
    let mut events = Events::of(&live(&store).router(), "s").await;
    let Piece::Event(_, Some(_)) = events.next().await else { panic!("the end has an id") };
    assert_eq!(events.next().await, Piece::End);
}

#[tokio::test(start_paused = true)]
async fn a_browser_that_reconnects_after_the_end_gets_204() {
    let store = Store::default();
    store.put("s", &completed(1)).await;
    let router = live(&store).router();
    let Piece::Event(_, Some(id)) = Events::of(&router, "s").await.next().await else { panic!() };
    let again = async |id: &str| {
        let path = "/api/workflow/s/events";
        let request = Request::get(path).header("last-event-id", id).body(Body::empty()).unwrap();
        ask(&router, request).await.status()
    };
    assert_eq!(again(&id).await, StatusCode::NO_CONTENT);
    assert_eq!(again("another").await, StatusCode::OK);
    // Late token usage is a change.
    let mut late = completed(2);
    late["pdfAdapter"]["tokenUsage"] = serde_json::json!({ "totalTokens": 7 });
    store.put("s", &late).await;
    assert_eq!(again(&id).await, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn comments_keep_a_silent_stream_alive() {
    let store = Store::default();
    store.put("s", &processing(1)).await;
    let router = live(&store).keep_alive_interval(Duration::from_secs(5)).router();
    let mut events = Events::of(&router, "s").await;
    events.data().await;
    let start = Instant::now();
    for n in 1..=3 {
        assert_eq!(events.next().await, Piece::Comment("live".to_owned()));
        assert_eq!(start.elapsed().as_secs(), 5 * n);
    }
}

#[tokio::test(start_paused = true)]
async fn streams_end_at_shutdown() {
    let store = Store::default();
    store.put("s", &processing(1)).await;
    let (stop, stopped) = oneshot::channel::<()>();
    let router = live(&store).with_graceful_shutdown(async { drop(stopped.await) }).router();
    let mut events = [Events::of(&router, "s").await, Events::of(&router, "t").await];
    for events in &mut events {
        events.data().await;
    }
    drop(stop);
    for events in &mut events {
        assert_eq!(events.next().await, Piece::End);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_is_waited_for() {
    let warnings = Warnings::watch();
    let store = Store::default();
    store.put("s", &processing(1)).await;
    let router = live(&store).keep_alive_interval(Duration::from_secs(60)).router();
    let mut events = Events::of(&router, "s").await;
    let before = events.data().await;
    store.fails(true);
    assert_eq!(events.next().await, Piece::Comment("stale".to_owned()));
    // A new client gets the last known state, marked as stale.
    let mut late = Events::of(&router, "s").await;
    assert_eq!(late.next().await, Piece::Comment("stale".to_owned()));
    assert_eq!(late.data().await, before);
    let mut other = Events::of(&router, "t").await;
    assert_eq!(other.next().await, Piece::Comment("stale".to_owned()));

    let batches = store.reads().batches;
    assert_eq!(events.next().await, Piece::Comment("stale".to_owned()));
    let tries = store.reads().batches - batches;
    assert!((8..=20).contains(&tries), "{tries} tries in a minute");
    assert_eq!(warnings.take().len(), 1, "one outage is one line");

    store.fails(false);
    store.put("s", &completed(2)).await;
    for events in [&mut events, &mut late] {
        assert_eq!(events.next().await, Piece::Comment("live".to_owned()));
        assert!(events.data().await.contains(r#""overallStatus":"completed""#));
        assert_eq!(events.next().await, Piece::End);
    }
    assert_eq!(other.next().await, Piece::Comment("live".to_owned()));
    assert!(other.data().await.contains(r#""overallStatus":"pending""#));
}

#[tokio::test(start_paused = true)]
async fn all_watchers_share_one_read() {
    let store = Store::default();
    for session in ["a", "b", "c"] {
        store.put(session, &processing(1)).await;
    }
    let router = live(&store).router();
    let mut watchers = Vec::new();
    for n in 0..60 {
        watchers.push(Events::of(&router, ["a", "b", "c"][n % 3]).await);
    }
    for watcher in &mut watchers {
        watcher.data().await;
    }
    let start = store.reads();
    tokio::time::sleep(POLL * 10 + POLL / 2).await;
    let reads = store.reads();
    assert_eq!((reads.batches - start.batches, reads.keys - start.keys), (10, 30));
    assert_eq!((reads.gets, reads.lists), (0, 0));

    // Sessions nobody watches are no longer read.
    watchers.retain_mut(|watcher| !watcher.received.is_empty());
    tokio::time::sleep(POLL * 2).await;
    let start = store.reads();
    tokio::time::sleep(POLL * 10).await;
    assert_eq!(store.reads(), start);
    // Polling starts again.
    Events::of(&router, "a").await.data().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_is_read_as_soon_as_it_is_watched() {
    let store = Store::default();
    let router = live(&store).poll_interval(Duration::from_secs(3_600)).router();
    Events::of(&router, "a").await.data().await;
    let mut first = Events::of(&router, "a").await;
    first.data().await;
    let start = Instant::now();
    let mut second = Events::of(&router, "b").await;
    second.data().await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    drop(first);
}

#[tokio::test(start_paused = true)]
async fn a_workflow_stalls_without_a_write() {
    let store = Store::default();
    store.put("s", &processing(1)).await;
    let router = live(&store).heartbeat_interval(Duration::from_millis(100)).router();
    let mut events = Events::of(&router, "s").await;
    let mut stalled = Vec::new();
    while stalled.last() != Some(&true) {
        if let Piece::Event(data, _) = events.next().await {
            stalled.push(data.contains(r#""stalled":true,"#));
        }
    }
    assert_eq!(stalled, [false, true]);
}

#[tokio::test(start_paused = true)]
async fn an_older_read_is_not_shown() {
    let store = Store::default();
    store.put("s", &processing(7)).await;
    let router = live(&store).keep_alive_interval(POLL * 8 / 5).router();
    let mut events = Events::of(&router, "s").await;
    let first = events.data().await;
    // A replica that lags behind, and then has no item at all.
    let mut behind = processing(6);
    behind["pdfAdapter"]["status"] = "pending".into();
    store.put("s", &behind).await;
    assert_eq!(events.next().await, Piece::Comment("live".to_owned()));
    store.put("s", &processing(8)).await;
    assert_ne!(events.data().await, first);
    store.memory.delete(&id("s")).await.unwrap();
    assert_eq!(events.next().await, Piece::Comment("live".to_owned()));
    // An item that stays missing was deleted.
    assert!(events.data().await.contains(r#""overallStatus":"pending""#));
    // A new run of the session starts with lower revisions.
    store.put("s", &processing(1)).await;
    assert!(events.data().await.contains(r#""overallStatus":"processing""#));
}

/// An item created and last changed at these minutes. Without a revision it is another writer's.
fn written(revision: u64, created: u64, changed: u64) -> Value {
    let mut item = processing(revision);
    if revision == 0 {
        item.as_object_mut().unwrap().remove("revision");
    }
    item["createdAt"] = format!("2025-12-24T10:{created:02}:00.000Z").into();
    item["lastUpdated"] = format!("2025-12-24T10:{changed:02}:00.000Z").into();
    item["at"] = format!("{created} {changed}").into();
    item
}

#[tokio::test(start_paused = true)]
async fn a_new_run_and_the_item_of_another_writer_are_shown_at_the_next_read() {
    let store = Store::default();
    store.put("s", &written(7, 1, 1)).await;
    let mut events = Events::of(&live(&store).router(), "s").await;
    events.data().await;
    let changes = [
        // A new run over the one that is not finished, from a process whose clock is behind.
        (written(5, 2, 2), true),
        (written(8, 2, 3), true),
        // Another writer's item in its place, which says when it began, or does not know better.
        (written(0, 4, 4), true),
        // The recorder writes again what it knows.
        (written(9, 2, 5), true),
        (written(0, 2, 6), true),
        (written(10, 2, 7), true),
        // Older reads: of the run before, and of the item as another writer had left it.
        (written(6, 1, 1), false),
        (written(11, 2, 8), true),
        (written(0, 2, 6), false),
        (written(12, 2, 9), true),
        (written(0, 2, 9), false),
    ];
    for (item, is_newer) in changes {
        store.put("s", &item).await;
        let start = Instant::now();
        let found = events.data();
        let found = tokio::time::timeout(POLL * 2, found).await;
        let Ok(data) = found else {
            assert!(!is_newer, "{item} is not shown");
            continue;
        };
        assert!(is_newer, "{data} is older");
        assert!(data.contains(item["at"].as_str().unwrap()), "{data}");
        assert!(start.elapsed() <= POLL, "{item}: {:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn the_number_of_watched_sessions_is_limited() {
    let store = Store::default();
    let router = live(&store).router();
    let mut watchers = Vec::new();
    for n in 0..1_000 {
        watchers.push(Events::of(&router, &n.to_string()).await);
    }
    let (status, _, body) = whole(&router, "/api/workflow/1000/events").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let expected = r#"{"detail":"too many workflows are being watched; try again later"}"#;
    assert_eq!(body, expected);
    // Another client of a watched session costs no read.
    Events::of(&router, "7").await.data().await;
    watchers.pop();
    Events::of(&router, "1000").await.data().await;
}

/// A reader that panics on demand.
struct Fragile(Store, Arc<AtomicBool>);

impl StatusReader for Fragile {
    async fn get(&self, id: &SessionId) -> Result<Option<Item>, StoreError> {
        self.0.get(id).await
    }

    async fn get_many(&self, ids: &[SessionId]) -> Result<Vec<Option<Item>>, StoreError> {
        assert!(!self.1.load(Ordering::SeqCst), "panics on demand");
        self.0.get_many(ids).await
    }

    async fn list<T: Send>(
        &self,
        request: &ListRequest,
        map: impl Fn(&SessionId, Item) -> T + Send + Sync,
    ) -> Result<RecentItems<T>, StoreError> {
        self.0.list(request, map).await
    }

    async fn delete(&self, id: &SessionId) -> Result<bool, StoreError> {
        self.0.delete(id).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_panicking_reader_ends_the_streams() {
    let broken = Arc::new(AtomicBool::new(false));
    let router = portal(Fragile(Store::default(), Arc::clone(&broken))).router();
    let mut events = Events::of(&router, "s").await;
    events.data().await;
    broken.store(true, Ordering::SeqCst);
    assert_eq!(events.next().await, Piece::End);
    broken.store(false, Ordering::SeqCst);
    Events::of(&router, "s").await.data().await;
}

#[tokio::test(start_paused = true)]
async fn each_newer_read_allows_two_older_ones_again() {
    let store = Store::default();
    store.put("s", &processing(10)).await;
    let router = live(&store).keep_alive_interval(POLL * 8 / 5).router();
    let mut events = Events::of(&router, "s").await;
    events.data().await;
    for revision in [20, 30, 40] {
        // One read of a replica that lags behind, and then two.
        for reads in [1, 2] {
            store.put("s", &processing(1)).await;
            tokio::time::sleep(POLL * reads).await;
            let newest = processing(revision + u64::from(reads));
            store.put("s", &newest).await;
            let data = loop {
                match events.next().await {
                    Piece::Event(data, _) => break data,
                    Piece::Comment(_) => {}
                    Piece::End => panic!("the stream goes on"),
                }
            };
            assert!(data.contains(newest["pdfAdapter"]["activity"].as_str().unwrap()), "{data}");
        }
    }
}

/// A reader that does not answer, on demand.
struct Silent(Store, Arc<AtomicBool>);

impl StatusReader for Silent {
    async fn get(&self, id: &SessionId) -> Result<Option<Item>, StoreError> {
        self.0.get(id).await
    }

    async fn get_many(&self, ids: &[SessionId]) -> Result<Vec<Option<Item>>, StoreError> {
        if self.1.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.0.get_many(ids).await
    }

    async fn list<T: Send>(
        &self,
        request: &ListRequest,
        map: impl Fn(&SessionId, Item) -> T + Send + Sync,
    ) -> Result<RecentItems<T>, StoreError> {
        self.0.list(request, map).await
    }

    async fn delete(&self, id: &SessionId) -> Result<bool, StoreError> {
        self.0.delete(id).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_does_not_answer_has_failed_after_ten_seconds() {
    let silent = Arc::new(AtomicBool::new(false));
    let reader = Silent(Store::default(), Arc::clone(&silent));
    let router = portal(reader).poll_interval(POLL).router();
    let mut events = Events::of(&router, "s").await;
    events.data().await;
    silent.store(true, Ordering::SeqCst);
    let start = Instant::now();
    assert_eq!(events.next().await, Piece::Comment("stale".to_owned()));
    assert_eq!(start.elapsed(), POLL + Duration::from_secs(10));
    silent.store(false, Ordering::SeqCst);
    assert_eq!(events.next().await, Piece::Comment("live".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn new_watchers_do_not_hurry_a_store_that_fails() {
    let store = Store::default();
    let router = live(&store).router();
    let mut first = Events::of(&router, "first").await;
    first.data().await;
    store.fails(true);
    assert_eq!(first.next().await, Piece::Comment("stale".to_owned()));
    let start = store.reads();
    let mut watchers = Vec::new();
    for n in 0..100 {
        watchers.push(Events::of(&router, &n.to_string()).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let reads = store.reads().batches - start.batches;
    assert!((1..=4).contains(&reads), "{reads} reads in ten seconds");
    store.fails(false);
    for watcher in &mut watchers {
        while !matches!(watcher.next().await, Piece::Event(..)) {}
    }
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_all_is_as_before() {
    let store = Store::default();
    store.put("s", &processing(1)).await;
    let router = live(&store).router();
    let mut events = Events::of(&router, "s").await;
    events.data().await;
    store.fails(true);
    assert_eq!(events.next().await, Piece::Comment("stale".to_owned()));
    tokio::time::sleep(POLL * 20).await;
    store.fails(false);
    while events.next().await != Piece::Comment("live".to_owned()) {}
    // The pauses are those of a store that answers, and a new session is read at once.
    let (start, reads) = (Instant::now(), store.reads());
    tokio::time::sleep(POLL * 10 + POLL / 2).await;
    assert_eq!(store.reads().batches - reads.batches, 10);
    let late = start.elapsed();
    Events::of(&router, "t").await.data().await;
    assert_eq!(start.elapsed(), late);
}

#[tokio::test(start_paused = true)]
async fn a_change_by_a_writer_without_revisions_is_shown_at_the_next_read() {
    let store = Store::default();
    let without_revision = |page: u64| {
        let mut item = processing(page);
        item.as_object_mut().unwrap().remove("revision");
        item
    };
    store.put("s", &without_revision(0)).await;
    let mut events = Events::of(&live(&store).router(), "s").await;
    events.data().await;
    for page in 1..=5 {
        store.put("s", &without_revision(page)).await;
        let start = Instant::now();
        assert!(events.data().await.contains(&format!("Extracting page {page}")));
        assert!(start.elapsed() <= POLL, "{:?}", start.elapsed());
    }
}
