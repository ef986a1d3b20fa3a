//! A tracker with its store, and assertions on what is stored.

use std::time::Duration;

use tower_agent_status::status::{AgentState, AgentStatus, TokenUsage};
use tower_agent_status::store::MemoryStore;
use tower_agent_status::{SessionId, StatusTracker};

use crate::{AGENT, MODEL, SESSION};

/// A tracker, and the store that it writes to.
#[derive(Debug)]
pub struct Tracking {
    pub store: MemoryStore,
    pub tracker: StatusTracker,
}

impl Tracking {
    /// Must be called in a runtime of tokio's.
    #[must_use]
    pub fn start() -> Self {
        let store = MemoryStore::new();
        let builder = StatusTracker::builder(store.clone()).batch_delay(Duration::ZERO);
        Self { store, tracker: builder.start().unwrap() }
    }

    /// Runs a call in the session of the tests.
    pub async fn scope<T>(&self, call: impl Future<Output = T>) -> T {
        SessionId::new(SESSION).unwrap().scope(call).await
    }

    /// Waits until this many calls of the agent have ended, and returns it as it is stored.
    pub async fn ended(&self, calls: u64) -> AgentStatus {
        let has_ended =
            |agent: &AgentStatus| agent.calls >= calls && agent.state != AgentState::InProgress;
        let stored =
            self.store.wait_for(SESSION, |status| status.agent(AGENT).is_some_and(has_ended));
        stored.await.agent(AGENT).unwrap().clone()
    }

    /// Waits until a call is stored as in progress.
    pub async fn started(&self) {
        let in_progress = |agent: &AgentStatus| agent.state == AgentState::InProgress;
        self.store.wait_for(SESSION, |status| status.agent(AGENT).is_some_and(in_progress)).await;
    }

    /// Asserts that the last of this many calls has succeeded, and that it alone used tokens.
    pub async fn assert_success(&self, calls: u64) {
        let agent = self.ended(calls).await;
        assert_eq!((agent.state, &agent.error), (AgentState::Success, &None));
        assert_eq!((agent.calls, agent.model.as_deref()), (calls, Some(MODEL)));
        assert_eq!(agent.token_usage(), Some(TokenUsage::new(30, 12)));
    }

    /// Asserts that the last of this many calls has failed, and that none used tokens.
    pub async fn assert_error(&self, calls: u64, error_type: &str) {
        let agent = self.ended(calls).await;
        let error = agent.error.as_ref().unwrap();
        assert_eq!((agent.state, &*error.class), (AgentState::Error, error_type), "{error}");
        assert_eq!((agent.calls, agent.token_usage()), (calls, None));
    }

    /// Asserts that the calls of the agent have ended with these error types, or with success.
    pub async fn assert_attempts(&self, error_types: &[Option<&str>]) {
        let agent = self.ended(error_types.len().try_into().unwrap()).await;
        let attempts: Vec<_> =
            agent.attempts().map(|attempt| attempt.error_type.as_deref()).collect();
        assert_eq!(attempts, error_types);
    }
}
