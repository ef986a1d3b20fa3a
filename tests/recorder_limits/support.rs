//! Calls of sessions, and a store that fails by a script.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, sleep};
use tower_agent_status::StatusTracker;
use tower_agent_status::status::{
    AgentReport, AgentState, Change, Precondition, Timestamp, TokenUsage,
};
use tower_agent_status::store::{
    MemoryStore, StatusStore, StoreError, StoreErrorKind, WriteOutcome,
};

pub(crate) fn name(session: usize) -> String {
    format!("session-{session}")
}

/// One call of an agent, with ten tokens, in a session that no workflow is opened on.
pub(crate) fn one_call(tracker: &StatusTracker, session: &str) {
    let report = AgentReport::new(AgentState::Success).token_usage(TokenUsage::new(9, 1));
    tracker.update_agent_status(session, "pdfAdapter", report).unwrap();
}

/// How the store answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answers {
    Saves,
    TimesOut,
    Throttles,
    Refuses,
}

/// A store that notes when each session is tried.
#[derive(Clone)]
pub(crate) struct Scripted {
    pub(crate) table: MemoryStore,
    state: Arc<Mutex<State>>,
}

pub(crate) struct State {
    pub(crate) answers: Answers,
    pub(crate) takes: Duration,
    pub(crate) tries: BTreeMap<String, Vec<Instant>>,
    pub(crate) in_flight: usize,
    pub(crate) most_in_flight: usize,
    /// How many writes were applied.
    pub(crate) saved: usize,
}

impl Scripted {
    pub(crate) fn new(answers: Answers, takes: Duration) -> Self {
        let (in_flight, most_in_flight, saved) = (0, 0, 0);
        let state =
            State { answers, takes, tries: BTreeMap::new(), in_flight, most_in_flight, saved };
        Self { table: MemoryStore::new(), state: Arc::new(Mutex::new(state)) }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// When this session was tried.
    pub(crate) fn tries_of(&self, session: usize) -> Vec<Instant> {
        self.state().tries.get(&name(session)).cloned().unwrap_or_default()
    }

    /// How often each session was tried from then until now.
    pub(crate) fn tries_since(&self, since: Instant) -> Vec<usize> {
        let (state, now) = (self.state(), Instant::now());
        let is_in = |at: &&Instant| (since..now).contains(*at);
        state.tries.values().map(|tries| tries.iter().filter(is_in).count()).collect()
    }
}

impl StatusStore for Scripted {
    async fn write(
        &self,
        change: &Change,
        expected: Precondition,
    ) -> Result<WriteOutcome, StoreError> {
        let (answers, takes) = {
            let mut state = self.state();
            state.tries.entry(change.session_id.to_string()).or_default().push(Instant::now());
            state.in_flight += 1;
            state.most_in_flight = state.most_in_flight.max(state.in_flight);
            (state.answers, state.takes)
        };
        sleep(takes).await;
        self.state().in_flight -= 1;
        match answers {
            Answers::Saves => {
                let outcome = self.table.write(change, expected).await?;
                self.state().saved += usize::from(outcome == WriteOutcome::Applied);
                Ok(outcome)
            }
            Answers::TimesOut => {
                Err(StoreError::new(StoreErrorKind::Unavailable, "timed out").ambiguous())
            }
            Answers::Throttles => Err(StoreError::new(StoreErrorKind::Throttled, "throttled")),
            Answers::Refuses => Err(StoreError::new(StoreErrorKind::Permanent, "refused")),
        }
    }
}

/// A clock that goes on with paused time, and can be set.
#[derive(Clone)]
pub(crate) struct SetClock {
    begin: Instant,
    ahead: Arc<AtomicI64>,
}

impl SetClock {
    /// A clock that is ahead by this many seconds.
    pub(crate) fn new(ahead: i64) -> Self {
        Self { begin: Instant::now(), ahead: Arc::new(ahead.into()) }
    }

    /// Sets it ahead by this many seconds, or behind.
    pub(crate) fn set(&self, ahead: i64) {
        self.ahead.store(ahead, Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> SystemTime {
        let seconds = 1_766_570_400 + self.ahead.load(Ordering::SeqCst);
        UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs()) + self.begin.elapsed()
    }

    pub(crate) fn source(&self) -> impl Fn() -> SystemTime + Send + Sync + 'static {
        let clock = self.clone();
        move || clock.now()
    }

    /// What a clock shows that nobody has set.
    pub(crate) fn right(&self) -> Timestamp {
        Timestamp::from(UNIX_EPOCH + Duration::from_secs(1_766_570_400) + self.begin.elapsed())
    }
}
