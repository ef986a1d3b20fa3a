//! [`RecentList`]: the newest workflows, with one read shared by concurrent requests.
//!
//! Of an item, which may have 400 KB, only what is shown of it is kept.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::status::{Item, SessionId};
use crate::store::{ListRequest, RecentItems, StatusReader, StoreError};

/// The longest list a client can request.
pub(super) const MAX_LIMIT: usize = 500;

/// A list stays fresh for this many times as long as reading it took. Without an index a
/// read scans the table, which is slow and costs read capacity.
const FRESHNESS: u32 = 10;

/// A cache of what is shown of the newest workflows of a store.
#[derive(Debug)]
pub(super) struct RecentList<R, T> {
    reader: Arc<R>,
    interval: Duration,
    shown: fn(&SessionId, Item) -> T,
    /// Held while the store is read, so that requests that arrive meanwhile share the result.
    last: Mutex<Last<T>>,
}

#[derive(Debug)]
struct Last<T> {
    read: Option<Read<T>>,
    /// When the store last failed, and why.
    failure: Option<(Instant, Arc<StoreError>)>,
}

#[derive(Debug)]
struct Read<T> {
    limit: usize,
    recent: Arc<RecentItems<T>>,
    fresh_until: Instant,
}

impl<R: StatusReader, T: Send> RecentList<R, T> {
    pub(super) fn new(
        reader: Arc<R>,
        interval: Duration,
        shown: fn(&SessionId, Item) -> T,
    ) -> Self {
        let last = Mutex::new(Last { read: None, failure: None });
        Self { reader, interval, shown, last }
    }

    /// What is kept of an item.
    pub(super) fn shown(&self) -> fn(&SessionId, Item) -> T {
        self.shown
    }

    /// Returns the newest items: at least `limit`, if the store has that many.
    pub(super) async fn get(&self, limit: usize) -> Result<Arc<RecentItems<T>>, Arc<StoreError>> {
        let requested_at = Instant::now();
        let mut last = self.last.lock().await;
        let started_at = Instant::now();
        if let Some(read) = &last.read
            && read.limit >= limit
            && read.fresh_until > started_at
        {
            return Ok(Arc::clone(&read.recent));
        }
        // A failure is shared too. Otherwise each request in the queue would wait for the
        // failures of all those before it.
        if let Some((failed_at, error)) = &last.failure
            && *failed_at > requested_at
        {
            return Err(Arc::clone(error));
        }
        let recent =
            self.reader.list(&ListRequest::new(limit), self.shown).await.map_err(|error| {
                let error = Arc::new(error);
                last.failure = Some((Instant::now(), Arc::clone(&error)));
                error
            })?;
        let recent = Arc::new(recent);
        let freshness = self.interval.max(started_at.elapsed() * FRESHNESS);
        last.read = Some(Read {
            limit,
            recent: Arc::clone(&recent),
            fresh_until: Instant::now() + freshness,
        });
        Ok(recent)
    }
}
