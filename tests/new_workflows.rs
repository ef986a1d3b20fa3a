//! Ten thousand new workflows a second, each opened and finished, into a table whose index throttles.
//!
//! The table answers in 5 ms and takes any number of writes; it has as many partitions as it needs.
//! Only its index of the newest sessions throttles: each partition takes 1,000 new entries a second,
//! and one that is full throttles the write to the table, as DynamoDB does. The index has a partition
//! for each day, or so many shards of it, among which the session ids are distributed.
//!
//! Time is tokio's paused time, and there is no randomness but the recorder's jitter, which is
//! seeded. A tenth of the load runs by default; `LOAD_SECONDS=10` runs all of it. Each configuration
//! prints a line. Memory and CPU time are the process's own, and only for information.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep, sleep_until};
use tower_agent_status::status::{
    AgentReport, AgentState, Change, Item, ItemVersion, OverallStatus, Precondition, SessionId,
    TokenUsage, Value, WorkflowStatus, schema,
};
use tower_agent_status::store::{StatusStore, StoreError, StoreErrorKind, WriteOutcome};
use tower_agent_status::{Agent, StatusTracker};

const AGENT: &str = "pdfAdapter";
/// New workflows in each millisecond.
const PER_MILLISECOND: usize = 10;
/// How long the call of each takes.
const CALL: Duration = Duration::from_millis(200);
/// How long the table takes for any answer.
const ANSWER: Duration = Duration::from_millis(5);
/// New entries of a partition of the index, a second.
const PARTITION: f64 = 1_000.0;

/// A table in memory, with the partitions of its index.
#[derive(Clone)]
struct Table {
    shards: u32,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    items: HashMap<SessionId, Item>,
    partitions: HashMap<(String, u32), Bucket>,
    /// When each session was opened or finished, if that is not saved yet.
    unsaved: HashMap<SessionId, Instant>,
    waits: Vec<Duration>,
    applied: usize,
    throttled: usize,
    finished: usize,
    in_flight: usize,
    most_in_flight: usize,
}

/// What a partition can take: a second's worth at most.
struct Bucket {
    units: f64,
    at: Instant,
}

impl Bucket {
    fn take(&mut self, now: Instant) -> bool {
        let more = now.duration_since(self.at).as_secs_f64() * PARTITION;
        self.units = (self.units + more).min(PARTITION);
        self.at = now;
        let has_one = self.units >= 1.0;
        if has_one {
            self.units -= 1.0;
        }
        has_one
    }
}

impl Table {
    fn new(shards: u32) -> Self {
        Self { shards, state: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Notes that the session has changed now. If its last change is not saved yet, the wait of that
    /// one goes on.
    fn changed(&self, session: &str) {
        let session = SessionId::new(session).unwrap();
        self.state().unsaved.entry(session).or_insert_with(Instant::now);
    }

    fn apply(&self, change: &Change, expected: Precondition) -> Result<WriteOutcome, StoreError> {
        let now = Instant::now();
        let mut state = self.state();
        let found = state.items.get(&change.session_id);
        let is_met = match expected {
            Precondition::Absent => found.is_none(),
            Precondition::Version(version) => found.map(ItemVersion::of) == Some(version),
            other => panic!("{other:?}"),
        };
        if !is_met {
            return Ok(WriteOutcome::Conflict(found.cloned()));
        }
        if found.is_none() {
            let day = change.set.get(schema::CREATED_DAY).and_then(Value::as_str).unwrap();
            let shard = crc32(change.session_id.as_str().as_bytes()) % self.shards;
            let full = Bucket { units: PARTITION, at: now };
            let partition = state.partitions.entry((day.to_owned(), shard)).or_insert(full);
            if !partition.take(now) {
                state.throttled += 1;
                return Err(StoreError::new(StoreErrorKind::Throttled, "the index is throttled"));
            }
        }
        change.apply(state.items.entry(change.session_id.clone()).or_default());
        state.applied += 1;
        let overall = change.set.get(schema::OVERALL_STATUS).and_then(Value::as_str);
        state.finished += usize::from(overall == Some(OverallStatus::Completed.as_str()));
        if let Some(since) = state.unsaved.remove(&change.session_id) {
            state.waits.push(now.duration_since(since));
        }
        Ok(WriteOutcome::Applied)
    }
}

impl StatusStore for Table {
    async fn write(
        &self,
        change: &Change,
        expected: Precondition,
    ) -> Result<WriteOutcome, StoreError> {
        {
            let mut state = self.state();
            state.in_flight += 1;
            state.most_in_flight = state.most_in_flight.max(state.in_flight);
        }
        sleep(ANSWER).await;
        self.state().in_flight -= 1;
        self.apply(change, expected)
    }
}

/// The checksum of gzip, by which session ids are distributed.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[test]
fn the_checksum_is_that_of_its_standard() {
    assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
}

fn name(workflow: usize) -> String {
    format!("session-corr_{workflow:012x}")
}

/// Opens ten workflows a millisecond for so long, and finishes each after its call.
async fn load(tracker: &StatusTracker, table: &Table, workflows: usize) {
    let begin = Instant::now();
    let mut open = VecDeque::new();
    let mut opened = 0;
    let mut tick = begin;
    while opened < workflows || !open.is_empty() {
        sleep_until(tick).await;
        for _ in 0..PER_MILLISECOND.min(workflows - opened) {
            let session = name(opened);
            opened += 1;
            let workflow = tracker.workflow(&session).start().unwrap();
            let report = AgentReport::new(AgentState::InProgress);
            tracker.update_agent_status(&session, AGENT, report).unwrap();
            table.changed(&session);
            open.push_back((tick + CALL, session, workflow));
        }
        while open.front().is_some_and(|(end, ..)| *end <= tick) {
            let (_, session, workflow) = open.pop_front().unwrap();
            let report = AgentReport::new(AgentState::Success);
            let report = report.token_usage(TokenUsage::new(100, 10));
            tracker.update_agent_status(&session, AGENT, report).unwrap();
            workflow.complete();
            table.changed(&session);
        }
        tick += Duration::from_millis(1);
    }
}

struct Outcome {
    throttled: usize,
    longest: Duration,
}

async fn run(shards: u32, seconds: usize) -> Outcome {
    fastrand::seed(1);
    let (begin, cpu) = (Instant::now(), cpu_millis());
    let clock =
        move || SystemTime::UNIX_EPOCH + Duration::from_secs(1_766_570_400) + begin.elapsed();
    let table = Table::new(shards);
    let tracker = StatusTracker::builder(table.clone())
        .agent(Agent::new(AGENT))
        .max_sessions(2_000_000)
        .clock(clock)
        .start()
        .unwrap();
    let workflows = 1_000 * PER_MILLISECOND * seconds;
    load(&tracker, &table, workflows).await;
    let loaded = resident_mib();
    while table.state().finished < workflows && begin.elapsed() < Duration::from_secs(3_600) {
        sleep(Duration::from_millis(10)).await;
    }
    let took = begin.elapsed();
    tracker.shutdown(Duration::from_secs(60)).await.unwrap();

    // Nothing is lost.
    let mut state = table.state();
    assert_eq!(tracker.lost(), 0);
    assert_eq!(state.items.len(), workflows);
    for (session, item) in &state.items {
        let status = WorkflowStatus::from_item(session, item);
        let agent = status.agent(AGENT).unwrap();
        assert_eq!(status.overall_status, OverallStatus::Completed, "{status}");
        assert_eq!((agent.state, agent.calls), (AgentState::Success, 1), "{status}");
        assert_eq!(agent.token_usage(), Some(TokenUsage::new(100, 10)), "{status}");
    }
    assert!(state.unsaved.is_empty(), "each change was saved");
    state.waits.sort_unstable();
    let longest = *state.waits.last().unwrap();
    let percentile = state.waits[state.waits.len() * 99 / 100];
    print(&format!(
        "{workflows} workflows in {seconds} s, shards: {shards}; {} writes, {} throttled, up to {} \
         in flight, all saved after {:.1} s; waits: {} ms at most, 99% {} ms; memory {} MiB at the end \
         of the load, CPU {} ms",
        state.applied,
        state.throttled,
        state.most_in_flight,
        took.as_secs_f64(),
        longest.as_millis(),
        percentile.as_millis(),
        loaded.map_or_else(|| "?".to_owned(), |mib| mib.to_string()),
        cpu_millis().zip(cpu).map_or_else(|| "?".to_owned(), |(to, from)| (to - from).to_string()),
    ));
    Outcome { throttled: state.throttled, longest }
}

#[allow(clippy::print_stdout, reason = "part of the output of a test")]
fn print(line: &str) {
    println!("{line}");
}

/// The resident memory of this process.
fn resident_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? / 1_024)
}

/// The CPU time of this process, in the steps of 10 ms that Linux counts.
fn cpu_millis() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program may have spaces; the fields after it do not.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some((ticks()? + ticks()?) * 10)
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_new_workflows_a_second_need_the_shards_of_the_index() {
    let seconds = std::env::var("LOAD_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let seconds = seconds.unwrap_or(1);
    let sharded = run(16, seconds).await;
    assert_eq!(sharded.throttled, 0);
    // No write waits for more than a place, before enough of them are found.
    assert!(sharded.longest < Duration::from_millis(100), "{:?}", sharded.longest);
    let single = run(1, seconds).await;
    assert!(single.throttled > 0 && single.longest > Duration::from_secs(1));
}
