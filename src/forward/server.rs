//! [`Server`]: a forwarder that is bound to an address.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{Response, StatusCode};

use super::client::Client;
use super::error::{AnyBody, ErrorResponse};
use super::route::OWN_ROUTES;
use super::service::{self, ForwardService, Shared};
use super::upstream::{InvalidUpstream, Upstream};
use super::urls::{UrlError, Urls};
use super::workflows::Workflows;
use super::{Agent, Forward, Settings};
use crate::listener::{self, Hosts, Listener, ShutdownSignal};
use crate::{InvalidName, Layer as _, SessionId, StatusLayer, StatusTracker};

/// The largest head of a request, in bytes.
const MAX_HEAD: usize = 64 << 10;

/// How long a client may read nothing of a response. Clients do pause in the middle of a stream, to
/// work on what they have read.
const WRITE_TIMEOUT: Duration = Duration::from_secs(15 * 60);

impl Forward {
    /// Binds an address. Port 0 picks a free port.
    ///
    /// # Errors
    ///
    /// - If there is no agent, or the name or the URL of one is invalid.
    /// - If the address is not a loopback address and no [token](Self::token) is set, or if the
    ///   token is not 1 to 1,024 visible ASCII characters.
    /// - If an agent's URL is `https` and the system's root certificates cannot be read.
    /// - If the address cannot be bound.
    pub async fn bind(self, address: SocketAddr) -> Result<Server, BindError> {
        let Self { tracker, agents, settings } = self;
        let Settings { token, hosts, shutdown, .. } = settings;
        match &token {
            Some(token) if !token.is_sendable() => return Err(BindError::UnusableToken),
            None if !address.ip().is_loopback() => return Err(BindError::NoToken(address)),
            _ => {}
        }
        let agents = build(&tracker, agents, settings.response_timeout)?;
        let listener =
            Listener::bind(address).await.map_err(|error| BindError::Listen { address, error })?;
        let urls = Urls::new(listener.local_addr(), agents.keys().cloned(), token.clone());
        let hosts = Hosts { names: hosts, any_address: token.is_some() };
        let workflows = Arc::new(Workflows::new(tracker, settings.workflow_timeout));
        let shared = Shared { agents, token, hosts, workflows: Arc::clone(&workflows) };
        let settings = listener::Settings {
            name: "the forwarder",
            max_connections: settings.max_connections,
            max_head: MAX_HEAD,
            write_timeout: WRITE_TIMEOUT,
            grace: settings.shutdown_timeout,
            is_proxy: true,
        };
        let service = ForwardService::new(shared);
        Ok(Server { listener, urls, service, workflows, settings, shutdown })
    }
}

/// Builds the stacks of the agents.
fn build(
    tracker: &StatusTracker,
    agents: Vec<Agent>,
    response_timeout: Option<Duration>,
) -> Result<HashMap<String, service::Agent>, BindError> {
    let mut client = None;
    let mut is_https = false;
    let mut built = HashMap::new();
    let mut parsed = Vec::with_capacity(agents.len());
    for Agent { name, upstream, stack } in agents {
        // Clients resolve the last two, however they are encoded.
        if [OWN_ROUTES, ".", ".."].contains(&&*name) {
            return Err(BindError::ReservedName(name));
        }
        let upstream = Upstream::parse(&upstream)
            .map_err(|error| BindError::Upstream { agent: name.clone(), error })?;
        is_https |= stack.is_none() && upstream.is_https();
        parsed.push((name, upstream, stack));
    }
    for (name, upstream, stack) in parsed {
        let stack = match stack {
            Some(stack) => stack,
            None => {
                let layer = StatusLayer::try_new(tracker, &name).map_err(BindError::Agent)?;
                let client = match &client {
                    Some(client) => client,
                    None => {
                        let new = if is_https { Client::new() } else { Client::without_tls() };
                        let new = new.map_err(BindError::RootCertificates)?;
                        client.insert(match response_timeout {
                            Some(timeout) => new.response_timeout(timeout),
                            None => new,
                        })
                    }
                };
                service::boxed(layer.layer(client.clone()))
            }
        };
        match built.entry(name) {
            Entry::Vacant(vacant) => _ = vacant.insert(service::Agent { upstream, stack }),
            Entry::Occupied(entry) => return Err(BindError::Duplicate(entry.key().clone())),
        }
    }
    if built.is_empty() { Err(BindError::NoAgents) } else { Ok(built) }
}

/// A forwarder that is bound to an address. Call [`serve`](Self::serve) to run it.
#[must_use = "a forwarder accepts no connections until `serve` is called"]
pub struct Server {
    listener: Listener,
    urls: Urls,
    service: ForwardService,
    workflows: Arc<Workflows>,
    settings: listener::Settings,
    shutdown: ShutdownSignal,
}

impl Server {
    /// Returns the bound address, with the actual port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// Returns the base URL of an agent for the calls of a session. See [`Urls::url`].
    ///
    /// # Errors
    ///
    /// If the forwarder has no such agent, or the session id is too long.
    pub fn url(&self, agent: &str, session: &SessionId) -> Result<String, UrlError> {
        self.urls.url(agent, session)
    }

    /// Returns the base URLs of the agents, for use while the server runs.
    #[must_use]
    pub fn urls(&self) -> Urls {
        self.urls.clone()
    }

    /// Serves HTTP/1.1, and HTTP/2 with prior knowledge, until the
    /// [shutdown signal](Forward::with_graceful_shutdown). Calls in flight then have the
    /// [shutdown timeout](Forward::shutdown_timeout) to end.
    ///
    /// A connection is closed if it is idle or sends no complete head for 75 s, or if the client reads
    /// nothing of a response for 15 minutes. A head may have 64 KiB and 100 headers; a larger one gets
    /// 431.
    ///
    /// If [`max_connections`](Forward::max_connections) are open, a new one closes the one that has
    /// waited longest for a request. If all of them are being answered, the new one gets 503.
    ///
    /// Dropping the returned future closes all connections, and calls in flight end as `cancelled`.
    pub async fn serve(self) {
        let Self { listener, service, workflows, settings, shutdown, .. } = self;
        tokio::select! {
            () = listener.serve(service, refuse, settings, shutdown) => {}
            never = workflows.fail_abandoned() => match never {},
        }
        // Their orchestrators may go on with another forwarder.
        workflows.detach();
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("urls", &self.urls).finish_non_exhaustive()
    }
}

/// The response to a connection for which there is no room.
fn refuse() -> Response<AnyBody> {
    let message = "the forwarder has too many connections; try again later";
    ErrorResponse::new(StatusCode::SERVICE_UNAVAILABLE, message)
        .with_header(RETRY_AFTER, "5")
        .into_response()
}

/// The error returned when a forwarder cannot be bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// There is no agent to forward to.
    #[error("the forwarder has no agent: add one with `Forward::agent`")]
    NoAgents,
    /// An agent's name is invalid.
    #[error("the forwarder cannot have an agent of this name: {0}")]
    Agent(InvalidName),
    /// An agent's name has another meaning in a path: `-`, `.` or `..`.
    #[error(
        "the forwarder cannot have an agent `{0}`, which has another meaning in a path; rename it"
    )]
    ReservedName(String),
    /// Two agents have the same name.
    #[error("the agent `{0}` was added twice; rename or remove one")]
    Duplicate(String),
    /// An agent's URL is invalid.
    #[error("the URL of the agent `{agent}` is invalid: {error}")]
    Upstream {
        /// The agent.
        agent: String,
        /// What is wrong with it.
        error: InvalidUpstream,
    },
    /// The system's root certificates could not be read.
    #[error(
        "an agent's URL is https, and the system's root certificates cannot be read: {0}; \
         install them, or name a file with SSL_CERT_FILE"
    )]
    RootCertificates(io::Error),
    /// The address is not a loopback address, and there is no token.
    #[error("anyone who can reach {0} could call the agents: set a token, or listen on 127.0.0.1")]
    NoToken(SocketAddr),
    /// The token is empty, too long, or cannot be sent in a header.
    #[error("the forwarder's token must be 1 to 1,024 visible ASCII characters without spaces")]
    UnusableToken,
    /// The address is in use, or does not belong to this machine.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address to bind.
        address: SocketAddr,
        /// The operating system's error.
        error: io::Error,
    },
}
