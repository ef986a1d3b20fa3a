//! [`search`](crate::store::StatusReader::search) and [`find`](crate::store::StatusReader::find): the
//! sessions in which an attribute has a value.

use super::DynamoDbStore;
use super::index::search_key;
use super::query::{IndexQuery, QueriedIndex};
use super::read_units::ReadUnits;
use super::recent::{Looked, NewestItems};
use crate::status::{Item, SessionId, Value};
use crate::store::{FindRequest, FoundItems, ListRequest, RecentItems, StoreError};

impl DynamoDbStore {
    /// The newest items with this value, or `None` without an index of the attribute.
    pub(super) async fn newest_with<T>(
        &self,
        attribute: &str,
        value: &str,
        request: &ListRequest,
        map: impl Fn(&SessionId, Item) -> T + Send + Sync,
    ) -> Result<Option<Looked<T>>, StoreError> {
        let layout = self.layout().await?;
        let indexes = self.indexes(layout).await;
        let Some(index) = indexes.of_attribute(attribute) else { return Ok(None) };
        let key = search_key(value);
        if key.is_empty() || request.limit == 0 {
            return Ok(Some(Looked::nothing()));
        }
        let units = ReadUnits::default();
        let query = IndexQuery::new(self, &layout.names, request, &units);
        let index = QueriedIndex { name: &index.name, key: attribute };
        let found = query.newest(index, [key.to_owned()], request.limit).await;
        let ids = match found {
            Ok(ids) => ids,
            Err(error) => {
                // The index may be gone, and another be in its place.
                let current = self.refresh_indexes(layout).await;
                if current.of_attribute(attribute).is_none() {
                    return Ok(None);
                }
                let request = self.request("query", "dynamodb:Query", &layout.names);
                return Err(error.into_store_error(request));
            }
        };
        // The index may be behind: the item decides.
        let has_value = |item: &Item| {
            let found = item.get(attribute).and_then(Value::to_text);
            found.is_some_and(|found| search_key(&found) == key)
        };
        let mut request = request.clone();
        if let Some(attributes) = &mut request.attributes {
            attributes.push(attribute.to_owned());
        }
        let newest = NewestItems::new(&request, has_value, map);
        let looked = self.read_newest(&ids, layout, &request, newest, &units).await?;
        Ok(Some(looked))
    }

    /// The newest items with this value: from an index of the attribute, or else by a look at the
    /// newest of all.
    pub(super) async fn find_by_attribute<T>(
        &self,
        request: &FindRequest,
        map: impl Fn(&SessionId, Item) -> T + Send + Sync,
    ) -> Result<FoundItems<T>, StoreError> {
        let (attribute, value) = (&request.attribute, &request.value);
        let list = request.list(request.limit);
        let (looked, indexed) = match self.newest_with(attribute, value, &list, &map).await? {
            Some(looked) => (Looked { reached: None, ..looked }, true),
            None => {
                let list = request.list(request.max_searched);
                let newest = NewestItems::new(&list, |item| request.matches(item), map);
                let newest = newest.keep(request.limit);
                (self.look_at_newest(&list, newest).await?, false)
            }
        };
        let RecentItems { items, truncated, unindexed, read_units } = looked.found;
        let mut found = FoundItems::new(items, looked.searched);
        found.indexed = indexed;
        found.reached = looked.reached;
        found.complete = looked.is_end && !unindexed;
        found.truncated = truncated;
        found.unindexed = unindexed;
        found.read_units = read_units;
        Ok(found)
    }
}
