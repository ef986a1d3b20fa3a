//! Helpers that the tests of the layer share.

pub(crate) mod a2a_agent;
pub(crate) mod agent;
pub(crate) mod contract;
pub(crate) mod model;
pub(crate) mod scripted;
pub(crate) mod spans;
pub(crate) mod timed;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value as Json, json};
use tower_agent_status::status::{Item, Value};
use tower_agent_status::store::{MemoryStore, StatusReader, StatusStore};
use tower_agent_status::{Agent, SessionId, StatusTracker, StatusTrackerBuilder};

pub(crate) use contract::assert_contract;

/// The agent of most tests.
pub(crate) const AGENT: &str = "pdfAdapter";
/// The session of most tests.
pub(crate) const SESSION: &str = "session-corr_abc123";

/// A clock that advances by a millisecond whenever it is read, so that no two moments are the
/// same but all runs are.
pub(crate) fn ticking_clock() -> impl Fn() -> SystemTime + Send + Sync + 'static {
    let millis = AtomicU64::new(1_766_570_400_000);
    move || SystemTime::UNIX_EPOCH + Duration::from_millis(millis.fetch_add(1, Ordering::Relaxed))
}

/// A tracker that writes at once and has declared the agent of most tests.
pub(crate) fn builder<S: StatusStore>(store: S) -> StatusTrackerBuilder<S> {
    StatusTracker::builder(store).batch_delay(Duration::ZERO).agent(
        Agent::new(AGENT)
            .pending("Waiting for upload")
            .in_progress("Extracting text from PDF document")
            .success("Text extraction complete")
            .error("Text extraction failed"),
    )
}

pub(crate) fn id(session: &str) -> SessionId {
    SessionId::new(session).unwrap()
}

/// Assigns a request to a session.
pub(crate) fn of_session<B>(session: &str, mut request: http::Request<B>) -> http::Request<B> {
    request.extensions_mut().insert(id(session));
    request
}

/// Flushes, and returns the item of a session, checked against the contract.
pub(crate) async fn stored<S: StatusReader>(
    tracker: &StatusTracker,
    store: &S,
    session: &str,
) -> Item {
    tracker.flush().await.unwrap();
    let item =
        store.get(&id(session)).await.unwrap().unwrap_or_else(|| panic!("{session} is stored"));
    assert_contract(&item);
    item
}

/// Asserts that the item satisfied the contract after every write.
pub(crate) fn assert_contract_of_history(store: &MemoryStore) {
    let mut items = BTreeMap::<SessionId, Item>::new();
    for change in store.history() {
        let item = items.entry(change.session_id.clone()).or_default();
        item.insert("sessionId", change.session_id.as_str());
        change.apply(item);
        assert_contract(item);
    }
}

/// An item as JSON, with a placeholder for each value that differs from run to run, and without
/// attempts and times to the first chunk: those are tested by themselves.
///
/// The [contract](assert_contract) defines what those values must be.
pub(crate) fn shape(item: &Item) -> Json {
    let mut attributes = Map::new();
    for (name, value) in item.iter() {
        let value = match (name, value) {
            ("createdAt" | "lastUpdated" | "startedAt" | "completedAt" | "expiresAt", _) => {
                json!("<time>")
            }
            ("createdDay", _) => json!("<day>"),
            ("attempts" | "timeToFirstChunk", _) => continue,
            ("duration", _) => json!("<seconds>"),
            ("revision", _) => json!("<number>"),
            ("writers", _) => json!("<writers>"),
            (_, Value::Map(map)) => shape(map),
            (_, value) => serde_json::to_value(value).unwrap(),
        };
        attributes.insert(name.to_owned(), value);
    }
    Json::Object(attributes)
}

/// The [shape](shape) of an item with these attributes besides those that every item has.
pub(crate) fn expected_item(session: &str, overall: &str, total: Json, attributes: Json) -> Json {
    let item = json!({
        "sessionId": session,
        "overallStatus": overall,
        "totalTokenUsage": total,
        "createdAt": "<time>",
        "createdDay": "<day>",
        "lastUpdated": "<time>",
        "expiresAt": "<time>",
        "revision": "<number>",
        "writers": "<writers>",
    });
    let end = match overall {
        "completed" | "failed" => json!({"completedAt": "<time>"}),
        _ => json!({}),
    };
    merged(merged(item, end), attributes)
}

/// The shape of the agent of most tests while it is pending.
pub(crate) fn pending() -> Json {
    json!({"status": "pending", "activity": "Waiting for upload"})
}

/// The shape of the agent of most tests during a call.
pub(crate) fn in_progress(attributes: Json) -> Json {
    let agent = json!({
        "status": "in-progress",
        "activity": "Extracting text from PDF document",
        "startedAt": "<time>",
        "lastUpdated": "<time>",
    });
    merged(agent, attributes)
}

/// The shape of the agent of most tests after this many calls, the last a success.
pub(crate) fn success(calls: u64, attributes: Json) -> Json {
    ended("success", "Text extraction complete", calls, attributes)
}

/// The shape of the agent of most tests after this many calls, the last a failure.
pub(crate) fn failure(calls: u64, class: &str, message: &str, attributes: Json) -> Json {
    let agent = ended("error", "Text extraction failed", calls, attributes);
    merged(agent, json!({"error": message, "errorType": class}))
}

fn ended(status: &str, activity: &str, calls: u64, attributes: Json) -> Json {
    let agent = json!({
        "status": status,
        "activity": activity,
        "startedAt": "<time>",
        "completedAt": "<time>",
        "duration": "<seconds>",
        "lastUpdated": "<time>",
        "calls": calls,
    });
    merged(agent, attributes)
}

/// The shape of a usage with this many tokens.
pub(crate) fn tokens(input: u64, output: u64) -> Json {
    json!({"inputTokens": input, "outputTokens": output, "totalTokens": input + output})
}

fn merged(mut one: Json, other: Json) -> Json {
    let Json::Object(other) = other else { panic!("{other} is no object") };
    one.as_object_mut().unwrap().extend(other);
    one
}
