//! Clocks that are set, in both directions, while workflows run and processes die. A reader whose
//! clock is right never takes a live workflow for a stalled one, and sees each dead one.
//!
//! The times of a workflow follow the clock of its process while that goes ahead, and go on from
//! there when it is set back. So a workflow is ahead of the reader by the most that the clock was
//! ahead since the workflow was opened, and behind by no more than the clock was then.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fastrand::Rng;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tower_agent_status::status::{AgentReport, AgentState, Timestamp};
use tower_agent_status::store::MemoryStore;
use tower_agent_status::{StatusTracker, Workflow};

use crate::Counts;
use crate::faults::FaultyStore;
use crate::tasks::Unreliable;

const HEARTBEAT: Duration = Duration::from_secs(30);
const HOUR: i64 = 3_600_000;
/// What must come up.
const EXPECTED: [&str; 8] = [
    "clocks: set ahead by an hour",
    "clocks: set ahead by a day",
    "clocks: set back by an hour",
    "clocks: set back by a day",
    "clocks: set right",
    "clocks: a live workflow, ahead of the reader",
    "clocks: a live workflow, its clock behind",
    "clocks: a dead workflow",
];

struct Process {
    tracker: StatusTracker,
    recorder: JoinHandle<()>,
    /// How far the clock is ahead, in milliseconds.
    ahead: Arc<AtomicI64>,
    /// Since when it is.
    set_at: Instant,
}

/// A workflow, and how far its times are ahead of the reader's clock, in milliseconds.
struct Live {
    session: String,
    process: usize,
    workflow: Workflow,
    at_least: i64,
    at_most: i64,
}

struct Run {
    rng: Rng,
    table: MemoryStore,
    begin: Instant,
    processes: Vec<Process>,
    live: Vec<Live>,
    opened: usize,
    counts: Counts,
}

impl Run {
    fn new(seed: u64) -> Self {
        let rng = Rng::with_seed(seed);
        let mut run = Self {
            rng,
            table: MemoryStore::new(),
            begin: Instant::now(),
            processes: Vec::new(),
            live: Vec::new(),
            opened: 0,
            counts: Counts::new(),
        };
        run.processes = (0..2).map(|_| run.process()).collect();
        run
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn process(&mut self) -> Process {
        let director = Arc::new(Unreliable(Mutex::new(self.rng.fork())));
        let store = FaultyStore::new(self.table.clone(), director);
        let ahead = [0, 0, HOUR, -HOUR, 24 * HOUR, -24 * HOUR][self.rng.usize(..6)];
        let ahead = Arc::new(AtomicI64::new(ahead));
        let clock = {
            let (begin, ahead) = (self.begin, Arc::clone(&ahead));
            move || time(begin.elapsed(), ahead.load(Ordering::SeqCst))
        };
        let (tracker, recorder) = StatusTracker::builder(store).clock(clock).build().unwrap();
        Process { tracker, recorder: tokio::spawn(recorder), ahead, set_at: Instant::now() }
    }

    /// The reader's clock.
    fn reader(&self, ahead: i64) -> Timestamp {
        time(self.begin.elapsed(), ahead).into()
    }

    fn set_clock(&mut self, process: usize) {
        let (what, step) = [
            ("clocks: set ahead by an hour", Some(HOUR)),
            ("clocks: set ahead by a day", Some(24 * HOUR)),
            ("clocks: set back by an hour", Some(-HOUR)),
            ("clocks: set back by a day", Some(-24 * HOUR)),
            ("clocks: set right", None),
            ("clocks: set by some seconds", Some(self.rng.i64(-20_000..20_000))),
        ][self.rng.usize(..6)];
        let clock = &mut self.processes[process];
        let before = clock.ahead.load(Ordering::SeqCst);
        let ahead = step.map_or(0, |step| before + step);
        clock.ahead.store(ahead, Ordering::SeqCst);
        // A heartbeat has written the time before.
        let is_known = clock.set_at.elapsed() > HEARTBEAT + Duration::from_secs(10);
        clock.set_at = Instant::now();
        for live in self.live.iter_mut().filter(|live| live.process == process) {
            if is_known {
                live.at_least = live.at_least.max(before);
            }
            live.at_most = live.at_most.max(ahead);
        }
        self.count(what);
    }

    fn open(&mut self, process: usize) {
        let ahead = self.processes[process].ahead.load(Ordering::SeqCst);
        let session = format!("session-{}", self.opened);
        self.opened += 1;
        let workflow = self.processes[process].tracker.workflow(&session).start().unwrap();
        let (at_least, at_most) = (ahead, ahead);
        self.live.push(Live { session, process, workflow, at_least, at_most });
    }

    /// An event of a workflow.
    fn report(&mut self, live: usize) {
        let state = [AgentState::InProgress, AgentState::Success, AgentState::Error];
        let report = AgentReport::new(state[self.rng.usize(..3)]);
        let Live { session, process, .. } = &self.live[live];
        let tracker = &self.processes[*process].tracker;
        tracker.update_agent_status(session, "pdfAdapter", report).unwrap();
    }

    /// The process dies, and its workflows with it.
    async fn kill(&mut self, process: usize) -> Result<(), String> {
        let next = self.process();
        let dead = std::mem::replace(&mut self.processes[process], next);
        dead.recorder.abort();
        let _ = dead.recorder.await;
        let died = self.live.extract_if(.., |live| live.process == process).collect::<Vec<_>>();
        for Live { session, at_most, .. } in died {
            // One that was never saved does not exist.
            let Some(status) = self.table.status(&session) else { continue };
            let later = self.reader(at_most.max(0)).saturating_add(3 * HEARTBEAT);
            if !status.is_stalled(later, HEARTBEAT) {
                return Err(format!(
                    "{session} is dead and looks alive at {later}: last updated at {}",
                    status.last_updated
                ));
            }
            self.count("clocks: a dead workflow");
        }
        Ok(())
    }

    /// Checks that all workflows look alive.
    fn check(&mut self) -> Result<(), String> {
        let mut counted = Vec::new();
        for Live { session, process, at_least, at_most, .. } in &self.live {
            let Some(status) = self.table.status(session) else { continue };
            let reader = self.reader(*at_least);
            let (last, most) = (status.last_updated, self.reader(*at_most));
            if status.is_stalled(reader, HEARTBEAT) || last > most {
                return Err(format!(
                    "{session} is alive, and was last updated at {last}, which is not between \
                     {reader} less three heartbeats and {most}"
                ));
            }
            if last > self.reader(60_000) {
                counted.push("clocks: a live workflow, ahead of the reader");
            }
            let clock = self.processes[*process].ahead.load(Ordering::SeqCst);
            if last > self.reader(clock + 60_000) {
                counted.push("clocks: a live workflow, its clock behind");
            }
        }
        counted.into_iter().for_each(|what| self.count(what));
        Ok(())
    }

    async fn wait(&mut self, up_to: u64) -> Result<(), String> {
        let mut seconds = self.rng.u64(..up_to);
        while seconds > 0 {
            let next = seconds.min(45);
            sleep(Duration::from_secs(next)).await;
            self.check()?;
            seconds -= next;
        }
        Ok(())
    }

    async fn step(&mut self) -> Result<(), String> {
        let process = self.rng.usize(..self.processes.len());
        let live = (!self.live.is_empty()).then(|| self.rng.usize(..self.live.len()));
        match (self.rng.u8(..12), live) {
            (0..3, _) => self.set_clock(process),
            (3, Some(live)) => {
                self.live.swap_remove(live).workflow.complete();
            }
            (4, Some(live)) => {
                // Changes may come more often than heartbeats.
                for _ in 0..self.rng.usize(1..20) {
                    self.report(live);
                    self.wait(20).await?;
                }
            }
            (5, Some(live)) => self.report(live),
            (6, _) => self.kill(process).await?,
            (7..10, _) => {
                let up_to = [5, 60, 300][self.rng.usize(..3)];
                self.wait(up_to).await?;
            }
            _ if self.live.len() < 4 => self.open(process),
            _ => {}
        }
        Ok(())
    }
}

fn time(passed: Duration, ahead: i64) -> SystemTime {
    let millis = 1_766_570_400_000_i64.saturating_add(ahead).unsigned_abs();
    UNIX_EPOCH + Duration::from_millis(millis) + passed
}

#[test]
fn a_live_workflow_is_never_stalled_and_a_dead_one_always() {
    crate::run_seeds(&EXPECTED, |seed| async move {
        let mut run = Run::new(seed);
        for _ in 0..run.rng.usize(1..40) {
            run.step().await?;
        }
        for process in 0..run.processes.len() {
            run.kill(process).await?;
        }
        Ok(std::mem::take(&mut run.counts))
    });
}
