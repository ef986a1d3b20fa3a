//! [`OrderedItem`]: an item in the order in which people read it.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::schema::{
    self, ACTIVITY, AGENT_STATUS, CALLS, COMPLETED_AT, DURATION, ERROR_TYPE, STARTED_AT,
    TOKEN_USAGE, WRITERS,
};
use super::{Item, Value};

/// An item that serializes as a JSON object in the order in which people read it: what
/// the session is, how it stands, its times, its agents in the order in which they
/// started, its totals, and last what is for the writers. By [`Item::ordered`].
#[derive(Clone, Copy, Debug)]
pub struct OrderedItem<'a>(&'a Item);

/// Before the caller's attributes.
const FIRST: [&str; 2] = [schema::SESSION_ID, schema::CORRELATION_ID];
/// Between them and the agents.
const STANDING: [&str; 6] = [
    schema::OVERALL_STATUS,
    schema::ERROR,
    schema::CREATED_AT,
    schema::CREATED_DAY,
    schema::LAST_UPDATED,
    schema::EXPIRES_AT,
];
/// After the agents.
const LAST: [&str; 3] = [schema::TOTAL_TOKEN_USAGE, schema::REVISION, WRITERS];

const OF_AGENT: [&str; 11] = [
    AGENT_STATUS,
    ACTIVITY,
    schema::ERROR,
    ERROR_TYPE,
    STARTED_AT,
    COMPLETED_AT,
    schema::LAST_UPDATED,
    DURATION,
    CALLS,
    TOKEN_USAGE,
    "subSteps",
];

impl Item {
    /// The same item, which serializes in the order in which people read it, not in that
    /// of the names.
    #[must_use]
    pub fn ordered(&self) -> OrderedItem<'_> {
        OrderedItem(self)
    }
}

impl Serialize for OrderedItem<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut named: Vec<_> = self.0.iter().collect();
        named.sort_by_key(|(name, value)| place(name, value));
        let mut map = serializer.serialize_map(Some(named.len()))?;
        for (name, value) in named {
            map.serialize_key(name)?;
            match value {
                Value::Map(agent) if is_agent(name, agent) => {
                    map.serialize_value(&Ranked { map: agent, order: &OF_AGENT })?;
                }
                Value::Map(usage) => {
                    map.serialize_value(&Ranked { map: usage, order: &schema::FIGURES })?;
                }
                value => map.serialize_value(value)?,
            }
        }
        map.end()
    }
}

/// Where an attribute of the item comes; attributes of one place are in the order of
/// their names.
fn place<'a>(name: &str, value: &'a Value) -> (usize, usize, &'a str) {
    // Later than any time, for what has not started.
    const NEVER: &str = "~";
    let parts = [&FIRST[..], &[], &STANDING, &[], &LAST];
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
    !schema::RESERVED.contains(&name) && map.get(AGENT_STATUS).is_some()
}

/// A map with these names first, and then the others in their own order.
struct Ranked<'a> {
    map: &'a Item,
    order: &'a [&'a str],
}

impl Serialize for Ranked<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut named: Vec<_> = self.map.iter().collect();
        let rank = |name: &str| self.order.iter().position(|known| *known == name);
        named.sort_by_key(|(name, _)| rank(name).unwrap_or(self.order.len()));
        let mut map = serializer.serialize_map(Some(named.len()))?;
        for (name, value) in named {
            map.serialize_key(name)?;
            match value {
                Value::Map(usage) => {
                    map.serialize_value(&Ranked { map: usage, order: &schema::FIGURES })?;
                }
                value => map.serialize_value(value)?,
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(attributes: &[(&str, Value)]) -> Value {
        let named = attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        Value::Map(named.collect())
    }

    #[test]
    fn people_read_it_from_the_session_to_the_writers() {
        let agent = |started: Option<&str>| {
            let mut attributes = vec![
                ("activity", Value::from("x")),
                ("status", Value::from("success")),
                ("other", Value::from("y")),
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
                r#"{{"status":"success","activity":"x",{started}"tokenUsage":{{"inputTokens":1,"totalTokens":3,"cacheReadInputTokens":0}},"other":"y"}}"#
            )
        };
        let started = |second| format!(r#""startedAt":"2025-12-24T10:00:0{second}.000Z","#);
        let expected = format!(
            r#"{{"sessionId":"s","documentId":"d","other":{{}},"overallStatus":"processing","expiresAt":1,"c":{},"b":{},"a":{},"totalTokenUsage":{{}},"writers":{{}}}}"#,
            agent(&started(0)),
            agent(&started(1)),
            agent("")
        );
        assert_eq!(json, expected);
    }
}
