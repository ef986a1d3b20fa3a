//! When a write is tried again, and what that holds up.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tower_agent_status::StatusTracker;
use tower_agent_status::status::{Change, Item, Precondition};
use tower_agent_status::store::{StatusStore, StoreError, WriteOutcome};

use crate::support::{Answers, Scripted, name, one_call};

const SECOND: Duration = Duration::from_secs(1);

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[tokio::test(start_paused = true)]
async fn a_table_that_throttles_is_left_alone_for_as_long_as_its_session_backs_off() {
    let mut first_tries = Vec::new();
    for others in [0, 1] {
        // The same pauses in both rounds.
        fastrand::seed(1);
        let store = Scripted::new(Answers::Throttles, millis(10));
        let tracker = StatusTracker::builder(store.clone()).start().unwrap();
        let begin = Instant::now();
        one_call(&tracker, &name(0));
        sleep(45 * SECOND).await;
        // In the middle of a pause.
        let mut before = 0;
        while store.tries_of(0).len() > before {
            before = store.tries_of(0).len();
            sleep(SECOND).await;
        }
        let changed = Instant::now();
        if others > 0 {
            one_call(&tracker, &name(1));
        }
        sleep(10 * SECOND).await;
        let first = store.tries_of(others)[if others > 0 { 0 } else { before }];
        assert!(first - changed > millis(100), "{others}: the pause is over after {first:?}");
        first_tries.push(first - begin);
        tracker.shutdown(SECOND).await.unwrap_err();
    }
    assert_eq!(first_tries[0], first_tries[1], "another session waits for the end of the pause");
}

#[tokio::test(start_paused = true)]
async fn as_many_writes_are_tried_at_once_as_the_store_keeps_up_with() {
    let store = Scripted::new(Answers::TimesOut, SECOND);
    let tracker = StatusTracker::builder(store.clone()).start().unwrap();
    for session in 0..200 {
        one_call(&tracker, &name(session));
    }
    sleep(3 * SECOND).await;
    assert_eq!(store.state().most_in_flight, 64);
    // Each failure has halved the limit, down to one.
    store.state().most_in_flight = 0;
    sleep(30 * SECOND).await;
    assert_eq!(store.state().most_in_flight, 1);
    // Each success adds one, so that the sessions do not rush to a store that comes back.
    store.state().answers = Answers::Saves;
    sleep(SECOND).await;
    store.state().most_in_flight = 0;
    let mut most = Vec::new();
    for _ in 0..7 {
        sleep(SECOND).await;
        most.push(store.state().most_in_flight);
    }
    let twice_as_many = |two: &[usize]| two[1] > two[0] && two[1] <= 2 * two[0];
    assert!(most[0] <= 2 && most[..6].windows(2).all(twice_as_many), "{most:?}");
    tracker.shutdown(60 * SECOND).await.unwrap();
    assert_eq!(store.table.history().len(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_failure_halves_how_many_writes_are_tried_at_once() {
    for (failures, limit) in [(0, 64), (1, 32), (2, 16)] {
        let store = Scripted::new(Answers::TimesOut, millis(10));
        let tracker =
            StatusTracker::builder(store.clone()).batch_delay(Duration::ZERO).start().unwrap();
        for session in 0..failures {
            one_call(&tracker, &name(session));
        }
        sleep(millis(5)).await;
        store.state().answers = Answers::Saves;
        store.state().takes = SECOND;
        sleep(millis(6)).await;
        for session in 10..200 {
            one_call(&tracker, &name(session));
        }
        sleep(millis(500)).await;
        assert_eq!(store.state().most_in_flight, limit, "after {failures} failures");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_tried_again_after_a_minute_and_holds_up_no_other() {
    let store = Scripted::new(Answers::Refuses, millis(100));
    let tracker = StatusTracker::builder(store.clone()).batch_delay(SECOND).start().unwrap();
    let begin = Instant::now();
    one_call(&tracker, &name(0));
    sleep(millis(500)).await;
    one_call(&tracker, &name(1));
    sleep(Duration::from_secs(150)).await;
    // A batch delay, and then a minute from each answer.
    let after = |session: usize| -> Vec<_> {
        store.tries_of(session).iter().map(|at| at.duration_since(begin).as_millis()).collect()
    };
    assert_eq!(after(0), [1_000, 61_100, 121_200]);
    assert_eq!(after(1), [1_500, 61_600, 121_700]);
}

#[tokio::test(start_paused = true)]
async fn a_success_ends_the_backoff_though_more_has_changed_meanwhile() {
    fastrand::seed(1);
    let store = Scripted::new(Answers::TimesOut, SECOND);
    let tracker = StatusTracker::builder(store.clone()).start().unwrap();
    one_call(&tracker, &name(0));
    sleep(60 * SECOND).await;
    store.state().answers = Answers::Saves;
    // The write that fails, and then the one that does not.
    let tries = store.tries_of(0).len();
    while store.table.history().is_empty() {
        sleep(millis(1)).await;
        if store.state().in_flight == 1 && store.tries_of(0).len() > tries {
            one_call(&tracker, &name(0));
            store.state().answers = Answers::TimesOut;
        }
    }
    let saved = store.tries_of(0).len();
    sleep(5 * SECOND).await;
    let tries = store.tries_of(0);
    let pauses: Vec<_> = tries.windows(2).map(|two| two[1] - two[0] - SECOND).collect();
    assert!(pauses[..saved].iter().any(|pause| *pause > SECOND), "{pauses:?}");
    // A batch delay, and then as after the first failures.
    assert_eq!(pauses[saved - 1], millis(5));
    assert!(pauses[saved] <= millis(50) && pauses[saved + 1] <= millis(100), "{pauses:?}");
}

/// A store whose item always has another revision.
#[derive(Clone, Default)]
struct Contended(Arc<Mutex<Vec<Instant>>>);

impl StatusStore for Contended {
    async fn write(&self, _: &Change, _: Precondition) -> Result<WriteOutcome, StoreError> {
        self.0.lock().unwrap().push(Instant::now());
        Ok(WriteOutcome::Conflict(Some(Item::new())))
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_conflicts_are_retried_at_once_and_the_others_after_ever_longer() {
    fastrand::seed(1);
    let store = Contended::default();
    let tracker = StatusTracker::builder(store.clone()).batch_delay(SECOND).start().unwrap();
    let begin = Instant::now();
    one_call(&tracker, "s");
    sleep(60 * SECOND).await;
    let tries = store.0.lock().unwrap().clone();
    let pauses: Vec<_> = tries.windows(2).map(|two| two[1] - two[0]).collect();
    assert_eq!(tries[0] - begin, SECOND);
    assert_eq!(pauses[..3], [Duration::ZERO; 3]);
    assert!(pauses[3..].iter().all(|pause| *pause <= 5 * SECOND), "{pauses:?}");
    assert!(pauses[3..6].iter().sum::<Duration>() <= millis(50 + 100 + 200), "{pauses:?}");
    assert!(pauses[3..].iter().any(|pause| *pause > SECOND), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn the_first_of_two_deadlines_counts() {
    for (first, second) in [(2, 60), (60, 2)] {
        let store = Scripted::new(Answers::Saves, Duration::from_secs(3600));
        let tracker = StatusTracker::builder(store).start().unwrap();
        one_call(&tracker, &name(0));
        let begin = Instant::now();
        let (one, other) =
            tokio::join!(tracker.shutdown(first * SECOND), tracker.shutdown(second * SECOND));
        assert_eq!(begin.elapsed(), 2 * SECOND, "{first} and {second}");
        assert_eq!(one, other);
        assert_eq!(one.unwrap_err().unsaved.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_changes_during_a_shutdown_is_not_delayed() {
    let store = Scripted::new(Answers::Saves, SECOND);
    let tracker = StatusTracker::builder(store.clone()).batch_delay(30 * SECOND).start().unwrap();
    one_call(&tracker, &name(0));
    let begin = Instant::now();
    let later = async {
        sleep(millis(500)).await;
        one_call(&tracker, &name(1));
    };
    let (result, ()) = tokio::join!(tracker.shutdown(60 * SECOND), later);
    result.unwrap();
    assert_eq!(begin.elapsed(), millis(1_500));
    assert_eq!(store.table.history().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_nobody_waits_for_goes_on_without_a_tracker() {
    let store = Scripted::new(Answers::TimesOut, millis(10));
    let (tracker, recorder) = StatusTracker::builder(store.clone()).build().unwrap();
    let recorder = tokio::spawn(recorder);
    one_call(&tracker, &name(0));
    timeout(SECOND, tracker.shutdown(60 * SECOND)).await.unwrap_err();
    drop(tracker);
    sleep(10 * SECOND).await;
    store.state().answers = Answers::Saves;
    recorder.await.unwrap();
    assert_eq!(store.table.history().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_session_without_a_break_does_not_keep_others_from_their_heartbeats() {
    let store = Scripted::new(Answers::Saves, Duration::ZERO);
    let tracker = StatusTracker::builder(store.clone()).start().unwrap();
    let _silent = tracker.workflow(name(0)).start().unwrap();
    for _ in 0..300 {
        one_call(&tracker, &name(1));
        sleep(SECOND).await;
    }
    let tries = store.tries_of(0);
    assert!((10..=12).contains(&tries.len()), "{} writes in five minutes", tries.len());
}

#[tokio::test(start_paused = true)]
async fn heartbeats_come_at_any_interval() {
    // A sixteenth of it is no whole number of milliseconds.
    for interval in [10, 100, 999, 1_000] {
        let store = Scripted::new(Answers::Saves, Duration::ZERO);
        let builder = StatusTracker::builder(store.clone()).heartbeat_interval(millis(interval));
        let tracker = builder.batch_delay(Duration::ZERO).start().unwrap();
        let workflow = tracker.workflow(name(0)).start().unwrap();
        sleep(millis(100 * interval)).await;
        let tries = store.tries_of(0).len();
        assert!((91..=130).contains(&tries), "{tries} in a hundred times {interval} ms");
        drop(workflow);
    }
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_shutdown_names_five_sessions_at_most() {
    for (sessions, end) in [(1, "session-0 ("), (5, "session-4 ("), (6, ", … ("), (7, ", … (")]
    {
        let store = Scripted::new(Answers::Refuses, Duration::ZERO);
        let tracker = StatusTracker::builder(store).start().unwrap();
        for session in 0..sessions {
            one_call(&tracker, &name(session));
        }
        let mut error = tracker.shutdown(SECOND).await.unwrap_err();
        error.unsaved.sort_by(|a, b| a.session_id.cmp(&b.session_id));
        let text = error.to_string();
        assert!(text.ends_with(&format!("{end}refused)")), "{text}");
        assert_eq!(text.matches("session-").count(), sessions.min(5), "{text}");
        let subject = if sessions == 1 { "1 session " } else { "sessions " };
        assert!(text.contains(subject), "{text}");
    }
}
