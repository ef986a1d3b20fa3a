//! Tests of the embedded store alone: its files.

use std::path::Path;

use tower_agent_status::status::{Change, Item, ItemVersion, Precondition, Value, schema};
use tower_agent_status::store::{DynamoDbStore, StatusReader, StatusStore, WriteOutcome};

use crate::contract::{change, first, id, revision};
use crate::files::TempFile;

#[tokio::test]
async fn a_file_persists_writes() {
    let file = TempFile::new("keeps");
    let store = DynamoDbStore::embedded(file.path()).unwrap();
    let mut change = first("s");
    // In some hundred years.
    change.set.insert(schema::EXPIRES_AT, 9_999_999_999);
    store.write(&change, Precondition::Absent).await.unwrap();
    let item = store.get(&id("s")).await.unwrap();
    assert!(item.is_some());
    drop(store);
    let store = DynamoDbStore::embedded(file.path()).unwrap();
    assert_eq!(store.get(&id("s")).await.unwrap(), item);
}

#[tokio::test]
async fn expired_items_are_deleted_when_a_file_is_opened() {
    let file = TempFile::new("expired");
    let store = DynamoDbStore::embedded(file.path()).unwrap();
    for (id, expiry) in [("expired", 1_700_000_000_u64), ("kept", 9_999_999_999)] {
        let mut change = first(id);
        change.set.insert(schema::EXPIRES_AT, expiry);
        store.write(&change, Precondition::Absent).await.unwrap();
    }
    drop(store);
    let store = DynamoDbStore::embedded(file.path()).unwrap();
    assert_eq!(store.get(&id("expired")).await.unwrap(), None);
    assert!(store.get(&id("kept")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_store_that_is_opened_to_read_writes_nothing() {
    let file = TempFile::new("read only %41?#");
    let error = DynamoDbStore::embedded_read_only(file.path()).unwrap_err();
    assert!(!file.path().exists(), "{error}");
    let store = DynamoDbStore::embedded(file.path()).unwrap();
    let mut expired = first("expired");
    expired.set.insert(schema::EXPIRES_AT, 1_700_000_000);
    store.write(&expired, Precondition::Absent).await.unwrap();
    drop(store);

    let before = std::fs::read(file.path()).unwrap();
    let reader = DynamoDbStore::embedded_read_only(file.path()).unwrap();
    assert!(reader.get(&id("expired")).await.unwrap().is_some());
    assert_eq!(reader.recent(10).await.unwrap().items.len(), 1);
    let error = reader.write(&first("s"), Precondition::Absent).await.unwrap_err();
    assert!(error.to_string().contains("was opened read-only"), "{error}");
    assert!(!error.is_retryable());
    assert_eq!(std::fs::read(file.path()).unwrap(), before);

    // It sees what others write.
    let writer = DynamoDbStore::embedded(file.path()).unwrap();
    writer.write(&first("s"), Precondition::Absent).await.unwrap();
    assert!(reader.get(&id("s")).await.unwrap().is_some());
}

/// Breaks the JSON of the items with this text, in a file that no store has open.
fn damage(path: &Path, marker: &[u8]) {
    let mut bytes = std::fs::read(path).unwrap();
    // Pages may hold an old copy of it.
    while let Some(at) = bytes.windows(marker.len()).position(|found| found == marker) {
        bytes[at] = b'x';
    }
    std::fs::write(path, bytes).unwrap();
}

const UPDATED: &str = "2025-12-24T10:00:00.000Z";

/// The item has this revision, and the time of the last update.
fn version(revision: u64) -> Precondition {
    Precondition::Version(ItemVersion::new(Some(revision), Some(UPDATED)))
}

/// A map with strings, numbers, lists and maps.
fn nested() -> Value {
    let text = || Value::from("text");
    let list = Value::List(vec![text(), Value::Integer(0), Value::List(Vec::new())]);
    let map = [("list", list), ("float", Value::Float(0.1)), ("empty", Value::Map(Item::new()))];
    Value::Map(map.map(|(name, value)| (name.to_owned(), value)).into_iter().collect())
}

/// Writes reach the engine without the SDK, which other stores use on the same table.
#[tokio::test]
async fn a_write_ends_as_it_would_through_the_sdk() {
    let file = TempFile::new("through-the-sdk");
    let in_file = || DynamoDbStore::embedded(file.path()).unwrap();
    let damaged = || {
        let mut change = first("damaged");
        change.set.insert("documentId", "marker");
        change.set.insert(schema::EXPIRES_AT, 9_999_999_999);
        change
    };
    in_file().write(&damaged(), Precondition::Absent).await.unwrap();
    damage(file.path(), b"\"marker\"");
    for store in [in_file(), DynamoDbStore::embedded_in_memory().unwrap()] {
        let through_sdk = DynamoDbStore::new(store.client().clone(), store.table_name());
        let mut ended = Vec::new();
        for store in [&store, &through_sdk] {
            let mut results = Vec::new();
            let mut write = async |change: &Change, precondition| {
                let result = store.write(change, precondition).await;
                results.push(result.map_err(|error| {
                    (error.kind(), error.may_have_been_applied(), error.to_string())
                }));
            };
            write(&first("there"), Precondition::Absent).await;
            write(&first("there"), Precondition::Absent).await;
            write(&change("there", 3, first("there").set), revision(7)).await;
            for version in [revision(1), version(1)] {
                write(&change("none", 2, first("none").set), version.clone()).await;
                write(&damaged(), version).await;
            }
            let mut odd = first("odd");
            odd.set.insert(schema::LAST_UPDATED, UPDATED);
            for name in ["status", "a.b[0]", "#0", ":0", "größe"] {
                odd.set.insert(name, nested());
            }
            odd.set.insert("empty", "");
            write(&odd, Precondition::Absent).await;
            let mut next = change("odd", 2, Item::new());
            next.set.insert("status", "another value");
            next.remove = ["status", "a.b[0]", "#0", "none"].map(str::to_owned).to_vec();
            for _ in 0..2 {
                write(&next, version(1)).await;
            }
            let mut large = first("large");
            large.set.insert("notes", "x".repeat(410_000));
            write(&large, Precondition::Absent).await;
            for written in ["there", "odd"] {
                store.delete(&id(written)).await.unwrap();
            }
            ended.push(results);
        }
        assert_eq!(ended[0], ended[1]);
        assert_eq!(ended[0][0], Ok(WriteOutcome::Applied));
        assert!(matches!(&ended[0][1], Ok(WriteOutcome::Conflict(Some(_)))), "{ended:?}");
        assert_eq!([&ended[0][3], &ended[0][5]], [&Ok(WriteOutcome::Conflict(None)); 2]);
        assert_eq!([&ended[0][7], &ended[0][8]], [&Ok(WriteOutcome::Applied); 2]);
        let Ok(WriteOutcome::Conflict(Some(odd))) = &ended[0][9] else { panic!("{ended:?}") };
        assert_eq!([odd.get("status"), odd.get("a.b[0]"), odd.get("#0")], [None; 3]);
        assert_eq!([odd.get(":0"), odd.get("größe")], [Some(&nested()); 2]);
        assert!(ended[0][10].is_err(), "{ended:?}");

        let table = store.client().delete_table().table_name(store.table_name());
        table.send().await.unwrap();
        let [direct, through_sdk] = [&store, &through_sdk].map(|store| async move {
            store.write(&first("s"), Precondition::Absent).await.unwrap_err().to_string()
        });
        let direct = direct.await;
        assert!(direct.contains("create the table"), "{direct}");
        assert_eq!(direct, through_sdk.await);
    }
}

/// Here a store in memory has its writes executed by another thread, too.
#[tokio::test(flavor = "multi_thread")]
async fn writes_at_once_are_all_applied_once() {
    let store = DynamoDbStore::embedded_in_memory().unwrap();
    let ids: Vec<_> = (0..100).map(|n| format!("s-{n}")).collect();
    let writes = ids.iter().flat_map(|id| [id, id]).map(|id| {
        let (store, first) = (store.clone(), first(id));
        tokio::spawn(async move { store.write(&first, Precondition::Absent).await.unwrap() })
    });
    let outcomes = futures_util::future::join_all(writes.collect::<Vec<_>>()).await;
    let applied = outcomes.iter().map(|outcome| outcome.as_ref().unwrap());
    assert_eq!(applied.filter(|outcome| **outcome == WriteOutcome::Applied).count(), 100);
    for found in ids.iter().map(|text| id(text)) {
        assert!(store.get(&found).await.unwrap().is_some(), "{found}");
    }
}

#[tokio::test]
async fn a_damaged_item_is_one_damaged_item() {
    let file = TempFile::new("damaged");
    let store = DynamoDbStore::embedded(file.path()).unwrap();
    for (id, day) in [("one", "2026-01-02"), ("other", "2026-01-02"), ("foreign", "")] {
        let mut item = first(id);
        if !day.is_empty() {
            item.set.insert(schema::CREATED_DAY, day);
            item.set.insert(schema::CREATED_AT, format!("{day}T00:00:00.000Z"));
        }
        item.set.insert("documentId", format!("marker-{id}"));
        item.set.insert(schema::EXPIRES_AT, 9_999_999_999);
        store.write(&item, Precondition::Absent).await.unwrap();
    }
    for n in 0..50 {
        let mut item = first(&format!("foreign-{n}"));
        item.set.insert(schema::EXPIRES_AT, 9_999_999_999);
        store.write(&item, Precondition::Absent).await.unwrap();
    }
    drop(store);
    let ids = |store: DynamoDbStore| async move {
        let mut ids: Vec<_> = store
            .recent(100)
            .await
            .unwrap()
            .items
            .into_iter()
            .map(|(id, _)| id.to_string())
            .collect();
        ids.sort_unstable();
        ids
    };
    let all = ids(DynamoDbStore::embedded(file.path()).unwrap()).await;
    assert_eq!(all.len(), 53);
    damage(file.path(), b"\"marker-one\"");

    let store = DynamoDbStore::embedded(file.path()).unwrap();
    let is_damaged = |item: &Item| {
        let error = item.get(schema::ERROR).and_then(|error| error.as_str());
        error.is_some_and(|error| error.contains("damaged"))
    };
    let damaged = store.get(&id("one")).await.unwrap().unwrap();
    assert!(is_damaged(&damaged), "{damaged:?}");
    let both = [id("one"), id("other"), id("none")];
    let found = store.get_many(&both).await.unwrap();
    let found: Vec<_> = found.iter().map(|item| item.as_ref().map(is_damaged)).collect();
    assert_eq!(found, [Some(true), Some(false), None]);
    // Those of other writers are only found by a scan.
    assert_eq!(ids(store.clone()).await, all);
    let recent = store.recent(100).await.unwrap().items;
    let damaged = recent.iter().filter(|(_, item)| is_damaged(item));
    assert_eq!(damaged.map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["one"]);
    let prefix = store.sessions_with_prefix("on", 64).await.unwrap();
    assert_eq!(prefix.items.len(), 1);
    assert!(store.delete(&id("one")).await.unwrap());
    assert_eq!(store.get(&id("one")).await.unwrap(), None);
    assert_eq!(store.recent(100).await.unwrap().items.len(), 52);
}

#[tokio::test]
async fn two_stores_on_one_file_see_each_other() {
    let file = TempFile::new("shared");
    let one = DynamoDbStore::embedded(file.path()).unwrap();
    let other = DynamoDbStore::embedded(file.path()).unwrap();
    one.write(&first("s"), Precondition::Absent).await.unwrap();
    let next = change("s", 2, Item::new());
    let written = other.write(&next, revision(1)).await.unwrap();
    assert_eq!(written, WriteOutcome::Applied);
    assert_eq!(one.get(&id("s")).await.unwrap(), other.get(&id("s")).await.unwrap());
}

#[test]
fn a_store_opens_outside_of_a_runtime() {
    let file = TempFile::new("outside");
    let stores = [
        DynamoDbStore::embedded(file.path()).unwrap(),
        DynamoDbStore::embedded_in_memory().unwrap(),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for store in stores {
        let written = runtime.block_on(store.write(&first("s"), Precondition::Absent));
        assert_eq!(written.unwrap(), WriteOutcome::Applied);
    }
}

#[test]
fn the_error_for_a_path_that_is_no_store_has_the_path_and_the_reason() {
    let text_file = TempFile::new("text");
    std::fs::write(text_file.path(), "not a database, but long enough to be one".repeat(50))
        .unwrap();
    let paths = [
        Path::new(""),
        Path::new("/no/such/directory/status.db"),
        Path::new(env!("CARGO_TARGET_TMPDIR")),
        text_file.path(),
    ];
    for path in paths {
        let error = DynamoDbStore::embedded(path).unwrap_err().to_string();
        assert!(error.contains(&format!("`{}`", path.display())), "{error}");
        assert!(error.contains("use the path of a file"), "{error}");
        assert!(!error.contains("encrypt"), "{error}");
        let error = DynamoDbStore::embedded_read_only(path).unwrap_err().to_string();
        assert!(error.contains("use the path of a file that a tracker writes"), "{error}");
    }
}

#[tokio::test]
async fn an_operation_that_no_store_uses_is_unsupported() {
    let client = DynamoDbStore::embedded_client().unwrap();
    let error = client.describe_limits().send().await.unwrap_err();
    let error = aws_sdk_dynamodb::error::DisplayErrorContext(error).to_string();
    assert!(error.contains("DescribeLimits"), "{error}");
}
