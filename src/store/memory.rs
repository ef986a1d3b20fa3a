//! [`MemoryStore`]: documents in memory, with the history of what it was given.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Recent, StatusReader, StatusStore, StoreError, Written};
use crate::status::{Change, Expected, Item, Value, WorkflowStatus, schema};

/// A store in memory, for tests and for trying things out.
///
/// It keeps every change it applied, in order. A clone is the same store.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    items: BTreeMap<String, Item>,
    history: Vec<Change>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The item of a session.
    #[must_use]
    pub fn item(&self, session_id: &str) -> Option<Item> {
        self.lock().items.get(session_id).cloned()
    }

    /// The document of a session.
    #[must_use]
    pub fn status(&self, session_id: &str) -> Option<WorkflowStatus> {
        self.lock().items.get(session_id).map(|item| WorkflowStatus::from_item(session_id, item))
    }

    /// Every change that was applied, in order.
    #[must_use]
    pub fn history(&self) -> Vec<Change> {
        self.lock().history.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StatusStore for MemoryStore {
    async fn load(&self, session_id: &str) -> Result<Option<Item>, StoreError> {
        Ok(self.item(session_id))
    }

    async fn write(&self, change: &Change, expected: Expected) -> Result<Written, StoreError> {
        let mut state = self.lock();
        let found = state.items.get(&change.session_id);
        let revision = found.map(|item| item.get(schema::REVISION).and_then(Value::as_integer));
        let as_expected = match expected {
            Expected::Absent => revision.is_none(),
            Expected::Revision(expected) => revision == Some(Some(expected)),
            Expected::Unrevised => revision == Some(None),
        };
        if !as_expected {
            return Ok(Written::Conflict(found.cloned()));
        }
        let item = state.items.entry(change.session_id.clone()).or_default();
        item.set(schema::SESSION_ID, change.session_id.as_str());
        change.apply(item);
        state.history.push(change.clone());
        Ok(Written::Applied)
    }
}

impl StatusReader for MemoryStore {
    async fn get(&self, session_id: &str) -> Result<Option<Item>, StoreError> {
        Ok(self.item(session_id))
    }

    async fn get_many(&self, session_ids: &[String]) -> Result<Vec<Option<Item>>, StoreError> {
        let state = self.lock();
        Ok(session_ids.iter().map(|id| state.items.get(id).cloned()).collect())
    }

    async fn recent(&self, limit: usize) -> Result<Recent, StoreError> {
        let mut items: Vec<_> = self.lock().items.clone().into_iter().collect();
        items.sort_by_cached_key(|(id, item)| {
            std::cmp::Reverse(WorkflowStatus::from_item(id, item).created_at)
        });
        items.truncate(limit);
        Ok(Recent { items, truncated: false })
    }

    async fn delete(&self, session_id: &str) -> Result<bool, StoreError> {
        Ok(self.lock().items.remove(session_id).is_some())
    }
}
