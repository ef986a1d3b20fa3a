//! [`Sender`]: one request to the receiver.

use std::error::Error;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Request, Uri};
use http_body_util::Full;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

use super::InvalidWebhook;
use super::connector::Connector;
use super::delivery::NotAccepted;
use super::notification::Notification;
use super::signature::Secret;
use crate::status::{ErrorMessage, Timestamp};

/// Posts notifications.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    client: Client<HttpsConnector<Connector>, Full<Bytes>>,
    url: Uri,
    secret: Option<Secret>,
    timeout: Duration,
}

impl Sender {
    pub(super) fn new(
        connector: Connector,
        url: Uri,
        secret: Option<Secret>,
        timeout: Duration,
    ) -> Result<Self, InvalidWebhook> {
        // Not the provider of the process: where a program has several of them and has installed none,
        // asking for that panics.
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let tls =
            hyper_rustls::HttpsConnectorBuilder::new().with_provider_and_native_roots(provider);
        let tls = tls.map_err(|error| {
            InvalidWebhook::new(format!(
                "the system's root certificates cannot be read, which a webhook needs: {error}; \
                 install them, or name a file with SSL_CERT_FILE"
            ))
        })?;
        // The webhook's settings decide whether the URL may be `http`.
        let https = tls.https_or_http().enable_http1().wrap_connector(connector);
        // No connection is kept: there are few notifications, and each address is checked.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(https);
        Ok(Self { client, url, secret, timeout })
    }

    /// Posts a notification. Only a response with a status of 2xx accepts it. A redirect is not
    /// followed.
    pub(super) async fn send(self, notification: Notification) -> Result<(), NotAccepted> {
        let limit = self.timeout;
        timeout(limit, self.post(notification)).await.unwrap_or_else(|_| {
            let why = format!("no response within {limit:?}");
            Err(NotAccepted { why, retry_after: None })
        })
    }

    async fn post(self, Notification { id, body }: Notification) -> Result<(), NotAccepted> {
        let id = id.to_string();
        let seconds = Timestamp::from(SystemTime::now()).as_secs();
        let mut request = Request::post(self.url)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("tower-agent-status/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", &id)
            .header("webhook-timestamp", seconds);
        if let Some(secret) = &self.secret {
            request =
                request.header("webhook-signature", secret.sign(&id, seconds, body.as_bytes()));
        }
        let failed = |why: String| NotAccepted { why, retry_after: None };
        let request = request.body(Full::from(body)).map_err(|error| failed(error.to_string()))?;
        let response = self.client.request(request).await.map_err(|error| {
            // The last cause says what happened, and the URL is in none.
            let mut cause: &dyn Error = &error;
            while let Some(source) = cause.source() {
                cause = source;
            }
            failed(ErrorMessage::new(cause).as_str().to_owned())
        })?;
        // The body is not read: nobody knows how long it is.
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let why = match status.is_redirection() {
            true => format!("the receiver responded with {status}, and redirects are not followed"),
            false => format!("the receiver responded with {status}"),
        };
        Err(NotAccepted { why, retry_after: retry_after(response.headers()) })
    }
}

/// How long a response asks to wait, if it says so in seconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
