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

use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use futures_util::future::try_join_all;

use super::error::{RequestError, RequestErrorKind};
use super::expression::Projection;
use super::index::{Indexes, RecentIndex};
use super::layout::TableLayout;
use super::query::{IndexQuery, ListedId, QueriedIndex};
use super::read::MAX_BATCH_GET;
use super::read_units::ReadUnits;
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

/// How many days the index is queried before the current one: those for which items are retained
/// usually, and one more.
const LISTED_DAYS: u32 = (schema::DEFAULT_RETENTION.as_secs() / DAY.as_secs()) as u32 + 1;

impl DynamoDbStore {
    /// What `map` makes of the newest items. They are mapped page by page, or batch by batch, so
    /// that no more than one of these is in memory.
    pub(super) async fn newest<T>(
        &self,
        request: &ListRequest,
        map: impl Fn(&SessionId, Item) -> T + Send + Sync,
    ) -> Result<RecentItems<T>, StoreError> {
        let newest = NewestItems::new(request, |_| true, map);
        self.look_at_newest(request, newest).await.map(|looked| looked.found)
    }

    /// Looks at the newest items, as many as `request` says, for those that `newest` keeps.
    pub(super) async fn look_at_newest<T, F, M>(
        &self,
        request: &ListRequest,
        mut newest: NewestItems<'_, T, F, M>,
    ) -> Result<Looked<T>, StoreError>
    where
        F: Fn(&Item) -> bool,
        M: Fn(&SessionId, Item) -> T,
    {
        let units = ReadUnits::default();
        if request.limit == 0 || newest.limit == 0 {
            return Ok(Looked { is_end: false, ..Looked::nothing() });
        }
        let layout = self.layout().await?;
        let mut scan = Scan::default();
        let mut days = days(request);
        let mut ids = Vec::new();
        // The index has all days since a time that is asked for: no scan finds more.
        let is_bounded = request.since.is_some_and(|since| since >= oldest_listed());
        let passes: &[bool] = if is_bounded { &[true] } else { &[false, true] };
        for &far in passes {
            if !self.query_days(layout, request, &mut days, far, &mut ids, &units).await? {
                break;
            }
            if ids.len() == request.limit || is_bounded {
                return self.indexed(&ids, scan, layout, request, newest, &units).await;
            }
            if !far {
                self.scan_page(&mut scan, layout, request, &mut newest, &units).await?;
                if scan.is_done {
                    break;
                }
            }
        }
        while !scan.is_done && scan.pages < MAX_PAGES {
            self.scan_page(&mut scan, layout, request, &mut newest, &units).await?;
        }
        Ok(newest.into_scanned(&scan, &units))
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
        let units = ReadUnits::default();
        // The caller may delete what is found.
        let mut scan = Scan { prefix: prefix.to_owned(), is_consistent: true, ..Scan::default() };
        while !scan.is_done && scan.pages < pages {
            self.scan_page(&mut scan, layout, &request, &mut found, &units).await?;
        }
        Ok(found.into_scanned(&scan, &units).found)
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
        units: &ReadUnits,
    ) -> Result<Looked<T>, StoreError>
    where
        F: Fn(&Item) -> bool,
        M: Fn(&SessionId, Item) -> T,
    {
        let Some(seen) = self.index_gaps(layout, units).await else {
            return self.read_newest(ids, layout, request, newest, units).await;
        };
        if scan.pages == 0 && !seen.is_large {
            // The index has a list already, so a failed scan does not fail it.
            let scanned = self.scan_page(&mut scan, layout, request, &mut newest, units).await;
            if scan.is_done {
                return Ok(newest.into_scanned(&scan, units));
            }
            if scanned.is_ok() {
                self.note_large_table().await;
            }
        }
        let mut looked = self.read_newest(ids, layout, request, newest, units).await?;
        if seen.can_be_backfilled {
            self.warn_of_unindexed();
            looked.found.unindexed = true;
        }
        Ok(looked)
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
        units: &ReadUnits,
    ) -> Result<bool, StoreError> {
        let query = IndexQuery::new(self, &layout.names, request, units);
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

    /// Reads the items of the sessions found in an index, batch by batch until `newest` has what it
    /// keeps.
    pub(super) async fn read_newest<T, F, M>(
        &self,
        ids: &[ListedId],
        layout: &TableLayout,
        request: &ListRequest,
        mut newest: NewestItems<'_, T, F, M>,
        units: &ReadUnits,
    ) -> Result<Looked<T>, StoreError>
    where
        F: Fn(&Item) -> bool,
        M: Fn(&SessionId, Item) -> T,
    {
        let attributes = request.attributes.as_deref();
        let mut searched = 0;
        for batch in ids.chunks(MAX_BATCH_GET) {
            searched += batch.len();
            let ids: Vec<_> = batch.iter().map(|(_, id)| id).collect();
            let mut found = HashMap::with_capacity(ids.len());
            self.read_batch(&ids, &layout.names, attributes, &mut found, units).await?;
            // In the order of the list. An index is updated with a delay: an item may be deleted.
            for id in ids {
                if let Some((id, item)) = found.remove_entry(id) {
                    newest.add(id, item);
                }
            }
            if batch.last().is_some_and(|last| newest.is_settled(last)) {
                break;
            }
        }
        let reached = searched.checked_sub(1).and_then(|last| ids.get(last));
        let reached = reached.map(|(Reverse(time), _)| *time);
        // Fewer than asked for are all that the index has.
        let is_end = searched == ids.len() && ids.len() < request.limit && !newest.has_more;
        Ok(Looked { searched, reached, is_end, ..newest.into_looked(units) })
    }

    /// Scans the next page of the table.
    async fn scan_page<T, F, M>(
        &self,
        scan: &mut Scan,
        layout: &TableLayout,
        request: &ListRequest,
        newest: &mut NewestItems<'_, T, F, M>,
        units: &ReadUnits,
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
            .requests()
            .scan()
            .table_name(self.table_name())
            .set_projection_expression(projection)
            .consistent_read(scan.is_consistent)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
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
        units.add(output.consumed_capacity.as_ref());
        for attributes in output.items.into_iter().flatten() {
            let item = convert::to_item(attributes, names);
            if let Some(id) = session_id(&item) {
                scan.items += 1;
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
    let newest = request.after.as_ref().map_or(now, |(time, _)| now.min(*time));
    let oldest = oldest_listed();
    let oldest = request.since.map_or(oldest, |since| oldest.max(since)).day();
    (0..=LISTED_DAYS)
        .map(move |ago| newest.saturating_sub(DAY.saturating_mul(ago)).day())
        .take_while(move |day| *day >= oldest)
}

/// How far back the index is queried.
fn oldest_listed() -> Timestamp {
    let now = Timestamp::from(SystemTime::now()).saturating_add(CLOCK_SKEW);
    now.saturating_sub(DAY * LISTED_DAYS)
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
    /// How many items they had.
    items: usize,
    is_done: bool,
}

/// What a look at the newest items has found, and how far it went.
pub(super) struct Looked<T> {
    pub(super) found: RecentItems<T>,
    /// How many items it looked at.
    pub(super) searched: usize,
    /// When the last of them was created. `None` if they came in no order.
    pub(super) reached: Option<Timestamp>,
    /// Whether there are no more items to find.
    pub(super) is_end: bool,
}

impl<T> Looked<T> {
    /// Nobody had to look.
    pub(super) fn nothing() -> Self {
        let mut found = RecentItems::new(Vec::new(), false);
        found.read_units = Some(0.0);
        Self { found, searched: 0, reached: None, is_end: true }
    }
}

/// What `map` makes of the newest of the items added that the request asks for and that have what
/// the filter asks for.
pub(super) struct NewestItems<'a, T, F, M> {
    request: &'a ListRequest,
    filter: F,
    map: M,
    /// How many to keep.
    limit: usize,
    items: BTreeMap<ListedId, T>,
    /// Whether there were more.
    has_more: bool,
}

impl<'a, T, F, M> NewestItems<'a, T, F, M>
where
    F: Fn(&Item) -> bool,
    M: Fn(&SessionId, Item) -> T,
{
    pub(super) fn new(request: &'a ListRequest, filter: F, map: M) -> Self {
        let (items, limit) = (BTreeMap::new(), request.limit);
        Self { request, filter, map, limit, items, has_more: false }
    }

    /// Keeps so many, of the newest that the request asks for.
    pub(super) fn keep(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    fn add(&mut self, id: SessionId, item: Item) {
        let created_at = created_at(&item);
        if !self.request.includes(created_at, &id) || !(self.filter)(&item) {
            return;
        }
        let value = (self.map)(&id, item);
        self.items.insert((Reverse(created_at), id), value);
        if self.items.len() > self.limit {
            self.items.pop_last();
            self.has_more = true;
        }
    }

    /// Whether no item after this one would be kept.
    fn is_settled(&self, last: &ListedId) -> bool {
        self.items.len() == self.limit
            && self.items.last_key_value().is_some_and(|(kept, _)| kept <= last)
    }

    /// After a scan.
    fn into_scanned(self, scan: &Scan, units: &ReadUnits) -> Looked<T> {
        let is_end = scan.is_done && !self.has_more;
        let mut looked = Looked { searched: scan.items, is_end, ..self.into_looked(units) };
        looked.found.truncated = !scan.is_done;
        looked
    }

    fn into_looked(self, units: &ReadUnits) -> Looked<T> {
        let items = self.items.into_iter().map(|((_, id), item)| (id, item)).collect();
        let mut found = RecentItems::new(items, false);
        found.read_units = units.sum();
        Looked { found, searched: 0, reached: None, is_end: false }
    }
}
