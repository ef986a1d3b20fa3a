//! [`MemoryStore`]: documents in memory, with their history.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::list::created_at;
use super::{ListRequest, RecentItems, StatusReader, StatusStore, StoreError, WriteOutcome};
use crate::status::{
    AgentState, Change, Item, ItemVersion, Precondition, SessionId, Value, WorkflowStatus, schema,
};

/// A store in memory, for tests and for trying things out.
///
/// It remembers every change it applied. Clones share their contents. See
/// [`testing`](crate::testing) for how to use it in a test.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<Inner>>,
    /// Notified of every change applied.
    changed: Arc<Notify>,
}

/// How long [`MemoryStore::wait_for`] waits.
const WAIT_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
struct Inner {
    items: BTreeMap<SessionId, Item>,
    history: Vec<Change>,
}

impl Inner {
    fn newest<T>(
        &self,
        request: &ListRequest,
        filter: impl Fn(&Item) -> bool,
        map: impl Fn(&SessionId, Item) -> T,
    ) -> RecentItems<T> {
        let items = self.items.iter().filter(|(_, item)| filter(item));
        let items = items.map(|(id, item)| (created_at(item), id, item));
        let mut items: Vec<_> = items.filter(|(time, id, _)| request.includes(*time, id)).collect();
        items.sort_by_key(|(time, id, _)| (Reverse(*time), *id));
        items.truncate(request.limit);
        let mapped = items.into_iter().map(|(_, id, item)| (id.clone(), map(id, item.clone())));
        RecentItems::new(mapped.collect(), false)
    }
}

impl MemoryStore {
    /// Creates an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the item of a session.
    #[must_use]
    pub fn item(&self, session_id: &str) -> Option<Item> {
        self.lock().items.get(session_id).cloned()
    }

    /// Returns the document of a session.
    #[must_use]
    pub fn status(&self, session_id: &str) -> Option<WorkflowStatus> {
        self.lock()
            .items
            .get_key_value(session_id)
            .map(|(id, item)| WorkflowStatus::from_item(id, item))
    }

    /// Returns every change that was applied, in order.
    #[must_use]
    pub fn history(&self) -> Vec<Change> {
        self.lock().history.clone()
    }

    /// Waits until a workflow has finished, and returns its document.
    ///
    /// # Panics
    ///
    /// Panics after ten seconds (of tokio's clock), with the document as it is then.
    pub async fn wait_until_finished(&self, session_id: &str) -> WorkflowStatus {
        self.wait_for(session_id, |status| status.overall_status.is_finished()).await
    }

    /// Waits until the document of a session satisfies a predicate, and returns it.
    ///
    /// # Panics
    ///
    /// Panics after ten seconds (of tokio's clock), with the document as it is then.
    pub async fn wait_for(
        &self,
        session_id: &str,
        predicate: impl Fn(&WorkflowStatus) -> bool,
    ) -> WorkflowStatus {
        let found = tokio::time::timeout(WAIT_TIMEOUT, async {
            let mut changed = pin!(self.changed.notified());
            loop {
                // Before reading the status, so that no change is missed in between.
                changed.as_mut().enable();
                if let Some(status) = self.status(session_id).filter(&predicate) {
                    break status;
                }
                changed.as_mut().await;
                changed.set(self.changed.notified());
            }
        });
        match found.await {
            Ok(status) => status,
            #[expect(clippy::panic, reason = "an assertion, for tests")]
            Err(_) => {
                panic!("not as expected after {WAIT_TIMEOUT:?}: {}", self.describe(session_id))
            }
        }
    }

    /// Returns the states of an agent that were stored, in order, without repetitions.
    ///
    /// These are the states that a portal could have shown. A state that lasted for less than
    /// the [batch delay](crate::StatusTrackerBuilder::batch_delay) may be missing; set the delay
    /// to zero to see as many as possible.
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

    /// Describes what is stored, for the message of a failed wait.
    fn describe(&self, session_id: &str) -> String {
        if let Some(status) = self.status(session_id) {
            return status.to_string();
        }
        let others: Vec<_> = self.lock().items.keys().take(10).cloned().collect();
        format!("nothing is stored for `{session_id}`; stored sessions: {others:?}")
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StatusStore for MemoryStore {
    async fn write(
        &self,
        change: &Change,
        precondition: Precondition,
    ) -> Result<WriteOutcome, StoreError> {
        let mut state = self.lock();
        let found = state.items.get(&change.session_id);
        let is_met = match precondition {
            Precondition::Absent => found.is_none(),
            Precondition::Version(version) => found.map(ItemVersion::of) == Some(version),
        };
        if !is_met {
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

    async fn list<T: Send>(
        &self,
        request: &ListRequest,
        map: impl Fn(&SessionId, Item) -> T + Send + Sync,
    ) -> Result<RecentItems<T>, StoreError> {
        Ok(self.lock().newest(request, |_| true, map))
    }

    async fn search<T: Send>(
        &self,
        attribute: &str,
        value: &str,
        request: &ListRequest,
        map: impl Fn(&SessionId, Item) -> T + Send + Sync,
    ) -> Result<Option<RecentItems<T>>, StoreError> {
        let has_value =
            |item: &Item| item.get(attribute).and_then(Value::to_text).as_deref() == Some(value);
        Ok(Some(self.lock().newest(request, has_value, map)))
    }

    async fn delete(&self, session_id: &SessionId) -> Result<bool, StoreError> {
        Ok(self.lock().items.remove(session_id).is_some())
    }
}
