//! [`Item`] and [`Value`]: the document in the table's terms, and [`Change`], one write to it.

use std::collections::BTreeMap;
use std::fmt;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::SessionId;

/// A value of an attribute: the kinds the document uses.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A text (`S`).
    String(String),
    /// A whole number (`N`).
    Integer(u64),
    /// A number with a fraction (`N`).
    Float(f64),
    /// A map (`M`).
    Map(Item),
}

impl Value {
    /// The text, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is a whole one that is not negative.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Integer(number) => Some(*number),
            // 2^53: up to here a float holds every whole number exactly.
            Self::Float(number)
                if number.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(number) =>
            {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                Some(*number as u64)
            }
            _ => None,
        }
    }

    /// The map, if it is one.
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

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::String(text) => serializer.serialize_str(text),
            Self::Integer(number) => serializer.serialize_u64(*number),
            Self::Float(number) => serializer.serialize_f64(*number),
            Self::Map(map) => map.serialize(serializer),
        }
    }
}

/// The attributes of an item, or of a map inside it, in the order of their names.
///
/// Serializes as a JSON object.
#[derive(Clone, Default, PartialEq)]
pub struct Item(BTreeMap<String, Value>);

impl Item {
    /// An item without attributes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of an attribute.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Sets an attribute, in place of what it held.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        self.0.insert(name.into(), value.into());
    }

    /// Takes an attribute out.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    /// The attributes, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// How many attributes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
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

/// One write to one item: whole top-level attributes to set and to remove.
///
/// It names neither the key nor the condition's outcome: a store puts the session
/// id under its table's key, and applies all of the change or nothing.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Change {
    /// Which item.
    pub session_id: SessionId,
    /// The attributes that get a new value. `revision` is always among them, one
    /// higher than the revision expected. The session id is not: a store puts it where
    /// its table keeps it.
    pub set: Item,
    /// The attributes that go.
    pub remove: Vec<String>,
}

impl Change {
    /// A change to the item of a session, for tests of a store: otherwise it is the
    /// recorder that makes them.
    #[must_use]
    pub fn new(session_id: SessionId, set: Item, remove: Vec<String>) -> Self {
        Self { session_id, set, remove }
    }

    /// What an item becomes by this change.
    pub fn apply(&self, item: &mut Item) {
        for (name, value) in self.set.iter() {
            item.insert(name, value.clone());
        }
        for name in &self.remove {
            item.remove(name);
        }
    }
}

/// What the item must be for a change to be applied.
///
/// A store that meets a variant it does not know must not apply the change, and returns a
/// [permanent](crate::store::StoreErrorKind::Permanent) error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Precondition {
    /// There is no such item.
    Absent,
    /// The item has this `revision`.
    Revision(u64),
    /// The item is there and has no `revision`, as one written by other means.
    Unrevised,
}
