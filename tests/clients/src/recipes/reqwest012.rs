//! reqwest-middleware's client for reqwest 0.12.

#[allow(clippy::duplicate_mod, reason = "compiled for each version of reqwest")]
#[path = "../middleware_client.rs"]
mod client;

use std::time::Duration;

use ::{
    reqwest_middleware04 as reqwest_middleware, reqwest_retry07 as reqwest_retry,
    reqwest012 as reqwest,
};
use reqwest_middleware::ClientBuilder;
use reqwest_retry::RetryTransientMiddleware;
use tower_agent_status::StatusTracker;

use self::client::{Middleware, backoff};
use crate::{Client, Recipe};

#[derive(Debug)]
pub struct Reqwest012;

impl Recipe for Reqwest012 {
    // reqwest-retry takes a time-out for a transient failure.
    const CALLS_UNTIL_TIMEOUT: u64 = 2;

    async fn client(tracker: &StatusTracker, url: &str, timeout: Duration) -> impl Client {
        let policy = backoff();
        let client = reqwest::Client::builder().timeout(timeout).build().unwrap();
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
