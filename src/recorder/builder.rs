//! [`StatusTrackerBuilder`]: the settings of a tracker, and how it starts.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tracing::Level;

use super::worker::{Settings, Worker};
use super::{FAR, Recorder};
use crate::agent::{Agent, InvalidName};
use crate::status::schema::DEFAULT_RETENTION;
use crate::store::StatusStore;
use crate::tracker::{Clock, Costs, Limits, ReservedNames, Shared, StatusTracker};

impl StatusTracker {
    /// Configures a tracker that saves to this store.
    pub fn builder<S: StatusStore>(store: S) -> StatusTrackerBuilder<S> {
        StatusTrackerBuilder {
            store,
            agents: Vec::new(),
            settings: Settings {
                batch_delay: Duration::from_millis(5),
                live_usage_interval: Duration::from_secs(1),
                heartbeat_interval: Duration::from_secs(30),
                max_writes_in_flight: None,
            },
            limits: Limits {
                max_sessions: 100_000,
                idle_timeout: None,
                waiting_timeout: Duration::from_secs(24 * 60 * 60),
                retention: DEFAULT_RETENTION,
                clock: Clock::System,
                span_level: Level::INFO,
            },
            #[cfg(feature = "prices")]
            prices: None,
        }
    }
}

/// Configures and starts a [`StatusTracker`].
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
    #[cfg(feature = "prices")]
    prices: Option<crate::pricing::Prices>,
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
    /// Declares an agent: each workflow shows it as pending from the start, with the agent's own texts.
    pub fn agent(mut self, agent: Agent) -> Self {
        self.agents.push(agent);
        self
    }

    /// Declares several agents, in this order.
    pub fn agents(mut self, agents: impl IntoIterator<Item = Agent>) -> Self {
        self.agents.extend(agents);
        self
    }

    /// Sets how long a change waits for others to share its write. The default is 5 ms; zero
    /// writes at once.
    pub fn batch_delay(mut self, delay: Duration) -> Self {
        self.settings.batch_delay = delay.min(FAR);
        self
    }

    /// Sets how often the token usage of a running stream is written, if the stream reports it
    /// before its end and nothing else in the session changes. The default is one second.
    pub fn live_usage_interval(mut self, interval: Duration) -> Self {
        self.settings.live_usage_interval = interval.min(FAR);
        self
    }

    /// Sets how often a workflow that is open, or has a call in flight, is written when nothing
    /// else changes. The default is 30 seconds. Readers show a workflow that has missed three
    /// heartbeats as stalled.
    pub fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.settings.heartbeat_interval = interval.clamp(Duration::from_millis(1), FAR);
        self
    }

    /// Completes a session that is known only from its calls once it has been idle for this long, for
    /// services that have no place to open a workflow. By default such a session stays
    /// `processing` until [`finalize_status`](StatusTracker::finalize_status).
    ///
    /// The timeout should be longer than any pause between two calls of a session: a later call
    /// still counts, but does not reopen the session. If another process holds the workflow
    /// open, the timeout should be longer than that process's
    /// [heartbeat interval](Self::heartbeat_interval), since a heartbeat shows that the session
    /// is alive. A session is completed within one and a half timeouts after this process last
    /// changed it, or learned that another had. While an agent is in progress the session is
    /// not idle, unless it [waits](Self::waiting_timeout) for too long. A workflow that this process
    /// has opened never ends this way.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.limits.idle_timeout = Some(timeout.clamp(Duration::from_millis(1), FAR));
        self
    }

    /// Sets how long a session with an [idle timeout](Self::idle_timeout) may be without a call
    /// while an agent [waits](crate::status::AgentStatus::waiting_for) for a task, for input or
    /// for authorization. The default is 24 hours.
    ///
    /// After that the session is completed, and the agent ends as an error of class
    /// [`unfinished`](crate::status::CallError::UNFINISHED). A timeout that is shorter than the
    /// idle timeout counts as equal to it.
    pub fn waiting_timeout(mut self, timeout: Duration) -> Self {
        self.limits.waiting_timeout = timeout.min(FAR);
        self
    }

    /// Sets how many sessions can be live or unsaved at once. The default is 100,000. Calls of
    /// sessions beyond that pass untracked; they are [counted](StatusTracker::lost), and the first
    /// is logged.
    ///
    /// A session is live while a workflow is open on it, a call of it is in flight, or a
    /// [scope](crate::Workflow::scope) holds it. One that is saved and idle stays in memory for
    /// ten minutes, or less if its room is needed. Its next call resumes it from its item. An
    /// [idle timeout](Self::idle_timeout) does not keep it in memory: a session that was evicted is not
    /// completed until a call resumes it, and the first such eviction is logged.
    pub fn max_sessions(mut self, sessions: usize) -> Self {
        self.limits.max_sessions = sessions;
        self
    }

    /// Sets how long the item of a session is kept after its creation, if the table has time to
    /// live. It is clamped to a range from one minute to 30 years. The default is 90 days.
    ///
    /// It applies to sessions and runs that begin in this process, unless the workflow has a
    /// [retention of its own](crate::WorkflowBuilder::retention). A process that resumes a session does
    /// not change the expiry of its item. The expiry is never in the past: if it is near when the item
    /// is written, it is postponed to a day after the write, or to the retention after it if that is
    /// shorter. So an item lasts for as long as it is written.
    pub fn retention(mut self, retention: Duration) -> Self {
        self.limits.retention = retention;
        self
    }

    /// Sets how many writes may be in flight at once, over all sessions: at least one, and no more
    /// in a [flush](StatusTracker::flush) or a [shutdown](StatusTracker::shutdown).
    ///
    /// By default the tracker adapts the number to the store's response times. It begins with 64. While
    /// writes are queued and responses stay quick, it grows, up to 512. When responses take more than
    /// twice as long as the best of the last minute, or more than 250 ms, it falls again, but not below
    /// 64. During a flush or a shutdown that takes longer than a second, up to 256 are allowed in any
    /// case.
    ///
    /// Either number is halved by each write that fails or is throttled, and rises again with those
    /// that succeed.
    ///
    /// # File descriptors
    ///
    /// A client of DynamoDB opens a connection for each write in flight, and so takes as many file
    /// descriptors: up to 512 of those that the process may open (`ulimit -n`, often 1,024). A
    /// process that needs them for something else should set a lower number.
    pub fn max_writes_in_flight(mut self, writes: usize) -> Self {
        self.settings.max_writes_in_flight = Some(writes.max(1));
        self
    }

    /// Sets the price list from which the costs of calls are computed. By default, no costs are recorded.
    ///
    /// A cost that a response reports takes precedence. To record only reported costs, use an empty list:
    /// `Prices::default()`. A call whose tokens have no price is
    /// [counted](crate::status::TotalCost::unpriced_calls), and a warning is logged once per model.
    #[cfg(feature = "prices")]
    pub fn prices(mut self, prices: crate::pricing::Prices) -> Self {
        self.prices = Some(prices);
        self
    }

    /// Sets the source of the time of day. The default is the system's clock.
    ///
    /// The clock may be adjusted while the tracker runs. It provides the times that are written, and
    /// decides how long ago a session finished. Heartbeats and timeouts use tokio's clock. The times of
    /// a session in memory never go back.
    pub fn clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.limits.clock = Clock::Given(Arc::new(now));
        self
    }

    /// Sets the level of the spans of calls and workflows. The default is `INFO`. Their target is
    /// always `tower_agent_status`, since `tracing` keeps it with the source line; the
    /// [guide](crate::guide::telemetry) has their fields, and how to filter them.
    pub fn span_level(mut self, level: Level) -> Self {
        self.limits.span_level = level;
        self
    }

    /// Starts the recorder on the current tokio runtime, which needs its timers enabled
    /// (`Builder::enable_time`; `#[tokio::main]` has them).
    ///
    /// If that runtime ends before the tracker does, as with a tracker in a `static` that several
    /// `#[tokio::test]`s use, the recorder resumes at the next change,
    /// [flush](StatusTracker::flush) or [shutdown](StatusTracker::shutdown) inside another runtime.
    /// Until then, unsaved changes stay in memory. Call `flush` at the end of each runtime.
    ///
    /// A current-thread runtime makes progress only while something blocks on it.
    ///
    /// # Errors
    ///
    /// If an agent's name is invalid, or if there is no runtime.
    pub fn start(self) -> Result<StatusTracker, StartError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let worker = self.worker()?;
        let tracker = StatusTracker::new(Arc::clone(worker.shared()));
        tracker.shared().restart_with(worker.start_another());
        runtime.spawn(worker.run());
        Ok(tracker)
    }

    /// Returns the tracker and its recorder, a future that the caller must run to its end: if it is
    /// dropped earlier, nothing is recorded any more. Until it is polled, [`flush`](StatusTracker::flush) and
    /// [`shutdown`](StatusTracker::shutdown) wait.
    ///
    /// # Errors
    ///
    /// If an agent's name is invalid.
    pub fn build(self) -> Result<(StatusTracker, Recorder), StartError> {
        let worker = self.worker()?;
        let tracker = StatusTracker::new(Arc::clone(worker.shared()));
        Ok((tracker, Recorder(Box::pin(worker.run()))))
    }

    fn worker(self) -> Result<Worker<S>, StartError> {
        let store = Arc::new(self.store);
        let names: Arc<dyn ReservedNames> = store.clone();
        #[cfg(feature = "prices")]
        let costs = Costs::new(self.prices);
        #[cfg(not(feature = "prices"))]
        let costs = Costs;
        let shared = Arc::new(Shared::new(self.limits, costs, names));
        for agent in self.agents {
            shared.registry.declare(agent)?;
        }
        #[cfg(feature = "metrics")]
        crate::telemetry::metrics::describe();
        Ok(Worker::new(shared, store, self.settings))
    }
}

impl<S: StatusStore> ReservedNames for S {
    fn is_reserved(&self, attribute: &str) -> bool {
        StatusStore::is_reserved(self, attribute)
    }

    fn is_index_key(&self, attribute: &str) -> bool {
        StatusStore::is_index_key(self, attribute)
    }
}

/// The error returned when a tracker cannot be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An agent's name is invalid.
    #[error("an agent cannot be declared: {0}")]
    Agent(InvalidName),
    /// There is no tokio runtime.
    #[error(
        "the recorder needs a tokio runtime: call `start` inside one, or run the future that \
         `build` returns"
    )]
    NoRuntime,
}

/// The name is in the error's own text, so it is not a source as well.
impl From<InvalidName> for StartError {
    fn from(name: InvalidName) -> Self {
        Self::Agent(name)
    }
}
