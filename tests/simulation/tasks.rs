//! Tasks that several processes start and poll in one session, while the table fails. At the end
//! each task has been counted once, and no agent waits for one that has ended.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use tokio::time::{Instant, sleep};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_agent_status::status::{Change, Item, Precondition, WorkflowStatus};
use tower_agent_status::store::{MemoryStore, StoreError, WriteOutcome};
use tower_agent_status::{SessionId, StatusLayer, StatusTracker};

use crate::faults::{Director, Fate, Fault, FaultyStore, Reached};

const SESSION: &str = "session-tasks";
const AGENTS: [&str; 2] = ["pdfAdapter", "tradeExtraction"];

/// Loses every third answer or so.
pub(crate) struct Unreliable(pub(crate) Mutex<Rng>);

impl Director for Unreliable {
    type Note = ();

    fn asked(&self, _: &Change, _: &Precondition) -> ((), Fate) {
        let mut rng = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let faults = [Fault::FailBefore, Fault::FailAfter, Fault::Unknown, Fault::AppliedLate];
        let fault = (rng.u8(..3) == 0).then(|| faults[rng.usize(..faults.len())]);
        let mut takes = || Duration::from_millis(rng.u64(..50));
        ((), Fate { fault, before: takes(), after: takes(), late: takes() })
    }

    fn reached(&self, (): &(), _: Option<&Item>, _: &Reached) {}

    fn answered(&self, (): &(), _: &Result<WriteOutcome, StoreError>) {}
}

/// A task, and whether a response has said that it ended.
struct Task {
    number: u64,
    has_ended: bool,
}

struct Run {
    rng: Rng,
    table: MemoryStore,
    begin: Instant,
    trackers: Vec<StatusTracker>,
    tasks: Vec<Task>,
    /// The tokens of calls that belong to no task.
    other: u64,
    calls: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        let rng = Rng::with_seed(seed);
        let (table, begin) = (MemoryStore::new(), Instant::now());
        let mut run =
            Self { rng, table, begin, trackers: Vec::new(), tasks: Vec::new(), other: 0, calls: 0 };
        run.trackers = (0..2).map(|_| run.process()).collect();
        run
    }

    fn process(&mut self) -> StatusTracker {
        let director = Arc::new(Unreliable(Mutex::new(self.rng.fork())));
        let store = FaultyStore::new(self.table.clone(), director);
        let begin = self.begin;
        let clock =
            move || SystemTime::UNIX_EPOCH + Duration::from_secs(1_766_570_400) + begin.elapsed();
        StatusTracker::builder(store).clock(clock).start().unwrap()
    }

    /// A call of any agent in one of the processes.
    async fn call(&mut self, process: usize, method: Method, body: String) {
        let agent = AGENTS[self.rng.usize(..AGENTS.len())];
        let service = service_fn(move |_| {
            let answer = Response::builder().header("content-type", "application/json");
            std::future::ready(answer.body(Full::<bytes::Bytes>::from(body.clone())))
        });
        let mut request = Request::builder().method(method).body(()).unwrap();
        request.extensions_mut().insert(SessionId::new(SESSION).unwrap());
        let layer = StatusLayer::new(&self.trackers[process], agent);
        let response = layer.layer(service).oneshot(request).await.unwrap();
        response.into_body().collect().await.unwrap();
        self.calls += 1;
    }

    async fn save(&self, process: usize) {
        while self.trackers[process].flush().await.is_err() {}
    }

    async fn step(&mut self) {
        let process = self.rng.usize(..self.trackers.len());
        match self.rng.u8(..12) {
            0..3 if self.tasks.len() < 16 => {
                let number = self.tasks.len() as u64;
                self.call(process, Method::POST, body(number, "queued", None)).await;
                // Others learn the id once it is saved.
                self.save(process).await;
                self.tasks.push(Task { number, has_ended: false });
            }
            0..9 if !self.tasks.is_empty() => {
                let task = self.rng.usize(..self.tasks.len());
                let task = &mut self.tasks[task];
                // What has ended stays so, and is sometimes fetched again.
                task.has_ended |= self.rng.bool();
                let number = task.number;
                let (word, tokens) = match task.has_ended {
                    true => ("completed", Some(tokens(number))),
                    false => ("in_progress", None),
                };
                self.call(process, Method::GET, body(number, word, tokens)).await;
            }
            9 => {
                let other = self.rng.u64(1..100);
                self.other += other;
                let body = format!(r#"{{"token_usage":{{"input_tokens":{other}}}}}"#);
                self.call(process, Method::POST, body).await;
            }
            10 => {
                self.save(process).await;
                self.trackers[process] = self.process();
            }
            _ => {
                let pause = [10, 1_000, 700_000][self.rng.usize(..3)];
                sleep(Duration::from_millis(pause)).await;
            }
        }
    }

    /// Checks the item, after everything is saved.
    async fn check(&self) -> Result<(), String> {
        for process in [0, 1, 0] {
            self.save(process).await;
        }
        let Some(status) = self.table.status(SESSION) else {
            return if self.calls == 0 { Ok(()) } else { Err("nothing is saved".to_owned()) };
        };
        let ended = self.tasks.iter().filter(|task| task.has_ended);
        let expected = self.other + ended.map(|task| tokens(task.number)).sum::<u64>();
        let counted = status.total_token_usage().total_tokens;
        let calls: u64 = status.agents().map(|(_, agent)| agent.calls).sum();
        let unfinished = self.tasks.iter().filter(|task| !task.has_ended).map(|t| id(t.number));
        let unfinished: BTreeSet<String> = unfinished.collect();
        let named = status.unfinished_tasks.iter().map(ToString::to_string).collect();
        if (counted, calls) != (Some(expected), self.calls) {
            Err(format!("{counted:?} tokens of {calls} calls, not {expected} of {}", self.calls))
        } else if unfinished != named {
            Err(format!("{named:?} are unfinished, not {unfinished:?}"))
        } else {
            waits_for_the_ended(&status, &unfinished)
        }
    }
}

fn waits_for_the_ended(
    status: &WorkflowStatus,
    unfinished: &BTreeSet<String>,
) -> Result<(), String> {
    let waiting = status.agents().filter_map(|(name, agent)| Some((name, agent.task_id.as_ref()?)));
    match waiting.into_iter().find(|(_, id)| !unfinished.contains(id.as_str())) {
        Some((name, id)) => Err(format!("{name} waits for {id}, which has ended")),
        None => Ok(()),
    }
}

fn id(task: u64) -> String {
    format!("resp_{task}")
}

/// No two sums of these are the same.
fn tokens(task: u64) -> u64 {
    1_000 << task
}

fn body(task: u64, status: &str, tokens: Option<u64>) -> String {
    let usage = tokens.map_or("null".to_owned(), |tokens| {
        format!(r#"{{"input_tokens":{tokens},"output_tokens":0,"total_tokens":{tokens}}}"#)
    });
    let id = id(task);
    format!(r#"{{"id":"{id}","object":"response","status":"{status}","usage":{usage}}}"#)
}

#[test]
fn each_task_counts_once_whatever_fails() {
    let seeds = crate::seeds();
    let mut failed = Vec::new();
    for seed in &seeds {
        let seed = *seed;
        let result = crate::paused_runtime(seed).block_on(async {
            let mut run = Run::new(seed);
            for _ in 0..run.rng.usize(1..40) {
                run.step().await;
            }
            run.check().await
        });
        failed.extend(result.err().map(|error| format!("SEED={seed}: {error}")));
    }
    failed.truncate(5);
    assert!(failed.is_empty(), "of {} seeds, {}", seeds.len(), failed.join("\n"));
}
