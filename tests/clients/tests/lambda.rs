//! A Lambda function, without the Lambda service: events go through the adapter that
//! `lambda_http::run` uses.

use clients::recipes::lambda_http::handler;
use clients::{AGENT, Agent, Client as _, HttpClient, Reply, SESSION, Tracking};
use http::Response;
use hyper_util::rt::TokioExecutor;
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, Context, LambdaEvent};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tower_agent_status::testing::{assert_completed, assert_failed};
use tower_agent_status::{Layer as _, StatusLayer};

/// An event of an HTTP API of API Gateway.
fn event() -> LambdaEvent<LambdaRequest> {
    let event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/trades",
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "x-session-id": SESSION},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api1",
            "domainName": "api1.execute-api.eu-west-1.amazonaws.com",
            "domainPrefix": "api1",
            "http": {
                "method": "POST",
                "path": "/trades",
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "agent",
            },
            "requestId": "r1",
            "routeKey": "$default",
            "stage": "$default",
            "time": "26/Nov/2026:10:00:00 +0000",
            "timeEpoch": 1_795_687_200_000_u64,
        },
        "body": "{}",
        "isBase64Encoded": false,
    });
    LambdaEvent::new(serde_json::from_value(event).unwrap(), Context::default())
}

/// Invokes a function that asks an agent, and returns its response.
async fn invoke(tracking: &Tracking, reply: Reply) -> Value {
    let agent = Agent::start([reply]).await;
    let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http();
    let client = StatusLayer::new(&tracking.tracker, AGENT).layer(client);
    let client = HttpClient::new(client, agent.url());
    let handler = handler(tracking.tracker.clone(), |_| async {
        let answer = client.ask().await;
        let status = if answer.is_ok() { 200 } else { 502 };
        let response = Response::builder().status(status).header("content-type", "text/plain");
        Ok(response.body(answer.unwrap_or_else(|error| error.to_string()))?)
    });
    let response = Adapter::from(handler).oneshot(event()).await.unwrap();
    serde_json::to_value(response).unwrap()
}

#[tokio::test]
async fn everything_is_stored_when_the_function_responds() {
    let tracking = Tracking::start();
    let response = invoke(&tracking, Reply::Answer).await;
    // Nothing is waited for: the process could be frozen now.
    assert_completed(&tracking.store.status(SESSION).unwrap());
    assert_eq!(response["statusCode"], 200);
    assert!(response["body"].as_str().unwrap().contains(clients::ANSWER), "{response}");
    tracking.assert_success(1).await;
}

#[tokio::test]
async fn a_function_that_fails_fails_its_workflow() {
    let tracking = Tracking::start();
    let response = invoke(&tracking, Reply::TooManyRequests).await;
    assert_failed(&tracking.store.status(SESSION).unwrap(), "Bad Gateway");
    assert_eq!(response["statusCode"], 502);
    tracking.assert_error(1, "http_429").await;
}
