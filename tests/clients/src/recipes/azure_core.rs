//! The pipeline that the clients of the Azure SDK send through.

use std::sync::Arc;
use std::time::Duration;

use azure_core::http::{
    AsyncRawResponse, ClientOptions, Context, FixedRetryOptions, Method, Pipeline, Request,
    RetryOptions, Transport,
};
use futures_util::TryStreamExt as _;
use tower::BoxError;
use tower_agent_status::{Layer as _, StatusLayer, StatusTracker};

use crate::adapters::TrackedClient;
use crate::http_client::{question, text};
use crate::{Client, Pieces, Recipe};

#[derive(Debug)]
pub struct AzureCore;

impl Recipe for AzureCore {
    // The SDK takes a time-out for a failure of the connection.
    const CALLS_UNTIL_TIMEOUT: u64 = 2;

    async fn client(tracker: &StatusTracker, url: &str, timeout: Duration) -> impl Client {
        let client = reqwest::Client::builder().timeout(timeout).build().unwrap();
        let retry = FixedRetryOptions {
            delay: azure_core::time::Duration::milliseconds(1),
            max_retries: 1,
            ..FixedRetryOptions::default()
        };
        let options =
            ClientOptions { retry: RetryOptions::fixed(retry), ..ClientOptions::default() };
        // recipe
        let client = TrackedClient(StatusLayer::new(tracker, "pdfAdapter").layer(client));
        let options =
            ClientOptions { transport: Some(Transport::new(Arc::new(client))), ..options };
        // end
        let pipeline = Pipeline::new(None, None, options, Vec::new(), Vec::new(), None);
        Azure { pipeline, url: format!("{url}/chat/completions") }
    }
}

struct Azure {
    pipeline: Pipeline,
    url: String,
}

impl Azure {
    async fn send(&self, stream: bool) -> Result<AsyncRawResponse, BoxError> {
        let mut request = Request::new(self.url.parse()?, Method::Post);
        request.insert_header("content-type", "application/json");
        request.set_body(question(stream).to_string());
        Ok(self.pipeline.stream(&Context::new(), &mut request, None).await?)
    }
}

impl Client for Azure {
    async fn ask(&self) -> Result<String, BoxError> {
        Ok(text(self.send(false).await?.into_body().collect().await?))
    }

    async fn stream(&self) -> Result<Pieces, BoxError> {
        Ok(Box::pin(self.send(true).await?.into_body().map_ok(text).map_err(Into::into)))
    }
}
