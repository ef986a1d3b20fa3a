//! Items whose version is of an odd type.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use tower_agent_status::StatusTracker;
use tower_agent_status::status::WorkflowStatus;
use tower_agent_status::store::{DynamoDbStore, StatusReader as _};

use crate::contract::id;
use crate::old_items::{old, put, with};

#[tokio::test]
async fn an_item_whose_version_is_of_an_odd_type_is_adopted() {
    let n = |number: &str| AttributeValue::N(number.to_owned());
    let mut stuck = Vec::new();
    for attribute in ["lastUpdated", "revision"] {
        for (n, value) in [
            n("1766570400"),
            n("-5"),
            n("1766570400.123456"),
            // What `Decimal(time.time())` is in Python.
            n("1766570400.1234560012817382812"),
            n("99999999999999999999999"),
            AttributeValue::Bool(true),
            AttributeValue::Null(true),
            AttributeValue::Ss(vec!["a".to_owned()]),
            AttributeValue::L(vec![AttributeValue::Bool(true)]),
            AttributeValue::S("7".to_owned()),
        ]
        .into_iter()
        .enumerate()
        {
            let store = DynamoDbStore::embedded_in_memory().unwrap();
            let session = format!("s-{n}");
            let shown = format!("{attribute} {value:?}");
            put(&store, "sessionId", &session, with(old(Duration::ZERO), attribute, value)).await;
            let tracker = StatusTracker::builder(store.clone()).start().unwrap();
            tracker.workflow(session.as_str()).start().unwrap().complete();
            if tracker.shutdown(Duration::from_secs(3)).await.is_err() {
                stuck.push(shown);
                continue;
            }
            let item = store.get(&id(&session)).await.unwrap().unwrap();
            let status = WorkflowStatus::from_item(&id(&session), &item);
            assert!(status.overall_status.is_finished(), "{shown}");
        }
    }
    assert_eq!(stuck, [""; 0]);
}
