//! A forwarder to test, agents that record what reaches them byte for byte, and what tests send by
//! hand.

pub mod agent;
pub mod command;
pub mod memory;
pub mod raw;

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::oneshot;
use tower_agent_status::forward::{Forward, Urls};
use tower_agent_status::status::{AgentState, AgentStatus};
use tower_agent_status::store::MemoryStore;
use tower_agent_status::{SessionId, StatusTracker};

/// The agent of every test.
pub const AGENT: &str = "pdfAdapter";
/// The session of every test.
pub const SESSION: &str = "session-corr_abc123";
/// Loopback, with any port.
pub const ANY_PORT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A running forwarder, which ends when it is dropped.
pub struct Forwarder {
    pub store: MemoryStore,
    pub tracker: StatusTracker,
    pub urls: Urls,
    pub address: SocketAddr,
    pub served: tokio::task::JoinHandle<()>,
    stop: Option<oneshot::Sender<()>>,
}

impl Forwarder {
    /// Forwards to one agent.
    pub async fn start(upstream: &str) -> Self {
        Self::start_with(upstream, |forward| forward).await
    }

    /// Forwards to one agent, with settings.
    pub async fn start_with(upstream: &str, settings: impl FnOnce(Forward) -> Forward) -> Self {
        Self::build(|tracker| settings(Forward::new(tracker).agent(AGENT, upstream))).await
    }

    pub async fn build(build: impl FnOnce(&StatusTracker) -> Forward) -> Self {
        let store = MemoryStore::new();
        let tracker =
            StatusTracker::builder(store.clone()).batch_delay(Duration::ZERO).start().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = build(&tracker)
            .with_graceful_shutdown(async { stopped.await.unwrap_or(()) })
            .bind(ANY_PORT)
            .await
            .unwrap();
        let (urls, address) = (server.urls(), server.local_addr());
        let served = tokio::spawn(server.serve());
        Self { store, tracker, urls, address, served, stop: Some(stop) }
    }

    /// The base URL of the agent for the session of every test.
    pub fn url(&self) -> String {
        self.urls.url(AGENT, &SessionId::new(SESSION).unwrap()).unwrap()
    }

    /// The agent as it is now, if it was called.
    pub fn agent(&self) -> Option<AgentStatus> {
        self.tracker.status(SESSION)?.agent(AGENT).cloned()
    }

    /// The agent once none of its calls is in flight.
    pub async fn ended(&self) -> AgentStatus {
        until(|| {
            self.agent().filter(|agent| {
                !matches!(agent.state, AgentState::InProgress | AgentState::Pending)
            })
        })
        .await
    }

    /// The class of the agent's error once it has ended; `None` for a success.
    pub async fn outcome(&self) -> Option<String> {
        self.ended().await.error.map(|error| error.class.to_string())
    }

    /// Begins the shutdown.
    pub fn stop(&mut self) {
        drop(self.stop.take());
    }
}

/// Waits for a condition.
pub async fn until<T>(mut condition: impl FnMut() -> Option<T>) -> T {
    // What is waited for happens on other tasks of this runtime, and on sockets.
    for _ in 0..60_000 {
        if let Some(found) = condition() {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("what is waited for does not happen");
}

/// Fails a test that would hang.
pub async fn in_time<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it ends")
}
