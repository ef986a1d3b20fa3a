//! The store traits for an `Arc` of a store, so that a tracker and a portal can share one.

use std::sync::Arc;

use super::{
    FindRequest, FoundItems, ListRequest, RecentItems, StatusReader, StatusStore, StoreError,
    WriteOutcome,
};
use crate::status::{Change, Item, Precondition, SessionId};

impl<S: StatusStore> StatusStore for Arc<S> {
    async fn write(
        &self,
        change: &Change,
        precondition: Precondition,
    ) -> Result<WriteOutcome, StoreError> {
        (**self).write(change, precondition).await
    }

    fn is_reserved(&self, attribute: &str) -> bool {
        (**self).is_reserved(attribute)
    }

    fn is_index_key(&self, attribute: &str) -> bool {
        (**self).is_index_key(attribute)
    }
}

impl<S: StatusReader> StatusReader for Arc<S> {
    async fn get(&self, session_id: &SessionId) -> Result<Option<Item>, StoreError> {
        (**self).get(session_id).await
    }

    async fn get_many(&self, session_ids: &[SessionId]) -> Result<Vec<Option<Item>>, StoreError> {
        (**self).get_many(session_ids).await
    }

    async fn list<T: Send>(
        &self,
        request: &ListRequest,
        map: impl Fn(&SessionId, Item) -> T + Send + Sync,
    ) -> Result<RecentItems<T>, StoreError> {
        (**self).list(request, map).await
    }

    async fn search<T: Send>(
        &self,
        attribute: &str,
        value: &str,
        request: &ListRequest,
        map: impl Fn(&SessionId, Item) -> T + Send + Sync,
    ) -> Result<Option<RecentItems<T>>, StoreError> {
        (**self).search(attribute, value, request, map).await
    }

    async fn find<T: Send>(
        &self,
        request: &FindRequest,
        map: impl Fn(&SessionId, Item) -> T + Send + Sync,
    ) -> Result<FoundItems<T>, StoreError> {
        (**self).find(request, map).await
    }

    async fn delete(&self, session_id: &SessionId) -> Result<bool, StoreError> {
        (**self).delete(session_id).await
    }
}
