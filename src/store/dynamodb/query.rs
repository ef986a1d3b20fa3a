//! [`IndexQuery`]: the newest sessions of some partitions of an index, merged by time.
//!
//! ```text
//! partition .0    ▇▇▇▇▇▇▇▇|········      each is asked for its share of the list, and a little more
//! partition .1    ▇▇▇▇▇|···········      only those whose last answer ends within the list
//! partition .2    ▇▇▇▇▇▇▇▇▇▇▇|·····      are asked again
//!                        ↑ the end of the list
//! ```
//!
//! An index is sorted by time alone, and lists are sorted by time and id. So a partition is asked
//! until it has gone past the time at the end of the list.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use futures_util::future::try_join_all;
use tokio::sync::Semaphore;

use super::DynamoDbStore;
use super::error::RequestError;
use super::layout::AttributeNames;
use super::read_units::ReadUnits;
use crate::status::{SessionId, Timestamp, schema};
use crate::store::ListRequest;

/// How many queries of a list may be in flight at once.
const QUERIES_AT_ONCE: usize = 16;

/// A session of a list, by which the list is sorted.
pub(super) type ListedId = (Reverse<Timestamp>, SessionId);

pub(super) struct IndexQuery<'a> {
    store: &'a DynamoDbStore,
    names: &'a AttributeNames,
    request: &'a ListRequest,
    units: &'a ReadUnits,
    at_once: Semaphore,
}

/// The index to ask, and the attribute that is its partition key.
#[derive(Clone, Copy)]
pub(super) struct QueriedIndex<'a> {
    pub(super) name: &'a str,
    pub(super) key: &'a str,
}

/// How far a partition was read.
struct Partition {
    value: String,
    start: Option<HashMap<String, AttributeValue>>,
    /// The time of the last session that was read.
    reached: Option<Timestamp>,
    /// How many sessions of the list it has had.
    count: usize,
    is_done: bool,
}

impl Partition {
    /// Whether it may have sessions of a list that ends at this time.
    fn may_have(&self, end: Option<Timestamp>) -> bool {
        let is_past = self.reached.is_some_and(|reached| Some(reached) < end);
        !self.is_done && !is_past
    }
}

impl<'a> IndexQuery<'a> {
    pub(super) fn new(
        store: &'a DynamoDbStore,
        names: &'a AttributeNames,
        request: &'a ListRequest,
        units: &'a ReadUnits,
    ) -> Self {
        Self { store, names, request, units, at_once: Semaphore::new(QUERIES_AT_ONCE) }
    }

    /// The newest sessions of these partitions that the request asks for, `limit` at most.
    pub(super) async fn newest(
        &self,
        index: QueriedIndex<'_>,
        partitions: impl IntoIterator<Item = String>,
        limit: usize,
    ) -> Result<Vec<ListedId>, RequestError> {
        let new = |value| Partition { value, start: None, reached: None, count: 0, is_done: false };
        let mut partitions: Vec<_> = partitions.into_iter().map(new).collect();
        let share = share(limit, partitions.len());
        let mut found = BTreeSet::new();
        loop {
            let end = limit.checked_sub(1).and_then(|last| found.iter().nth(last));
            let end = end.map(|(Reverse(time), _): &ListedId| *time);
            let pending = partitions.iter_mut().filter(|partition| partition.may_have(end));
            let pages = pending.map(|partition| {
                // Of one that has the whole list, one more at least.
                let left = limit.saturating_sub(partition.count).saturating_add(1);
                self.page(index, partition, share.min(left))
            });
            let pages = try_join_all(pages).await?;
            if pages.is_empty() {
                return Ok(found.into_iter().take(limit).collect());
            }
            found.extend(pages.into_iter().flatten());
        }
    }

    /// The next page of a partition.
    async fn page(
        &self,
        index: QueriedIndex<'_>,
        partition: &mut Partition,
        limit: usize,
    ) -> Result<Vec<ListedId>, RequestError> {
        let _permit = self.at_once.acquire().await;
        let mut query = self
            .store
            .requests()
            .query()
            .table_name(self.store.table_name())
            .index_name(index.name)
            .expression_attribute_names("#p", index.key)
            .expression_attribute_values(":p", AttributeValue::S(partition.value.clone()))
            .scan_index_forward(false)
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .set_exclusive_start_key(partition.start.take());
        // Older writers may note times more exactly.
        const MORE: Duration = Duration::from_millis(1);
        let newest = self.request.after.as_ref().map(|(time, _)| time.saturating_add(MORE));
        let oldest = self.request.since.map(|time| time.saturating_sub(MORE));
        query = query.key_condition_expression(match (oldest, newest) {
            (None, None) => "#p = :p",
            (None, Some(_)) => "#p = :p AND #c <= :c",
            (Some(_), None) => "#p = :p AND #c >= :s",
            (Some(_), Some(_)) => "#p = :p AND #c BETWEEN :s AND :c",
        });
        if oldest.is_some() || newest.is_some() {
            query = query.expression_attribute_names("#c", schema::CREATED_AT);
        }
        for (alias, time) in [(":s", oldest), (":c", newest)] {
            if let Some(time) = time {
                let time = AttributeValue::S(time.to_string());
                query = query.expression_attribute_values(alias, time);
            }
        }
        let output = query.send().await.map_err(|error| RequestError::from_sdk(&error))?;
        self.units.add(output.consumed_capacity.as_ref());
        partition.start = output.last_evaluated_key.filter(|key| !key.is_empty());
        partition.is_done = partition.start.is_none();
        let listed = |mut keys: HashMap<String, AttributeValue>| {
            let AttributeValue::S(id) = keys.remove(&self.names.key)? else { return None };
            let AttributeValue::S(time) = keys.remove(schema::CREATED_AT)? else { return None };
            let time = time.parse().unwrap_or(Timestamp::from_millis(0));
            Some((Reverse(time), SessionId::from_key(id).ok()?))
        };
        let page: Vec<_> = output.items.into_iter().flatten().filter_map(listed).collect();
        if let Some((Reverse(time), _)) = page.last() {
            partition.reached = Some(*time);
        }
        let is_asked_for = |(Reverse(time), id): &ListedId| self.request.includes(*time, id);
        let page: Vec<_> = page.into_iter().filter(is_asked_for).collect();
        partition.count += page.len();
        Ok(page)
    }
}

/// How many sessions to ask each partition for: one more than the list may have shows that there
/// are no more of the same time. Among several, chance gives one of them more than its share, but
/// hardly ever by more than three standard deviations.
fn share(limit: usize, partitions: usize) -> usize {
    let share = limit / partitions.max(1);
    let more = if partitions > 1 { 3 * share.isqrt() + 1 } else { 0 };
    share.saturating_add(more).min(limit).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_share_a_list() {
        for (limit, partitions, expected) in
            [(100, 1, 101), (1, 1, 2), (1, 16, 2), (500, 16, 48), (1_600, 16, 132), (3, 2, 4)]
        {
            assert_eq!(share(limit, partitions), expected, "{limit} of {partitions}");
        }
        assert_eq!(share(usize::MAX, 1), usize::MAX);
    }
}
