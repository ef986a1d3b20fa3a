//! An agent that speaks gRPC, and servers and clients for it, without generated code: its messages
//! are texts, and it does what they say.

mod agent;
mod client;
mod codec;
pub mod recipe;
mod servers;

pub use agent::Agent;
pub use client::{AgentClient, Messages, request};
pub use codec::Text;
pub use servers::{HyperServer, TonicServer};

use tower_agent_status::status::AgentStatus;
use tower_agent_status::store::MemoryStore;
use tower_agent_status::{StatusLayer, StatusTracker};

/// The agent of every test.
pub const AGENT: &str = "pdfAdapter";
/// The session of every test.
pub const SESSION: &str = "session-corr_abc123";

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
        let tracker = StatusTracker::builder(store.clone()).start().unwrap();
        Self { store, tracker }
    }

    #[must_use]
    pub fn layer(&self) -> StatusLayer {
        StatusLayer::new(&self.tracker, AGENT)
    }

    /// The agent, as it is now.
    #[must_use]
    pub fn agent(&self) -> AgentStatus {
        self.tracker.status(SESSION).unwrap().agent(AGENT).unwrap().clone()
    }
}
