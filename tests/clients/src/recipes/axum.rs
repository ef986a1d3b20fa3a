//! An axum handler that forwards requests to the agent.

use std::net::Ipv4Addr;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use http::StatusCode;
use http::header::{HOST, HeaderName};
use http::uri::PathAndQuery;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tower::{ServiceBuilder, ServiceExt as _};
use tower_agent_status::{StatusLayer, StatusTracker};

use crate::{HttpClient, Recipe, SESSION, TooManyRequests};

const SESSION_HEADER: HeaderName = HeaderName::from_static("x-session-id");

#[derive(Debug)]
pub struct Axum;

impl Recipe for Axum {
    async fn client(tracker: &StatusTracker, url: &str, timeout: Duration) -> impl crate::Client {
        let agent = url.strip_suffix("/v1").unwrap().to_owned();
        // recipe
        let client = ServiceBuilder::new()
            .layer(StatusLayer::new(tracker, "pdfAdapter").session_header(SESSION_HEADER))
            .timeout(timeout)
            .service(Client::builder(TokioExecutor::new()).build_http());
        let app = Router::new().fallback(async move |mut request: Request| {
            let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
            let target = format!("{agent}{path}");
            request.headers_mut().remove(HOST);
            *request.uri_mut() = target.parse().map_err(|_| StatusCode::BAD_REQUEST)?;
            client.oneshot(request).await.map_err(|_| StatusCode::BAD_GATEWAY)
        });
        // end
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        // The caller of the proxy, which retries, and names the session.
        let caller = ServiceBuilder::new()
            .retry(TooManyRequests)
            .map_request(|mut request: http::Request<_>| {
                request.headers_mut().insert(SESSION_HEADER, SESSION.parse().unwrap());
                request
            })
            .service(Client::builder(TokioExecutor::new()).build_http());
        HttpClient::new(caller, &url)
    }
}
