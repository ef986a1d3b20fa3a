//! The cost of the recorder: the CPU time of a write, the number of writes, and the workflows
//! that it saves in a second.
//!
//! `cargo bench` prints the tables. `-- run WAY PACE N` runs one way alone, N workflows one
//! after the other, and prints its results as JSON: for a profiler, and for `against-boto3`.
//! The ways over HTTP have the same names with `-embedded` for the engine in memory.
//!
//! The ways of a table take turns. The server runs in another process, whose time does not
//! count. The user and system time of this process does. It includes the kernel's work for the
//! server during a send on the loopback interface, which is the same for all ways.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use recorder_bench::agents::{Pace, chat};
use recorder_bench::by_hand::five_updates;
use recorder_bench::stores::Nowhere;
use recorder_bench::workflow::{Tracked, bare};
use recorder_bench::{cpu, endpoint};
use tokio::runtime::{Builder, Runtime};
use tower_agent_status::store::{DynamoDbStore, StatusStore};

const BARE: &str = "bare";
const TRACKED: &str = "tracked";
const BY_HAND: &str = "by-hand";

fn main() {
    if !endpoint::is_known() {
        let status = endpoint::run_again(env!("CARGO_BIN_EXE_instant-dynamodb"));
        std::process::exit(status.code().unwrap_or(1));
    }
    let arguments: Vec<_> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [] => {
            cost_of_a_write();
            throughput();
        }
        ["run", way, pace, workflows] => {
            let pace = if pace == "slow" { Pace::Slow } else { Pace::AtOnce };
            let workflows = workflows.parse().expect("a number of workflows");
            println!("{}", Way::new(way, pace).run(workflows).json());
        }
        _ => eprintln!(
            "usage: [run {BARE}|{TRACKED}[-embedded]|{BY_HAND}[-embedded] at-once|slow N]"
        ),
    }
}

/// A session ID that no other workflow has, in this run or another.
fn session_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let process = std::process::id();
    format!("session-corr_{process:x}_{:x}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A runtime like that of `#[tokio::main]`.
fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// One way to run workflows, over HTTP.
struct Way {
    runtime: Runtime,
    kind: Kind,
    pace: Pace,
}

enum Kind {
    Bare(Bytes),
    Tracked(Arc<Tracked>),
    ByHand(DynamoDbStore),
}

/// The cost of this many workflows.
struct Cost {
    workflows: u64,
    cpu: Duration,
    /// The time of the median workflow, without its agents.
    time: Duration,
    writes: u64,
}

impl Cost {
    fn json(&self) -> String {
        let Self { workflows, cpu, time, writes } = self;
        let (cpu, time) = (cpu.as_nanos(), time.as_nanos());
        format!(r#"{{"workflows":{workflows},"cpu_ns":{cpu},"time_ns":{time},"writes":{writes}}}"#)
    }
}

impl Way {
    fn new(name: &str, pace: Pace) -> Self {
        let runtime = runtime();
        let (name, is_embedded) = match name.strip_suffix("-embedded") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let store = || match is_embedded {
            true => DynamoDbStore::embedded_in_memory().expect("an engine"),
            false => runtime.block_on(table()),
        };
        let kind = match name {
            BARE => Kind::Bare(chat()),
            TRACKED => {
                let store = store();
                let _entered = runtime.enter();
                Kind::Tracked(Arc::new(Tracked::new(store)))
            }
            BY_HAND => Kind::ByHand(store()),
            _ => panic!("there is no way {name}"),
        };
        Self { runtime, kind, pace }
    }

    fn writes(&self) -> u64 {
        match &self.kind {
            Kind::Tracked(tracked) => tracked.writes(),
            _ => 0,
        }
    }

    fn run(&self, workflows: u64) -> Cost {
        let (writes, cpu) = (self.writes(), cpu::time());
        let mut times: Vec<_> = (0..workflows).map(|_| self.one()).collect();
        let cpu = cpu::time() - cpu;
        times.sort_unstable();
        let time = times.get(times.len() / 2).copied().unwrap_or_default();
        Cost { workflows, cpu, time, writes: self.writes() - writes }
    }

    /// Runs one workflow on a thread of the runtime, as a server runs its handlers.
    fn one(&self) -> Duration {
        let pace = self.pace;
        let work = match &self.kind {
            Kind::Bare(answer) => {
                let answer = answer.clone();
                self.runtime.spawn(async move { bare(&answer, pace).await })
            }
            Kind::Tracked(tracked) => {
                let tracked = Arc::clone(tracked);
                self.runtime.spawn(async move { tracked.run(&session_id(), pace).await })
            }
            Kind::ByHand(store) => {
                let store = store.clone();
                self.runtime.spawn(async move {
                    let start = Instant::now();
                    five_updates(store.client(), store.table_name(), &session_id(), pace).await;
                    start.elapsed()
                })
            }
        };
        self.runtime.block_on(work).expect("a workflow")
    }
}

/// The table that the environment configures, created if missing.
async fn table() -> DynamoDbStore {
    let store = DynamoDbStore::from_env_without_discovery().await.expect("settings");
    store.create_table().await.expect("a table");
    store
}

fn median<T: PartialOrd + Copy>(mut values: Vec<T>) -> T {
    values.sort_by(|a, b| a.partial_cmp(b).expect("no NaN"));
    values[values.len() / 2]
}

/// The CPU time of a write over HTTP, compared with direct calls of the AWS SDK.
fn cost_of_a_write() {
    const ROUNDS: usize = 15;
    const WORKFLOWS: u64 = 20;
    let ways = [BARE, BY_HAND, TRACKED].map(|way| Way::new(way, Pace::Slow));
    let [mut bare, mut by_hand, mut tracked] = [const { Vec::new() }; 3];
    let mut writes = Vec::new();
    for round in 0..=ROUNDS {
        let [of_bare, of_hand, of_tracked] = ways.each_ref().map(|way| way.run(WORKFLOWS));
        // The first round is a warm-up.
        if round > 0 {
            let each = |values: Cost| values.cpu.as_secs_f64() * 1e6 / WORKFLOWS as f64;
            writes.push(of_tracked.writes as f64 / WORKFLOWS as f64);
            bare.push(each(of_bare));
            by_hand.push(each(of_hand));
            tracked.push(each(of_tracked));
        }
    }
    let (bare, by_hand, tracked) = (median(bare), median(by_hand), median(tracked));
    let writes = median(writes);
    println!("{:<44} {:>12} {:>12} {:>8}", "over HTTP", "µs CPU/write", "writes/flow", "ratio");
    let row = |name, cpu: f64, writes: f64| {
        let (cpu, ratio) = (cpu / writes, (cpu / writes) / (by_hand / 5.0));
        println!("  {name:<42} {cpu:>12.1} {writes:>12.2} {ratio:>7.2}×");
    };
    row("AWS SDK, updates by hand", by_hand, 5.0);
    row("recorder, a workflow less a bare one", tracked - bare, writes);
}

/// Runs this many workflows and returns the workflows per second.
type Rate<'a> = Box<dyn Fn(u64) -> f64 + 'a>;

/// The workflows per second that reach a store, with many at once.
fn throughput() {
    const ROUNDS: usize = 5;
    let file = std::env::temp_dir().join(format!("recorder-bench-{}.db", std::process::id()));
    let runtime = runtime();
    let _entered = runtime.enter();
    let in_memory = DynamoDbStore::embedded_in_memory().expect("an engine");
    let in_file = DynamoDbStore::embedded(&file).expect("an engine");
    let ways: [(&str, Rate<'_>); 5] = [
        ("AWS SDK by hand, embedded engine in memory", by_hand_at_once(&runtime, &in_memory)),
        ("recorder, embedded engine in memory", tracked_at_once(&runtime, in_memory)),
        ("AWS SDK by hand, embedded engine in a file", by_hand_at_once(&runtime, &in_file)),
        ("recorder, embedded engine in a file", tracked_at_once(&runtime, in_file)),
        ("recorder, a store that answers at once", tracked_at_once(&runtime, Nowhere)),
    ];
    let mut rates = vec![Vec::new(); ways.len()];
    for _ in 0..ROUNDS {
        for (n, (_, run)) in ways.iter().enumerate() {
            // A store that answers at once needs more workflows for a run long enough to time.
            let workflows = if n == 4 { 20_000 } else { 1_000 };
            rates[n].push(run(workflows));
        }
    }
    let rates: Vec<_> = rates.into_iter().map(median).collect();
    println!("\n{:<44} {:>12} {:>21}", "1,000 workflows at once", "workflows/s", "ratio");
    for (n, (name, _)) in ways.iter().enumerate() {
        let ratio =
            if n == 4 { String::new() } else { format!("{:.2}×", rates[n] / rates[n & !1]) };
        println!("  {name:<42} {:>12.0} {ratio:>21}", rates[n]);
    }
    drop(ways);
    std::fs::remove_file(file).expect("the file was made");
}

/// Runs this many workflows, up to 1,000 at once, and returns the workflows per second.
fn at_once<F>(runtime: &Runtime, workflows: u64, work: impl Fn() -> F) -> f64
where
    F: Future<Output = ()> + Send + 'static,
{
    const MANY: u64 = 1_000;
    let start = Instant::now();
    runtime.block_on(async {
        let mut running = tokio::task::JoinSet::new();
        for n in 0..workflows {
            if n >= MANY {
                running.join_next().await.expect("some run").expect("a workflow");
            }
            running.spawn(work());
        }
        while let Some(ended) = running.join_next().await {
            ended.expect("a workflow");
        }
    });
    workflows as f64 / start.elapsed().as_secs_f64()
}

fn tracked_at_once<'a>(runtime: &'a Runtime, store: impl StatusStore) -> Rate<'a> {
    let tracked = Arc::new(Tracked::new(store));
    Box::new(move |workflows| {
        let before = tracked.writes();
        let rate = at_once(runtime, workflows, || {
            let tracked = Arc::clone(&tracked);
            async move {
                tracked.run(&session_id(), Pace::Slow).await;
            }
        });
        assert_eq!(tracked.writes() - before, 5 * workflows, "five writes a workflow");
        rate
    })
}

fn by_hand_at_once<'a>(runtime: &'a Runtime, store: &DynamoDbStore) -> Rate<'a> {
    let store = store.clone();
    Box::new(move |workflows| {
        at_once(runtime, workflows, || {
            let store = store.clone();
            async move {
                five_updates(store.client(), store.table_name(), &session_id(), Pace::AtOnce).await
            }
        })
    })
}
