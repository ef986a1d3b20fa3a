//! The queue is bounded, and what does not fit is found again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use http::HeaderMap;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tower_agent_status::SessionId;
use tower_agent_status::status::Item;
use tower_agent_status::store::{
    ListRequest, MemoryStore, RecentItems, StatusReader, StoreError, StoreErrorKind,
};
use tower_agent_status::webhook::{RunningWebhook, Webhook, WebhookCounts};

use crate::SECOND;
use crate::support::{LONG, item, put};

/// Responds once it is open.
struct Gate {
    is_open: watch::Receiver<bool>,
    ids: mpsc::UnboundedSender<String>,
}

async fn respond(State(gate): State<Arc<Gate>>, headers: HeaderMap) {
    let mut is_open = gate.is_open.clone();
    is_open.wait_for(|is_open| *is_open).await.unwrap();
    gate.ids.send(headers["webhook-id"].to_str().unwrap().to_owned()).unwrap();
}

async fn wait_for(webhook: &RunningWebhook, what: impl Fn(WebhookCounts) -> bool) {
    let waits = async {
        while !what(webhook.counts()) {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, waits).await.unwrap_or_else(|_| panic!("{:?}", webhook.counts()));
}

#[tokio::test]
async fn a_thousand_are_queued_and_the_others_sent_when_there_is_room() {
    let store = MemoryStore::new();
    for n in 0..1_100_u32 {
        put(&store, &format!("s{n}"), item("failed", SECOND * n, SECOND)).await;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (open, is_open) = watch::channel(false);
    let (ids, mut received) = mpsc::unbounded_channel();
    let router = Router::new().fallback(respond).with_state(Arc::new(Gate { is_open, ids }));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let webhook = Webhook::new(&format!("http://{address}/")).unwrap().allow_private_addresses();
    let webhook = webhook.read_interval(Duration::from_millis(10)).timeout(LONG);
    let webhook = webhook.start(store).unwrap();

    wait_for(&webhook, |counts| counts.dropped_full == 100).await;
    let counts = webhook.counts();
    assert_eq!((counts.delivered, counts.failed, counts.pending), (0, 0, 1_000));
    open.send(true).unwrap();
    wait_for(&webhook, |counts| counts.delivered == 1_100).await;
    let counts = webhook.counts();
    // Each is counted once, however often it did not fit.
    assert_eq!((counts.dropped_full, counts.failed, counts.pending), (100, 0, 0));
    let mut ids = Vec::new();
    while let Ok(id) = received.try_recv() {
        ids.push(id);
    }
    assert_eq!((ids.len(), ids.iter().collect::<BTreeSet<_>>().len()), (1_100, 1_100));
}

/// A store whose list has the last workflow once only, and whose items cannot be read for a while.
#[derive(Clone)]
struct Partial {
    store: MemoryStore,
    lists: Arc<AtomicUsize>,
    fails: Arc<AtomicBool>,
}

impl StatusReader for Partial {
    async fn get(&self, session_id: &SessionId) -> Result<Option<Item>, StoreError> {
        self.store.get(session_id).await
    }

    async fn get_many(&self, ids: &[SessionId]) -> Result<Vec<Option<Item>>, StoreError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "no answer"));
        }
        self.store.get_many(ids).await
    }

    async fn list<T: Send>(
        &self,
        request: &ListRequest,
        map: impl Fn(&SessionId, Item) -> T + Send + Sync,
    ) -> Result<RecentItems<T>, StoreError> {
        let is_first = self.lists.fetch_add(1, Ordering::SeqCst) == 0;
        let mut list = self.store.list(request, map).await?;
        list.items.retain(|(id, _)| is_first || id.as_str() != "last");
        Ok(list)
    }

    async fn delete(&self, session_id: &SessionId) -> Result<bool, StoreError> {
        self.store.delete(session_id).await
    }
}

#[tokio::test]
async fn what_did_not_fit_is_sent_though_a_read_fails_half_way() {
    let store = MemoryStore::new();
    put(&store, "last", item("processing", SECOND, 600 * SECOND)).await;
    for n in 0..1_000_u32 {
        put(&store, &format!("s{n}"), item("failed", SECOND * (n + 2), SECOND)).await;
    }
    let reader = Partial { store, lists: Arc::default(), fails: Arc::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (open, is_open) = watch::channel(false);
    let (ids, _received) = mpsc::unbounded_channel();
    let router = Router::new().fallback(respond).with_state(Arc::new(Gate { is_open, ids }));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let webhook = Webhook::new(&format!("http://{address}/")).unwrap().allow_private_addresses();
    let webhook = webhook.read_interval(Duration::from_millis(10)).timeout(LONG);
    let webhook = webhook.start(reader.clone()).unwrap();

    wait_for(&webhook, |counts| counts.dropped_full == 1).await;
    reader.fails.store(true, Ordering::SeqCst);
    open.send(true).unwrap();
    // Once there is room for it, the list is read, but not the item.
    wait_for(&webhook, |counts| counts.delivered >= 600).await;
    let lists = reader.lists.load(Ordering::SeqCst);
    wait_for(&webhook, |_| reader.lists.load(Ordering::SeqCst) > lists + 1).await;
    reader.fails.store(false, Ordering::SeqCst);
    wait_for(&webhook, |counts| counts.delivered == 1_001).await;
}
