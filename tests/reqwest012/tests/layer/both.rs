//! Clients of both versions in one program, with one tracker.

use tower::ServiceExt as _;
use tower_agent_status::status::{AgentState, AgentStatus, TokenUsage};
use tower_agent_status::store::MemoryStore;
use tower_agent_status::{Layer as _, StatusLayer, StatusTracker, reqwest012};

use crate::support::agent::{MockAgent, whole};
use crate::support::{SESSION, builder, id};

const ANSWER: &str = r#"{"success": true, "usage": {"input_tokens": 5, "output_tokens": 2}}"#;

async fn agent() -> String {
    let agent = MockAgent::start(|_| async {
        let answer = http::Response::builder().header("content-type", "application/json");
        answer.body(whole(ANSWER)).unwrap()
    });
    agent.await.url("/invocations")
}

fn recorded(tracker: &StatusTracker, agent: &str) -> AgentStatus {
    tracker.status(SESSION).unwrap().agent(agent).unwrap().clone()
}

#[tokio::test]
async fn one_layer_wraps_clients_of_both() {
    let (tracker, url) = (builder(MemoryStore::new()).start().unwrap(), agent().await);
    let layer = StatusLayer::new(&tracker, "either");
    let older = layer.layer(::reqwest::Client::new());
    let newer = layer.layer(reqwest013::Client::new());
    id(SESSION)
        .scope(async {
            let request = ::reqwest::Request::new(http::Method::GET, url.parse().unwrap());
            let answer: ::reqwest::Response = older.oneshot(request).await.unwrap();
            assert_eq!(answer.text().await.unwrap(), ANSWER);
            let request = reqwest013::Request::new(http::Method::GET, url.parse().unwrap());
            let answer: reqwest013::Response = newer.oneshot(request).await.unwrap();
            assert_eq!(answer.text().await.unwrap(), ANSWER);
        })
        .await;
    let either = recorded(&tracker, "either");
    assert_eq!((either.state, either.calls), (AgentState::Success, 2));
    assert_eq!(either.token_usage(), Some(TokenUsage::new(10, 4)));
}

#[tokio::test]
async fn each_middleware_is_for_its_own_version() {
    let (tracker, url) = (builder(MemoryStore::new()).start().unwrap(), agent().await);
    let older = reqwest_middleware::ClientBuilder::new(::reqwest::Client::new())
        .with(reqwest012::StatusMiddleware::new(&tracker, "older"))
        .build();
    let newer = reqwest_middleware05::ClientBuilder::new(reqwest013::Client::new())
        .with(tower_agent_status::StatusMiddleware::new(&tracker, "newer"))
        .build();
    older.get(&url).with_extension(id(SESSION)).send().await.unwrap().bytes().await.unwrap();
    newer.get(&url).with_extension(id(SESSION)).send().await.unwrap().bytes().await.unwrap();
    for agent in ["older", "newer"] {
        let agent = recorded(&tracker, agent);
        assert_eq!((agent.state, agent.calls), (AgentState::Success, 1));
        assert_eq!(agent.token_usage(), Some(TokenUsage::new(5, 2)));
    }
}
