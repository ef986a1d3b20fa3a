//! Sessions in which an agent waits for something, as an item of another process says.

use std::time::{Duration, SystemTime};

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tokio::time::{Instant, sleep};
use tower_agent_status::metrics::AGENTS_WAITING;
use tower_agent_status::status::{
    AgentReport, AgentState, Change, Item, OverallStatus, Precondition, WorkflowStatus,
};
use tower_agent_status::store::{MemoryStore, StatusStore as _, WriteOutcome};
use tower_agent_status::{StatusTracker, StatusTrackerBuilder};

use crate::support::{AGENT, SESSION, builder, id};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A store with an item in which an agent waits, and a tracker on it.
async fn waiting() -> (MemoryStore, StatusTrackerBuilder<MemoryStore>) {
    let begin = Instant::now();
    let clock =
        move || SystemTime::UNIX_EPOCH + Duration::from_secs(1_766_570_400) + begin.elapsed();
    let time = tower_agent_status::status::Timestamp::from(clock()).to_string();
    let mut agent = Item::new();
    agent.insert("status", "in-progress");
    agent.insert("startedAt", time.as_str());
    agent.insert("lastUpdated", time.as_str());
    agent.insert("waitingFor", "input");
    agent.insert("taskId", "t1");
    let mut item = Item::new();
    item.insert("overallStatus", "processing");
    item.insert("createdAt", time.as_str());
    item.insert("lastUpdated", time.as_str());
    item.insert("revision", 1);
    item.insert(AGENT, agent);
    let store = MemoryStore::new();
    let change = Change::new(id(SESSION), item, Vec::new());
    let written = store.write(&change, Precondition::Absent).await;
    assert_eq!(written.unwrap(), WriteOutcome::Applied);
    (store.clone(), builder(store).clock(clock))
}

/// Another agent of the session works for a moment, so that this process knows the session.
async fn work(tracker: &StatusTracker) {
    let report = AgentReport::new(AgentState::Success);
    tracker.update_agent_status(SESSION, "other", report).unwrap();
    tracker.flush().await.unwrap();
}

fn state(status: &WorkflowStatus) -> (OverallStatus, AgentState, String) {
    let agent = status.agent(AGENT).unwrap();
    let error = agent.error.as_ref().map(ToString::to_string).unwrap_or_default();
    (status.overall_status, agent.state, error)
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_in_which_an_agent_waits_ends_after_the_waiting_timeout() {
    let idle = Duration::from_secs(60);
    for timeout in [None, Some(Duration::from_secs(3_600)), Some(Duration::ZERO)] {
        let (store, builder) = waiting().await;
        let builder = builder.idle_timeout(idle);
        let builder = match timeout {
            Some(timeout) => builder.waiting_timeout(timeout),
            None => builder,
        };
        let tracker = builder.start().unwrap();
        work(&tracker).await;
        let timeout = timeout.unwrap_or(DAY).max(idle);
        sleep(timeout * 9 / 10).await;
        let waits = (OverallStatus::Processing, AgentState::InProgress, String::new());
        assert_eq!(state(&store.status(SESSION).unwrap()), waits, "{timeout:?}");
        // A call in between begins the time anew.
        work(&tracker).await;
        sleep(timeout * 9 / 10).await;
        assert_eq!(state(&store.status(SESSION).unwrap()), waits, "{timeout:?}");
        sleep(timeout / 10 + idle).await;
        let error = "unfinished: the workflow ended while task t1 was waiting for input";
        let ended = (OverallStatus::Completed, AgentState::Error, error.to_owned());
        assert_eq!(state(&store.status(SESSION).unwrap()), ended, "{timeout:?}");
        assert!(tracker.status(SESSION).is_none(), "finished and saved, it leaves memory");
    }
}

#[tokio::test(start_paused = true)]
async fn without_an_idle_timeout_a_session_that_waits_leaves_memory_and_waits_on() {
    let (store, builder) = waiting().await;
    let tracker = builder.start().unwrap();
    work(&tracker).await;
    sleep(Duration::from_secs(660)).await;
    assert!(tracker.status(SESSION).is_none());
    sleep(DAY * 2).await;
    assert!(store.status(SESSION).unwrap().is_waiting());
}

/// The last value of the gauge of waiting agents.
fn gauge(seen: &Snapshotter) -> Option<f64> {
    let all = seen.snapshot().into_vec();
    all.into_iter().find_map(|(key, _, _, value)| match value {
        DebugValue::Gauge(value) if key.key().name() == AGENTS_WAITING => Some(value.0),
        _ => None,
    })
}

#[tokio::test(start_paused = true)]
async fn the_agents_that_wait_are_a_gauge() {
    let recorder = DebuggingRecorder::new();
    let _listening = metrics::set_default_local_recorder(&recorder);
    let seen = recorder.snapshotter();
    let (_, builder) = waiting().await;
    let tracker = builder.start().unwrap();
    work(&tracker).await;
    sleep(Duration::from_secs(10)).await;
    assert_eq!(gauge(&seen), Some(1.0));
    tracker.finalize_status(SESSION, Ok(())).unwrap();
    sleep(Duration::from_secs(10)).await;
    assert_eq!(gauge(&seen), Some(0.0));
}
