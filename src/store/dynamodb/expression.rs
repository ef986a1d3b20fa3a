//! [`UpdateExpression`]: a change and its precondition, as the expressions of one `UpdateItem`.
//!
//! ```text
//! SET #1=:0,#2=:1 REMOVE #3      every attribute by an alias, every value by a placeholder
//! condition    #r=:r AND #u=:u   the version; or attribute_not_exists(#k), for the first write
//! ```

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;

use super::convert::to_attribute;
use super::index::Indexes;
use super::layout::AttributeNames;
use crate::status::{Change, ItemVersion, Precondition, Value, cut, schema};

/// The longest partition key, in bytes.
const MAX_KEY_BYTES: usize = 2_048;

/// The expressions of one `UpdateItem`.
///
/// Every attribute is referred to by an alias: names may be reserved words, such as `status`,
/// and may have characters that an expression may not.
#[derive(Debug, PartialEq)]
pub(super) struct UpdateExpression {
    /// `None` if there is nothing to set or remove besides the key.
    pub(super) update: Option<String>,
    pub(super) condition: String,
    pub(super) names: HashMap<String, String>,
    pub(super) values: HashMap<String, AttributeValue>,
}

/// The error for a change to an attribute that the table uses itself.
#[derive(Debug, PartialEq)]
pub(super) struct ReservedAttribute(pub(super) String);

impl UpdateExpression {
    pub(super) fn new(
        change: &Change,
        precondition: Precondition,
        table: &AttributeNames,
        indexes: &Indexes,
    ) -> Result<Self, ReservedAttribute> {
        let mut aliases = HashMap::new();
        let mut values = HashMap::new();
        let is_first = match &precondition {
            Precondition::Absent => true,
            // An item of an older writer, which is adopted.
            Precondition::Version(version) => version.revision.is_none(),
        };
        let condition = match precondition {
            Precondition::Absent => {
                aliases.insert("#k".to_owned(), table.key.clone());
                "attribute_not_exists(#k)".to_owned()
            }
            Precondition::Version(ItemVersion { revision, last_updated }) => {
                aliases.insert("#r".to_owned(), schema::REVISION.to_owned());
                aliases.insert("#u".to_owned(), schema::LAST_UPDATED.to_owned());
                let conditions = [("r", revision.as_ref()), ("u", last_updated.as_ref())];
                let mut is_there = false;
                let conditions = conditions.map(|(name, value)| {
                    let condition = is_value(name, value, &mut values);
                    is_there |= condition.is_some();
                    condition.unwrap_or_else(|| has_no_value(name, &mut values))
                });
                let exists = (!is_there).then(|| {
                    aliases.insert("#k".to_owned(), table.key.clone());
                    "attribute_exists(#k)".to_owned()
                });
                let all: Vec<_> = exists.into_iter().chain(conditions).collect();
                all.join(" AND ")
            }
        };

        let mut alias = |name: &str| {
            let alias = format!("#{}", aliases.len());
            aliases.insert(alias.clone(), name.to_owned());
            alias
        };
        let remove: BTreeSet<&str> = change.remove.iter().map(String::as_str).collect();
        let mut sets = Vec::new();
        let mut removes = Vec::new();
        let mut value_of = |value: AttributeValue| {
            let placeholder = format!(":{}", values.len());
            values.insert(placeholder.clone(), value);
            placeholder
        };
        for (name, value) in change.set.iter().filter(|(name, _)| !remove.contains(name)) {
            let name = match table.target_of(name)? {
                Target::Key => continue,
                Target::Attribute(name) => name,
            };
            let value = match indexes.is_search_key(name) {
                true => index_key(value),
                false => to_attribute(value),
            };
            match value {
                Some(value) => sets.push(format!("{}={}", alias(name), value_of(value))),
                // The item may have another value.
                None if !is_first => removes.push(alias(name)),
                None => {}
            }
        }
        // The partitions of the sharded indexes follow from the day.
        if let Some(day) = change.set.get(schema::CREATED_DAY).and_then(Value::as_str) {
            for shards in indexes.shards() {
                let partition = shards.partition_of(day, &change.session_id);
                let partition = value_of(AttributeValue::S(partition));
                sets.push(format!("{}={partition}", alias(&shards.attribute())));
            }
        }
        // In a table with another key, items have the session id under `sessionId` as well. It
        // is written once, by the first write to the item.
        let has_session_id =
            change.set.get(schema::SESSION_ID).is_some() || remove.contains(schema::SESSION_ID);
        if is_first && table.key != schema::SESSION_ID && !has_session_id {
            let id = value_of(AttributeValue::S(change.session_id.to_string()));
            sets.push(format!("{}={id}", alias(schema::SESSION_ID)));
        }
        for name in remove {
            if let Target::Attribute(name) = table.target_of(name)? {
                removes.push(alias(name));
            }
        }

        let clauses = [("SET ", sets), ("REMOVE ", removes)];
        let update: Vec<_> = clauses
            .into_iter()
            .filter(|(_, parts)| !parts.is_empty())
            .map(|(verb, parts)| format!("{verb}{}", parts.join(",")))
            .collect();
        let update = (!update.is_empty()).then(|| update.join(" "));
        Ok(Self { update, condition, names: aliases, values })
    }
}

/// The condition that an attribute has this value, or one that reads the same; `None` if there is no such
/// condition.
fn is_value(
    name: &str,
    value: Option<&Value>,
    values: &mut HashMap<String, AttributeValue>,
) -> Option<String> {
    match value? {
        Value::Map(_) | Value::List(_) => None,
        // The table's numbers have more digits than a float: this may be one nearby.
        Value::Float(number) => {
            let low = to_attribute(&Value::Float(number.next_down()))?;
            let high = to_attribute(&Value::Float(number.next_up()))?;
            values.extend([(format!(":{name}l"), low), (format!(":{name}h"), high)]);
            Some(format!("#{name} BETWEEN :{name}l AND :{name}h"))
        }
        value => {
            values.insert(format!(":{name}"), to_attribute(value)?);
            Some(format!("#{name}=:{name}"))
        }
    }
}

/// The condition that an attribute has no text and no number. Some writers store null for what they do
/// not know; of other types, not all that they hold is read.
fn has_no_value(name: &str, values: &mut HashMap<String, AttributeValue>) -> String {
    for (placeholder, kind) in [(":s", "S"), (":n", "N")] {
        values.insert(placeholder.to_owned(), AttributeValue::S(kind.to_owned()));
    }
    format!(
        "(attribute_not_exists(#{name}) \
         OR NOT (attribute_type(#{name},:s) OR attribute_type(#{name},:n)))"
    )
}

/// A value as the key of an index. There the table accepts only strings of 1 to 2,048 bytes, and
/// would refuse the whole write for anything else.
fn index_key(value: &Value) -> Option<AttributeValue> {
    let text = value.to_text()?;
    (!text.is_empty()).then(|| AttributeValue::S(search_key(&text).to_owned()))
}

/// What stands for a text in an index: as much of it as the key of an index may have.
pub(super) fn search_key(text: &str) -> &str {
    cut(text, MAX_KEY_BYTES)
}

/// The attributes to read of an item, as a projection expression.
pub(super) struct Projection {
    pub(super) expression: String,
    pub(super) names: HashMap<String, String>,
}

impl Projection {
    /// These attributes, the key, and the times by which lists are sorted.
    pub(super) fn new(attributes: &[String], table: &AttributeNames) -> Self {
        let always = [schema::CREATED_AT, schema::LAST_UPDATED];
        let wanted = attributes.iter().map(String::as_str);
        let names: BTreeSet<&str> = always
            .into_iter()
            .chain(wanted)
            .filter_map(|name| match table.target_of(name) {
                Ok(Target::Attribute(name)) if name != table.key => Some(name),
                _ => None,
            })
            .collect();
        let aliased = names.into_iter().enumerate().map(|(n, name)| (format!("#{n}"), name));
        let mut names: HashMap<_, _> =
            aliased.map(|(alias, name)| (alias, name.to_owned())).collect();
        names.insert("#k".to_owned(), table.key.clone());
        let aliases: BTreeSet<_> = names.keys().map(String::as_str).collect();
        Self { expression: aliases.into_iter().collect::<Vec<_>>().join(","), names }
    }
}

/// Where an attribute of the document goes.
enum Target<'a> {
    /// The table's key, which is given by the request and may not be in an expression.
    Key,
    Attribute(&'a str),
}

impl AttributeNames {
    /// The attribute of the table for an attribute of the document.
    fn target_of<'a>(&'a self, name: &'a str) -> Result<Target<'a>, ReservedAttribute> {
        match name {
            schema::SESSION_ID if self.key == name => Ok(Target::Key),
            schema::EXPIRES_AT => Ok(Target::Attribute(&self.ttl)),
            _ if self.is_reserved(name) => Err(ReservedAttribute(name.to_owned())),
            _ => Ok(Target::Attribute(name)),
        }
    }
}
