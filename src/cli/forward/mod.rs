//! `forward`: runs the forwarder.

mod credentials;
mod metrics;
mod runtime;
mod sign;
mod target;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use tower_agent_status::forward::{self, BindError, Client, Server};
use tower_agent_status::{Layer as _, StatusLayer, StatusTracker};

use self::credentials::Credentials;
use self::runtime::Runtime;
use self::sign::Sign;
use self::target::{AgentTarget, Target};
use super::args::duration;
use super::failure::{Failure, note};
use super::prices::PricesArgs;
use super::serve::{raise_descriptor_limit, termination, token};
use super::store::StoreArgs;
use super::{log, text};

/// How long the last changes may take to be saved.
const SAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Two for each of the calls that the forwarder admits, and some more.
#[cfg(unix)]
const ENOUGH_DESCRIPTORS: u64 = 32_768;

/// Record and forward the calls of clients that accept only a base URL.
///
/// As the base URL of an agent, set `http://127.0.0.1:8090/AGENT/~SESSION`, or
/// `http://127.0.0.1:8090/AGENT` with the session in the header `x-workflow-session-id`.
///
/// Prints its URL, logs to standard error, and stops on Ctrl-C or SIGTERM.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tower-agent-status forward --embedded status.db --agent tradeExtraction=https://api.openai.com/v1
  tower-agent-status forward --agent pdfAdapter=arn:aws:bedrock-agentcore:eu-west-1:123456789012:runtime/pdf-x1
  STATUS_FORWARD_TOKEN=… tower-agent-status forward --addr 0.0.0.0:8090 --token-env STATUS_FORWARD_TOKEN --allow-host forwarder --agent …")]
pub(crate) struct Forward {
    #[command(flatten)]
    store: StoreArgs,

    /// Agent to forward to: its base URL, or the ARN of its `AgentCore` runtime, whose calls are
    /// signed with the usual AWS credentials; may be repeated
    #[arg(long = "agent", value_name = "NAME=URL|ARN", required = true, value_parser = target::parse)]
    agents: Vec<AgentTarget>,

    /// Address to listen on; port 0 picks a free port. Addresses other than loopback require
    /// a token
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    addr: SocketAddr,

    /// Environment variable that holds the token clients must send, in the header
    /// `x-agent-status-token` or as the first segment of the path
    #[arg(long, value_name = "VAR")]
    token_env: Option<String>,

    /// Host name to accept, besides localhost and, with a token, all IP addresses; may be repeated
    #[arg(long = "allow-host", value_name = "NAME")]
    hosts: Vec<String>,

    /// How long a session may go without a call before it ends: as completed, or as failed if it was
    /// opened with `PUT /-/workflows/SESSION`
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = timeout)]
    idle_timeout: Duration,

    /// How long an agent may take until its response begins; by default as long as its client waits
    #[arg(long, value_name = "DURATION", value_parser = timeout)]
    response_timeout: Option<Duration>,

    /// How long calls in flight may take to end when the forwarder stops
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    shutdown_timeout: Duration,

    /// Maximum size of a request body to a runtime, in bytes: it is read into memory to be signed
    #[arg(long, value_name = "BYTES", default_value_t = 10_000_000)]
    max_signed_body: usize,

    /// Maximum number of client connections
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000)]
    max_connections: usize,

    #[command(flatten)]
    prices: PricesArgs,

    /// Address on which to serve metrics to Prometheus, at `/metrics` and without a token; needs the
    /// feature `prometheus`
    #[arg(long, value_name = "ADDRESS")]
    metrics_addr: Option<SocketAddr>,
}

/// Parses a duration that is not zero.
fn timeout(text: &str) -> Result<Duration, &'static str> {
    match duration(text)? {
        Duration::ZERO => Err("the duration must not be zero"),
        duration => Ok(duration),
    }
}

impl Forward {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        log::start();
        #[cfg(unix)]
        raise_descriptor_limit(ENOUGH_DESCRIPTORS);
        let how = "in the header `x-agent-status-token` or as the first segment of the path";
        let token = self.token_env.as_deref().map(|variable| token(variable, how)).transpose()?;
        let prices = self.prices.read()?;
        if let Some(address) = self.metrics_addr {
            metrics::serve(address)?;
        }
        // Creates a file that does not exist: this command is what fills it.
        let store = match self.store.is_embedded() {
            true => self.store.open_without_discovery().await?,
            false => self.store.open_to_write().await?,
        };
        let name = self.store.name(&store);
        let end = termination()?;
        let mut builder = StatusTracker::builder(store).idle_timeout(self.idle_timeout);
        if let Some(prices) = prices {
            builder = builder.prices(prices);
        }
        let tracker = builder.start().map_err(|error| Failure::Unusable(error.to_string()))?;
        let server = self.bind(&tracker, token, end).await?;
        note(&format!("Recording to {name}. Press Ctrl-C to stop."));
        for AgentTarget { agent, target } in &self.agents {
            note(&format!("  {agent} -> {target}"));
        }
        {
            let mut out = io::stdout().lock();
            writeln!(out, "{}", server.urls().root())?;
            out.flush()?;
        }
        server.serve().await;
        let saved = tracker.shutdown(SAVE_TIMEOUT).await;
        saved.map_err(|error| Failure::Negative(error.to_string()))?;
        Ok(ExitCode::SUCCESS)
    }

    async fn bind(
        &self,
        tracker: &StatusTracker,
        token: Option<String>,
        end: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Server, Failure> {
        let mut forward = forward::Forward::new(tracker)
            .max_connections(self.max_connections)
            .workflow_timeout(self.idle_timeout)
            .shutdown_timeout(self.shutdown_timeout)
            .with_graceful_shutdown(end);
        if let Some(timeout) = self.response_timeout {
            forward = forward.response_timeout(timeout);
        }
        if let Some(token) = token {
            forward = forward.token(token);
        }
        for host in &self.hosts {
            forward = forward.allow_host(host);
        }
        let mut signing = None;
        for AgentTarget { agent, target } in &self.agents {
            forward = match target {
                Target::Url(url) => forward.agent(agent, url),
                Target::Runtime(arn) => {
                    let (client, credentials) = match &signing {
                        Some(signing) => signing,
                        None => signing.insert(self.signing().await?),
                    };
                    let sign = Sign::new(
                        client.clone(),
                        credentials.clone(),
                        arn.region().to_owned(),
                        self.max_signed_body,
                    );
                    let layer = StatusLayer::try_new(tracker, agent)
                        .map_err(|error| Failure::Unusable(error.to_string()))?;
                    let url = credentials.endpoint().unwrap_or_else(|| arn.endpoint());
                    forward.agent_service(agent, url, Runtime::new(layer.layer(sign), arn.clone()))
                }
            };
        }
        forward.bind(self.addr).await.map_err(|error| match error {
            BindError::NoToken(address) => Failure::Unusable(format!(
                "anyone who can reach {address} could call the agents: set a token with \
                 `--token-env VAR`, or listen on 127.0.0.1"
            )),
            BindError::Listen { .. } => {
                Failure::Unusable(format!("{error}; choose another address with `--addr`"))
            }
            error => Failure::Unusable(text::escaped(&error.to_string()).to_string()),
        })
    }

    /// What the calls of all runtimes share.
    async fn signing(&self) -> Result<(Client, Credentials), Failure> {
        let mut client = Client::new().map_err(|error| {
            let remedy = "install them, or name a file with SSL_CERT_FILE";
            Failure::Unusable(format!(
                "the system's root certificates cannot be read: {error}; {remedy}"
            ))
        })?;
        if let Some(timeout) = self.response_timeout {
            client = client.response_timeout(timeout);
        }
        let credentials = Credentials::load().await?;
        Ok((client, credentials))
    }
}
