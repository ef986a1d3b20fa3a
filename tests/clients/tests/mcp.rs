//! Tool calls of an MCP client, which are calls of the agent. The handshake is none.

use clients::{AGENT, SESSION, Tracking, mcp_server, recipes};
use rmcp::ServiceExt as _;
use rmcp::model::{CallToolRequestParams, CallToolResult};
use rmcp::service::{RoleClient, RunningService, ServiceError};
use tower_agent_status::status::AgentState;

type Client = RunningService<RoleClient, ()>;

async fn connect(tracking: &Tracking) -> Client {
    let url = mcp_server::start().await;
    let transport = recipes::rmcp::transport(&tracking.tracker, &url, SESSION.to_owned());
    ().serve(transport).await.unwrap()
}

async fn call(client: &Client, tool: &'static str) -> Result<CallToolResult, ServiceError> {
    client.call_tool(CallToolRequestParams::new(tool)).await
}

#[tokio::test]
async fn connecting_is_no_call() {
    let tracking = Tracking::start();
    let client = connect(&tracking).await;
    client.cancel().await.unwrap();
    tracking.tracker.flush().await.unwrap();
    assert!(tracking.store.history().is_empty());
}

#[tokio::test]
async fn a_tool_that_answers_as_json_or_in_a_stream() {
    for tool in ["answer", "stream"] {
        let tracking = Tracking::start();
        let client = connect(&tracking).await;
        let result = call(&client, tool).await.unwrap();
        assert!(format!("{result:?}").contains(clients::ANSWER), "{result:?}");
        let agent = tracking.ended(1).await;
        assert_eq!((agent.state, agent.calls), (AgentState::Success, 1), "{tool}");
    }
}

#[tokio::test]
async fn a_tool_that_fails() {
    for (tool, error_type) in [("fail", "agent"), ("overloaded", "http_503")] {
        let tracking = Tracking::start();
        let client = connect(&tracking).await;
        call(&client, tool).await.unwrap_err();
        tracking.assert_error(1, error_type).await;
    }
}

#[tokio::test]
async fn a_client_that_ends_cancels_its_calls() {
    let tracking = Tracking::start();
    let client = connect(&tracking).await;
    let peer = client.peer().clone();
    let calling =
        tokio::spawn(async move { peer.call_tool(CallToolRequestParams::new("hang")).await });
    tracking.started().await;
    client.cancel().await.unwrap();
    calling.await.unwrap().unwrap_err();
    tracking.assert_error(1, "cancelled").await;
    assert_eq!(tracking.store.status(SESSION).unwrap().agent(AGENT).unwrap().calls, 1);
}
