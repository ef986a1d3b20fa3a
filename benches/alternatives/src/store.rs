//! A stand-in for a table that is elsewhere.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tower_agent_status::SessionId;
use tower_agent_status::status::{Change, Precondition, Value, schema};
use tower_agent_status::store::{StatusStore, StoreError, WriteOutcome};

/// How long a write takes.
const LATENCY: Duration = Duration::from_millis(5);

/// Takes as long as a table, and keeps the total tokens of each session and nothing else.
#[derive(Clone, Debug, Default)]
pub struct SlowStore(Arc<Mutex<HashMap<SessionId, [u64; 3]>>>);

impl SlowStore {
    pub fn tokens(&self, session: &str) -> Option<[u64; 3]> {
        self.0.lock().expect("never poisoned").get(session).copied()
    }
}

impl StatusStore for SlowStore {
    async fn write(&self, change: &Change, _: Precondition) -> Result<WriteOutcome, StoreError> {
        tokio::time::sleep(LATENCY).await;
        let total = change.set.get(schema::TOTAL_TOKEN_USAGE).and_then(Value::as_map);
        if let Some(total) = total {
            let count = |name| total.get(name).and_then(Value::as_u64).unwrap_or_default();
            let tokens = ["inputTokens", "outputTokens", "totalTokens"].map(count);
            self.0.lock().expect("never poisoned").insert(change.session_id.clone(), tokens);
        }
        Ok(WriteOutcome::Applied)
    }
}
