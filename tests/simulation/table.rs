//! The table of a run: in memory, or in an engine of DynamoDB.

use tower_agent_status::SessionId;
use tower_agent_status::status::{Change, Item, Precondition, WorkflowStatus};
use tower_agent_status::store::{
    ListRequest, MemoryStore, RecentItems, StatusReader, StatusStore, StoreError, WriteOutcome,
};

use crate::engine::Engine;

#[derive(Clone)]
pub(crate) enum Table {
    Memory(MemoryStore),
    Engine(Engine),
}

impl Table {
    pub(crate) async fn status(&self, session: &str) -> Option<WorkflowStatus> {
        let id = SessionId::new(session).unwrap();
        let item = self.get(&id).await.unwrap();
        item.map(|item| WorkflowStatus::from_item(&id, &item))
    }
}

impl StatusStore for Table {
    async fn write(
        &self,
        change: &Change,
        precondition: Precondition,
    ) -> Result<WriteOutcome, StoreError> {
        match self {
            Self::Memory(table) => table.write(change, precondition).await,
            Self::Engine(table) => table.write(change, precondition).await,
        }
    }
}

/// What is there.
impl StatusReader for Table {
    async fn get(&self, id: &SessionId) -> Result<Option<Item>, StoreError> {
        match self {
            Self::Memory(table) => table.get(id).await,
            Self::Engine(table) => table.truth.get(id).await,
        }
    }

    async fn get_many(&self, ids: &[SessionId]) -> Result<Vec<Option<Item>>, StoreError> {
        match self {
            Self::Memory(table) => table.get_many(ids).await,
            Self::Engine(table) => table.truth.get_many(ids).await,
        }
    }

    async fn list<T: Send>(
        &self,
        request: &ListRequest,
        map: impl Fn(&SessionId, Item) -> T + Send + Sync,
    ) -> Result<RecentItems<T>, StoreError> {
        match self {
            Self::Memory(table) => table.list(request, map).await,
            Self::Engine(table) => table.truth.list(request, map).await,
        }
    }

    async fn delete(&self, id: &SessionId) -> Result<bool, StoreError> {
        match self {
            Self::Memory(table) => table.delete(id).await,
            Self::Engine(table) => table.truth.delete(id).await,
        }
    }
}
