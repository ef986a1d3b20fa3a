//! Workflows: how they end, what they reject, and the explicit methods.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::time::Duration;

use tower_agent_status::status::{
    AgentReport, AgentState, OverallStatus, TokenUsage, Value, WorkflowStatus, schema,
};
use tower_agent_status::store::{MemoryStore, StatusStore, StoreError, WriteOutcome};
use tower_agent_status::{
    Agent, InvalidName, InvalidSessionId, SessionId, StartError, StatusLayer, StatusTracker,
    WorkflowBuilder, WorkflowError,
};

async fn tracker() -> (StatusTracker, MemoryStore) {
    let store = MemoryStore::new();
    let tracker = StatusTracker::builder(store.clone()).agent(Agent::new("a")).start().unwrap();
    (tracker, store)
}

async fn saved(tracker: &StatusTracker, store: &MemoryStore) -> WorkflowStatus {
    tracker.flush().await.unwrap();
    store.status("s").unwrap()
}

fn error(status: &WorkflowStatus) -> &str {
    status.error.as_ref().unwrap().as_str()
}

#[tokio::test(start_paused = true)]
async fn ok_completes_and_err_fails_with_its_text() {
    let (tracker, store) = tracker().await;
    tracker.workflow("s").run(async { Ok::<_, String>(()) }).await.unwrap();
    assert_eq!(saved(&tracker, &store).await.overall_status, OverallStatus::Completed);

    let (tracker, store) = self::tracker().await;
    let result = tracker.workflow("s").run(async { Err::<(), _>("no such document") }).await;
    assert_eq!(result, Err("no such document"));
    let status = saved(&tracker, &store).await;
    assert_eq!(
        (status.overall_status, error(&status)),
        (OverallStatus::Failed, "no such document")
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_dropped_or_panics_has_failed() {
    let (tracker, store) = tracker().await;
    let run = tracker.workflow("s").run(std::future::pending::<Result<(), String>>());
    tokio::time::timeout(Duration::from_secs(1), run).await.unwrap_err();
    let status = saved(&tracker, &store).await;
    assert_eq!(error(&status), "the workflow was dropped before its end");

    let (tracker, store) = self::tracker().await;
    let broken = || -> Result<(), String> { panic!("broken") };
    let run = tracker.workflow("s").run(async move { broken() });
    assert!(tokio::spawn(run).await.unwrap_err().is_panic());
    let status = saved(&tracker, &store).await;
    assert_eq!(
        (status.overall_status, error(&status)),
        (OverallStatus::Failed, "the workflow panicked")
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_dropped_has_failed_whoever_holds_the_workflow() {
    let (tracker, store) = tracker().await;
    let workflow = tracker.workflow("s").start().unwrap();
    let run = workflow.clone().run(std::future::pending::<Result<(), String>>());
    tokio::time::timeout(Duration::from_secs(1), run).await.unwrap_err();
    let status = saved(&tracker, &store).await;
    assert_eq!(error(&status), "the workflow was dropped before its end");
    drop(workflow);
}

#[tokio::test(start_paused = true)]
async fn a_detached_workflow_has_no_heartbeats_once_all_handles_are_gone() {
    let (tracker, store) = tracker().await;
    let workflow = tracker.workflow("s").start().unwrap();
    let clone = workflow.clone();
    workflow.detach();
    tracker.flush().await.unwrap();
    let writes = store.history().len();
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(store.history().len() >= writes + 9, "a handle is left");
    drop(clone);
    let writes = store.history().len();
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(store.history().len(), writes);
    assert_eq!(store.status("s").unwrap().overall_status, OverallStatus::Initializing);
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_to_go_fails_an_unfinished_workflow_unless_detached() {
    let (tracker, store) = tracker().await;
    let workflow = tracker.workflow("s").start().unwrap();
    let clone = workflow.clone();
    drop(workflow);
    assert_eq!(saved(&tracker, &store).await.overall_status, OverallStatus::Initializing);
    clone.clone().detach();
    drop(clone);
    assert_eq!(saved(&tracker, &store).await.overall_status, OverallStatus::Initializing);

    drop(tracker.workflow("s").start().unwrap());
    assert_eq!(saved(&tracker, &store).await.overall_status, OverallStatus::Failed);
}

#[tokio::test(start_paused = true)]
async fn the_first_end_counts_and_a_new_run_begins_anew() {
    let (tracker, store) = tracker().await;
    let workflow = tracker.workflow("s").attribute("documentId", "d").start().unwrap();
    workflow.fail("broken");
    workflow.complete();
    drop(workflow);
    assert_eq!(saved(&tracker, &store).await.overall_status, OverallStatus::Failed);

    tracker.workflow("s").run(async { Ok::<_, String>(()) }).await.unwrap();
    let resumed = saved(&tracker, &store).await;
    assert_eq!(resumed.overall_status, OverallStatus::Failed, "finished stays finished");
    assert!(resumed.attributes.contains_key("documentId"));

    tracker.workflow("s").new_run().run(async { Ok::<_, String>(()) }).await.unwrap();
    let again = saved(&tracker, &store).await;
    assert_eq!(again.overall_status, OverallStatus::Completed);
    assert_eq!((again.error, again.attributes.len()), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn plain_methods_do_what_the_layer_does() {
    let (tracker, store) = tracker().await;
    tracker.initialize_status("s", Some("corr"), &[("documentId", "d".into())]).unwrap();
    let status = saved(&tracker, &store).await;
    assert_eq!(status.overall_status, OverallStatus::Initializing);
    assert_eq!(status.agent("a").unwrap().state, AgentState::Pending);
    assert_eq!(status.correlation_id.as_deref(), Some("corr"));

    let report = |state| AgentReport::new(state);
    tracker.update_agent_status("s", "a", report(AgentState::InProgress)).unwrap();
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(saved(&tracker, &store).await.overall_status, OverallStatus::Processing);
    let done = report(AgentState::Success).activity("Done").token_usage(TokenUsage::new(5, 2));
    tracker.update_agent_status("s", "a", done).unwrap();
    let failed = report(AgentState::Error).error("https://u:p@h/x?key=1 refused");
    tracker.update_agent_status("s", "b", failed).unwrap();
    tracker.finalize_status("s", Err(&"b failed")).unwrap();

    let status = saved(&tracker, &store).await;
    let (a, b) = (status.agent("a").unwrap(), status.agent("b").unwrap());
    assert_eq!((a.state, &*a.activity, a.calls), (AgentState::Success, "Done", 1));
    assert_eq!(a.token_usage(), Some(TokenUsage::new(5, 2)));
    assert_eq!(b.error.as_ref().unwrap().message.as_str(), "https://h/x refused");
    assert_eq!(status.total_token_usage(), TokenUsage::new(5, 2));
    assert_eq!(error(&status), "b failed");
    assert!(tracker.status("s").is_none(), "finished and saved, it leaves memory");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_used_is_refused_by_name() {
    let (tracker, store) = tracker().await;
    let start = |id: &str| tracker.workflow(id).start().map(drop);
    assert_eq!(start(""), Err(WorkflowError::SessionId(InvalidSessionId::Empty)));
    assert!(matches!(
        start(&"x".repeat(2049)),
        Err(WorkflowError::SessionId(InvalidSessionId::TooLong { bytes: 2049, .. }))
    ));
    let attribute =
        |name: &str, value: &str| tracker.workflow("s").attribute(name, value).start().map(drop);
    assert_eq!(
        attribute("overallStatus", ""),
        Err(InvalidName::Reserved("overallStatus".into()).into())
    );
    assert_eq!(
        attribute("a", ""),
        Err(InvalidName::Duplicate("a".into()).into()),
        "an agent's name"
    );
    let long = attribute("documentId", &"x".repeat(5_000)).unwrap_err();
    assert_eq!(long.to_string(), "the text of `documentId` has 5000 bytes; the limit is 4096");
    assert!(
        tracker
            .update_agent_status("s", "revision", AgentReport::new(AgentState::Success))
            .is_err()
    );
    assert!(tracker.finalize_status("", Ok(())).is_err());
    // The future runs nevertheless.
    assert_eq!(tracker.workflow("").run(async { Ok::<_, String>(7) }).await, Ok(7));
    tracker.flush().await.unwrap();
    assert!(store.history().is_empty());
}

#[tokio::test(start_paused = true)]
async fn attributes_that_would_not_fit_into_an_item_are_refused() {
    const MAX: usize = WorkflowBuilder::MAX_ATTRIBUTES;
    let (tracker, store) = tracker().await;
    let many = |from: usize, to: usize| {
        (from..to)
            .fold(tracker.workflow("s"), |workflow, n| workflow.attribute(format!("n{n}"), "x"))
    };
    let error = many(0, MAX + 1).start().unwrap_err();
    assert_eq!(error, WorkflowError::TooManyAttributes { attributes: MAX + 1 });
    assert!(error.to_string().contains("65 attributes; an item holds at most 64"), "{error}");

    // The attributes of every builder of the session count, each name once.
    many(0, MAX).start().unwrap().detach();
    many(0, MAX).start().unwrap().detach();
    assert!(many(MAX, MAX + 1).start().is_err());
    // So do attributes that are set later.
    let late = many(0, MAX).start().unwrap();
    late.set_attribute("n0", "y").unwrap();
    let more = late.set_attribute(format!("n{MAX}"), "x");
    assert_eq!(more, Err(WorkflowError::TooManyAttributes { attributes: MAX + 1 }));
    late.set_correlation_id("corr").unwrap();
    late.detach();
    assert_eq!(saved(&tracker, &store).await.attributes.len(), MAX);
    many(MAX, MAX + 1).new_run().start().unwrap().detach();
    assert_eq!(saved(&tracker, &store).await.attributes.len(), 1);

    let map = |entries: Vec<(String, Value)>| Value::Map(entries.into_iter().collect());
    let start = |value: Value| tracker.workflow("map").attribute("pages", value).start().map(drop);
    let numbers = |n: usize| map((0..n).map(|n| (format!("{n:04}"), Value::Integer(1))).collect());
    assert_eq!(start(numbers(1024)), Ok(()));
    assert!(matches!(start(numbers(1025)), Err(WorkflowError::TextTooLong { bytes: 4100, .. })));
    let nested = |levels| {
        (0..levels).fold(Value::Integer(1), |inner, _| map(vec![("in".to_owned(), inner)]))
    };
    assert_eq!(start(nested(WorkflowBuilder::MAX_DEPTH)), Ok(()));
    let deep = start(nested(WorkflowBuilder::MAX_DEPTH + 1)).unwrap_err();
    assert!(deep.to_string().contains("`pages` are nested too deeply; the limit is 16"), "{deep}");
}

#[tokio::test(start_paused = true)]
async fn all_attributes_together_have_96_kibibytes_with_their_names() {
    let (tracker, _) = tracker().await;
    let texts = |count: usize| {
        (10..10 + count).fold(tracker.workflow("s"), |workflow, n| {
            workflow.attribute(format!("n{n}"), "x".repeat(4096 - 3))
        })
    };
    assert_eq!(
        texts(25).start().unwrap_err(),
        WorkflowError::AttributesTooLarge { bytes: 25 * 4096 }
    );
    let workflow = texts(24).start().unwrap();
    let more = workflow.set_attribute("n", "");
    assert_eq!(more, Err(WorkflowError::AttributesTooLarge { bytes: 24 * 4096 + 1 }));
    // What is replaced does not count.
    workflow.set_attribute("n10", "").unwrap();
    workflow.set_attribute("n", "x".repeat(4092)).unwrap();
    assert!(workflow.set_attribute("m", "").is_err());
}

/// The numbers that the processes of an item have given their last writes.
fn numbers(store: &MemoryStore) -> Vec<u64> {
    let item = store.item("s").unwrap();
    let Some(Value::Map(writers)) = item.get("writers") else { panic!("{item:?}") };
    writers.iter().filter_map(|(_, number)| number.as_u64()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_number_of_a_write_is_even_while_a_workflow_is_open() {
    let (tracker, store) = tracker().await;
    let workflow = tracker.workflow("s").start().unwrap();
    let clone = workflow.clone();
    for (is_even, step) in [(true, 0), (true, 1), (false, 2)] {
        match step {
            0 => workflow.set_attribute("documentId", "d").unwrap(),
            1 => {
                workflow.clone().detach();
                drop(workflow.clone());
                clone.set_correlation_id("corr").unwrap();
            }
            _ => clone.complete(),
        }
        tracker.flush().await.unwrap();
        let numbers = numbers(&store);
        assert!(numbers.iter().all(|number| (number % 2 == 0) == is_even), "{step}: {numbers:?}");
    }
    drop((workflow, clone));
    // Detached, and held by nobody.
    let workflow = tracker.workflow("s").new_run().start().unwrap();
    tracker.flush().await.unwrap();
    assert!(numbers(&store).iter().all(|number| number % 2 == 0));
    workflow.detach();
    let report = AgentReport::new(AgentState::Success);
    tracker.update_agent_status("s", "a", report).unwrap();
    tracker.flush().await.unwrap();
    assert!(numbers(&store).iter().all(|number| number % 2 == 1));
}

#[tokio::test(start_paused = true)]
async fn a_new_run_has_the_agents_that_are_declared_and_no_others() {
    let (tracker, store) = tracker().await;
    let workflow = tracker.workflow("s").start().unwrap();
    for agent in ["a", "b"] {
        tracker.update_agent_status("s", agent, AgentReport::new(AgentState::Success)).unwrap();
    }
    assert_eq!(saved(&tracker, &store).await.agents().count(), 2);
    let again = tracker.workflow("s").new_run().start().unwrap();
    let status = saved(&tracker, &store).await;
    let agents: Vec<_> = status.agents().map(|(name, agent)| (name, agent.state)).collect();
    assert_eq!(agents, [("a", AgentState::Pending)]);
    drop((workflow, again));
}

/// A store whose table has a key attribute of another name.
struct OtherKey;

impl StatusStore for OtherKey {
    async fn write(
        &self,
        _: &tower_agent_status::status::Change,
        _: tower_agent_status::status::Precondition,
    ) -> Result<WriteOutcome, StoreError> {
        Ok(WriteOutcome::Applied)
    }

    fn is_reserved(&self, attribute: &str) -> bool {
        attribute == "processing_id"
    }
}

#[tokio::test]
async fn agents_that_cannot_be_are_refused_at_the_start() {
    let start =
        |agent: &str| StatusTracker::builder(MemoryStore::new()).agent(Agent::new(agent)).start();
    for (name, expected) in [
        ("", InvalidName::Empty),
        (schema::SESSION_ID, InvalidName::Reserved("sessionId".into())),
        ("totalTokenUsage", InvalidName::Reserved("totalTokenUsage".into())),
    ] {
        let error = start(name).unwrap_err();
        assert_eq!(error, StartError::Agent(expected));
    }
    let twice =
        StatusTracker::builder(MemoryStore::new()).agent(Agent::new("a")).agent(Agent::new("a"));
    assert_eq!(twice.start().unwrap_err(), StartError::Agent(InvalidName::Duplicate("a".into())));

    let tracker = StatusTracker::builder(OtherKey).start().unwrap();
    let error = StatusLayer::try_new(&tracker, "processing_id").unwrap_err();
    assert_eq!(error, InvalidName::ReservedByStore("processing_id".into()));
    assert!(error.to_string().contains("choose another"), "{error}");
}

#[test]
fn without_a_runtime_the_start_says_what_to_do() {
    let error = StatusTracker::builder(MemoryStore::new()).start().unwrap_err();
    assert_eq!(error, StartError::NoRuntime);
    assert!(error.to_string().contains("tokio runtime"));
}

#[tokio::test]
#[should_panic(expected = "the name `error` is reserved")]
async fn a_layer_of_an_impossible_agent_panics_with_the_reason() {
    let (tracker, _) = tracker().await;
    let _ = StatusLayer::new(&tracker, "error");
}

#[tokio::test]
async fn a_scope_names_its_session() {
    let (tracker, _) = tracker().await;
    let workflow = tracker.workflow("s").start().unwrap();
    assert_eq!(SessionId::current(), None);
    let inside = workflow.scope(async { SessionId::current() }).await;
    assert_eq!(inside.as_ref(), Some(workflow.session_id()));
    workflow.complete();
}

#[tokio::test]
async fn a_run_that_cannot_be_tracked_is_in_no_session_though_another_surrounds_it() {
    let (tracker, _) = tracker().await;
    let outer = tracker.workflow("outer").start().unwrap();
    let untracked = tracker.workflow("").run(async { Ok::<_, String>(SessionId::current()) });
    assert_eq!(outer.scope(untracked).await, Ok(None));
    let inner = tracker.workflow("inner").run(async { Ok::<_, String>(SessionId::current()) });
    let after = async { (inner.await.unwrap().unwrap().to_string(), SessionId::current()) };
    let (inner, after) = outer.scope(after).await;
    assert_eq!((inner.as_str(), after.as_ref()), ("inner", Some(outer.session_id())));
}

#[tokio::test(start_paused = true)]
async fn a_session_id_is_as_good_as_its_text() {
    let (tracker, store) = tracker().await;
    let id: SessionId = "s".parse().unwrap();
    assert_eq!(SessionId::try_from("s"), Ok(id.clone()));
    assert_eq!(SessionId::try_from("s".to_owned()), Ok(id.clone()));
    assert_eq!("".parse::<SessionId>(), Err(InvalidSessionId::Empty));
    let workflow = tracker.workflow(&id).start().unwrap();
    assert_eq!(*workflow.session_id(), id);
    tracker.initialize_status(id.clone(), None, &[]).unwrap();
    tracker.finalize_status(&id, Ok(())).unwrap();
    assert_eq!(saved(&tracker, &store).await.overall_status, OverallStatus::Completed);
    assert_ne!(SessionId::random(), SessionId::random());
}

#[tokio::test(start_paused = true)]
async fn what_is_learnt_later_belongs_to_the_run_that_learnt_it() {
    let (tracker, store) = tracker().await;
    let first = tracker.workflow("s").start().unwrap();
    first.set_attribute("documentId", "d").unwrap();
    first.set_correlation_id("corr").unwrap();
    let status = saved(&tracker, &store).await;
    assert_eq!(status.correlation_id.as_deref(), Some("corr"));
    assert_eq!(status.attributes["documentId"].as_str(), Some("d"));

    let second = tracker.workflow("s").new_run().start().unwrap();
    first.set_attribute("documentId", "late").unwrap();
    first.set_correlation_id("late").unwrap();
    second.complete();
    let status = saved(&tracker, &store).await;
    assert_eq!((status.correlation_id, status.attributes.len()), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn a_document_serializes_as_its_item_reads() {
    let (tracker, store) = tracker().await;
    tracker.initialize_status("s", Some("corr"), &[("documentId", "d".into())]).unwrap();
    let done = AgentReport::new(AgentState::Success).token_usage(TokenUsage::new(5, 2));
    tracker.update_agent_status("s", "a", done).unwrap();
    let status = saved(&tracker, &store).await;
    let written = serde_json::to_value(&status).unwrap();
    assert_eq!(written, serde_json::to_value(store.item("s").unwrap()).unwrap());
    assert_eq!(written["sessionId"], "s");
    let agent = serde_json::to_value(status.agent("a").unwrap()).unwrap();
    assert_eq!(agent, written["a"]);
    assert!(agent.get("error").is_none() && agent.get("cacheReadInputTokens").is_none());
    let expected = serde_json::json!({ "inputTokens": 5, "outputTokens": 2, "totalTokens": 7 });
    assert_eq!(serde_json::to_value(status.total_token_usage()).unwrap(), expected);
    assert_eq!(serde_json::to_value(OverallStatus::Processing).unwrap(), "processing");
    assert_eq!(serde_json::to_value(AgentState::InProgress).unwrap(), "in-progress");
}

#[tokio::test(start_paused = true)]
async fn there_is_an_end_to_the_agents_that_were_not_declared() {
    let (tracker, store) = tracker().await;
    let report =
        |name: &str| tracker.update_agent_status("s", name, AgentReport::new(AgentState::Success));
    // These are in addition to the declared one.
    for n in 1..StatusTracker::MAX_AGENTS {
        report(&format!("n{n}")).unwrap();
    }
    let error = report("more").unwrap_err();
    assert_eq!(error, WorkflowError::TooManyAgents { name: "more".to_owned() });
    assert!(error.to_string().contains("`more` was not declared"), "{error}");
    report("a").unwrap();
    report("n1").unwrap();
    // An agent that is declared later has room as well.
    let _layer = StatusLayer::new(&tracker, "late");
    report("late").unwrap();
    let status = saved(&tracker, &store).await;
    assert_eq!(status.agents().count(), StatusTracker::MAX_AGENTS + 1);
    assert_eq!(status.agent("n1").unwrap().calls, 2);
    assert!(status.agent("more").is_none());
}
