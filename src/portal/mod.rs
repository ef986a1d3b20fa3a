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
//! | `GET /api/workflow/overview` | an overview of the newest 500: how many are in each state, what is running, what failed or stalled in the last 24 hours, statistics by hour and by agent |
//! | `GET /api/workflow/events?session=a&session=b&overview=true` | up to 100 workflows, and the overview, in one stream of server-sent events |
//! | `GET /api/workflow/search?attribute=documentId&value=FAB_1` | the workflows in which an attribute has a value: from the table's index of it, or else among the newest 2,000 |
//! | `GET /api/workflow/metrics?limit=1000` | the gauges [`STALLED_WORKFLOWS`] and [`WAITING_WORKFLOWS`], for Prometheus, and the metrics of a [webhook](Portal::webhook) |
//! | `GET /health` | 200 if the store can be read, or else 503. Needs no token; only when the portal [serves on its own](Portal::bind) |
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
//! A list with `attributes=true`, the overview and a search include attributes of up to 256 bytes each,
//! and 2 KiB in all.
//!
//! The overview covers the newest 500 workflows; `partial` tells whether there may be more, and `oldest`
//! how far back they reach. It has
//!
//! - `counts`, the number of workflows in each state: an overall status, `stalled`, `waiting` or `other`;
//! - `running`, at most 200 running or waiting workflows, oldest first; their `agents` have `status`,
//!   `startedAt`, `completedAt`, `waitingFor` and `activity`;
//! - `problems`, at most 50 workflows that have failed or stalled in the last 24 hours, newest first: the
//!   `workflow`, its first `error` with the `agent` and the `errorType`, and `endedAt`. `problemCount` is
//!   the total number;
//! - `hours`, for each of the last 24 hours that the list reaches back to: its `start`, the number of
//!   `workflows` created in it, how many of these `failed`, and their `totalTokens` and cost;
//! - `agents`, for each agent: how many times it is `running`, has `succeeded` or has ended with `errors`,
//!   and the `medianDuration` and `p95Duration` of its successes, in seconds. `p95Duration` is null if there
//!   are fewer than 20.
//!
//! The stream of several workflows has the events `workflow`, as in the stream of a single one; `overview`;
//! and `refused`, with a `sessionId` that cannot be watched and the reason as `detail`. It stays open when
//! workflows finish. In any stream, a comment tells whether the store is responding: `live` or `stale`.
//!
//! A search finds exact values; a number is compared as text. `indexed` tells whether an index or the key
//! was used, `searched` how many workflows were searched, `oldest` how far back they reach, `complete`
//! whether these are all matches, and `readUnits` how many read units the search used, or null if the store
//! does not count them. At most 500 workflows are returned.
//!
//! The gauges are computed by the portal, since a process that has died cannot report itself.
//! They count the stalled and the waiting workflows among the newest, up to 10,000. When the
//! count of stalled workflows is zero but there may be some among those that were not read, its gauge
//! is absent: if every workflow read is too recent to have stalled, or if the store could search
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

    /// Sets the maximum number of connections of the portal's own [server](Self::bind).
    ///
    /// Defaults to 10,000; the minimum is 1. If the process may not open that many file descriptors,
    /// fewer connections are accepted: a quarter of the descriptors, and at least 64, are left for the
    /// rest of the process. So the usual `ulimit -n` of 1,024 allows 768 connections, and 256 allows
    /// 192.
    ///
    /// A connection takes some 20 KB of memory, and up to 32 KiB more while the head of a request
    /// arrives. Each client that watches a workflow has a connection. See
    /// [`serve`](Server::serve) for what happens at the limit.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.settings.max_connections = connections.max(1);
        self
    }

    /// Shows each request only the workflows for which this function returns `true`.
    ///
    /// Use it to show each user only their own sessions. The function is called with the head of the
    /// request, which identifies the user by its
    /// [extensions](http::request::Parts::extensions) or headers, and with a workflow. For a watched
    /// workflow, it is called again at each change. It applies to every route: the response for a
    /// session that is not visible is the same as for one that does not exist.
    ///
    /// Decide by the workflow's `session_id`, `correlation_id` and `attributes`: in lists, the other
    /// fields may be missing. The function is called for up to 500 workflows at a time, so it must not
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

    /// Adds the metrics of this webhook to `/api/workflow/metrics`.
    ///
    /// They count the workflows of all users, so they are left out if [`visible`](Self::visible) is set.
    /// The portal does not keep the webhook running: hold on to the
    /// [`RunningWebhook`](crate::webhook::RunningWebhook).
    #[cfg(feature = "webhook")]
    #[cfg_attr(docsrs, doc(cfg(feature = "webhook")))]
    pub fn webhook(mut self, webhook: &crate::webhook::RunningWebhook) -> Self {
        self.settings.webhook = WebhookMetrics::of(webhook);
        self
    }

    /// Sets the URL of a workflow's trace, such as `https://grafana.example/explore/{traceId}`. The page
    /// links to it.
    ///
    /// `{traceId}` is replaced by the id of the trace. Workflows without a trace have no link.
    ///
    /// # Errors
    ///
    /// Returns an error unless the URL is `https` or `http`, and has `{traceId}` exactly once, after the
    /// host.
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
