//! [`Requirements`]: what items need, and so what is added to each.
//!
//! ```text
//! createdAt         is there, and can be read      stays, in whatever format
//!                   is missing, and created_at     that time, in our format
//!                   cannot be read                 nothing: the item cannot be in an index
//! createdDay        is missing                     the day of it in UTC
//! createdShard…     is missing                     the item's shard of its day
//! the expiry        is there, or a revision        nothing
//!                   is missing                     createdAt + retention, but 30 days from now at least
//!                   the same, older than that      now + expire_after, if that is set
//! ```

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;

use super::super::fill::{Attributes, Fill};
use super::super::index::{IndexStatus, RecentIndex, Shards};
use super::report::BackfillReport;
use super::{MIN_AHEAD, keys_of};
use crate::status::{SessionId, Timestamp, schema};

/// What the items of a table need.
#[derive(Debug)]
pub(super) struct Requirements {
    key: String,
    indexes: Vec<Shards>,
    /// The index that lists use.
    listed_by: Shards,
    expiry: Option<ExpirySettings>,
    /// The names of the attributes to read of each item, without duplicates.
    pub(super) attributes: Vec<String>,
}

#[derive(Debug)]
pub(super) struct ExpirySettings {
    pub(super) attribute: String,
    pub(super) retention: Duration,
    pub(super) expire_after: Option<Duration>,
}

/// What is added to an item.
#[derive(Clone, Debug)]
pub(super) struct Additions {
    pub(super) fill: Fill,
    pub(super) expires_at: Option<Timestamp>,
    /// The number of indexes in which it makes an entry.
    entries: u64,
}

impl Additions {
    /// The write units of the update, for an item of `of_item` write units.
    pub(super) fn write_units(&self, of_item: u64) -> u64 {
        of_item + self.entries
    }
}

/// In seconds. Milliseconds since 1970 look like over fifty thousand years.
const A_THOUSAND_YEARS: f64 = 1_000.0 * 365.25 * 86_400.0;

/// The value of an attribute.
enum Found<T> {
    Usable(T),
    Missing,
    /// Of the wrong type, or not readable.
    Other,
}

impl Requirements {
    pub(super) fn new(
        key: String,
        indexes: &[RecentIndex],
        expiry: Option<ExpirySettings>,
    ) -> Self {
        let listed_by = indexes.iter().find(|index| index.status == IndexStatus::Active);
        let listed_by = listed_by.or(indexes.first()).map_or(Shards::ONE, RecentIndex::key);
        let indexes = keys_of(indexes);
        let mut attributes = vec![key.clone()];
        let of_item = [
            schema::OVERALL_STATUS,
            schema::REVISION,
            schema::LAST_UPDATED,
            schema::CREATED_AT,
            schema::CREATED_AT_OF_OTHERS,
            schema::CREATED_DAY,
        ];
        attributes.extend(of_item.map(str::to_owned));
        attributes.extend(indexes.iter().map(|shards| shards.attribute()));
        attributes.extend(expiry.as_ref().map(|expiry| expiry.attribute.clone()));
        // DynamoDB rejects a projection that names an attribute twice.
        attributes.sort();
        attributes.dedup();
        Self { key, indexes, listed_by, expiry, attributes }
    }

    /// Returns what is to be added to the item, if anything, and counts in `report` what it lacks.
    pub(super) fn additions_for(
        &self,
        item: &Attributes,
        now: Timestamp,
        report: &mut BackfillReport,
    ) -> Option<Additions> {
        report.read += 1;
        let counts = &mut report.counts;
        let session = match (item.get(&self.key), item.get(schema::OVERALL_STATUS)) {
            (Some(AttributeValue::S(id)), Some(AttributeValue::S(_))) => {
                SessionId::from_key(id).ok()
            }
            _ => None,
        };
        let Some(session) = session else {
            counts.not_sessions += 1;
            return None;
        };
        let mut set = Vec::new();
        let mut is_unusable = false;
        let created_at = readable_time(item, schema::CREATED_AT);
        let (created, is_dated) = match created_at {
            Found::Usable(time) => (Some(time), true),
            Found::Missing => match readable_time(item, schema::CREATED_AT_OF_OTHERS) {
                Found::Usable(time) => {
                    counts.created_at += 1;
                    set.push((schema::CREATED_AT.to_owned(), text(time.to_string())));
                    (Some(time), true)
                }
                Found::Missing | Found::Other => (None, false),
            },
            // `createdAt` is an index's sort key, so it is not replaced and the item stays undated.
            Found::Other => match readable_time(item, schema::CREATED_AT_OF_OTHERS) {
                Found::Usable(time) => (Some(time), false),
                Found::Missing | Found::Other => (None, false),
            },
        };
        if let (Some(created), true) = (created, is_dated) {
            let day = match string(item, schema::CREATED_DAY) {
                Found::Usable(day) => Some(day),
                Found::Missing => {
                    counts.created_day += 1;
                    set.push((schema::CREATED_DAY.to_owned(), text(created.day())));
                    Some(created.day())
                }
                Found::Other => None,
            };
            is_unusable |= day.is_none();
            let before = set.len();
            let sharded = self.indexes.iter().filter(|shards| **shards != Shards::ONE);
            for shards in sharded {
                match (string(item, &shards.attribute()), &day) {
                    (Found::Missing, Some(day)) => {
                        let partition = shards.partition_of(day, &session);
                        set.push((shards.attribute(), text(partition)));
                    }
                    (Found::Other, _) => is_unusable = true,
                    (Found::Usable(_), _) | (Found::Missing, None) => {}
                }
            }
            counts.created_shard += u64::from(set.len() > before);
        } else {
            counts.undated += 1;
        }
        let is_set = |name: &str| set.iter().any(|(set, _)| set == name);
        let gets_entry = |shards: &Shards| {
            let key = shards.attribute();
            let has_key = is_set(&key) || matches!(string(item, &key), Found::Usable(_));
            has_key && (is_set(&key) || is_set(schema::CREATED_AT))
        };
        counts.unindexed += u64::from(gets_entry(&self.listed_by));
        let entries = self.indexes.iter().filter(|shards| gets_entry(shards)).count() as u64;

        let mut expires_at = None;
        if let Some(rule) = &self.expiry {
            match item.get(&rule.attribute) {
                Some(AttributeValue::N(at)) => {
                    let at: f64 = at.parse().unwrap_or(0.0);
                    #[expect(clippy::cast_precision_loss, reason = "seconds are far below 2^53")]
                    let now = now.as_secs() as f64;
                    counts.expired += u64::from(at < now);
                    counts.not_in_seconds += u64::from(at > now + A_THOUSAND_YEARS);
                }
                Some(_) => is_unusable = true,
                None if has_revision(item) => counts.kept += 1,
                None => {
                    counts.expiry += 1;
                    expires_at = rule.expiry(created, now);
                    counts.left_without_expiry += u64::from(expires_at.is_none());
                    let at = expires_at.map(|at| at.as_secs().to_string());
                    set.extend(at.map(|at| (rule.attribute.clone(), AttributeValue::N(at))));
                }
            }
        }
        counts.unusable += u64::from(is_unusable);
        let others = self.attributes.iter().filter(|name| **name != self.key);
        let unchanged = others.map(|name| (name.clone(), item.get(name).cloned())).collect();
        let fill = Fill { id: session.to_string(), set, unchanged };
        (!fill.set.is_empty()).then_some(Additions { fill, expires_at, entries })
    }
}

impl ExpirySettings {
    /// The expiry of an item that was created at this time, in whole seconds.
    fn expiry(&self, created: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        let at_least = now.saturating_add(MIN_AHEAD);
        let at = match created.map(|created| created.saturating_add(self.retention)) {
            Some(at) if at >= now => at.max(at_least),
            _ => now.saturating_add(self.expire_after?).max(at_least),
        };
        // Rounded up, so that it is not earlier than promised.
        let second = Duration::from_millis(999);
        Some(Timestamp::from_millis(at.saturating_add(second).as_secs().saturating_mul(1_000)))
    }
}

fn text(text: String) -> AttributeValue {
    AttributeValue::S(text)
}

fn string(item: &Attributes, name: &str) -> Found<String> {
    match item.get(name) {
        None => Found::Missing,
        Some(AttributeValue::S(text)) => Found::Usable(text.clone()),
        Some(_) => Found::Other,
    }
}

fn readable_time(item: &Attributes, name: &str) -> Found<Timestamp> {
    match string(item, name) {
        Found::Usable(text) => text.parse().map_or(Found::Other, Found::Usable),
        Found::Missing => Found::Missing,
        Found::Other => Found::Other,
    }
}

/// Whether this crate has written the item.
fn has_revision(item: &Attributes) -> bool {
    let revision = item.get(schema::REVISION).and_then(|revision| revision.as_n().ok());
    revision.is_some_and(|revision| revision.parse::<u64>().is_ok_and(|revision| revision > 0))
}
