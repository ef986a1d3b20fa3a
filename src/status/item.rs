//! [`Item`] and [`Value`]: the document as attributes of an item; and [`Change`], one write.

use std::collections::BTreeMap;
use std::fmt;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{Cost, SessionId, schema};

/// The value of an attribute, of one of the types that the document uses.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A string (`S`).
    String(String),
    /// A whole number that is not negative (`N`).
    Integer(u64),
    /// Any other number (`N`).
    Float(f64),
    /// A number that is not negative, exact to 15 decimals (`N`), such as an amount of US dollars. A
    /// store may return it as one of the other two, if that is as exact.
    Decimal(Cost),
    /// A map (`M`).
    Map(Item),
    /// A list (`L`).
    List(Vec<Value>),
}

impl Value {
    /// Returns the string, if the value is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the number, if the value is a whole number that is not negative and below 2^64. A
    /// [`Float`](Self::Float) counts up to 2^53.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Integer(number) => Some(*number),
            // Up to 2^53 a float holds every whole number exactly.
            Self::Decimal(cost) => cost.to_string().parse().ok(),
            Self::Float(number)
                if number.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(number) =>
            {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                Some(*number as u64)
            }
            _ => None,
        }
    }

    /// Returns the string, or the number as text.
    pub(crate) fn to_text(&self) -> Option<std::borrow::Cow<'_, str>> {
        match self {
            Self::String(text) => Some(text.into()),
            Self::Integer(number) => Some(number.to_string().into()),
            Self::Float(number) => Some(number.to_string().into()),
            Self::Decimal(number) => Some(number.to_string().into()),
            Self::Map(_) | Self::List(_) => None,
        }
    }

    /// Returns the number as an amount of US dollars, if it is one that is not negative. A
    /// [`Float`](Self::Float) is taken for the shortest decimal number that it is written as.
    #[must_use]
    pub fn as_cost(&self) -> Option<Cost> {
        match self {
            Self::Decimal(cost) => Some(*cost),
            Self::Integer(number) => number.to_string().parse().ok(),
            Self::Float(number) => format!("{number:e}").parse().ok(),
            Self::String(_) | Self::Map(_) | Self::List(_) => None,
        }
    }

    /// Returns the list, if the value is one.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    /// Returns the map, if the value is one.
    #[must_use]
    pub fn as_map(&self) -> Option<&Item> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Integer(number)
    }
}

impl From<Cost> for Value {
    fn from(cost: Cost) -> Self {
        Self::Decimal(cost)
    }
}

impl From<Vec<Value>> for Value {
    fn from(list: Vec<Value>) -> Self {
        Self::List(list)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::String(text) => serializer.serialize_str(text),
            Self::Integer(number) => serializer.serialize_u64(*number),
            Self::Float(number) => serializer.serialize_f64(*number),
            // JSON's numbers are read as floats by nearly everything.
            Self::Decimal(number) => serializer.serialize_f64(number.to_f64()),
            Self::Map(map) => map.serialize(serializer),
            Self::List(list) => list.serialize(serializer),
        }
    }
}

/// The attributes of an item, or of a map inside it, ordered by name.
///
/// Serializes as a JSON object.
#[derive(Clone, Default, PartialEq)]
pub struct Item(BTreeMap<String, Value>);

impl Item {
    /// Creates an item without attributes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the value of an attribute.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Sets an attribute, replacing its value.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        self.0.insert(name.into(), value.into());
    }

    /// Removes an attribute and returns its value.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    /// Iterates over the attributes, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Returns the number of attributes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns `true` if there are no attributes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromIterator<(String, Value)> for Item {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(attributes: I) -> Self {
        Self(attributes.into_iter().collect())
    }
}

impl IntoIterator for Item {
    type Item = (String, Value);
    type IntoIter = std::collections::btree_map::IntoIter<String, Value>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl From<Item> for Value {
    fn from(map: Item) -> Self {
        Self::Map(map)
    }
}

impl Serialize for Item {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// One write to one item: top-level attributes to set and to remove.
///
/// A store applies all of a change or nothing. The change does not include the key: the store
/// writes the session id under its table's key.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Change {
    /// The session whose item is written.
    pub session_id: SessionId,
    /// The attributes to set, each with its whole new value. They always include `revision`,
    /// higher than the revision expected, and never the session id.
    pub set: Item,
    /// The names of the attributes to remove.
    pub remove: Vec<String>,
}

impl Change {
    /// Creates a change to the item of a session, for tests of a store. Otherwise changes come
    /// from the recorder.
    #[must_use]
    pub fn new(session_id: SessionId, set: Item, remove: Vec<String>) -> Self {
        Self { session_id, set, remove }
    }

    /// Applies the change to an item in memory.
    pub fn apply(&self, item: &mut Item) {
        for (name, value) in self.set.iter() {
            item.insert(name, value.clone());
        }
        for name in &self.remove {
            item.remove(name);
        }
    }
}

/// The condition on the item for a change to be applied, as a DynamoDB condition expression
/// states it.
///
/// A store that meets a variant it does not know must not apply the change, and returns a
/// [permanent](crate::store::StoreErrorKind::Permanent) error.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Precondition {
    /// There is no item of the session.
    Absent,
    /// The item exists and has this version.
    Version(ItemVersion),
}

/// The version of an item: the two attributes that change with each write, as they are in the table.
///
/// Each write of this crate changes `revision`. Older writers keep none and change `lastUpdated`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ItemVersion {
    /// The `revision`; `None` if the item has none.
    pub revision: Option<Value>,
    /// The time `lastUpdated`, in whatever format; `None` if the item has none.
    pub last_updated: Option<Value>,
}

impl ItemVersion {
    /// Creates the version with this `revision` and `lastUpdated`.
    #[must_use]
    pub fn new(revision: Option<u64>, last_updated: Option<&str>) -> Self {
        Self { revision: revision.map(Value::Integer), last_updated: last_updated.map(Value::from) }
    }

    /// Returns the version of an item.
    #[must_use]
    pub fn of(item: &Item) -> Self {
        Self {
            revision: item.get(schema::REVISION).cloned(),
            last_updated: item.get(schema::LAST_UPDATED).cloned(),
        }
    }
}
