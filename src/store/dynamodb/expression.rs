//! [`UpdateExpression`]: an update and its conditions, as the expressions of one `UpdateItem`.
//!
//! ```text
//! SET #0=:2,revision=:3 REMOVE #1          names that are safe in an expression, or aliases; placeholders
//! revision=:0 AND lastUpdated=:1           the condition: the version, or that there is no item yet
//! ```

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;

use super::layout::{AttributeNames, Target};
use super::update::{Condition, ItemUpdate};
use crate::status::schema;

/// The expressions of one `UpdateItem`.
#[derive(Debug, PartialEq)]
pub(in crate::store) struct UpdateExpression {
    /// `None` if there is nothing to set or remove besides the key.
    pub(in crate::store) update: Option<String>,
    pub(in crate::store) condition: String,
    pub(in crate::store) names: HashMap<String, String>,
    pub(in crate::store) values: HashMap<String, AttributeValue>,
}

impl UpdateExpression {
    pub(in crate::store) fn new(update: ItemUpdate<'_>) -> Self {
        let ItemUpdate { set, remove, conditions } = update;
        let mut refer = References::with_capacity(set.len() + conditions.len());
        let conditions =
            conditions.into_iter().map(|(name, required)| refer.condition(name, required));
        let condition = conditions.collect::<Vec<_>>().join(" AND ");
        let mut clauses = [Clause::new("SET "), Clause::new("REMOVE ")];
        let [set_clause, remove_clause] = &mut clauses;
        for (name, value) in set {
            set_clause.add(&[&refer.name(&name), "=", &refer.value(value)]);
        }
        for name in remove {
            remove_clause.add(&[&refer.name(name)]);
        }
        let clauses: Vec<_> = clauses.into_iter().filter_map(Clause::end).collect();
        let update = (!clauses.is_empty()).then(|| clauses.join(" "));
        let References { names, values } = refer;
        Self { update, condition, names, values }
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

    fn condition(&mut self, name: &str, required: Condition) -> String {
        let name = self.name(name);
        match required {
            Condition::Exists => format!("attribute_exists({name})"),
            Condition::NotExists => format!("attribute_not_exists({name})"),
            Condition::Equals(value) => format!("{name}={}", self.value(value)),
            Condition::Between(low, high) => {
                let [low, high] = [low, high].map(|value| self.value(value));
                format!("{name} BETWEEN {low} AND {high}")
            }
            Condition::NotStringOrNumber => {
                let [text, number] =
                    ["S", "N"].map(|kind| self.value(AttributeValue::S(kind.to_owned())));
                format!(
                    "(attribute_not_exists({name}) \
                     OR NOT (attribute_type({name},{text}) OR attribute_type({name},{number})))"
                )
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_others_choose_have_an_alias() {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let update = |conditions| ItemUpdate {
            set: vec![("revision".into(), text("2")), ("status".into(), text("a reserved word"))],
            remove: vec!["a b"],
            conditions,
        };
        let later = UpdateExpression::new(update(vec![
            ("revision", Condition::Equals(text("1"))),
            ("lastUpdated", Condition::Equals(text("2025-12-24T10:00:00.000Z"))),
        ]));
        assert_eq!(later.condition, "revision=:0 AND lastUpdated=:1");
        assert_eq!(later.update.as_deref(), Some("SET revision=:2,#0=:3 REMOVE #1"));
        let names = [("#0", "status"), ("#1", "a b")];
        let names = names.map(|(alias, name)| (alias.to_owned(), name.to_owned()));
        assert_eq!(later.names, HashMap::from(names));
        assert_eq!(later.values.len(), 4);
        let first = UpdateExpression::new(update(vec![("sessionId", Condition::NotExists)]));
        assert_eq!(first.condition, "attribute_not_exists(sessionId)");
    }
}
