//! [`UpdateExpression`]: a change and its precondition, as the expressions of one `UpdateItem`.
//!
//! ```text
//! SET #0=:2,revision=:3 REMOVE #1          names that are safe in an expression, or aliases; placeholders
//! revision=:0 AND lastUpdated=:1           the condition: the version, or that there is no item yet
//! ```

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;

use super::convert::to_attribute;
use super::index::Indexes;
use super::layout::AttributeNames;
use crate::status::{Change, ItemVersion, Precondition, Value, cut, schema};

/// The longest partition key, in bytes.
const MAX_KEY_BYTES: usize = 2_048;

/// The expressions of one `UpdateItem`.
#[derive(Debug, PartialEq)]
pub(in crate::store) struct UpdateExpression {
    /// `None` if there is nothing to set or remove besides the key.
    pub(in crate::store) update: Option<String>,
    pub(in crate::store) condition: String,
    pub(in crate::store) names: HashMap<String, String>,
    pub(in crate::store) values: HashMap<String, AttributeValue>,
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
        let is_first = match &precondition {
            Precondition::Absent => true,
            // An item of an older writer, which is adopted.
            Precondition::Version(version) => version.revision.is_none(),
        };
        let mut refer = References::with_capacity(change.set.len() + 3);
        let condition = refer.condition(precondition, table);
        let remove: BTreeSet<&str> = change.remove.iter().map(String::as_str).collect();
        let mut set = Clause::new("SET ");
        let mut removed = Clause::new("REMOVE ");
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
                Some(value) => set.add(&[&refer.name(name), "=", &refer.value(value)]),
                // The item may have another value.
                None if !is_first => removed.add(&[&refer.name(name)]),
                None => {}
            }
        }
        // The partitions of the sharded indexes follow from the day.
        if let Some(day) = change.set.get(schema::CREATED_DAY).and_then(Value::as_str) {
            for shards in indexes.shards() {
                let partition = AttributeValue::S(shards.partition_of(day, &change.session_id));
                let name = shards.attribute();
                set.add(&[&refer.name(&name), "=", &refer.value(partition)]);
            }
        }
        // In a table with another key, items have the session id under `sessionId` as well. It
        // is written once, by the first write to the item.
        let has_session_id =
            change.set.get(schema::SESSION_ID).is_some() || remove.contains(schema::SESSION_ID);
        if is_first && table.key != schema::SESSION_ID && !has_session_id {
            let id = AttributeValue::S(change.session_id.to_string());
            set.add(&[&refer.name(schema::SESSION_ID), "=", &refer.value(id)]);
        }
        for name in remove {
            if let Target::Attribute(name) = table.target_of(name)? {
                removed.add(&[&refer.name(name)]);
            }
        }
        let clauses: Vec<_> = [set, removed].into_iter().filter_map(Clause::end).collect();
        let update = (!clauses.is_empty()).then(|| clauses.join(" "));
        let References { names, values } = refer;
        Ok(Self { update, condition, names, values })
    }
}

/// A clause of an update: a verb, and what it applies to.
struct Clause {
    verb: &'static str,
    text: String,
}

impl Clause {
    fn new(verb: &'static str) -> Self {
        Self { verb, text: String::new() }
    }

    fn add(&mut self, parts: &[&str]) {
        self.text.push_str(if self.text.is_empty() { self.verb } else { "," });
        self.text.extend(parts.iter().copied());
    }

    /// The text, if there is anything in it.
    fn end(self) -> Option<String> {
        (!self.text.is_empty()).then_some(self.text)
    }
}

/// The names and values that the expressions refer to.
struct References {
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl References {
    fn with_capacity(attributes: usize) -> Self {
        Self { names: HashMap::new(), values: HashMap::with_capacity(attributes) }
    }

    /// How an expression refers to an attribute. Names may be reserved words, such as `status`, and
    /// may have characters that an expression may not, so that they need an alias.
    fn name<'a>(&mut self, name: &'a str) -> Cow<'a, str> {
        if SAFE_NAMES.contains(&name) {
            return name.into();
        }
        let alias = numbered(&ALIASES, "#", self.names.len());
        self.names.insert(alias.clone().into_owned(), name.to_owned());
        alias
    }

    /// How an expression refers to a value.
    fn value(&mut self, value: AttributeValue) -> Cow<'static, str> {
        let placeholder = numbered(&PLACEHOLDERS, ":", self.values.len());
        self.values.insert(placeholder.clone().into_owned(), value);
        placeholder
    }

    fn condition(&mut self, precondition: Precondition, table: &AttributeNames) -> String {
        let ItemVersion { revision, last_updated } = match precondition {
            Precondition::Absent => {
                return format!("attribute_not_exists({})", self.name(&table.key));
            }
            Precondition::Version(version) => version,
        };
        let version = [(schema::REVISION, revision), (schema::LAST_UPDATED, last_updated)];
        let mut is_there = false;
        let conditions = version.map(|(name, value)| {
            let condition = value.and_then(|value| self.is_value(name, &value));
            is_there |= condition.is_some();
            condition.unwrap_or_else(|| self.has_no_value(name))
        });
        let exists = (!is_there).then(|| format!("attribute_exists({})", self.name(&table.key)));
        let all: Vec<_> = exists.into_iter().chain(conditions).collect();
        all.join(" AND ")
    }

    /// The condition that an attribute has this value, or one that reads the same; `None` if there is
    /// no such condition.
    fn is_value(&mut self, name: &str, value: &Value) -> Option<String> {
        match value {
            Value::Map(_) | Value::List(_) => None,
            // The table's numbers have more digits than a float: this may be one nearby.
            Value::Float(number) => {
                let low = to_attribute(&Value::Float(number.next_down()))?;
                let high = to_attribute(&Value::Float(number.next_up()))?;
                let [name, low, high] = [self.name(name), self.value(low), self.value(high)];
                Some(format!("{name} BETWEEN {low} AND {high}"))
            }
            value => {
                let value = to_attribute(value)?;
                Some(format!("{}={}", self.name(name), self.value(value)))
            }
        }
    }

    /// The condition that an attribute has no text and no number. Some writers store null for what
    /// they do not know; of other types, not all that they hold is read.
    fn has_no_value(&mut self, name: &str) -> String {
        let name = self.name(name);
        let [text, number] = ["S", "N"].map(|kind| self.value(AttributeValue::S(kind.to_owned())));
        format!(
            "(attribute_not_exists({name}) \
             OR NOT (attribute_type({name},{text}) OR attribute_type({name},{number})))"
        )
    }
}

/// The first aliases and placeholders. Most writes need no others, and making each anew would take 200
/// instructions more.
const ALIASES: [&str; 8] = ["#0", "#1", "#2", "#3", "#4", "#5", "#6", "#7"];
const PLACEHOLDERS: [&str; 16] = [
    ":0", ":1", ":2", ":3", ":4", ":5", ":6", ":7", ":8", ":9", ":10", ":11", ":12", ":13", ":14",
    ":15",
];

fn numbered(first: &[&'static str], sign: &str, number: usize) -> Cow<'static, str> {
    match first.get(number) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(format!("{sign}{number}")),
    }
}

/// Names that DynamoDB does not reserve. Most writes have half of them, and each alias would make the
/// request longer, which is hashed to sign it.
const SAFE_NAMES: [&str; 12] = [
    schema::LAST_UPDATED,
    schema::REVISION,
    schema::WRITERS,
    schema::TOTAL_TOKEN_USAGE,
    schema::OVERALL_STATUS,
    schema::TOTAL_COST_USD,
    schema::COMPLETED_AT,
    schema::SESSION_ID,
    schema::CREATED_AT,
    schema::CREATED_DAY,
    schema::EXPIRES_AT,
    schema::CORRELATION_ID,
];

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Item, SessionId};

    #[test]
    fn names_that_others_choose_have_an_alias() {
        let mut set = Item::new();
        set.insert(schema::REVISION, 2_u64);
        set.insert("status", "a reserved word");
        let change = Change::new(SessionId::new("s").unwrap(), set, vec!["a b".to_owned()]);
        let version = ItemVersion::new(Some(1), Some("2025-12-24T10:00:00.000Z"));
        let indexes = Indexes { recent: Vec::new(), search: Vec::new() };
        let table = AttributeNames { ttl: "ttl".into(), ..AttributeNames::default() };
        let write =
            |precondition| UpdateExpression::new(&change, precondition, &table, &indexes).unwrap();
        let later = write(Precondition::Version(version));
        assert_eq!(later.condition, "revision=:0 AND lastUpdated=:1");
        assert_eq!(later.update.as_deref(), Some("SET revision=:2,#0=:3 REMOVE #1"));
        let names = [("#0", "status"), ("#1", "a b")];
        let names = names.map(|(alias, name)| (alias.to_owned(), name.to_owned()));
        assert_eq!(later.names, HashMap::from(names));
        assert_eq!(later.values.len(), 4);
        let first = write(Precondition::Absent);
        assert_eq!(first.condition, "attribute_not_exists(sessionId)");
    }
}
