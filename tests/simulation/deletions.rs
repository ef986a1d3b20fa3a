//! Items that are deleted while processes work on them: made again by one of these, made anew by a
//! process that has just started, or put back as an earlier copy. No call counts twice. Each write of
//! a process has all of its calls, but for those that were saved in an item that is gone, if the log
//! says so. While an item lives, nothing in it gets less. Nobody is stuck, and no workflow ends but by
//! its owner.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tower_agent_status::status::{
    AgentReport, AgentState, Change, Item, OverallStatus, Precondition, TokenUsage, WorkflowStatus,
};
use tower_agent_status::store::{
    MemoryStore, StatusReader as _, StatusStore as _, StoreError, WriteOutcome,
};
use tower_agent_status::{SessionId, StatusTracker, Workflow};

use crate::Counts;
use crate::faults::{Director, Fate, Fault, FaultyStore, Reached};
use crate::log::{self, PROCESS, Said};

const SESSION: &str = "session-deleted";
const AGENTS: [&str; 2] = ["pdfAdapter", "tradeExtraction"];
/// How many processes a run may have: each one's calls have tokens of a size of their own.
const PROCESSES: usize = 6;
/// What must come up.
const EXPECTED: [&str; 8] = [
    "deleted: an item",
    "deleted: an item, while a write was in flight",
    "deleted: written again by a process that knew it",
    "deleted: made anew by a process that did not",
    "deleted: made anew, and then written by one that knew the other",
    "deleted: an earlier copy put back",
    "deleted: the log says that saved calls are missing",
    "deleted: a call that is missing, as the log says",
];

/// The tokens of each call of a process.
fn tokens(process: usize) -> u64 {
    1_000_u64.pow(u32::try_from(process).unwrap())
}

/// How many calls of each process the item has.
fn counted(item: &Item) -> [u64; PROCESSES] {
    let status = WorkflowStatus::from_item(&SessionId::new(SESSION).unwrap(), item);
    let sum = status.total_token_usage().input_tokens.unwrap_or(0);
    std::array::from_fn(|process| sum / tokens(process) % 1_000)
}

#[derive(Default)]
struct Model {
    /// How many calls each process has made.
    made: [u64; PROCESSES],
    /// How many when an item was last deleted or replaced.
    made_before: [u64; PROCESSES],
    /// How many may be missing of those, as the log says.
    missing: [u64; PROCESSES],
    in_flight: usize,
    /// Whether a process has written an item, or read it in a conflict.
    knows: [bool; PROCESSES],
    /// The item is one that was made anew.
    is_anew: bool,
    is_finished: bool,
    counts: Counts,
    wrong: Vec<String>,
}

impl Model {
    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn gone(&mut self) {
        self.made_before = self.made;
        if self.in_flight > 0 {
            self.count("deleted: an item, while a write was in flight");
        }
    }

    fn heard(&mut self, said: &Said) {
        if let Some(process) = said.process
            && said.message.starts_with("what this process had saved is missing")
        {
            self.missing[process] = self.made_before[process];
            self.count("deleted: the log says that saved calls are missing");
        }
    }

    fn applied(&mut self, process: usize, made: u64, before: Option<&Item>, after: &Item) {
        let has = counted(after);
        let missing = made.saturating_sub(has[process]);
        if has[process] > made || missing > self.missing[process] {
            self.wrong.push(format!(
                "the item has {} calls of process {process}, which made {made}; {} may be missing",
                has[process], self.missing[process]
            ));
        }
        if missing > 0 {
            self.count("deleted: a call that is missing, as the log says");
        }
        for (other, has) in has.iter().enumerate().filter(|(_, has)| **has > 0) {
            if *has > self.made[other] {
                let made = self.made[other];
                self.wrong.push(format!("{has} calls of process {other}, which made {made}"));
            }
        }
        match before {
            None if self.knows[process] => {
                self.is_anew = false;
                self.count("deleted: written again by a process that knew it");
            }
            None => {
                self.is_anew = self.made_before.iter().any(|made| *made > 0);
                if self.is_anew {
                    self.count("deleted: made anew by a process that did not");
                }
            }
            Some(before) => {
                let had = counted(before);
                if has.iter().zip(&had).any(|(has, had)| has < had) {
                    self.wrong.push(format!("the item had {had:?} calls, and has {has:?}"));
                }
                if self.is_anew && self.knows[process] && self.made_before[process] > 0 {
                    self.count("deleted: made anew, and then written by one that knew the other");
                }
            }
        }
        self.knows[process] = true;
        let status = WorkflowStatus::from_item(&SessionId::new(SESSION).unwrap(), after);
        if status.overall_status.is_finished() != self.is_finished {
            self.wrong.push(format!("the workflow is {}", status.overall_status));
        }
        let calls: u64 = status.agents().map(|(_, agent)| agent.calls).sum();
        if calls != has.iter().sum::<u64>() {
            self.wrong.push(format!("{calls} calls have the tokens of {has:?}"));
        }
    }
}

type Shared = Arc<Mutex<Model>>;

fn lock(model: &Shared) -> MutexGuard<'_, Model> {
    model.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Watches the writes of a process. Every third meets a fault.
struct Watch {
    process: usize,
    model: Shared,
    rng: Mutex<Rng>,
}

impl Director for Watch {
    /// How many calls the process had made.
    type Note = u64;

    fn asked(&self, _: &Change, _: &Precondition) -> (u64, Fate) {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        let fate = Fate::of_three(&mut rng, &[&Fault::PASSING[..], &[Fault::Storm]].concat());
        let mut model = lock(&self.model);
        model.in_flight += 1;
        (model.made[self.process], fate)
    }

    fn reached(&self, made: &u64, before: Option<&Item>, reached: &Reached) {
        if let Reached::Applied(after) = reached {
            lock(&self.model).applied(self.process, *made, before, after);
        }
    }

    fn answered(&self, _: &u64, answer: &Result<WriteOutcome, StoreError>) {
        let mut model = lock(&self.model);
        model.in_flight -= 1;
        model.knows[self.process] |= matches!(answer, Ok(WriteOutcome::Conflict(Some(_))));
    }
}

struct Process {
    number: usize,
    tracker: StatusTracker,
    recorder: JoinHandle<()>,
    workflow: Option<Workflow>,
}

struct Run {
    rng: Rng,
    table: MemoryStore,
    begin: Instant,
    model: Shared,
    processes: Vec<Process>,
    started: usize,
    /// The item as it once was.
    copy: Option<Item>,
}

impl Run {
    fn start(&mut self) {
        let number = self.started;
        self.started += 1;
        let rng = Mutex::new(self.rng.fork());
        let watch = Watch { process: number, model: Arc::clone(&self.model), rng };
        let store = FaultyStore::new(self.table.clone(), Arc::new(watch));
        let begin = self.begin;
        let clock =
            move || SystemTime::UNIX_EPOCH + Duration::from_secs(1_766_570_400) + begin.elapsed();
        let (tracker, recorder) = StatusTracker::builder(store).clock(clock).build().unwrap();
        let recorder = tokio::spawn(PROCESS.scope(number, recorder));
        // The first is the owner; others may have it open, too.
        let is_open = number == 0 || self.rng.u8(..3) == 0;
        let workflow = is_open.then(|| tracker.workflow(SESSION).start().unwrap());
        self.processes.push(Process { number, tracker, recorder, workflow });
    }

    fn call(&mut self, process: usize) {
        let Process { number, tracker, .. } = &self.processes[process];
        let agent = AGENTS[self.rng.usize(..AGENTS.len())];
        let report = AgentReport::new(AgentState::Success);
        let report = report.token_usage(TokenUsage::new(tokens(*number), 0));
        lock(&self.model).made[*number] += 1;
        tracker.update_agent_status(SESSION, agent, report).unwrap();
    }

    async fn delete(&mut self) {
        if self.table.delete(&SessionId::new(SESSION).unwrap()).await.unwrap() {
            let mut model = lock(&self.model);
            model.count("deleted: an item");
            model.gone();
        }
    }

    /// Puts an earlier copy of the item back.
    async fn put_back(&mut self) {
        let Some(copy) = self.copy.clone() else { return };
        self.delete().await;
        let mut set = copy;
        set.remove("sessionId");
        let change = Change::new(SessionId::new(SESSION).unwrap(), set, vec![]);
        self.table.write(&change, Precondition::Absent).await.unwrap();
        let mut model = lock(&self.model);
        model.count("deleted: an earlier copy put back");
        model.is_anew = false;
    }

    async fn step(&mut self) {
        // No two events are at the same time, as they are not elsewhere.
        sleep(Duration::from_millis(3)).await;
        let process = self.rng.usize(..self.processes.len());
        match self.rng.u8(..16) {
            0..7 => self.call(process),
            7 => self.delete().await,
            8 if self.started < PROCESSES => {
                // Another that knows nothing, mostly right after the item was deleted.
                if self.rng.u8(..3) > 0 {
                    self.delete().await;
                }
                self.start();
                self.call(self.processes.len() - 1);
            }
            9 => self.copy = self.table.item(SESSION).or(self.copy.take()),
            10 => self.put_back().await,
            11 => drop(self.processes[process].tracker.flush().await),
            _ => {
                let pause = [10, 1_000, 30_000][self.rng.usize(..3)];
                sleep(Duration::from_millis(self.rng.u64(..pause))).await;
            }
        }
    }

    /// Saves everything, ends the workflow, and saves that.
    async fn end(&mut self) -> Result<(), String> {
        // Writes that arrive late.
        sleep(Duration::from_secs(10)).await;
        for process in 0..self.processes.len() {
            self.call(process);
            self.save(process).await?;
        }
        lock(&self.model).is_finished = true;
        for process in &mut self.processes {
            match (process.number, process.workflow.take()) {
                (0, Some(owner)) => owner.complete(),
                (_, workflow) => workflow.into_iter().for_each(|workflow| workflow.detach()),
            }
        }
        for process in [0].into_iter().chain(0..self.processes.len()) {
            self.save(process).await?;
        }
        let status = self.table.status(SESSION).ok_or("there is no item")?;
        if status.overall_status != OverallStatus::Completed {
            return Err(format!("in the end the workflow is {}", status.overall_status));
        }
        for process in std::mem::take(&mut self.processes) {
            process.tracker.shutdown(Duration::from_secs(60)).await.map_err(|e| e.to_string())?;
            process.recorder.await.map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    async fn save(&self, process: usize) -> Result<(), String> {
        for _ in 0..30 {
            let flush = self.processes[process].tracker.flush();
            match timeout(Duration::from_secs(61), flush).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(_)) => {}
                Err(_) => return Err("a flush does not return within a minute".to_owned()),
            }
        }
        Err(format!("process {process} is stuck"))
    }
}

#[test]
fn an_item_that_is_deleted_is_written_again_and_no_call_counts_twice() {
    crate::run_seeds(&EXPECTED, |seed| async move {
        let model = Shared::default();
        let heard = Arc::clone(&model);
        let _listening = log::listen(move |said| lock(&heard).heard(&said));
        let mut run = Run {
            rng: Rng::with_seed(seed),
            table: MemoryStore::new(),
            begin: Instant::now(),
            model: Arc::clone(&model),
            processes: Vec::new(),
            started: 0,
            copy: None,
        };
        for _ in 0..run.rng.usize(1..4) {
            run.start();
        }
        for _ in 0..run.rng.usize(1..60) {
            run.step().await;
        }
        let ended = run.end().await;
        let mut model = lock(&model);
        match model.wrong.first() {
            Some(wrong) => Err(wrong.clone()),
            None => ended.map(|()| std::mem::take(&mut model.counts)),
        }
    });
}
