//! gRPC-Web with tonic-web, on HTTP/1: the layer sees its frames inside of the client that
//! translates them, and trailers outside of it.

use grpc_clients::{Agent, AgentClient, HyperServer, SESSION, Tracking, request};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tonic::Code;
use tonic_web::{GrpcWebClientLayer, GrpcWebLayer};
use tower::{Layer as _, ServiceBuilder};
use tower_agent_status::WorkflowLayer;
use tower_agent_status::testing::{assert_completed, assert_failed};

async fn server() -> HyperServer {
    HyperServer::start(GrpcWebLayer::new().layer(Agent)).await
}

/// Calls an agent over gRPC-Web through this client, in each way a call can end.
macro_rules! check {
    ($client:expr) => {
        let server = server().await;
        let origin: http::Uri = server.url().parse().unwrap();
        for (text, class) in [("one two", None), ("one two fail", Some("grpc_unavailable"))] {
            let tracking = Tracking::start();
            let http = Client::builder(TokioExecutor::new()).build_http();
            let service = $client(&tracking, http);
            let mut client = AgentClient::with_origin(service, origin.clone());
            let mut messages = client.watch(request(text)).await.unwrap();
            for _ in 0..2 {
                messages.message().await.unwrap().unwrap();
            }
            match class {
                None => assert_eq!(messages.message().await.unwrap(), None),
                Some(_) => {
                    let status = messages.message().await.unwrap_err();
                    assert_eq!(status.code(), Code::Unavailable);
                }
            }
            let agent = tracking.agent();
            let found = agent.error.as_ref().map(|error| &*error.class);
            assert_eq!(found, class, "{:?}", agent.error);
        }
    };
}

#[tokio::test]
async fn the_layer_within_the_translation_reads_frames() {
    check!(|tracking: &Tracking, http| {
        ServiceBuilder::new().layer(GrpcWebClientLayer::new()).layer(tracking.layer()).service(http)
    });
}

#[tokio::test]
async fn the_layer_around_the_translation_reads_trailers() {
    check!(|tracking: &Tracking, http| {
        ServiceBuilder::new().layer(tracking.layer()).layer(GrpcWebClientLayer::new()).service(http)
    });
}

#[tokio::test]
async fn a_workflow_ends_with_the_last_frame() {
    for (text, error) in [("one two", None), ("one two fail", Some("grpc_unavailable: no room"))] {
        let tracking = Tracking::start();
        let layer =
            WorkflowLayer::new(&tracking.tracker).session_from(|_| Some(SESSION.to_owned()));
        let service = ServiceBuilder::new().layer(layer).layer(GrpcWebLayer::new()).service(Agent);
        let server = HyperServer::start(service).await;
        let http = Client::builder(TokioExecutor::new()).build_http();
        let service = GrpcWebClientLayer::new().layer(http);
        let mut client = AgentClient::with_origin(service, server.url().parse().unwrap());
        let mut messages = client.watch(request(text)).await.unwrap();
        while let Ok(Some(_)) = messages.message().await {}
        let status = tracking.store.wait_until_finished(SESSION).await;
        match error {
            None => assert_completed(&status),
            Some(error) => assert_failed(&status, error),
        }
    }
}
