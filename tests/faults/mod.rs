//! A wrapper around a store that injects every fault a table can have.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::unconstrained;
use tokio::time::sleep;
use tower_agent_status::SessionId;
use tower_agent_status::status::{Change, Item, ItemVersion, Precondition, Value};
use tower_agent_status::store::{
    MemoryStore, StatusReader, StatusStore, StoreError, StoreErrorKind, WriteOutcome,
};

/// A fault that a write meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// The write takes a long time.
    Delay,
    /// The table throttles the write.
    Throttle,
    /// The write fails and is certainly not applied.
    FailBefore,
    /// The write is applied, but its answer is lost.
    FailAfter,
    /// The write is not applied, but the error leaves that open.
    Unknown,
    /// The write times out and is applied after the writer gave up.
    AppliedLate,
    /// Another writer writes just before.
    Storm,
    /// The table is unavailable for a while.
    Outage,
    /// The table answers that it will never accept the write.
    Permanent,
    /// The store panics before the write is applied.
    PanicBefore,
    /// The store panics after the write was applied.
    PanicAfter,
}

impl Fault {
    pub(crate) const ALL: [Self; 11] = [
        Self::Delay,
        Self::Throttle,
        Self::FailBefore,
        Self::FailAfter,
        Self::Unknown,
        Self::AppliedLate,
        Self::Storm,
        Self::Outage,
        Self::Permanent,
        Self::PanicBefore,
        Self::PanicAfter,
    ];

    /// Those after which a process goes on by itself, and soon.
    pub(crate) const PASSING: [Self; 5] =
        [Self::FailBefore, Self::FailAfter, Self::Unknown, Self::AppliedLate, Self::Throttle];
}

/// What happens to one write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fate {
    pub(crate) fault: Option<Fault>,
    /// The time until the write is applied, or is not.
    pub(crate) before: Duration,
    /// The time from there until the answer.
    pub(crate) after: Duration,
    /// The time from the answer until a late write is applied.
    pub(crate) late: Duration,
}

impl Fate {
    /// Every third write meets one of these faults.
    pub(crate) fn of_three(rng: &mut fastrand::Rng, faults: &[Fault]) -> Self {
        let fault = (rng.u8(..3) == 0).then(|| faults[rng.usize(..faults.len())]);
        let mut takes = |up_to| Duration::from_millis(rng.u64(..up_to));
        Self { fault, before: takes(500), after: takes(500), late: takes(5_000) }
    }
}

/// Decides the fate of each write and observes what happens to it.
///
/// No method may panic to report a failure: the recorder would take it for a panic of the
/// store, and survive it.
pub(crate) trait Director: Send + Sync + 'static {
    /// What the director remembers about one write.
    type Note: Send + Sync + 'static;

    /// Called when the recorder asks for a write.
    fn asked(&self, change: &Change, expected: &Precondition) -> (Self::Note, Fate);

    /// Called when the write has reached the table, with the item before it and its result.
    fn reached(&self, note: &Self::Note, before: Option<&Item>, written: &Reached);

    /// Called when the writer receives its answer.
    fn answered(&self, note: &Self::Note, answer: &Result<WriteOutcome, StoreError>);
}

/// The result of a write that reached the table.
#[derive(Debug)]
pub(crate) enum Reached {
    /// The write was applied; this is the item after it.
    Applied(Item),
    Refused,
}

/// One client of a table. What is done there takes no time.
pub(crate) struct FaultyStore<D, T = MemoryStore> {
    table: T,
    director: Arc<D>,
    gauge: Gauge,
}

impl<D: Director, T: StatusStore + StatusReader + Clone> FaultyStore<D, T> {
    pub(crate) fn new(table: T, director: Arc<D>) -> Self {
        Self { table, director, gauge: Gauge::default() }
    }

    /// The number of writes this client has in flight, and the most it has had.
    pub(crate) fn gauge(&self) -> Gauge {
        self.gauge.clone()
    }

    async fn reach(
        table: &T,
        director: &D,
        note: &D::Note,
        change: &Change,
        expected: Precondition,
    ) -> Result<WriteOutcome, StoreError> {
        let id = &change.session_id;
        let at_once = async {
            let before = table.get(id).await?;
            let written = table.write(change, expected).await?;
            let reached = match (&written, table.get(id).await?) {
                (WriteOutcome::Applied, Some(item)) => Reached::Applied(item),
                _ => Reached::Refused,
            };
            director.reached(note, before.as_ref(), &reached);
            Ok(written)
        };
        // Nobody else's turn comes in between.
        unconstrained(at_once).await
    }

    async fn attempt(
        &self,
        note: &Arc<D::Note>,
        change: &Change,
        expected: Precondition,
        fate: Fate,
    ) -> Result<WriteOutcome, StoreError> {
        let unavailable = || StoreError::new(StoreErrorKind::Unavailable, "scripted failure");
        sleep(fate.before).await;
        match fate.fault {
            Some(Fault::FailBefore | Fault::Outage) => return Err(unavailable()),
            Some(Fault::Throttle) => {
                return Err(StoreError::new(StoreErrorKind::Throttled, "scripted throttling"));
            }
            Some(Fault::Permanent) => {
                return Err(StoreError::new(StoreErrorKind::Permanent, "scripted refusal"));
            }
            Some(Fault::Unknown | Fault::PanicBefore) => return Err(unavailable().ambiguous()),
            Some(Fault::AppliedLate) => {
                let (table, director) = (self.table.clone(), Arc::clone(&self.director));
                let (note, change) = (Arc::clone(note), change.clone());
                tokio::spawn(async move {
                    sleep(fate.after + fate.late).await;
                    Self::reach(&table, &director, &note, &change, expected).await
                });
                sleep(fate.after).await;
                return Err(unavailable().ambiguous());
            }
            Some(Fault::Storm) => self.touch(&change.session_id).await?,
            Some(Fault::Delay | Fault::FailAfter | Fault::PanicAfter) | None => {}
        }
        let written = Self::reach(&self.table, &self.director, note, change, expected).await?;
        sleep(fate.after).await;
        match fate.fault {
            Some(Fault::FailAfter | Fault::PanicAfter) => Err(unavailable().ambiguous()),
            _ => Ok(written),
        }
    }

    /// Writes as another writer would, changing nothing but the revision.
    async fn touch(&self, session_id: &SessionId) -> Result<(), StoreError> {
        let Some(item) = unconstrained(self.table.get(session_id)).await? else { return Ok(()) };
        let found = Precondition::Version(ItemVersion::of(&item));
        let revision = item.get("revision").and_then(Value::as_u64).unwrap_or(0);
        let set = Item::from_iter([("revision".to_owned(), Value::Integer(revision + 1))]);
        let change = Change::new(session_id.clone(), set, vec![]);
        unconstrained(self.table.write(&change, found)).await?;
        Ok(())
    }
}

impl<D: Director, T: StatusStore + StatusReader + Clone> StatusStore for FaultyStore<D, T> {
    async fn write(
        &self,
        change: &Change,
        expected: Precondition,
    ) -> Result<WriteOutcome, StoreError> {
        let _held = self.gauge.enter(&change.session_id);
        let (note, fate) = self.director.asked(change, &expected);
        let note = Arc::new(note);
        let answer = self.attempt(&note, change, expected, fate).await;
        self.director.answered(&note, &answer);
        if matches!(fate.fault, Some(Fault::PanicBefore | Fault::PanicAfter)) {
            // Unlike `panic!`, this does not call the panic hook, which would print a message.
            std::panic::resume_unwind(Box::new("scripted panic"));
        }
        answer
    }
}

/// Counts the writes in flight.
#[derive(Clone, Default)]
pub(crate) struct Gauge(Arc<Mutex<Counts>>);

#[derive(Default)]
struct Counts {
    by_session: BTreeMap<SessionId, usize>,
    in_flight: usize,
    most: usize,
    most_of_a_session: usize,
}

impl Gauge {
    pub(crate) fn in_flight(&self) -> usize {
        self.lock().in_flight
    }

    /// The most writes that were in flight at once.
    pub(crate) fn most(&self) -> usize {
        self.lock().most
    }

    /// The most writes of one session that were in flight at once.
    pub(crate) fn most_of_a_session(&self) -> usize {
        self.lock().most_of_a_session
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, session_id: &SessionId) -> Held {
        let mut counts = self.lock();
        let of_session = counts.by_session.entry(session_id.clone()).or_default();
        *of_session += 1;
        counts.most_of_a_session = (*of_session).max(counts.most_of_a_session);
        counts.in_flight += 1;
        counts.most = counts.in_flight.max(counts.most);
        drop(counts);
        Held { gauge: self.clone(), session_id: session_id.clone() }
    }
}

struct Held {
    gauge: Gauge,
    session_id: SessionId,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut counts = self.gauge.lock();
        counts.in_flight -= 1;
        if let Some(of_session) = counts.by_session.get_mut(&self.session_id) {
            *of_session -= 1;
            if *of_session == 0 {
                counts.by_session.remove(&self.session_id);
            }
        }
    }
}
