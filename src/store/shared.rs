//! The store traits for an `Arc` of a store, so that a tracker and a portal can share one.

use std::sync::Arc;

use super::{RecentItems, StatusReader, StatusStore, StoreError, WriteOutcome};
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
}

impl<S: StatusReader> StatusReader for Arc<S> {
    async fn get(&self, session_id: &SessionId) -> Result<Option<Item>, StoreError> {
        (**self).get(session_id).await
    }

    async fn get_many(&self, session_ids: &[SessionId]) -> Result<Vec<Option<Item>>, StoreError> {
        (**self).get_many(session_ids).await
    }

    async fn recent(&self, limit: usize) -> Result<RecentItems, StoreError> {
        (**self).recent(limit).await
    }

    async fn map_recent<T: Send>(
        &self,
        limit: usize,
        map: impl Fn(&SessionId, Item) -> T + Send + Sync,
    ) -> Result<RecentItems<T>, StoreError> {
        (**self).map_recent(limit, map).await
    }

    async fn delete(&self, session_id: &SessionId) -> Result<bool, StoreError> {
        (**self).delete(session_id).await
    }
}
