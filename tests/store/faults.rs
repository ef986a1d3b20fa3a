//! Writes whose requests fail, in every way a request can.

use std::time::Duration;

use serde_json::json;
use tower_agent_status::status::{Item, Precondition, Value, schema};
use tower_agent_status::store::{
    DynamoDbStore, StatusReader, StatusStore, StoreError, StoreErrorKind, WriteOutcome,
};

use crate::contract::{change, first, id, no_revision, revision};
use crate::script::{Script, Step};

const TABLE: &str = "status";

/// A store with a table, whose requests have this many attempts.
async fn store(attempts: u32) -> (DynamoDbStore, Script) {
    let script = Script::default();
    let store = DynamoDbStore::new(script.client(attempts), TABLE);
    store.create_table().await.unwrap();
    script.log();
    (store, script)
}

async fn failed(steps: impl IntoIterator<Item = Step>, attempts: u32) -> StoreError {
    let (store, script) = store(attempts).await;
    script.next("UpdateItem", steps);
    store.write(&first("s"), Precondition::Absent).await.unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn each_fault_has_a_kind_and_is_ambiguous_or_not() {
    use StoreErrorKind::{Permanent, Throttled, Unavailable};
    let refuse = |status, code| Step::Refuse(status, code, "told so".to_owned());
    let table = [
        (Step::refuse("ThrottlingException"), Throttled, false),
        (Step::refuse("ProvisionedThroughputExceededException"), Throttled, false),
        (Step::refuse("RequestLimitExceeded"), Throttled, false),
        (Step::Answer(429, "slow down"), Throttled, false),
        (Step::refuse("TransactionConflictException"), Unavailable, false),
        (Step::refuse("ExpiredTokenException"), Unavailable, false),
        (Step::refuse("UnrecognizedClientException"), Unavailable, false),
        (refuse(500, "InternalServerError"), Unavailable, true),
        (refuse(503, "ServiceUnavailable"), Unavailable, true),
        (Step::Answer(502, "<html>bad gateway</html>"), Unavailable, true),
        // A proxy that did not wait for the service.
        (Step::Answer(408, "request timeout"), Unavailable, true),
        (Step::Answer(407, "proxy authentication required"), Permanent, false),
        (Step::Answer(200, "{\"truncated\":"), Unavailable, true),
        (Step::ConnectionRefused, Unavailable, false),
        (Step::Reset, Unavailable, true),
        (Step::TimeOut, Unavailable, true),
        (Step::Hang, Unavailable, true),
        (Step::refuse("AccessDeniedException"), Permanent, false),
        (Step::refuse("ResourceNotFoundException"), Permanent, false),
        (Step::refuse("ItemCollectionSizeLimitExceededException"), Permanent, false),
        (Step::refuse("ValidationException"), Permanent, false),
        (Step::Answer(400, "what?"), Permanent, false),
    ];
    for (step, kind, is_ambiguous) in table {
        let error = failed([step.clone()], 1).await;
        assert_eq!(error.kind(), kind, "{step:?}: {error}");
        assert_eq!(error.may_have_been_applied(), is_ambiguous, "{step:?}: {error}");
        let text = error.to_string();
        assert!(text.contains("`status`") && text.len() < 800, "{step:?}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_attempt_counts_and_not_only_the_last() {
    let throttled = || Step::refuse("ThrottlingException");
    let table = [
        (vec![Step::Reset, throttled(), throttled()], true),
        (vec![Step::Hang, throttled(), throttled()], true),
        (vec![throttled(), Step::TimeOut, Step::ConnectionRefused], true),
        (vec![throttled(), throttled(), throttled()], false),
        (vec![throttled(), Step::ConnectionRefused, throttled()], false),
    ];
    for (steps, is_ambiguous) in table {
        let error = failed(steps.clone(), 3).await;
        assert_eq!(error.may_have_been_applied(), is_ambiguous, "{steps:?}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_transient_fault_is_retried() {
    let (store, script) = store(3).await;
    script.next("UpdateItem", [Step::Reset, Step::refuse("ThrottlingException")]);
    let written = store.write(&first("s"), Precondition::Absent).await.unwrap();
    assert_eq!(written, WriteOutcome::Applied);
    assert_eq!(script.log(), ["UpdateItem", "UpdateItem", "UpdateItem"]);
}

#[tokio::test(start_paused = true)]
async fn a_retried_write_that_was_applied_conflicts_with_itself() {
    let lost = [Step::Reset, Step::Hang, Step::TimeOut, Step::Answer(500, "")];
    for lost in lost {
        let (store, script) = store(2).await;
        store.write(&first("s"), Precondition::Absent).await.unwrap();
        script.next("UpdateItem", [lost.clone().apply_then()]);
        let second = change("s", 2, Item::new());
        let written = store.write(&second, revision(1)).await.unwrap();
        let WriteOutcome::Conflict(Some(item)) = written else { panic!("{lost:?}: {written:?}") };
        assert_eq!(item.get(schema::REVISION), Some(&Value::Integer(2)), "{lost:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_response_is_lost_is_ambiguous() {
    let (store, script) = store(1).await;
    script.next("UpdateItem", [Step::Reset.apply_then()]);
    let error = store.write(&first("s"), Precondition::Absent).await.unwrap_err();
    assert!(error.may_have_been_applied() && error.is_retryable());
    assert!(store.get(&id("s")).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_conflict_without_the_item_reads_it() {
    let (store, script) = store(1).await;
    store.write(&first("s"), Precondition::Absent).await.unwrap();
    let item = store.get(&id("s")).await.unwrap();
    script.always("UpdateItem", Step::WithoutItem);
    script.log();
    for expected in [Precondition::Absent, revision(7), no_revision()] {
        let written = store.write(&first("s"), expected.clone()).await.unwrap();
        assert_eq!(written, WriteOutcome::Conflict(item.clone()), "{expected:?}");
        assert_eq!(script.log(), ["UpdateItem", "GetItem"]);
    }
    let missing = store.write(&first("none"), revision(7)).await.unwrap();
    assert_eq!(missing, WriteOutcome::Conflict(None));
}

#[tokio::test(start_paused = true)]
async fn a_conflict_whose_item_cannot_be_read_is_an_error() {
    let (store, script) = store(2).await;
    store.write(&first("s"), Precondition::Absent).await.unwrap();
    script.next("UpdateItem", [Step::WithoutItem]);
    script.always("GetItem", Step::refuse("ThrottlingException"));
    let error = store.write(&first("s"), Precondition::Absent).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Throttled);
    assert!(!error.may_have_been_applied(), "the condition was refused");

    // The first attempt was applied, and the second failed its condition.
    script.next("UpdateItem", [Step::Reset.apply_then(), Step::WithoutItem]);
    let second = change("s", 2, Item::new());
    let error = store.write(&second, revision(1)).await.unwrap_err();
    assert!(error.may_have_been_applied());
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_response_ends() {
    let (store, script) = store(1).await;
    script.always("UpdateItem", Step::Hang);
    let begun = tokio::time::Instant::now();
    store.write(&first("s"), Precondition::Absent).await.unwrap_err();
    assert!(begun.elapsed() <= Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_slow_response_is_awaited_for_the_length_of_an_attempt() {
    let (store, script) = store(2).await;
    let slow = |seconds| Step::Pass.after(Duration::from_secs(seconds));
    script.next("UpdateItem", [slow(2)]);
    store.write(&first("slow"), Precondition::Absent).await.unwrap();
    assert_eq!(script.log(), ["UpdateItem"]);
    script.next("UpdateItem", [slow(4)]);
    store.write(&first("slower"), Precondition::Absent).await.unwrap();
    assert_eq!(script.log(), ["UpdateItem", "UpdateItem"]);
}

#[tokio::test]
async fn permanent_errors_have_a_remedy() {
    let invalid = |message: &str| Step::Refuse(400, "ValidationException", message.to_owned());
    let table = [
        (Step::refuse("AccessDeniedException"), "allow `dynamodb:UpdateItem`"),
        (Step::refuse("ResourceNotFoundException"), "create the table"),
        (
            invalid("One or more parameter values were invalid: Missing the key id"),
            "STATUS_TABLE_KEY",
        ),
        (invalid("The provided key element does not match the schema"), "STATUS_TABLE_KEY"),
        (invalid("Item size to update has exceeded the maximum allowed size"), "400 KB"),
    ];
    let other = failed([invalid("Invalid UpdateExpression")], 1).await.to_string();
    assert!(!other.contains("STATUS_TABLE_KEY") && !other.contains("400 KB"), "{other}");
    for (step, remedy) in table {
        let text = failed([step], 1).await.to_string();
        assert!(text.contains("`status`") && text.contains(remedy), "{text}");
    }
}

#[tokio::test]
async fn an_item_that_is_too_large_is_a_permanent_error() {
    let (store, _) = store(1).await;
    let mut set = first("s").set;
    set.insert("notes", "x".repeat(410_000));
    let error = store.write(&change("s", 1, set), Precondition::Absent).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Permanent);
    assert!(!error.may_have_been_applied());
    let text = error.to_string();
    assert!(text.contains("400 KB") && text.len() < 800, "{text}");
    assert_eq!(store.get(&id("s")).await.unwrap(), None);
}

#[tokio::test]
async fn messages_of_the_service_are_shortened() {
    let echo = "request: ".to_owned() + &"{\"secret\":1}".repeat(10_000);
    let error = failed([Step::Refuse(400, "ValidationException", echo)], 1).await;
    assert!(error.to_string().len() < 800, "{error}");
}

#[tokio::test(start_paused = true)]
async fn unprocessed_keys_of_a_batch_are_requested_again() {
    const NONE: &str = r#"{"Responses":{},"UnprocessedKeys":{"status":{"Keys":[{"sessionId":{"S":"a"}},{"sessionId":{"S":"b"}}]}}}"#;
    const HALF: &str = r#"{"Responses":{"status":[{"sessionId":{"S":"a"}}]},"UnprocessedKeys":{"status":{"Keys":[{"sessionId":{"S":"b"}}]}}}"#;
    let (store, script) = store(1).await;
    for id in ["a", "b"] {
        store.write(&first(id), Precondition::Absent).await.unwrap();
    }
    let ids = [id("a"), id("b")];
    script.next("BatchGetItem", [Step::Answer(200, NONE), Step::Answer(200, HALF)]);
    script.log();
    let found = store.get_many(&ids).await.unwrap();
    assert!(found.iter().all(Option::is_some), "{found:?}");
    assert_eq!(script.log().len(), 3);

    script.always("BatchGetItem", Step::Answer(200, NONE));
    let error = store.get_many(&ids).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Throttled);
    assert_eq!(script.log().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_makes_progress_is_not_throttled() {
    // Of ten keys, this many are left.
    let left = |count: usize| {
        let keys: Vec<_> =
            (0..count).map(|n| json!({ "sessionId": { "S": n.to_string() } })).collect();
        let left = json!({ "Responses": {}, "UnprocessedKeys": { "status": { "Keys": keys } } });
        Step::Answer(200, Box::leak(left.to_string().into_boxed_str()))
    };
    let ids: Vec<_> = (0..10).map(|n| id(&n.to_string())).collect();
    // One by one, and four times nothing before and after some.
    for counts in [vec![9, 8, 7, 6, 5, 4, 3], vec![10, 10, 10, 10, 9, 9, 9, 9, 9, 8]] {
        let (store, script) = store(1).await;
        store.write(&first("0"), Precondition::Absent).await.unwrap();
        script.next("BatchGetItem", counts.iter().map(|count| left(*count)));
        let found = store.get_many(&ids).await.unwrap();
        assert!(found[0].is_some() && found[1..].iter().all(Option::is_none), "{counts:?}");
    }
    // The pauses between two that make none grow.
    let (store, script) = store(1).await;
    script.next("BatchGetItem", [left(10), left(10), left(10)]);
    let begun = tokio::time::Instant::now();
    store.get_many(&ids).await.unwrap();
    assert_eq!(begun.elapsed().as_millis(), 100 + 200 + 400);
}

#[tokio::test]
async fn one_item_is_read_consistently_and_several_at_half_the_cost() {
    let (store, script) = store(1).await;
    store.get(&id("s")).await.unwrap();
    assert_eq!(script.last_request("GetItem")["ConsistentRead"], true);
    store.get_many(&[id("s")]).await.unwrap();
    let request = &script.last_request("BatchGetItem")["RequestItems"]["status"];
    assert!(request["Keys"].is_array() && request["ConsistentRead"] != true, "{request}");
}

#[tokio::test]
async fn pages_of_a_scan_are_followed() {
    // Three items of 400 KB are two pages.
    let (store, script) = store(1).await;
    for id in ["a", "b", "c", "d"] {
        let mut set = first(id).set;
        set.insert("notes", "x".repeat(390_000));
        store.write(&change(id, 1, set), Precondition::Absent).await.unwrap();
    }
    script.log();
    assert_eq!(store.recent(10).await.unwrap().items.len(), 4);
    assert!(script.count("Scan") >= 2);
}

#[tokio::test]
async fn errors_of_readers_name_the_permission() {
    let (store, script) = store(1).await;
    for operation in ["GetItem", "BatchGetItem", "Scan", "DeleteItem"] {
        script.always(operation, Step::refuse("AccessDeniedException"));
    }
    let errors = [
        store.get(&id("s")).await.unwrap_err(),
        store.get_many(&[id("s")]).await.unwrap_err(),
        store.recent(1).await.unwrap_err(),
        store.delete(&id("s")).await.unwrap_err(),
    ];
    let actions = ["GetItem", "BatchGetItem", "Scan", "DeleteItem"];
    for (error, action) in errors.into_iter().zip(actions) {
        assert_eq!(error.kind(), StoreErrorKind::Permanent);
        assert!(error.to_string().contains(&format!("`dynamodb:{action}`")), "{error}");
    }
}
