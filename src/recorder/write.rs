//! One write: how it is sent, and [how it has ended](FinishedWrite).

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::FutureExt as _;
use tokio::time::{Instant, timeout};

use crate::status::{Change, PendingWrite, Precondition};
use crate::store::{StatusStore, StoreError, StoreErrorKind, WriteOutcome};
use crate::tracker::{Session, Shared};

/// The longest that a write can take. After that it counts as failed, though it may still be
/// applied. The stores of this crate give up long before.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// A write in flight. If it is dropped before its [end](Self::end), its answer is lost, and its
/// session goes back to the hand-off.
pub(super) struct InFlight {
    shared: Arc<Shared>,
    session: Arc<Session>,
    pending: Option<PendingWrite>,
}

impl InFlight {
    pub(super) fn new(shared: &Arc<Shared>, session: Arc<Session>, pending: PendingWrite) -> Self {
        Self { shared: Arc::clone(shared), session, pending: Some(pending) }
    }

    /// The write has an answer, which is the caller's to acknowledge.
    pub(super) fn end(mut self) -> Option<(Arc<Session>, PendingWrite)> {
        let pending = self.pending.take()?;
        Some((Arc::clone(&self.session), pending))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(pending) = self.pending.take()
            && self.session.acknowledge(|state| state.ledger.write_failed(&pending, true))
        {
            self.shared.handoff.put_back(Arc::clone(&self.session), Instant::now());
        }
    }
}

/// A write that has ended.
pub(super) struct FinishedWrite {
    pub(super) write: InFlight,
    pub(super) result: Result<WriteOutcome, StoreError>,
    /// How long the store took to answer.
    pub(super) took: Duration,
    /// What the [limit](super::concurrency::WriteLimit::start) said at its start.
    pub(super) window: Option<u64>,
    pub(super) epoch: u64,
}

/// Sends a write. A store that panics or hangs has failed, too.
pub(super) async fn send<S: StatusStore>(
    store: &S,
    change: &Change,
    precondition: Precondition,
) -> Result<WriteOutcome, StoreError> {
    let write = AssertUnwindSafe(async { store.write(change, precondition).await });
    let unavailable = |what| Err(StoreError::new(StoreErrorKind::Unavailable, what).ambiguous());
    match timeout(WRITE_TIMEOUT, write.catch_unwind()).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => unavailable("the store panicked"),
        Err(_) => unavailable("the store did not respond within a minute"),
    }
}

/// How a write has ended, as a label of its metrics.
#[cfg(feature = "metrics")]
pub(super) fn result_name(result: &Result<WriteOutcome, StoreError>) -> &'static str {
    match result.as_ref().map_err(StoreError::kind) {
        Ok(WriteOutcome::Applied) => "applied",
        Ok(WriteOutcome::Conflict(_)) => "conflict",
        Err(StoreErrorKind::Throttled) => "throttled",
        Err(StoreErrorKind::Unavailable) => "unavailable",
        Err(StoreErrorKind::Permanent) => "permanent",
    }
}
