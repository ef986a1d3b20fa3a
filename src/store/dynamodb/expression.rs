//! [`UpdateExpression`]: a change and its precondition, as the expressions of one `UpdateItem`.
//!
//! ```text
//! SET #1=:0,#2=:1 REMOVE #3      every attribute by an alias, every value by a placeholder
//! condition    #r = :r           or attribute_not_exists(#k), for the first write
//! ```

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;

use super::convert::to_attribute;
use super::layout::AttributeNames;
use crate::status::{Change, Precondition, schema};

/// The expressions of one `UpdateItem`.
///
/// Every attribute is referred to by an alias: names may be reserved words, such as `status`,
/// and may have characters that an expression may not.
#[derive(Debug, PartialEq)]
pub(super) struct UpdateExpression {
    /// `None` if there is nothing to set or remove besides the key.
    pub(super) update: Option<String>,
    pub(super) condition: &'static str,
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
    ) -> Result<Self, ReservedAttribute> {
        let mut aliases = HashMap::new();
        let mut values = HashMap::new();
        let condition = match precondition {
            Precondition::Absent => {
                aliases.insert("#k".to_owned(), table.key.clone());
                "attribute_not_exists(#k)"
            }
            Precondition::Revision(revision) => {
                aliases.insert("#r".to_owned(), schema::REVISION.to_owned());
                values.insert(":r".to_owned(), AttributeValue::N(revision.to_string()));
                "#r = :r"
            }
            Precondition::NoRevision => {
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
            let name = match table.target_of(name)? {
                Target::Key => continue,
                Target::Attribute(name) => name,
            };
            if let Some(value) = to_attribute(value) {
                sets.push(format!("{}={}", alias(name), value_of(value)));
            }
        }
        // In a table with another key, items have the session id under `sessionId` as well. It
        // is written once, by the first write to the item.
        let is_first = matches!(precondition, Precondition::Absent | Precondition::NoRevision);
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
