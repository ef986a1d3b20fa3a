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
use crate::status::{Item, Timestamp, WorkflowStatus, schema};
use crate::store::{Recent, StatusReader, StoreError};

/// How many pages, of 1 MB at most, a scan reads.
const MAX_PAGES: usize = 64;

/// How far the clock of a writer may be ahead of the one here.
const SKEW: Duration = Duration::from_secs(60 * 60);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

type Attributes = HashMap<String, AttributeValue>;

impl DynamoDbStore {
    pub(super) async fn newest(&self, limit: usize) -> Result<Recent, StoreError> {
        if limit == 0 {
            return Ok(Recent::default());
        }
        let known = self.known().await?;
        if let Some(index) = &known.recent_index
            && let Some(items) = self.newest_indexed(index, &known.names, limit).await?
        {
            return Ok(Recent { items, truncated: false });
        }
        let mut newest = Newest::new(limit);
        let truncated = self.scan(&known.names, None, |id, item| newest.add(id, item)).await?;
        Ok(Recent { items: newest.into_items(), truncated })
    }

    /// The sessions whose ids begin with `prefix`, newest first. Of their items there are
    /// `sessionId`, `createdAt`, `lastUpdated` and `overallStatus` only.
    ///
    /// The table is scanned for them, up to 64 pages of 1 MB: of a larger one the sessions
    /// found there are given, as [truncated](Recent::truncated).
    ///
    /// # Errors
    ///
    /// If the table cannot be read.
    pub async fn with_prefix(&self, prefix: &str) -> Result<Recent, StoreError> {
        let names = &self.known().await?.names;
        let mut found = Newest::new(usize::MAX);
        let truncated = self.scan(names, Some(prefix), |id, item| found.add(id, item)).await?;
        Ok(Recent { items: found.into_items(), truncated })
    }

    /// `None` if the index names fewer than asked for, or may not be asked.
    async fn newest_indexed(
        &self,
        index: &str,
        names: &Names,
        limit: usize,
    ) -> Result<Option<Vec<(String, Item)>>, StoreError> {
        let newest = Timestamp::from(SystemTime::now()).plus(SKEW);
        // What is older than this has expired.
        let days = schema::TIME_TO_LIVE.as_secs() / DAY.as_secs() + 2;
        let days = u32::try_from(days).unwrap_or(u32::MAX);
        let mut days = (0..days).map(|ago| newest.minus(DAY.saturating_mul(ago)).day());
        let mut ids = Vec::new();
        // A busy table is asked for a day or two, and a quiet one not for one day after
        // the other: ever more of them at a time.
        for at_once in (0..).map(|step| 2_usize.pow(step)) {
            let days = days.by_ref().take(at_once);
            let missing = limit - ids.len();
            let asked = days.map(|day| self.of_day(index, names, day, missing));
            let asked = try_join_all(asked).await;
            let found = match asked.map_err(|fault| (fault.meaning, fault)) {
                // Asked for no day: there are no more.
                Ok(found) if found.is_empty() => return Ok(None),
                Ok(found) => found,
                Err((Meaning::Denied, fault)) => {
                    if !self.0.has_warned_of_index.swap(true, Ordering::Relaxed) {
                        tracing::warn!(
                            table = self.table(),
                            index,
                            error = %fault.text,
                            "cannot query the index of the newest sessions (`dynamodb:Query`): \
                             scanning the table"
                        );
                    }
                    return Ok(None);
                }
                Err((_, fault)) => {
                    let request = self.request("query", "dynamodb:Query", names);
                    return Err(fault.into_store_error(request));
                }
            };
            ids.extend(found.into_iter().flatten().take(missing));
            if ids.len() >= limit {
                break;
            }
        }
        let items = self.get_many(&ids).await?;
        let mut newest = Newest::new(limit);
        for (id, item) in ids.into_iter().zip(items) {
            // An index may be behind: what it names may be gone.
            if let Some(item) = item {
                newest.add(id, item);
            }
        }
        Ok(Some(newest.into_items()))
    }

    /// The newest sessions of a day.
    async fn of_day(
        &self,
        index: &str,
        names: &Names,
        day: String,
        limit: usize,
    ) -> Result<Vec<String>, Fault> {
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
                    Some(AttributeValue::S(id)) => Some(id),
                    _ => None,
                }
            }));
            start = answer.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() || ids.len() >= limit {
                return Ok(ids);
            }
        }
    }

    /// Goes through the table, or through the sessions of it whose ids begin so; whether
    /// it was too large to go through all of it.
    async fn scan(
        &self,
        names: &Names,
        prefix: Option<&str>,
        mut each: impl FnMut(String, Item),
    ) -> Result<bool, StoreError> {
        let mut start = None;
        for _ in 0..MAX_PAGES {
            let mut scan =
                self.client().scan().table_name(self.table()).set_exclusive_start_key(start);
            if let Some(prefix) = prefix {
                scan = scan
                    .projection_expression("#k, #c, #u, #s")
                    .expression_attribute_names("#k", &names.key)
                    .expression_attribute_names("#c", schema::CREATED_AT)
                    .expression_attribute_names("#u", schema::LAST_UPDATED)
                    .expression_attribute_names("#s", schema::OVERALL_STATUS);
                // Every id begins with nothing, and no value of an expression may be that.
                if !prefix.is_empty() {
                    scan = scan
                        .filter_expression("begins_with(#k, :p)")
                        .expression_attribute_values(":p", AttributeValue::S(prefix.to_owned()));
                }
            }
            let answer = scan.send().await.map_err(|error| {
                let request = self.request("read from", "dynamodb:Scan", names);
                Fault::of(&error).into_store_error(request)
            })?;
            for attributes in answer.items.into_iter().flatten() {
                let item = convert::to_item(attributes, names);
                if let Some(id) = session_id(&item).map(str::to_owned) {
                    each(id, item);
                }
            }
            start = answer.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The newest items of those it is given.
struct Newest {
    limit: usize,
    items: BTreeMap<(Reverse<Timestamp>, String), Item>,
}

impl Newest {
    fn new(limit: usize) -> Self {
        Self { limit, items: BTreeMap::new() }
    }

    fn add(&mut self, id: String, item: Item) {
        let created_at = WorkflowStatus::from_item(&id, &item).created_at;
        self.items.insert((Reverse(created_at), id), item);
        if self.items.len() > self.limit {
            self.items.pop_last();
        }
    }

    fn into_items(self) -> Vec<(String, Item)> {
        self.items.into_iter().map(|((_, id), item)| (id, item)).collect()
    }
}
