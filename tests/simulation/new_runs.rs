//! Messages that are posted again, to one process or another, whatever happens in between: a run that
//! ended long enough ago is replaced, and its sums are kept; one that has just ended is joined. The item
//! never mixes two runs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use tokio::time::{Instant, sleep, timeout};
use tower_agent_status::StatusTracker;
use tower_agent_status::status::{
    AgentReport, AgentState, Change, Item, OverallStatus, Precondition, TokenUsage, WorkflowStatus,
};
use tower_agent_status::store::{MemoryStore, StoreError, WriteOutcome};

use crate::Counts;
use crate::faults::{Director, Fate, Fault, FaultyStore, Reached};

const SESSION: &str = "session-again";
const AGENTS: [&str; 2] = ["pdfAdapter", "tradeExtraction"];
const AGE: Duration = Duration::from_secs(60);
/// What must come up.
const EXPECTED: [&str; 5] = [
    "new runs: begun by the process of the run before",
    "new runs: begun by another",
    "new runs: begun before the run before was saved",
    "new runs: a run that has just ended was joined",
    "new runs: with an answer that was lost",
];

#[derive(Clone, Debug, Default, PartialEq)]
struct Run {
    calls: u64,
    tokens: u64,
    is_failed: bool,
}

struct Model {
    run: Run,
    previous: Option<Run>,
    ended_at: Option<Instant>,
    owner: usize,
    is_saved: bool,
}

/// Every third write meets a fault.
struct Unreliable {
    rng: Mutex<Rng>,
    lost: Arc<Mutex<u64>>,
}

impl Director for Unreliable {
    type Note = ();

    fn asked(&self, _: &Change, _: &Precondition) -> ((), Fate) {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        let fate = Fate::of_three(&mut rng, &Fault::PASSING);
        if matches!(fate.fault, Some(Fault::FailAfter | Fault::AppliedLate)) {
            *self.lost.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        }
        ((), fate)
    }

    fn reached(&self, (): &(), _: Option<&Item>, _: &Reached) {}

    fn answered(&self, (): &(), _: &Result<WriteOutcome, StoreError>) {}
}

struct Sim {
    rng: Rng,
    table: MemoryStore,
    processes: Vec<StatusTracker>,
    lost: Arc<Mutex<u64>>,
    model: Option<Model>,
    counts: Counts,
}

impl Sim {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let (table, begin, lost) = (MemoryStore::new(), Instant::now(), Arc::default());
        let processes = (0..3).map(|_| {
            let director = Unreliable { rng: Mutex::new(rng.fork()), lost: Arc::clone(&lost) };
            let store = FaultyStore::new(table.clone(), Arc::new(director));
            let clock = move || {
                SystemTime::UNIX_EPOCH + Duration::from_secs(1_766_570_400) + begin.elapsed()
            };
            StatusTracker::builder(store).clock(clock).start().unwrap()
        });
        let processes = processes.collect();
        Self { rng, table, processes, lost, model: None, counts: Counts::new() }
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn report(&mut self, process: usize) {
        let agent = AGENTS[self.rng.usize(..AGENTS.len())];
        let tokens = self.rng.u64(1..1_000);
        let report = AgentReport::new(AgentState::Success).token_usage(TokenUsage::new(tokens, 0));
        self.processes[process].update_agent_status(SESSION, agent, report).unwrap();
        let run = &mut self.model.as_mut().unwrap().run;
        run.calls += 1;
        run.tokens += tokens;
    }

    /// A message is posted to a process, which works on it.
    async fn post(&mut self, process: usize) -> Result<(), String> {
        let now = Instant::now();
        let begins = match &self.model {
            None => true,
            Some(model) => model.ended_at.is_some_and(|ended| now - ended >= AGE),
        };
        let workflow =
            self.processes[process].workflow(SESSION).new_run_after(AGE).start().unwrap();
        let before = self.model.take();
        self.model = Some(match before {
            Some(model) if !begins => {
                if model.ended_at.is_some() {
                    self.count("new runs: a run that has just ended was joined");
                }
                model
            }
            before => {
                if let Some(before) = &before {
                    let (same, is_saved) = (before.owner == process, before.is_saved);
                    self.count(match same {
                        true => "new runs: begun by the process of the run before",
                        false => "new runs: begun by another",
                    });
                    if !is_saved {
                        self.count("new runs: begun before the run before was saved");
                    }
                }
                let previous = before.map(|before| before.run);
                let run = Run::default();
                Model { run, previous, ended_at: None, owner: process, is_saved: false }
            }
        });
        let lost = *self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..self.rng.usize(1..4) {
            self.report(process);
            let pause = [0, 10, 2_000, 40_000][self.rng.usize(..4)];
            sleep(Duration::from_millis(pause)).await;
        }
        let is_failed = self.rng.bool();
        let model = self.model.as_mut().unwrap();
        if model.ended_at.is_none() {
            (model.ended_at, model.run.is_failed) = (Some(Instant::now()), is_failed);
        }
        match is_failed {
            true => workflow.fail("it failed"),
            false => workflow.complete(),
        }
        drop(workflow);
        if begins && *self.lost.lock().unwrap_or_else(PoisonError::into_inner) > lost {
            self.count("new runs: with an answer that was lost");
        }
        self.model.as_mut().unwrap().is_saved = false;
        // Only a process that begins the next run itself may leave it unsaved. One that joins a run
        // without having read its item takes its own end for that of the run until then.
        if !begins || self.rng.u8(..4) > 0 {
            self.save(process).await?;
        }
        Ok(())
    }

    async fn save(&mut self, process: usize) -> Result<(), String> {
        for _ in 0..30 {
            match timeout(Duration::from_secs(61), self.processes[process].flush()).await {
                Ok(Ok(())) => {
                    self.model.as_mut().unwrap().is_saved = true;
                    return self.check();
                }
                Ok(Err(_)) => {}
                Err(_) => return Err("a flush does not return within a minute".to_owned()),
            }
        }
        Err("a process is stuck".to_owned())
    }

    fn check(&self) -> Result<(), String> {
        let status = self.table.status(SESSION).ok_or("there is no item")?;
        let model = self.model.as_ref().unwrap();
        let is_failed = status.overall_status == OverallStatus::Failed;
        let has = Run { calls: calls(&status), tokens: tokens(&status), is_failed };
        if has != model.run || !status.overall_status.is_finished() {
            return Err(format!("{:?}, not {:?}: {status:?}", has, model.run));
        }
        let previous = status.previous_run.map(|run| {
            let is_failed = run.overall_status == OverallStatus::Failed;
            (run.total_token_usage.input_tokens.unwrap(), is_failed)
        });
        let expected = model.previous.as_ref().map(|run| (run.tokens, run.is_failed));
        if previous != expected {
            return Err(format!("the run before: {previous:?}, not {expected:?}"));
        }
        Ok(())
    }

    async fn run(&mut self) -> Result<(), String> {
        let mut process = 0;
        for _ in 0..self.rng.usize(1..12) {
            let is_saved = self.model.as_ref().is_none_or(|model| model.is_saved);
            if is_saved && self.rng.bool() {
                process = self.rng.usize(..self.processes.len());
            }
            self.post(process).await?;
            let pause = [0, 1, 59, 61, 1_000][self.rng.usize(..5)];
            sleep(Duration::from_secs(pause)).await;
        }
        self.save(process).await
    }
}

fn calls(status: &WorkflowStatus) -> u64 {
    status.agents().map(|(_, agent)| agent.calls).sum()
}

fn tokens(status: &WorkflowStatus) -> u64 {
    status.total_token_usage().input_tokens.unwrap_or(0)
}

#[test]
fn a_session_that_is_posted_again_has_the_newest_run_and_the_sum_of_the_previous_one() {
    crate::run_seeds(&EXPECTED, |seed| async move {
        let mut sim = Sim::new(seed);
        sim.run().await?;
        Ok(std::mem::take(&mut sim.counts))
    });
}
