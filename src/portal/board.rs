//! [`Board`]: the newest workflows, read again and again while somebody watches the overview.
//!
//! ```text
//! every 10 s       the newest 500
//! at each poll     the newest 10, for those that have begun since
//!                  and those that are running, up to 200
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::listed::Listed;
use super::overview::{Extent, overview};
use super::recent::{MAX_LIMIT, RecentList};
use super::version::Version;
use super::view::View;
use crate::status::{Item, OverallStatus, SessionId, Timestamp};
use crate::store::{ListRequest, RecentItems, StatusReader, StoreError, StoreErrorKind};

/// How often the whole list is read, which costs as much as everything else in that time.
const LIST_INTERVAL: Duration = Duration::from_secs(10);
/// How many of the newest are listed at each poll.
const NEWEST: usize = 10;
/// How many running workflows are read at each poll.
const MAX_RUNNING: usize = 200;
const MAX_BATCH: usize = 100;
/// A list is read again only after so many times as long as it took. Without an index it is a scan.
const PAUSE: u32 = 10;
/// How long a read may take before the store is considered unavailable.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest pause between two reads while the store is unavailable.
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// What the watchers are shown.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// `None` until the first read.
    pub(super) reading: Option<Arc<Reading>>,
    /// Whether the last read failed.
    pub(super) is_stale: bool,
}

/// The newest workflows, as last read.
#[derive(Debug)]
pub(super) struct Reading {
    workflows: Arc<RecentItems<Arc<Listed>>>,
    /// The overview of all of them; `None` if watchers see different ones.
    pub(super) json: Option<Arc<str>>,
}

/// The watchers of the overview. One task reads for all of them, and ends when there are none.
#[derive(Debug)]
pub(super) struct Board<R> {
    shared: Arc<Shared<R>>,
}

#[derive(Debug)]
struct Shared<R> {
    reader: Arc<R>,
    recent: Arc<RecentList<R, Arc<Listed>>>,
    view: Arc<View>,
    poll_interval: Duration,
    /// Whether all watchers see the same workflows.
    is_same_for_all: bool,
    listed: fn(&SessionId, Item) -> Arc<Listed>,
    /// While the task runs.
    state: Mutex<Option<watch::Sender<State>>>,
}

impl<R: StatusReader> Board<R> {
    pub(super) fn new(
        reader: Arc<R>,
        recent: Arc<RecentList<R, Arc<Listed>>>,
        view: Arc<View>,
        poll_interval: Duration,
        is_same_for_all: bool,
    ) -> Self {
        let (listed, state) = (recent.shown(), Mutex::default());
        let shared = Shared { reader, recent, view, poll_interval, is_same_for_all, listed, state };
        Self { shared: Arc::new(shared) }
    }

    /// Watches the overview until the receiver is dropped.
    pub(super) fn watch(&self) -> watch::Receiver<State> {
        let mut state = self.shared.lock();
        if let Some(sender) = &*state {
            return sender.subscribe();
        }
        let (sender, receiver) = watch::channel(State::default());
        *state = Some(sender);
        tokio::spawn(read(Reader(Arc::clone(&self.shared))));
        receiver
    }
}

/// When to read which list again.
struct Schedule {
    list: Instant,
    newest: Instant,
}

/// Reads until nobody is watching.
async fn read<R: StatusReader>(reader: Reader<R>) {
    let shared = &reader.0;
    let mut schedule = Schedule { list: Instant::now(), newest: Instant::now() };
    let mut last = None;
    let mut failures = 0;
    while shared.is_watched() {
        let started_at = Instant::now();
        let read = timeout(READ_TIMEOUT, shared.refresh(last.as_ref(), &mut schedule)).await;
        let too_slow = |_| StoreError::new(StoreErrorKind::Unavailable, "it does not answer");
        match read.map_err(too_slow).flatten() {
            Ok(workflows) => {
                if failures > 0 {
                    tracing::info!("the status store is answering again");
                }
                failures = 0;
                let workflows = Arc::new(workflows);
                shared.publish(&workflows);
                last = Some(workflows);
            }
            Err(error) => {
                if failures == 0 {
                    tracing::warn!(%error, "cannot read the status store for the overview; retrying");
                }
                failures += 1;
                shared.mark_stale();
            }
        }
        let backoff = shared.poll_interval.saturating_mul(2_u32.saturating_pow(failures));
        let pause = backoff.min(MAX_BACKOFF).max(shared.poll_interval);
        sleep_until(started_at + pause).await;
    }
}

impl<R: StatusReader> Shared<R> {
    /// Reads what is due.
    async fn refresh(
        &self,
        last: Option<&Arc<RecentItems<Arc<Listed>>>>,
        schedule: &mut Schedule,
    ) -> Result<RecentItems<Arc<Listed>>, StoreError> {
        let started_at = Instant::now();
        let Some(last) = last else { return self.list(schedule).await };
        let mut known: HashMap<_, _> = last.items.iter().cloned().collect();
        if schedule.list <= started_at {
            return Ok(newer(self.list(schedule).await?, known));
        }
        let mut begun = Vec::new();
        if schedule.newest <= started_at {
            let request = ListRequest::new(NEWEST);
            let newest = self.reader.list(&request, self.listed).await?;
            schedule.newest = started_at + started_at.elapsed() * PAUSE;
            let is_new = |(id, _): &&(SessionId, Arc<Listed>)| !known.contains_key(id);
            begun = newest.items.iter().filter(is_new).cloned().collect();
            if begun.len() == NEWEST {
                // There may be more of them.
                return Ok(newer(self.list(schedule).await?, known));
            }
            for (id, listed) in newest.items {
                update(&mut known, id, listed);
            }
        }
        let now = SystemTime::now().into();
        let is_running = |(_, listed): &&(SessionId, Arc<Listed>)| {
            use OverallStatus::{Initializing, Processing};
            let status = &listed.status;
            matches!(status.overall_status, Initializing | Processing)
                && !status.is_stalled(now, self.view.heartbeat)
        };
        let running = last.items.iter().filter(is_running).map(|(id, _)| id.clone());
        let running: Vec<_> = running.take(MAX_RUNNING).collect();
        for batch in running.chunks(MAX_BATCH) {
            let items = self.reader.get_many(batch).await?;
            for (id, item) in batch.iter().zip(items) {
                if let Some(item) = item {
                    update(&mut known, id.clone(), (self.listed)(id, item));
                }
            }
        }
        let kept = last.items.iter().map(|(id, _)| id.clone());
        let ids: Vec<_> = begun.into_iter().map(|(id, _)| id).chain(kept).take(MAX_LIMIT).collect();
        let mut workflows = RecentItems::new(
            ids.into_iter().filter_map(|id| known.remove_entry(&id)).collect(),
            last.truncated,
        );
        workflows.unindexed = last.unindexed;
        Ok(workflows)
    }

    /// Reads the whole list.
    async fn list(&self, schedule: &mut Schedule) -> Result<RecentItems<Arc<Listed>>, StoreError> {
        let started_at = Instant::now();
        let recent = self
            .recent
            .get(MAX_LIMIT)
            .await
            .map_err(|error| StoreError::new(error.kind(), error.to_string()))?;
        let took = started_at.elapsed();
        schedule.list = started_at + LIST_INTERVAL.max(took * PAUSE);
        schedule.newest = started_at + took * PAUSE;
        Ok((*recent).clone())
    }

    fn publish(&self, workflows: &Arc<RecentItems<Arc<Listed>>>) {
        let now = SystemTime::now().into();
        let json = self.is_same_for_all.then(|| render(workflows, |_| true, &self.view, now));
        let state = self.lock();
        let Some(sender) = &*state else { return };
        let reading = Arc::new(Reading {
            workflows: Arc::clone(workflows),
            json: json.map(|json| json.into()),
        });
        sender.send_if_modified(|state| {
            let is_changed = state.is_stale
                || reading.json.is_none()
                || state.reading.as_ref().is_none_or(|last| last.json != reading.json);
            if is_changed {
                *state = State { reading: Some(reading), is_stale: false };
            }
            is_changed
        });
    }

    fn mark_stale(&self) {
        if let Some(sender) = &*self.lock() {
            sender.send_if_modified(|state| !std::mem::replace(&mut state.is_stale, true));
        }
    }

    /// Whether anybody is watching. If not, the task must end.
    fn is_watched(&self) -> bool {
        let mut state = self.lock();
        let is_watched = state.as_ref().is_some_and(|sender| sender.receiver_count() > 0);
        if !is_watched {
            *state = None;
        }
        is_watched
    }
}

impl<R> Shared<R> {
    fn lock(&self) -> MutexGuard<'_, Option<watch::Sender<State>>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reading {
    /// The overview of those workflows that somebody sees.
    pub(super) fn overview(&self, sees: impl Fn(&Listed) -> bool, view: &View) -> String {
        render(&self.workflows, sees, view, SystemTime::now().into())
    }
}

/// The overview of these workflows, as far as they are seen.
pub(super) fn render(
    workflows: &RecentItems<Arc<Listed>>,
    sees: impl Fn(&Listed) -> bool,
    view: &View,
    now: Timestamp,
) -> String {
    let extent = Extent {
        is_partial: workflows.items.len() >= MAX_LIMIT || workflows.truncated,
        truncated: workflows.truncated,
        unindexed: workflows.unindexed,
    };
    let seen = workflows.items.iter().map(|(_, listed)| &**listed).filter(|listed| sees(listed));
    overview(seen, extent, view, now)
}

/// A list, with what is known of its workflows where that is newer.
fn newer(
    mut list: RecentItems<Arc<Listed>>,
    mut known: HashMap<SessionId, Arc<Listed>>,
) -> RecentItems<Arc<Listed>> {
    for (id, listed) in &mut list.items {
        if let Some(known) = known.remove(id)
            && Version::of(&listed.status).is_older_than(Version::of(&known.status))
        {
            *listed = known;
        }
    }
    list
}

/// Takes what was read of a workflow, unless it is older than what is known.
fn update(known: &mut HashMap<SessionId, Arc<Listed>>, id: SessionId, read: Arc<Listed>) {
    let version = Version::of(&read.status);
    let is_older =
        known.get(&id).is_some_and(|listed| version.is_older_than(Version::of(&listed.status)));
    if !is_older {
        known.insert(id, read);
    }
}

/// Held by the reading task. If the reader panics, dropping it closes all streams, so that clients
/// reconnect and a new task starts.
struct Reader<R>(Arc<Shared<R>>);

impl<R> Drop for Reader<R> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            *self.0.lock() = None;
        }
    }
}
