//! `WorkflowLayer` in tonic's server: a workflow ends with the status of its call.

use grpc_clients::{Agent, AgentClient, SESSION, TonicServer, Tracking};
use http::HeaderName;
use tonic::Request;
use tonic::transport::Server;
use tower_agent_status::WorkflowLayer;
use tower_agent_status::testing::{assert_completed, assert_failed};

const HEADER: &str = "x-session-id";

async fn server(tracking: &Tracking) -> TonicServer {
    let layer =
        WorkflowLayer::new(&tracking.tracker).session_header(HeaderName::from_static(HEADER));
    TonicServer::start(Server::builder().layer(layer).add_service(Agent)).await
}

fn request(text: &str) -> Request<String> {
    let mut request = Request::new(text.to_owned());
    request.metadata_mut().insert(HEADER, SESSION.parse().unwrap());
    request
}

#[tokio::test]
async fn a_call_that_succeeds_completes_its_workflow() {
    let tracking = Tracking::start();
    let server = server(&tracking).await;
    let mut client = AgentClient::new(server.channel());
    client.invoke(request("go")).await.unwrap();
    assert_completed(&tracking.store.wait_until_finished(SESSION).await);
}

#[tokio::test]
async fn a_call_that_fails_fails_its_workflow() {
    let tracking = Tracking::start();
    let server = server(&tracking).await;
    let mut client = AgentClient::new(server.channel());
    client.invoke(request("fail")).await.unwrap_err();
    let status = tracking.store.wait_until_finished(SESSION).await;
    assert_failed(&status, "grpc_unavailable: no room for “this”: 100%");
}

#[tokio::test]
async fn a_stream_that_succeeds_completes_its_workflow() {
    let tracking = Tracking::start();
    let server = server(&tracking).await;
    let mut client = AgentClient::new(server.channel());
    let mut messages = client.watch(request("one two")).await.unwrap();
    while messages.message().await.unwrap().is_some() {}
    assert_completed(&tracking.store.wait_until_finished(SESSION).await);
}

#[tokio::test]
async fn a_stream_that_fails_fails_its_workflow() {
    let tracking = Tracking::start();
    let server = server(&tracking).await;
    let mut client = AgentClient::new(server.channel());
    let mut messages = client.watch(request("one two three fail")).await.unwrap();
    for _ in 0..3 {
        messages.message().await.unwrap().unwrap();
    }
    messages.message().await.unwrap_err();
    let status = tracking.store.wait_until_finished(SESSION).await;
    assert_failed(&status, "grpc_unavailable: no room");
}

#[tokio::test]
async fn a_stream_that_its_caller_drops_fails_its_workflow() {
    let tracking = Tracking::start();
    let server = server(&tracking).await;
    let mut client = AgentClient::new(server.channel());
    let mut messages = client.watch(request("one hang")).await.unwrap();
    messages.message().await.unwrap().unwrap();
    drop(messages);
    let status = tracking.store.wait_until_finished(SESSION).await;
    assert_failed(&status, "the caller gave up");
}
