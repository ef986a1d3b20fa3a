//! [`ItemUpdate`]: a change and its precondition, in the attributes of the table.
//!
//! ```text
//! Change, Precondition ─▶ ItemUpdate ─▶ UpdateExpression ─▶ SDK
//!                                    └─────────────────────▶ an engine inside the process
//! ```

use std::borrow::Cow;
use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;

use super::convert::to_attribute;
use super::index::{Indexes, search_key};
use super::layout::{AttributeNames, ReservedAttribute, Target};
use crate::status::{Change, ItemVersion, Precondition, Value, schema};

/// What a write does to the attributes of one item, and what it requires of them. Each attribute
/// is set or removed at most once.
#[derive(Debug, PartialEq)]
pub(in crate::store) struct ItemUpdate<'a> {
    pub(in crate::store) set: Vec<(Cow<'a, str>, AttributeValue)>,
    pub(in crate::store) remove: Vec<&'a str>,
    /// At least one, for one attribute each. All must hold.
    pub(in crate::store) conditions: Vec<(&'a str, Condition)>,
}

/// What must hold for an attribute.
#[derive(Debug, PartialEq)]
pub(in crate::store) enum Condition {
    Exists,
    NotExists,
    Equals(AttributeValue),
    Between(AttributeValue, AttributeValue),
    /// It is missing, or neither a string nor a number. Some writers store null for what they do not
    /// know; of other types, not all that they hold is read.
    NotStringOrNumber,
}

impl<'a> ItemUpdate<'a> {
    pub(super) fn new(
        change: &'a Change,
        precondition: Precondition,
        table: &'a AttributeNames,
        indexes: &Indexes,
    ) -> Result<Self, ReservedAttribute> {
        let is_first = match &precondition {
            Precondition::Absent => true,
            // An item of an older writer, which is adopted.
            Precondition::Version(version) => version.revision.is_none(),
        };
        let conditions = conditions(precondition, table);
        let mut set = Vec::with_capacity(change.set.len());
        let mut remove = Vec::new();
        let to_remove: BTreeSet<&str> = change.remove.iter().map(String::as_str).collect();
        for (name, value) in change.set.iter().filter(|(name, _)| !to_remove.contains(name)) {
            let name = match table.target_of(name)? {
                Target::Key => continue,
                Target::Attribute(name) => name,
            };
            let value = match indexes.is_search_key(name) {
                true => index_key(value),
                false => to_attribute(value),
            };
            match value {
                Some(value) => set.push((name.into(), value)),
                // The item may have another value.
                None if !is_first => remove.push(name),
                None => {}
            }
        }
        // The partitions of the sharded indexes follow from the day.
        if let Some(day) = change.set.get(schema::CREATED_DAY).and_then(Value::as_str) {
            for shards in indexes.shards() {
                let partition = shards.partition_of(day, &change.session_id);
                set.push((shards.attribute().into(), AttributeValue::S(partition)));
            }
        }
        // In a table with another key, items have the session id under `sessionId` as well. It
        // is written once, by the first write to the item.
        let has_session_id =
            change.set.get(schema::SESSION_ID).is_some() || to_remove.contains(schema::SESSION_ID);
        if is_first && table.key != schema::SESSION_ID && !has_session_id {
            let id = AttributeValue::S(change.session_id.to_string());
            set.push((schema::SESSION_ID.into(), id));
        }
        for name in to_remove {
            if let Target::Attribute(name) = table.target_of(name)? {
                remove.push(name);
            }
        }
        Ok(Self { set, remove, conditions })
    }
}

fn conditions(precondition: Precondition, table: &AttributeNames) -> Vec<(&str, Condition)> {
    let ItemVersion { revision, last_updated } = match precondition {
        Precondition::Absent => return vec![(&table.key, Condition::NotExists)],
        Precondition::Version(version) => version,
    };
    let version = [(schema::REVISION, revision), (schema::LAST_UPDATED, last_updated)]
        .map(|(name, value)| (name, value.and_then(|value| equals(&value))));
    // Without a version, nothing else requires that there is an item.
    let exists = version.iter().all(|(_, condition)| condition.is_none());
    let exists = exists.then_some((&*table.key, Condition::Exists));
    let version =
        version.map(|(name, condition)| (name, condition.unwrap_or(Condition::NotStringOrNumber)));
    exists.into_iter().chain(version).collect()
}

/// The condition that an attribute has this value, or one that reads the same; `None` if there is
/// no such condition.
fn equals(value: &Value) -> Option<Condition> {
    match value {
        Value::Map(_) | Value::List(_) => None,
        // The table's numbers have more digits than a float: this may be one nearby.
        Value::Float(number) => Some(Condition::Between(
            to_attribute(&Value::Float(number.next_down()))?,
            to_attribute(&Value::Float(number.next_up()))?,
        )),
        value => to_attribute(value).map(Condition::Equals),
    }
}

/// A value as the key of an index. There the table accepts only strings of 1 to 2,048 bytes, and
/// would refuse the whole write for anything else.
fn index_key(value: &Value) -> Option<AttributeValue> {
    let text = value.to_text()?;
    (!text.is_empty()).then(|| AttributeValue::S(search_key(&text).to_owned()))
}
