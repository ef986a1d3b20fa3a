//! Conversions between [`Value`] and the SDK's `AttributeValue`.
//!
//! A float is written as the shortest text that reads back as the same number. A number that
//! DynamoDB cannot hold is left out instead of failing the write, and types that only other
//! writers use are skipped.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::index::Shards;
use super::layout::AttributeNames;
use crate::status::{Cost, Item, Value, schema};

/// Converts to an attribute; `None` for a number that DynamoDB cannot hold.
pub(super) fn to_attribute(value: &Value) -> Option<AttributeValue> {
    Some(match value {
        Value::String(text) => AttributeValue::S(text.clone()),
        Value::Integer(number) => AttributeValue::N(number.to_string()),
        Value::Float(number) => AttributeValue::N(decimal(*number)?),
        Value::Decimal(number) => AttributeValue::N(number.to_string()),
        Value::Map(map) => {
            let mut attributes = HashMap::with_capacity(map.len());
            for (name, value) in map.iter() {
                if let Some(value) = to_attribute(value) {
                    attributes.insert(name.to_owned(), value);
                }
            }
            AttributeValue::M(attributes)
        }
        Value::List(list) => AttributeValue::L(list.iter().filter_map(to_attribute).collect()),
    })
}

/// The shortest text that reads back as the same number: `5.123`, not
/// `5.1230000000000002`.
fn decimal(number: f64) -> Option<String> {
    // The range of DynamoDB's numbers.
    const SMALLEST: f64 = 1e-130;
    const TOO_LARGE: f64 = 1e126;
    let size = number.abs();
    if !number.is_finite() || size >= TOO_LARGE {
        None
    } else if size < SMALLEST {
        // Negative zero included: DynamoDB has none.
        Some("0".to_owned())
    } else if (1e-7..1e21).contains(&size) {
        Some(number.to_string())
    } else {
        Some(format!("{number:e}"))
    }
}

/// Converts from an attribute; `None` for the types that the document does not use (booleans,
/// sets, binary, null) and only older writers put into a table.
fn from_attribute(attribute: AttributeValue) -> Option<Value> {
    match attribute {
        AttributeValue::S(text) => Some(Value::String(text)),
        AttributeValue::N(number) => match number.parse() {
            Ok(whole) => Some(Value::Integer(whole)),
            Err(_) => other_number(&number),
        },
        AttributeValue::M(map) => Some(Value::Map(
            map.into_iter()
                .filter_map(|(name, attribute)| Some((name, from_attribute(attribute)?)))
                .collect(),
        )),
        AttributeValue::L(list) => {
            Some(Value::List(list.into_iter().filter_map(from_attribute).collect()))
        }
        _ => None,
    }
}

/// A number that is not whole: a decimal if a float would not be exact.
fn other_number(text: &str) -> Option<Value> {
    let float = Value::Float(text.parse().ok().filter(|n: &f64| n.is_finite())?);
    match Cost::from_exact(text) {
        Some(decimal) if float.as_cost() != Some(decimal) => Some(Value::Decimal(decimal)),
        _ => Some(float),
    }
}

/// Converts an item, with the session id and the expiry under the document's names, whatever
/// the table calls them.
pub(super) fn to_item(
    mut attributes: HashMap<String, AttributeValue>,
    names: &AttributeNames,
) -> Item {
    for (theirs, ours) in [(&names.key, schema::SESSION_ID), (&names.ttl, schema::EXPIRES_AT)] {
        if theirs != ours
            && let Some(value) = attributes.remove(theirs)
        {
            attributes.insert(ours.to_owned(), value);
        }
    }
    attributes
        .into_iter()
        // The partition of a sharded index is of this table, and not of the document.
        .filter(|(name, _)| name == schema::CREATED_DAY || Shards::of_attribute(name).is_none())
        .filter_map(|(name, attribute)| Some((name, from_attribute(attribute)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact_and_short() {
        let table = [
            (5.123, Some("5.123")),
            (17.0, Some("17")),
            (0.001, Some("0.001")),
            (-0.0, Some("0")),
            (0.1 + 0.2, Some("0.30000000000000004")),
            (-2.5, Some("-2.5")),
            (1e21, Some("1e21")),
            (1.5e-9, Some("1.5e-9")),
            (1e-200, Some("0")),
            (1e126, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
            (f64::NEG_INFINITY, None),
        ];
        for (number, expected) in table {
            assert_eq!(decimal(number).as_deref(), expected, "{number:?}");
        }
    }

    #[test]
    fn a_number_that_dynamodb_cannot_hold_is_left_out() {
        let map: Item =
            [("a".to_owned(), Value::Float(f64::NAN)), ("b".to_owned(), Value::Integer(1))]
                .into_iter()
                .collect();
        let Some(AttributeValue::M(map)) = to_attribute(&Value::Map(map)) else { panic!() };
        assert_eq!(map, HashMap::from([("b".to_owned(), AttributeValue::N("1".into()))]));
    }

    #[test]
    fn attributes_of_other_writers_are_read_as_far_as_possible() {
        let read = |attribute| from_attribute(attribute);
        assert_eq!(read(AttributeValue::N("3".into())), Some(Value::Integer(3)));
        assert_eq!(read(AttributeValue::N("-3".into())), Some(Value::Float(-3.0)));
        assert_eq!(read(AttributeValue::N("1E+3".into())), Some(Value::Float(1000.0)));
        assert_eq!(read(AttributeValue::N("inf".into())), None);
        assert_eq!(read(AttributeValue::Bool(true)), None);
        let list = vec![AttributeValue::S("x".into()), AttributeValue::Bool(true)];
        assert_eq!(read(AttributeValue::L(list)), Some(Value::List(vec!["x".into()])));
    }
}
