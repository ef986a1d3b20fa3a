//! Backfilling: adds to the items of older writers the attributes that the index of the newest
//! sessions needs, and an expiry.
//!
//! ```text
//! a page of the table ─▶ what does each item lack? ─▶ add it, if the item has not changed since
//!        ▲                                                │
//!        └── the next page, or a later run from there ◀────┘
//! ```
//!
//! Only missing attributes are written. `revision` and `lastUpdated` do not change, so no writer meets
//! a conflict.

mod report;
mod requirements;

use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::time::sleep_until;

use super::error::{RequestError, RequestErrorKind, SetupError};
use super::fill::{Attributes, FillScan, Pace, Page, UPDATES_AT_ONCE};
use super::index::{Indexes, RecentIndex, Shards};
use super::layout::TableLayout;
use super::read_units::ReadUnits;
use super::{DynamoDbStore, TimeToLive};
use crate::status::{Timestamp, schema};

pub use self::report::{BackfillCounts, BackfillReport};
use self::requirements::{Additions, ExpirySettings, Requirements};

/// The least time from now to an expiry that an item gets: time enough to notice a mistake.
const MIN_AHEAD: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A sample reads this many items of each part of the table, or 1 MB of it if that is less.
const SAMPLED_PARTS: i32 = 8;
const SAMPLED_OF_PART: i32 = 500;
/// The same for a small sample, which only tells whether any sessions are missing from the index.
const SMALL_SAMPLE_OF_PART: i32 = 100;

/// What [`DynamoDbStore::backfill`] is going to do. Returned by
/// [`plan_backfill`](DynamoDbStore::plan_backfill).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackfillPlan {
    /// The indexes of the newest sessions. Items get the attributes that they need.
    pub recent_indexes: Vec<RecentIndex>,
    /// The table's time to live.
    pub time_to_live: TimeToLive,
    /// The attribute for the expiry, or `None` to give no item an expiry. Default: the table's
    /// time-to-live attribute, or `None` if that cannot be read or is used for something else.
    pub ttl_attribute: Option<String>,
    /// How long after its creation an item without an expiry is to expire, but at least 30 days from
    /// now. Items older than this get no expiry; see [`expire_after`](Self::expire_after). Default: 90
    /// days.
    pub retention: Duration,
    /// How long from now items are to expire that are older than the retention or of unknown age. At
    /// least 30 days. Default: `None`, which gives them no expiry.
    pub expire_after: Option<Duration>,
    /// Where the run starts: [`BackfillReport::next`] of an earlier run, or `None` for the beginning of
    /// the table. Default: `None`.
    pub from: Option<String>,
    /// The maximum number of pages to read, of up to 1 MB each. Default: 64.
    pub max_pages: u32,
    /// The approximate maximum number of write units per second; `None` for no limit. Default: 1,000,
    /// a quarter of what a new on-demand table accepts.
    pub write_units_per_second: Option<u32>,
    /// The number of items in the table, as of up to six hours ago.
    pub item_count: u64,
    /// The size of the table in bytes, as of up to six hours ago.
    pub table_size_bytes: u64,
    key: String,
}

impl BackfillPlan {
    /// The maximum number of bytes that the run reads.
    fn bytes(&self) -> u64 {
        self.table_size_bytes.min(u64::from(self.max_pages) * 1_024 * 1_024)
    }

    /// Returns the approximate maximum number of read units that the run takes.
    #[must_use]
    pub fn read_units(&self) -> u64 {
        self.bytes().div_ceil(8 * 1_024)
    }

    /// Returns the approximate number of write units that the run takes if every item lacks something,
    /// indexes included.
    #[must_use]
    pub fn write_units(&self) -> u64 {
        let indexes = self.recent_indexes.len() as u64;
        let size = self.table_size_bytes.checked_div(self.item_count).unwrap_or(0).max(1);
        let items = self.bytes().div_ceil(size).min(self.item_count);
        items * (self.units_of_item() + indexes)
    }

    fn units_of_item(&self) -> u64 {
        self.table_size_bytes.checked_div(self.item_count).unwrap_or(0).div_ceil(1_024).max(1)
    }

    fn requirements(&self) -> Requirements {
        let expiry = self.ttl_attribute.clone().map(|attribute| ExpirySettings {
            attribute,
            retention: self.retention,
            expire_after: self.expire_after,
        });
        Requirements::new(self.key.clone(), &self.recent_indexes, expiry)
    }
}

/// Backfilling the items of older writers, which lack attributes that this crate writes.
impl DynamoDbStore {
    /// Plans a [backfill](Self::backfill) of this table, with the defaults. Requires
    /// `dynamodb:DescribeTable`, and `dynamodb:DescribeTimeToLive` to give items an expiry.
    ///
    /// # Errors
    ///
    /// Returns an error if the table cannot be described or has an unsuitable key.
    pub async fn plan_backfill(&self) -> Result<BackfillPlan, SetupError> {
        let described = self.describe_table().await?;
        let (key, ttl) = (described.partition_key, described.ttl_attribute);
        // A wrong guess would write an attribute that nobody reads.
        let is_known = !matches!(described.time_to_live, TimeToLive::Unknown(_));
        let is_taken = ttl == key || (ttl != schema::EXPIRES_AT && schema::is_reserved(&ttl));
        Ok(BackfillPlan {
            recent_indexes: described.recent_indexes,
            time_to_live: described.time_to_live,
            ttl_attribute: (is_known && !is_taken).then_some(ttl),
            retention: schema::DEFAULT_RETENTION,
            expire_after: None,
            from: None,
            max_pages: 64,
            write_units_per_second: Some(1_000),
            item_count: described.item_count,
            table_size_bytes: described.table_size_bytes,
            key,
        })
    }

    /// Adds the attributes that items of older writers lack: `createdAt`, if they spell it `created_at`;
    /// `createdDay` and the attributes of sharded indexes, by which lists find them; and an expiry.
    ///
    /// Scans up to [`max_pages`](BackfillPlan::max_pages) pages of the table, and calls `progress` after
    /// each page with the report so far. To continue, also after an error, set
    /// [`from`](BackfillPlan::from) to the last report's [`next`](BackfillReport::next).
    ///
    /// Only missing attributes are written, and only if the item has not changed since it was read;
    /// otherwise the item is skipped. `revision` and `lastUpdated` stay as they are. An item that has a
    /// `revision` and no expiry gets none: it was removed to keep the item. An item without
    /// `overallStatus` is not a session, and is left alone.
    ///
    /// Requires `dynamodb:Scan` and `dynamodb:UpdateItem`.
    ///
    /// # Errors
    ///
    /// Returns an error if [`expire_after`](BackfillPlan::expire_after) is less than 30 days, or if a
    /// request fails permanently or after all retries, which take over a minute.
    pub async fn backfill(
        &self,
        plan: &BackfillPlan,
        progress: impl FnMut(&BackfillReport) + Send,
    ) -> Result<BackfillReport, SetupError> {
        self.run_backfill(plan, true, progress).await
    }

    /// Reports what a [backfill](Self::backfill) would do, and writes nothing. Requires
    /// `dynamodb:Scan`.
    ///
    /// # Errors
    ///
    /// As [`backfill`](Self::backfill).
    pub async fn preview_backfill(
        &self,
        plan: &BackfillPlan,
        progress: impl FnMut(&BackfillReport) + Send,
    ) -> Result<BackfillReport, SetupError> {
        self.run_backfill(plan, false, progress).await
    }

    /// Reports what a sample of up to 4,000 items lacks: up to 500 items, or 1 MB, from each of eight
    /// parts of the table. Takes half a read unit per 4 KB, at most 1,024. Requires `dynamodb:Scan`.
    ///
    /// # Errors
    ///
    /// Returns an error if a request fails permanently or after all retries, which take over a minute.
    pub async fn sample_backfill(&self, plan: &BackfillPlan) -> Result<BackfillReport, SetupError> {
        let (requirements, mut report) = (plan.requirements(), BackfillReport::default());
        let pages = self.retried(|| self.sample(&requirements, SAMPLED_OF_PART)).await;
        let pages = pages.map_err(|error| self.fill_failed("read", "Scan", &error))?;
        report.is_whole_table = pages.iter().all(|page| page.next.is_none());
        for item in pages.iter().flat_map(|page| &page.items) {
            if let Some(additions) = requirements.additions_for(item, now(), &mut report) {
                report.add_filled(&additions, plan.units_of_item());
            }
        }
        Ok(report)
    }

    /// Counts what a small sample of the table lacks for the index.
    pub(super) async fn small_sample(
        &self,
        layout: &TableLayout,
        indexes: &Indexes,
        units: &ReadUnits,
    ) -> Result<BackfillCounts, RequestError> {
        let requirements = Requirements::new(layout.names.key.clone(), &indexes.recent, None);
        let pages = self.sample(&requirements, SMALL_SAMPLE_OF_PART).await?;
        pages.iter().for_each(|page| units.add(page.capacity.as_ref()));
        let mut report = BackfillReport::default();
        for item in pages.iter().flat_map(|page| &page.items) {
            requirements.additions_for(item, now(), &mut report);
        }
        Ok(report.counts)
    }

    /// Reads the first items of each part of the table. A backfill that stopped halfway has not reached
    /// all parts, so the sample shows it.
    async fn sample(
        &self,
        requirements: &Requirements,
        of_part: i32,
    ) -> Result<Vec<Page>, RequestError> {
        let scan = FillScan {
            attributes: &requirements.attributes,
            is_consistent: false,
            segments: SAMPLED_PARTS,
            page_limit: Some(of_part),
        };
        try_join_all((0..SAMPLED_PARTS).map(|part| self.scan_for_fill(&scan, part, None))).await
    }

    async fn run_backfill(
        &self,
        plan: &BackfillPlan,
        writes: bool,
        mut progress: impl FnMut(&BackfillReport) + Send,
    ) -> Result<BackfillReport, SetupError> {
        let failed =
            |operation, error: RequestError| self.fill_failed("backfill", operation, &error);
        if plan.expire_after.is_some_and(|after| after < MIN_AHEAD) {
            return Err(SetupError::new(
                "an item may not expire less than 30 days after it gets its expiry: set 30 days or \
                 more",
            ));
        }
        let requirements = plan.requirements();
        let scan = FillScan {
            attributes: &requirements.attributes,
            is_consistent: false,
            segments: 1,
            page_limit: None,
        };
        let mut pace = Pace::new(plan.write_units_per_second);
        let mut report = BackfillReport { next: plan.from.clone(), ..BackfillReport::default() };
        for _ in 0..plan.max_pages {
            let start = report.next.take().map(|key| start_after(&plan.key, key));
            let page = self.retried(|| self.scan_for_fill(&scan, 0, start.clone())).await;
            let page = page.map_err(|error| failed("Scan", error))?;
            let found = page.items.iter().filter_map(|item| {
                Some((item, requirements.additions_for(item, now(), &mut report)?))
            });
            let found: Vec<_> = found.collect();
            if writes {
                let filled = self.add_to_items(plan, &requirements, found, &mut pace).await;
                report.add(filled.map_err(|error| failed("UpdateItem", error))?);
            } else {
                found
                    .iter()
                    .for_each(|(_, additions)| report.add_filled(additions, plan.units_of_item()));
            }
            report.next = page.next.and_then(|mut key| match key.remove(&plan.key) {
                Some(AttributeValue::S(key)) => Some(key),
                _ => None,
            });
            report.is_whole_table = report.next.is_none() && plan.from.is_none();
            progress(&report);
            if report.next.is_none() {
                break;
            }
        }
        if writes {
            *self.0.unindexed.lock().await = None;
        }
        Ok(report)
    }

    /// Updates the items of a page. If the table rejects the update of one item, the others are still
    /// updated.
    async fn add_to_items(
        &self,
        plan: &BackfillPlan,
        requirements: &Requirements,
        found: Vec<(&Attributes, Additions)>,
        pace: &mut Pace,
    ) -> Result<BackfillReport, RequestError> {
        let units_of_item = plan.units_of_item();
        let updates = found.into_iter().map(|(item, additions)| {
            let start = pace.take(additions.write_units(units_of_item));
            async move {
                sleep_until(start).await;
                // The expiry counts from the time of the update.
                let mut report = BackfillReport::default();
                let additions =
                    requirements.additions_for(item, now(), &mut BackfillReport::default());
                let Some(additions) = additions else { return Ok(report) };
                match self.fill_in(&plan.key, &additions.fill).await {
                    Ok(true) => report.add_filled(&additions, units_of_item),
                    Ok(false) => report.skipped = 1,
                    Err(error)
                        if matches!(
                            error.kind,
                            RequestErrorKind::ItemTooLarge | RequestErrorKind::Rejected
                        ) =>
                    {
                        report.rejected = 1;
                        report.rejection = Some((additions.fill.id, error.message.to_string()));
                    }
                    Err(error) => return Err(error),
                }
                Ok(report)
            }
        });
        stream::iter(updates)
            .buffer_unordered(UPDATES_AT_ONCE)
            .try_fold(BackfillReport::default(), |mut sum, one| async move {
                sum.add(one);
                Ok(sum)
            })
            .await
    }
}

/// The exclusive start key of a scan.
fn start_after(name: &str, key: String) -> Attributes {
    Attributes::from([(name.to_owned(), AttributeValue::S(key))])
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

/// The partition keys of the indexes.
fn keys_of(indexes: &[RecentIndex]) -> Vec<Shards> {
    indexes.iter().map(RecentIndex::key).collect()
}
