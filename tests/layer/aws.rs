//! The layer around the AWS SDK's default HTTP client. The package `tests/aws`, which is built
//! without that client, tests the layer with the SDK's clients of agents.

use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Builder, Config, Credentials, Region};
use http::{HeaderValue, Response};
use tower_agent_status::status::AgentState;
use tower_agent_status::store::MemoryStore;
use tower_agent_status::{Layer, StatusLayer, aws};

use crate::support::agent::{MockAgent, whole};
use crate::support::{builder, id};

#[tokio::test]
async fn the_default_client_is_the_one_that_the_sdk_takes_by_itself() {
    let seen = Arc::new(Mutex::new(Vec::<HeaderValue>::new()));
    let log = Arc::clone(&seen);
    let service = MockAgent::start(move |request| {
        // The SDK names its connector in this header.
        log.lock().unwrap().push(request.headers()["user-agent"].clone());
        let response = Response::builder().header("content-type", "application/x-amz-json-1.0");
        std::future::ready(response.body(whole(r#"{"TableNames": ["t"]}"#)).unwrap())
    })
    .await;
    let config = |http_client: &dyn Fn(Builder) -> Builder| {
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("x", "x", None, None, "tests"))
            .endpoint_url(service.url(""));
        Client::from_conf(http_client(config).build())
    };
    let store = MemoryStore::new();
    let tracker = builder(store.clone()).start().unwrap();
    let layer = StatusLayer::new(&tracker, "a");
    let tracked = config(&|config| config.http_client(layer.layer(aws::default_http_client())));
    for client in [config(&|config| config), tracked] {
        let tables = id("s").scope(client.list_tables().send()).await.unwrap();
        assert_eq!(tables.table_names(), ["t"]);
    }
    let seen = seen.lock().unwrap().clone();
    assert!(seen[0].to_str().unwrap().contains("md/http#hyper-1.x"), "{seen:?}");
    assert_eq!(seen[0], seen[1]);
    tracker.flush().await.unwrap();
    let status = store.status("s").unwrap();
    let agent = status.agent("a").unwrap();
    assert_eq!((agent.state, agent.calls), (AgentState::Success, 1));
}
