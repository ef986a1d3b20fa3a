//! A seeded simulation of processes that record their agents' calls in one table, while
//! the table and the processes fail. An independent model checks every write.
//!
//! `SEEDS=N` runs N seeds, `SEED=K` replays one. Time is tokio's paused time. The same seed
//! gives the same run, down to the last write.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

#[path = "simulation/attempts.rs"]
mod attempts;
#[path = "simulation/bounds.rs"]
mod bounds;
#[path = "simulation/clocks.rs"]
mod clocks;
#[path = "simulation/crowd.rs"]
mod crowd;
#[path = "simulation/deletions.rs"]
mod deletions;
#[path = "simulation/engine.rs"]
mod engine;
#[allow(dead_code, reason = "each test uses a part of it")]
mod faults;
#[path = "simulation/log.rs"]
mod log;
#[path = "simulation/model.rs"]
mod model;
#[path = "simulation/new_runs.rs"]
mod new_runs;
#[path = "simulation/older_writers.rs"]
mod older_writers;
#[path = "simulation/outage.rs"]
mod outage;
#[path = "simulation/process.rs"]
mod process;
#[path = "simulation/seeds.rs"]
mod seeds;
#[path = "simulation/table.rs"]
mod table;
#[path = "simulation/tasks.rs"]
mod tasks;
#[path = "simulation/values.rs"]
mod values;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use tokio::time::{Instant, sleep};
use tower_agent_status::status::{Change, Item, Precondition};
use tower_agent_status::store::{MemoryStore, StoreError, WriteOutcome};

use faults::{Director, Fate, Fault, Reached};
use model::{Answer, Model, Note};
use seeds::{Counts, paused_runtime, run_seeds, seeds};
use table::Table;

/// What the processes of one run share.
struct World {
    seed: u64,
    begin: Instant,
    table: Table,
    sessions: Vec<String>,
    plan: Plan,
    model: Mutex<Model>,
}

/// What goes wrong in a run.
struct Plan {
    /// How many of a hundred writes meet a fault.
    faults: u8,
    /// When the table is unavailable, throttles, or has many other writers.
    bad_times: Vec<(Duration, Duration, Fault)>,
    /// Once set, there are no more faults.
    healed: std::sync::atomic::AtomicBool,
    /// Whether all processes share one clock; otherwise their clocks differ and drift.
    one_clock: bool,
    /// The processes that join the others for a call.
    crowd: crowd::Crowd,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let faults = [0, 10, 30, 50][rng.usize(..4)];
        let mut bad_times = Vec::new();
        for _ in 0..rng.usize(..4) {
            let from = Duration::from_millis(rng.u64(..60_000));
            let length = Duration::from_millis(rng.u64(100..30_000));
            let fault = [Fault::Outage, Fault::Storm, Fault::Throttle][rng.usize(..3)];
            bad_times.push((from, from + length, fault));
        }
        let one_clock = rng.u8(..4) > 0;
        let crowd = crowd::Crowd::new(seed);
        let sessions = (0..rng.usize(1..4)).map(|n| format!("session-{n}")).collect();
        Self {
            seed,
            begin: Instant::now(),
            table: match engine::is_for(seed) {
                true => Table::Engine(engine::Engine::new(seed)),
                false => Table::Memory(MemoryStore::new()),
            },
            sessions,
            plan: Plan { faults, bad_times, healed: false.into(), one_clock, crowd },
            model: Mutex::new(Model::new(one_clock)),
        }
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heal(&self) {
        self.plan.healed.store(true, std::sync::atomic::Ordering::SeqCst);
        if let Table::Engine(engine) = &self.table {
            engine.heal();
        }
    }

    fn is_healed(&self) -> bool {
        self.plan.healed.load(std::sync::atomic::Ordering::SeqCst)
    }
}

/// Decides the faults of one process's store.
struct Client {
    world: Arc<World>,
    process: usize,
    /// One for each session, so that the faults of a session do not depend on the order in
    /// which sessions are written.
    rngs: Mutex<BTreeMap<String, Rng>>,
    /// Until when it does not reach the table.
    cut_off: Mutex<Duration>,
}

impl Client {
    fn new(world: &Arc<World>, process: usize) -> Self {
        let world = Arc::clone(world);
        Self { world, process, rngs: Mutex::default(), cut_off: Mutex::default() }
    }

    fn fate(&self, session: &str) -> Fate {
        let world = &self.world;
        let mut rngs = self.rngs.lock().unwrap_or_else(PoisonError::into_inner);
        let number = u64::from(session.as_bytes()[session.len() - 1]);
        let rng = rngs.entry(session.to_owned()).or_insert_with(|| {
            Rng::with_seed(world.seed ^ number << 32 ^ (self.process as u64) << 48)
        });
        let millis = |rng: &mut Rng, up_to: u64| Duration::from_millis(rng.u64(..up_to));
        let quick = [1, 10, 100][rng.usize(..3)];
        let tardy = rng.usize(..2);
        let mut fate = Fate {
            fault: None,
            before: millis(rng, quick),
            after: millis(rng, quick),
            late: millis(rng, [20, 3_000][tardy]),
        };
        if world.is_healed() {
            return fate;
        }
        let now = world.begin.elapsed();
        let mut cut_off = self.cut_off.lock().unwrap_or_else(PoisonError::into_inner);
        if now < *cut_off {
            fate.fault = Some(Fault::Outage);
            return fate;
        }
        let mut bad =
            world.plan.bad_times.iter().filter(|(from, to, _)| (*from..*to).contains(&now));
        fate.fault = match bad.next() {
            Some((_, _, fault)) if *fault == Fault::Outage || rng.u8(..4) > 0 => Some(*fault),
            _ if rng.u8(..100) < world.plan.faults => {
                // Faults that block a session for long are rarer.
                let all = Fault::ALL.iter().filter(|fault| **fault != Fault::Outage);
                let all: Vec<_> = all.collect();
                let fault = *all[rng.usize(..all.len())];
                (fault != Fault::Permanent || rng.u8(..4) == 0).then_some(fault)
            }
            _ => None,
        };
        match fate.fault {
            Some(Fault::Delay) => fate.before += millis(rng, 20_000),
            Some(Fault::FailAfter | Fault::AppliedLate | Fault::Unknown) => {
                fate.after += millis(rng, 5_000);
                if world.plan.crowd.is_some() && rng.u8(..4) == 0 {
                    let minutes = Duration::from_secs(rng.u64(60..600));
                    *cut_off = now + fate.before + fate.after + minutes;
                    world.model().count("crowd: an answer lost, and then the table for minutes");
                }
            }
            _ => {}
        }
        fate
    }
}

impl Director for Client {
    type Note = Note;

    fn asked(&self, change: &Change, expected: &Precondition) -> (Note, Fate) {
        let fate = self.fate(change.session_id.as_str());
        let mut model = self.world.model();
        model.count("writes");
        if let Some(fault) = fate.fault {
            model.count(name(fault));
        }
        (
            model.asked(
                self.process,
                change.session_id.as_str(),
                *expected == Precondition::Absent,
            ),
            fate,
        )
    }

    fn reached(&self, note: &Note, before: Option<&Item>, reached: &Reached) {
        let now = u64::try_from(self.world.begin.elapsed().as_millis()).unwrap();
        match reached {
            Reached::Applied(after) => self.world.model().applied(note, before, after, now),
            Reached::Refused => self.world.model().refused(note, before),
        }
    }

    fn answered(&self, note: &Note, answer: &Result<WriteOutcome, StoreError>) {
        let answer = match answer {
            Ok(WriteOutcome::Applied) => Answer::Applied,
            Ok(WriteOutcome::Conflict(found)) => {
                let revision = found.as_ref().and_then(|item| item.get("revision")?.as_u64());
                Answer::Conflict { found_revision: revision.unwrap_or(0) }
            }
            Ok(other) => panic!("unknown outcome {other:?}"),
            Err(error) if error.may_have_been_applied() => Answer::Ambiguous,
            Err(_) => Answer::Failed,
        };
        let now = i64::try_from(self.world.begin.elapsed().as_millis()).unwrap();
        self.world.model().answered(note, answer, process::EPOCH + now);
    }
}

fn name(fault: Fault) -> &'static str {
    match fault {
        Fault::Delay => "fault: delay",
        Fault::Throttle => "fault: throttled",
        Fault::FailBefore => "fault: fails before it is applied",
        Fault::FailAfter => "fault: applied, and the answer lost",
        Fault::Unknown => "fault: not applied, but the error is ambiguous",
        Fault::AppliedLate => "fault: times out, applied late",
        Fault::Storm => "fault: another write just before",
        Fault::Outage => "fault: unavailable for a while",
        Fault::Permanent => "fault: refused for good",
        Fault::PanicBefore => "fault: panics before it is applied",
        Fault::PanicAfter => "fault: panics after it was applied",
    }
}

/// The result of one seed.
struct Report {
    failures: Vec<String>,
    counts: Counts,
    digest: u64,
}

fn run(seed: u64) -> Report {
    let runtime = paused_runtime(seed);
    let world = runtime.block_on(async {
        let world = Arc::new(World::new(seed));
        let model = Arc::downgrade(&world);
        let _listening = log::listen(move |said| {
            if let Some(world) = model.upgrade() {
                world.model().heard(&said);
            }
        });
        let simulated = process::simulate(Arc::clone(&world));
        if tokio::time::timeout(Duration::from_secs(24 * 3600), simulated).await.is_err() {
            world.model().fail("the run does not end".to_owned());
        }
        // Writes that arrive late must change nothing.
        sleep(Duration::from_secs(60)).await;
        world
    });
    drop(runtime);
    let mut model = world.model();
    if let Table::Engine(engine) = &world.table {
        let (counts, wrong) = engine.take();
        seeds::add(&mut model.counts, counts);
        wrong.into_iter().for_each(|wrong| model.fail(wrong));
    }
    Report {
        failures: std::mem::take(&mut model.failures),
        counts: std::mem::take(&mut model.counts),
        digest: model.digest,
    }
}

#[test]
fn whatever_fails_the_table_ends_up_right() {
    let seeds = seeds();
    let begin = std::time::Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let counts = Mutex::new(Counts::new());
    let failed = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for part in 0..threads {
            let (seeds, counts, failed) = (&seeds, &counts, &failed);
            scope.spawn(move || {
                for seed in seeds.iter().skip(part).step_by(threads) {
                    let report = run(*seed);
                    seeds::add(&mut counts.lock().unwrap(), report.counts);
                    if !report.failures.is_empty() {
                        failed.lock().unwrap().insert(*seed, report.failures);
                    }
                }
            });
        }
    });
    let (counts, failed) = (counts.into_inner().unwrap(), failed.into_inner().unwrap());
    println!("simulation: {} seeds in {:?}", seeds.len(), begin.elapsed());
    seeds::print(&counts);
    for (seed, failures) in failed.iter().take(5) {
        println!("SEED={seed} cargo test --test simulation whatever_fails");
        for failure in failures {
            println!("    {failure}");
        }
    }
    assert!(failed.is_empty(), "{} of {} seeds failed, see above", failed.len(), seeds.len());
    let expected = EXPECTED
        .into_iter()
        .chain(Fault::ALL.map(name))
        .chain(crowd::EXPECTED)
        .chain(engine::EXPECTED);
    seeds::assert_covered(&counts, expected, seeds.len());
}

/// What must come up, besides the faults.
const EXPECTED: [&str; 22] = [
    "calls of an earlier run",
    "calls that ended after their workflow",
    "calls that started after their workflow",
    "cancelled",
    "cancelled calls beside one that succeeded",
    "ends of an earlier run",
    "late write applied",
    "late write refused",
    "evicted, then loaded again by the same process",
    "merge: a lost answer, not applied, then another process's",
    "merge: an agent by a clock that is ahead",
    "merge: a new run by another process",
    "merge: a new run meets an earlier one",
    "merge: a new run whose answer was lost",
    "merge: the item already exists",
    "merge: a write of another process",
    "merge: finished elsewhere",
    "merge: finished elsewhere, calls in flight here",
    "merge: own write, its answer lost",
    "merge: own write, its answer lost, then another process's",
    "processes killed",
    "explicit reports",
];

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..20 {
        assert_eq!(run(seed).digest, run(seed).digest, "seed {seed}");
    }
}
