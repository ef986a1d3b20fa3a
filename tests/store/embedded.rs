//! Tests of the embedded store alone: its files.

use std::path::Path;

use tower_agent_status::status::{Item, Precondition, schema};
use tower_agent_status::store::{DynamoDbStore, StatusReader, StatusStore, WriteOutcome};

use crate::contract::{change, first, id};
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
async fn two_stores_on_one_file_see_each_other() {
    let file = TempFile::new("shared");
    let one = DynamoDbStore::embedded(file.path()).unwrap();
    let other = DynamoDbStore::embedded(file.path()).unwrap();
    one.write(&first("s"), Precondition::Absent).await.unwrap();
    let next = change("s", 2, Item::new());
    let written = other.write(&next, Precondition::Revision(1)).await.unwrap();
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
    }
}

#[tokio::test]
async fn an_operation_that_no_store_uses_is_unsupported() {
    let client = DynamoDbStore::embedded_client().unwrap();
    let error = client.describe_limits().send().await.unwrap_err();
    let error = aws_sdk_dynamodb::error::DisplayErrorContext(error).to_string();
    assert!(error.contains("DescribeLimits"), "{error}");
}
