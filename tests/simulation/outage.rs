//! The table is unavailable for a minute while ten thousand sessions are live.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep, timeout};
use tower_agent_status::StatusTracker;
use tower_agent_status::status::{
    AgentReport, AgentState, Change, Item, OverallStatus, Precondition, TokenUsage,
};
use tower_agent_status::store::{MemoryStore, StoreError, WriteOutcome};

use crate::faults::{Director, Fate, Fault, FaultyStore, Reached};

const SESSIONS: usize = 10_000;

#[derive(Default)]
struct Outage {
    away: AtomicBool,
    tries: AtomicU64,
}

impl Director for Outage {
    type Note = ();

    fn asked(&self, _: &Change, _: &Precondition) -> ((), Fate) {
        let away = self.away.load(Ordering::SeqCst);
        self.tries.fetch_add(u64::from(away), Ordering::SeqCst);
        let takes = Duration::from_millis(if away { 500 } else { 5 });
        let fault = away.then_some(Fault::Outage);
        ((), Fate { fault, before: takes, after: Duration::ZERO, late: Duration::ZERO })
    }

    fn reached(&self, (): &(), _: Option<&Item>, _: &Reached) {}

    fn answered(&self, (): &(), _: &Result<WriteOutcome, StoreError>) {}
}

#[tokio::test(start_paused = true)]
async fn a_minute_without_a_table_loses_nothing_of_ten_thousand_sessions() {
    fastrand::seed(1);
    let (table, director) = (MemoryStore::new(), Arc::new(Outage::default()));
    let store = FaultyStore::new(table.clone(), Arc::clone(&director));
    let gauge = store.gauge();
    let begin = Instant::now();
    let clock =
        move || SystemTime::UNIX_EPOCH + Duration::from_secs(1_766_570_400) + begin.elapsed();
    let tracker = StatusTracker::builder(store).clock(clock).start().unwrap();
    let report = |session: usize, state, tokens| {
        let usage = TokenUsage::new(tokens, 1);
        let report = AgentReport::new(state).token_usage(usage);
        let session = format!("session-{session}");
        tracker.update_agent_status(session, "pdfAdapter", report).unwrap();
    };

    director.away.store(true, Ordering::SeqCst);
    let before = resident();
    // Each session changes ten times within the minute.
    let workflows: Vec<_> = (0..SESSIONS)
        .map(|session| tracker.workflow(format!("session-{session}")).start().unwrap())
        .collect();
    for round in 0..10 {
        for session in 0..SESSIONS {
            let state = if round % 2 == 0 { AgentState::InProgress } else { AgentState::Success };
            report(session, state, 10);
        }
        sleep(Duration::from_secs(6)).await;
    }
    let after = resident();
    assert!(table.history().is_empty());
    assert!(director.tries.load(Ordering::SeqCst) > 0);

    director.away.store(false, Ordering::SeqCst);
    for workflow in workflows {
        workflow.complete();
    }
    let healed = Instant::now();
    timeout(Duration::from_secs(60), tracker.flush())
        .await
        .expect("the recorder catches up")
        .unwrap();
    let took = healed.elapsed();
    tracker.shutdown(Duration::from_secs(60)).await.unwrap();

    // As many as a table that answers in 5 ms gets.
    assert!(gauge.most() <= 512, "{} writes in flight", gauge.most());
    assert_eq!(gauge.most_of_a_session(), 1);
    for session in 0..SESSIONS {
        let status = table.status(&format!("session-{session}")).unwrap();
        assert_eq!(status.overall_status, OverallStatus::Completed);
        assert_eq!(status.total_token_usage(), TokenUsage::new(100, 10));
        assert_eq!(status.agent("pdfAdapter").unwrap().calls, 5);
        assert!(tracker.status(&format!("session-{session}")).is_none(), "it left memory");
    }
    println!(
        "outage: {SESSIONS} sessions saved {took:?} after it, {} writes, at most {} in flight, \
         {} tries during it",
        table.history().len(),
        gauge.most(),
        director.tries.load(Ordering::SeqCst)
    );
    if let (Some(before), Some(after)) = (before, after) {
        // This is the resident memory of the whole process, so it includes anything else that
        // grew.
        let each = after.saturating_sub(before) / SESSIONS;
        println!("outage: {each} bytes of memory for each live session");
        assert!(each < 16 * 1024, "{each} bytes for each session");
    }
}

/// The resident memory of the process in bytes, if the system reports it.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<usize>().ok()? * 1024)
}
