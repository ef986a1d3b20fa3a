//! The client that docs/clients.md shows. `calls.rs` has all other ways that its calls can end.

use aws_clients::clients::{AGENT, SESSION, bedrock_config, http_client, tracker};
use aws_clients::recipe::client;
use aws_clients::service::{Answer, Service};
use aws_smithy_types::timeout::TimeoutConfig;
use serde_json::json;
use tower_agent_status::SessionId;
use tower_agent_status::status::{AgentState, TokenUsage};

#[tokio::test]
async fn a_call_that_is_retried_once() {
    let answer = Answer::json(
        200,
        json!({
            "metrics": {"latencyMs": 551},
            "output": {"message": {"role": "assistant", "content": [{"text": "It says: buy."}]}},
            "stopReason": "end_turn",
            "usage": {"inputTokens": 30, "outputTokens": 12, "totalTokens": 42},
        }),
    );
    let service = Service::start(vec![Answer::error(429, "ThrottlingException", ""), answer]).await;
    let (tracker, store) = tracker();
    let config = bedrock_config(&service.url(), &TimeoutConfig::disabled());
    let client = client(&tracker, http_client(), config);
    let session = SessionId::new(SESSION).unwrap();
    session.scope(client.converse().model_id("m").send()).await.unwrap();
    tracker.flush().await.unwrap();
    let status = store.status(SESSION).unwrap();
    let agent = status.agent(AGENT).unwrap();
    assert_eq!((agent.state, agent.calls), (AgentState::Success, 2));
    assert_eq!(agent.token_usage(), Some(TokenUsage::new(30, 12)));
}
