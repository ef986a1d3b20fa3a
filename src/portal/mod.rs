//! The portal: the status of each workflow as JSON, as live events and as one page.
//!
//! [`router`] is an [`axum::Router`] to mount in any service; [`Portal`] is the same with
//! settings, and can serve alone:
//!
//! ```
//! use tower_agent_status::{Agent, portal::Portal, store::MemoryStore};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let portal = Portal::new(MemoryStore::new())
//!     .agent(Agent::new("pdfAdapter").pending("Waiting for upload"))
//!     .agent(Agent::new("tradeExtraction").pending("Waiting for PDF processing"))
//!     .shutdown(std::future::ready(()));
//! let server = portal.bind(([127, 0, 0, 1], 0).into()).await?;
//! println!("The portal is at {}", server.url());
//! server.serve().await?;
//! # Ok(())
//! # }
//! ```
//!
//! | route | what it answers |
//! | --- | --- |
//! | `GET /` | the page |
//! | `GET /api/workflow/{sessionId}/status` | the workflow; one that is not known is pending |
//! | `GET /api/workflow/{sessionId}/events` | the same as server-sent events, at every change |
//! | `GET /api/workflow/recent?limit=10` | the newest workflows, newest first; 500 at most |
//! | `GET /api/workflow/metrics?limit=1000` | the gauge [`STALLED_WORKFLOWS`], for Prometheus |
//!
//! Names and values are those of the [item](crate::status::schema), with three differences:
//! the agents are under `agents` and the caller's attributes under `attributes`; an agent's
//! `duration` is in whole seconds; and `stalled` says whether the workflow
//! [seems to have stopped](crate::status::WorkflowStatus::is_stalled).
//!
//! The gauge counts the workflows that have stalled among the newest, 10,000 at most: a
//! process that is gone cannot count itself. It is absent where a zero could not be known:
//! if all of them began so lately that none can have stalled, or if the store could look at
//! a part of its items only.
//!
//! In that last case the list has the header `x-truncated: true`. There is no route that
//! writes. A failure is answered as `{"detail": "…"}`: 500 if the store cannot be read, with
//! the reason in the log alone.

mod events;
mod guard;
mod live;
mod page;
mod recent;
mod routes;
mod serve;
mod stalled;
mod view;

use std::fmt;
use std::future::Future;
use std::time::Duration;

use axum::Router;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};

use crate::agent::Agent;
use crate::store::StatusReader;

pub use serve::{ServeError, Server};
pub use stalled::STALLED_WORKFLOWS;

/// The routes of the portal, with its defaults: the agents are those of each item, and
/// whoever reaches the routes may read. See [`Portal`] for what can be set.
pub fn router(reader: impl StatusReader) -> Router {
    Portal::new(reader).router()
}

/// A portal: where it reads, and how it shows what it finds.
#[derive(Debug)]
#[must_use = "nothing is served until `router` or `bind`"]
pub struct Portal<R> {
    reader: R,
    settings: Settings,
}

struct Settings {
    agents: Vec<Agent>,
    token: Option<String>,
    poll_interval: Duration,
    keep_alive: Duration,
    heartbeat: Duration,
    shutdown: Shutdown,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whoever can read the log is not thereby to read the portal.
        f.debug_struct("Settings")
            .field("agents", &self.agents)
            .field("has_token", &self.token.is_some())
            .field("poll_interval", &self.poll_interval)
            .field("keep_alive", &self.keep_alive)
            .field("heartbeat", &self.heartbeat)
            .finish_non_exhaustive()
    }
}

/// Resolves when the portal is to end.
type Shutdown = Shared<BoxFuture<'static, ()>>;

impl<R: StatusReader> Portal<R> {
    /// A portal onto a store.
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            settings: Settings {
                agents: Vec::new(),
                token: None,
                poll_interval: Duration::from_millis(500),
                keep_alive: Duration::from_secs(15),
                heartbeat: Duration::from_secs(30),
                shutdown: std::future::pending().boxed().shared(),
            },
        }
    }

    /// Declares an agent, after those declared before: it is shown in this place, and as
    /// pending, with its [`pending`](Agent::pending) text, in every workflow that says
    /// nothing of it. Agents that are not declared follow, in the order in which they
    /// started. One that was declared before keeps its place.
    pub fn agent(mut self, agent: Agent) -> Self {
        let agents = &mut self.settings.agents;
        // Two of one name would be the same key of a JSON object twice.
        match agents.iter_mut().find(|known| known.name() == agent.name()) {
            Some(known) => *known = agent,
            None => agents.push(agent),
        }
        self
    }

    /// Declares several agents, in their order.
    pub fn agents(self, agents: impl IntoIterator<Item = Agent>) -> Self {
        agents.into_iter().fold(self, Self::agent)
    }

    /// Asks for this bearer token on every route but the page itself, which holds no data
    /// and asks its reader for the token.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.settings.token = Some(token.into());
        self
    }

    /// How often the store is read for the sessions that are watched, all of them at
    /// once; 500 ms unless set, at least 10 ms. The list of recent workflows is read at
    /// most that often too.
    pub fn poll_interval(mut self, every: Duration) -> Self {
        self.settings.poll_interval = every.max(Duration::from_millis(10));
        self
    }

    /// After how long without an event a comment line tells a watcher that the connection
    /// stands; 15 s unless set, at least 100 ms.
    pub fn keep_alive_interval(mut self, every: Duration) -> Self {
        self.settings.keep_alive = every.max(Duration::from_millis(100));
        self
    }

    /// The [heartbeat](crate::StatusTrackerBuilder::heartbeat_interval) of the trackers that write
    /// to this store, 30 s unless set: a workflow that has missed three is
    /// [stalled](crate::status::WorkflowStatus::is_stalled).
    pub fn heartbeat_interval(mut self, every: Duration) -> Self {
        self.settings.heartbeat = every;
        self
    }

    /// Ends the live events when this future resolves, and the server if the portal
    /// [serves alone](Self::bind). Without it they end with the process.
    pub fn shutdown(mut self, signal: impl Future<Output = ()> + Send + 'static) -> Self {
        self.settings.shutdown = signal.boxed().shared();
        self
    }

    /// The routes, to be mounted in a service: at its root, or under a path by
    /// [`Router::nest`]. Who may read them is for the service's own layers to say, unless
    /// a [token](Self::token) is set.
    pub fn router(self) -> Router {
        routes::routes(self)
    }
}
