//! [`search`](crate::store::StatusReader::search): the sessions in which an attribute has a value.

use super::DynamoDbStore;
use super::expression::search_key;
use super::query::{IndexQuery, QueriedIndex};
use super::recent::NewestItems;
use crate::status::{Item, SessionId, Value};
use crate::store::{ListRequest, RecentItems, StoreError};

impl DynamoDbStore {
    /// The newest items with this value, or `None` without an index of the attribute.
    pub(super) async fn newest_with<T>(
        &self,
        attribute: &str,
        value: &str,
        request: &ListRequest,
        map: impl Fn(&SessionId, Item) -> T + Send + Sync,
    ) -> Result<Option<RecentItems<T>>, StoreError> {
        let layout = self.layout().await?;
        let indexes = self.indexes(layout).await;
        let Some(index) = indexes.of_attribute(attribute) else { return Ok(None) };
        let key = search_key(value);
        if key.is_empty() || request.limit == 0 {
            return Ok(Some(RecentItems::new(Vec::new(), false)));
        }
        let query = IndexQuery::new(self, &layout.names, request);
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
        self.read_newest(&ids, layout, &request, newest).await.map(Some)
    }
}
