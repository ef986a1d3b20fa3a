//! The newest sessions, from the table's index or by a scan.
//!
//! ```text
//! query the index: 15 days ─▶ enough? ─▶ read the items
//!                                │ no
//!                         scan one page ─▶ the whole table? ─▶ the newest of it
//!                                │ no
//!             query the index: all days ─▶ enough? ─▶ read the items
//!                                │ no, or no index, or no permission
//!                    scan up to 64 pages ─▶ the newest of those, perhaps truncated
//! ```

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::try_join_all;

use super::error::{RequestError, RequestErrorKind};
use super::layout::AttributeNames;
use super::read::MAX_BATCH_GET;
use super::{DynamoDbStore, convert, session_id};
use crate::status::{Item, SessionId, Timestamp, WorkflowStatus, schema};
use crate::store::{RecentItems, StatusReader as _, StoreError};

/// The maximum number of pages, of at most 1 MB each, that a scan reads.
const MAX_PAGES: usize = 64;

/// How many days of the index are queried before a page is scanned, to see whether that is the
/// whole table. A page costs as much as the queries of 256 days.
const NEAR_DAYS: usize = 15;

/// How far a writer's clock may be ahead of this one.
const CLOCK_SKEW: Duration = Duration::from_secs(60 * 60);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

type Attributes = HashMap<String, AttributeValue>;

impl DynamoDbStore {
    /// What `map` makes of the newest items. They are mapped page by page, or batch by batch, so
    /// that no more than one of these is in memory.
    pub(super) async fn newest<T>(
        &self,
        limit: usize,
        map: impl Fn(&SessionId, Item) -> T + Send + Sync,
    ) -> Result<RecentItems<T>, StoreError> {
        if limit == 0 {
            return Ok(RecentItems::new(Vec::new(), false));
        }
        let layout = self.layout().await?;
        let names = &layout.names;
        let mut newest = NewestItems::new(limit, map);
        let mut scan = Scan::default();
        if let Some(index) = &layout.recent_index {
            let mut days = days();
            let mut ids = Vec::new();
            for far in [false, true] {
                let part = if far { usize::MAX } else { NEAR_DAYS };
                let mut part = days.by_ref().take(part);
                if !self.query_index(index, names, &mut part, limit, &mut ids).await? {
                    break;
                }
                if ids.len() == limit {
                    return self.read_newest(&ids, newest).await;
                }
                if !far {
                    self.scan_page(&mut scan, names, None, |id, item| newest.add(id, item)).await?;
                    if scan.is_done {
                        break;
                    }
                }
            }
        }
        while !scan.is_done && scan.pages < MAX_PAGES {
            self.scan_page(&mut scan, names, None, |id, item| newest.add(id, item)).await?;
        }
        Ok(RecentItems::new(newest.into_items(), !scan.is_done))
    }

    /// Returns the sessions whose ids start with `prefix`, newest first. Their items have
    /// `sessionId`, `createdAt`, `lastUpdated` and `overallStatus` only.
    ///
    /// Scans the table, up to `pages` pages of 1 MB. If the table is larger, the result holds
    /// the sessions found in those, and is [truncated](RecentItems::truncated).
    ///
    /// # Errors
    ///
    /// Returns an error if the table could not be read.
    pub async fn sessions_with_prefix(
        &self,
        prefix: &str,
        pages: usize,
    ) -> Result<RecentItems, StoreError> {
        let names = &self.layout().await?.names;
        let mut found = NewestItems::new(usize::MAX, |_, item| item);
        let mut scan = Scan::default();
        while !scan.is_done && scan.pages < pages {
            let each = |id, item| found.add(id, item);
            self.scan_page(&mut scan, names, Some(prefix), each).await?;
        }
        Ok(RecentItems::new(found.into_items(), !scan.is_done))
    }

    /// Adds the sessions of these days in the index to `ids`, up to the limit. Returns `false`
    /// if the role may not query the index.
    async fn query_index(
        &self,
        index: &str,
        names: &AttributeNames,
        days: &mut impl Iterator<Item = String>,
        limit: usize,
        ids: &mut Vec<SessionId>,
    ) -> Result<bool, StoreError> {
        // Doubles the number of days queried at once: a busy table needs a day or two, and a
        // quiet one would take long one day after another.
        let mut at_once = 1;
        while ids.len() < limit {
            let missing = limit - ids.len();
            let queries = days.take(at_once).map(|day| self.query_day(index, names, day, missing));
            let found = match try_join_all(queries).await {
                Ok(found) if found.is_empty() => break,
                Ok(found) => found,
                Err(RequestError { kind: RequestErrorKind::AccessDenied, message }) => {
                    if !self.0.has_warned_of_index.swap(true, Ordering::Relaxed) {
                        tracing::warn!(
                            table = self.table_name(),
                            index,
                            error = %message,
                            "cannot query the index of the newest sessions (`dynamodb:Query`): \
                             scanning the table"
                        );
                    }
                    return Ok(false);
                }
                Err(error) => {
                    let request = self.request("query", "dynamodb:Query", names);
                    return Err(error.into_store_error(request));
                }
            };
            ids.extend(found.into_iter().flatten().take(missing));
            at_once *= 2;
        }
        Ok(true)
    }

    /// Reads the items of the sessions found in the index.
    async fn read_newest<T>(
        &self,
        ids: &[SessionId],
        mut newest: NewestItems<T, impl Fn(&SessionId, Item) -> T + Send + Sync>,
    ) -> Result<RecentItems<T>, StoreError> {
        for batch in ids.chunks(MAX_BATCH_GET) {
            let items = self.get_many(batch).await?;
            for (id, item) in batch.iter().zip(items) {
                // An index is updated with a delay: the item may be deleted.
                if let Some(item) = item {
                    newest.add(id.clone(), item);
                }
            }
        }
        Ok(RecentItems::new(newest.into_items(), false))
    }

    /// Queries the index for the newest sessions of a day.
    async fn query_day(
        &self,
        index: &str,
        names: &AttributeNames,
        day: String,
        limit: usize,
    ) -> Result<Vec<SessionId>, RequestError> {
        let mut ids = Vec::new();
        let mut start = None;
        loop {
            let output = self
                .client()
                .query()
                .table_name(self.table_name())
                .index_name(index)
                .key_condition_expression("#d = :d")
                .expression_attribute_names("#d", schema::CREATED_DAY)
                .expression_attribute_values(":d", AttributeValue::S(day.clone()))
                .scan_index_forward(false)
                .limit(i32::try_from(limit - ids.len()).unwrap_or(i32::MAX))
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(|error| RequestError::from_sdk(&error))?;
            ids.extend(output.items.into_iter().flatten().filter_map(|mut keys: Attributes| {
                match keys.remove(&names.key) {
                    Some(AttributeValue::S(id)) => SessionId::from_key(id).ok(),
                    _ => None,
                }
            }));
            start = output.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() || ids.len() >= limit {
                return Ok(ids);
            }
        }
    }

    /// Scans the next page of the table, filtered by a prefix of the session ids.
    async fn scan_page(
        &self,
        scan: &mut Scan,
        names: &AttributeNames,
        prefix: Option<&str>,
        mut each: impl FnMut(SessionId, Item),
    ) -> Result<(), StoreError> {
        let start = scan.start.take();
        let mut request =
            self.client().scan().table_name(self.table_name()).set_exclusive_start_key(start);
        if let Some(prefix) = prefix {
            request = request
                .projection_expression("#k, #c, #u, #s")
                .expression_attribute_names("#k", &names.key)
                .expression_attribute_names("#c", schema::CREATED_AT)
                .expression_attribute_names("#u", schema::LAST_UPDATED)
                .expression_attribute_names("#s", schema::OVERALL_STATUS);
            // Every id matches an empty prefix, which an expression may not contain.
            if !prefix.is_empty() {
                request = request
                    .filter_expression("begins_with(#k, :p)")
                    .expression_attribute_values(":p", AttributeValue::S(prefix.to_owned()));
            }
        }
        let output = request.send().await.map_err(|error| {
            let request = self.request("read from", "dynamodb:Scan", names);
            RequestError::from_sdk(&error).into_store_error(request)
        })?;
        for attributes in output.items.into_iter().flatten() {
            let item = convert::to_item(attributes, names);
            if let Some(id) = session_id(&item) {
                each(id, item);
            }
        }
        scan.start = output.last_evaluated_key.filter(|key| !key.is_empty());
        scan.is_done = scan.start.is_none();
        scan.pages += 1;
        Ok(())
    }
}

/// The days for which items are retained, newest first. Older items have expired.
fn days() -> impl Iterator<Item = String> {
    let newest = Timestamp::from(SystemTime::now()).saturating_add(CLOCK_SKEW);
    let days = schema::DEFAULT_RETENTION.as_secs() / DAY.as_secs() + 2;
    let days = u32::try_from(days).unwrap_or(u32::MAX);
    (0..days).map(move |ago| newest.saturating_sub(DAY.saturating_mul(ago)).day())
}

/// The progress of a scan.
#[derive(Default)]
struct Scan {
    start: Option<Attributes>,
    pages: usize,
    is_done: bool,
}

/// What `map` makes of the newest of the items added, up to a limit.
struct NewestItems<T, M> {
    limit: usize,
    map: M,
    items: BTreeMap<(Reverse<Timestamp>, SessionId), T>,
}

impl<T, M: Fn(&SessionId, Item) -> T> NewestItems<T, M> {
    fn new(limit: usize, map: M) -> Self {
        Self { limit, map, items: BTreeMap::new() }
    }

    fn add(&mut self, id: SessionId, item: Item) {
        let created_at = WorkflowStatus::from_item(&id, &item).created_at;
        let value = (self.map)(&id, item);
        self.items.insert((Reverse(created_at), id), value);
        if self.items.len() > self.limit {
            self.items.pop_last();
        }
    }

    fn into_items(self) -> Vec<(SessionId, T)> {
        self.items.into_iter().map(|((_, id), item)| (id, item)).collect()
    }
}
