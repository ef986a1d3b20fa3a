//! The layer around tonic's channel: what is recorded for each end of a call.

use std::future::pending;
use std::time::Duration;

use grpc_clients::recipe::client;
use grpc_clients::{Agent, AgentClient, HyperServer, SESSION, TonicServer, Tracking, request};
use http::{Request, Response};
use tonic::body::Body;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::{Code, Status};
use tower::{BoxError, Layer as _, service_fn};
use tower_agent_status::status::{AgentState, AgentStatus};

async fn server() -> TonicServer {
    TonicServer::start(Server::builder().add_service(Agent)).await
}

#[track_caller]
fn assert_success(agent: &AgentStatus) {
    assert_eq!((agent.state, &agent.error), (AgentState::Success, &None));
    // Nobody knows what is in the messages.
    assert_eq!((agent.calls, agent.token_usage()), (1, None));
}

#[track_caller]
fn assert_error(agent: &AgentStatus, class: &str, message: &str) {
    let error = agent.error.as_ref().unwrap();
    assert_eq!((agent.state, &*error.class), (AgentState::Error, class), "{error}");
    assert!(error.message.as_str().contains(message), "{error}");
    assert_eq!(agent.calls, 1);
}

#[tokio::test]
async fn a_call_that_succeeds() {
    let (server, tracking) = (server().await, Tracking::start());
    let mut client = client(&tracking.tracker, &server.endpoint());
    assert_eq!(client.invoke(request("go")).await.unwrap(), r#"{"success": false}"#);
    assert_success(&tracking.agent());
}

#[tokio::test]
async fn a_call_that_fails() {
    let (server, tracking) = (server().await, Tracking::start());
    let mut client = client(&tracking.tracker, &server.endpoint());
    let status = client.invoke(request("fail")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_error(&tracking.agent(), "grpc_unavailable", "no room for “this”: 100%");
}

#[tokio::test]
async fn a_call_that_its_caller_retries() {
    let (server, tracking) = (server().await, Tracking::start());
    let mut client = client(&tracking.tracker, &server.endpoint());
    client.invoke(request("fail")).await.unwrap_err();
    client.invoke(request("go")).await.unwrap();
    let agent = tracking.agent();
    assert_eq!((agent.state, agent.calls), (AgentState::Success, 2));
}

#[tokio::test]
async fn an_interceptor_goes_around_the_layer_or_inside_of_it() {
    let server = server().await;
    let refuse = |_: tonic::Request<()>| Err(Status::permission_denied("not you"));
    let pass = |request: tonic::Request<()>| Ok(request);

    let tracking = Tracking::start();
    let channel = tracking.layer().layer(server.channel());
    AgentClient::with_interceptor(channel, pass).invoke(request("go")).await.unwrap();
    assert_success(&tracking.agent());

    let tracking = Tracking::start();
    let channel = tracking.layer().layer(server.channel());
    let status = AgentClient::with_interceptor(channel, refuse).invoke(request("go")).await;
    assert_eq!(status.unwrap_err().code(), Code::PermissionDenied);
    // The request has not reached the layer.
    assert!(tracking.tracker.status(SESSION).is_none());

    let tracking = Tracking::start();
    let channel = tracking.layer().layer(InterceptedService::new(server.channel(), refuse));
    AgentClient::new(channel).invoke(request("go")).await.unwrap_err();
    assert_error(&tracking.agent(), "grpc_permission_denied", "not you");
}

#[tokio::test]
async fn a_method_that_is_not_there() {
    let (server, tracking) = (server().await, Tracking::start());
    let mut client = client(&tracking.tracker, &server.endpoint());
    assert_eq!(client.call_unknown().await.unwrap_err().code(), Code::Unimplemented);
    assert_error(&tracking.agent(), "grpc_unimplemented", "no such method");
}

#[tokio::test]
async fn a_stream_that_succeeds() {
    let (server, tracking) = (server().await, Tracking::start());
    let mut client = client(&tracking.tracker, &server.endpoint());
    let mut messages = client.watch(request("one two three")).await.unwrap();
    for word in ["one", "two", "three"] {
        assert_eq!(tracking.agent().state, AgentState::InProgress);
        assert_eq!(messages.message().await.unwrap().unwrap(), word);
    }
    assert_eq!(messages.message().await.unwrap(), None);
    assert_success(&tracking.agent());
}

#[tokio::test]
async fn a_stream_that_fails_after_three_messages() {
    let (server, tracking) = (server().await, Tracking::start());
    let mut client = client(&tracking.tracker, &server.endpoint());
    let mut messages = client.watch(request("one two three fail")).await.unwrap();
    for word in ["one", "two", "three"] {
        assert_eq!(messages.message().await.unwrap().unwrap(), word);
    }
    assert_eq!(messages.message().await.unwrap_err().code(), Code::Unavailable);
    assert_error(&tracking.agent(), "grpc_unavailable", "no room");
}

#[tokio::test]
async fn a_stream_that_fails_at_once() {
    let (server, tracking) = (server().await, Tracking::start());
    let mut client = client(&tracking.tracker, &server.endpoint());
    let mut messages = client.watch(request("fail")).await.unwrap();
    assert_eq!(messages.message().await.unwrap_err().code(), Code::Unavailable);
    assert_error(&tracking.agent(), "grpc_unavailable", "no room");
}

#[tokio::test]
async fn a_stream_that_is_dropped_early() {
    let (server, tracking) = (server().await, Tracking::start());
    let mut client = client(&tracking.tracker, &server.endpoint());
    let mut messages = client.watch(request("one hang")).await.unwrap();
    assert_eq!(messages.message().await.unwrap().unwrap(), "one");
    drop(messages);
    assert_error(&tracking.agent(), "cancelled", "gave up");
}

#[tokio::test]
async fn a_server_that_dies_in_the_middle() {
    let (server, tracking) = (HyperServer::start(Agent).await, Tracking::start());
    let mut client = client(&tracking.tracker, &server.endpoint());
    let mut messages = client.watch(request("one hang")).await.unwrap();
    assert_eq!(messages.message().await.unwrap().unwrap(), "one");
    server.kill();
    messages.message().await.unwrap_err();
    assert_error(&tracking.agent(), "transport", "");
}

#[tokio::test]
async fn a_response_that_ends_without_a_status() {
    let answer = async |_: Request<hyper::body::Incoming>| {
        let response = Response::builder().header("content-type", "application/grpc");
        Ok::<_, BoxError>(response.body(http_body_util::Full::from("\0\0\0\0\x02hi")).unwrap())
    };
    let (server, tracking) = (HyperServer::start(service_fn(answer)).await, Tracking::start());
    let mut client = client(&tracking.tracker, &server.endpoint());
    assert_eq!(client.invoke(request("go")).await.unwrap_err().code(), Code::Unknown);
    assert_error(&tracking.agent(), "incomplete", "broke off");
}

#[tokio::test]
async fn a_server_that_keeps_a_deadline_of_its_own() {
    let (server, tracking) = (server().await, Tracking::start());
    let mut client = client(&tracking.tracker, &server.endpoint());
    let status = client.invoke(request("late")).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_error(&tracking.agent(), "timeout", "the model is slow");
}

#[tokio::test]
async fn a_server_that_is_given_a_timeout() {
    let mut builder = Server::builder().timeout(Duration::from_millis(1));
    let server = TonicServer::start(builder.add_service(Agent)).await;
    let tracking = Tracking::start();
    let mut client = client(&tracking.tracker, &server.endpoint());
    let status = client.invoke(request("hang")).await.unwrap_err();
    // What tonic makes of a time-out of its own.
    assert_eq!(status.code(), Code::Cancelled);
    assert_error(&tracking.agent(), "cancelled", "Timeout expired");
}

/// A server that never answers, and keeps to no deadline.
async fn silent() -> HyperServer {
    HyperServer::start(service_fn(async |_: Request<hyper::body::Incoming>| {
        pending::<Result<Response<Body>, Status>>().await
    }))
    .await
}

#[tokio::test]
async fn a_deadline_of_the_client() {
    let (server, tracking) = (silent().await, Tracking::start());
    let mut client = client(&tracking.tracker, &server.endpoint());
    let mut hurried = request("hang");
    hurried.set_timeout(Duration::from_millis(1));
    client.invoke(hurried).await.unwrap_err();
    assert_error(&tracking.agent(), "timeout", "Timeout expired");
}

#[tokio::test]
async fn a_timeout_of_the_channel() {
    let (server, tracking) = (silent().await, Tracking::start());
    let endpoint = server.endpoint().timeout(Duration::from_millis(1));
    let mut client = client(&tracking.tracker, &endpoint);
    client.invoke(request("hang")).await.unwrap_err();
    assert_error(&tracking.agent(), "timeout", "Timeout expired");
}
