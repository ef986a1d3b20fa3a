//! The newest sessions: from the index if there is one, or else by a scan.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use tower_agent_status::status::{Item, Precondition};
use tower_agent_status::store::{
    DynamoDbStore, ListRequest, StatusReader, StatusStore, StoreErrorKind,
};

use crate::contract::{begun, change, id, no_revision};
use crate::script::{Script, Step};
use crate::warnings::Warnings;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// A store with an index, on a table with another key, and its script.
async fn indexed() -> (DynamoDbStore, Script) {
    let script = Script::default();
    let store = DynamoDbStore::new(script.client(1), "status").partition_key("processing_id");
    store.create_table().await.unwrap();
    script.log();
    (store, script)
}

async fn write(store: &DynamoDbStore, id: &str, ago: Duration) {
    store.write(&begun(id, ago), Precondition::Absent).await.unwrap();
}

async fn recent(store: &DynamoDbStore, limit: usize) -> Vec<String> {
    store.recent(limit).await.unwrap().items.into_iter().map(|(id, _)| id.to_string()).collect()
}

/// Every few minutes, a list also samples the table for sessions missing from the index.
async fn look_around(store: &DynamoDbStore, script: &Script) {
    recent(store, 1).await;
    script.log();
}

fn count(log: &[String], operation: &str) -> usize {
    log.iter().filter(|logged| *logged == operation).count()
}

#[tokio::test]
async fn a_full_list_is_queries_and_one_batch() {
    let (store, script) = indexed().await;
    for n in 0..10_u32 {
        write(&store, &format!("s{n}"), 26 * HOUR * n).await;
    }
    look_around(&store, &script).await;
    assert_eq!(recent(&store, 4).await, ["s0", "s1", "s2", "s3"]);
    let log = script.log();
    assert_eq!((count(&log, "BatchGetItem"), count(&log, "Scan")), (1, 0), "{log:?}");
    // One day, then two, then four; and perhaps one more for writers whose clock is ahead.
    assert!(count(&log, "Query") <= 7, "{log:?}");
}

#[tokio::test]
async fn a_further_page_is_asked_for_what_is_left() {
    let page = |ids: &[&str], goes_on: bool| {
        let key = |id: &str| {
            let seconds = b'z' - id.as_bytes()[0];
            let time = format!("2025-12-24T10:00:{seconds}.000Z");
            serde_json::json!({ "processing_id": { "S": id }, "createdAt": { "S": time } })
        };
        let items: Vec<_> = ids.iter().map(|id| key(id)).collect();
        let mut page = serde_json::json!({ "Items": items });
        if goes_on {
            page["LastEvaluatedKey"] = key("b");
        }
        Step::Answer(200, Box::leak(page.to_string().into_boxed_str()))
    };
    let (store, script) = indexed().await;
    for id in ["a", "b", "c", "d", "e"] {
        write(&store, id, SECOND).await;
    }
    script.next("Query", [page(&["a", "b"], true), page(&["c", "d", "e", "f"], true)]);
    assert_eq!(recent(&store, 5).await.len(), 5);
    // One more shows that no other was created at the time of the last.
    assert_eq!(script.last_request("Query")["Limit"], 4);
    assert_eq!(script.last_request("Query")["ExclusiveStartKey"]["processing_id"]["S"], "b");
}

#[tokio::test]
async fn a_long_list_is_read_and_mapped_in_batches() {
    let (store, script) = indexed().await;
    for n in 0..250_u32 {
        write(&store, &format!("s{n}"), 60 * SECOND * n).await;
    }
    script.log();
    // How many batches had been read when an item was mapped.
    let read = store
        .list(&ListRequest::new(250), |_, _| script.count("BatchGetItem"))
        .await
        .unwrap()
        .items;
    let read: Vec<_> = read.into_iter().map(|(_, batches)| batches).collect();
    let expected: Vec<_> = (0..250).map(|n| n / 100 + 1).collect();
    assert_eq!(read, expected);
}

#[tokio::test]
async fn sessions_missing_from_the_index_are_found_by_a_scan() {
    let (store, script) = indexed().await;
    write(&store, "ours", HOUR).await;
    // Like an item of another writer.
    let put = store.client().put_item().table_name("status");
    put.item("processing_id", AttributeValue::S("theirs".into()))
        .item("createdAt", AttributeValue::S("2025-12-24T10:00:00.123456+00:00Z".into()))
        .send()
        .await
        .unwrap();
    look_around(&store, &script).await;
    assert_eq!(recent(&store, 1).await, ["ours"]);
    assert_eq!(script.count("Scan"), 0);
    script.log();
    assert_eq!(recent(&store, 2).await, ["ours", "theirs"]);
    let log = script.log();
    assert_eq!(count(&log, "Scan"), 1);
    // In a table of one page, not every day of the index is queried.
    assert!(count(&log, "Query") <= 15, "{}", count(&log, "Query"));
}

#[tokio::test]
async fn every_day_of_a_larger_table_is_queried_before_a_scan() {
    let (store, script) = indexed().await;
    write(&store, "new", HOUR).await;
    write(&store, "old", 24 * HOUR * 80).await;
    let page = r#"{"Items":[],"LastEvaluatedKey":{"processing_id":{"S":"0"}}}"#;
    look_around(&store, &script).await;
    script.next("Scan", [Step::Answer(200, page)]);
    assert_eq!(recent(&store, 2).await, ["new", "old"]);
    assert_eq!(script.count("Scan"), 1);
    script.log();
    script.next("Scan", [Step::Answer(200, page)]);
    assert_eq!(recent(&store, 3).await, ["new", "old"]);
    let log = script.log();
    assert_eq!(count(&log, "Scan"), 2);
    // Each day once, as far back as items are retained.
    assert_eq!(count(&log, "Query"), 92);
}

#[tokio::test]
async fn our_first_write_adds_an_item_of_another_writer_to_the_index() {
    let (store, script) = indexed().await;
    let put = store.client().put_item().table_name("status");
    put.item("processing_id", AttributeValue::S("s".into())).send().await.unwrap();
    let adopted = begun("s", HOUR);
    store.write(&adopted, no_revision()).await.unwrap();
    look_around(&store, &script).await;
    assert_eq!(recent(&store, 1).await, ["s"]);
    assert_eq!(script.count("Scan"), 0);
}

#[tokio::test]
async fn a_day_is_read_page_by_page() {
    let (store, script) = indexed().await;
    write(&store, "a", HOUR / 60).await;
    write(&store, "b", HOUR / 30).await;
    script.next("Query", [Step::EmptyPage, Step::EmptyPage]);
    assert_eq!(recent(&store, 2).await, ["a", "b"]);
}

#[tokio::test]
async fn deleted_items_that_are_still_in_the_index_are_left_out() {
    let (store, script) = indexed().await;
    for id in ["a", "b"] {
        write(&store, id, HOUR).await;
    }
    script.next("BatchGetItem", [Step::Answer(200, r#"{"Responses":{"status":[]}}"#)]);
    assert_eq!(store.recent(2).await.unwrap().items, []);
}

#[tokio::test]
async fn a_role_that_may_not_query_scans() {
    let warnings = Warnings::watch();
    let (store, script) = indexed().await;
    write(&store, "s", HOUR).await;
    script.always("Query", Step::refuse("AccessDeniedException"));
    for _ in 0..2 {
        assert_eq!(recent(&store, 1).await, ["s"]);
    }
    let warnings = warnings.take();
    assert!(matches!(&*warnings, [one] if one.contains("dynamodb:Query")), "{warnings:?}");
}

#[tokio::test]
async fn the_error_of_a_query_says_so() {
    let (store, script) = indexed().await;
    script.always("Query", Step::refuse("ThrottlingException"));
    let error = store.recent(1).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Throttled);
    assert!(error.to_string().contains("cannot query DynamoDB table `status`"), "{error}");
}

#[tokio::test]
async fn a_role_that_may_not_describe_the_table_scans() {
    let script = Script::default();
    let store = DynamoDbStore::new(script.client(1), "status");
    store.create_table().await.unwrap();
    script.always("DescribeTable", Step::refuse("AccessDeniedException"));
    let store = DynamoDbStore::new(store.client().clone(), "status");
    write(&store, "s", HOUR).await;
    script.log();
    assert_eq!(recent(&store, 1).await, ["s"]);
    assert_eq!(script.log(), ["Scan"]);
}

#[tokio::test]
async fn a_scan_of_a_large_table_is_truncated() {
    let (store, script) = indexed().await;
    let page = r#"{"Items":[{"processing_id":{"S":"s"},"createdAt":{"S":"2025-12-24T10:00:00.000Z"}}],"LastEvaluatedKey":{"processing_id":{"S":"s"}}}"#;
    script.always("Scan", Step::Answer(200, page));
    let recent = store.recent(10).await.unwrap();
    assert!(recent.truncated);
    assert_eq!(recent.items.len(), 1);
    assert_eq!(script.count("Scan"), 64);
    script.log();
    assert!(store.sessions_with_prefix("s", 3).await.unwrap().truncated);
    assert_eq!(script.count("Scan"), 3);
}

#[tokio::test]
async fn what_is_decided_on_is_read_consistently() {
    let (store, script) = indexed().await;
    write(&store, "s", HOUR).await;
    script.consistent();
    // Lists show what was a moment ago, at half the cost.
    store.recent(2).await.unwrap();
    store.get_many(&[id("s")]).await.unwrap();
    assert_eq!(script.consistent(), [""; 0]);
    // A session that somebody asks for, those to delete, and the item that a write conflicts with.
    store.get(&id("s")).await.unwrap();
    store.sessions_with_prefix("s", 1).await.unwrap();
    script.next("UpdateItem", [Step::WithoutItem]);
    store.write(&begun("s", HOUR), Precondition::Absent).await.unwrap();
    assert_eq!(script.consistent(), ["GetItem", "Scan", "GetItem"]);
}

#[tokio::test]
async fn sessions_are_found_by_prefix() {
    let (store, _) = indexed().await;
    for (id, hours) in [("test-b", 1), ("test-a", 2), ("tes", 3), ("other-test-", 4)] {
        write(&store, id, hours * HOUR).await;
    }
    let bare = change("test-undated", 1, Item::new());
    store.write(&bare, Precondition::Absent).await.unwrap();
    let found = store.sessions_with_prefix("test-", 9).await.unwrap();
    let ids: Vec<_> = found.items.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["test-b", "test-a", "test-undated"]);
    assert!(!found.truncated);
    let (_, item) = &found.items[0];
    let names: Vec<_> = item.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["createdAt", "lastUpdated", "overallStatus", "revision", "sessionId"]);
    assert_eq!(store.sessions_with_prefix("", 9).await.unwrap().items.len(), 5);
    assert_eq!(store.sessions_with_prefix("%", 9).await.unwrap().items, []);
}
