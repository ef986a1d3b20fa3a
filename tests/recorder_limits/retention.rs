//! How long items are kept: by the tracker's setting, by that of a workflow, and ahead of each write.

use std::time::Duration;

use tokio::time::sleep;
use tower_agent_status::StatusTracker;
use tower_agent_status::status::{Change, Timestamp, WorkflowStatus};
use tower_agent_status::store::MemoryStore;

use crate::support::{SetClock, one_call};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

fn tracker(store: &MemoryStore, clock: &SetClock, retention: Option<Duration>) -> StatusTracker {
    let builder = StatusTracker::builder(store.clone()).clock(clock.source());
    let builder = match retention {
        Some(retention) => builder.retention(retention),
        None => builder,
    };
    builder.start().unwrap()
}

/// How long after its creation the item of `s` expires.
fn kept(store: &MemoryStore) -> Duration {
    let status = store.status("s").unwrap();
    status.expires_at.unwrap().duration_since(status.created_at)
}

fn sets_expiry(change: &Change) -> bool {
    change.set.get("expiresAt").is_some()
}

#[tokio::test(start_paused = true)]
async fn an_item_is_kept_as_long_as_its_workflow_says_or_the_tracker() {
    for (of_tracker, of_workflow, expected) in [
        (None, None, 90 * DAY),
        (Some(7 * DAY), None, 7 * DAY),
        (Some(7 * DAY), Some(30 * DAY), 30 * DAY),
        (None, Some(HOUR), HOUR),
        (Some(Duration::ZERO), None, Duration::from_secs(60)),
    ] {
        let (store, clock) = (MemoryStore::new(), SetClock::new(0));
        let tracker = tracker(&store, &clock, of_tracker);
        let mut workflow = tracker.workflow("s");
        if let Some(retention) = of_workflow {
            workflow = workflow.retention(retention);
        }
        let workflow = workflow.start().unwrap();
        for _ in 0..4 {
            sleep(Duration::from_secs(5)).await;
            one_call(&tracker, "s");
        }
        workflow.complete();
        tracker.shutdown(HOUR).await.unwrap();
        assert_eq!(kept(&store), expected, "{of_tracker:?} {of_workflow:?}");
        let changes = store.history();
        assert_eq!(changes.iter().filter(|change| sets_expiry(change)).count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_workflow_that_outlives_its_retention_does_not_expire_and_takes_no_write_more() {
    let mut writes = Vec::new();
    for retention in [None, Some(HOUR)] {
        let (store, clock) = (MemoryStore::new(), SetClock::new(0));
        let tracker = tracker(&store, &clock, retention);
        let workflow = tracker.workflow("s").start().unwrap();
        for _ in 0..600 {
            sleep(Duration::from_secs(60)).await;
            let status = store.status("s").unwrap();
            assert!(status.expires_at > Some(clock.right()), "{status}");
        }
        drop(workflow);
        tracker.shutdown(HOUR).await.unwrap();
        let changes = store.history();
        let put_off = changes.iter().filter(|change| sets_expiry(change)).count() - 1;
        assert_eq!(put_off, if retention.is_some() { 19 } else { 0 }, "every half an hour");
        writes.push(changes.len());
    }
    assert_eq!(writes[0], writes[1]);
}

#[tokio::test(start_paused = true)]
async fn processes_with_different_settings_leave_the_expiry_to_the_one_that_said_it() {
    let (store, clock) = (MemoryStore::new(), SetClock::new(0));
    let orchestrator = tracker(&store, &clock, None);
    let workflow = orchestrator.workflow("s").retention(2 * HOUR).start().unwrap();
    sleep(Duration::from_secs(1)).await;
    for setting in [None, Some(HOUR), Some(400 * DAY)] {
        let agent = tracker(&store, &clock, setting);
        for _ in 0..10 {
            one_call(&agent, "s");
            one_call(&orchestrator, "s");
            sleep(Duration::from_secs(1)).await;
        }
        agent.shutdown(HOUR).await.unwrap();
    }
    workflow.complete();
    orchestrator.shutdown(HOUR).await.unwrap();
    assert_eq!(kept(&store), 2 * HOUR);
    assert_eq!(store.status("s").unwrap().agent("pdfAdapter").unwrap().calls, 60);
    assert_eq!(store.history().iter().filter(|change| sets_expiry(change)).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_resumed_after_its_expiry_gets_one_ahead_and_a_new_run_its_own() {
    let (store, clock) = (MemoryStore::new(), SetClock::new(0));
    let first = tracker(&store, &clock, Some(2 * DAY));
    one_call(&first, "s");
    first.shutdown(HOUR).await.unwrap();
    assert_eq!(kept(&store), 2 * DAY);

    // The table has not deleted it yet.
    clock.set(10 * 24 * 3_600);
    let now = |clock: &SetClock| Timestamp::from(clock.now());
    let ahead = |status: &WorkflowStatus| status.expires_at.unwrap().duration_since(now(&clock));
    let second = tracker(&store, &clock, None);
    one_call(&second, "s");
    second.flush().await.unwrap();
    assert_eq!(ahead(&store.status("s").unwrap()).as_secs(), DAY.as_secs());

    second.workflow("s").new_run().start().unwrap().complete();
    second.shutdown(HOUR).await.unwrap();
    assert_eq!(kept(&store), 90 * DAY);
}
