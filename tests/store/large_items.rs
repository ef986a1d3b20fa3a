//! Items at the limits, and beyond them, in a real engine, which refuses more than 400 KB.

use std::time::Duration;

use tower_agent_status::status::{
    AgentReport, AgentState, Precondition, TokenUsage, Value, WorkflowStatus,
};
use tower_agent_status::store::{DynamoDbStore, StatusReader as _, StatusStore as _};
use tower_agent_status::{Agent, StatusTracker, WorkflowBuilder, WorkflowError};

use crate::contract::{change, first, id};
use crate::warnings::Warnings;

fn name(prefix: &str, n: usize) -> String {
    format!("{prefix}{n:0>width$}", width = Agent::MAX_NAME_BYTES - prefix.len())
}

/// A workflow with the longest texts of everything, and this many agents. Returns it as stored,
/// and what was warned of.
async fn largest(agents: usize) -> (WorkflowStatus, Vec<String>) {
    let warnings = Warnings::watch();
    let store = DynamoDbStore::embedded_in_memory().unwrap();
    let long = "é".repeat(2_000);
    let tracker = (0..agents)
        .fold(StatusTracker::builder(store.clone()), |tracker, n| {
            tracker.agent(Agent::new(name("agent", n)).pending(&long))
        })
        .start()
        .unwrap();
    let session = "s".repeat(2_048);
    let each = WorkflowBuilder::MAX_ATTRIBUTE_BYTES / WorkflowBuilder::MAX_ATTRIBUTES;
    let workflow = (0..WorkflowBuilder::MAX_ATTRIBUTES).fold(
        tracker
            .workflow(session.as_str())
            .correlation_id("c".repeat(WorkflowBuilder::MAX_TEXT_BYTES)),
        |workflow, n| {
            let text = "x".repeat(each - Agent::MAX_NAME_BYTES);
            workflow.attribute(name("attribute", n), text)
        },
    );
    let workflow = workflow.start().unwrap();
    let more = workflow.set_attribute(name("attribute", 0), "x".repeat(each)).unwrap_err();
    assert!(matches!(more, WorkflowError::AttributesTooLarge { .. }), "{more}");
    for n in 0..agents {
        let report = AgentReport::new(AgentState::Error)
            .activity(&long)
            .token_usage(TokenUsage::new(u64::from(u32::MAX), u64::from(u32::MAX)))
            .error(&long);
        tracker.update_agent_status(&session, &name("agent", n), report).unwrap();
    }
    workflow.fail(&long);
    tracker.shutdown(Duration::from_secs(60)).await.unwrap();
    let item = store.get(&id(&session)).await.unwrap().unwrap();
    (WorkflowStatus::from_item(&id(&session), &item), warnings.take())
}

fn assert_states(status: &WorkflowStatus, agents: usize) {
    assert_eq!(status.overall_status.as_str(), "failed");
    assert_eq!(status.agents().count(), agents);
    assert!(status.agents().all(|(_, agent)| agent.state == AgentState::Error));
    let tokens = 2 * u64::from(u32::MAX) * agents as u64;
    assert_eq!(status.total_token_usage().total_tokens, Some(tokens));
}

#[tokio::test]
async fn the_longest_of_everything_is_saved_whole() {
    let (status, warnings) = largest(StatusTracker::MAX_AGENTS).await;
    assert_states(&status, StatusTracker::MAX_AGENTS);
    assert_eq!(status.attributes.len(), WorkflowBuilder::MAX_ATTRIBUTES);
    let (_, agent) = status.agents().next().unwrap();
    assert!((Agent::MAX_TEXT_BYTES - 3..=Agent::MAX_TEXT_BYTES).contains(&agent.activity.len()));
    assert!(agent.activity.ends_with('…'));
    assert_eq!(warnings, [""; 0]);
}

#[tokio::test]
async fn more_than_an_item_holds_is_saved_without_some_texts() {
    let agents = 2 * StatusTracker::MAX_AGENTS;
    let (status, warnings) = largest(agents).await;
    assert_states(&status, agents);
    assert!(status.attributes.len() < WorkflowBuilder::MAX_ATTRIBUTES);
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    assert!(warning.contains("too large") && warning.contains("fewer"), "{warning}");
}

#[tokio::test]
async fn what_another_writer_has_put_there_keeps_no_workflow_from_starting() {
    let store = DynamoDbStore::embedded_in_memory().unwrap();
    let mut set = first("s").set;
    set.insert("notes", "x".repeat(300_000));
    (0..70).for_each(|n| set.insert(format!("of others {n}"), "x"));
    store.write(&change("s", 1, set), Precondition::Absent).await.unwrap();
    let tracker = StatusTracker::builder(store.clone()).start().unwrap();
    // The first does not know of it yet.
    for n in 0..2 {
        let workflow = tracker.workflow("s").attribute("documentId", n).start().unwrap();
        workflow.set_attribute("sourceType", "BANK").unwrap();
        workflow.detach();
        tracker.flush().await.unwrap();
        let item = store.get(&id("s")).await.unwrap().unwrap();
        let value = |name| item.get(name).cloned();
        assert_eq!(value("documentId"), Some(Value::Integer(n)));
        assert_eq!(value("sourceType"), Some("BANK".into()));
        assert_eq!(value("notes").unwrap().as_str().unwrap().len(), 300_000);
    }
    // Nor does it allow more than the limit.
    let text = "x".repeat(WorkflowBuilder::MAX_TEXT_BYTES);
    let texts = WorkflowBuilder::MAX_ATTRIBUTE_BYTES / text.len();
    let workflow =
        (0..texts).fold(tracker.workflow("s"), |w, n| w.attribute(name("long", n), &*text));
    let more = workflow.start().unwrap_err();
    assert!(matches!(more, WorkflowError::AttributesTooLarge { .. }), "{more}");
}
