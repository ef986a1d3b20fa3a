//! A store that is shared is a store: its owner keeps one handle and gives away another.

use std::sync::Arc;

use super::{Recent, StatusReader, StatusStore, StoreError, Written};
use crate::status::{Change, Expected, Item};

impl<S: StatusStore> StatusStore for Arc<S> {
    async fn write(&self, change: &Change, expected: Expected) -> Result<Written, StoreError> {
        (**self).write(change, expected).await
    }

    fn reserves(&self, attribute: &str) -> bool {
        (**self).reserves(attribute)
    }
}

impl<S: StatusReader> StatusReader for Arc<S> {
    async fn get(&self, session_id: &str) -> Result<Option<Item>, StoreError> {
        (**self).get(session_id).await
    }

    async fn get_many(&self, session_ids: &[String]) -> Result<Vec<Option<Item>>, StoreError> {
        (**self).get_many(session_ids).await
    }

    async fn recent(&self, limit: usize) -> Result<Recent, StoreError> {
        (**self).recent(limit).await
    }

    async fn delete(&self, session_id: &str) -> Result<bool, StoreError> {
        (**self).delete(session_id).await
    }
}
