//! The forwarder: an HTTP server that records and forwards the calls of clients that accept only a
//! base URL.
//!
//! Many clients, in Rust and even more so in Python and TypeScript, build their own HTTP client and
//! accept no layer. They can call a [`Forward`] instead: it forwards each request to its agent
//! through a Tower stack with the layer.
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
//! // … configure a client with the base URL …
//! # server.await?;
//! # Ok(())
//! # }
//! ```
//!
//! See [the guide](crate::guide::forward) for the paths, for what HTTP requires of a proxy, and for
//! the command that does the same for other languages.
//!
//! | file | contents |
//! | --- | --- |
//! | `server`, `urls` | the bound server, and the base URLs of its agents |
//! | `service` | one request, from the client to the agent and back |
//! | `guard` | access control: the host, the token, and no web pages |
//! | `route` | which agent and which session a path names |
//! | `upstream` | where an agent is |
//! | `headers` | hop-by-hop headers |
//! | `upgrade` | upgraded connections |
//! | `client`, `body` | the client that calls the agents, and its bodies |
//! | `workflows` | `/-/workflows`, where orchestrators open and end workflows |
//! | `error` | the forwarder's own error responses |

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

/// The header that names the session of a request, if its path does not.
pub const SESSION_HEADER: &str = "x-workflow-session-id";

/// The header that carries the [token](Forward::token), if the path does not.
pub const TOKEN_HEADER: &str = "x-agent-status-token";

/// The maximum length, in bytes, of a session id in the path or the header of a request.
pub const MAX_SESSION_BYTES: usize = 256;

type BoxError = Box<dyn Error + Send + Sync>;

/// Configures a forwarder. See the [module](self).
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
    /// Creates a forwarder without agents. The tracker records its calls.
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

    /// Adds an agent, which is called through a [`StatusLayer`](crate::StatusLayer) around a
    /// [`Client`].
    ///
    /// `upstream` is the agent's base URL, such as `https://api.openai.com/v1`. The part of a request's
    /// path after the agent and the session is appended to it. [`bind`](Self::bind) returns an error if
    /// the URL or the name is invalid.
    pub fn agent(mut self, name: impl Into<String>, upstream: impl Into<String>) -> Self {
        self.agents.push(Agent { name: name.into(), upstream: upstream.into(), stack: None });
        self
    }

    /// Adds an agent with a Tower stack of your own, which receives requests to `upstream`.
    ///
    /// Nothing is added to the stack, so it should contain a [`StatusLayer`](crate::StatusLayer) with
    /// the agent's name. The session is in the request's extensions.
    ///
    /// A request body is a stream that can be read only once, so a layer that retries must collect it
    /// first. If the stack fails with a time-out, such as that of `tower::timeout`, the client gets
    /// 504; for any other error it gets 502.
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

    /// Requires this token on every request, in the header `x-agent-status-token` or as the first
    /// segment of the path. It is not forwarded. Only `/-/health` needs no token.
    ///
    /// Addresses other than loopback require a token, and so do the routes under `/-/workflows`. See
    /// [`bind`](Self::bind) for what a token may consist of.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.settings.token = Some(Token::new(token));
        self
    }

    /// Also accepts requests whose `Host` is this name, on any port. Give the name without a port.
    ///
    /// `localhost`, names that end in `.localhost` and loopback addresses are always accepted, and with
    /// a [token](Self::token) all other IP addresses too. Any other host gets 421, against DNS
    /// rebinding.
    pub fn allow_host(mut self, name: impl Into<String>) -> Self {
        self.settings.hosts.push(name.into());
        self
    }

    /// Sets the maximum number of client connections. Defaults to 10,000; the minimum is 1.
    ///
    /// A call in flight takes two file descriptors: one for the client's connection and one for the
    /// agent's. If the process may not open that many, fewer connections are accepted: a quarter of the
    /// descriptors, and at least 64, are left for the rest of the process.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.settings.max_connections = connections.max(1);
        self
    }

    /// Sets how long an agent may take until its response begins. By default there is no limit: the
    /// forwarder waits as long as the client does. Applies to agents added with
    /// [`agent`](Self::agent).
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.settings.response_timeout = Some(timeout);
        self
    }

    /// Sets how long a workflow that was opened with `PUT /-/workflows/{session}` may go without a
    /// call before it fails, since its orchestrator is presumed dead. Defaults to 10 minutes.
    ///
    /// A workflow does not fail while one of its agents is in progress, or
    /// [waits](crate::status::AgentStatus::waiting_for). Sessions that are known only from their calls
    /// complete after the tracker's [idle timeout](crate::StatusTrackerBuilder::idle_timeout), if it
    /// has one.
    pub fn workflow_timeout(mut self, timeout: Duration) -> Self {
        self.settings.workflow_timeout = timeout.max(Duration::from_millis(1));
        self
    }

    /// Sets how long calls in flight may take to end after the
    /// [shutdown signal](Self::with_graceful_shutdown). Defaults to 10 s.
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
