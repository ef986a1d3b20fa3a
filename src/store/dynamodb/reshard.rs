//! Resharding: an index of the newest sessions with another number of shards takes the place of the
//! one that a table has, while it is written and read.
//!
//! ```text
//! create the new index ─▶ writers find it ─▶ fill in the older items ─▶ delete the old index
//!                         (5 minutes)        (two scans)                 └▶ readers find the new one
//! ```
//!
//! Each step can be repeated: what the table has says how far it came. A session is in the new index
//! if its item names its partition, which depends on its day and its id only. So an item is filled
//! in by one update on condition that it is still of that day. Neither `revision` nor `lastUpdated`
//! changes, so no writer meets a conflict.
//!
//! Readers use the first index by the number in its name, which is the old one as long as it exists.

use std::time::Duration;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, CreateGlobalSecondaryIndexAction,
    DeleteGlobalSecondaryIndexAction, GlobalSecondaryIndexUpdate, ProvisionedThroughput,
    TableDescription as SdkTable,
};
use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::time::{Instant, sleep, sleep_until};

use super::create::{index_keys, keys_only, string};
use super::error::{RequestError, SetupError};
use super::fill::{Attributes, Fill, FillScan, UPDATES_AT_ONCE};
use super::index::{IndexStatus, Indexes, RECENT_INDEX, RecentIndex, Shards};
use super::{DynamoDbStore, discovery};
use crate::status::{SessionId, schema};

/// The parts in which the table is scanned side by side.
const SEGMENTS: i32 = 4;
/// After this, DynamoDB describes an index that it was asked to create.
const INDEX_IS_LISTED: Duration = Duration::from_secs(60);
/// More than the time in which running writers find a new index.
const WRITERS_FIND_IT: Duration =
    DynamoDbStore::INDEX_REFRESH.saturating_add(Duration::from_secs(60));

/// What [`DynamoDbStore::reshard`] is going to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReshardPlan {
    /// The number of shards that the table is to have.
    pub shards: u16,
    /// The index that the table has now, if any.
    pub from: Option<RecentIndex>,
    /// What there is to do.
    pub action: ReshardAction,
    /// How many items the table has, as of up to six hours ago.
    pub item_count: u64,
    /// The read units that the two scans take, about.
    pub read_units: u64,
    /// The write units that filling in all items takes, about: those of the table and of the index.
    pub write_units: u64,
    /// How long to wait, after the index was created, for running writers to find it. Default: six
    /// minutes. Zero if nothing writes to the table.
    pub wait: Duration,
}

/// What there is to do for another number of shards.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReshardAction {
    /// Nothing: the index has that number.
    Nothing,
    /// A new index is to be created, with this name.
    Create(String),
    /// An earlier reshard was stopped. Its index has this name.
    TakeUp(String),
    /// An earlier reshard to another number was stopped: its index, with this name, is deleted, and
    /// the index before it stays.
    Undo(String),
}

/// A step that [`DynamoDbStore::reshard`] has made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReshardProgress {
    /// DynamoDB is creating the index.
    Creating,
    /// The index is there, and writers find it within this time.
    Waiting(Duration),
    /// So many items were read in this scan, and so many of them filled in.
    Filled {
        /// 1 or 2.
        scan: u8,
        /// How many items were read.
        read: u64,
        /// How many of them were filled in.
        filled: u64,
    },
    /// DynamoDB is deleting the index of this name.
    Deleting(String),
}

impl DynamoDbStore {
    /// Finds out what there is to do so that the index of the newest sessions has this number of
    /// shards, and what it costs. Requires `dynamodb:DescribeTable`.
    ///
    /// # Errors
    ///
    /// Returns an error if a table cannot have that number, if a reshard to another number was
    /// stopped, or if the table cannot be described.
    pub async fn plan_reshard(&self, shards: u16) -> Result<ReshardPlan, SetupError> {
        let failed = |why: String| {
            let table = self.table_name();
            SetupError::new(format!("cannot reshard DynamoDB table `{table}`: {why}"))
        };
        if Shards::new(shards).is_none() {
            return Err(failed(format!("{shards} is not a number of shards from 1 to 256")));
        }
        let described = self.describe_table().await?;
        let is_there = |index: &&RecentIndex| index.status != IndexStatus::Deleting;
        let indexes: Vec<_> = described.recent_indexes.iter().filter(is_there).collect();
        let action = match &*indexes {
            [] => ReshardAction::Create(RECENT_INDEX.to_owned()),
            [one] if one.shards == shards => match one.status {
                IndexStatus::Creating => ReshardAction::TakeUp(one.name.clone()),
                _ => ReshardAction::Nothing,
            },
            [one] => ReshardAction::Create(one.next_name()),
            [_, new, ..] if new.shards == shards => ReshardAction::TakeUp(new.name.clone()),
            [old, new, ..] if old.shards == shards => ReshardAction::Undo(new.name.clone()),
            [old, new, ..] => {
                return Err(failed(format!(
                    "a reshard from {} to {} shards was stopped: take it up with `table reshard \
                     {}`, or undo it with `table reshard {}`",
                    old.shards, new.shards, new.shards, old.shards
                )));
            }
        };
        let (items, bytes) = (described.item_count, described.table_size_bytes);
        let is_filled = matches!(action, ReshardAction::Create(_) | ReshardAction::TakeUp(_));
        let fills = u64::from(is_filled && shards > 1);
        let units_of_item = bytes.checked_div(items).unwrap_or(0).div_ceil(1_024).max(1);
        Ok(ReshardPlan {
            shards,
            from: indexes.first().map(|index| (*index).clone()),
            action,
            item_count: items,
            read_units: fills * 2 * bytes.div_ceil(8 * 1_024),
            write_units: fills * items * (units_of_item + 1),
            wait: WRITERS_FIND_IT,
        })
    }

    /// Gives the index of the newest sessions another number of shards, while services write and
    /// read. May be stopped at any time, and taken up by another call.
    ///
    /// Running services find the new index within five minutes. Then the older items are filled
    /// in, and the old index is deleted. Until then `list` uses that one, and afterwards the new
    /// one. Each attribute that is added costs a write of its item, and one of the index.
    ///
    /// Requires `dynamodb:UpdateTable`, `dynamodb:DescribeTable`, `dynamodb:Scan` and
    /// `dynamodb:UpdateItem`.
    ///
    /// # Errors
    ///
    /// Returns an error if a request fails, for good or more than some minutes long.
    pub async fn reshard(
        &self,
        plan: &ReshardPlan,
        mut progress: impl FnMut(ReshardProgress) + Send,
    ) -> Result<(), SetupError> {
        let Some(shards) = Shards::new(plan.shards) else { return Ok(()) };
        let name = match &plan.action {
            ReshardAction::Nothing => return Ok(()),
            ReshardAction::Undo(name) => return self.delete_index(name, &mut progress).await,
            ReshardAction::Create(name) => {
                self.create_index(name, shards).await?;
                name
            }
            ReshardAction::TakeUp(name) => name,
        };
        self.wait_for_index(name, true, |_| progress(ReshardProgress::Creating)).await?;
        let is_known_at = Instant::now() + plan.wait;
        // The writers of each item note its day, with any number of shards.
        if shards != Shards::ONE {
            self.fill(shards, 1, &mut progress).await?;
            progress(ReshardProgress::Waiting(is_known_at.duration_since(Instant::now())));
            sleep_until(is_known_at).await;
            // What writers that did not know the index have created meanwhile.
            self.fill(shards, 2, &mut progress).await?;
        }
        match &plan.from {
            Some(from) if from.name != *name => self.delete_index(&from.name, &mut progress).await,
            _ => Ok(()),
        }
    }

    async fn create_index(&self, name: &str, shards: Shards) -> Result<(), SetupError> {
        let described = self.describe().await?;
        let attribute = shards.attribute();
        let incomplete = |error| SetupError::new(format!("cannot create an index: {error}"));
        let create = CreateGlobalSecondaryIndexAction::builder()
            .index_name(name)
            .set_key_schema(Some(index_keys(&attribute).map_err(incomplete)?))
            .projection(keys_only())
            .set_provisioned_throughput(throughput(&described))
            .build()
            .map_err(incomplete)?;
        // All of them: not every endpoint keeps those that it is not told.
        let mut attributes = described.attribute_definitions().to_vec();
        for name in [&*attribute, schema::CREATED_AT] {
            if !attributes.iter().any(|known| known.attribute_name() == name) {
                attributes.push(string(name).map_err(incomplete)?);
            }
        }
        let update = GlobalSecondaryIndexUpdate::builder().create(create).build();
        self.update_table(update, Some(attributes)).await
    }

    async fn update_table(
        &self,
        update: GlobalSecondaryIndexUpdate,
        attributes: Option<Vec<AttributeDefinition>>,
    ) -> Result<(), SetupError> {
        // The table takes one change of its indexes at a time.
        let updated = self.retried(|| async {
            self.requests()
                .update_table()
                .table_name(self.table_name())
                .set_attribute_definitions(attributes.clone())
                .global_secondary_index_updates(update.clone())
                .send()
                .await
                .map_err(|error| RequestError::from_sdk(&error))
        });
        updated.await.map(drop).map_err(|error| self.reshard_failed("UpdateTable", &error))
    }

    async fn delete_index(
        &self,
        name: &str,
        progress: &mut (impl FnMut(ReshardProgress) + Send),
    ) -> Result<(), SetupError> {
        let incomplete = |error| SetupError::new(format!("cannot delete an index: {error}"));
        let delete = DeleteGlobalSecondaryIndexAction::builder().index_name(name).build();
        let delete = delete.map_err(incomplete)?;
        let update = GlobalSecondaryIndexUpdate::builder().delete(delete).build();
        self.update_table(update, None).await?;
        let deleting = |_: &RecentIndex| progress(ReshardProgress::Deleting(name.to_owned()));
        self.wait_for_index(name, false, deleting).await
    }

    /// Waits until the index can be queried, or is gone.
    async fn wait_for_index(
        &self,
        name: &str,
        exists: bool,
        mut waits: impl FnMut(&RecentIndex) + Send,
    ) -> Result<(), SetupError> {
        let mut pause = Duration::from_millis(100);
        let started = Instant::now();
        loop {
            let described = self.describe().await?;
            let indexes = Indexes::of(&described, &[]).recent;
            let index = indexes.iter().find(|index| index.name == name);
            match index {
                Some(index) if exists && index.status == IndexStatus::Active => return Ok(()),
                None if !exists => return Ok(()),
                Some(index) => waits(index),
                None if started.elapsed() < INDEX_IS_LISTED => {}
                None => {
                    return Err(SetupError::new(format!(
                        "the index `{name}` was created and is not there any more: repeat the command \
                         to create it again"
                    )));
                }
            }
            sleep(pause).await;
            // Large tables take hours.
            pause = (pause * 2).min(Duration::from_secs(10));
        }
    }

    async fn describe(&self) -> Result<SdkTable, SetupError> {
        let (client, table) = (self.requests(), self.table_name());
        let output = self
            .retried(|| async {
                client
                    .describe_table()
                    .table_name(table)
                    .send()
                    .await
                    .map_err(|error| RequestError::from_sdk(&error))
            })
            .await
            .map_err(|error| self.reshard_failed("DescribeTable", &error))?;
        output.table.ok_or_else(|| {
            SetupError::new(format!("DynamoDB returned no description of table `{table}`"))
        })
    }

    /// Adds the partition to all items that have no, or that of another day.
    async fn fill(
        &self,
        shards: Shards,
        scan: u8,
        progress: &mut (impl FnMut(ReshardProgress) + Send),
    ) -> Result<(), SetupError> {
        let described = self.describe().await?;
        let key = discovery::usable_key(self.requests(), self.table_name(), &described)?;
        let attributes = [key.clone(), schema::CREATED_DAY.to_owned(), shards.attribute()];
        let request = FillScan {
            attributes: &attributes,
            // Writes from before this scan must not be missed.
            is_consistent: true,
            segments: SEGMENTS,
            page_limit: None,
        };
        let (mut read, mut filled) = (0, 0);
        let mut starts: Vec<_> = (0..SEGMENTS).map(|segment| (segment, None)).collect();
        while !starts.is_empty() {
            let pages = starts.into_iter().map(|(segment, start)| {
                let (key, request) = (&*key, &request);
                async move {
                    let page = self
                        .retried(|| self.scan_for_fill(request, segment, start.clone()))
                        .await
                        .map_err(|error| self.reshard_failed("Scan", &error))?;
                    let lacking =
                        page.items.iter().filter_map(|item| missing_shard(item, key, shards));
                    let updates = stream::iter(lacking.collect::<Vec<_>>())
                        .map(|fill| async move {
                            let filled = self.fill_in(key, &fill).await;
                            filled.map_err(|error| self.reshard_failed("UpdateItem", &error))
                        })
                        .buffer_unordered(UPDATES_AT_ONCE);
                    let filled = updates.try_fold(0, |sum, is_filled| async move {
                        Ok(sum + u64::from(is_filled))
                    });
                    let read = page.items.len() as u64;
                    Ok::<_, SetupError>((segment, page.next, read, filled.await?))
                }
            });
            starts = Vec::new();
            for (segment, next, page_read, page_filled) in try_join_all(pages).await? {
                read += page_read;
                filled += page_filled;
                starts.extend(next.map(|next| (segment, Some(next))));
            }
            progress(ReshardProgress::Filled { scan, read, filled });
        }
        Ok(())
    }

    fn reshard_failed(&self, operation: &str, error: &RequestError) -> SetupError {
        self.fill_failed("reshard", operation, error)
    }
}

/// What an item lacks for this index, if anything.
fn missing_shard(item: &Attributes, key: &str, shards: Shards) -> Option<Fill> {
    let text = |name: &str| match item.get(name) {
        Some(AttributeValue::S(text)) => Some(text.clone()),
        _ => None,
    };
    let (id, day) = (text(key)?, text(schema::CREATED_DAY)?);
    let partition = shards.partition_of(&day, &SessionId::from_key(&*id).ok()?);
    let attribute = shards.attribute();
    let before = text(&attribute);
    (before.as_ref() != Some(&partition)).then(|| Fill {
        id,
        set: vec![(attribute.clone(), AttributeValue::S(partition))],
        // The partition is of this day.
        unchanged: vec![
            (schema::CREATED_DAY.to_owned(), Some(AttributeValue::S(day))),
            (attribute, before.map(AttributeValue::S)),
        ],
    })
}

/// The throughput of a new index: that of the table, unless it is billed on demand.
fn throughput(described: &SdkTable) -> Option<ProvisionedThroughput> {
    let throughput = described.provisioned_throughput()?;
    let (read, write) = (throughput.read_capacity_units()?, throughput.write_capacity_units()?);
    let provisioned = ProvisionedThroughput::builder()
        .read_capacity_units(read)
        .write_capacity_units(write)
        .build()
        .ok()?;
    (read > 0 && write > 0).then_some(provisioned)
}
