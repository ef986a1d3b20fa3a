//! reqwest's client, which is a Tower service of its own requests.

use std::time::Duration;

use tower::ServiceBuilder;
use tower_agent_status::{StatusLayer, StatusTracker};

use crate::{Client, Recipe, ReqwestClient, TooManyRequests};

#[derive(Debug)]
pub struct Reqwest;

impl Recipe for Reqwest {
    async fn client(tracker: &StatusTracker, url: &str, timeout: Duration) -> impl Client {
        let policy = TooManyRequests;
        let client = reqwest::Client::builder().timeout(timeout).build().unwrap();
        // recipe
        let client = ServiceBuilder::new()
            .retry(policy)
            .layer(StatusLayer::new(tracker, "pdfAdapter"))
            .service(client);
        // end
        ReqwestClient::new(client, url)
    }
}
