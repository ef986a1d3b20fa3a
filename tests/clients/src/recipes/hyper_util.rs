//! The client of hyper-util, which has a pool of connections.

use std::time::Duration;

use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tower::ServiceBuilder;
use tower_agent_status::{StatusLayer, StatusTracker};

use crate::{HttpClient, Recipe, TooManyRequests};

#[derive(Debug)]
pub struct HyperUtil;

impl Recipe for HyperUtil {
    async fn client(tracker: &StatusTracker, url: &str, timeout: Duration) -> impl crate::Client {
        let policy = TooManyRequests;
        // recipe
        let client = ServiceBuilder::new()
            .retry(policy)
            .layer(StatusLayer::new(tracker, "pdfAdapter"))
            .timeout(timeout)
            .service(Client::builder(TokioExecutor::new()).build_http());
        // end
        HttpClient::new(client, url)
    }
}
