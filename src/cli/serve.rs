//! `serve`: runs the portal.

use std::env;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use tower_agent_status::Agent;
use tower_agent_status::portal::{Portal, ServeError};
use tower_agent_status::store::StatusReader;
use tower_agent_status::webhook::{InvalidWebhook, RunningWebhook, Webhook};

use super::args::{Heartbeat, duration};
use super::failure::{Failure, note};
use super::log;
use super::store::StoreArgs;

/// Serve the portal: a live page of the newest workflows, and the same data as JSON.
///
/// For Prometheus, /api/workflow/metrics reports how many workflows have stalled.
///
/// With --webhook, it also posts JSON to a URL for each workflow that fails or stalls. It then reads the
/// table even while nobody is watching.
///
/// Prints its URL, logs to standard error, and stops on Ctrl-C or SIGTERM.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tower-agent-status serve --embedded agent-status-demo.db
  tower-agent-status serve --agent 'pdfAdapter=Waiting for upload' --agent 'tradeExtraction=Waiting for PDF processing'
  PORTAL_TOKEN=… tower-agent-status serve --addr 0.0.0.0:8080 --token-env PORTAL_TOKEN
  WEBHOOK_SECRET=… tower-agent-status serve --webhook https://alerts.example.com/workflows --webhook-secret-env WEBHOOK_SECRET")]
pub(crate) struct Serve {
    #[command(flatten)]
    store: StoreArgs,

    /// Address to listen on; port 0 picks a free port. Addresses other than loopback require
    /// a token
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    addr: SocketAddr,

    /// Environment variable that holds the bearer token clients must send
    #[arg(long, value_name = "VAR")]
    token_env: Option<String>,

    /// Agent to show, with its text while pending; may be repeated, in the order to show them.
    /// Other agents follow as they appear in the table
    #[arg(long = "agent", value_name = "NAME=TEXT", value_parser = agent)]
    agents: Vec<Agent>,

    /// URL of a workflow's trace, with `{traceId}` for its id, such as
    /// `https://grafana.example/explore/{traceId}`; the page links to it
    #[arg(long, value_name = "URL")]
    trace_url: Option<String>,

    #[command(flatten)]
    webhook: WebhookArgs,

    #[command(flatten)]
    heartbeat: Heartbeat,
}

/// The options of a webhook.
#[derive(Debug, clap::Args)]
struct WebhookArgs {
    /// URL to which each workflow that fails or stalls is posted as JSON, at least once. To hide it from
    /// other users of this host, set it with the environment variable STATUS_WEBHOOK_URL instead
    #[arg(long, value_name = "URL", env = "STATUS_WEBHOOK_URL", hide_env = true)]
    webhook: Option<String>,

    /// Environment variable that holds the secret with which requests are signed: 24 to 64 bytes in
    /// base64
    #[arg(long, value_name = "VAR", requires = "webhook")]
    webhook_secret_env: Option<String>,

    /// Attribute of a workflow to include; may be repeated
    #[arg(long, value_name = "NAME", requires = "webhook")]
    webhook_attribute: Vec<String>,

    /// Also allow addresses that are not public, such as those of this host, and http
    #[arg(long, requires = "webhook")]
    webhook_allow_private: bool,

    /// How far back to look, at startup, for workflows that have failed or stalled; at most a day
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = look_back)]
    webhook_look_back: Duration,
}

fn look_back(text: &str) -> Result<Duration, &'static str> {
    match duration(text)? {
        time if time > Duration::from_secs(24 * 60 * 60) => Err("the duration must be at most 24h"),
        time => Ok(time),
    }
}

impl WebhookArgs {
    /// Starts the webhook, if there is a URL.
    fn start(
        self,
        reader: impl StatusReader,
        heartbeat: Duration,
    ) -> Result<Option<RunningWebhook>, Failure> {
        let Some(url) = &self.webhook else { return Ok(None) };
        let unusable = |error: InvalidWebhook| Failure::Unusable(error.to_string());
        let mut webhook = Webhook::new(url)
            .map_err(unusable)?
            .attributes(self.webhook_attribute)
            .heartbeat_interval(heartbeat)
            .look_back(self.webhook_look_back);
        if let Some(variable) = &self.webhook_secret_env {
            let remedy = "set it to the secret of the webhook, such as `openssl rand -base64 32` \
                          prints";
            webhook = webhook.secret(&secret(variable, remedy)?).map_err(unusable)?;
        }
        if self.webhook_allow_private {
            webhook = webhook.allow_private_addresses();
        }
        webhook.start(reader).map(Some).map_err(unusable)
    }
}

fn agent(text: &str) -> Result<Agent, &'static str> {
    match text.split_once('=') {
        Some((name, text)) if !name.is_empty() => Ok(Agent::new(name).pending(text)),
        _ => Err("expected NAME=TEXT, such as 'pdfAdapter=Waiting for upload'"),
    }
}

impl Serve {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        log::start();
        #[cfg(unix)]
        raise_descriptor_limit(ENOUGH_DESCRIPTORS);
        let how = "as `Authorization: Bearer …`";
        let token = self.token_env.as_deref().map(|variable| token(variable, how)).transpose()?;
        let store = self.store.open().await?;
        let name = self.store.name(&store);
        let end = termination()?;
        let webhook = self.webhook.start(store.clone(), self.heartbeat.heartbeat)?;
        let mut portal = Portal::new(store)
            .agents(self.agents)
            .heartbeat_interval(self.heartbeat.heartbeat)
            .with_graceful_shutdown(end);
        if let Some(token) = token {
            portal = portal.token(token);
        }
        if let Some(url) = self.trace_url {
            portal = portal
                .trace_url(url)
                .map_err(|error| Failure::Unusable(format!("`--trace-url`: {error}")))?;
        }
        if let Some(webhook) = &webhook {
            portal = portal.webhook(webhook);
        }
        let server = portal.bind(self.addr).await.map_err(|error| match error {
            ServeError::NoToken(address) => Failure::Unusable(format!(
                "anyone who can reach {address} could read the portal: set a token with \
                 `--token-env VAR`, or listen on 127.0.0.1"
            )),
            ServeError::Listen { .. } => {
                Failure::Unusable(format!("{error}; choose another address with `--addr`"))
            }
            error => Failure::Unusable(error.to_string()),
        })?;
        note(&format!("Serving {name}. Press Ctrl-C to stop."));
        {
            let mut out = io::stdout().lock();
            writeln!(out, "{}", server.url())?;
            out.flush()?;
        }
        let served = server.serve().await;
        served.map_err(|error| Failure::Unusable(format!("the server failed: {error}")))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// One for each client that the portal admits, and some more.
#[cfg(unix)]
const ENOUGH_DESCRIPTORS: u64 = 16_384;

/// Raises the limit of open files, as far as this process may: each connection is one.
#[cfg(unix)]
pub(crate) fn raise_descriptor_limit(enough: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(enough, |maximum| maximum.min(enough));
    if current.is_some_and(|current| current < wanted) {
        // Without it, the server admits fewer.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    }
}

/// Reads the token of a server from a variable. `how` says how clients send it.
pub(crate) fn token(variable: &str, how: &str) -> Result<String, Failure> {
    secret(variable, &format!("set it to the token that clients send {how}"))
}

/// The value of a variable that must be set.
fn secret(variable: &str, remedy: &str) -> Result<String, Failure> {
    let value = env::var(variable).ok().filter(|value| !value.is_empty());
    value.ok_or_else(|| Failure::Unusable(format!("{variable} is not set: {remedy}")))
}

/// Resolves on Ctrl-C or SIGTERM.
pub(crate) fn termination() -> Result<impl Future<Output = ()> + Send + 'static, Failure> {
    let unusable = |error| Failure::Unusable(format!("cannot listen for signals: {error}"));
    #[cfg(unix)]
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .map_err(unusable)?;
    #[cfg(unix)]
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())
        .map_err(unusable)?;
    #[cfg(unix)]
    let end = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    #[cfg(not(unix))]
    let end = async move {
        let _ = tokio::signal::ctrl_c().await;
    };
    Ok(end)
}
