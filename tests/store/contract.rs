//! The contract of a store, for all stores.

use std::future::Future;
use std::time::{Duration, SystemTime};

use tower_agent_status::SessionId;
use tower_agent_status::status::{
    Change, Item, ItemVersion, Precondition, Timestamp, Value, WorkflowStatus, schema,
};
use tower_agent_status::store::{
    DynamoDbStore, ListRequest, MemoryStore, StatusReader, StatusStore, WriteOutcome,
};

use crate::endpoint::Endpoint;
use crate::files::TempFile;

/// Both sides of a store.
pub(crate) trait Store: StatusStore + StatusReader {}
impl<S: StatusStore + StatusReader> Store for S {}

macro_rules! contract {
    ($($case:ident)+) => {
        mod memory {
            use super::*;
            $(#[tokio::test]
            async fn $case() {
                super::$case(&MemoryStore::new()).await;
            })+
        }

        mod embedded_in_memory {
            use super::*;
            $(#[tokio::test]
            async fn $case() {
                super::$case(&DynamoDbStore::embedded_in_memory().unwrap()).await;
            })+
        }

        mod embedded_in_a_file {
            use super::*;
            $(#[tokio::test]
            async fn $case() {
                let file = TempFile::new(concat!("contract-", stringify!($case)));
                super::$case(&DynamoDbStore::embedded(file.path()).unwrap()).await;
            })+
        }

        /// A table with other names for the key and the TTL attribute, which a user of the
        /// store must not notice.
        mod other_names {
            use super::*;
            $(#[tokio::test]
            async fn $case() {
                let client = DynamoDbStore::embedded_client().unwrap();
                let store = DynamoDbStore::new(client, "other-names")
                    .partition_key("processing_id")
                    .ttl_attribute("ttl");
                store.create_table().await.unwrap();
                super::$case(&DynamoDbStore::new(store.client().clone(), "other-names")).await;
            })+
        }

        mod sharded {
            use super::*;
            $(#[tokio::test]
            async fn $case() {
                for shards in [4, 16] {
                    super::$case(&sharded(shards).await).await;
                }
            })+
        }

        mod endpoint {
            use super::*;
            $(#[tokio::test]
            async fn $case() {
                for shards in [1, 4, 16] {
                    let endpoint = Endpoint::from_env(stringify!($case), shards).await;
                    let Some(endpoint) = endpoint else { return };
                    super::$case(endpoint.store()).await;
                    endpoint.close().await;
                }
            })+
        }
    };
}

contract! {
    an_item_is_created_once
    a_change_needs_the_revision_it_expects
    an_item_without_revision_is_changed_once
    an_item_that_was_updated_meanwhile_is_not_changed
    attributes_are_set_and_removed
    a_refused_change_changes_nothing
    a_document_survives
    any_attribute_may_be_named_as_a_reserved_word
    numbers_are_exact
    texts_are_exact
    many_are_read_in_the_order_asked_for
    the_newest_come_first
    the_newest_of_some_days_come_first
    the_sessions_of_a_value_are_found
    what_is_deleted_is_gone
    of_two_writers_one_wins
    the_longest_session_id_is_a_key
}

/// A table whose index of the newest sessions has so many shards, with a search index.
pub(crate) async fn sharded(shards: u16) -> DynamoDbStore {
    let client = DynamoDbStore::embedded_client().unwrap();
    let store = DynamoDbStore::new(client.clone(), "sharded").recent_shards(shards);
    store.search_attribute("documentId").create_table().await.unwrap();
    // It finds out by itself.
    DynamoDbStore::new(client, "sharded")
}

fn item(attributes: impl IntoIterator<Item = (&'static str, Value)>) -> Item {
    attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn map(attributes: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    Value::Map(item(attributes))
}

fn text(text: &str) -> Value {
    Value::from(text)
}

pub(crate) fn id(text: &str) -> SessionId {
    SessionId::new(text).unwrap()
}

pub(crate) fn change(id: &str, revision: u64, set: Item) -> Change {
    let mut set = set;
    set.insert(schema::REVISION, revision);
    Change::new(self::id(id), set, Vec::new())
}

/// The item has this revision, and no `lastUpdated`.
pub(crate) fn revision(revision: u64) -> Precondition {
    Precondition::Version(ItemVersion::new(Some(revision), None))
}

/// The item has neither.
pub(crate) fn no_revision() -> Precondition {
    Precondition::Version(ItemVersion::default())
}

/// A short form of the recorder's first write of a session.
pub(crate) fn first(id: &str) -> Change {
    let attributes = [
        ("overallStatus", text("processing")),
        ("createdAt", text("2025-12-24T10:00:00.000Z")),
        (schema::EXPIRES_AT, Value::Integer(1_774_346_400)),
    ];
    change(id, 1, item(attributes))
}

/// The item that a change creates.
fn created(change: &Change) -> Item {
    let mut item = Item::new();
    item.insert(schema::SESSION_ID, change.session_id.as_str());
    change.apply(&mut item);
    item
}

async fn stored(store: &impl Store, id: &str) -> Item {
    store.get(&self::id(id)).await.unwrap().unwrap_or_else(|| panic!("there is no item `{id}`"))
}

async fn an_item_is_created_once(store: &impl Store) {
    assert_eq!(store.get(&id("s")).await.unwrap(), None);
    let change = first("s");
    assert_eq!(store.write(&change, Precondition::Absent).await.unwrap(), WriteOutcome::Applied);
    let item = created(&change);
    assert_eq!(stored(store, "s").await, item);
    let again =
        store.write(&self::change("s", 1, Item::new()), Precondition::Absent).await.unwrap();
    assert_eq!(again, WriteOutcome::Conflict(Some(item.clone())));
    assert_eq!(stored(store, "s").await, item);
}

async fn a_change_needs_the_revision_it_expects(store: &impl Store) {
    let missing = store.write(&change("s", 2, Item::new()), revision(1)).await.unwrap();
    assert_eq!(missing, WriteOutcome::Conflict(None));
    assert_eq!(store.get(&id("s")).await.unwrap(), None);

    store.write(&first("s"), Precondition::Absent).await.unwrap();
    let second = change("s", 2, item([("overallStatus", text("completed"))]));
    let written = store.write(&second, revision(1)).await.unwrap();
    assert_eq!(written, WriteOutcome::Applied);
    let mut expected = created(&first("s"));
    second.apply(&mut expected);
    assert_eq!(stored(store, "s").await, expected);

    let stale = change("s", 2, item([("overallStatus", text("processing"))]));
    let written = store.write(&stale, revision(1)).await.unwrap();
    assert_eq!(written, WriteOutcome::Conflict(Some(expected)));
}

async fn an_item_without_revision_is_changed_once(store: &impl Store) {
    let missing = store.write(&first("s"), no_revision()).await.unwrap();
    assert_eq!(missing, WriteOutcome::Conflict(None));

    // Like an item of another writer: a change that sets no revision.
    let other = Change::new(id("s"), item([("overallStatus", text("processing"))]), Vec::new());
    store.write(&other, Precondition::Absent).await.unwrap();
    let seen = stored(store, "s").await;
    assert_eq!(seen.get(schema::REVISION), None);

    let revised = change("s", 1, Item::new());
    let wrong = store.write(&revised, revision(0)).await.unwrap();
    assert_eq!(wrong, WriteOutcome::Conflict(Some(seen.clone())));
    let written = store.write(&revised, no_revision()).await.unwrap();
    assert_eq!(written, WriteOutcome::Applied);
    let written = store.write(&revised, no_revision()).await.unwrap();
    let mut now = seen;
    revised.apply(&mut now);
    assert_eq!(written, WriteOutcome::Conflict(Some(now)));
}

async fn an_item_that_was_updated_meanwhile_is_not_changed(store: &impl Store) {
    let at = |minute: u8| format!("2025-12-24T10:{minute:02}:00.123456+00:00");
    let version =
        |revision, time: Option<&str>| Precondition::Version(ItemVersion::new(revision, time));
    for revision in [Some(1), None] {
        let name = format!("session-{}", revision.unwrap_or(0));
        let mut set = item([("lastUpdated", Value::from(at(1)))]);
        if let Some(revision) = revision {
            set.insert(schema::REVISION, revision);
        }
        let first = Change::new(id(&name), set, Vec::new());
        store.write(&first, Precondition::Absent).await.unwrap();
        let seen = stored(store, &name).await;
        let next = change(&name, 2, item([("lastUpdated", Value::from(at(3)))]));
        for wrong in [Some(at(2)), None] {
            let expected = version(revision, wrong.as_deref());
            let written = store.write(&next, expected).await.unwrap();
            assert_eq!(written, WriteOutcome::Conflict(Some(seen.clone())), "{wrong:?}");
        }
        let expected = Precondition::Version(ItemVersion::of(&seen));
        assert_eq!(expected, version(revision, Some(&at(1))));
        assert_eq!(store.write(&next, expected).await.unwrap(), WriteOutcome::Applied);
    }
}

async fn attributes_are_set_and_removed(store: &impl Store) {
    let agent = map([("status", text("error")), ("error", text("HTTP 500"))]);
    let with_error = [("pdfAdapter", agent), ("error", text("failed")), ("kept", text("kept"))];
    store.write(&change("s", 1, item(with_error)), Precondition::Absent).await.unwrap();

    // A map is replaced as a whole: nothing of the one before is left.
    let agent = map([("status", text("success"))]);
    let mut second = change("s", 2, item([("pdfAdapter", agent.clone())]));
    second.remove = vec!["error".into(), "never there".into(), "error".into()];
    let written = store.write(&second, revision(1)).await.unwrap();
    assert_eq!(written, WriteOutcome::Applied);

    let mut expected = item([("pdfAdapter", agent), ("kept", text("kept"))]);
    expected.insert(schema::SESSION_ID, "s");
    expected.insert(schema::REVISION, 2);
    assert_eq!(stored(store, "s").await, expected);

    // An attribute that is both set and removed is removed.
    let mut third = change("s", 3, item([("kept", text("again"))]));
    third.remove = vec!["kept".into()];
    store.write(&third, revision(2)).await.unwrap();
    assert_eq!(stored(store, "s").await.get("kept"), None);
}

async fn a_refused_change_changes_nothing(store: &impl Store) {
    store.write(&first("s"), Precondition::Absent).await.unwrap();
    let before = stored(store, "s").await;
    let mut refused = change("s", 9, item([("overallStatus", text("failed"))]));
    refused.remove = vec!["createdAt".into()];
    for expected in [Precondition::Absent, revision(8), no_revision()] {
        let written = store.write(&refused, expected.clone()).await.unwrap();
        assert_eq!(written, WriteOutcome::Conflict(Some(before.clone())), "{expected:?}");
        assert_eq!(stored(store, "s").await, before, "{expected:?}");
    }
}

async fn a_document_survives(store: &impl Store) {
    let usage = |tokens: u64| {
        map([
            ("inputTokens", Value::Integer(tokens)),
            ("outputTokens", Value::Integer(500)),
            ("totalTokens", Value::Integer(tokens + 500)),
        ])
    };
    let pdf_adapter = map([
        ("status", text("success")),
        ("activity", text("Text extraction complete")),
        ("startedAt", text("2025-12-24T10:00:00.000Z")),
        ("completedAt", text("2025-12-24T10:00:05.123Z")),
        ("duration", Value::Float(5.123)),
        ("tokenUsage", usage(1500)),
        ("calls", Value::Integer(2)),
        ("lastUpdated", text("2025-12-24T10:00:05.123Z")),
    ]);
    let matching = map([
        ("status", text("error")),
        ("activity", text("Matching failed")),
        ("startedAt", text("2025-12-24T10:00:06.000Z")),
        ("completedAt", text("2025-12-24T10:00:07.000Z")),
        ("duration", Value::Float(1.0)),
        ("error", text("HTTP 500: \"internal\" – ünïcode")),
        ("errorType", text("http_500")),
        ("calls", Value::Integer(1)),
        ("lastUpdated", text("2025-12-24T10:00:07.000Z")),
    ]);
    let source = item([
        ("correlationId", text("corr_abc123")),
        ("documentId", text("FAB_26933659")),
        ("pages", Value::Integer(17)),
        ("score", Value::Float(0.25)),
        ("overallStatus", text("failed")),
        ("error", text("matching failed")),
        ("createdAt", text("2025-12-24T10:00:00.000Z")),
        ("lastUpdated", text("2025-12-24T10:00:07.000Z")),
        (schema::EXPIRES_AT, Value::Integer(1_774_346_400)),
        (schema::REVISION, Value::Integer(1)),
        ("writers", map([("3f9c", Value::Integer(1))])),
        ("pdfAdapter", pdf_adapter),
        ("tradeMatching", matching),
    ]);
    let document = WorkflowStatus::from_item(&id("session-corr_abc123"), &source);
    assert_eq!(document.agents().count(), 2);
    let change = Change::new(id("session-corr_abc123"), document.to_item(), Vec::new());
    store.write(&change, Precondition::Absent).await.unwrap();

    let item = stored(store, "session-corr_abc123").await;
    assert_eq!(WorkflowStatus::from_item(&id("session-corr_abc123"), &item), document);
    assert_eq!(item.get(schema::SESSION_ID), Some(&text("session-corr_abc123")));
    assert_eq!(item.get(schema::EXPIRES_AT), Some(&Value::Integer(1_774_346_400)));
    let mut without_id = item;
    without_id.remove(schema::SESSION_ID);
    // A table does not distinguish whole floats from integers.
    let json = |item: &Item| serde_json::to_string(item).unwrap().replace(".0,", ",");
    assert_eq!(json(&without_id), json(&document.to_item()));
}

async fn any_attribute_may_be_named_as_a_reserved_word(store: &impl Store) {
    // Reserved words of DynamoDB's expressions, and characters with a meaning in them.
    let names =
        ["agent", "status", "set", "remove", "size", "#k", ":r", "a.b", "a[0]", "a b", "é", "0"];
    let agent = map([("status", text("success")), ("if_not_exists(x)", text("x"))]);
    let attributes: Item = names.iter().map(|name| ((*name).to_owned(), agent.clone())).collect();
    store.write(&change("s", 1, attributes), Precondition::Absent).await.unwrap();
    let item = stored(store, "s").await;
    for name in names {
        assert_eq!(item.get(name), Some(&agent), "{name}");
    }
    let mut second = change("s", 2, Item::new());
    second.remove = names.map(str::to_owned).into();
    store.write(&second, revision(1)).await.unwrap();
    assert_eq!(stored(store, "s").await.len(), 2, "the session id and the revision");
}

async fn numbers_are_exact(store: &impl Store) {
    let numbers = [
        ("zero", Value::Integer(0)),
        ("largest", Value::Integer(u64::MAX)),
        ("duration", Value::Float(5.123)),
        ("sum", Value::Float(0.1 + 0.2)),
        ("small", Value::Float(1e-12)),
        ("large", Value::Float(1.5e300 / 1e200)),
        ("below zero", Value::Float(-2.5)),
    ];
    let map = map(numbers.clone());
    store.write(&change("s", 1, item([("map", map)])), Precondition::Absent).await.unwrap();
    let stored = stored(store, "s").await;
    let read = stored.get("map").and_then(Value::as_map).unwrap();
    for (name, number) in numbers {
        assert_eq!(read.get(name), Some(&number), "{name}");
    }
}

async fn texts_are_exact(store: &impl Store) {
    let texts = ["", " ", "\"\\\n\t\u{0}\u{7f}", "é€𝄞", "#k = :r", &"x".repeat(10_000)];
    let map: Item = texts.iter().enumerate().map(|(i, s)| (format!("text{i}"), text(s))).collect();
    // An id may be any text.
    let id = "session/é \"#:🜚";
    store.write(&change(id, 1, map.clone()), Precondition::Absent).await.unwrap();
    let stored = stored(store, id).await;
    assert_eq!(stored.get(schema::SESSION_ID), Some(&text(id)));
    for (name, value) in map.iter() {
        assert_eq!(stored.get(name), Some(value), "{name}");
    }
}

async fn many_are_read_in_the_order_asked_for(store: &impl Store) {
    // More than one batch of 100.
    let ids: Vec<_> = (0..205).map(|number| id(&format!("s{number:03}"))).collect();
    for id in ids.iter().step_by(2) {
        store.write(&first(id.as_str()), Precondition::Absent).await.unwrap();
    }
    let mut asked: Vec<_> = ids.iter().rev().cloned().collect();
    asked.push(id("s000"));
    asked.push(id(&"x".repeat(2048)));
    let found = store.get_many(&asked).await.unwrap();
    assert_eq!(found.len(), asked.len());
    for (id, found) in asked.iter().zip(found) {
        let id = id.as_str();
        let is_there = id.len() == 4 && id[1..].parse::<u32>().unwrap() % 2 == 0;
        assert_eq!(found, is_there.then(|| created(&first(id))), "{id}");
    }
    assert_eq!(store.get_many(&[]).await.unwrap(), []);
}

async fn the_newest_come_first(store: &impl Store) {
    let none = store.recent(10).await.unwrap();
    assert_eq!((none.items, none.truncated, none.unindexed), (Vec::new(), false, false));
    let times = [
        ("old", "2025-12-24T10:00:00.000Z"),
        ("newest", "2025-12-24T12:00:00.000Z"),
        // The same moment as the next, as another writer wrote it.
        ("b", "2025-12-24T12:00:00.000+01:00"),
        ("a", "2025-12-24T11:00:00.000Z"),
    ];
    for (id, time) in times {
        let change = change(id, 1, item([("createdAt", text(time))]));
        store.write(&change, Precondition::Absent).await.unwrap();
    }
    store.write(&change("undated", 1, Item::new()), Precondition::Absent).await.unwrap();
    let recent = store.recent(10).await.unwrap();
    assert!(!recent.truncated);
    let recent = recent.items;
    let ids: Vec<_> = recent.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["newest", "a", "b", "old", "undated"]);
    let (id, item) = &recent[0];
    assert_eq!(item.get(schema::SESSION_ID), Some(&text(id.as_str())));
    let recent = store.recent(2).await.unwrap().items;
    let ids: Vec<_> = recent.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["newest", "a"]);
    let mapped = store.list(&ListRequest::new(2), |id, item| (id.to_string(), item)).await.unwrap();
    let expected = recent.into_iter().map(|(id, item)| (id.clone(), (id.to_string(), item)));
    assert_eq!(mapped.items, expected.collect::<Vec<_>>());
    assert!(!mapped.truncated && !mapped.unindexed);
    assert_eq!(store.recent(0).await.unwrap().items, []);
}

/// A recorder's first write of a workflow that started this long ago.
pub(crate) fn begun(id: &str, ago: Duration) -> Change {
    let created_at = Timestamp::from(SystemTime::now()).saturating_sub(ago).to_string();
    let source = item([
        ("createdAt", text(&created_at)),
        ("lastUpdated", text(&created_at)),
        (schema::REVISION, Value::Integer(1)),
    ]);
    let id = self::id(id);
    let item = WorkflowStatus::from_item(&id, &source).to_item();
    Change::new(id, item, Vec::new())
}

async fn the_newest_of_some_days_come_first(store: &impl Store) {
    const HOUR: Duration = Duration::from_secs(60 * 60);
    let hours = [0, 1, 2, 26, 27, 50, 24 * 5, 24 * 80];
    // Neither in the order of their times nor in that of their names.
    for n in [3, 0, 7, 4, 1, 6, 2, 5] {
        let change = begun(&format!("{}", (n * 5) % 8), hours[n] * HOUR);
        store.write(&change, Precondition::Absent).await.unwrap();
    }
    let expected: Vec<_> = (0..8).map(|n| id(&format!("{}", (n * 5) % 8))).collect();
    for limit in [1, 2, 3, 4, 7, 8, 9] {
        let recent = store.recent(limit).await.unwrap();
        let ids: Vec<_> = recent.items.iter().map(|(id, _)| id.clone()).collect();
        assert_eq!(ids, expected[..limit.min(8)], "{limit}");
        assert!(!recent.truncated);
    }
    store.delete(&expected[0]).await.unwrap();
    assert_eq!(store.recent(1).await.unwrap().items[0].0, expected[1]);
}

async fn the_sessions_of_a_value_are_found(store: &impl Store) {
    for (n, value) in ["a", "b", "a", "c"].into_iter().enumerate() {
        let mut change = begun(&format!("s{n}"), Duration::from_secs(60 * n as u64));
        change.set.insert("documentId", value);
        store.write(&change, Precondition::Absent).await.unwrap();
    }
    let found = |value: &'static str, limit| async move {
        let request = ListRequest::new(limit);
        let found = store.search("documentId", value, &request, |id, _| id.to_string()).await;
        let found = found.unwrap()?;
        assert!(!found.truncated);
        Some(found.items.into_iter().map(|(_, id)| id).collect::<Vec<_>>())
    };
    // A store without an index of it says so.
    let Some(both) = found("a", 10).await else { return };
    assert_eq!(both, ["s0", "s2"]);
    assert_eq!(found("a", 1).await.unwrap(), ["s0"]);
    assert_eq!(found("d", 10).await.unwrap(), [""; 0]);
    store.delete(&id("s0")).await.unwrap();
    assert_eq!(found("a", 10).await.unwrap(), ["s2"]);
}

async fn what_is_deleted_is_gone(store: &impl Store) {
    store.write(&first("s"), Precondition::Absent).await.unwrap();
    assert!(store.delete(&id("s")).await.unwrap());
    assert!(!store.delete(&id("s")).await.unwrap());
    assert_eq!(store.get(&id("s")).await.unwrap(), None);
    let written = store.write(&first("s"), Precondition::Absent).await.unwrap();
    assert_eq!(written, WriteOutcome::Applied);
}

async fn of_two_writers_one_wins(store: &impl Store) {
    async fn race(a: impl Future<Output = WriteOutcome>, b: impl Future<Output = WriteOutcome>) {
        let outcomes = tokio::join!(a, b);
        let is_applied = |written: &WriteOutcome| *written == WriteOutcome::Applied;
        assert!(is_applied(&outcomes.0) != is_applied(&outcomes.1), "{outcomes:?}");
    }
    let write =
        |change: Change, expected| async move { store.write(&change, expected).await.unwrap() };
    race(write(first("s"), Precondition::Absent), write(first("s"), Precondition::Absent)).await;
    for seen in 1..10 {
        let next = change("s", seen + 1, Item::new());
        let expected = revision(seen);
        race(write(next.clone(), expected.clone()), write(next, expected)).await;
    }
}

async fn the_longest_session_id_is_a_key(store: &impl Store) {
    let longest = "x".repeat(SessionId::MAX_BYTES);
    assert_eq!(store.get(&id(&longest)).await.unwrap(), None);
    assert!(!store.delete(&id(&longest)).await.unwrap());
    store.write(&first(&longest), Precondition::Absent).await.unwrap();
    assert!(store.get(&id(&longest)).await.unwrap().is_some());
}

#[test]
fn a_session_id_that_cannot_be_a_key_is_an_error() {
    for id in [String::new(), "x".repeat(2049)] {
        let text = SessionId::from_key(&id).unwrap_err().to_string();
        assert!(text.contains("2048"), "{text}");
        assert!(id.is_empty() || text.contains(&id.len().to_string()), "{text}");
    }
}
