//! The newest sessions: by the table's index, or else by a scan of it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::try_join_all;

use super::error::{Fault, Meaning};
use super::table::Names;
use super::{DynamoDbStore, convert, session_id};
use crate::status::{Item, SessionId, Timestamp, WorkflowStatus, schema};
use crate::store::{RecentItems, StatusReader as _, StoreError};

/// How many pages, of 1 MB at most, a scan for the newest reads.
const MAX_PAGES: usize = 64;

/// How many days back the index is asked before it is seen whether the table is so small
/// that one page of a scan is all of it. A page costs as much as 256 days.
const NEAR: usize = 15;

/// How far the clock of a writer may be ahead of the one here.
const SKEW: Duration = Duration::from_secs(60 * 60);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

type Attributes = HashMap<String, AttributeValue>;

impl DynamoDbStore {
    pub(super) async fn newest(&self, limit: usize) -> Result<RecentItems, StoreError> {
        if limit == 0 {
            return Ok(RecentItems::default());
        }
        let known = self.known().await?;
        let names = &known.names;
        let mut newest = Newest::new(limit);
        let mut scan = Scan::default();
        if let Some(index) = &known.recent_index {
            let mut days = days();
            let mut ids = Vec::new();
            for far in [false, true] {
                let part = if far { usize::MAX } else { NEAR };
                let mut part = days.by_ref().take(part);
                if !self.ask_index(index, names, &mut part, limit, &mut ids).await? {
                    break;
                }
                if ids.len() == limit {
                    return self.newest_of(ids, limit).await;
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

    /// The sessions whose ids begin with `prefix`, newest first. Of their items there are
    /// `sessionId`, `createdAt`, `lastUpdated` and `overallStatus` only.
    ///
    /// The table is scanned for them, up to so many pages of 1 MB: of a larger one the
    /// sessions found there are given, as [truncated](RecentItems::truncated).
    ///
    /// # Errors
    ///
    /// If the table cannot be read.
    pub async fn sessions_with_prefix(
        &self,
        prefix: &str,
        pages: usize,
    ) -> Result<RecentItems, StoreError> {
        let names = &self.known().await?.names;
        let mut found = Newest::new(usize::MAX);
        let mut scan = Scan::default();
        while !scan.is_done && scan.pages < pages {
            let each = |id, item| found.add(id, item);
            self.scan_page(&mut scan, names, Some(prefix), each).await?;
        }
        Ok(RecentItems::new(found.into_items(), !scan.is_done))
    }

    /// Adds what the index names of these days to the ids, up to the limit; `false` if the
    /// role may not ask.
    async fn ask_index(
        &self,
        index: &str,
        names: &Names,
        days: &mut impl Iterator<Item = String>,
        limit: usize,
        ids: &mut Vec<SessionId>,
    ) -> Result<bool, StoreError> {
        // A busy table is asked for a day or two, and a quiet one not for one day after
        // the other: ever more of them at a time.
        let mut at_once = 1;
        while ids.len() < limit {
            let missing = limit - ids.len();
            let asked = days.take(at_once).map(|day| self.of_day(index, names, day, missing));
            let found = match try_join_all(asked).await {
                Ok(found) if found.is_empty() => break,
                Ok(found) => found,
                Err(Fault { meaning: Meaning::Denied, text }) => {
                    if !self.0.has_warned_of_index.swap(true, Ordering::Relaxed) {
                        tracing::warn!(
                            table = self.table(),
                            index,
                            error = %text,
                            "cannot query the index of the newest sessions (`dynamodb:Query`): \
                             scanning the table"
                        );
                    }
                    return Ok(false);
                }
                Err(fault) => {
                    let request = self.request("query", "dynamodb:Query", names);
                    return Err(fault.into_store_error(request));
                }
            };
            ids.extend(found.into_iter().flatten().take(missing));
            at_once *= 2;
        }
        Ok(true)
    }

    /// The items that the index has named.
    async fn newest_of(
        &self,
        ids: Vec<SessionId>,
        limit: usize,
    ) -> Result<RecentItems, StoreError> {
        let items = self.get_many(&ids).await?;
        let mut newest = Newest::new(limit);
        for (id, item) in ids.into_iter().zip(items) {
            // An index may be behind: what it names may be gone.
            if let Some(item) = item {
                newest.add(id, item);
            }
        }
        Ok(RecentItems::new(newest.into_items(), false))
    }

    /// The newest sessions of a day.
    async fn of_day(
        &self,
        index: &str,
        names: &Names,
        day: String,
        limit: usize,
    ) -> Result<Vec<SessionId>, Fault> {
        let mut ids = Vec::new();
        let mut start = None;
        loop {
            let answer = self
                .client()
                .query()
                .table_name(self.table())
                .index_name(index)
                .key_condition_expression("#d = :d")
                .expression_attribute_names("#d", schema::CREATED_DAY)
                .expression_attribute_values(":d", AttributeValue::S(day.clone()))
                .scan_index_forward(false)
                .limit(i32::try_from(limit - ids.len()).unwrap_or(i32::MAX))
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(|error| Fault::of(&error))?;
            ids.extend(answer.items.into_iter().flatten().filter_map(|mut keys: Attributes| {
                match keys.remove(&names.key) {
                    Some(AttributeValue::S(id)) => SessionId::from_key(id).ok(),
                    _ => None,
                }
            }));
            start = answer.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() || ids.len() >= limit {
                return Ok(ids);
            }
        }
    }

    /// Reads the next page of the table, or of the sessions of it whose ids begin so.
    async fn scan_page(
        &self,
        scan: &mut Scan,
        names: &Names,
        prefix: Option<&str>,
        mut each: impl FnMut(SessionId, Item),
    ) -> Result<(), StoreError> {
        let start = scan.start.take();
        let mut request =
            self.client().scan().table_name(self.table()).set_exclusive_start_key(start);
        if let Some(prefix) = prefix {
            request = request
                .projection_expression("#k, #c, #u, #s")
                .expression_attribute_names("#k", &names.key)
                .expression_attribute_names("#c", schema::CREATED_AT)
                .expression_attribute_names("#u", schema::LAST_UPDATED)
                .expression_attribute_names("#s", schema::OVERALL_STATUS);
            // Every id begins with nothing, and no value of an expression may be that.
            if !prefix.is_empty() {
                request = request
                    .filter_expression("begins_with(#k, :p)")
                    .expression_attribute_values(":p", AttributeValue::S(prefix.to_owned()));
            }
        }
        let answer = request.send().await.map_err(|error| {
            let request = self.request("read from", "dynamodb:Scan", names);
            Fault::of(&error).into_store_error(request)
        })?;
        for attributes in answer.items.into_iter().flatten() {
            let item = convert::to_item(attributes, names);
            if let Some(id) = session_id(&item) {
                each(id, item);
            }
        }
        scan.start = answer.last_evaluated_key.filter(|key| !key.is_empty());
        scan.is_done = scan.start.is_none();
        scan.pages += 1;
        Ok(())
    }
}

/// The days in which items live, the newest first: what is older has expired.
fn days() -> impl Iterator<Item = String> {
    let newest = Timestamp::from(SystemTime::now()).saturating_add(SKEW);
    let days = schema::DEFAULT_RETENTION.as_secs() / DAY.as_secs() + 2;
    let days = u32::try_from(days).unwrap_or(u32::MAX);
    (0..days).map(move |ago| newest.saturating_sub(DAY.saturating_mul(ago)).day())
}

/// How far a scan has come.
#[derive(Default)]
struct Scan {
    start: Option<Attributes>,
    pages: usize,
    is_done: bool,
}

/// The newest items of those it is given.
struct Newest {
    limit: usize,
    items: BTreeMap<(Reverse<Timestamp>, SessionId), Item>,
}

impl Newest {
    fn new(limit: usize) -> Self {
        Self { limit, items: BTreeMap::new() }
    }

    fn add(&mut self, id: SessionId, item: Item) {
        let created_at = WorkflowStatus::from_item(&id, &item).created_at;
        self.items.insert((Reverse(created_at), id), item);
        if self.items.len() > self.limit {
            self.items.pop_last();
        }
    }

    fn into_items(self) -> Vec<(SessionId, Item)> {
        self.items.into_iter().map(|((_, id), item)| (id, item)).collect()
    }
}
