//! Backfilling: the items of older writers get what the index of the newest sessions needs, and an
//! expiry.
//!
//! ```text
//! a page of the table ─▶ what does each item lack? ─▶ add that, if the item is as it was read
//!        ▲                                                │
//!        └── the next page, or another run from there ◀───┘
//! ```
//!
//! Only attributes that an item does not have are written. Neither `revision` nor `lastUpdated`
//! changes, so no writer meets a conflict.

mod report;
mod rules;

use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::time::sleep_until;

use super::error::{RequestError, RequestErrorKind, SetupError};
use super::fill::{Attributes, FillScan, Pace, Page, UPDATES_AT_ONCE};
use super::index::{Indexes, RecentIndex, Shards};
use super::layout::TableLayout;
use super::{DynamoDbStore, TimeToLive};
use crate::status::{Timestamp, schema};

pub use self::report::{BackfillReport, LackingItems};
use self::rules::{Additions, ExpiryRule, Rules};

/// The least time between an item's getting an expiry and that expiry.
const MIN_AHEAD: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A sample has so many items of each part of the table, unless they fill 1 MB before.
const SAMPLED_PARTS: i32 = 8;
const SAMPLED_OF_PART: i32 = 500;
/// And so many where it is only to say whether there are any.
const PEEKED_OF_PART: i32 = 100;

/// What [`DynamoDbStore::backfill`] is going to do. Returned by
/// [`plan_backfill`](DynamoDbStore::plan_backfill).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackfillPlan {
    /// The indexes of the newest sessions, whose attributes the items get.
    pub recent_indexes: Vec<RecentIndex>,
    /// Whether items expire.
    pub time_to_live: TimeToLive,
    /// The attribute for the expiry, or `None` to give no item an expiry. `None` if the table cannot
    /// tell which attribute that is, or needs it for something else.
    pub ttl_attribute: Option<String>,
    /// How long after its creation an item expires that has no expiry, unless that is less than 30
    /// days ahead. Items older than this get none. Default: 90 days.
    pub retention: Duration,
    /// How long from now items expire that are older than the retention, or of unknown age. At least
    /// 30 days. Default: `None`, and they get no expiry.
    pub expire_after: Option<Duration>,
    /// Where the run starts: [`BackfillReport::next`] of an earlier one. Default: `None`, at the
    /// beginning.
    pub from: Option<String>,
    /// How many pages of the table, of up to 1 MB, the run reads at most. Default: 64.
    pub max_pages: u32,
    /// How many write units the run takes per second at most, about. Default: 1,000, which is a
    /// quarter of what a new table takes that is billed on demand. With `None`, as many as the table
    /// takes.
    pub write_units_per_second: Option<u32>,
    /// How many items the table has, as of up to six hours ago.
    pub item_count: u64,
    /// How many bytes they take together, as of up to six hours ago.
    pub table_size_bytes: u64,
    key: String,
}

impl BackfillPlan {
    /// The bytes that a run reads at most.
    fn bytes(&self) -> u64 {
        self.table_size_bytes.min(u64::from(self.max_pages) * 1_024 * 1_024)
    }

    /// The read units that the run takes at most, about.
    #[must_use]
    pub fn read_units(&self) -> u64 {
        self.bytes().div_ceil(8 * 1_024)
    }

    /// The write units that the run takes if each item lacks something, about: those of the table
    /// and of the indexes.
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

    fn rules(&self) -> Rules {
        let expiry = self.ttl_attribute.clone().map(|attribute| ExpiryRule {
            attribute,
            retention: self.retention,
            expire_after: self.expire_after,
        });
        Rules::new(self.key.clone(), &self.recent_indexes, expiry)
    }
}

/// Older writers: their items lack what this crate's have.
impl DynamoDbStore {
    /// Finds out what a [backfill](Self::backfill) of this table needs to know. Requires
    /// `dynamodb:DescribeTable`, and `dynamodb:DescribeTimeToLive` to give items an expiry.
    ///
    /// # Errors
    ///
    /// Returns an error if the table cannot be used or cannot be described.
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

    /// Gives the items of older writers what they lack: `createdAt`, if they spell it `created_at`;
    /// `createdDay` and the shards of the table's indexes, by which lists find them; and an expiry.
    ///
    /// Goes through the table page by page, up to [`max_pages`](BackfillPlan::max_pages), and calls
    /// `progress` after each with the report so far. Another run goes on at
    /// [`next`](BackfillReport::next), also after an error.
    ///
    /// Only attributes that an item does not have are written, and only if the item is as it was
    /// read; otherwise it is skipped. `revision` and `lastUpdated` stay. An item with a `revision` gets
    /// no expiry, since somebody has removed it to keep the item. An item without `overallStatus` is
    /// none of a session, and left alone.
    ///
    /// Requires `dynamodb:Scan` and `dynamodb:UpdateItem`.
    ///
    /// # Errors
    ///
    /// Returns an error if [`expire_after`](BackfillPlan::expire_after) is less than 30 days, or if a
    /// request fails, for good or more than some minutes long.
    pub async fn backfill(
        &self,
        plan: &BackfillPlan,
        progress: impl FnMut(&BackfillReport) + Send,
    ) -> Result<BackfillReport, SetupError> {
        self.go_through(plan, true, progress).await
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
        self.go_through(plan, false, progress).await
    }

    /// Reports what up to 4,000 items lack, from eight places of the table. Takes at most 1,024 read
    /// units, and half of one for 4 KB of a small table. Requires `dynamodb:Scan`.
    ///
    /// # Errors
    ///
    /// Returns an error if a request fails, for good or more than some minutes long.
    pub async fn sample_backfill(&self, plan: &BackfillPlan) -> Result<BackfillReport, SetupError> {
        let (rules, mut report) = (plan.rules(), BackfillReport::default());
        let pages = self.retried(|| self.sample(&rules, SAMPLED_OF_PART)).await;
        let pages = pages.map_err(|error| self.fill_failed("look at", "Scan", &error))?;
        report.is_whole = pages.iter().all(|page| page.next.is_none());
        for item in pages.iter().flat_map(|page| &page.items) {
            if let Some(additions) = rules.look_at(item, now(), &mut report) {
                report.would_fill(&additions, plan.units_of_item());
            }
        }
        Ok(report)
    }

    /// What a few items from all over the table lack of what an index needs.
    pub(super) async fn peek(
        &self,
        layout: &TableLayout,
        indexes: &Indexes,
    ) -> Result<LackingItems, RequestError> {
        let rules = Rules::new(layout.names.key.clone(), &indexes.recent, None);
        let pages = self.sample(&rules, PEEKED_OF_PART).await?;
        let mut report = BackfillReport::default();
        for item in pages.iter().flat_map(|page| &page.items) {
            rules.look_at(item, now(), &mut report);
        }
        Ok(report.lacking)
    }

    /// The first items of each part of the table. A backfill that was stopped has not come to all of
    /// them.
    async fn sample(&self, rules: &Rules, of_part: i32) -> Result<Vec<Page>, RequestError> {
        let scan = FillScan {
            attributes: &rules.attributes,
            is_consistent: false,
            segments: SAMPLED_PARTS,
            page_limit: Some(of_part),
        };
        try_join_all((0..SAMPLED_PARTS).map(|part| self.scan_for_fill(&scan, part, None))).await
    }

    async fn go_through(
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
        let rules = plan.rules();
        let scan = FillScan {
            attributes: &rules.attributes,
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
            let looked_at = page
                .items
                .iter()
                .filter_map(|item| Some((item, rules.look_at(item, now(), &mut report)?)));
            let found: Vec<_> = looked_at.collect();
            if writes {
                let filled = self.add_to_items(plan, &rules, found, &mut pace).await;
                report.add(filled.map_err(|error| failed("UpdateItem", error))?);
            } else {
                found
                    .iter()
                    .for_each(|(_, additions)| report.would_fill(additions, plan.units_of_item()));
            }
            report.next = page.next.and_then(|mut key| match key.remove(&plan.key) {
                Some(AttributeValue::S(key)) => Some(key),
                _ => None,
            });
            report.is_whole = report.next.is_none() && plan.from.is_none();
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

    /// Updates the items of a page. An item that the table does not accept so is no reason to leave
    /// out all others.
    async fn add_to_items(
        &self,
        plan: &BackfillPlan,
        rules: &Rules,
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
                let additions = rules.look_at(item, now(), &mut BackfillReport::default());
                let Some(additions) = additions else { return Ok(report) };
                match self.fill_in(&plan.key, &additions.fill).await {
                    Ok(true) => report.would_fill(&additions, units_of_item),
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

/// The key to go on after.
fn start_after(name: &str, key: String) -> Attributes {
    Attributes::from([(name.to_owned(), AttributeValue::S(key))])
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

/// The attributes of the items, and their partitions in the indexes.
fn keys_of(indexes: &[RecentIndex]) -> Vec<Shards> {
    indexes.iter().map(RecentIndex::key).collect()
}
