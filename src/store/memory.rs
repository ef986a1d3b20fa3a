//! [`MemoryStore`]: documents in memory, with the history of what it was given.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::{RecentItems, StatusReader, StatusStore, StoreError, WriteOutcome};
use crate::status::{
    AgentState, Change, Item, Precondition, SessionId, Value, WorkflowStatus, schema,
};

/// A store in memory, for tests and for trying things out.
///
/// It keeps every change it applied, in order. A clone is the same store. The module
/// [`testing`](crate::testing) shows how a test uses it.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
    /// Tells those who wait that a change was applied.
    changed: Arc<Notify>,
}

/// How long a test waits for what it expects.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
struct State {
    items: BTreeMap<SessionId, Item>,
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
        self.lock()
            .items
            .get_key_value(session_id)
            .map(|(id, item)| WorkflowStatus::from_item(id, item))
    }

    /// Every change that was applied, in order.
    #[must_use]
    pub fn history(&self) -> Vec<Change> {
        self.lock().history.clone()
    }

    /// Waits until a workflow has finished, and gives its document.
    ///
    /// # Panics
    ///
    /// If it has not after ten seconds (of tokio's clock), with what is there instead.
    pub async fn wait_until_finished(&self, session_id: &str) -> WorkflowStatus {
        self.wait_for(session_id, |status| status.overall_status.is_finished()).await
    }

    /// Waits until the document of a session is as expected, and gives it.
    ///
    /// # Panics
    ///
    /// If it is not after ten seconds (of tokio's clock), with what is there instead.
    pub async fn wait_for(
        &self,
        session_id: &str,
        is_as_expected: impl Fn(&WorkflowStatus) -> bool,
    ) -> WorkflowStatus {
        let found = tokio::time::timeout(PATIENCE, async {
            let mut changed = pin!(self.changed.notified());
            loop {
                // Before the look, so that no change falls in between.
                changed.as_mut().enable();
                if let Some(status) = self.status(session_id).filter(&is_as_expected) {
                    break status;
                }
                changed.as_mut().await;
                changed.set(self.changed.notified());
            }
        });
        match found.await {
            Ok(status) => status,
            #[expect(clippy::panic, reason = "it is an assertion of a test")]
            Err(_) => panic!("not as expected after {PATIENCE:?}: {}", self.show(session_id)),
        }
    }

    /// What was stored of an agent's states, in order, each once until it changes.
    ///
    /// It is what a portal could have seen. A state that lasts shorter than
    /// [the gathering time](crate::StatusTrackerBuilder::batch_delay) may not be among them: set that to
    /// zero to see the most.
    #[must_use]
    pub fn states(&self, session_id: &str, agent: &str) -> Vec<AgentState> {
        let mut item = Item::new();
        let mut states = Vec::new();
        for change in
            self.lock().history.iter().filter(|change| change.session_id.as_str() == session_id)
        {
            change.apply(&mut item);
            let status = WorkflowStatus::from_item(&change.session_id, &item);
            states.extend(status.agent(agent).map(|agent| agent.state));
        }
        states.dedup();
        states
    }

    /// What there is of a session, for a test that expected something else.
    fn show(&self, session_id: &str) -> String {
        if let Some(status) = self.status(session_id) {
            return status.to_string();
        }
        let others: Vec<_> = self.lock().items.keys().take(10).cloned().collect();
        format!("nothing is stored of `{session_id}`; there is {others:?}")
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StatusStore for MemoryStore {
    async fn write(
        &self,
        change: &Change,
        expected: Precondition,
    ) -> Result<WriteOutcome, StoreError> {
        let mut state = self.lock();
        let found = state.items.get(&change.session_id);
        let revision = found.map(|item| item.get(schema::REVISION).and_then(Value::as_u64));
        let as_expected = match expected {
            Precondition::Absent => revision.is_none(),
            Precondition::Revision(expected) => revision == Some(Some(expected)),
            Precondition::Unrevised => revision == Some(None),
        };
        if !as_expected {
            return Ok(WriteOutcome::Conflict(found.cloned()));
        }
        let item = state.items.entry(change.session_id.clone()).or_default();
        item.insert(schema::SESSION_ID, change.session_id.as_str());
        change.apply(item);
        state.history.push(change.clone());
        drop(state);
        self.changed.notify_waiters();
        Ok(WriteOutcome::Applied)
    }
}

impl StatusReader for MemoryStore {
    async fn get(&self, session_id: &SessionId) -> Result<Option<Item>, StoreError> {
        Ok(self.item(session_id.as_str()))
    }

    async fn get_many(&self, session_ids: &[SessionId]) -> Result<Vec<Option<Item>>, StoreError> {
        let state = self.lock();
        Ok(session_ids.iter().map(|id| state.items.get(id).cloned()).collect())
    }

    async fn recent(&self, limit: usize) -> Result<RecentItems, StoreError> {
        let mut items: Vec<_> = self.lock().items.clone().into_iter().collect();
        items.sort_by_cached_key(|(id, item)| {
            std::cmp::Reverse(WorkflowStatus::from_item(id, item).created_at)
        });
        items.truncate(limit);
        Ok(RecentItems::new(items, false))
    }

    async fn delete(&self, session_id: &SessionId) -> Result<bool, StoreError> {
        Ok(self.lock().items.remove(session_id).is_some())
    }
}
