//! Lists of sessions, newest first: from an index, or by a scan.
//!
//! ```text
//! query the index: 15 days ─▶ enough? ─▶ read the items; for gaps in the index, see `unindexed.rs`
//!                                │ no
//!                         scan one page ─▶ the whole table? ─▶ the newest of it
//!                                │ no
//!             query the index: all days ─▶ enough? ─▶ read the items
//!                                │ no, or no index, or no permission
//!                    scan up to 64 pages ─▶ the newest of those, perhaps truncated
//! ```

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::try_join_all;

use super::error::{RequestError, RequestErrorKind};
use super::expression::Projection;
use super::index::{Indexes, RecentIndex};
use super::layout::TableLayout;
use super::query::{IndexQuery, ListedId, QueriedIndex};
use super::read::MAX_BATCH_GET;
use super::{DynamoDbStore, convert, session_id};
use crate::status::{Item, SessionId, Timestamp, schema};
use crate::store::list::created_at;
use crate::store::{ListRequest, RecentItems, StoreError};

/// The maximum number of pages, of at most 1 MB each, that a scan reads.
const MAX_PAGES: usize = 64;

/// How many days of the index are queried before a page is scanned, to see whether that is the
/// whole table. Fewer if a day has many shards.
const NEAR_DAYS: usize = 15;
/// A scanned page costs as much as so many queries.
const QUERIES_PER_PAGE: usize = 256;

/// How far a writer's clock may be ahead of this one.
const CLOCK_SKEW: Duration = Duration::from_secs(60 * 60);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl DynamoDbStore {
    /// What `map` makes of the newest items. They are mapped page by page, or batch by batch, so
    /// that no more than one of these is in memory.
    pub(super) async fn newest<T>(
        &self,
        request: &ListRequest,
        map: impl Fn(&SessionId, Item) -> T + Send + Sync,
    ) -> Result<RecentItems<T>, StoreError> {
        if request.limit == 0 {
            return Ok(RecentItems::new(Vec::new(), false));
        }
        let layout = self.layout().await?;
        let mut newest = NewestItems::new(request, |_| true, map);
        let mut scan = Scan::default();
        let mut days = days(request);
        let mut ids = Vec::new();
        for far in [false, true] {
            if !self.query_days(layout, request, &mut days, far, &mut ids).await? {
                break;
            }
            if ids.len() == request.limit {
                return self.indexed(&ids, scan, layout, request, newest).await;
            }
            if !far {
                self.scan_page(&mut scan, layout, request, &mut newest).await?;
                if scan.is_done {
                    break;
                }
            }
        }
        while !scan.is_done && scan.pages < MAX_PAGES {
            self.scan_page(&mut scan, layout, request, &mut newest).await?;
        }
        Ok(RecentItems::new(newest.into_items(), !scan.is_done))
    }

    /// Returns the sessions whose ids start with `prefix`, newest first. Their items have
    /// `sessionId`, `createdAt`, `lastUpdated` and `overallStatus` only.
    ///
    /// Scans the table consistently, so every write before is seen, up to `pages` pages of 1 MB. If
    /// the table is larger, the result holds the sessions found in those, and is
    /// [truncated](RecentItems::truncated).
    ///
    /// # Errors
    ///
    /// Returns an error if the table could not be read.
    pub async fn sessions_with_prefix(
        &self,
        prefix: &str,
        pages: usize,
    ) -> Result<RecentItems, StoreError> {
        let layout = self.layout().await?;
        let shown = [schema::LAST_UPDATED, schema::OVERALL_STATUS];
        let request = ListRequest::new(usize::MAX).attributes(shown);
        let mut found = NewestItems::new(&request, |_| true, |_, item| item);
        // The caller may delete what is found.
        let mut scan = Scan { prefix: prefix.to_owned(), is_consistent: true, ..Scan::default() };
        while !scan.is_done && scan.pages < pages {
            self.scan_page(&mut scan, layout, &request, &mut found).await?;
        }
        Ok(RecentItems::new(found.into_items(), !scan.is_done))
    }

    /// Reads the sessions that the index has listed. If others are missing from the index, a table of one
    /// page is scanned instead, and the list of a larger one is marked as `unindexed`.
    async fn indexed<T, F, M>(
        &self,
        ids: &[ListedId],
        mut scan: Scan,
        layout: &TableLayout,
        request: &ListRequest,
        mut newest: NewestItems<'_, T, F, M>,
    ) -> Result<RecentItems<T>, StoreError>
    where
        F: Fn(&Item) -> bool,
        M: Fn(&SessionId, Item) -> T,
    {
        let Some(seen) = self.index_gaps(layout).await else {
            return self.read_newest(ids, layout, request, newest).await;
        };
        if scan.pages == 0 && !seen.is_large {
            // The index has a list already, so a failed scan does not fail it.
            let scanned = self.scan_page(&mut scan, layout, request, &mut newest).await;
            if scan.is_done {
                return Ok(RecentItems::new(newest.into_items(), false));
            }
            if scanned.is_ok() {
                self.note_large_table().await;
            }
        }
        let mut recent = self.read_newest(ids, layout, request, newest).await?;
        if seen.can_be_backfilled {
            self.warn_of_unindexed();
            recent.unindexed = true;
        }
        Ok(recent)
    }

    /// Adds the sessions of the next days in the index to `ids`, up to the limit of the request.
    /// Returns `false` if there is no index, or the role may not query it.
    async fn query_days(
        &self,
        layout: &TableLayout,
        request: &ListRequest,
        days: &mut impl Iterator<Item = String>,
        far: bool,
        ids: &mut Vec<ListedId>,
    ) -> Result<bool, StoreError> {
        let query = IndexQuery::new(self, &layout.names, request);
        let mut indexes = self.indexes(layout).await;
        let mut asked = 0;
        // Doubles the number of days queried at once: a busy table needs a day or two, and a
        // quiet one would take long one day after another.
        let mut at_once = 1;
        while ids.len() < request.limit {
            let Some(index) = indexes.newest() else { return Ok(false) };
            let near = (QUERIES_PER_PAGE / usize::from(index.shards)).clamp(1, NEAR_DAYS);
            let rest = if far { usize::MAX } else { near.saturating_sub(asked) };
            let part: Vec<_> = days.by_ref().take(at_once.min(rest)).collect();
            if part.is_empty() {
                break;
            }
            asked += part.len();
            at_once *= 2;
            let missing = request.limit - ids.len();
            let found = match query_part(&query, index, &part, missing).await {
                Ok(found) => found,
                Err(error) => {
                    let failed = index.clone();
                    match self.index_failed(error, &failed, layout).await? {
                        Some(current) => indexes = current,
                        None => return Ok(false),
                    }
                    let Some(index) = indexes.newest() else { return Ok(false) };
                    match query_part(&query, index, &part, missing).await {
                        Ok(found) => found,
                        Err(error) => {
                            let request = self.request("query", "dynamodb:Query", &layout.names);
                            return Err(error.into_store_error(request));
                        }
                    }
                }
            };
            ids.extend(found.into_iter().flatten().take(missing));
        }
        Ok(true)
    }

    /// A query of an index has failed. Another may have taken its place: returns the indexes if
    /// one has, and `None` if the table is to be scanned instead.
    async fn index_failed(
        &self,
        error: RequestError,
        index: &RecentIndex,
        layout: &TableLayout,
    ) -> Result<Option<Arc<Indexes>>, StoreError> {
        match error.kind {
            RequestErrorKind::AccessDenied => {
                if !self.0.has_warned_of_index.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        table = self.table_name(),
                        index = index.name,
                        error = %error.message,
                        "cannot query the index of the newest sessions (`dynamodb:Query`): \
                         scanning the table"
                    );
                }
                return Ok(None);
            }
            RequestErrorKind::Rejected | RequestErrorKind::TableNotFound => {
                let current = self.refresh_indexes(layout).await;
                match current.newest() {
                    Some(newest) if newest.name == index.name => {}
                    Some(_) => return Ok(Some(current)),
                    None => return Ok(None),
                }
            }
            _ => {}
        }
        let request = self.request("query", "dynamodb:Query", &layout.names);
        Err(error.into_store_error(request))
    }

    /// Reads the items of the sessions found in an index.
    pub(super) async fn read_newest<T, F, M>(
        &self,
        ids: &[ListedId],
        layout: &TableLayout,
        request: &ListRequest,
        mut newest: NewestItems<'_, T, F, M>,
    ) -> Result<RecentItems<T>, StoreError>
    where
        F: Fn(&Item) -> bool,
        M: Fn(&SessionId, Item) -> T,
    {
        let attributes = request.attributes.as_deref();
        for batch in ids.chunks(MAX_BATCH_GET) {
            let ids: Vec<_> = batch.iter().map(|(_, id)| id).collect();
            let mut found = HashMap::with_capacity(ids.len());
            self.read_batch(&ids, &layout.names, attributes, &mut found).await?;
            // In the order of the list. An index is updated with a delay: an item may be deleted.
            for id in ids {
                if let Some((id, item)) = found.remove_entry(id) {
                    newest.add(id, item);
                }
            }
        }
        Ok(RecentItems::new(newest.into_items(), false))
    }

    /// Scans the next page of the table.
    async fn scan_page<T, F, M>(
        &self,
        scan: &mut Scan,
        layout: &TableLayout,
        request: &ListRequest,
        newest: &mut NewestItems<'_, T, F, M>,
    ) -> Result<(), StoreError>
    where
        F: Fn(&Item) -> bool,
        M: Fn(&SessionId, Item) -> T,
    {
        let names = &layout.names;
        let start = scan.start.take();
        let mut aliases = HashMap::new();
        let projection = request.attributes.as_deref().map(|attributes| {
            let Projection { expression, names } = Projection::new(attributes, names);
            aliases.extend(names);
            expression
        });
        let mut page = self
            .client()
            .scan()
            .table_name(self.table_name())
            .set_projection_expression(projection)
            .consistent_read(scan.is_consistent)
            .set_exclusive_start_key(start);
        // Every id matches an empty prefix, which an expression may not contain.
        if !scan.prefix.is_empty() {
            aliases.insert("#k".to_owned(), names.key.clone());
            page = page
                .filter_expression("begins_with(#k, :p)")
                .expression_attribute_values(":p", AttributeValue::S(scan.prefix.clone()));
        }
        let aliases = (!aliases.is_empty()).then_some(aliases);
        let output =
            page.set_expression_attribute_names(aliases).send().await.map_err(|error| {
                let request = self.request("read from", "dynamodb:Scan", names);
                RequestError::from_sdk(&error).into_store_error(request)
            })?;
        for attributes in output.items.into_iter().flatten() {
            let item = convert::to_item(attributes, names);
            if let Some(id) = session_id(&item) {
                newest.add(id, item);
            }
        }
        scan.start = output.last_evaluated_key.filter(|key| !key.is_empty());
        scan.is_done = scan.start.is_none();
        scan.pages += 1;
        Ok(())
    }
}

/// Queries some days of an index side by side.
async fn query_part(
    query: &IndexQuery<'_>,
    index: &RecentIndex,
    days: &[String],
    limit: usize,
) -> Result<Vec<Vec<ListedId>>, RequestError> {
    let key = index.key().attribute();
    let queried = QueriedIndex { name: &index.name, key: &key };
    let queries = days.iter().map(|day| {
        let partitions = (0..index.shards).map(|shard| index.key().partition(day, shard));
        query.newest(queried, partitions.collect::<Vec<_>>(), limit)
    });
    try_join_all(queries).await
}

/// The days of the index that the list may reach, newest first: those for which items are retained
/// usually.
fn days(request: &ListRequest) -> impl Iterator<Item = String> + use<> {
    let now = Timestamp::from(SystemTime::now()).saturating_add(CLOCK_SKEW);
    let days = schema::DEFAULT_RETENTION.as_secs() / DAY.as_secs() + 2;
    let days = u32::try_from(days).unwrap_or(u32::MAX);
    let newest = request.after.as_ref().map_or(now, |(time, _)| now.min(*time));
    let oldest = now.saturating_sub(DAY.saturating_mul(days - 1)).day();
    (0..days)
        .map(move |ago| newest.saturating_sub(DAY.saturating_mul(ago)).day())
        .take_while(move |day| *day >= oldest)
}

/// The progress of a scan.
#[derive(Default)]
struct Scan {
    /// Of the session ids.
    prefix: String,
    /// Whether every write before is to be seen, at twice the cost.
    is_consistent: bool,
    start: Option<HashMap<String, AttributeValue>>,
    pages: usize,
    is_done: bool,
}

/// What `map` makes of the newest of the items added that the request asks for and that have what
/// the filter asks for.
pub(super) struct NewestItems<'a, T, F, M> {
    request: &'a ListRequest,
    filter: F,
    map: M,
    items: BTreeMap<ListedId, T>,
}

impl<'a, T, F, M> NewestItems<'a, T, F, M>
where
    F: Fn(&Item) -> bool,
    M: Fn(&SessionId, Item) -> T,
{
    pub(super) fn new(request: &'a ListRequest, filter: F, map: M) -> Self {
        Self { request, filter, map, items: BTreeMap::new() }
    }

    fn add(&mut self, id: SessionId, item: Item) {
        let created_at = created_at(&item);
        if !self.request.includes(created_at, &id) || !(self.filter)(&item) {
            return;
        }
        let value = (self.map)(&id, item);
        self.items.insert((Reverse(created_at), id), value);
        if self.items.len() > self.request.limit {
            self.items.pop_last();
        }
    }

    fn into_items(self) -> Vec<(SessionId, T)> {
        self.items.into_iter().map(|((_, id), item)| (id, item)).collect()
    }
}
