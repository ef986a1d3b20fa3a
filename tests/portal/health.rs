//! `GET /health` of the portal's own server.

use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::sync::oneshot;

use crate::serving::LOOPBACK;
use crate::support::{Store, portal, whole};

#[tokio::test]
async fn anyone_learns_whether_the_store_can_be_read_and_nothing_else() {
    let store = Store::default();
    let (stop, stopped) = oneshot::channel::<()>();
    let portal = portal(store.clone()).token("s3cret");
    let stopped = async { drop(stopped.await) };
    let server = portal.with_graceful_shutdown(stopped).bind(LOOPBACK).await.unwrap();
    let url = format!("{}health", server.url());
    let serving = tokio::spawn(server.serve());
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<bytes::Bytes>>();
    let ask = || async {
        let request = Request::get(&*url).body(Empty::new()).unwrap();
        let response = client.request(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    };
    store.fails(true);
    let (status, body) = ask().await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains("cannot be read right now"), "{body}");
    assert!(!body.contains("test"), "the error of the store: {body}");
    // The store is read once in five seconds, however many ask.
    store.fails(false);
    assert_eq!(ask().await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(store.reads().gets, 1);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(5)).await;
    tokio::time::resume();
    assert_eq!(ask().await, (StatusCode::OK, r#"{"status":"ok"}"#.to_owned()));
    assert_eq!(store.reads().gets, 2);
    drop(stop);
    drop(client);
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_service_that_mounts_the_portal_has_its_own() {
    let router = portal(Store::default()).router();
    assert_eq!(whole(&router, "/health").await.0, StatusCode::NOT_FOUND);
}
