//! The time of day is set while workflows run. Silence is measured by a clock that does not jump,
//! and what is written never goes back.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tower_agent_status::status::{
    AgentReport, AgentState, OverallStatus, Timestamp, Value, WorkflowStatus,
};
use tower_agent_status::{StatusTracker, StatusTrackerBuilder, store::MemoryStore};

use crate::support::{SetClock, one_call};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
const STEPS: [i64; 4] = [HOUR, -HOUR, DAY, -DAY];
const HEARTBEAT: Duration = Duration::from_secs(30);

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

fn builder(store: &MemoryStore, clock: &SetClock) -> StatusTrackerBuilder<MemoryStore> {
    StatusTracker::builder(store.clone()).clock(clock.source())
}

/// The `lastUpdated` that each write has set.
fn last_updated(store: &MemoryStore) -> Vec<Timestamp> {
    let history = store.history();
    let times = history.iter().filter_map(|change| change.set.get("lastUpdated"));
    times.map(|time| time.as_str().unwrap().parse().unwrap()).collect()
}

fn assert_rising(store: &MemoryStore) {
    let times = last_updated(store);
    assert_eq!(times.len(), store.history().len(), "each write says when");
    assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
}

fn later(clock: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_millis(clock.as_millis() + 1_000 * seconds)
}

/// Whether the workflow looks stalled by a clock that was never set.
fn is_stalled(store: &MemoryStore, clock: &SetClock) -> bool {
    store.status("s").unwrap().is_stalled(clock.right(), HEARTBEAT)
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_stops_no_heartbeat_and_adds_none() {
    for step in STEPS {
        let (store, clock) = (MemoryStore::new(), SetClock::new(0));
        let tracker = builder(&store, &clock).start().unwrap();
        let workflow = tracker.workflow("s").start().unwrap();
        sleep(minutes(5)).await;
        clock.set(step);
        let writes = store.history().len();
        for _ in 0..100 {
            sleep(minutes(10) / 100).await;
            assert!(!is_stalled(&store, &clock), "{step}");
        }
        let heartbeats = store.history().len() - writes;
        assert!((20..=22).contains(&heartbeats), "{heartbeats} after {step} s");
        assert_rising(&store);
        // And when it is set right.
        clock.set(0);
        let writes = store.history().len();
        sleep(minutes(10)).await;
        let heartbeats = store.history().len() - writes;
        assert!((20..=22).contains(&heartbeats), "{heartbeats} after {step} s is taken back");
        assert_rising(&store);
        workflow.complete();
        tracker.flush().await.unwrap();
        assert_rising(&store);
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_wrong_at_the_start_and_is_corrected_stops_no_heartbeat() {
    for ahead in STEPS {
        let (store, clock) = (MemoryStore::new(), SetClock::new(ahead));
        let tracker = builder(&store, &clock).start().unwrap();
        let workflow = tracker.workflow("s").start().unwrap();
        sleep(Duration::from_secs(10)).await;
        clock.set(0);
        sleep(minutes(60)).await;
        let heartbeats = store.history().len() - 1;
        assert!((126..=128).contains(&heartbeats), "{heartbeats} from {ahead} s");
        assert!(!is_stalled(&store, &clock));
        assert_rising(&store);
        // A session that starts after the correction has the right time.
        drop(tracker.workflow("new").start().unwrap());
        tracker.flush().await.unwrap();
        assert_eq!(store.status("new").unwrap().created_at, clock.right());
        drop(workflow);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_process_is_seen_once_the_time_that_it_wrote_has_come() {
    for step in STEPS {
        let (store, clock) = (MemoryStore::new(), SetClock::new(step));
        let (tracker, recorder) = builder(&store, &clock).build().unwrap();
        let recorder = tokio::spawn(recorder);
        let workflow = tracker.workflow("s").start().unwrap();
        sleep(minutes(1)).await;
        clock.set(0);
        sleep(minutes(10)).await;
        assert!(!is_stalled(&store, &clock), "{step}");
        recorder.abort();
        // A clock that was ahead goes on from there, until the workflow ends. One that was behind
        // is right as soon as it is set.
        let lead = u64::try_from(step.max(0)).unwrap();
        sleep(Duration::from_secs(lead) + 2 * HEARTBEAT).await;
        assert!(!is_stalled(&store, &clock), "{step}");
        sleep(2 * HEARTBEAT).await;
        assert!(is_stalled(&store, &clock), "{step}");
        drop(workflow);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_lasts_as_long_as_it_does_while_the_clock_is_behind() {
    for step in [-HOUR, -DAY] {
        let (store, clock) = (MemoryStore::new(), SetClock::new(0));
        let tracker = builder(&store, &clock).start().unwrap();
        let report = |state| {
            tracker.update_agent_status("s", "pdfAdapter", AgentReport::new(state)).unwrap();
        };
        report(AgentState::InProgress);
        sleep(Duration::from_secs(7)).await;
        clock.set(step);
        let begin = Instant::now();
        // Changes come more often than heartbeats.
        for _ in 0..60 {
            sleep(Duration::from_secs(10)).await;
            one_call(&tracker, "s");
            report(AgentState::InProgress);
            sleep(Duration::from_secs(1)).await;
            assert!(!is_stalled(&store, &clock));
            assert_eq!(store.status("s").unwrap().last_updated, later(clock.right(), -1));
        }
        report(AgentState::Success);
        tracker.flush().await.unwrap();
        let duration = store.status("s").unwrap().agent("pdfAdapter").unwrap().duration();
        assert_eq!(duration, Some(Duration::from_secs(7) + begin.elapsed()), "{step}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_timeout_is_as_long_as_it_is_whatever_the_clock_does() {
    for step in STEPS {
        let (store, clock) = (MemoryStore::new(), SetClock::new(0));
        let idle = minutes(30);
        let tracker = builder(&store, &clock).idle_timeout(idle).start().unwrap();
        let is_finished = || store.status("s").unwrap().overall_status.is_finished();
        one_call(&tracker, "s");
        sleep(minutes(10)).await;
        clock.set(step);
        sleep(minutes(18)).await;
        assert!(!is_finished(), "{step}");
        one_call(&tracker, "s");
        sleep(minutes(28)).await;
        assert!(!is_finished(), "a call came in between, {step}");
        clock.set(0);
        sleep(minutes(4)).await;
        assert!(is_finished(), "{step}");
        assert_eq!(store.status("s").unwrap().overall_status, OverallStatus::Completed);
        assert!(tracker.status("s").is_none());
        assert_rising(&store);
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_leaves_memory_after_ten_minutes_whatever_the_clock_does() {
    for step in STEPS {
        let (store, clock) = (MemoryStore::new(), SetClock::new(0));
        let tracker = builder(&store, &clock).start().unwrap();
        one_call(&tracker, "s");
        sleep(minutes(1)).await;
        clock.set(step);
        sleep(minutes(8)).await;
        assert!(tracker.status("s").is_some(), "{step}");
        sleep(minutes(2)).await;
        assert!(tracker.status("s").is_none(), "{step}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_whose_clock_is_behind_goes_on_from_what_another_has_written() {
    let store = MemoryStore::new();
    let (right, behind) = (SetClock::new(0), SetClock::new(-HOUR));
    let (one, two) =
        (builder(&store, &right).start().unwrap(), builder(&store, &behind).start().unwrap());
    one.workflow("s").start().unwrap().detach();
    one.shutdown(minutes(1)).await.unwrap();
    let workflow = two.workflow("s").start().unwrap();
    for _ in 0..20 {
        sleep(minutes(1)).await;
        assert!(!is_stalled(&store, &right));
    }
    assert_rising(&store);
    drop(workflow);
}

/// The number of the last write of the only writer.
fn number(status: &WorkflowStatus) -> u64 {
    let item = status.to_item();
    let Some(Value::Map(writers)) = item.get("writers") else { panic!("no writers: {item:?}") };
    let (_, number) = writers.iter().next().unwrap();
    number.as_u64().unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_numbers_of_writes_go_on_at_the_pace_of_time() {
    for step in STEPS {
        let (store, clock) = (MemoryStore::new(), SetClock::new(0));
        let tracker = builder(&store, &clock).start().unwrap();
        let workflow = tracker.workflow("s").start().unwrap();
        tracker.flush().await.unwrap();
        let first = number(&store.status("s").unwrap());
        clock.set(step);
        sleep(minutes(10)).await;
        tracker.flush().await.unwrap();
        let passed = number(&store.status("s").unwrap()) - first;
        let lead = 1_000 * u64::try_from(step.max(0)).unwrap();
        assert!((lead + 550_000..=lead + 600_000).contains(&passed), "{passed} ms, {step}");
        drop(workflow);
    }
}
