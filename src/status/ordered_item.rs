//! [`OrderedItem`]: an item serialized in reading order.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::schema::{
    self, ACTIVITY, AGENT_STATUS, ATTEMPT_BY, ATTEMPTS, CALLS, COMPLETED_AT, COST_USD, DURATION,
    ERROR_TYPE, FINISH_REASON, MODEL, MODELS, REQUEST_ID, RETRY_AFTER, STARTED_AT, TASK_ID,
    TIME_TO_FIRST_CHUNK, TOKEN_USAGE, WAITING_FOR, WRITERS,
};
use super::{Item, Value};

/// An item that serializes as a JSON object in reading order. Created by [`Item::ordered`].
///
/// The ids come first, then the caller's attributes, the state and times of the workflow, its
/// agents in the order in which they started, the totals, and last the writers' bookkeeping.
#[derive(Clone, Copy, Debug)]
pub struct OrderedItem<'a>(&'a Item);

/// Come before the caller's attributes.
const IDS: [&str; 2] = [schema::SESSION_ID, schema::CORRELATION_ID];
/// Come between the caller's attributes and the agents.
const STATE_AND_TIMES: [&str; 8] = [
    schema::OVERALL_STATUS,
    schema::ERROR,
    schema::CREATED_AT,
    schema::CREATED_DAY,
    schema::COMPLETED_AT,
    schema::LAST_UPDATED,
    schema::EXPIRES_AT,
    schema::TRACE_ID,
];
/// Come after the agents.
const TOTALS: [&str; 10] = [
    schema::TOTAL_TOKEN_USAGE,
    schema::TOTAL_COST_USD,
    schema::UNPRICED_CALLS,
    schema::BUDGET_USD,
    schema::BUDGET_TOKENS,
    schema::BUDGET_EXCEEDED_AT,
    schema::PREVIOUS_RUN,
    schema::UNFINISHED_TASKS,
    schema::REVISION,
    WRITERS,
];

/// The attributes of an agent.
const AGENT: [&str; 20] = [
    AGENT_STATUS,
    ACTIVITY,
    WAITING_FOR,
    TASK_ID,
    schema::ERROR,
    ERROR_TYPE,
    STARTED_AT,
    COMPLETED_AT,
    schema::LAST_UPDATED,
    DURATION,
    TIME_TO_FIRST_CHUNK,
    MODEL,
    FINISH_REASON,
    CALLS,
    TOKEN_USAGE,
    COST_USD,
    schema::UNPRICED_CALLS,
    MODELS,
    ATTEMPTS,
    schema::SUB_STEPS,
];

/// The attributes of an attempt.
const ATTEMPT: [&str; 9] = [
    STARTED_AT,
    DURATION,
    AGENT_STATUS,
    ERROR_TYPE,
    MODEL,
    TOKEN_USAGE,
    REQUEST_ID,
    RETRY_AFTER,
    ATTEMPT_BY,
];

impl Item {
    /// Returns a view of the item that serializes in reading order instead of by name.
    #[must_use]
    pub fn ordered(&self) -> OrderedItem<'_> {
        OrderedItem(self)
    }
}

impl Serialize for OrderedItem<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut attributes: Vec<_> = self.0.iter().collect();
        attributes.sort_by_key(|(name, value)| place(name, value));
        let mut map = serializer.serialize_map(Some(attributes.len()))?;
        for (name, value) in attributes {
            let order: &[&str] = match value {
                Value::Map(agent) if is_agent(name, agent) => &AGENT,
                _ => &schema::TOKEN_COUNTS,
            };
            map.serialize_entry(name, &Ordered { value, order })?;
        }
        map.end()
    }
}

/// The sort key of an attribute of the item. Attributes with equal keys stay ordered by name.
fn place<'a>(name: &str, value: &'a Value) -> (usize, usize, &'a str) {
    // Sorts after any time, for an agent that has not started.
    const NEVER: &str = "~";
    let parts = [&IDS[..], &[], &STATE_AND_TIMES, &[], &TOTALS];
    for (part, names) in parts.iter().enumerate() {
        if let Some(at) = names.iter().position(|known| *known == name) {
            return (part, at, "");
        }
    }
    match value {
        Value::Map(map) if is_agent(name, map) => {
            let started = map.get(STARTED_AT).and_then(Value::as_str);
            (3, 0, started.unwrap_or(NEVER))
        }
        _ => (1, 0, ""),
    }
}

fn is_agent(name: &str, map: &Item) -> bool {
    !schema::is_reserved(name) && map.get(AGENT_STATUS).is_some()
}

/// A value. If it is a map, it has these names first, and the others after them, ordered by name.
struct Ordered<'a> {
    value: &'a Value,
    order: &'a [&'a str],
}

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            Value::Map(map) => {
                let mut attributes: Vec<_> = map.iter().collect();
                let rank = |name: &str| self.order.iter().position(|known| *known == name);
                attributes.sort_by_key(|(name, _)| rank(name).unwrap_or(self.order.len()));
                let mut map = serializer.serialize_map(Some(attributes.len()))?;
                for (name, value) in attributes {
                    let order: &[&str] =
                        if name == ATTEMPTS { &ATTEMPT } else { &schema::TOKEN_COUNTS };
                    map.serialize_entry(name, &Ordered { value, order })?;
                }
                map.end()
            }
            Value::List(list) => serializer
                .collect_seq(list.iter().map(|value| Ordered { value, order: self.order })),
            value => value.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(attributes: &[(&str, Value)]) -> Value {
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        Value::Map(attributes.collect())
    }

    #[test]
    fn an_item_serializes_in_reading_order() {
        let agent = |started: Option<&str>| {
            let mut attributes = vec![
                ("activity", Value::from("x")),
                ("status", Value::from("success")),
                ("other", Value::from("y")),
                ("taskId", Value::from("t")),
                ("waitingFor", Value::from("task")),
                (
                    "tokenUsage",
                    map(&[
                        ("totalTokens", Value::Integer(3)),
                        ("cacheReadInputTokens", Value::Integer(0)),
                        ("inputTokens", Value::Integer(1)),
                    ]),
                ),
            ];
            attributes.extend(started.map(|at| ("startedAt", Value::from(at))));
            map(&attributes)
        };
        let Value::Map(item) = map(&[
            ("writers", map(&[])),
            ("unfinishedTasks", Value::List(vec!["t".into()])),
            ("a", agent(None)),
            ("b", agent(Some("2025-12-24T10:00:01.000Z"))),
            ("c", agent(Some("2025-12-24T10:00:00.000Z"))),
            ("documentId", Value::from("d")),
            ("sessionId", Value::from("s")),
            ("overallStatus", Value::from("processing")),
            ("expiresAt", Value::Integer(1)),
            ("totalTokenUsage", map(&[])),
            ("other", map(&[])),
        ]) else {
            unreachable!()
        };
        let json = serde_json::to_string(&item.ordered()).unwrap();
        let agent = |started: &str| {
            format!(
                r#"{{"status":"success","activity":"x","waitingFor":"task","taskId":"t",{started}"tokenUsage":{{"inputTokens":1,"totalTokens":3,"cacheReadInputTokens":0}},"other":"y"}}"#
            )
        };
        let started = |second| format!(r#""startedAt":"2025-12-24T10:00:0{second}.000Z","#);
        let expected = format!(
            r#"{{"sessionId":"s","documentId":"d","other":{{}},"overallStatus":"processing","expiresAt":1,"c":{},"b":{},"a":{},"totalTokenUsage":{{}},"unfinishedTasks":["t"],"writers":{{}}}}"#,
            agent(&started(0)),
            agent(&started(1)),
            agent("")
        );
        assert_eq!(json, expected);
    }
}
