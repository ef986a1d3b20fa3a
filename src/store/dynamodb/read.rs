//! Reading: the requests behind [`StatusReader`].

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use aws_sdk_dynamodb::types::{
    AttributeValue, KeysAndAttributes, ReturnConsumedCapacity, ReturnValue,
};
use tokio::time::sleep;

use super::error::RequestError;
use super::expression::Projection;
use super::layout::AttributeNames;
use super::read_units::ReadUnits;
use super::{DynamoDbStore, convert, session_id};
use crate::status::{Item, SessionId};
use crate::store::{
    FindRequest, FoundItems, ListRequest, RecentItems, StatusReader, StoreError, StoreErrorKind,
};

/// The maximum number of items in one `BatchGetItem`.
pub(super) const MAX_BATCH_GET: usize = 100;

/// How often in a row a batch may return unprocessed keys only, which is how DynamoDB throttles
/// a batch.
const MAX_EMPTY_BATCHES: u32 = 5;

impl DynamoDbStore {
    /// Reads one item, consistently: every write before is in it.
    pub(super) async fn read_item(
        &self,
        session_id: &SessionId,
    ) -> Result<Option<Item>, StoreError> {
        let names = self.names().await?;
        let output = self
            .requests()
            .get_item()
            .table_name(self.table_name())
            .key(&names.key, AttributeValue::S(session_id.to_string()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| {
                let request = self.request("read from", "dynamodb:GetItem", names);
                RequestError::from_sdk(&error).into_store_error(request)
            })?;
        Ok(output.item.map(|attributes| convert::to_item(attributes, names)))
    }

    /// Reads these attributes, or all, of the items of up to [`MAX_BATCH_GET`] sessions, and adds
    /// them to `found`.
    pub(super) async fn read_batch(
        &self,
        ids: &[&SessionId],
        names: &AttributeNames,
        attributes: Option<&[String]>,
        found: &mut HashMap<SessionId, Item>,
        units: &ReadUnits,
    ) -> Result<(), StoreError> {
        let key_of = |id: &&SessionId| {
            HashMap::from([(names.key.clone(), AttributeValue::S(id.to_string()))])
        };
        let projection = attributes.map(|attributes| Projection::new(attributes, names));
        let (expression, aliases) = match projection {
            Some(Projection { expression, names }) => (Some(expression), Some(names)),
            None => (None, None),
        };
        let mut keys: Vec<_> = ids.iter().map(key_of).collect();
        let mut empty_batches = 0;
        while !keys.is_empty() {
            let requested = keys.len();
            let keys_of_table = KeysAndAttributes::builder()
                .set_keys(Some(keys))
                .set_projection_expression(expression.clone())
                .set_expression_attribute_names(aliases.clone())
                .build()
                .map_err(|error| StoreError::new(StoreErrorKind::Permanent, error))?;
            let output = self
                .requests()
                .batch_get_item()
                .request_items(self.table_name(), keys_of_table)
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .send()
                .await
                .map_err(|error| {
                    let request = self.request("read from", "dynamodb:BatchGetItem", names);
                    RequestError::from_sdk(&error).into_store_error(request)
                })?;
            // It has an entry for each table, and there is only one.
            units.add(output.consumed_capacity().first());
            // All items are of the one table requested, which the response may call by its name
            // or by its ARN.
            for attributes in output.responses.into_iter().flatten().flat_map(|(_, items)| items) {
                let item = convert::to_item(attributes, names);
                if let Some(id) = session_id(&item) {
                    found.insert(id, item);
                }
            }
            keys = output
                .unprocessed_keys
                .into_iter()
                .flatten()
                .flat_map(|(_, keys)| keys.keys)
                .collect();
            if keys.len() < requested {
                empty_batches = 0;
                continue;
            }
            empty_batches += 1;
            if empty_batches == MAX_EMPTY_BATCHES {
                let table = self.table_name();
                return Err(StoreError::new(
                    StoreErrorKind::Throttled,
                    format!("cannot read from DynamoDB table `{table}`: requests are throttled"),
                ));
            }
            sleep(Duration::from_millis(50) * 2_u32.pow(empty_batches)).await;
        }
        Ok(())
    }
}

/// [`get`](StatusReader::get) is strongly consistent.
/// [`get_many`](StatusReader::get_many), [`list`](StatusReader::list) and
/// [`search`](StatusReader::search) are eventually consistent, at half the cost: they may miss the
/// writes of the last second.
///
/// [`list`](StatusReader::list) queries the table's index of the newest sessions, day by
/// day, for 90 days, and reads the items. The shards of a day are queried side by side. Items of older writers have no
/// `createdDay` and are missing from the index. If there are any, a table of up to 1 MB is scanned
/// instead, and the list of a larger one is marked as [`unindexed`](RecentItems::unindexed) until a
/// [`backfill`](DynamoDbStore::backfill) has added them to the index. The table is also scanned if the index returns fewer
/// than `limit` sessions, if there is no index, or if the role may not query it: up to 64 pages
/// of 1 MB, which is some 30,000 items of usual size. If the table is larger, the result holds
/// the newest of the items scanned, and is [truncated](RecentItems::truncated). If the last two
/// weeks of the index return too few, one page is scanned before the days further back, since
/// that page may be the whole table. A list [since](ListRequest::since) a time is not scanned for, as
/// long as the index has the days since then.
///
/// [`find`](StatusReader::find) uses an index of the attribute if there is one. Otherwise it looks at
/// the list, in batches of 100 items, and stops when it has found as many as it may. A batch of items
/// of up to 4 KB takes 50 read units, so 2,000 items take 1,000, and 33 more for their entries in the
/// index. Where the list has to be scanned, it looks at all that is scanned.
impl StatusReader for DynamoDbStore {
    async fn get(&self, session_id: &SessionId) -> Result<Option<Item>, StoreError> {
        self.read_item(session_id).await
    }

    async fn get_many(&self, session_ids: &[SessionId]) -> Result<Vec<Option<Item>>, StoreError> {
        // A batch may not have the same key twice.
        let mut seen = HashSet::new();
        let ids: Vec<&SessionId> = session_ids.iter().filter(|id| seen.insert(*id)).collect();
        if ids.is_empty() {
            return Ok(vec![None; session_ids.len()]);
        }
        let names = self.names().await?;
        let mut found = HashMap::with_capacity(ids.len());
        for batch in ids.chunks(MAX_BATCH_GET) {
            self.read_batch(batch, names, None, &mut found, &ReadUnits::default()).await?;
        }
        Ok(session_ids.iter().map(|id| found.get(id).cloned()).collect())
    }

    async fn list<T: Send>(
        &self,
        request: &ListRequest,
        map: impl Fn(&SessionId, Item) -> T + Send + Sync,
    ) -> Result<RecentItems<T>, StoreError> {
        self.newest(request, map).await
    }

    async fn search<T: Send>(
        &self,
        attribute: &str,
        value: &str,
        request: &ListRequest,
        map: impl Fn(&SessionId, Item) -> T + Send + Sync,
    ) -> Result<Option<RecentItems<T>>, StoreError> {
        let looked = self.newest_with(attribute, value, request, map).await?;
        Ok(looked.map(|looked| looked.found))
    }

    async fn find<T: Send>(
        &self,
        request: &FindRequest,
        map: impl Fn(&SessionId, Item) -> T + Send + Sync,
    ) -> Result<FoundItems<T>, StoreError> {
        self.find_by_attribute(request, map).await
    }

    async fn delete(&self, session_id: &SessionId) -> Result<bool, StoreError> {
        let names = self.names().await?;
        let output = self
            .requests()
            .delete_item()
            .table_name(self.table_name())
            .key(&names.key, AttributeValue::S(session_id.to_string()))
            .return_values(ReturnValue::AllOld)
            .send()
            .await
            .map_err(|error| {
                let request = self.request("delete from", "dynamodb:DeleteItem", names);
                RequestError::from_sdk(&error).into_store_error(request)
            })?;
        Ok(output.attributes.is_some_and(|attributes| !attributes.is_empty()))
    }
}
