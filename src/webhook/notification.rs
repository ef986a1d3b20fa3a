//! [`Notification`]: what is said about a workflow that has failed or stalled.

use std::time::Duration;

use serde_json::{Map, Value as Json, json};
use sha2::{Digest as _, Sha256};

use crate::status::{AgentState, OverallStatus, Timestamp, WorkflowStatus, schema};

/// The maximum number of agents in a notification.
const MAX_AGENTS: usize = 50;

/// How many bytes of JSON the attributes of a notification may take.
const MAX_ATTRIBUTE_BYTES: usize = 16 * 1024;

/// What has happened to a workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Failed,
    Stalled,
}

impl Event {
    /// What the workflow's document says has happened, and when.
    pub(super) fn of(
        status: &WorkflowStatus,
        now: Timestamp,
        heartbeat: Duration,
    ) -> Option<(Self, Timestamp)> {
        if status.overall_status == OverallStatus::Failed {
            return Some((Self::Failed, status.completed_at.unwrap_or(status.last_updated)));
        }
        let stalled_at = status.last_updated.saturating_add(heartbeat.saturating_mul(3));
        status.is_stalled(now, heartbeat).then_some((Self::Stalled, stalled_at))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Stalled => "stalled",
        }
    }
}

/// The id of a notification: always the same for a session, its run and what has happened to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct NotificationId(u128);

impl NotificationId {
    pub(super) fn new(status: &WorkflowStatus, event: Event) -> Self {
        let mut hash = Sha256::new();
        // A run is known by the time at which it began. No part contains the separator.
        for part in [status.session_id.as_str(), &status.created_at.to_string(), event.name()] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let bytes: [u8; 32] = hash.finalize().into();
        let (first, _) = bytes.split_at(16);
        Self(first.iter().fold(0, |id, byte| id << 8 | u128::from(*byte)))
    }
}

impl std::fmt::Display for NotificationId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "msg_{:032x}", self.0)
    }
}

/// A notification to be sent.
#[derive(Clone, Debug)]
pub(super) struct Notification {
    pub(super) id: NotificationId,
    /// JSON.
    pub(super) body: String,
}

impl Notification {
    pub(super) fn new(
        status: &WorkflowStatus,
        event: Event,
        at: Timestamp,
        attributes: &[String],
    ) -> Self {
        let mut data = Map::new();
        let mut insert = |name: &str, value: Json| data.insert(name.to_owned(), value);
        insert(schema::SESSION_ID, json!(status.session_id.as_str()));
        insert(schema::CORRELATION_ID, json!(status.correlation_id));
        insert(schema::OVERALL_STATUS, json!(status.status_text()));
        insert("stalled", json!(event == Event::Stalled));
        insert(schema::ERROR, json!(status.error.as_ref().map(|error| error.as_str())));
        let time = |time: Timestamp| (time.as_millis() != 0).then(|| time.to_string());
        insert(schema::CREATED_AT, json!(time(status.created_at)));
        insert(schema::COMPLETED_AT, json!(status.completed_at.map(|time| time.to_string())));
        insert(schema::LAST_UPDATED, json!(time(status.last_updated)));
        insert(schema::TRACE_ID, json!(status.trace_id.as_deref()));
        insert("totalTokens", json!(status.total_token_usage().total_tokens));
        let cost = status.total_cost();
        insert(schema::TOTAL_COST_USD, json!(cost.usd.map(|usd| usd.to_f64())));
        insert(schema::UNPRICED_CALLS, json!(cost.unpriced_calls));
        insert("agents", agents(status));
        if !attributes.is_empty() {
            let (attributes, omitted) = asked_for(status, attributes);
            insert("attributes", Json::Object(attributes));
            insert("omittedAttributes", json!(omitted));
        }
        let body = json!({
            "type": format!("workflow.{}", event.name()),
            "timestamp": at.to_string(),
            "data": data,
        });
        Self { id: NotificationId::new(status, event), body: body.to_string() }
    }
}

/// The agents that have failed or are in progress, in the order in which they started.
fn agents(status: &WorkflowStatus) -> Json {
    let concerned = status.agents_by_start().into_iter().filter(|(_, agent)| {
        matches!(agent.state, AgentState::Error | AgentState::InProgress | AgentState::Other)
    });
    let shown = concerned.take(MAX_AGENTS).map(|(name, agent)| {
        let error = agent.error.as_ref();
        json!({
            "name": name,
            "status": agent.state_text(),
            "errorType": error.map(|error| &*error.class),
            "error": error.map(|error| error.message.as_str()),
        })
    });
    shown.collect()
}

/// The attributes of these names, and the names of those that are too large.
fn asked_for<'a>(
    status: &WorkflowStatus,
    names: &'a [String],
) -> (Map<String, Json>, Vec<&'a str>) {
    let (mut shown, mut omitted) = (Map::new(), Vec::new());
    let mut left = MAX_ATTRIBUTE_BYTES;
    for name in names {
        let Some(value) = status.attributes.get(name) else { continue };
        // A number that JSON cannot write is left out, too.
        let value = serde_json::to_value(value).ok();
        let fits = value.and_then(|value| {
            left = left.checked_sub(value.to_string().len() + name.len())?;
            Some(value)
        });
        match fits {
            Some(value) => drop(shown.insert(name.clone(), value)),
            None => omitted.push(name.as_str()),
        }
    }
    (shown, omitted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Item, SessionId};

    const HEARTBEAT: Duration = Duration::from_secs(30);

    fn status(created: &str, overall: &str) -> WorkflowStatus {
        let mut item = Item::new();
        item.insert("overallStatus", overall);
        item.insert("createdAt", created);
        item.insert("lastUpdated", "2025-12-24T10:00:30.000Z");
        item.insert("revision", 3);
        item.insert("error", "no answer");
        item.insert("documentId", "FAB_1");
        item.insert("notes", "x".repeat(MAX_ATTRIBUTE_BYTES));
        item.insert("secret", "s3cret");
        let mut agent = Item::new();
        agent.insert("status", "error");
        agent.insert("errorType", "timeout");
        agent.insert("error", "timed out");
        item.insert("pdfAdapter", crate::status::Value::Map(agent));
        let mut done = Item::new();
        done.insert("status", "success");
        item.insert("tradeMatching", crate::status::Value::Map(done));
        WorkflowStatus::from_item(&SessionId::new("s").unwrap(), &item)
    }

    #[test]
    fn an_id_is_of_a_session_a_run_and_a_state() {
        let id = |created: &str, event| NotificationId::new(&status(created, "failed"), event);
        let first = id("2025-12-24T10:00:00.000Z", Event::Failed);
        assert_eq!(first, id("2025-12-24T10:00:00.000Z", Event::Failed));
        assert_ne!(first, id("2025-12-24T10:00:00.001Z", Event::Failed));
        assert_ne!(first, id("2025-12-24T10:00:00.000Z", Event::Stalled));
        // Receivers have it from earlier versions: it does not change.
        assert_eq!(first.to_string(), "msg_29d0a33f374e9d4905d4dac7d26b82ba");
    }

    #[test]
    fn a_body_has_what_is_asked_for_and_no_more() {
        let status = status("2025-12-24T10:00:00.000Z", "failed");
        let now = "2025-12-24T10:05:00.000Z".parse().unwrap();
        let (event, at) = Event::of(&status, now, HEARTBEAT).unwrap();
        let body = |attributes: &[&str]| {
            let attributes: Vec<_> = attributes.iter().map(|&name| name.to_owned()).collect();
            let body = Notification::new(&status, event, at, &attributes).body;
            serde_json::from_str::<Json>(&body).unwrap()
        };
        let expected = json!({
            "type": "workflow.failed",
            "timestamp": "2025-12-24T10:00:30.000Z",
            "data": {
                "sessionId": "s",
                "correlationId": null,
                "overallStatus": "failed",
                "stalled": false,
                "error": "no answer",
                "createdAt": "2025-12-24T10:00:00.000Z",
                "completedAt": null,
                "lastUpdated": "2025-12-24T10:00:30.000Z",
                "traceId": null,
                "totalTokens": 0,
                "totalCostUsd": null,
                "unpricedCalls": 0,
                "agents": [{
                    "name": "pdfAdapter", "status": "error",
                    "errorType": "timeout", "error": "timed out",
                }],
            },
        });
        assert_eq!(body(&[]), expected);
        let data = &body(&["notes", "documentId", "missing"])["data"];
        assert_eq!(data["attributes"], json!({ "documentId": "FAB_1" }));
        assert_eq!(data["omittedAttributes"], json!(["notes"]));
    }

    #[test]
    fn a_workflow_has_stalled_after_three_heartbeats() {
        let status = status("2025-12-24T10:00:00.000Z", "processing");
        let at = |text: &str| Event::of(&status, text.parse().unwrap(), HEARTBEAT);
        assert_eq!(at("2025-12-24T10:01:59.999Z"), None);
        let since = "2025-12-24T10:02:00.000Z".parse().unwrap();
        assert_eq!(at("2025-12-24T11:00:00.000Z"), Some((Event::Stalled, since)));
        let done = super::tests::status("2025-12-24T10:00:00.000Z", "completed");
        assert_eq!(Event::of(&done, since, HEARTBEAT), None);
    }
}
