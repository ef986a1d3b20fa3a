//! The recorder: saves what the tracker knows. This is its face: start, flush, shutdown.

mod waiters;
mod worker;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::agent::{Agent, InvalidName};
use crate::store::StatusStore;
use crate::tracker::{Clock, Command, Limits, Shared, StatusTracker, Unsaved};
use worker::Worker;

/// Longer than any process lives, and short enough to be added to any moment.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

impl StatusTracker {
    /// A tracker that saves to this store.
    pub fn builder<S: StatusStore>(store: S) -> StatusTrackerBuilder<S> {
        StatusTrackerBuilder {
            store,
            agents: Vec::new(),
            settings: Settings {
                batch_delay: Duration::from_millis(5),
                live_usage_interval: Duration::from_secs(1),
                heartbeat_interval: Duration::from_secs(30),
            },
            limits: Limits { max_sessions: 100_000, idle_timeout: None, clock: Clock::System },
        }
    }

    /// Waits until everything known at the time of the call is saved.
    ///
    /// What is unsaved is tried once, now, whatever it waited for. This suits hosts that
    /// stop the process between requests. A try lasts as long as the store takes, a minute
    /// at the most.
    ///
    /// # Errors
    ///
    /// If a write failed: which sessions are not saved, and why. They stay with the
    /// recorder, which goes on trying.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the saving to go on.
    pub async fn flush(&self) -> Result<(), UnsavedError> {
        let (reply, answer) = oneshot::channel();
        self.shared().handoff.send(Command::Flush(reply));
        self.answered(answer.await.ok())
    }

    /// Saves everything and ends the recorder.
    ///
    /// What fails is tried again, with backoff, until the deadline. Changes made after
    /// this has returned are not saved; the first of them is logged.
    ///
    /// # Errors
    ///
    /// Which sessions could not be saved, and why.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the recorder to end by itself.
    pub async fn shutdown(&self, timeout: Duration) -> Result<(), UnsavedError> {
        let (reply, answer) = oneshot::channel();
        let deadline = Instant::now() + timeout.min(FAR);
        self.shared().handoff.send(Command::Shutdown { deadline, reply });
        self.answered(answer.await.ok())
    }

    fn answered(&self, unsaved: Option<Vec<Unsaved>>) -> Result<(), UnsavedError> {
        // Without an answer there is no recorder (any more): nothing will be saved.
        let unsaved = unsaved.unwrap_or_else(|| self.shared().unsaved(|_| None));
        if unsaved.is_empty() { Ok(()) } else { Err(UnsavedError { unsaved }) }
    }
}

/// Some sessions' newest states are not in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnsavedError {
    /// The sessions; at least one.
    pub unsaved: Vec<Unsaved>,
}

impl fmt::Display for UnsavedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMED: usize = 5;
        match self.unsaved.len() {
            1 => f.write_str("1 session could not be saved: ")?,
            n => write!(f, "{n} sessions could not be saved: ")?,
        }
        for (n, unsaved) in self.unsaved.iter().take(NAMED).enumerate() {
            write!(f, "{}{}", if n == 0 { "" } else { ", " }, unsaved.session_id)?;
        }
        if self.unsaved.len() > NAMED {
            f.write_str(", …")?;
        }
        match self.unsaved.iter().find_map(|unsaved| unsaved.error.as_ref()) {
            Some(error) => write!(f, " ({error})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for UnsavedError {}

/// Settings of a [`StatusTracker`].
///
/// ```
/// use std::time::Duration;
/// use tower_agent_status::{Agent, StatusTracker, store::MemoryStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let tracker = StatusTracker::builder(MemoryStore::new())
///     .agent(Agent::new("pdfAdapter").pending("Waiting for upload"))
///     .agent(Agent::new("tradeExtraction").pending("Waiting for PDF processing"))
///     .heartbeat_interval(Duration::from_secs(10))
///     .start()?;
/// // … and at the end of the process:
/// tracker.shutdown(Duration::from_secs(5)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a tracker does nothing until it is started"]
pub struct StatusTrackerBuilder<S> {
    store: S,
    agents: Vec<Agent>,
    settings: Settings,
    limits: Limits,
}

#[derive(Clone, Copy, Debug)]
struct Settings {
    batch_delay: Duration,
    live_usage_interval: Duration,
    heartbeat_interval: Duration,
}

impl<S> fmt::Debug for StatusTrackerBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusTrackerBuilder")
            .field("agents", &self.agents)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl<S: StatusStore> StatusTrackerBuilder<S> {
    /// Declares an agent, so that a workflow shows it as pending from its start, with
    /// its own texts.
    pub fn agent(mut self, agent: Agent) -> Self {
        self.agents.push(agent);
        self
    }

    /// Declares several agents, in their command.
    pub fn agents(mut self, agents: impl IntoIterator<Item = Agent>) -> Self {
        self.agents.extend(agents);
        self
    }

    /// How long a change waits for neighbours that travel in the same write: 5 ms unless
    /// set. Zero writes at once.
    pub fn batch_delay(mut self, time: Duration) -> Self {
        self.settings.batch_delay = time.min(FAR);
        self
    }

    /// How often the tokens of a stream that is still running are written for their own
    /// sake, where the stream tells them before its end: every second unless set. Any
    /// other change of the session takes them along.
    pub fn live_usage_interval(mut self, every: Duration) -> Self {
        self.settings.live_usage_interval = every.min(FAR);
        self
    }

    /// How often at least the item of a workflow that is open, or has a call in flight,
    /// is renewed when nothing else changes: 30 s unless set. Readers take a workflow that
    /// misses three of these for stalled.
    pub fn heartbeat_interval(mut self, every: Duration) -> Self {
        self.settings.heartbeat_interval = every.clamp(Duration::from_millis(1), FAR);
        self
    }

    /// Completes a session that is known only from its calls, once nothing was heard of it
    /// for so long: for services that have no place to open a workflow in. Unless this is
    /// set such a session stays `processing` until
    /// [`finalize_status`](StatusTracker::finalize_status).
    ///
    /// The time is to be longer than any pause between two calls of a session: one that
    /// comes later still counts, and does not reopen the session. Where another process
    /// holds the workflow open it should be longer than that one's
    /// [heartbeat](Self::heartbeat_interval), which shows that the session is alive. A session is
    /// completed within half as long again. An agent that is in progress keeps it from
    /// being idle, and a workflow opened by this process is never completed in this way.
    pub fn idle_timeout(mut self, after: Duration) -> Self {
        self.limits.idle_timeout = Some(after.clamp(Duration::from_millis(1), FAR));
        self
    }

    /// How many sessions may be live or unsaved at once: 100,000 unless set. Calls for
    /// sessions beyond it pass untracked; they are counted, and the first is logged.
    pub fn max_sessions(mut self, sessions: usize) -> Self {
        self.limits.max_sessions = sessions;
        self
    }

    /// Where the time of day comes from; the system's clock unless set.
    pub fn clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.limits.clock = Clock::Given(Arc::new(now));
        self
    }

    /// Starts the recorder on the current tokio runtime, which needs its timers enabled
    /// (`Builder::enable_time`; `#[tokio::main]` has them).
    ///
    /// # Errors
    ///
    /// If an agent's name cannot be used, or if there is no runtime.
    pub fn start(self) -> Result<StatusTracker, StartError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let (tracker, recorder) = self.build()?;
        runtime.spawn(recorder);
        Ok(tracker)
    }

    /// Gives the tracker and its recorder, a future that the caller runs to its end. Until
    /// it is polled, [`flush`](StatusTracker::flush) and
    /// [`shutdown`](StatusTracker::shutdown) wait.
    ///
    /// # Errors
    ///
    /// If an agent's name cannot be used.
    pub fn build(self) -> Result<(StatusTracker, Recorder), StartError> {
        let store = Arc::new(self.store);
        let is_reserved = {
            let store = Arc::clone(&store);
            move |name: &str| store.is_reserved(name)
        };
        let shared = Arc::new(Shared::new(self.limits, is_reserved));
        for agent in self.agents {
            shared.registry.declare(agent)?;
        }
        let tracker = StatusTracker::new(Arc::clone(&shared));
        #[cfg(feature = "metrics")]
        crate::telemetry::metrics::describe();
        let worker = Worker::new(shared, store, self.settings);
        Ok((tracker, Recorder(Box::pin(worker.run()))))
    }
}

/// A tracker could not be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An agent's name cannot be used.
    #[error("an agent cannot be declared: {0}")]
    Agent(InvalidName),
    /// There is no tokio runtime.
    #[error(
        "the recorder needs a tokio runtime: call `start` from within one, or run the future \
         that `build` gives"
    )]
    NoRuntime,
}

/// It is told in the text, so that it is no cause beside it.
impl From<InvalidName> for StartError {
    fn from(name: InvalidName) -> Self {
        Self::Agent(name)
    }
}

/// The task that saves what a tracker knows. It ends with
/// [`StatusTracker::shutdown`], or when the last tracker is gone.
#[must_use = "nothing is saved unless this future is run"]
pub struct Recorder(Pin<Box<dyn Future<Output = ()> + Send>>);

impl Future for Recorder {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recorder")
    }
}
