//! Many live sessions in one process, against a store that responds in 5 ms: opened, called and
//! finished, each with its time, its memory and its CPU time of a write. Fails if anything is lost.
//!
//! `-- N` sets the number of sessions, which is a million. The heartbeats of as many would be 33,000
//! writes a second at the default interval of 30 s, so the bench has one that is longer than its run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use recorder_bench::agents::{AGENTS, Agent, Answers, Spent, chat, declared};
use recorder_bench::cpu;
use recorder_bench::memory::{self, Counting};
use tower::{Layer as _, Service};
use tower_agent_status::status::{Change, Precondition, Value, schema};
use tower_agent_status::store::{StatusStore, StoreError, WriteOutcome};
use tower_agent_status::{StatusLayer, StatusTracker, Workflow};

#[global_allocator]
static COUNTING: Counting = Counting;

/// The tokens of the answer.
const TOKENS: u64 = 2_000;
/// Added to the tokens of a session that is completed.
const COMPLETED: u64 = 1 << 32;

/// A store that responds in 5 ms, and keeps of each session its tokens and whether it is completed.
#[derive(Clone)]
struct InFiveMs {
    sessions: Arc<[AtomicU64]>,
    writes: Arc<AtomicU64>,
}

impl StatusStore for InFiveMs {
    async fn write(&self, change: &Change, _: Precondition) -> Result<WriteOutcome, StoreError> {
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.writes.fetch_add(1, Ordering::Relaxed);
        let id = change.session_id.as_str();
        let number: usize = id.trim_start_matches("session-").parse().expect("a number");
        let session = &self.sessions[number];
        let sum = change.set.get(schema::TOTAL_TOKEN_USAGE).and_then(Value::as_map);
        if let Some(total) = sum.and_then(|sum| sum.get("totalTokens")?.as_u64()) {
            session.store(total, Ordering::Relaxed);
        }
        let status = change.set.get(schema::OVERALL_STATUS).and_then(Value::as_str);
        if status == Some("completed") {
            session.fetch_add(COMPLETED, Ordering::Relaxed);
        }
        Ok(WriteOutcome::Applied)
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let number = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(1_000_000);
    let sessions = (0..number).map(|_| AtomicU64::new(0)).collect();
    let store = InFiveMs { sessions, writes: Arc::default() };
    let tracker = StatusTracker::builder(store.clone()).agents(declared()).max_sessions(number);
    let tracker =
        tracker.heartbeat_interval(Duration::from_secs(3_600)).start().expect("a tracker");
    let mut workflows = Vec::with_capacity(number);
    let answer = chat();

    println!("{:<24} {:>8} {:>10} {:>8} {:>12}", number, "seconds", "writes", "GB", "µs CPU/write");
    let mut phase = Phase::begin(&store);
    workflows.extend((0..number).map(|n| open(&tracker, n)));
    save_all(&tracker).await;
    phase.end("opened", &store);
    for workflow in &workflows {
        call(&tracker, workflow, &answer).await;
    }
    save_all(&tracker).await;
    phase.end("called", &store);
    workflows.drain(..).for_each(|workflow| workflow.complete());
    save_all(&tracker).await;
    phase.end("completed", &store);

    let saved = |session: &&AtomicU64| session.load(Ordering::Relaxed) == COMPLETED + TOKENS;
    let saved = store.sessions.iter().filter(saved).count();
    println!("saved as completed, with the tokens of their call: {saved} of {number}");
    assert_eq!(saved, number);
}

/// The time, the CPU time and the writes at the start of a phase.
struct Phase(Instant, Duration, u64);

impl Phase {
    fn begin(store: &InFiveMs) -> Self {
        Self(Instant::now(), cpu::time(), store.writes.load(Ordering::Relaxed))
    }

    fn end(&mut self, what: &str, store: &InFiveMs) {
        let Self(start, cpu, writes) = std::mem::replace(self, Self::begin(store));
        let (seconds, cpu, writes) = (start.elapsed().as_secs_f64(), self.1 - cpu, self.2 - writes);
        let memory = memory::live() as f64 / 1e9;
        let cpu = cpu.as_secs_f64() * 1e6 / writes as f64;
        println!("  {what:<22} {seconds:>8.1} {writes:>10} {memory:>8.2} {cpu:>12.1}");
    }
}

/// Waits until all is saved. A flush gives up after a minute.
async fn save_all(tracker: &StatusTracker) {
    while tracker.flush().await.is_err() {}
}

fn open(tracker: &StatusTracker, n: usize) -> Workflow {
    tracker
        .workflow(format!("session-{n:012}"))
        .correlation_id(format!("corr_{n:012}"))
        .attribute("documentId", "FAB_26933659")
        .attribute("sourceType", "BANK")
        .start()
        .expect("a workflow")
}

async fn call(tracker: &StatusTracker, workflow: &Workflow, answer: &Bytes) {
    let agent = Agent { answer: answer.clone(), spent: Spent::default(), answers: Answers::AtOnce };
    let mut client = StatusLayer::new(tracker, AGENTS[0]).layer(agent);
    let request = Request::post("https://agents.example/invocations").body(Empty::new());
    let response = workflow.scope(async { client.call(request.expect("a request")).await });
    response.await.expect("an answer").into_body().collect().await.expect("a body");
}
