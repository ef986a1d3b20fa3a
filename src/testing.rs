//! Assertions on the status of a workflow, for tests of an orchestrator.
//!
//! A test adds the [layer](crate::StatusLayer) to the clients of its mocked agents, with a
//! [`MemoryStore`](crate::store::MemoryStore), runs the orchestrator, and
//! [waits](crate::store::MemoryStore::wait_until_finished) for the document. An assertion that
//! fails prints the whole document.
//!
//! ```
//! use tower_agent_status::status::AgentState::{Error, Success};
//! use tower_agent_status::{StatusTracker, store::MemoryStore, testing};
//!
//! # #[derive(Clone)] struct MockedAgent;
//! # impl tower::Service<http::Request<String>> for MockedAgent {
//! #     type Response = http::Response<String>;
//! #     type Error = std::convert::Infallible;
//! #     type Future = std::future::Ready<Result<Self::Response, Self::Error>>;
//! #     fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> { Ok(()).into() }
//! #     fn call(&mut self, _: http::Request<String>) -> Self::Future { std::future::ready(Ok(http::Response::new(String::new()))) }
//! # }
//! # async fn process(tracker: &StatusTracker) -> Result<(), std::convert::Infallible> {
//! #     use http_body_util::BodyExt as _;
//! #     use tower::{Layer as _, ServiceExt as _};
//! #     let client = tower_agent_status::StatusLayer::new(tracker, "pdfAdapter").layer(MockedAgent);
//! #     client.oneshot(http::Request::new(String::new())).await?.into_body().collect().await?;
//! #     Ok(())
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = MemoryStore::new();
//! let tracker = StatusTracker::builder(store.clone()).start()?;
//! tracker.workflow("session-1").run(process(&tracker)).await?;
//!
//! let status = store.wait_until_finished("session-1").await;
//! testing::assert_completed(&status);
//! testing::assert_agents(&status, [("pdfAdapter", Success)]);
//! # Ok(())
//! # }
//! ```
//!
//! The example `testing` in the repository tests a whole orchestrator against mocked agents.

use crate::status::{AgentState, OverallStatus, TokenUsage, WorkflowStatus};

/// Asserts that the workflow completed.
///
/// # Panics
///
/// Panics if it is in any other state.
#[track_caller]
pub fn assert_completed(status: &WorkflowStatus) {
    let completed = status.overall_status == OverallStatus::Completed;
    assert!(completed, "the workflow has not completed:\n{status}");
}

/// Asserts that the workflow failed, with an error that contains this text.
///
/// # Panics
///
/// Panics if it is in any other state, or if its error does not contain the text.
#[track_caller]
pub fn assert_failed(status: &WorkflowStatus, text: &str) {
    let failed = status.overall_status == OverallStatus::Failed;
    assert!(failed, "the workflow has not failed:\n{status}");
    let contains = status.error.as_ref().is_some_and(|error| error.as_str().contains(text));
    assert!(contains, "the workflow's error does not contain {text:?}:\n{status}");
}

/// Asserts that these agents are in these states, and that no other agent was called.
///
/// # Panics
///
/// Panics if an agent is in another state, or if an agent that is not listed was called.
#[track_caller]
pub fn assert_agents<'a>(
    status: &WorkflowStatus,
    expected: impl IntoIterator<Item = (&'a str, AgentState)>,
) {
    let mut wrong = Vec::new();
    let mut listed = Vec::new();
    for (name, state) in expected {
        listed.push(name);
        match status.agent(name) {
            None => wrong.push(format!("there is no agent `{name}`, expected {state}")),
            Some(agent) if agent.state != state => {
                wrong.push(format!("`{name}` is {}, expected {state}", agent.state));
            }
            Some(_) => {}
        }
    }
    for (name, agent) in status.agents() {
        if agent.state != AgentState::Pending && !listed.contains(&name) {
            wrong.push(format!("`{name}` is {}, expected no call", agent.state));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{status}", wrong.join("; "));
}

/// Asserts how many tokens all agents together used.
///
/// # Panics
///
/// Panics if they used more or fewer, or if the usage is unknown.
#[track_caller]
pub fn assert_tokens(status: &WorkflowStatus, input: u64, output: u64) {
    let TokenUsage { input_tokens, output_tokens, .. } = status.total_token_usage();
    let used = (input_tokens, output_tokens);
    let expected = (Some(input), Some(output));
    let shown = |tokens: Option<u64>| tokens.map_or("unknown".to_owned(), |n| n.to_string());
    assert!(
        used == expected,
        "expected {input} input and {output} output tokens, found {} and {}:\n{status}",
        shown(input_tokens),
        shown(output_tokens),
    );
}
