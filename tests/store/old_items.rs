//! Items as older writers leave them.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::types::AttributeValue;
use tower_agent_status::status::Timestamp;
use tower_agent_status::store::DynamoDbStore;

pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) type Attributes = BTreeMap<String, AttributeValue>;

pub(crate) fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub(crate) fn number(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}

/// The time `ago`, as an older writer spells it: with microseconds, and the defective suffix.
pub(crate) fn spelled(ago: Duration) -> String {
    let time = now().saturating_sub(ago).to_string();
    format!("{}123+00:00Z", time.strip_suffix('Z').unwrap())
}

/// What an older writer puts, beside the key.
pub(crate) fn old(created_ago: Duration) -> Attributes {
    let time = spelled(created_ago);
    let agent = HashMap::from([("status".to_owned(), text("loading"))]);
    Attributes::from([
        ("overallStatus".to_owned(), text("pending")),
        ("createdAt".to_owned(), text(time.clone())),
        ("lastUpdated".to_owned(), text(time)),
        ("pdfAdapter".to_owned(), AttributeValue::M(agent)),
        ("uploaded".to_owned(), AttributeValue::Bool(true)),
    ])
}

pub(crate) fn with(mut item: Attributes, name: &str, value: AttributeValue) -> Attributes {
    item.insert(name.to_owned(), value);
    item
}

pub(crate) fn without(mut item: Attributes, name: &str) -> Attributes {
    item.remove(name);
    item
}

pub(crate) async fn put(store: &DynamoDbStore, key: &str, id: &str, item: Attributes) {
    let put = store.client().put_item().table_name(store.table_name());
    let put = put.set_item(Some(item.into_iter().collect())).item(key, text(id));
    put.send().await.unwrap();
}

/// The item itself, as the table has it.
pub(crate) async fn raw(store: &DynamoDbStore, key: &str, id: &str) -> Attributes {
    let get = store.client().get_item().table_name(store.table_name()).key(key, text(id));
    get.send().await.unwrap().item.unwrap_or_default().into_iter().collect()
}
