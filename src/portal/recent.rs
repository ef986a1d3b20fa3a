//! [`RecentList`]: the newest workflows, read once for all who ask at the same time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::store::{RecentItems, StatusReader, StoreError};

/// The longest list.
pub(super) const MAX_LIMIT: usize = 500;

/// The part of the time that may be spent reading: a store that has to search takes long,
/// and each search costs.
const SHARE: u32 = 10;

/// The newest workflows of a store.
#[derive(Debug)]
pub(super) struct RecentList<R> {
    reader: Arc<R>,
    interval: Duration,
    /// Held while the store is read, so that all who ask meanwhile share the answer.
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    answer: Option<Answer>,
    /// When the store failed, and why.
    failure: Option<(Instant, Arc<StoreError>)>,
}

#[derive(Clone, Debug)]
struct Answer {
    asked_for: usize,
    recent: Arc<RecentItems>,
    fresh_until: Instant,
}

impl<R: StatusReader> RecentList<R> {
    pub(super) fn new(reader: Arc<R>, interval: Duration) -> Self {
        Self { reader, interval, last: Mutex::default() }
    }

    /// The newest items, at least `limit` of them if there are so many.
    pub(super) async fn get(&self, limit: usize) -> Result<Arc<RecentItems>, Arc<StoreError>> {
        let asked_at = Instant::now();
        let mut last = self.last.lock().await;
        let begun_at = Instant::now();
        if let Some(answer) = &last.answer
            && answer.asked_for >= limit
            && answer.fresh_until > begun_at
        {
            return Ok(Arc::clone(&answer.recent));
        }
        // Or each would wait for the failures of all before it.
        if let Some((failed_at, error)) = &last.failure
            && *failed_at > asked_at
        {
            return Err(Arc::clone(error));
        }
        let recent = self.reader.recent(limit).await.map_err(|error| {
            let error = Arc::new(error);
            last.failure = Some((Instant::now(), Arc::clone(&error)));
            error
        })?;
        let recent = Arc::new(recent);
        let pause = self.interval.max(begun_at.elapsed() * SHARE);
        last.answer = Some(Answer {
            asked_for: limit,
            recent: Arc::clone(&recent),
            fresh_until: Instant::now() + pause,
        });
        Ok(recent)
    }
}
