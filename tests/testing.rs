//! The assertions for tests of an orchestrator: what they accept, and their messages.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use tower_agent_status::status::AgentState::{Error, InProgress, Pending, Success};
use tower_agent_status::status::{AgentReport, AgentState, TokenUsage, WorkflowStatus};
use tower_agent_status::store::MemoryStore;
use tower_agent_status::testing::{assert_agents, assert_completed, assert_failed, assert_tokens};
use tower_agent_status::{Agent, StatusTracker};

async fn tracker(store: &MemoryStore) -> StatusTracker {
    let builder = StatusTracker::builder(store.clone()).batch_delay(Duration::ZERO);
    builder.agent(Agent::new("a")).agent(Agent::new("b")).start().unwrap()
}

async fn report(tracker: &StatusTracker, agent: &str, report: AgentReport) {
    tracker.update_agent_status("s", agent, report).unwrap();
    tracker.flush().await.unwrap();
}

/// A failed workflow, with one agent that succeeded and one that failed.
async fn failed() -> (MemoryStore, WorkflowStatus) {
    let store = MemoryStore::new();
    let tracker = tracker(&store).await;
    let workflow = tracker.workflow("s").start().unwrap();
    tracker.flush().await.unwrap();
    report(&tracker, "a", AgentReport::new(InProgress)).await;
    report(&tracker, "a", AgentReport::new(Success).token_usage(TokenUsage::new(5, 2))).await;
    report(&tracker, "b", AgentReport::new(Error).error("no trade")).await;
    workflow.fail("b found no trade");
    let status = store.wait_until_finished("s").await;
    (store, status)
}

fn panic_message(assertion: impl FnOnce()) -> String {
    let panic = std::panic::catch_unwind(AssertUnwindSafe(assertion)).unwrap_err();
    *panic.downcast::<String>().unwrap()
}

const SHOWN: &str = "s: failed (b found no trade), 7 tokens\n  \
                     a: success, 1 call, 7 tokens\n  \
                     b: error (agent: no trade), 1 call";

#[tokio::test]
async fn they_accept_what_is_so() {
    let (store, status) = failed().await;
    assert_failed(&status, "no trade");
    assert_agents(&status, [("a", Success), ("b", Error)]);
    assert_tokens(&status, 5, 2);
    assert_eq!(store.states("s", "a"), [Pending, InProgress, Success]);
    assert_eq!(store.states("s", "b"), [Pending, Error]);
    assert_eq!(store.states("s", "c"), [] as [AgentState; 0]);
    assert_eq!(store.states("else", "a"), [] as [AgentState; 0]);

    let store = MemoryStore::new();
    let tracker = tracker(&store).await;
    tracker.workflow("s").start().unwrap().complete();
    let status = store.wait_until_finished("s").await;
    assert_completed(&status);
    assert_agents(&status, []);
    assert_agents(&status, [("a", Pending)]);
    assert_tokens(&status, 0, 0);
}

#[tokio::test]
async fn they_say_what_is_not_so_and_show_all_of_it() {
    let (_, status) = failed().await;
    assert_eq!(status.to_string(), SHOWN);
    let not_completed = panic_message(|| assert_completed(&status));
    assert_eq!(not_completed, format!("the workflow has not completed:\n{SHOWN}"));
    let other_error = panic_message(|| assert_failed(&status, "broken"));
    assert_eq!(other_error, format!("the workflow's error does not contain \"broken\":\n{SHOWN}"));
    let agents = panic_message(|| assert_agents(&status, [("a", Pending), ("c", Success)]));
    let wrong = "`a` is success, expected pending; there is no agent `c`, expected success; \
                 `b` is error, expected no call";
    assert_eq!(agents, format!("{wrong}:\n{SHOWN}"));
    let tokens = panic_message(|| assert_tokens(&status, 5, 3));
    let wrong = "expected 5 input and 3 output tokens, found 5 and 2";
    assert_eq!(tokens, format!("{wrong}:\n{SHOWN}"));
    let mut status = status;
    status.overall_status = tower_agent_status::status::OverallStatus::Completed;
    assert!(
        panic_message(|| assert_failed(&status, "")).starts_with("the workflow has not failed:")
    );
}

#[tokio::test(start_paused = true)]
async fn a_workflow_that_does_not_finish_is_shown_after_ten_seconds() {
    let store = MemoryStore::new();
    let tracker = tracker(&store).await;
    let _workflow = tracker.workflow("s").start().unwrap();
    let waited = tokio::spawn({
        let store = store.clone();
        async move { store.wait_until_finished("s").await }
    });
    let panic = waited.await.unwrap_err().into_panic();
    let text = panic.downcast::<String>().unwrap();
    assert_eq!(
        *text,
        "not as expected after 10s: s: initializing, 0 tokens\n  a: pending\n  b: pending"
    );
    let waited = tokio::spawn(async move { store.wait_until_finished("other").await });
    let text = waited.await.unwrap_err().into_panic().downcast::<String>().unwrap();
    assert_eq!(
        *text,
        "not as expected after 10s: nothing is stored for `other`; stored sessions: [\"s\"]"
    );
}

#[tokio::test(start_paused = true)]
async fn many_may_wait_before_anything_is_there() {
    let store = MemoryStore::new();
    let waiting: Vec<_> = (0..20)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.wait_until_finished(&format!("s{}", n % 2)).await })
        })
        .collect();
    tokio::task::yield_now().await;
    let tracker = tracker(&store).await;
    for session in ["s0", "s1"] {
        tracker.workflow(session).run(async { Ok::<_, String>(()) }).await.unwrap();
    }
    for waited in waiting {
        assert_completed(&waited.await.unwrap());
    }
}
