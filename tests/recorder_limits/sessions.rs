//! Which sessions count against the limit: those that are live or unsaved. What is saved and idle
//! makes room, and comes back from its item.

use std::time::Duration;

use tokio::time::sleep;
use tower_agent_status::status::{AgentReport, AgentState, OverallStatus, TokenUsage};
use tower_agent_status::{StatusTracker, store::MemoryStore};

use crate::support::{Answers, Scripted, SetClock, name, one_call};

fn tokens(store: &MemoryStore, session: &str) -> Option<(u64, Option<u64>)> {
    let status = store.status(session)?;
    let agent = status.agent("pdfAdapter")?;
    Some((agent.calls, agent.token_usage()?.total_tokens))
}

/// How many of the sessions up to this one are in memory.
fn in_memory(tracker: &StatusTracker, sessions: usize) -> usize {
    (0..sessions).filter(|n| tracker.status(&name(*n)).is_some()).count()
}

#[tokio::test(start_paused = true)]
async fn ten_new_sessions_a_second_fit_a_limit_of_a_thousand() {
    const SESSIONS: usize = 6_000;
    let store = MemoryStore::new();
    let tracker = StatusTracker::builder(store.clone()).max_sessions(1_000).start().unwrap();
    for session in 0..SESSIONS {
        one_call(&tracker, &name(session));
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(tracker.lost(), 0);
    // The latest stay.
    assert_eq!(in_memory(&tracker, SESSIONS), 1_000);
    assert_eq!(in_memory(&tracker, SESSIONS - 1_000), 0);
    // Those that have left continue from their items.
    for session in 0..SESSIONS {
        one_call(&tracker, &name(session));
        sleep(Duration::from_millis(10)).await;
    }
    tracker.flush().await.unwrap();
    assert_eq!(tracker.lost(), 0);
    for session in 0..SESSIONS {
        assert_eq!(tokens(&store, &name(session)), Some((2, Some(20))), "{session}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_in_use_leaves_after_those_that_are_not() {
    let store = Scripted::new(Answers::Saves, Duration::ZERO);
    let tracker = StatusTracker::builder(store.clone()).max_sessions(10).start().unwrap();
    for session in 0..200 {
        one_call(&tracker, &name(session));
        sleep(Duration::from_millis(10)).await;
        one_call(&tracker, &name(0));
        sleep(Duration::from_millis(10)).await;
    }
    tracker.flush().await.unwrap();
    assert_eq!(tokens(&store.table, &name(0)), Some((201, Some(2_010))));
    // It was never resumed from its item: each time, that would be a conflict more.
    assert_eq!(store.state().tries[&name(0)].len(), 201);
}

#[tokio::test(start_paused = true)]
async fn what_is_live_stays_and_counts() {
    let store = MemoryStore::new();
    let tracker = StatusTracker::builder(store.clone()).max_sessions(5).start().unwrap();
    let opened = tracker.workflow("opened").start().unwrap();
    tracker.initialize_status("by-hand", None, &[]).unwrap();
    let report = |state| {
        tracker.update_agent_status("reported", "pdfAdapter", AgentReport::new(state)).unwrap();
    };
    report(AgentState::InProgress);
    let detached = tracker.workflow("detached").start().unwrap();
    one_call(&tracker, "detached");
    let held = detached.scope(std::future::pending::<()>());
    sleep(Duration::from_secs(1)).await;
    detached.detach();
    // One place is left for all others.
    for session in 0..100 {
        one_call(&tracker, &name(session));
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(tracker.lost(), 0);
    for session in ["opened", "by-hand", "reported", "detached"] {
        assert!(tracker.status(session).is_some(), "{session}");
    }
    tracker.initialize_status("sixth", None, &[]).unwrap();
    assert!(tracker.workflow("seventh").start().is_err());
    assert_eq!(tracker.lost(), 1);
    // What ends makes room, at once or when the recorder next looks.
    report(AgentState::Success);
    opened.complete();
    drop((opened, held));
    sleep(Duration::from_secs(2)).await;
    for session in ["seventh", "eighth", "ninth"] {
        tracker.initialize_status(session, None, &[]).unwrap();
    }
    assert!(tracker.workflow("tenth").start().is_err());
    assert!(tracker.status("by-hand").is_some());
    assert_eq!(tracker.lost(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_unsaved_stays_and_counts() {
    let store = Scripted::new(Answers::TimesOut, Duration::from_millis(100));
    let tracker = StatusTracker::builder(store.clone()).max_sessions(100).start().unwrap();
    for session in 0..150 {
        let report = AgentReport::new(AgentState::Success).token_usage(TokenUsage::new(9, 1));
        let is_recorded = tracker.update_agent_status(name(session), "pdfAdapter", report).is_ok();
        assert_eq!(is_recorded, session < 100);
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!((tracker.lost(), in_memory(&tracker, 150)), (50, 100));
    store.state().answers = Answers::Saves;
    tracker.flush().await.unwrap();
    for session in 100..200 {
        one_call(&tracker, &name(session));
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(tracker.lost(), 50);
    tracker.flush().await.unwrap();
    assert!((0..200).all(|session| {
        let is_lost = (100..150).contains(&session);
        tokens(&store.table, &name(session)) == Some((1, Some(10))) || is_lost
    }));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_leaves_before_its_idle_timeout_is_resumed_by_its_next_call() {
    let store = MemoryStore::new();
    let idle = Duration::from_secs(60);
    let builder = StatusTracker::builder(store.clone()).max_sessions(10).idle_timeout(idle);
    let tracker = builder.clock(SetClock::new(0).source()).start().unwrap();
    for session in 0..20 {
        one_call(&tracker, &name(session));
        sleep(Duration::from_millis(10)).await;
    }
    sleep(idle * 2).await;
    let is_completed =
        |n| store.status(&name(n)).unwrap().overall_status == OverallStatus::Completed;
    assert_eq!((0..20).filter(|n| is_completed(*n)).collect::<Vec<_>>(), Vec::from_iter(10..20));
    one_call(&tracker, &name(0));
    sleep(idle * 2).await;
    assert!(is_completed(0) && !is_completed(1));
    assert_eq!(tokens(&store, &name(0)), Some((2, Some(20))));
}
