//! Lists and searches, page by page, are those of a model, with any number of shards.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use tower_agent_status::SessionId;
use tower_agent_status::status::{Change, Item, Precondition, Timestamp, WorkflowStatus, schema};
use tower_agent_status::store::{
    DynamoDbStore, ListRequest, MemoryStore, RecentItems, StatusReader, StatusStore, WriteOutcome,
};

use crate::contract::{self, id, sharded};

/// Writes and deletes the same in both stores, with many sessions of the same time.
struct Both {
    table: DynamoDbStore,
    model: MemoryStore,
    rng: Rng,
    now: Timestamp,
    revisions: BTreeMap<String, u64>,
}

impl Both {
    async fn write(&mut self) {
        let name = format!("s{}", self.rng.u8(..20));
        let revision = self.revisions.get(&name).copied().unwrap_or(0);
        // Some of the last five days, a few times in each.
        let ago = Duration::from_secs(self.rng.u64(..3) * 24 * 3_600 + self.rng.u64(..3) * 60);
        let session_id = id(&name);
        let mut source = Item::new();
        source.insert("createdAt", self.now.saturating_sub(ago).to_string());
        source.insert(schema::REVISION, revision + 1);
        let value = self.rng.u64(..3);
        match self.rng.u8(..4) {
            0 => {}
            1 => source.insert("documentId", value),
            _ => source.insert("documentId", value.to_string()),
        }
        let item = WorkflowStatus::from_item(&session_id, &source).to_item();
        let remove = match item.get("documentId") {
            None => vec!["documentId".to_owned()],
            Some(_) => Vec::new(),
        };
        let change = Change::new(session_id, item, remove);
        let precondition = match revision {
            0 => Precondition::Absent,
            known => contract::revision(known),
        };
        for written in [
            self.table.write(&change, precondition.clone()).await.unwrap(),
            self.model.write(&change, precondition).await.unwrap(),
        ] {
            assert_eq!(written, WriteOutcome::Applied);
        }
        self.revisions.insert(name, revision + 1);
    }

    async fn delete(&mut self) {
        let Some(name) = self.rng.choice(self.revisions.keys().cloned().collect::<Vec<_>>()) else {
            return;
        };
        self.revisions.remove(&name);
        assert!(self.table.delete(&id(&name)).await.unwrap());
        assert!(self.model.delete(&id(&name)).await.unwrap());
    }
}

/// All pages of a list or of a search.
async fn pages(store: &impl StatusReader, value: Option<&str>, limit: usize) -> Vec<String> {
    let name = |id: &SessionId, item: Item| (id.to_string(), item);
    let mut request = ListRequest::new(limit);
    let mut names = Vec::new();
    loop {
        let page: RecentItems<(String, Item)> = match value {
            None => store.list(&request, name).await.unwrap(),
            Some(value) => {
                store.search("documentId", value, &request, name).await.unwrap().unwrap()
            }
        };
        assert!(page.items.len() <= limit && !page.truncated);
        let Some((id, (_, item))) = page.items.last() else { return names };
        request = request.after(id, item);
        names.extend(page.items.into_iter().map(|(_, (name, _))| name));
    }
}

#[tokio::test]
async fn every_page_is_that_of_a_model() {
    let seeds: u64 = std::env::var("SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    let now = Timestamp::from(SystemTime::now());
    for seed in 0..seeds {
        let rng = Rng::with_seed(seed);
        let shards = [1, 4, 16][usize::try_from(seed % 3).unwrap()];
        println!("seed {seed}, {shards} shards");
        let table = sharded(shards).await;
        let revisions = BTreeMap::new();
        let mut both = Both { table, model: MemoryStore::new(), rng, now, revisions };
        for _ in 0..3 {
            for _ in 0..both.rng.usize(..25) {
                match both.rng.u8(..5) {
                    0 => both.delete().await,
                    _ => both.write().await,
                }
            }
            for limit in [2, 5, 100] {
                let expected = pages(&both.model, None, limit).await;
                assert_eq!(pages(&both.table, None, limit).await, expected, "seed {seed}: {limit}");
                for value in ["0", "1", "2", ""] {
                    let expected = pages(&both.model, Some(value), limit).await;
                    let found = pages(&both.table, Some(value), limit).await;
                    assert_eq!(found, expected, "seed {seed}: {limit} of {value}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_shard_is_asked_again_only_if_that_can_change_the_list() {
    let script = crate::script::Script::default();
    let store = DynamoDbStore::new(script.client(1), "status").recent_shards(4);
    store.create_table().await.unwrap();
    // The first shard has most of the newest: 40 of its sessions, and one of each other.
    let shard = |n: usize| crc32fast::hash(format!("s{n}").as_bytes()) % 4;
    let first = (0..).filter(|n| shard(*n) == 0).take(40);
    let others = (1..4).map(|wanted| (0..).find(|n| shard(*n) == wanted).unwrap());
    let now = Timestamp::from(SystemTime::now());
    for (minute, n) in first.chain(others).enumerate() {
        let mut item = Item::new();
        let ago = Duration::from_secs(u64::try_from(minute).unwrap() / 10);
        item.insert("createdAt", now.saturating_sub(ago).to_string());
        item.insert(schema::REVISION, 1);
        let session_id = id(&format!("s{n}"));
        let item = WorkflowStatus::from_item(&session_id, &item).to_item();
        store
            .write(&Change::new(session_id, item, Vec::new()), Precondition::Absent)
            .await
            .unwrap();
    }
    script.log();
    assert_eq!(store.recent(20).await.unwrap().items.len(), 20);
    let queries = script.count("Query");
    // Four of the first day that is asked; the first shard again. The day may be that of tomorrow,
    // for clocks that are ahead, or the seconds above may be of two days: twice as many at most.
    assert!((5..=14).contains(&queries), "{queries}");
}

#[tokio::test]
async fn only_the_attributes_that_are_asked_for_are_read() {
    let store = sharded(4).await;
    let mut item = Item::new();
    let now = Timestamp::from(SystemTime::now()).to_string();
    item.insert("createdAt", now.as_str());
    item.insert("lastUpdated", now);
    item.insert("documentId", "d");
    item.insert("sourceType", "BANK");
    item.insert(schema::EXPIRES_AT, 9_999_999_999);
    item.insert(schema::REVISION, 1);
    let item = WorkflowStatus::from_item(&id("s"), &item).to_item();
    store.write(&Change::new(id("s"), item, Vec::new()), Precondition::Absent).await.unwrap();
    let request = ListRequest::new(1).attributes(["sourceType", "expiresAt", "sessionId", "none"]);
    let expected = ["createdAt", "expiresAt", "lastUpdated", "revision", "sessionId", "sourceType"];
    let names = |_: &SessionId, item: Item| {
        item.iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(store.list(&request, names).await.unwrap().items[0].1, expected);
    // By a scan: there are fewer sessions than asked for.
    let mut two = request.clone();
    two.limit = 2;
    assert_eq!(store.list(&two, names).await.unwrap().items[0].1, expected);
    let found = store.search("documentId", "d", &request, names).await.unwrap().unwrap();
    assert!(found.items[0].1.iter().map(String::as_str).eq([
        "createdAt",
        "documentId",
        "expiresAt",
        "lastUpdated",
        "revision",
        "sessionId",
        "sourceType"
    ]));
}
