//! Searching by an attribute: the values that an index can hold, and those that it cannot.

use tower_agent_status::status::{Change, Item, Precondition, Value};
use tower_agent_status::store::{
    DynamoDbStore, ListRequest, StatusReader, StatusStore, WriteOutcome,
};
use tower_agent_status::{Agent, StatusTracker};

use crate::contract::{self, id, sharded};
use crate::script::{Script, Step};

async fn found(store: &impl StatusReader, value: &str) -> Option<Vec<String>> {
    let request = ListRequest::new(10);
    let found = store.search("documentId", value, &request, |id, _| id.to_string()).await.unwrap();
    Some(found?.items.into_iter().map(|(_, id)| id).collect())
}

async fn write(store: &DynamoDbStore, name: &str, revision: u64, value: impl Into<Value>) {
    let mut set = Item::new();
    set.insert("createdAt", "2025-12-24T10:00:00.000Z");
    set.insert("revision", revision);
    set.insert("documentId", value.into());
    let change = Change::new(id(name), set, Vec::new());
    let precondition = match revision {
        1 => Precondition::Absent,
        known => contract::revision(known - 1),
    };
    assert_eq!(store.write(&change, precondition).await.unwrap(), WriteOutcome::Applied);
}

#[tokio::test]
async fn any_value_can_be_written() {
    let store = sharded(1).await;
    let long = "é".repeat(2_000);
    write(&store, "number", 1, 17_u64).await;
    write(&store, "float", 1, 0.5).await;
    write(&store, "text", 1, "17").await;
    write(&store, "long", 1, long.as_str()).await;
    write(&store, "empty", 1, "").await;
    write(&store, "list", 1, vec![Value::from("17")]).await;
    assert_eq!(found(&store, "17").await.unwrap(), ["number", "text"]);
    assert_eq!(found(&store, "0.5").await.unwrap(), ["float"]);
    // What is longer than a key is cut, here and there.
    assert_eq!(found(&store, &long).await.unwrap(), ["long"]);
    let item = store.get(&id("long")).await.unwrap().unwrap();
    assert_eq!(item.get("documentId").unwrap().as_str().unwrap().len(), 2_048);
    assert_eq!(found(&store, "").await.unwrap(), [""; 0]);
    for name in ["empty", "list"] {
        let item = store.get(&id(name)).await.unwrap().unwrap();
        assert_eq!(item.get("documentId"), None, "{name}");
    }
    // A value that changes, and one that goes.
    write(&store, "text", 2, "18").await;
    write(&store, "number", 2, "").await;
    assert_eq!(found(&store, "17").await.unwrap(), [""; 0]);
    assert_eq!(found(&store, "18").await.unwrap(), ["text"]);
}

#[tokio::test]
async fn without_an_index_there_is_no_answer() {
    let store = DynamoDbStore::embedded_in_memory().unwrap();
    write(&store, "s", 1, "d").await;
    assert_eq!(found(&store, "d").await, None);
    let item = store.get(&id("s")).await.unwrap().unwrap();
    assert_eq!(item.get("documentId"), Some(&Value::from("d")));
    let sharded = sharded(4).await;
    let request = ListRequest::new(1);
    assert!(sharded.search("sourceType", "x", &request, |_, _| ()).await.unwrap().is_none());
}

#[tokio::test]
async fn the_errors_of_a_search_say_so() {
    let script = Script::default();
    let store = DynamoDbStore::new(script.client(1), "status").search_attribute("documentId");
    store.create_table().await.unwrap();
    script.next("Query", [Step::refuse("AccessDeniedException")]);
    let search = || async {
        let request = ListRequest::new(1);
        store.search("documentId", "d", &request, |_, _| ()).await
    };
    let error = search().await.unwrap_err();
    assert!(error.to_string().contains("allow `dynamodb:Query`"), "{error}");
    // An item that the index has, and the table does not have any more.
    write(&store, "s", 1, "d").await;
    script.next("BatchGetItem", [Step::Answer(200, r#"{"Responses":{"status":[]}}"#)]);
    assert_eq!(search().await.unwrap().unwrap().items, []);
    assert_eq!(search().await.unwrap().unwrap().items.len(), 1);
}

#[tokio::test]
async fn no_agent_has_the_name_of_an_attribute_with_an_index() {
    let store = sharded(1).await;
    store.discover().await.unwrap();
    let tracker = StatusTracker::builder(store.clone()).agent(Agent::new("documentId")).start();
    let error = tracker.unwrap_err().to_string();
    assert!(error.contains("`documentId` is reserved"), "{error}");
    let tracker = StatusTracker::builder(store).start().unwrap();
    let workflow = tracker.workflow("s").attribute("documentId", 17).start().unwrap();
    workflow.complete();
    tracker.flush().await.unwrap();
}
