//! How many writes are in flight: as many as the store answers quickly, or as many as are set.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use tower_agent_status::status::{Change, Precondition};
use tower_agent_status::store::{MemoryStore, StatusStore, StoreError, WriteOutcome};
use tower_agent_status::{StatusTracker, StatusTrackerBuilder};

use crate::support::{Answers, Scripted, name, one_call};

const QUICK: Duration = Duration::from_millis(5);

fn start(builder: StatusTrackerBuilder<Scripted>) -> StatusTracker {
    builder.start().unwrap()
}

/// Makes this many calls, each in a session of its own.
fn calls(tracker: &StatusTracker, sessions: std::ops::Range<usize>) {
    sessions.for_each(|session| one_call(tracker, &name(session)));
}

/// Waits until the store has applied this many writes.
async fn saved(store: &Scripted, writes: usize) {
    while store.state().saved < writes {
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn more_writes_are_in_flight_if_the_store_is_quick_and_they_are_needed() {
    let store = Scripted::new(Answers::Saves, QUICK);
    let tracker = start(StatusTracker::builder(store.clone()));
    calls(&tracker, 0..64);
    saved(&store, 64).await;
    assert_eq!(store.state().most_in_flight, 64, "nothing waits");

    let begin = Instant::now();
    calls(&tracker, 64..10_000);
    saved(&store, 10_000).await;
    assert_eq!(store.state().most_in_flight, 512);
    // 780 ms with 64.
    assert!(begin.elapsed() < Duration::from_millis(250), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_slow_store_gets_no_more_writes() {
    let store = Scripted::new(Answers::Saves, Duration::from_secs(2));
    let tracker = start(StatusTracker::builder(store.clone()));
    calls(&tracker, 0..1_000);
    while store.state().saved < 1_000 {
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(store.state().most_in_flight, 64);
}

/// A store that serves so many writes at a time, each in 5 ms, and lets others wait.
#[derive(Clone)]
struct Narrow {
    table: MemoryStore,
    places: Arc<Semaphore>,
    longest_wait: Arc<Mutex<Duration>>,
}

impl Narrow {
    fn note(&self, wait: Duration) {
        let mut longest = self.longest_wait.lock().unwrap();
        *longest = longest.max(wait);
    }
}

impl StatusStore for Narrow {
    async fn write(
        &self,
        change: &Change,
        expected: Precondition,
    ) -> Result<WriteOutcome, StoreError> {
        let begin = Instant::now();
        let _place = self.places.acquire().await.unwrap();
        sleep(QUICK).await;
        self.note(begin.elapsed());
        self.table.write(change, expected).await
    }
}

#[tokio::test(start_paused = true)]
async fn writes_do_not_pile_up_in_a_store_that_serves_few_at_a_time() {
    for places in [4, 16] {
        let store = Narrow {
            table: MemoryStore::new(),
            places: Arc::new(Semaphore::new(places)),
            longest_wait: Arc::default(),
        };
        let tracker = StatusTracker::builder(store.clone()).start().unwrap();
        // So long that the best time is forgotten, and measured anew.
        for _ in 0..14 {
            calls(&tracker, 0..600);
            sleep(Duration::from_secs(10)).await;
        }
        let longest = *store.longest_wait.lock().unwrap();
        let with_64 = QUICK * u32::try_from(64_usize.div_ceil(places)).unwrap();
        assert!(longest <= 2 * with_64, "{places} places: {longest:?}, with 64 {with_64:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn throttling_narrows_the_writes_and_they_widen_again_after_it() {
    fastrand::seed(1);
    let store = Scripted::new(Answers::Saves, QUICK);
    let tracker = start(StatusTracker::builder(store.clone()));
    calls(&tracker, 0..7_000);
    saved(&store, 7_000).await;
    assert_eq!(store.state().most_in_flight, 512);

    store.state().answers = Answers::Throttles;
    calls(&tracker, 7_000..14_000);
    sleep(Duration::from_millis(50)).await;
    // The first were sent before any answer came.
    store.state().most_in_flight = 0;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(store.state().most_in_flight, 1);

    store.state().answers = Answers::Saves;
    saved(&store, 14_000).await;
    assert_eq!(store.state().most_in_flight, 512);
}

#[tokio::test(start_paused = true)]
async fn a_number_that_is_set_is_never_exceeded() {
    for (set, at_most) in [(0, 1), (10, 10), (300, 300)] {
        let store = Scripted::new(Answers::Saves, QUICK);
        let builder = StatusTracker::builder(store.clone()).max_writes_in_flight(set);
        let tracker = start(builder);
        calls(&tracker, 0..1_000);
        saved(&store, 1_000).await;
        assert_eq!(store.state().most_in_flight, at_most);

        // Not in a round either, though the store does not answer for long.
        store.state().answers = Answers::TimesOut;
        store.state().takes = Duration::from_secs(10);
        calls(&tracker, 1_000..2_000);
        let begin = Instant::now();
        let error = tracker.flush().await.unwrap_err();
        assert!(begin.elapsed() <= Duration::from_secs(60), "{set}: {:?}", begin.elapsed());
        assert_eq!(error.unsaved.len(), 1_000);
        assert_eq!(store.state().most_in_flight, at_most);
    }
}
