//! The forwarder.

use std::io::Write as _;
use std::time::Duration;

use loopback::Result;
use tower_agent_status::StatusTracker;
use tower_agent_status::forward::Forward;
use tower_agent_status::status::{Change, Precondition};
use tower_agent_status::store::{StatusStore, StoreError, WriteOutcome};

/// Keeps nothing, and takes as long for it as a table. Writes are measured elsewhere.
struct Nowhere;

impl StatusStore for Nowhere {
    async fn write(&self, _: &Change, _: Precondition) -> Result<WriteOutcome, StoreError> {
        tokio::time::sleep(Duration::from_millis(5)).await;
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
