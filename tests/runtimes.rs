//! A tracker that outlives the runtimes in which it is used, as one in a `static` that several
//! `#[tokio::test]`s share.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, mpsc};
use std::thread;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tower_agent_status::status::{
    AgentReport, AgentState, Change, OverallStatus, Precondition, TokenUsage,
};
use tower_agent_status::store::{MemoryStore, StatusStore, StoreError, WriteOutcome};
use tower_agent_status::{StatusTracker, UnsavedError};

use warnings::Warnings;

#[path = "store/warnings.rs"]
mod warnings;

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

/// Both flavors, one after another.
fn runtime(n: usize) -> Runtime {
    match n % 2 {
        0 => Builder::new_current_thread().enable_all().build().unwrap(),
        _ => Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap(),
    }
}

/// A call of an agent, with ten tokens.
fn call(tracker: &StatusTracker, session: &str) {
    let report = AgentReport::new(AgentState::Success).token_usage(TokenUsage::new(9, 1));
    tracker.update_agent_status(session, "pdfAdapter", report).unwrap();
}

fn tokens(store: &MemoryStore, session: &str) -> Option<u64> {
    store.status(session)?.total_token_usage().total_tokens
}

/// A tracker that was started on a runtime which has ended since.
fn left_behind(store: impl StatusStore, n: usize, session: &str) -> StatusTracker {
    let runtime = runtime(n);
    runtime.block_on(async {
        // Nothing is written before the runtime ends.
        let tracker = StatusTracker::builder(store).batch_delay(HOUR).start().unwrap();
        call(&tracker, session);
        tracker
    })
}

fn sessions(error: &UnsavedError) -> Vec<&str> {
    error.unsaved.iter().map(|unsaved| unsaved.session_id.as_str()).collect()
}

static STORE: LazyLock<MemoryStore> = LazyLock::new(MemoryStore::new);
static TRACKER: LazyLock<StatusTracker> =
    LazyLock::new(|| StatusTracker::builder(STORE.clone()).start().unwrap());

#[test]
fn a_tracker_in_a_static_saves_in_each_runtime() {
    for n in 0..6 {
        let session = format!("static-{n}");
        runtime(n).block_on(async {
            let workflow = TRACKER.workflow(&session);
            workflow.run(async { Ok::<_, std::convert::Infallible>(()) }).await.unwrap();
            call(&TRACKER, &session);
            TRACKER.flush().await.unwrap();
        });
        let status = STORE.status(&session).unwrap();
        assert_eq!(status.overall_status, OverallStatus::Completed);
        assert_eq!(tokens(&STORE, &session), Some(10), "{session}");
        // And a session that every runtime adds to.
        runtime(n + 1).block_on(async {
            call(&TRACKER, "shared");
            TRACKER.flush().await.unwrap();
        });
        assert_eq!(tokens(&STORE, "shared"), Some(10 * (n as u64 + 1)));
    }
    assert_eq!(TRACKER.lost(), 0);
}

#[test]
fn runtimes_side_by_side_share_a_tracker_while_they_come_and_go() {
    let store = MemoryStore::new();
    let tracker = runtime(0).block_on(async {
        StatusTracker::builder(store.clone()).batch_delay(Duration::ZERO).start().unwrap()
    });
    thread::scope(|scope| {
        for thread in 0..4 {
            let (tracker, store) = (&tracker, &store);
            scope.spawn(move || {
                for n in 0..25 {
                    let session = format!("{thread}-{n}");
                    runtime(n).block_on(async {
                        call(tracker, "shared");
                        call(tracker, &session);
                        tracker.flush().await.unwrap();
                    });
                    assert_eq!(tokens(store, &session), Some(10), "{session}");
                }
            });
        }
    });
    assert_eq!((tokens(&store, "shared"), tracker.lost()), (Some(1000), 0));
}

#[test]
fn what_a_runtime_leaves_unsaved_is_saved_on_the_next() {
    for n in 0..2 {
        for ends in [false, true] {
            let store = MemoryStore::new();
            let warnings = Warnings::watch();
            let tracker = left_behind(store.clone(), n, "left");
            let lines = warnings.take();
            // The threads of the other flavor have no subscriber.
            assert!(
                n == 1
                    || matches!(&*lines, [line] if line.contains("left") && line.contains("call `flush`")),
                "{lines:?}"
            );
            assert!(store.history().is_empty());
            runtime(n + 1).block_on(async {
                match ends {
                    true => tracker.shutdown(MINUTE).await.unwrap(),
                    false => tracker.flush().await.unwrap(),
                }
            });
            assert_eq!((tokens(&store, "left"), tracker.lost()), (Some(10), 0));
            assert_eq!(warnings.take(), [""; 0]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_is_enough_to_go_on() {
    for session in ["left", "another"] {
        let store = MemoryStore::new();
        let other = store.clone();
        // A runtime cannot be dropped inside of another.
        let tracker = thread::spawn(move || left_behind(other, 0, "left")).join().unwrap();
        call(&tracker, session);
        tokio::time::sleep(2 * HOUR).await;
        let left = if session == "left" { 20 } else { 10 };
        assert_eq!(tokens(&store, "left"), Some(left));
        assert!(tokens(&store, session).is_some());
    }
}

#[test]
fn outside_of_a_runtime_nothing_panics_and_nothing_is_claimed_to_be_saved() {
    let store = MemoryStore::new();
    let tracker = left_behind(store.clone(), 0, "left");
    let warnings = Warnings::watch();
    call(&tracker, "outside");
    call(&tracker, "outside");
    let lines = warnings.take();
    assert!(matches!(&*lines, [line] if line.contains("outside of a tokio runtime")), "{lines:?}");
    for error in [
        // Neither waits.
        tracker.flush().now_or_never().unwrap().unwrap_err(),
        tracker.shutdown(MINUTE).now_or_never().unwrap().unwrap_err(),
    ] {
        let mut named = sessions(&error);
        named.sort_unstable();
        assert_eq!((named, error.lost), (vec!["left", "outside"], 0));
        assert!(error.to_string().contains("inside of a tokio runtime"), "{error}");
    }
    runtime(0).block_on(tracker.flush()).unwrap();
    assert_eq!((tokens(&store, "left"), tokens(&store, "outside")), (Some(10), Some(20)));
    // With nothing unsaved, there is nothing to say.
    tracker.flush().now_or_never().unwrap().unwrap();
}

#[test]
fn a_runtime_that_is_ending_takes_no_recorder() {
    for n in 0..2 {
        let store = MemoryStore::new();
        let ending = runtime(n);
        let handle = ending.handle().clone();
        let tracker = ending.block_on(async {
            let tracker = StatusTracker::builder(store.clone()).batch_delay(HOUR).start().unwrap();
            // Dropped with the runtime, each ends its workflow as abandoned.
            for task in 0..20 {
                let workflow = tracker.workflow(format!("task-{task}")).start().unwrap();
                tokio::spawn(async move {
                    pending::<()>().await;
                    drop(workflow);
                });
            }
            tokio::task::yield_now().await;
            tracker
        });
        drop(ending);
        let entered = handle.enter();
        call(&tracker, "late");
        let error = tracker.flush().now_or_never().unwrap().unwrap_err();
        assert_eq!(error.unsaved.len(), 21, "{error}");
        drop(entered);
        runtime(n).block_on(tracker.flush()).unwrap();
        for task in 0..20 {
            let status = store.status(&format!("task-{task}")).unwrap();
            assert_eq!(status.overall_status, OverallStatus::Failed);
        }
        assert_eq!(tokens(&store, "late"), Some(10));
    }
}

/// A store whose first write does not return. The item has it or not.
#[derive(Clone)]
struct Hangs {
    table: MemoryStore,
    is_applied: bool,
    writes: Arc<AtomicUsize>,
    hangs: Arc<Notify>,
}

impl Hangs {
    fn new(is_applied: bool) -> Self {
        let (table, writes, hangs) = (MemoryStore::new(), Arc::default(), Arc::default());
        Self { table, is_applied, writes, hangs }
    }
}

impl StatusStore for Hangs {
    async fn write(
        &self,
        change: &Change,
        expected: Precondition,
    ) -> Result<WriteOutcome, StoreError> {
        if self.writes.fetch_add(1, Ordering::SeqCst) > 0 {
            return self.table.write(change, expected).await;
        }
        if self.is_applied {
            self.table.write(change, expected).await?;
        }
        self.hangs.notify_one();
        pending().await
    }
}

#[test]
fn a_write_that_ends_with_its_runtime_counts_once() {
    for (n, is_applied) in [(0, false), (0, true), (1, false), (1, true)] {
        let store = Hangs::new(is_applied);
        let tracker = runtime(n).block_on(async {
            let tracker = StatusTracker::builder(store.clone()).start().unwrap();
            call(&tracker, "cut");
            store.hangs.notified().await;
            // Changed while the write is in flight.
            call(&tracker, "cut");
            tracker
        });
        runtime(n).block_on(tracker.flush()).unwrap();
        assert_eq!(tokens(&store.table, "cut"), Some(20), "applied: {is_applied}");
        let status = store.table.status("cut").unwrap();
        assert_eq!(status.agent("pdfAdapter").unwrap().calls, 2);
    }
}

#[test]
fn a_flush_that_waits_on_another_runtime_goes_on_when_that_ends() {
    for ends in [false, true] {
        let store = Hangs::new(true);
        let first = runtime(1);
        let tracker = first.block_on(async {
            let tracker = StatusTracker::builder(store.clone()).start().unwrap();
            call(&tracker, "cut");
            store.hangs.notified().await;
            tracker
        });
        let (waits, is_waiting) = mpsc::channel();
        let other = tracker.clone();
        let flush = thread::spawn(move || {
            runtime(0).block_on(async {
                let mut answer = Box::pin(async move {
                    match ends {
                        true => other.shutdown(HOUR).await,
                        false => other.flush().await,
                    }
                });
                // The recorder has the command before its runtime ends.
                assert!((&mut answer).now_or_never().is_none());
                waits.send(()).unwrap();
                answer.await
            })
        });
        is_waiting.recv().unwrap();
        drop(first);
        flush.join().unwrap().unwrap();
        assert_eq!(tokens(&store.table, "cut"), Some(10));
    }
}

#[test]
fn the_last_tracker_saves_what_its_runtime_left() {
    let store = MemoryStore::new();
    let tracker = left_behind(store.clone(), 0, "left");
    runtime(0).block_on(async {
        drop(tracker);
        while tokens(&store, "left").is_none() {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn a_recorder_that_panics_is_not_started_again() {
    let store = MemoryStore::new();
    let panics = Arc::new(AtomicBool::new(false));
    let clock = {
        let panics = Arc::clone(&panics);
        move || {
            assert!(!panics.load(Ordering::SeqCst), "the clock is broken");
            SystemTime::UNIX_EPOCH + HOUR
        }
    };
    let tracker = runtime(0).block_on(async {
        let tracker = StatusTracker::builder(store.clone()).clock(clock).start().unwrap();
        call(&tracker, "a");
        panics.store(true, Ordering::SeqCst);
        let error = tracker.flush().await.unwrap_err();
        assert!(error.to_string().contains("the recorder has panicked"), "{error}");
        tracker
    });
    panics.store(false, Ordering::SeqCst);
    let warnings = Warnings::watch();
    runtime(0).block_on(async {
        let report = AgentReport::new(AgentState::Success);
        assert!(tracker.update_agent_status("b", "pdfAdapter", report).is_err());
        let error = tracker.flush().await.unwrap_err();
        assert_eq!((sessions(&error), error.lost), (vec!["a"], 1));
    });
    let lines = warnings.take();
    assert!(matches!(&*lines, [line] if line.contains("the recorder has panicked")), "{lines:?}");
}

#[test]
fn a_test_that_fails_leaves_the_tracker_to_the_others() {
    let store = MemoryStore::new();
    let tracker =
        runtime(0).block_on(async { StatusTracker::builder(store.clone()).start().unwrap() });
    // The runtime, and the recorder with it, is dropped while the thread unwinds.
    let failed = catch_unwind(AssertUnwindSafe(|| {
        runtime(0).block_on(async {
            call(&tracker, "failed");
            panic!("an assertion has failed");
        });
    }));
    assert!(failed.is_err());
    runtime(0).block_on(tracker.flush()).unwrap();
    assert_eq!(tokens(&store, "failed"), Some(10));
}

#[tokio::test]
async fn what_comes_after_a_shutdown_is_an_error_of_the_next_flush() {
    let tracker = StatusTracker::builder(MemoryStore::new()).start().unwrap();
    call(&tracker, "a");
    tracker.shutdown(MINUTE).await.unwrap();
    tracker.flush().await.unwrap();
    let report = AgentReport::new(AgentState::Success);
    assert!(tracker.update_agent_status("b", "pdfAdapter", report.clone()).is_err());
    let error = tracker.flush().await.unwrap_err();
    assert_eq!((error.unsaved.len(), error.lost), (0, 1));
    assert_eq!(error.to_string(), "1 change came after the recorder had ended and is lost");
    assert!(tracker.update_agent_status("a", "pdfAdapter", report).is_err());
    let error = tracker.shutdown(MINUTE).await.unwrap_err();
    assert_eq!(error.to_string(), "2 changes came after the recorder had ended and are lost");
}
