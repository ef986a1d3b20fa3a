//! A single connection of hyper.

use std::time::Duration;

use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tower::ServiceBuilder;
use tower_agent_status::{StatusLayer, StatusTracker};

use crate::{HttpClient, Recipe, TooManyRequests};

#[derive(Debug)]
pub struct Hyper;

impl Recipe for Hyper {
    async fn client(tracker: &StatusTracker, url: &str, timeout: Duration) -> impl crate::Client {
        let address = url.strip_prefix("http://").unwrap().strip_suffix("/v1").unwrap();
        let (policy, io) =
            (TooManyRequests, TokioIo::new(TcpStream::connect(address).await.unwrap()));
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        // recipe
        let client = ServiceBuilder::new()
            .retry(policy)
            .layer(StatusLayer::new(tracker, "pdfAdapter"))
            .timeout(timeout)
            .service_fn(move |request| sender.clone().send_request(request));
        // end
        HttpClient::new(client, url)
    }
}
