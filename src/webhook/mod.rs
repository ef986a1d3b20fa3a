//! [`Webhook`]: notifies another service of workflows that fail or stall.
//!
//! It posts JSON to a URL, at least once for each such workflow, even if nobody is watching.
//!
//! ```no_run
//! use tower_agent_status::store::DynamoDbStore;
//! use tower_agent_status::webhook::Webhook;
//!
//! # async fn start() -> Result<(), Box<dyn std::error::Error>> {
//! let store = DynamoDbStore::from_env().await?;
//! let webhook = Webhook::new("https://alerts.example.com/workflows")?
//!     .secret(&std::env::var("WEBHOOK_SECRET")?)?
//!     .attributes(["documentId"])
//!     .start(store)?;
//! // It stops when `webhook` is dropped.
//! # drop(webhook);
//! # Ok(())
//! # }
//! ```
//!
//! The [guide](crate::guide::webhook) describes the fields, how to verify a request, the guarantees of
//! delivery, and the cost.

mod address;
mod connector;
mod counts;
mod delivery;
mod notification;
mod send;
mod signature;
mod watch;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::Uri;
use tokio::task::JoinHandle;

use self::connector::{Connector, Resolver};
use self::counts::Counters;
use self::delivery::{Queue, deliver};
use self::send::Sender;
use self::signature::Secret;
use self::watch::{Watch, Watcher};
use crate::status::Timestamp;
use crate::store::StatusReader;

pub use self::counts::WebhookCounts;

#[cfg(feature = "portal")]
pub(crate) type SharedCounters = Arc<Counters>;

/// The error returned when the settings of a webhook are invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidWebhook(String);

impl InvalidWebhook {
    fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// Configures a webhook. [`start`](Self::start) starts it.
#[must_use = "a webhook does nothing until `start` is called"]
pub struct Webhook {
    url: Uri,
    secret: Option<Secret>,
    connector: Connector,
    timeout: Duration,
    look_back: Duration,
    watch: Watch,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may contain a secret.
        f.debug_struct("Webhook")
            .field("host", &self.url.host())
            .field("has_secret", &self.secret.is_some())
            .field("connector", &self.connector)
            .field("timeout", &self.timeout)
            .field("look_back", &self.look_back)
            .field("watch", &self.watch)
            .finish_non_exhaustive()
    }
}

impl Webhook {
    /// Creates a webhook that posts to a URL: `https`, or `http` if [private
    /// addresses](Self::allow_private_addresses) are allowed.
    ///
    /// # Errors
    ///
    /// Returns an error if the URL is invalid, has another scheme, has a user name, or has no host. The
    /// error does not contain the URL, which may include a secret.
    pub fn new(url: &str) -> Result<Self, InvalidWebhook> {
        const EXPECTED: &str = "expected a URL such as https://alerts.example.com/workflows";
        let invalid =
            |what: &str| InvalidWebhook::new(format!("the webhook's URL {what}: {EXPECTED}"));
        let url: Uri = url.trim().parse().map_err(|_| invalid("is not valid"))?;
        if !matches!(url.scheme_str(), Some("https" | "http")) {
            return Err(invalid("is not an https URL"));
        }
        if url.host().is_none_or(str::is_empty) {
            return Err(invalid("has no host"));
        }
        if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(invalid(
                "has a user name, which is not sent: sign the requests with a secret instead",
            ));
        }
        Ok(Self {
            url,
            secret: None,
            connector: Connector { resolver: None, allows_private: false },
            timeout: Duration::from_secs(10),
            look_back: Duration::from_secs(60 * 60),
            watch: Watch {
                every: Duration::from_secs(10),
                heartbeat: Duration::from_secs(30),
                attributes: Vec::new(),
                not_before: Timestamp::from_millis(0),
            },
        })
    }

    /// Signs each request with this secret, as [Standard
    /// Webhooks](https://www.standardwebhooks.com) specifies: an HMAC with SHA-256 of the id, the time
    /// and the body.
    ///
    /// # Errors
    ///
    /// Returns an error unless the secret is 24 to 64 bytes in base64, with or without the prefix
    /// `whsec_`.
    pub fn secret(self, secret: &str) -> Result<Self, InvalidWebhook> {
        Ok(Self { secret: Some(Secret::parse(secret)?), ..self })
    }

    /// Includes these attributes of a workflow. By default none is included, since they may be
    /// confidential.
    ///
    /// Attributes that do not fit into 16 KiB together are left out, and listed in
    /// `omittedAttributes`.
    pub fn attributes<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.watch.attributes.extend(names.into_iter().map(Into::into));
        self
    }

    /// Also allows addresses that are not public, such as those of this host and of private networks,
    /// and `http`.
    ///
    /// By default, the webhook does not connect to a loopback, link-local, private, unique-local,
    /// IPv4-mapped or otherwise special address, whatever host name resolves to it. The addresses of
    /// cloud metadata services are always refused.
    pub fn allow_private_addresses(mut self) -> Self {
        self.connector.allows_private = true;
        self
    }

    /// Resolves the host name with this function instead of the operating system. The addresses that it
    /// returns are checked as well.
    pub fn resolver<F>(mut self, resolve: impl Fn(String) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = io::Result<Vec<IpAddr>>> + Send + 'static,
    {
        let resolver: Arc<Resolver> = Arc::new(move |host| Box::pin(resolve(host)));
        self.connector.resolver = Some(resolver);
        self
    }

    /// Sets how long a request may take until the head of its response arrives. Defaults to 10 s; the
    /// minimum is 10 ms.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: timeout.max(Duration::from_millis(10)), ..self }
    }

    /// Sets how often the store is read. Defaults to 10 s; the minimum is 10 ms.
    pub fn read_interval(mut self, interval: Duration) -> Self {
        self.watch.every = interval.max(Duration::from_millis(10));
        self
    }

    /// Sets the [heartbeat interval](crate::StatusTrackerBuilder::heartbeat_interval) of the trackers
    /// that write to this store. A workflow that has missed three heartbeats has stalled. Defaults to
    /// 30 s.
    pub fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.watch.heartbeat = interval;
        self
    }

    /// Sets how far back the webhook looks when it starts: it sends workflows that have failed or
    /// stalled since then, even if they were sent before a restart. Defaults to an hour; the maximum is
    /// a day.
    pub fn look_back(self, time: Duration) -> Self {
        Self { look_back: time.min(Duration::from_secs(24 * 60 * 60)), ..self }
    }

    /// Starts to read from `reader` and to send, on the current Tokio runtime.
    ///
    /// # Errors
    ///
    /// Returns an error if the URL is allowed only with
    /// [private addresses](Self::allow_private_addresses), or if the system's root certificates cannot
    /// be read.
    ///
    /// # Panics
    ///
    /// Panics outside of a Tokio runtime.
    pub fn start(self, reader: impl StatusReader) -> Result<RunningWebhook, InvalidWebhook> {
        let Self { url, secret, connector, timeout, look_back, mut watch } = self;
        if url.scheme_str() == Some("http") && !connector.allows_private {
            return Err(InvalidWebhook::new(
                "the webhook's URL is http, which is not encrypted: use https, or allow \
                 private addresses (`--webhook-allow-private`, `Webhook::allow_private_addresses`)",
            ));
        }
        if let Some(address) = url.host().and_then(connector::literal) {
            let refused = |error| InvalidWebhook::new(format!("the webhook's URL: {error}"));
            connector.check(address).map_err(refused)?;
        }
        let sender = Sender::new(connector, url, secret, timeout)?;
        watch.not_before = Timestamp::from(SystemTime::now()).saturating_sub(look_back);
        let counters = Arc::new(Counters::default());
        let (queue, incoming) = Queue::new(Arc::clone(&counters));
        let watcher = Watcher::new(reader, watch, queue, Arc::clone(&counters));
        let delivery = deliver(incoming, Arc::clone(&counters), move |notification| {
            sender.clone().send(notification)
        });
        let tasks = [tokio::spawn(watcher.run()), tokio::spawn(delivery)];
        Ok(RunningWebhook { counters, tasks })
    }
}

/// A running webhook. It stops when this is dropped. What is still in its queue is then found again at
/// the next start, within the [look-back](Webhook::look_back).
#[derive(Debug)]
#[must_use = "a webhook stops when this is dropped"]
pub struct RunningWebhook {
    counters: Arc<Counters>,
    tasks: [JoinHandle<()>; 2],
}

impl RunningWebhook {
    /// Returns the counts of notifications and requests so far.
    #[must_use]
    pub fn counts(&self) -> WebhookCounts {
        self.counters.read()
    }

    #[cfg(feature = "portal")]
    pub(crate) fn counters(&self) -> SharedCounters {
        Arc::clone(&self.counters)
    }
}

impl Drop for RunningWebhook {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
