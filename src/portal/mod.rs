//! The portal: workflow status as JSON, as server-sent events and as a web page.
//!
//! [`router`] returns an [`axum::Router`] to mount in any service. [`Portal`] adds
//! settings, and can also serve on its own:
//!
//! ```
//! use tower_agent_status::{Agent, portal::Portal, store::MemoryStore};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let portal = Portal::new(MemoryStore::new())
//!     .agent(Agent::new("pdfAdapter").pending("Waiting for upload"))
//!     .agent(Agent::new("tradeExtraction").pending("Waiting for PDF processing"))
//!     .with_graceful_shutdown(std::future::ready(()));
//! let server = portal.bind(([127, 0, 0, 1], 0).into()).await?;
//! println!("The portal is at {}", server.url());
//! server.serve().await?;
//! # Ok(())
//! # }
//! ```
//!
//! | route | response |
//! | --- | --- |
//! | `GET /` | the page |
//! | `GET /api/workflow/{sessionId}/status` | the workflow; an unknown session is pending |
//! | `GET /api/workflow/{sessionId}/events` | the same as server-sent events, one for each change |
//! | `GET /api/workflow/recent?limit=10` | the newest workflows, newest first; at most 500; with their short attributes if `attributes=true` |
//! | `GET /api/workflow/overview` | the newest 500 at a glance: how many are in each state, what is running, what failed or stalled in 24 hours, figures of each hour and of each agent |
//! | `GET /api/workflow/events?session=a&session=b&overview=true` | up to 100 workflows, and the overview, in one stream of server-sent events |
//! | `GET /api/workflow/search?attribute=documentId&value=FAB_1` | the workflows in which an attribute has a value: from the table's index of it, or of the newest 2,000 |
//! | `GET /api/workflow/metrics?limit=1000` | the gauges [`STALLED_WORKFLOWS`] and [`WAITING_WORKFLOWS`], for Prometheus, and the metrics of a [webhook](Portal::webhook) |
//! | `GET /health` | 200 if the store can be read, or else 503; only where the portal [serves on its own](Portal::bind), without a token |
//!
//! Names and values are those of the [item](crate::status::schema), with four differences:
//! agents are grouped under `agents` and your own attributes under `attributes`; an agent's
//! `duration` is in whole seconds; `stalled` tells whether the workflow
//! [appears to have stopped](crate::status::WorkflowStatus::is_stalled); and `waiting` whether it
//! [waits](crate::status::WorkflowStatus::is_waiting) for a task, for input or for authorization.
//! A workflow's `completedAt` is null until it has finished, and its `previousRun` is null unless this
//! run replaced another. An agent's `subSteps` are those that an older writer has put there: a list of
//! objects, usually with `title`, `status` and `description`. Without them they are made from the agent's
//! `attempts`, and without those the list is empty.
//!
//! Models, costs, attempts, budgets and the trace have the item's names too, and are absent where nothing
//! is known about them. Beside the item's `costUsd` there is `cost`, its text, as
//! `{"short": "≥ $0.0123", "exact": "≥ $0.012345"}`; likewise `totalCost` beside `totalCostUsd`, also in
//! lists and in `previousRun`, and `budget` beside `budgetUsd`. Beside `traceId` there is `traceUrl`, if
//! [`Portal::trace_url`] is set. JSON numbers are usually read as floats,
//! so only the text is exact. Beside an agent's `finishReason` there is `stoppedNormally`:
//! whether the model was done, or stopped to call a tool.
//!
//! A list with `attributes=true`, the overview and a search have the attributes of up to 256 bytes each
//! and 2 KiB in all.
//!
//! The overview is about the newest 500 workflows; `partial` tells whether there may be more, and `oldest`
//! how far back they reach. It has
//!
//! - `counts`, the number of workflows in each state: an overall status, `stalled`, `waiting` or `other`;
//! - `running`, at most 200 of those that run or wait, the oldest first; their `agents` have `status`,
//!   `startedAt`, `completedAt`, `waitingFor` and `activity`;
//! - `problems`, at most 50 that have failed or stalled in the last 24 hours, the newest first: the
//!   `workflow`, its first `error` with the `agent` and the `errorType`, and `endedAt`. `problemCount` is
//!   the number of all;
//! - `hours`, for each of the last 24 that the list reaches back to: `start`, `workflows` created then,
//!   how many of them `failed`, their `totalTokens` and cost;
//! - `agents`, for each: how many are `running`, `succeeded` or ended with `errors`, and the
//!   `medianDuration` and `p95Duration` of those that succeeded, in seconds. The latter is null if fewer than
//!   20 have.
//!
//! The stream of several workflows has the events `workflow`, which are those of a single one; `overview`;
//! and `refused`, with a `sessionId` that cannot be watched and the `detail`. It stays open when workflows
//! finish. In any stream, a comment tells whether the store is answering: `live` or `stale`.
//!
//! A search finds exact values; a number is compared as text. `indexed` tells whether an index or the key
//! was asked, `searched` how many workflows were looked at and `oldest` how far back, `complete` whether
//! these are all, and `readUnits` what it cost, or null if the store does not say. At most 500 are returned.
//!
//! The gauges are computed by the portal, since a process that has died cannot report itself.
//! They count the stalled and the waiting workflows among the newest, up to 10,000. When the
//! count of stalled workflows is zero but some may exist outside what was read, its gauge is
//! absent: if every workflow read is too recent to have stalled, or if the store could search
//! only part of its items. In the latter case the list also has the header `x-truncated: true`. A
//! list that may lack sessions of older writers, since those are missing from the index, has the header
//! `x-unindexed: true`, and the log has a warning with the remedy.
//!
//! All routes are read-only. An error has the body `{"detail": "…"}`. If the store cannot
//! be read the status is 500, and the reason appears only in the log; a request that takes
//! longer than 60 s gets 504.
//!
//! Responses other than events are compressed with gzip if the client accepts it. Each
//! request has a `tracing` span at the level `DEBUG`, from tower-http's
//! [`TraceLayer`](tower_http::trace::TraceLayer).

mod attempts;
mod board;
mod costs;
mod entry;
mod events;
mod gauges;
mod guard;
mod health;
mod listed;
mod live;
mod overview;
mod page;
mod recent;
mod response;
mod routes;
mod search;
mod serve;
mod state;
mod stream;
mod trace_url;
mod version;
mod view;
mod visible;
mod webhook_metrics;

use std::fmt;
use std::future::Future;
use std::time::Duration;

use axum::Router;
use futures_util::FutureExt as _;

use crate::agent::Agent;
use crate::listener::{ShutdownSignal, Token};
use crate::status::WorkflowStatus;
use crate::store::StatusReader;

pub use gauges::{STALLED_WORKFLOWS, WAITING_WORKFLOWS};
pub use serve::{ServeError, Server};
pub use trace_url::InvalidTraceUrl;
use webhook_metrics::WebhookMetrics;

/// Returns the portal's routes with default settings: agents are listed as each item has
/// them, and there is no access control. See [`Portal`] for the settings.
pub fn router(reader: impl StatusReader) -> Router {
    Portal::new(reader).router()
}

/// A portal over a store: builds a [router](Self::router), or [serves](Self::bind) on its own.
#[derive(Debug)]
#[must_use = "a portal does nothing until `router` or `bind` is called"]
pub struct Portal<R> {
    reader: R,
    settings: Settings,
}

struct Settings {
    agents: Vec<Agent>,
    token: Option<Token>,
    poll_interval: Duration,
    keep_alive: Duration,
    heartbeat: Duration,
    max_connections: usize,
    visible: Option<visible::Visible>,
    trace_url: Option<trace_url::TraceUrl>,
    webhook: WebhookMetrics,
    shutdown: ShutdownSignal,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Access to the logs must not give access to the portal.
        f.debug_struct("Settings")
            .field("agents", &self.agents)
            .field("has_token", &self.token.is_some())
            .field("poll_interval", &self.poll_interval)
            .field("keep_alive", &self.keep_alive)
            .field("heartbeat", &self.heartbeat)
            .field("max_connections", &self.max_connections)
            .field("visible", &self.visible)
            .field("trace_url", &self.trace_url)
            .field("webhook", &self.webhook)
            .finish_non_exhaustive()
    }
}

impl<R: StatusReader> Portal<R> {
    /// Creates a portal that reads from `reader`.
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            settings: Settings {
                agents: Vec::new(),
                token: None,
                poll_interval: Duration::from_millis(500),
                keep_alive: Duration::from_secs(15),
                heartbeat: Duration::from_secs(30),
                max_connections: 10_000,
                visible: None,
                trace_url: None,
                webhook: WebhookMetrics::default(),
                shutdown: std::future::pending().boxed().shared(),
            },
        }
    }

    /// Declares an agent.
    ///
    /// Declared agents come first, in order of declaration. In a workflow that has no entry
    /// for one, it is shown as pending with its [`pending`](Agent::pending) text. Undeclared
    /// agents follow in the order in which they started. Declaring an agent again replaces
    /// its texts and keeps its position.
    pub fn agent(mut self, agent: Agent) -> Self {
        let agents = &mut self.settings.agents;
        // The name is a key of a JSON object, and may occur once.
        match agents.iter_mut().find(|known| known.name() == agent.name()) {
            Some(known) => *known = agent,
            None => agents.push(agent),
        }
        self
    }

    /// Declares several [agents](Self::agent), in order.
    pub fn agents(self, agents: impl IntoIterator<Item = Agent>) -> Self {
        agents.into_iter().fold(self, Self::agent)
    }

    /// Requires this bearer token on every route except the page, which holds no data and
    /// prompts for the token.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.settings.token = Some(Token::new(token));
        self
    }

    /// Sets how often the store is polled while clients watch events.
    ///
    /// One poll covers all watched sessions; polling stops when nobody is watching. The list
    /// of recent workflows is also read at most this often. Defaults to 500 ms; the minimum
    /// is 10 ms.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.settings.poll_interval = interval.max(Duration::from_millis(10));
        self
    }

    /// Sets how long an event stream may be silent before a comment line is sent to keep the
    /// connection alive.
    ///
    /// Defaults to 15 s; the minimum is 100 ms.
    pub fn keep_alive_interval(mut self, interval: Duration) -> Self {
        self.settings.keep_alive = interval.max(Duration::from_millis(100));
        self
    }

    /// Sets the [heartbeat interval](crate::StatusTrackerBuilder::heartbeat_interval) of the
    /// trackers that write to this store.
    ///
    /// A workflow that has missed three heartbeats is
    /// [stalled](crate::status::WorkflowStatus::is_stalled). Defaults to 30 s.
    pub fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.settings.heartbeat = interval;
        self
    }

    /// Sets how many connections the portal's own [server](Self::bind) has at most.
    ///
    /// Defaults to 10,000; the minimum is 1. Where the process may not open as many descriptors,
    /// it has fewer: a quarter of them, and at least 64, are left for the rest of the process. So
    /// the usual `ulimit -n` of 1,024 allows 768 connections, and 256 allow 192.
    ///
    /// A connection has some 20 KB of memory, and up to 32 KiB more while the head of a request
    /// arrives. Each client that watches a workflow has a connection. See
    /// [`serve`](Server::serve) for what happens when there are more.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.settings.max_connections = connections.max(1);
        self
    }

    /// Shows each request only the workflows for which this returns `true`.
    ///
    /// For a service that shows each user their own sessions. It is called with the head of the
    /// request, in whose [extensions](http::request::Parts::extensions) or headers your service
    /// finds the user, and with a workflow; and again at each change of a workflow that is watched.
    /// It applies to every route: of a single session that is not visible, the response is that for
    /// one that does not exist.
    ///
    /// Decide by the workflow's `session_id`, `correlation_id` and `attributes`: where many are
    /// read, the rest may be missing. It is called for up to 500 workflows at a time, so it must not
    /// block.
    ///
    /// ```
    /// use tower_agent_status::{portal::Portal, store::MemoryStore};
    ///
    /// #[derive(Clone)]
    /// struct Tenant(String);
    ///
    /// // `Tenant` is an extension that your service's own authentication has set.
    /// let portal = Portal::new(MemoryStore::new()).visible(|request, workflow| {
    ///     let tenant = request.extensions.get::<Tenant>();
    ///     let owner = workflow.attributes.get("tenant").and_then(|owner| owner.as_str());
    ///     tenant.is_some_and(|Tenant(name)| Some(name.as_str()) == owner)
    /// });
    /// ```
    pub fn visible(
        mut self,
        is_visible: impl Fn(&http::request::Parts, &WorkflowStatus) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.settings.visible = Some(visible::Visible::new(is_visible));
        self
    }

    /// Adds the metrics of this webhook to `/api/workflow/metrics`, after the gauges.
    ///
    /// It does not keep the webhook running.
    #[cfg(feature = "webhook")]
    #[cfg_attr(docsrs, doc(cfg(feature = "webhook")))]
    pub fn webhook(mut self, webhook: &crate::webhook::RunningWebhook) -> Self {
        self.settings.webhook = WebhookMetrics::of(webhook);
        self
    }

    /// Sets where the trace of a workflow can be seen, such as
    /// `https://grafana.example/explore/{traceId}`. The page links to it.
    ///
    /// `{traceId}` stands for the trace's id. Workflows without one have no link.
    ///
    /// # Errors
    ///
    /// Returns an error if the address lacks `{traceId}`, or if it is not one of `https` or `http`
    /// with the id after the host.
    pub fn trace_url(mut self, url: impl Into<String>) -> Result<Self, InvalidTraceUrl> {
        self.settings.trace_url = Some(trace_url::TraceUrl::new(url.into())?);
        Ok(self)
    }

    /// Shuts down when this future resolves: event streams end, and so does the portal's own
    /// [server](Self::bind).
    ///
    /// By default they run until the process exits.
    pub fn with_graceful_shutdown(
        mut self,
        signal: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        self.settings.shutdown = signal.boxed().shared();
        self
    }

    /// Returns the routes, to be merged into a service's router or nested under a path with
    /// [`Router::nest`].
    ///
    /// Unless a [token](Self::token) is set, access control is up to your service.
    pub fn router(self) -> Router {
        routes::routes(self)
    }
}
