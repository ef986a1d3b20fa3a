//! The forwarder: an HTTP server through which agents are called by clients that take nothing but
//! a base URL.
//!
//! Many clients of agents build their own HTTP client, in Rust and even more so in Python and
//! TypeScript, and cannot take a layer. They can call a [`Forward`] instead: it sends each request
//! through a Tower stack with the layer in it to where the agent is.
//!
//! ```
//! use tower_agent_status::{SessionId, StatusTracker, forward::Forward, store::MemoryStore};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let tracker = StatusTracker::builder(MemoryStore::new()).start()?;
//! let forward = Forward::new(&tracker)
//!     .agent("pdfAdapter", "https://pdf.internal/v1")
//!     .agent("tradeExtraction", "http://127.0.0.1:8081")
//!     .with_graceful_shutdown(std::future::ready(()))
//!     .bind(([127, 0, 0, 1], 0).into())
//!     .await?;
//!
//! let session = SessionId::new("session-corr_abc123")?;
//! let base_url = forward.url("pdfAdapter", &session)?;
//! assert!(base_url.ends_with("/pdfAdapter/~session-corr_abc123"));
//!
//! let server = tokio::spawn(forward.serve());
//! // … give the base URL to a client …
//! # server.await?;
//! # Ok(())
//! # }
//! ```
//!
//! See [the guide](crate::guide::forward) for the addresses, for what HTTP demands of a proxy, and
//! for the command that does the same for other languages.
//!
//! | file | what it has |
//! | --- | --- |
//! | `server`, `urls` | the bound server, and the addresses of its agents |
//! | `service` | one request, from the client to the agent and back |
//! | `guard` | who may call: the host, the token, and no web page |
//! | `route` | which agent and which session a path names |
//! | `upstream` | where an agent is |
//! | `headers` | the headers that belong to one connection alone |
//! | `upgrade` | connections that change their protocol |
//! | `client`, `body` | the client that calls the agents, and its bodies |
//! | `workflows` | `/-/workflows`, for orchestrators that say when they are done |
//! | `error` | the responses of the forwarder itself |

mod body;
mod client;
mod error;
mod guard;
mod headers;
mod route;
mod server;
mod service;
mod upgrade;
mod upstream;
mod urls;
mod workflows;

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::StatusTracker;
use crate::listener::{ShutdownSignal, Token};

pub use self::body::{RequestBody, ResponseBody};
pub use self::client::Client;
pub use self::server::{BindError, Server};
pub use self::upstream::InvalidUpstream;
pub use self::urls::{UrlError, Urls};

/// The header that has the session of a request, if its path has none.
pub const SESSION_HEADER: &str = "x-workflow-session-id";

/// The header that has the [token](Forward::token), if the path has none.
pub const TOKEN_HEADER: &str = "x-agent-status-token";

/// The longest session that the path or the header of a request may name, in bytes.
pub const MAX_SESSION_BYTES: usize = 256;

type BoxError = Box<dyn Error + Send + Sync>;

/// Configures a forwarder in front of agents. See the [module](self).
#[must_use = "a forwarder does nothing until it is bound"]
pub struct Forward {
    tracker: StatusTracker,
    agents: Vec<Agent>,
    settings: Settings,
}

/// An agent, before its stack is built.
struct Agent {
    name: String,
    upstream: String,
    /// `None` for the default one.
    stack: Option<service::Stack>,
}

struct Settings {
    token: Option<Token>,
    hosts: Vec<String>,
    max_connections: usize,
    response_timeout: Option<Duration>,
    workflow_timeout: Duration,
    shutdown_timeout: Duration,
    shutdown: ShutdownSignal,
}

impl Forward {
    /// Creates a forwarder without agents, whose calls this tracker records.
    pub fn new(tracker: &StatusTracker) -> Self {
        Self {
            tracker: tracker.clone(),
            agents: Vec::new(),
            settings: Settings {
                token: None,
                hosts: Vec::new(),
                max_connections: 10_000,
                response_timeout: None,
                workflow_timeout: Duration::from_secs(600),
                shutdown_timeout: Duration::from_secs(10),
                shutdown: std::future::pending().boxed().shared(),
            },
        }
    }

    /// Adds an agent, which is called with a [`Client`] and a [`StatusLayer`](crate::StatusLayer)
    /// around it.
    ///
    /// `upstream` is the agent's base URL, such as `https://api.openai.com/v1`: what follows the
    /// agent and the session in the path of a request is appended to it. [`bind`](Self::bind)
    /// returns an error if it is not one, or if the agent cannot have that name.
    pub fn agent(mut self, name: impl Into<String>, upstream: impl Into<String>) -> Self {
        self.agents.push(Agent { name: name.into(), upstream: upstream.into(), stack: None });
        self
    }

    /// Adds an agent with a Tower stack of your own, which receives requests to `upstream`.
    ///
    /// Nothing is added to the stack, so it should have a [`StatusLayer`](crate::StatusLayer) with
    /// the agent's name. The session is in the request's extensions.
    ///
    /// A request body is a stream that can be read once, so a layer that retries must collect it
    /// before. An error of the stack that is a time-out, as that of `tower::timeout` is, is answered
    /// with 504, and any other with 502.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower::ServiceBuilder;
    /// use tower_agent_status::forward::{Client, Forward};
    /// use tower_agent_status::{StatusLayer, StatusTracker};
    ///
    /// # fn example(tracker: &StatusTracker) -> Result<Forward, std::io::Error> {
    /// let stack = ServiceBuilder::new()
    ///     .concurrency_limit(8)
    ///     .layer(StatusLayer::new(tracker, "pdfAdapter"))
    ///     .timeout(Duration::from_secs(300))
    ///     .service(Client::new()?);
    /// let forward =
    ///     Forward::new(tracker).agent_service("pdfAdapter", "https://pdf.internal/v1", stack);
    /// # Ok(forward)
    /// # }
    /// ```
    pub fn agent_service<S, B>(
        mut self,
        name: impl Into<String>,
        upstream: impl Into<String>,
        stack: S,
    ) -> Self
    where
        S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let stack = Some(service::boxed(stack));
        self.agents.push(Agent { name: name.into(), upstream: upstream.into(), stack });
        self
    }

    /// Requires this token with every request, in the header `x-agent-status-token` or as the first
    /// segment of the path. It is not passed on.
    ///
    /// A forwarder on an address other than loopback needs one, and so do the routes under
    /// `/-/workflows`. See [`bind`](Self::bind) for what a token may consist of.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.settings.token = Some(Token::new(token));
        self
    }

    /// Accepts requests whose `Host` is this name, without a port.
    ///
    /// `localhost`, names that end in `.localhost` and addresses of loopback are always accepted,
    /// and with a [token](Self::token) all other IP addresses. Any other name is refused with 421,
    /// so that a web page cannot reach the forwarder through a name of its own.
    pub fn allow_host(mut self, name: impl Into<String>) -> Self {
        self.settings.hosts.push(name.into());
        self
    }

    /// Sets how many connections of clients there may be. Defaults to 10,000; the minimum is 1.
    ///
    /// A call in flight takes two descriptors: one more for its connection to the agent. Where the
    /// process may not open twice as many descriptors, there are fewer connections: a quarter of the
    /// descriptors, and at least 64, are left for the rest of the process.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.settings.max_connections = connections.max(1);
        self
    }

    /// Sets how long an agent may take until its response begins. By default it may take as long
    /// as its client waits. Applies to agents that were added with [`agent`](Self::agent).
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.settings.response_timeout = Some(timeout);
        self
    }

    /// Sets how long a workflow that was opened with `PUT /-/workflows/{session}` may be without a
    /// call until it fails, since its orchestrator is gone. Defaults to 10 minutes.
    ///
    /// While an agent of it is in progress, or [waits](crate::status::AgentStatus::waiting_for), it
    /// does not fail. Sessions that are known only from their calls end with the
    /// [idle timeout](crate::StatusTrackerBuilder::idle_timeout) of the tracker.
    pub fn workflow_timeout(mut self, timeout: Duration) -> Self {
        self.settings.workflow_timeout = timeout.max(Duration::from_millis(1));
        self
    }

    /// Sets how long calls in flight may take to end at the
    /// [shutdown](Self::with_graceful_shutdown). Defaults to 10 s.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.settings.shutdown_timeout = timeout;
        self
    }

    /// Shuts down when this future resolves. By default the forwarder runs until the process exits.
    pub fn with_graceful_shutdown(
        mut self,
        signal: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        self.settings.shutdown = signal.boxed().shared();
        self
    }
}

impl fmt::Debug for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let agents = self.agents.iter().map(|agent| (&agent.name, &agent.upstream));
        f.debug_struct("Forward")
            .field("agents", &agents.collect::<Vec<_>>())
            .field("has_token", &self.settings.token.is_some())
            .finish_non_exhaustive()
    }
}
