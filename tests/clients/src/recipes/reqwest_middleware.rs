//! reqwest-middleware's client.

#[allow(clippy::duplicate_mod, reason = "compiled for each version of reqwest")]
#[path = "../middleware_client.rs"]
mod client;

use std::time::Duration;

use ::{reqwest, reqwest_middleware, reqwest_retry};
use reqwest_middleware::ClientBuilder;
use reqwest_retry::RetryTransientMiddleware;
use tower_agent_status::{StatusMiddleware, StatusTracker};

use self::client::Middleware;
pub(super) use self::client::backoff;
use crate::{Client, Recipe};

#[derive(Debug)]
pub struct ReqwestMiddleware;

impl Recipe for ReqwestMiddleware {
    // reqwest-retry takes a time-out for a transient failure.
    const CALLS_UNTIL_TIMEOUT: u64 = 2;

    async fn client(tracker: &StatusTracker, url: &str, timeout: Duration) -> impl Client {
        let policy = backoff();
        let client = reqwest::Client::builder().timeout(timeout).build().unwrap();
        // recipe
        let client = ClientBuilder::new(client)
            .with(RetryTransientMiddleware::new_with_policy(policy))
            .with(StatusMiddleware::new(tracker, "pdfAdapter"))
            .build();
        // end
        Middleware { client, url: format!("{url}/chat/completions") }
    }
}
