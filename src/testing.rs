//! Assertions on what became of a workflow, for the tests of an orchestrator.
//!
//! A test puts the [layer](crate::StatusLayer) into the clients that call its mocked agents,
//! with a [`MemoryStore`](crate::store::MemoryStore), runs the orchestrator, and
//! [waits](crate::store::MemoryStore::wait_until_finished) for the document. The assertions show all
//! of it when they fail.
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
//! The example `testing` of the repository does this with mocked agents over sockets.

use crate::status::{AgentState, OverallStatus, TokenUsage, WorkflowStatus};

/// The workflow ended well.
///
/// # Panics
///
/// If not.
#[track_caller]
pub fn assert_completed(status: &WorkflowStatus) {
    let completed = status.overall_status == OverallStatus::Completed;
    assert!(completed, "the workflow has not completed:\n{status}");
}

/// The workflow failed, with this text in its error.
///
/// # Panics
///
/// If not.
#[track_caller]
pub fn assert_failed(status: &WorkflowStatus, text: &str) {
    let failed = status.overall_status == OverallStatus::Failed;
    assert!(failed, "the workflow has not failed:\n{status}");
    let says = status.error.as_ref().is_some_and(|error| error.as_str().contains(text));
    assert!(says, "the workflow's error does not say {text:?}:\n{status}");
}

/// These agents are in these states, and every other one was not called.
///
/// # Panics
///
/// If one is in another state, or was called and is not named here.
#[track_caller]
pub fn assert_agents<'a>(
    status: &WorkflowStatus,
    expected: impl IntoIterator<Item = (&'a str, AgentState)>,
) {
    let mut wrong = Vec::new();
    let mut named = Vec::new();
    for (name, state) in expected {
        named.push(name);
        match status.agent(name) {
            None => wrong.push(format!("there is no agent `{name}`; it should be {state}")),
            Some(agent) if agent.state != state => {
                wrong.push(format!("`{name}` is {}, and should be {state}", agent.state));
            }
            Some(_) => {}
        }
    }
    for (name, agent) in status.agents() {
        if agent.state != AgentState::Pending && !named.contains(&name) {
            wrong.push(format!("`{name}` is {}, and was not expected", agent.state));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{status}", wrong.join("; "));
}

/// All agents together have used so many tokens.
///
/// # Panics
///
/// If they have used more or fewer, or it is not known.
#[track_caller]
pub fn assert_tokens(status: &WorkflowStatus, input: u64, output: u64) {
    let TokenUsage { input_tokens, output_tokens, .. } = status.total_token_usage();
    let used = (input_tokens, output_tokens);
    let expected = (Some(input), Some(output));
    let said = |tokens: Option<u64>| tokens.map_or("unknown".to_owned(), |n| n.to_string());
    assert!(
        used == expected,
        "{} input and {} output tokens were used, and it should be {input} and {output}:\n{status}",
        said(input_tokens),
        said(output_tokens),
    );
}
