//! reqwest-middleware's client for reqwest 0.12.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use reqwest_middleware04::{ClientBuilder, ClientWithMiddleware};
use reqwest_retry07::{RetryTransientMiddleware, policies::ExponentialBackoff};
use tower::BoxError;
use tower_agent_status::StatusTracker;

use crate::http_client::{question, text};
use crate::{Client, Pieces, Recipe};

#[derive(Debug)]
pub struct Reqwest012;

impl Recipe for Reqwest012 {
    // reqwest-retry takes a time-out for a transient failure.
    const CALLS_UNTIL_TIMEOUT: u64 = 2;

    async fn client(tracker: &StatusTracker, url: &str, timeout: Duration) -> impl Client {
        let policy = backoff();
        let client = reqwest012::Client::builder().timeout(timeout).build().unwrap();
        // recipe
        use tower_agent_status::reqwest012::StatusMiddleware;

        let client = ClientBuilder::new(client)
            .with(RetryTransientMiddleware::new_with_policy(policy))
            .with(StatusMiddleware::new(tracker, "pdfAdapter"))
            .build();
        // end
        Middleware { client, url: format!("{url}/chat/completions") }
    }
}

/// Retries once, almost at once.
fn backoff() -> ExponentialBackoff {
    let bounds = ExponentialBackoff::builder()
        .retry_bounds(Duration::from_millis(1), Duration::from_millis(1));
    bounds.build_with_max_retries(1)
}

struct Middleware {
    client: ClientWithMiddleware,
    url: String,
}

impl Middleware {
    async fn send(&self, stream: bool) -> Result<reqwest012::Response, BoxError> {
        let response = self.client.post(&self.url).json(&question(stream)).send().await?;
        Ok(response.error_for_status()?)
    }
}

impl Client for Middleware {
    async fn ask(&self) -> Result<String, BoxError> {
        Ok(self.send(false).await?.text().await?)
    }

    async fn stream(&self) -> Result<Pieces, BoxError> {
        let bytes = self.send(true).await?.bytes_stream();
        Ok(Box::pin(bytes.map_ok(text).map_err(Into::into)))
    }
}
