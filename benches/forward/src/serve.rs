//! The forwarder.

use std::io::Write as _;

use tower_agent_status::StatusTracker;
use tower_agent_status::forward::Forward;
use tower_agent_status::status::{Change, Precondition};
use tower_agent_status::store::{StatusStore, StoreError, WriteOutcome};

use crate::Result;

/// Answers at once and keeps nothing: a store is measured elsewhere.
struct Nowhere;

impl StatusStore for Nowhere {
    async fn write(&self, _: &Change, _: Precondition) -> Result<WriteOutcome, StoreError> {
        Ok(WriteOutcome::Applied)
    }
}

/// Serves on a free port, and prints its address.
pub async fn forward(agent: &str) -> Result<()> {
    let tracker = StatusTracker::builder(Nowhere).start()?;
    let server = Forward::new(&tracker)
        .agent("agent", format!("http://{agent}"))
        .bind(([127, 0, 0, 1], 0).into())
        .await?;
    writeln!(std::io::stdout(), "{}", server.local_addr())?;
    server.serve().await;
    Ok(())
}
