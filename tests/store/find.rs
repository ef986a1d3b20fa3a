//! Finding sessions by an attribute: among the newest, batch by batch, and through an index.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::types::AttributeValue;
use fastrand::Rng;
use tower_agent_status::SessionId;
use tower_agent_status::status::{Change, Item, Precondition, Timestamp, WorkflowStatus};
use tower_agent_status::store::{
    DynamoDbStore, FindRequest, FoundItems, ListRequest, MemoryStore, RecentItems, StatusReader,
    StatusStore, StoreError,
};

use crate::contract::{id, sharded};
use crate::script::{Script, Step};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

fn at(ago: Duration) -> Timestamp {
    Timestamp::from(SystemTime::now()).saturating_sub(ago)
}

/// The first write of a session.
fn begun(name: &str, created: Timestamp, document: &str) -> Change {
    let mut source = Item::new();
    source.insert("createdAt", created.to_string());
    source.insert("revision", 1);
    source.insert("documentId", document);
    let session_id = id(name);
    let item = WorkflowStatus::from_item(&session_id, &source).to_item();
    Change::new(session_id, item, Vec::new())
}

async fn write(store: &impl StatusStore, name: &str, created: Timestamp, document: &str) {
    store.write(&begun(name, created, document), Precondition::Absent).await.unwrap();
}

async fn find(store: &impl StatusReader, request: &FindRequest) -> FoundItems<String> {
    store.find(request, |id, _| id.to_string()).await.unwrap()
}

fn ids(found: &FoundItems<String>) -> Vec<&str> {
    found.items.iter().map(|(_, id)| id.as_str()).collect()
}

/// A table with 250 sessions, one a minute before `now`. Every 50th has the value `d`, from `s49`.
async fn table(now: Timestamp) -> (DynamoDbStore, Script) {
    let script = Script::default();
    let store = DynamoDbStore::new(script.client(1), "status");
    store.create_table().await.unwrap();
    for n in 0..250_u32 {
        let document = if n % 50 == 49 { "d" } else { "another" };
        write(&store, &format!("s{n}"), now.saturating_sub(MINUTE * n), document).await;
    }
    // The table is sampled for sessions missing from the index every few minutes.
    store.recent(1).await.unwrap();
    script.log();
    (store, script)
}

#[tokio::test]
async fn it_stops_at_the_batch_that_has_enough() {
    let now = at(Duration::ZERO);
    let (store, script) = table(now).await;
    let request = FindRequest::new("documentId", "d").limit(2).max_searched(240);
    let found = find(&store, &request).await;
    assert_eq!(ids(&found), ["s49", "s99"]);
    assert_eq!((found.searched, found.complete, found.indexed), (100, false, false));
    let created = store.get(&id("s99")).await.unwrap().unwrap();
    let created = created.get("createdAt").unwrap().as_str().unwrap();
    assert_eq!(found.reached.unwrap().to_string(), created);
    let log = script.log();
    let count = |operation: &str| log.iter().filter(|logged| *logged == operation).count();
    assert_eq!((count("BatchGetItem"), count("Scan")), (1, 0), "{log:?}");
    // An item of up to 4 KB takes half a unit, and the index half a unit for each 4 KB: the keys of
    // 240 sessions are some 30 KB.
    let units = found.read_units.unwrap();
    assert!((51.0..58.0).contains(&units), "{units}");
    assert_eq!(units.fract() % 0.5, 0.0, "{units}");

    // One more than there are in the first batch.
    let found = find(&store, &request.clone().limit(3)).await;
    assert_eq!(ids(&found), ["s49", "s99", "s149"]);
    assert_eq!(found.searched, 200);
}

#[tokio::test]
async fn it_looks_no_further_than_it_may() {
    let now = at(Duration::ZERO);
    let (store, script) = table(now).await;
    let request = FindRequest::new("documentId", "d").max_searched(120);
    let found = find(&store, &request).await;
    assert_eq!(ids(&found), ["s49", "s99"]);
    assert_eq!((found.searched, found.complete), (120, false));
    // Nor further back than asked for.
    script.log();
    let since = now.saturating_sub(MINUTE * 60);
    let found = find(&store, &FindRequest::new("documentId", "d").since(since)).await;
    assert_eq!(ids(&found), ["s49"]);
    assert_eq!((found.searched, found.complete), (61, true));
    let log = script.log();
    assert!(!log.iter().any(|operation| operation == "Scan"), "{log:?}");
    // All there are, which a scan of the table's only page tells.
    let found = find(&store, &FindRequest::new("documentId", "d")).await;
    assert_eq!(ids(&found).len(), 5);
    assert_eq!((found.searched, found.complete, found.reached), (250, true, None));
    let found = find(&store, &FindRequest::new("documentId", "d").limit(4)).await;
    assert_eq!((ids(&found).len(), found.complete), (4, false));
    let none = find(&store, &FindRequest::new("documentId", "d").limit(0)).await;
    assert_eq!((none.items.len(), none.searched, none.read_units), (0, 0, Some(0.0)));
}

#[tokio::test]
async fn nothing_is_found_beyond_two_thousand() {
    let store = DynamoDbStore::embedded_in_memory().unwrap();
    let now = at(Duration::ZERO);
    for n in 0..2_001_u32 {
        let document = if n < 2_000 { "another" } else { "d" };
        write(&store, &format!("s{n}"), now.saturating_sub(MINUTE / 60 * n), document).await;
    }
    let request = FindRequest::new("documentId", "d").attributes(["overallStatus"]);
    let found = find(&store, &request).await;
    assert_eq!((found.items.len(), found.searched, found.complete), (0, 2_000, false));
    let units = found.read_units.unwrap();
    assert!((1_000.0..1_180.0).contains(&units), "{units}");
    let found = find(&store, &request.max_searched(2_001)).await;
    assert_eq!(ids(&found), ["s2000"]);
}

#[tokio::test]
async fn an_index_of_the_attribute_answers_at_once() {
    let store = sharded(4).await;
    let now = at(Duration::ZERO);
    for n in 0..300_u32 {
        let document = if n % 100 == 99 { "d" } else { "another" };
        write(&store, &format!("s{n}"), now.saturating_sub(MINUTE * n), document).await;
    }
    let found = find(&store, &FindRequest::new("documentId", "d")).await;
    assert_eq!(ids(&found), ["s99", "s199", "s299"]);
    assert_eq!((found.indexed, found.searched, found.complete), (true, 3, true));
    // The query, and three items.
    assert_eq!(found.read_units, Some(2.0));
    let since = now.saturating_sub(MINUTE * 200);
    let found = find(&store, &FindRequest::new("documentId", "d").limit(2).since(since)).await;
    assert_eq!(ids(&found), ["s99", "s199"]);
    assert!(!found.complete);
    let empty = find(&store, &FindRequest::new("documentId", "")).await;
    assert_eq!((empty.items.len(), empty.indexed, empty.complete), (0, true, true));
}

#[tokio::test]
async fn sessions_that_the_index_lacks_are_found_or_missed_aloud() {
    let now = at(Duration::ZERO);
    let (store, script) = table(now).await;
    // Like an item of another writer.
    let put = store.client().put_item().table_name("status");
    put.item("sessionId", AttributeValue::S("theirs".into()))
        .item("createdAt", AttributeValue::S(now.saturating_sub(HOUR).to_string()))
        .item("overallStatus", AttributeValue::S("pending".into()))
        .item("documentId", AttributeValue::S("d".into()))
        .send()
        .await
        .unwrap();
    let reopened = || DynamoDbStore::new(store.client().clone(), "status");
    let request = FindRequest::new("documentId", "d").since(now.saturating_sub(2 * HOUR));
    let found = find(&reopened(), &request).await;
    assert_eq!(ids(&found), ["s49", "theirs", "s99"]);
    assert!(found.complete && !found.unindexed);
    // In a table of more than a page, the index alone is looked at. Eight pages are the sample.
    let page = r#"{"Items":[],"LastEvaluatedKey":{"sessionId":{"S":"0"}}}"#;
    let sample = std::iter::repeat_n(Step::Pass, 8);
    script.next("Scan", sample.chain([Step::Answer(200, page)]));
    let found = find(&reopened(), &request).await;
    assert_eq!(ids(&found), ["s49", "s99"]);
    assert!(found.unindexed && !found.complete);
    // An answer without a count leaves the sum unknown.
    assert_eq!(found.read_units, None);
}

#[tokio::test]
async fn without_an_index_the_table_is_scanned() {
    let now = at(Duration::ZERO);
    let (store, script) = table(now).await;
    script.always("Query", Step::refuse("AccessDeniedException"));
    let found = find(&store, &FindRequest::new("documentId", "d").limit(2)).await;
    assert_eq!(ids(&found), ["s49", "s99"]);
    assert_eq!((found.searched, found.complete, found.reached), (250, false, None));
    let page = r#"{"Items":[{"sessionId":{"S":"s"},"documentId":{"S":"d"}}],"LastEvaluatedKey":{"sessionId":{"S":"s"}}}"#;
    script.always("Scan", Step::Answer(200, page));
    let found = find(&store, &FindRequest::new("documentId", "d")).await;
    assert!(found.truncated && !found.complete);
    assert_eq!(script.count("Scan"), 1 + 64);
}

/// The table of costs in `docs/webhook.md` is computed from these.
#[tokio::test]
async fn a_list_of_the_last_minutes_takes_half_a_unit_for_each_item() {
    let store = DynamoDbStore::embedded_in_memory().unwrap();
    let units = async |request: ListRequest| {
        let list = store.list(&request, |_, _| ()).await.unwrap();
        (list.items.len(), list.read_units.unwrap())
    };
    let now = at(Duration::ZERO);
    let last_minutes = || ListRequest::new(10_000).since(now.saturating_sub(MINUTE * 2));
    // The first list samples the table, in eight parts.
    units(last_minutes()).await;
    let (items, idle) = units(last_minutes()).await;
    // A query of the day, and within an hour of midnight one of the next.
    assert!(items == 0 && (0.5..=1.0).contains(&idle), "{idle}");
    for n in 0..200_u32 {
        write(&store, &format!("s{n}"), now.saturating_sub(MINUTE / 60 * n), "d").await;
    }
    let (items, busy) = units(last_minutes()).await;
    assert_eq!(items, 121);
    let index = busy - items as f64 / 2.0;
    assert!((0.5..=3.0).contains(&index), "{index}");
}

/// A store of somebody else's, without an index of any attribute.
#[derive(Clone, Default)]
struct Plain(MemoryStore);

impl StatusReader for Plain {
    async fn get(&self, session_id: &SessionId) -> Result<Option<Item>, StoreError> {
        self.0.get(session_id).await
    }

    async fn get_many(&self, ids: &[SessionId]) -> Result<Vec<Option<Item>>, StoreError> {
        self.0.get_many(ids).await
    }

    async fn list<T: Send>(
        &self,
        request: &ListRequest,
        map: impl Fn(&SessionId, Item) -> T + Send + Sync,
    ) -> Result<RecentItems<T>, StoreError> {
        self.0.list(request, map).await
    }

    async fn delete(&self, session_id: &SessionId) -> Result<bool, StoreError> {
        self.0.delete(session_id).await
    }
}

/// Every store finds the same, with an index of the attribute or without.
#[tokio::test]
async fn every_store_finds_the_same() {
    let mut rng = Rng::with_seed(17);
    let plain = Plain::default();
    let (table, indexed) = (DynamoDbStore::embedded_in_memory().unwrap(), sharded(3).await);
    let now = at(Duration::ZERO);
    let mut created = BTreeMap::new();
    for n in 0..150 {
        // Many of the same time, over the last two days.
        let time = now.saturating_sub(HOUR * rng.u32(0..48));
        let change = begun(&format!("s{n}"), time, &rng.u8(0..5).to_string());
        created.insert(format!("s{n}"), time);
        for written in [
            plain.0.write(&change, Precondition::Absent).await,
            table.write(&change, Precondition::Absent).await,
            indexed.write(&change, Precondition::Absent).await,
        ] {
            written.unwrap();
        }
    }
    for _ in 0..60 {
        let mut request =
            FindRequest::new("documentId", rng.u8(0..6).to_string()).limit(rng.usize(1..40));
        if rng.bool() {
            request = request.since(now.saturating_sub(HOUR * rng.u32(0..50)));
        }
        let expected = find(&plain.0, &request).await;
        let since = request.since;
        assert!(
            expected.items.iter().all(|(_, id)| since.is_none_or(|since| created[id] >= since))
        );
        for found in [
            find(&plain, &request).await,
            find(&Arc::new(plain.clone()), &request).await,
            find(&table, &request).await,
            find(&indexed, &request).await,
        ] {
            assert_eq!(found.items, expected.items, "{request:?}");
            // A store may not know that there are no more; it never says so if there are.
            let more = request.clone().limit(usize::MAX);
            let whole = find(&plain.0, &more).await.items.len();
            assert!(!found.complete || found.items.len() == whole, "{request:?} {found:?}");
        }
    }
}
