//! The recorder with a table whose connection fails: whatever happens, every call counts once.
//!
//! `SEEDS=N` runs N seeds, `SEED=K` replays one.

use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};
use tower_agent_status::status::{
    AgentReport, AgentState, OverallStatus, TokenUsage, WorkflowStatus,
};
use tower_agent_status::store::{DynamoDbStore, StatusReader};
use tower_agent_status::{StatusTracker, StatusTrackerBuilder};

use crate::contract::id;
use crate::script::Script;

const AGENTS: [&str; 3] = ["pdfAdapter", "tradeExtraction", "tradeMatching"];
const CALLS: u64 = 20;

fn tracker(store: DynamoDbStore) -> StatusTracker {
    let begin = Instant::now();
    let clock =
        move || SystemTime::UNIX_EPOCH + Duration::from_secs(1_766_570_400) + begin.elapsed();
    let builder: StatusTrackerBuilder<_> = StatusTracker::builder(store).clock(clock);
    builder.start().unwrap()
}

/// Reports calls of agents, one after the other.
async fn work(tracker: &StatusTracker, mut rng: fastrand::Rng) {
    for call in 0..CALLS {
        let agent = AGENTS[rng.usize(..AGENTS.len())];
        let report = |report| tracker.update_agent_status("s", agent, report).unwrap();
        report(AgentReport::new(AgentState::InProgress));
        sleep(Duration::from_millis(rng.u64(..3_000))).await;
        let usage = TokenUsage::new(1 << call, 1);
        report(AgentReport::new(AgentState::Success).token_usage(usage));
        sleep(Duration::from_millis(rng.u64(..500))).await;
    }
}

/// Two processes on one session, and a table that heals when they are done.
async fn run(seed: u64) {
    fastrand::seed(seed);
    let mut rng = fastrand::Rng::with_seed(seed);
    let client = DynamoDbStore::embedded_client().unwrap();
    let store = DynamoDbStore::new(client.clone(), "status");
    store.create_table().await.unwrap();
    let scripts = [Script::default(), Script::default()];
    let trackers = scripts.each_ref().map(|script| {
        // As a process has it that sets nothing: the SDK tries again too.
        let client = script.in_front_of(&client, rng.u32(1..4));
        script.by_seed(rng.u64(..), [0, 20, 50][rng.usize(..3)]);
        tracker(DynamoDbStore::new(client, "status"))
    });
    trackers[0].initialize_status("s", None, &[("documentId", "d".into())]).unwrap();
    tokio::join!(work(&trackers[0], rng.fork()), work(&trackers[1], rng.fork()));
    for script in &scripts {
        script.heal();
    }
    for tracker in &trackers {
        // A try that began before may have met its fault.
        for _ in 0..3 {
            if tracker.flush().await.is_ok() {
                break;
            }
        }
        tracker.flush().await.unwrap_or_else(|error| panic!("SEED={seed}: {error}"));
    }
    trackers[0].finalize_status("s", Ok(())).unwrap();
    for tracker in &trackers {
        tracker.shutdown(Duration::from_secs(60)).await.unwrap();
    }
    let status = WorkflowStatus::from_item(&id("s"), &store.get(&id("s")).await.unwrap().unwrap());
    assert_eq!(status.overall_status, OverallStatus::Completed, "SEED={seed}");
    // Each call of a process sets its own bit, so that the sum shows which calls were counted.
    let all = TokenUsage::new(2 * ((1 << CALLS) - 1), 2 * CALLS);
    assert_eq!(status.total_token_usage(), all, "SEED={seed}");
    let calls: u64 = status.agents().map(|(_, agent)| agent.calls).sum();
    assert_eq!(calls, 2 * CALLS, "SEED={seed}");
    assert_eq!(status.attributes.len(), 1, "SEED={seed}");
}

#[tokio::test(start_paused = true)]
async fn every_call_counts_once_whatever_the_connection_does() {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(20),
    };
    for seed in seeds {
        run(seed).await;
    }
}
