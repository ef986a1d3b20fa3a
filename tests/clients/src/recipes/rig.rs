//! rig, over a client of reqwest-middleware.

use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest_middleware::ClientBuilder;
use reqwest_retry::RetryTransientMiddleware;
use rig::completion::CompletionRequest;
use rig::providers::openai::{OpenAI, OpenAIConfig};
use rig::rig_reqwest::ReqwestMiddlewareClient;
use tower::BoxError;
use tower_agent_status::{StatusMiddleware, StatusTracker};

use super::reqwest_middleware::backoff;
use crate::{Client, MODEL, Pieces, Recipe};

#[derive(Debug)]
pub struct Rig;

impl Recipe for Rig {
    // reqwest-retry takes a time-out for a transient failure.
    const CALLS_UNTIL_TIMEOUT: u64 = 2;

    async fn client(tracker: &StatusTracker, url: &str, timeout: Duration) -> impl Client {
        let policy = backoff();
        let config = OpenAIConfig::new("secret").with_base_url(url);
        let client = reqwest::Client::builder().timeout(timeout).build().unwrap();
        // recipe
        let client = ClientBuilder::new(client)
            .with(RetryTransientMiddleware::new_with_policy(policy))
            .with(StatusMiddleware::new(tracker, "pdfAdapter"))
            .build();
        let openai = config.connect(ReqwestMiddlewareClient::from(client));
        // end
        openai
    }
}

impl Client for OpenAI {
    async fn ask(&self) -> Result<String, BoxError> {
        let request = CompletionRequest::new("What does the trade say?");
        Ok(self.chat(MODEL).call(request).await?.text())
    }

    async fn stream(&self) -> Result<Pieces, BoxError> {
        let request = CompletionRequest::new("What does the trade say?");
        let items = self.chat(MODEL).stream(request)?;
        Ok(Box::pin(items.map(|item| Ok(format!("{:?}", item?)))))
    }
}
