//! A flush and a shutdown try each session once, side by side, whatever the store does.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tower_agent_status::{StatusTracker, UnsavedError};

use crate::support::{Answers, Scripted, name, one_call};

const MINUTE: Duration = Duration::from_secs(60);

/// A tracker with this many sessions, whose store has failed for a while.
async fn in_an_outage(sessions: usize, store: &Scripted) -> StatusTracker {
    let tracker = StatusTracker::builder(store.clone()).start().unwrap();
    for session in 0..sessions {
        one_call(&tracker, &name(session));
    }
    sleep(Duration::from_secs(45)).await;
    tracker
}

fn names_all(error: &UnsavedError, sessions: usize) {
    let named: BTreeSet<_> = error.unsaved.iter().map(|s| s.session_id.to_string()).collect();
    assert_eq!(error.unsaved.len(), sessions, "each is named once");
    assert_eq!(named, (0..sessions).map(name).collect());
}

#[tokio::test(start_paused = true)]
async fn a_flush_under_an_outage_tries_each_session_once_within_a_minute() {
    for (answers, takes, expected) in [
        (Answers::TimesOut, 10, [(1, 20), (10, 20), (100, 22), (1_000, 50)]),
        // As long as the AWS SDK takes for its own retries.
        (Answers::Throttles, 2, [(1, 4), (10, 4), (100, 5), (1_000, 13)]),
    ] {
        for (sessions, at_most) in expected {
            fastrand::seed(1);
            let store = Scripted::new(answers, Duration::from_secs(takes));
            let tracker = in_an_outage(sessions, &store).await;
            let begin = Instant::now();
            let error = tracker.flush().await.unwrap_err();
            let took = begin.elapsed();
            assert!(took <= Duration::from_secs(at_most), "{answers:?}, {sessions}: {took:?}");
            assert_eq!(store.tries_since(begin), vec![1; sessions], "{answers:?}, {sessions}");
            names_all(&error, sessions);
            assert!(error.unsaved.iter().all(|session| session.error.is_some()));
            assert!(store.state().most_in_flight <= 256);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_flush_tries_more_every_second_while_the_store_does_not_answer() {
    let store = Scripted::new(Answers::TimesOut, Duration::from_secs(10));
    let tracker = StatusTracker::builder(store.clone()).start().unwrap();
    for session in 0..300 {
        one_call(&tracker, &name(session));
    }
    let begin = Instant::now();
    let watch = async {
        let mut begun = Vec::new();
        sleep(Duration::from_millis(500)).await;
        for _ in 0..5 {
            begun.push(store.tries_since(begin).len());
            sleep(Duration::from_secs(1)).await;
        }
        begun
    };
    let (error, begun) = tokio::join!(tracker.flush(), watch);
    assert_eq!(begun, [64, 128, 192, 256, 256]);
    names_all(&error.unwrap_err(), 300);
}

#[tokio::test(start_paused = true)]
async fn a_flush_of_any_number_of_sessions_returns_within_a_minute_and_names_the_rest() {
    let store = Scripted::new(Answers::TimesOut, Duration::from_secs(10));
    let tracker = in_an_outage(10_000, &store).await;
    let begin = Instant::now();
    let error = tracker.flush().await.unwrap_err();
    assert_eq!(begin.elapsed(), MINUTE);
    names_all(&error, 10_000);
    // Most were not reached before or during the flush.
    assert!(error.unsaved.iter().any(|session| session.error.is_none()));
    assert!(error.unsaved.iter().any(|session| session.error.is_some()));
    // The rest is tried on.
    store.state().answers = Answers::Saves;
    store.state().takes = Duration::from_millis(5);
    sleep(Duration::from_secs(20)).await;
    tracker.flush().await.unwrap();
    assert_eq!(store.table.history().len(), 10_000);
}

#[tokio::test(start_paused = true)]
async fn a_flush_after_an_outage_is_as_fast_as_the_store() {
    for answers in [Answers::TimesOut, Answers::Throttles] {
        let store = Scripted::new(answers, Duration::from_secs(10));
        let tracker = in_an_outage(1_000, &store).await;
        sleep(MINUTE).await;
        store.state().answers = Answers::Saves;
        store.state().takes = Duration::from_millis(5);
        // What is in flight still takes its time.
        sleep(Duration::from_secs(10)).await;
        store.state().most_in_flight = 0;
        let begin = Instant::now();
        tracker.flush().await.unwrap();
        assert!(begin.elapsed() < Duration::from_millis(200), "{:?}", begin.elapsed());
        assert!(store.state().most_in_flight <= 64);
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_tries_each_session_before_any_for_a_second_time() {
    let store = Scripted::new(Answers::TimesOut, Duration::from_secs(10));
    let tracker = in_an_outage(100, &store).await;
    let begin = Instant::now();
    let error = tracker.shutdown(Duration::from_secs(30)).await.unwrap_err();
    assert_eq!(begin.elapsed(), Duration::from_secs(30));
    names_all(&error, 100);
    assert!(error.unsaved.iter().all(|session| session.error.is_some()));
    assert!(store.tries_since(begin).iter().all(|tries| *tries >= 1));
}

#[tokio::test(start_paused = true)]
async fn the_last_tracker_to_go_has_each_session_tried() {
    for answers in [Answers::TimesOut, Answers::Throttles] {
        let store = Scripted::new(answers, Duration::from_secs(10));
        let (tracker, recorder) = StatusTracker::builder(store.clone()).build().unwrap();
        let recorder = tokio::spawn(recorder);
        for session in 0..100 {
            one_call(&tracker, &name(session));
        }
        sleep(Duration::from_secs(45)).await;
        let begin = Instant::now();
        drop(tracker);
        recorder.await.unwrap();
        assert!(begin.elapsed() <= Duration::from_secs(22), "{:?}", begin.elapsed());
        assert_eq!(store.tries_since(begin), vec![1; 100]);
    }
}
