//! Attributes and correlation ids that processes set to values of their own, and new runs, while the
//! table loses answers. The value that was written last stands. A value that has reached the table is
//! not written again over a later one, and none that was set is lost.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use tokio::time::{Instant, sleep, timeout};
use tower_agent_status::status::{Change, Item, Precondition, Value};
use tower_agent_status::store::{MemoryStore, StoreError, WriteOutcome};
use tower_agent_status::{StatusTracker, Workflow};

use crate::Counts;
use crate::faults::{Director, Fate, Fault, FaultyStore, Reached};

const SESSION: &str = "session-values";
const NAMES: [&str; 3] = ["correlationId", "documentId", "sourceType"];
/// What must come up.
const EXPECTED: [&str; 6] = [
    "values: set by two processes",
    "values: set while a write with an earlier one was in flight",
    "values: an answer lost, and another's value since",
    "values: another's value stays",
    "values: an own value replaces another's",
    "values: a new run, without the values of the one before",
];

type Values = BTreeMap<&'static str, String>;

/// What a process asks the table for.
#[derive(Clone, Default)]
struct Asked {
    /// How many runs the process has started.
    run: u64,
    /// The values that have not reached the table, each with the number of the event that set it.
    unsaved: BTreeMap<&'static str, (u64, String)>,
}

#[derive(Default)]
struct Model {
    processes: Vec<Asked>,
    runs_applied: Vec<u64>,
    in_flight: Vec<bool>,
    events: u64,
    /// Who set what the item has.
    by: BTreeMap<&'static str, usize>,
    lost: Vec<bool>,
    counts: Counts,
    wrong: Vec<String>,
}

impl Model {
    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn set(&mut self, process: usize, name: &'static str, value: String) {
        self.events += 1;
        if self.in_flight[process] && self.processes[process].unsaved.contains_key(name) {
            self.count("values: set while a write with an earlier one was in flight");
        }
        self.processes[process].unsaved.insert(name, (self.events, value));
    }

    fn applied(&mut self, process: usize, asked: &Asked, before: Option<&Item>, after: &Item) {
        let is_new_run = asked.run > self.runs_applied[process];
        self.runs_applied[process] = asked.run;
        let had = before.filter(|_| !is_new_run).map(values).unwrap_or_default();
        if is_new_run && before.is_some_and(|before| !values(before).is_empty()) {
            self.count("values: a new run, without the values of the one before");
        }
        let mut expected = had.clone();
        for (name, (_, value)) in &asked.unsaved {
            match self.by.insert(*name, process) {
                Some(other) if other != process => self.count("values: set by two processes"),
                _ => {}
            }
            if had.get(name).is_some_and(|had| had != value) {
                self.count("values: an own value replaces another's");
            }
            expected.insert(*name, value.clone());
        }
        if had.keys().any(|name| !asked.unsaved.contains_key(name)) {
            self.count("values: another's value stays");
        }
        let has = values(after);
        if has != expected {
            let unsaved = &asked.unsaved;
            self.wrong.push(format!(
                "process {process} has written {has:?}, which should be {expected:?}: it was \
                 {had:?}, and it had set {unsaved:?}"
            ));
        }
        // What has reached the table is saved, whatever the answer is.
        let saved = &mut self.processes[process];
        if saved.run == asked.run {
            for (name, (event, _)) in &asked.unsaved {
                if saved.unsaved.get(name).is_some_and(|(newest, _)| newest == event) {
                    saved.unsaved.remove(name);
                }
            }
        }
        for (other, lost) in self.lost.clone().into_iter().enumerate() {
            if lost && other != process && !asked.unsaved.is_empty() {
                self.count("values: an answer lost, and another's value since");
            }
        }
    }
}

fn values(item: &Item) -> Values {
    let value = |name: &&'static str| {
        let value = item.get(name).and_then(Value::as_str)?;
        Some((*name, value.to_owned()))
    };
    NAMES.iter().filter_map(value).collect()
}

type Shared = Arc<Mutex<Model>>;

fn lock(model: &Shared) -> MutexGuard<'_, Model> {
    model.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Watch {
    process: usize,
    model: Shared,
    rng: Mutex<Rng>,
}

impl Director for Watch {
    type Note = Mutex<Asked>;

    fn asked(&self, _: &Change, _: &Precondition) -> (Mutex<Asked>, Fate) {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        let faults = [Fault::FailBefore, Fault::FailAfter, Fault::Unknown, Fault::AppliedLate];
        let fault = (rng.u8(..3) == 0).then(|| faults[rng.usize(..faults.len())]);
        let mut takes = |up_to| Duration::from_millis(rng.u64(..up_to));
        let fate = Fate { fault, before: takes(200), after: takes(200), late: takes(2_000) };
        let mut model = lock(&self.model);
        model.in_flight[self.process] = true;
        (Mutex::new(model.processes[self.process].clone()), fate)
    }

    fn reached(&self, asked: &Mutex<Asked>, before: Option<&Item>, reached: &Reached) {
        if let Reached::Applied(after) = reached {
            let asked = asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
            lock(&self.model).applied(self.process, &asked, before, after);
        }
    }

    fn answered(&self, _: &Mutex<Asked>, answer: &Result<WriteOutcome, StoreError>) {
        let mut model = lock(&self.model);
        model.in_flight[self.process] = false;
        model.lost[self.process] = matches!(answer, Err(error) if error.may_have_been_applied());
    }
}

struct Process {
    tracker: StatusTracker,
    workflow: Option<Workflow>,
}

struct Run {
    rng: Rng,
    model: Shared,
    processes: Vec<Process>,
    set: u64,
}

impl Run {
    /// Sets some values in a process, by a new handle of its workflow or by the one it has.
    fn set(&mut self, process: usize) {
        let names: Vec<_> = NAMES.into_iter().filter(|_| self.rng.bool()).collect();
        // The correlation id is set at the start only.
        let starts = names.contains(&"correlationId") || self.processes[process].workflow.is_none();
        let Process { tracker, workflow } = &mut self.processes[process];
        let mut builder = tracker.workflow(SESSION);
        let mut model = lock(&self.model);
        for name in names {
            self.set += 1;
            let value = format!("{name}-{}-of-{process}", self.set);
            builder = match (name, starts) {
                ("correlationId", _) => builder.correlation_id(&value),
                (_, true) => builder.attribute(name, &*value),
                (_, false) => {
                    workflow.as_ref().unwrap().set_attribute(name, &*value).unwrap();
                    builder
                }
            };
            model.set(process, name, value);
        }
        if starts {
            let started = builder.start().unwrap();
            if let Some(before) = workflow.replace(started) {
                before.detach();
            }
        }
    }

    /// Starts the session anew. What others have set and not saved by then would belong to either
    /// run, so it is saved before.
    async fn new_run(&mut self, process: usize) -> Result<(), String> {
        self.save().await?;
        self.set += 1;
        let value = format!("documentId-{}-of-{process}", self.set);
        {
            let mut model = lock(&self.model);
            model.processes[process].run += 1;
            model.set(process, "documentId", value.clone());
        }
        let Process { tracker, workflow } = &mut self.processes[process];
        if let Some(before) = workflow.take() {
            before.detach();
        }
        let builder = tracker.workflow(SESSION).new_run().attribute("documentId", value);
        *workflow = Some(builder.start().unwrap());
        self.save().await
    }

    async fn save(&self) -> Result<(), String> {
        for (process, Process { tracker, .. }) in self.processes.iter().enumerate() {
            for tries in 0.. {
                match timeout(Duration::from_secs(61), tracker.flush()).await {
                    Ok(Ok(())) => break,
                    Ok(Err(_)) if tries < 30 => {}
                    _ => return Err(format!("process {process} is stuck")),
                }
            }
            let unsaved = &lock(&self.model).processes[process].unsaved;
            if !unsaved.is_empty() {
                return Err(format!("process {process} has not saved {unsaved:?}"));
            }
        }
        // Writes that arrive late.
        sleep(Duration::from_secs(3)).await;
        Ok(())
    }
}

#[test]
fn the_value_that_was_written_last_stands_and_none_is_lost() {
    crate::run_seeds(&EXPECTED, |seed| async move {
        let (mut rng, table, begin) = (Rng::with_seed(seed), MemoryStore::new(), Instant::now());
        let model = Shared::default();
        let count = rng.usize(2..4);
        let processes = (0..count).map(|process| {
            let rng = Mutex::new(rng.fork());
            let mut all = lock(&model);
            all.processes.push(Asked::default());
            all.runs_applied.push(0);
            all.in_flight.push(false);
            all.lost.push(false);
            drop(all);
            let watch = Watch { process, model: Arc::clone(&model), rng };
            let store = FaultyStore::new(table.clone(), Arc::new(watch));
            let clock = move || {
                SystemTime::UNIX_EPOCH + Duration::from_secs(1_766_570_400) + begin.elapsed()
            };
            let tracker = StatusTracker::builder(store).clock(clock).start().unwrap();
            Process { tracker, workflow: None }
        });
        let processes = processes.collect();
        let mut run = Run { rng, model: Arc::clone(&model), processes, set: 0 };
        for _ in 0..run.rng.usize(1..30) {
            let process = run.rng.usize(..count);
            match run.rng.u8(..12) {
                0 => run.new_run(process).await?,
                1 => run.save().await?,
                2..8 => run.set(process),
                _ => {
                    let pause = [10, 300, 3_000][run.rng.usize(..3)];
                    sleep(Duration::from_millis(run.rng.u64(..pause))).await;
                }
            }
        }
        run.save().await?;
        let mut model = lock(&model);
        match model.wrong.first() {
            Some(wrong) => Err(wrong.clone()),
            None => Ok(std::mem::take(&mut model.counts)),
        }
    });
}
