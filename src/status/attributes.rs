//! [`Attributes`]: the attributes of an item that the caller sets.

use std::ops::Index;
use std::sync::Arc;

use super::Value;

/// The attributes of an item that the caller sets, such as `documentId`, ordered by name.
///
/// A clone shares them with the original.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attributes(
    /// Ordered by name.
    Arc<[(Box<str>, Value)]>,
);

impl Attributes {
    fn position(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| (**known).cmp(name))
    }

    /// Returns the value of an attribute.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        let at = self.position(name).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    /// Returns `true` if there is an attribute of this name.
    #[must_use]
    pub fn contains_key(&self, name: &str) -> bool {
        self.position(name).is_ok()
    }

    /// Iterates over the attributes, ordered by name.
    pub fn iter(&self) -> AttributesIter<'_> {
        self.into_iter()
    }

    /// Iterates over the names in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(name, _)| name)
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

    /// Sets attributes. Each replaces the one of its name.
    pub(crate) fn extend(&mut self, more: impl IntoIterator<Item = (String, Value)>) {
        let mut more = more.into_iter().peekable();
        // Does not copy those that are there.
        if more.peek().is_none() {
            return;
        }
        let known = self.0.iter().cloned();
        let all = known.chain(more.map(|(name, value)| (name.into_boxed_str(), value)));
        *self = Self::from_last(all.collect());
    }

    /// Keeps the attributes for which this returns `true`.
    pub(crate) fn retain(&mut self, mut is_kept: impl FnMut(&str, &Value) -> bool) {
        let kept = self.0.iter().filter(|(name, value)| is_kept(name, value));
        self.0 = kept.cloned().collect();
    }

    /// The last of those with the same name.
    fn from_last(mut all: Vec<(Box<str>, Value)>) -> Self {
        // The sort is stable.
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all.dedup_by(|later, kept| {
            let is_same = later.0 == kept.0;
            if is_same {
                std::mem::swap(later, kept);
            }
            is_same
        });
        Self(all.into())
    }
}

/// An iterator over [`Attributes`], ordered by name.
#[derive(Clone, Debug)]
pub struct AttributesIter<'a>(std::slice::Iter<'a, (Box<str>, Value)>);

impl<'a> Iterator for AttributesIter<'a> {
    type Item = (&'a str, &'a Value);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(name, value)| (&**name, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<'a> IntoIterator for &'a Attributes {
    type Item = (&'a str, &'a Value);
    type IntoIter = AttributesIter<'a>;

    fn into_iter(self) -> AttributesIter<'a> {
        AttributesIter(self.0.iter())
    }
}

impl Index<&str> for Attributes {
    type Output = Value;

    /// Returns the value of an attribute.
    ///
    /// # Panics
    ///
    /// If there is no attribute of this name.
    fn index(&self, name: &str) -> &Value {
        match self.get(name) {
            Some(value) => value,
            None => panic!("there is no attribute `{name}`"),
        }
    }
}

impl FromIterator<(String, Value)> for Attributes {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(attributes: I) -> Self {
        let mut all = Self::default();
        all.extend(attributes);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(list: &[(&str, u64)]) -> Vec<(String, Value)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect()
    }

    #[test]
    fn the_last_value_of_a_name_counts() {
        let mut attributes = Attributes::from_iter(of(&[("b", 1), ("a", 2), ("b", 3)]));
        let before = attributes.clone();
        attributes.extend(of(&[("c", 4), ("a", 5), ("c", 6), ("c", 7)]));
        let listed = |attributes: &Attributes| {
            let list = attributes.iter().map(|(name, value)| (name.to_owned(), value.clone()));
            list.collect::<Vec<_>>()
        };
        assert_eq!(listed(&before), of(&[("a", 2), ("b", 3)]));
        assert_eq!(listed(&attributes), of(&[("a", 5), ("b", 3), ("c", 7)]));
        assert_eq!((attributes.get("c"), attributes.get("d")), (Some(&7_u64.into()), None));
        assert_eq!(attributes["b"], 3_u64.into());
        attributes.retain(|name, _| name != "b");
        assert_eq!(attributes.keys().collect::<Vec<_>>(), ["a", "c"]);
        assert!(attributes.contains_key("c") && !attributes.contains_key("b"));
        assert_eq!((attributes.len(), attributes.is_empty()), (2, false));
    }
}
