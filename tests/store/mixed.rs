//! Lists of a table that trackers share with older writers.

use std::cmp::Reverse;
use std::time::Duration;

use fastrand::Rng;
use tower_agent_status::status::{Precondition, Timestamp};
use tower_agent_status::store::{DynamoDbStore, ListRequest, StatusReader, StatusStore};

use crate::contract::begun;
use crate::old_items::{now, old, put, spelled, text, with, without};
use crate::script::{Script, Step};
use crate::warnings::Warnings;

const MINUTE: Duration = Duration::from_secs(60);

struct Table {
    script: Script,
    store: DynamoDbStore,
    key: &'static str,
}

impl Table {
    async fn new(key: &'static str, shards: u16) -> Self {
        let script = Script::default();
        let client = script.client(1);
        let made = DynamoDbStore::new(client.clone(), "status").partition_key(key);
        made.recent_shards(shards).create_table().await.unwrap();
        Self { script, store: DynamoDbStore::new(client, "status"), key }
    }

    /// Another process.
    fn reader(&self) -> DynamoDbStore {
        DynamoDbStore::new(self.store.client().clone(), "status")
    }

    async fn new_writer(&self, id: &str, ago: Duration) {
        self.store.write(&begun(id, ago), Precondition::Absent).await.unwrap();
    }

    async fn old_writer(&self, id: &str, ago: Duration) {
        put(&self.store, self.key, id, old(ago)).await;
    }

    /// Items of more than a page, each of them of a new writer.
    async fn fill_up(&self) {
        for n in 0..5_u32 {
            let id = format!("large-{n}");
            let item = with(old(30 * MINUTE * n), "createdDay", text(now().day()));
            let item = with(item, "text", text("x".repeat(350_000)));
            put(&self.store, self.key, &id, item).await;
        }
    }
}

async fn recent(store: &DynamoDbStore, limit: usize) -> Vec<String> {
    let recent = store.recent(limit).await.unwrap();
    assert!(!recent.unindexed && !recent.truncated);
    recent.items.into_iter().map(|(id, _)| id.to_string()).collect()
}

#[tokio::test]
async fn the_list_of_a_small_table_is_complete_and_in_order() {
    let seeds: u64 = std::env::var("SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(6);
    for seed in 0..seeds {
        let mut rng = Rng::with_seed(seed);
        let key = ["sessionId", "processing_id"][usize::try_from(seed % 2).unwrap()];
        let table = Table::new(key, [1, 4, 16][usize::try_from(seed % 3).unwrap()]).await;
        println!("seed {seed}");
        let mut expected = Vec::new();
        for n in 0..24 {
            let (id, ago) = (format!("s{n}"), MINUTE * rng.u32(..5 * 24 * 60));
            // Older writers write more decimals than are read.
            let item = match rng.u8(..6) {
                0..3 => {
                    table.new_writer(&id, ago).await;
                    let item = table.store.get(&crate::contract::id(&id)).await.unwrap().unwrap();
                    let time = item.get("createdAt").and_then(|time| time.as_str()).unwrap();
                    expected.push((Reverse(time.parse::<Timestamp>().unwrap()), id));
                    continue;
                }
                3 | 4 => old(ago),
                _ => {
                    let undated = without(old(ago), "createdAt");
                    match rng.bool() {
                        true => undated,
                        false => with(undated, "created_at", text(spelled(ago))),
                    }
                }
            };
            let time = ["createdAt", "created_at", "lastUpdated"];
            let time = time.iter().find_map(|name| item.get(*name)).unwrap();
            expected.push((Reverse(time.as_s().unwrap().parse().unwrap()), id.clone()));
            put(&table.store, key, &id, item).await;
        }
        expected.sort();
        let expected: Vec<_> = expected.into_iter().map(|(_, id)| id).collect();
        let reader = table.reader();
        for limit in [3, 10, 23, 25] {
            assert_eq!(recent(&reader, limit).await, expected[..limit.min(24)], "{seed}: {limit}");
            let (mut request, mut pages) = (ListRequest::new(limit), Vec::new());
            loop {
                let page = reader.list(&request, |_, item| item).await.unwrap();
                let Some((id, item)) = page.items.last() else { break };
                request = request.after(id, item);
                pages.extend(page.items.into_iter().map(|(id, _)| id.to_string()));
            }
            assert_eq!(pages, expected, "{seed}: pages of {limit}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_from_the_index_samples_the_table_every_five_minutes() {
    let table = Table::new("sessionId", 1).await;
    for n in 0..5_u32 {
        table.new_writer(&format!("new-{n}"), MINUTE * (n + 1)).await;
    }
    let reader = table.reader();
    recent(&reader, 3).await;
    table.script.log();
    for _ in 0..10 {
        tokio::time::advance(MINUTE / 3).await;
        assert_eq!(recent(&reader, 3).await, ["new-0", "new-1", "new-2"]);
    }
    assert_eq!(table.script.count("Scan"), 0);
    // An older writer begins to write.
    table.old_writer("old", Duration::ZERO).await;
    tokio::time::advance(MINUTE * 5).await;
    assert_eq!(recent(&reader, 3).await, ["old", "new-0", "new-1"]);
    assert_eq!(recent(&reader, 1).await, ["old"]);
    // A new process samples at its first list.
    assert_eq!(recent(&table.reader(), 2).await, ["old", "new-0"]);
    // A backfill adds it to the index, and so no list needs a scan.
    let plan = reader.plan_backfill().await.unwrap();
    assert_eq!(reader.backfill(&plan, |_| ()).await.unwrap().filled, 1);
    recent(&reader, 3).await;
    table.script.log();
    assert_eq!(recent(&reader, 3).await, ["old", "new-0", "new-1"]);
    assert_eq!(table.script.count("Scan"), 0);
}

#[tokio::test]
async fn a_list_of_a_large_table_says_that_sessions_may_be_missing() {
    for shards in [1, 4] {
        let table = Table::new("processing_id", shards).await;
        for n in 0..5_u32 {
            table.new_writer(&format!("new-{n}"), MINUTE * (n + 1)).await;
        }
        table.fill_up().await;
        table.old_writer("old", Duration::ZERO).await;
        let warnings = Warnings::watch();
        let reader = table.reader();
        for _ in 0..2 {
            assert!(reader.recent(3).await.unwrap().unindexed);
        }
        let logged = warnings.take();
        let [warning] = &logged[..] else { panic!("{logged:?}") };
        assert!(warning.contains("`tower-agent-status table backfill`"), "{warning}");
        table.script.log();
        let listed = reader.recent(3).await.unwrap();
        assert!(listed.unindexed && !listed.truncated);
        assert_eq!(table.script.count("Scan"), 0, "a large table is not scanned for each list");
        let plan = reader.plan_backfill().await.unwrap();
        assert!(reader.backfill(&plan, |_| ()).await.unwrap().next.is_none());
        assert_eq!(recent(&reader, 3).await, ["old", "large-0", "new-0"]);
        assert_eq!(recent(&table.reader(), 3).await, ["old", "large-0", "new-0"]);
        drop(warnings);
    }
}

#[tokio::test]
async fn a_list_does_not_fail_if_it_cannot_sample_the_table() {
    let table = Table::new("sessionId", 1).await;
    table.new_writer("new", MINUTE).await;
    table.old_writer("old", Duration::ZERO).await;
    let warnings = Warnings::watch();
    table.script.always("Scan", Step::refuse("AccessDeniedException"));
    let reader = table.reader();
    for _ in 0..2 {
        assert_eq!(recent(&reader, 1).await, ["new"]);
    }
    let logged = warnings.take();
    assert!(matches!(&logged[..], [one] if one.contains("dynamodb:Scan")), "{logged:?}");
    // It can sample the table, but then not scan it: the list comes from the index.
    table.script.heal();
    let reader = table.reader();
    let pass = std::iter::repeat_n(Step::Pass, 8);
    table.script.next("Scan", pass.chain([Step::refuse("ThrottlingException")]));
    let listed = reader.recent(1).await.unwrap();
    assert_eq!((listed.items[0].0.as_str(), listed.unindexed), ("new", true));
    assert_eq!(recent(&reader, 1).await, ["old"]);
}
