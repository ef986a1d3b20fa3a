//! [`Update`]: a change and what it expects, as one `UpdateItem`.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;

use super::convert::to_attribute;
use super::table::Names;
use crate::status::{Change, Precondition, schema};

/// The expressions of one `UpdateItem`.
///
/// Every attribute has an alias: names such as `status` and `agent` are reserved words,
/// and a name may hold characters that an expression may not.
#[derive(Debug, PartialEq)]
pub(super) struct Update {
    /// `None` if there is nothing to set or to remove but the key.
    pub(super) update: Option<String>,
    pub(super) condition: &'static str,
    pub(super) names: HashMap<String, String>,
    pub(super) values: HashMap<String, AttributeValue>,
}

/// A change sets an attribute that the table uses for itself.
#[derive(Debug, PartialEq)]
pub(super) struct Reserved(pub(super) String);

impl Update {
    pub(super) fn new(
        change: &Change,
        expected: Precondition,
        table: &Names,
    ) -> Result<Self, Reserved> {
        let mut aliases = HashMap::new();
        let mut values = HashMap::new();
        let condition = match expected {
            Precondition::Absent => {
                aliases.insert("#k".to_owned(), table.key.clone());
                "attribute_not_exists(#k)"
            }
            Precondition::Revision(revision) => {
                aliases.insert("#r".to_owned(), schema::REVISION.to_owned());
                values.insert(":r".to_owned(), AttributeValue::N(revision.to_string()));
                "#r = :r"
            }
            Precondition::Unrevised => {
                aliases.insert("#k".to_owned(), table.key.clone());
                aliases.insert("#r".to_owned(), schema::REVISION.to_owned());
                "attribute_exists(#k) AND attribute_not_exists(#r)"
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
            let name = match table.place_of(name)? {
                Place::Key => continue,
                Place::Attribute(name) => name,
            };
            if let Some(value) = to_attribute(value) {
                sets.push(format!("{}={}", alias(name), value_of(value)));
            }
        }
        // Items of a table with another key say all the same which session they are of;
        // it is written once, when the first change of ours meets the item.
        let is_first = matches!(expected, Precondition::Absent | Precondition::Unrevised);
        let is_said =
            change.set.get(schema::SESSION_ID).is_some() || remove.contains(schema::SESSION_ID);
        if is_first && table.key != schema::SESSION_ID && !is_said {
            let id = value_of(AttributeValue::S(change.session_id.to_string()));
            sets.push(format!("{}={id}", alias(schema::SESSION_ID)));
        }
        for name in remove {
            if let Place::Attribute(name) = table.place_of(name)? {
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

enum Place<'a> {
    /// The table's key, which the request names and no expression may.
    Key,
    Attribute(&'a str),
}

impl Names {
    /// Where an attribute of the document is kept.
    fn place_of<'a>(&'a self, name: &'a str) -> Result<Place<'a>, Reserved> {
        match name {
            schema::SESSION_ID if self.key == name => Ok(Place::Key),
            schema::EXPIRES_AT => Ok(Place::Attribute(&self.expiry)),
            _ if self.is_reserved(name) => Err(Reserved(name.to_owned())),
            _ => Ok(Place::Attribute(name)),
        }
    }
}
