//! More sessions than a tracker may have, on a table that fails in ways that last. A session is
//! refused only if as many as are allowed are live or unsaved. A flush tries each that is unsaved,
//! returns within a minute and names what it could not save. In the end, no call that was accepted
//! is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use tokio::time::{Instant, sleep};
use tower_agent_status::status::{AgentReport, AgentState, Change, Item, Precondition, TokenUsage};
use tower_agent_status::store::{MemoryStore, StoreError, WriteOutcome};
use tower_agent_status::{StatusTracker, Workflow, WorkflowError};

use crate::Counts;
use crate::faults::{Director, Fate, Fault, FaultyStore, Reached};

const AGENT: &str = "pdfAdapter";
const MINUTE: Duration = Duration::from_secs(60);
/// How long a flush of a hundred sessions takes if writes take ten seconds: after those in flight,
/// two rounds side by side.
const AT_MOST: Duration = Duration::from_secs(22);
/// The recorder finds a session that was let go without a write when it next sweeps.
const SWEEP: Duration = Duration::from_secs(2);
/// What must come up.
const EXPECTED: [&str; 8] = [
    "bounds: a new session, with the limit reached",
    "bounds: a session refused",
    "bounds: a session resumed from its item",
    "bounds: a flush that saved all",
    "bounds: a flush that named some",
    "bounds: a flush of over 64 sessions",
    "bounds: a flush of over ten seconds",
    "bounds: a flush of a minute",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Good,
    Unreliable,
    TimesOut,
    Throttles,
    Hangs,
}

/// A session as the table and the recorder know it.
#[derive(Default)]
struct Known {
    /// How many changes there were.
    changes: u64,
    /// How many of them are in the table, and how many the recorder knows to be there.
    applied: u64,
    acknowledged: u64,
    last_try: Option<Instant>,
    /// The last write was not acknowledged: be it a heartbeat, it is unsaved.
    is_tried: bool,
}

impl Known {
    fn is_unsaved(&self) -> bool {
        self.applied < self.changes
    }
}

struct Table {
    rng: Rng,
    mood: Mood,
    sessions: BTreeMap<String, Known>,
}

struct Moody(Mutex<Table>);

impl Moody {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The session of a write, and how many of its changes the write carries.
type Note = (String, u64);

impl Director for Moody {
    type Note = Note;

    fn asked(&self, change: &Change, _: &Precondition) -> (Note, Fate) {
        let mut table = self.lock();
        let session = change.session_id.to_string();
        let known = table.sessions.entry(session.clone()).or_default();
        known.last_try = Some(Instant::now());
        known.is_tried = true;
        let note = (session, known.changes);
        let (fault, up_to) = match table.mood {
            Mood::Good => (None, 20),
            Mood::Unreliable => {
                let faults = [Fault::FailBefore, Fault::FailAfter, Fault::Unknown];
                let fault = faults[table.rng.usize(..faults.len())];
                ((table.rng.u8(..3) == 0).then_some(fault), 50)
            }
            Mood::TimesOut => (Some(Fault::Unknown), 10_000),
            Mood::Throttles => (Some(Fault::Throttle), 2_000),
            Mood::Hangs => (Some(Fault::FailBefore), 200_000),
        };
        let before = Duration::from_millis(match table.mood {
            Mood::TimesOut | Mood::Hangs => up_to,
            _ => table.rng.u64(..up_to),
        });
        (note, Fate { fault, before, after: Duration::ZERO, late: Duration::ZERO })
    }

    fn reached(&self, (session, changes): &Note, _: Option<&Item>, reached: &Reached) {
        if matches!(reached, Reached::Applied(_)) {
            let mut table = self.lock();
            let known = table.sessions.entry(session.clone()).or_default();
            known.applied = known.applied.max(*changes);
        }
    }

    fn answered(&self, (session, changes): &Note, answer: &Result<WriteOutcome, StoreError>) {
        if matches!(answer, Ok(WriteOutcome::Applied)) {
            let mut table = self.lock();
            let known = table.sessions.entry(session.clone()).or_default();
            known.acknowledged = known.acknowledged.max(*changes);
            known.is_tried = false;
        }
    }
}

/// What a session has been through here.
#[derive(Default)]
struct Session {
    workflow: Option<Workflow>,
    is_in_progress: bool,
    let_go_at: Option<Instant>,
    tokens: u64,
}

impl Session {
    fn may_be_live(&self) -> bool {
        self.workflow.is_some()
            || self.is_in_progress
            || self.let_go_at.is_some_and(|at| at.elapsed() < SWEEP)
    }
}

struct Run {
    rng: Rng,
    table: MemoryStore,
    director: Arc<Moody>,
    tracker: StatusTracker,
    limit: usize,
    /// Until then, a write may hang.
    hangs_until: Option<Instant>,
    names: usize,
    sessions: BTreeMap<String, Session>,
    counts: Counts,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let (table, limit) = (MemoryStore::new(), [2, 10, 100][rng.usize(..3)]);
        let mood = Table { rng: rng.fork(), mood: Mood::Good, sessions: BTreeMap::new() };
        let director = Arc::new(Moody(Mutex::new(mood)));
        let store = FaultyStore::new(table.clone(), Arc::clone(&director));
        let tracker = StatusTracker::builder(store).max_sessions(limit).start().unwrap();
        let (names, sessions, counts) = (limit * 3 / 2, BTreeMap::new(), Counts::new());
        let hangs_until = None;
        Self { rng, table, director, tracker, limit, hangs_until, names, sessions, counts }
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn in_memory(&self) -> usize {
        self.sessions.keys().filter(|name| self.tracker.status(name).is_some()).count()
    }

    /// Checks that a session that was refused had no room.
    fn refused(&mut self, name: &str) -> Result<(), String> {
        self.count("bounds: a session refused");
        let table = self.director.lock();
        let counts = |(name, session): &(&String, &Session)| {
            let known = table.sessions.get(*name);
            session.may_be_live()
                || known.is_some_and(|known| known.is_tried || known.acknowledged < known.changes)
        };
        let counted = self.sessions.iter().filter(counts).count();
        if counted >= self.limit {
            return Ok(());
        }
        Err(format!("{name} was refused, though only {counted} of {} count", self.limit))
    }

    /// A call, or an end of one, in some session.
    fn report(&mut self) -> Result<(), String> {
        let name = format!("session-{}", self.rng.usize(..self.names));
        let tokens = self.rng.u64(1..100);
        let is_in_progress = self.rng.u8(..20) == 0;
        let state = if is_in_progress { AgentState::InProgress } else { AgentState::Success };
        let report = AgentReport::new(state).token_usage(TokenUsage::new(tokens, 0));
        let is_new = self.tracker.status(&name).is_none();
        let is_full = is_new && self.in_memory() == self.limit;
        match self.tracker.update_agent_status(&name, AGENT, report) {
            Ok(()) => {}
            Err(WorkflowError::Full) => return self.refused(&name),
            Err(error) => return Err(error.to_string()),
        }
        let session = self.sessions.entry(name.clone()).or_default();
        let is_resumed = is_new && session.tokens > 0;
        session.tokens += tokens;
        session.is_in_progress = is_in_progress;
        self.director.lock().sessions.entry(name).or_default().changes += 1;
        if is_full {
            self.count("bounds: a new session, with the limit reached");
        }
        if is_resumed {
            self.count("bounds: a session resumed from its item");
        }
        Ok(())
    }

    /// Opens a workflow on some session, or lets go of the one that is open.
    fn workflow(&mut self) -> Result<(), String> {
        let name = format!("session-{}", self.rng.usize(..self.names));
        if let Some(session) = self.sessions.get_mut(&name)
            && let Some(workflow) = session.workflow.take()
        {
            workflow.detach();
            session.let_go_at = Some(Instant::now());
            return Ok(());
        }
        let number = self.rng.u64(..);
        match self.tracker.workflow(&name).attribute("number", number).start() {
            Ok(workflow) => {
                self.sessions.entry(name.clone()).or_default().workflow = Some(workflow);
                self.director.lock().sessions.entry(name).or_default().changes += 1;
                Ok(())
            }
            Err(WorkflowError::Full) => self.refused(&name),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn flush(&mut self) -> Result<bool, String> {
        let begin = Instant::now();
        let unsaved: BTreeSet<String> = {
            let table = self.director.lock();
            let unsaved = table.sessions.iter().filter(|(_, known)| known.is_unsaved());
            unsaved.map(|(name, _)| name.clone()).collect()
        };
        let result = self.tracker.flush().await;
        let took = begin.elapsed();
        let hangs = self.hangs_until.is_some_and(|until| until > begin);
        if took > if hangs { MINUTE } else { AT_MOST } {
            return Err(format!("a flush took {took:?}"));
        }
        let named = result.as_ref().err().map(|error| &error.unsaved);
        let named: BTreeSet<String> =
            named.into_iter().flatten().map(|unsaved| unsaved.session_id.to_string()).collect();
        {
            let table = self.director.lock();
            for name in &unsaved {
                let known = &table.sessions[name];
                if !known.is_unsaved() {
                    continue;
                }
                if !named.contains(name) {
                    return Err(format!("{name} is not saved and not named"));
                }
                if took < MINUTE && known.last_try.is_none_or(|at| at < begin) {
                    return Err(format!("{name} was not tried by a flush of {took:?}"));
                }
            }
        }
        self.count(match result {
            Ok(()) => "bounds: a flush that saved all",
            Err(_) => "bounds: a flush that named some",
        });
        if unsaved.len() > 64 {
            self.count("bounds: a flush of over 64 sessions");
        }
        if took > MINUTE / 6 {
            self.count("bounds: a flush of over ten seconds");
        }
        if took == MINUTE {
            self.count("bounds: a flush of a minute");
        }
        Ok(result.is_ok())
    }

    async fn step(&mut self) -> Result<(), String> {
        match self.rng.u8(..16) {
            0..6 => {
                let calls = self.rng.usize(..=self.limit.div_ceil(2));
                for _ in 0..calls {
                    self.report()?;
                }
            }
            6..8 => self.workflow()?,
            8..11 => {
                let moods = [
                    Mood::Good,
                    Mood::Good,
                    Mood::Unreliable,
                    Mood::TimesOut,
                    Mood::Throttles,
                    Mood::Hangs,
                ];
                let mood = moods[self.rng.usize(..moods.len())];
                let before = std::mem::replace(&mut self.director.lock().mood, mood);
                if mood == Mood::Hangs {
                    self.hangs_until = Some(Instant::now() + 1_000 * MINUTE);
                } else if before == Mood::Hangs {
                    // The recorder gives up a write after a minute.
                    self.hangs_until = Some(Instant::now() + MINUTE);
                }
            }
            11..13 => drop(self.flush().await?),
            _ => {
                let pause = [50, 3_000, 30_000, 700_000][self.rng.usize(..4)];
                sleep(Duration::from_millis(self.rng.u64(..pause))).await;
            }
        }
        let in_memory = self.in_memory();
        if in_memory > self.limit {
            return Err(format!("{in_memory} sessions are in memory, not {}", self.limit));
        }
        Ok(())
    }

    /// Checks the items, after everything is saved.
    async fn check(&mut self) -> Result<(), String> {
        self.director.lock().mood = Mood::Good;
        self.hangs_until = Some(Instant::now() + MINUTE);
        // A write that hangs is given up after a minute.
        for _ in 0..5 {
            if self.flush().await? {
                break;
            }
        }
        for (name, Session { tokens, .. }) in &self.sessions {
            let status = self.table.status(name);
            let shown = status.and_then(|status| status.total_token_usage().input_tokens);
            if shown.unwrap_or(0) != *tokens {
                return Err(format!("{name} has {shown:?} tokens, not {tokens}"));
            }
        }
        Ok(())
    }
}

#[test]
fn only_what_is_live_or_unsaved_counts_and_a_flush_takes_a_minute_at_most() {
    crate::run_seeds(&EXPECTED, |seed| async move {
        let mut run = Run::new(seed);
        for _ in 0..run.rng.usize(1..30) {
            run.step().await?;
        }
        run.check().await?;
        Ok(std::mem::take(&mut run.counts))
    });
}
