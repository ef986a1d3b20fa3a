//! At least once, also if the webhook is started anew.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tower_agent_status::SessionId;
use tower_agent_status::status::Item;
use tower_agent_status::store::{
    ListRequest, MemoryStore, RecentItems, StatusReader, StoreError, StoreErrorKind,
};

use crate::support::{Answer, Receiver, item, put};
use crate::{HOUR, MINUTE, SECOND};

#[tokio::test]
async fn what_was_not_sent_before_a_restart_is_sent_after_it() {
    let store = MemoryStore::new();
    put(&store, "unsent", item("failed", 5 * HOUR, 10 * MINUTE)).await;
    put(&store, "too-old", item("failed", 5 * HOUR, 2 * HOUR)).await;
    let mut receiver = Receiver::start([Answer::Never]).await;
    let running = receiver.webhook().start(store.clone()).unwrap();
    let before = receiver.next().await;
    drop(running);
    // It fails while nothing runs.
    put(&store, "meanwhile", item("failed", MINUTE, SECOND)).await;
    let running = receiver.webhook().start(store.clone()).unwrap();
    let (first, second) = (receiver.next().await, receiver.next().await);
    assert_eq!((first.session(), second.session()), ("unsent".into(), "meanwhile".into()));
    assert_eq!((first.id(), &first.body), (before.id(), &before.body));
    drop(running);
    // Those that were sent are sent again, with the ids by which the receiver knows them.
    let _running = receiver.webhook().start(store).unwrap();
    let ids = [receiver.next().await, receiver.next().await];
    let ids: BTreeSet<_> = ids.iter().map(|received| received.id()).collect();
    assert_eq!(ids, BTreeSet::from([first.id(), second.id()]));
    assert!(receiver.is_idle());
}

/// A store that fails a few times after its first list.
#[derive(Clone)]
struct Flaky {
    store: MemoryStore,
    lists: Arc<AtomicUsize>,
}

impl StatusReader for Flaky {
    async fn get(&self, session_id: &SessionId) -> Result<Option<Item>, StoreError> {
        self.store.get(session_id).await
    }

    async fn get_many(&self, ids: &[SessionId]) -> Result<Vec<Option<Item>>, StoreError> {
        self.store.get_many(ids).await
    }

    async fn list<T: Send>(
        &self,
        request: &ListRequest,
        map: impl Fn(&SessionId, Item) -> T + Send + Sync,
    ) -> Result<RecentItems<T>, StoreError> {
        let list = self.lists.fetch_add(1, Ordering::SeqCst);
        if (1..5).contains(&list) {
            if list == 1 {
                // It began before what a short look reads, and nobody had seen it.
                put(&self.store, "late", item("failed", HOUR, SECOND)).await;
            }
            return Err(StoreError::new(StoreErrorKind::Unavailable, "no answer"));
        }
        self.store.list(request, map).await
    }

    async fn delete(&self, session_id: &SessionId) -> Result<bool, StoreError> {
        self.store.delete(session_id).await
    }
}

#[tokio::test]
async fn what_happens_while_the_store_cannot_be_read_is_sent_later() {
    let store = Flaky { store: MemoryStore::new(), lists: Arc::default() };
    let mut receiver = Receiver::start([]).await;
    let _running = receiver.webhook().start(store.clone()).unwrap();
    assert_eq!(receiver.next().await.session(), "late");
    assert!(store.lists.load(Ordering::SeqCst) > 5);
}
