//! Reading documents: the requests behind [`StatusReader`].

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, ReturnValue};
use tokio::time::sleep;

use super::error::Fault;
use super::table::Names;
use super::{DynamoDbStore, convert, session_id};
use crate::status::{Item, SessionId};
use crate::store::{RecentItems, StatusReader, StoreError, StoreErrorKind};

/// How many items one `BatchGetItem` may ask for.
const BATCH: usize = 100;

/// How many times in a row a batch may come back with nothing but keys that were not
/// looked up, which is how DynamoDB throttles a batch.
const MAX_EMPTY_BATCHES: u32 = 5;

impl DynamoDbStore {
    /// One item, as all writes before have left it.
    pub(super) async fn read_item(
        &self,
        session_id: &SessionId,
    ) -> Result<Option<Item>, StoreError> {
        let names = self.names().await?;
        let answer = self
            .client()
            .get_item()
            .table_name(self.table())
            .key(&names.key, AttributeValue::S(session_id.to_string()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| {
                let request = self.request("read from", "dynamodb:GetItem", names);
                Fault::of(&error).into_store_error(request)
            })?;
        Ok(answer.item.map(|attributes| convert::to_item(attributes, names)))
    }

    /// Adds the items of up to [`BATCH`] sessions to those found.
    async fn read_batch(
        &self,
        ids: &[&SessionId],
        names: &Names,
        found: &mut HashMap<SessionId, Item>,
    ) -> Result<(), StoreError> {
        let key_of = |id: &&SessionId| {
            HashMap::from([(names.key.clone(), AttributeValue::S(id.to_string()))])
        };
        let mut keys: Vec<_> = ids.iter().map(key_of).collect();
        let mut empty_batches = 0;
        while !keys.is_empty() {
            let asked = keys.len();
            let wanted = KeysAndAttributes::builder()
                .set_keys(Some(keys))
                .build()
                .map_err(|error| StoreError::new(StoreErrorKind::Permanent, error))?;
            let answer = self
                .client()
                .batch_get_item()
                .request_items(self.table(), wanted)
                .send()
                .await
                .map_err(|error| {
                    let request = self.request("read from", "dynamodb:BatchGetItem", names);
                    Fault::of(&error).into_store_error(request)
                })?;
            // One table was asked, so all of the answer is its own, whether it is
            // called there by its name or its ARN.
            for attributes in answer.responses.into_iter().flatten().flat_map(|(_, items)| items) {
                let item = convert::to_item(attributes, names);
                if let Some(id) = session_id(&item) {
                    found.insert(id, item);
                }
            }
            keys = answer
                .unprocessed_keys
                .into_iter()
                .flatten()
                .flat_map(|(_, keys)| keys.keys)
                .collect();
            if keys.len() < asked {
                empty_batches = 0;
                continue;
            }
            empty_batches += 1;
            if empty_batches == MAX_EMPTY_BATCHES {
                let table = self.table();
                return Err(StoreError::new(
                    StoreErrorKind::Throttled,
                    format!("cannot read from DynamoDB table `{table}`: it is throttled"),
                ));
            }
            sleep(Duration::from_millis(50) * 2_u32.pow(empty_batches)).await;
        }
        Ok(())
    }
}

/// [`get`](StatusReader::get) sees every write that was answered before it;
/// [`get_many`](StatusReader::get_many) and [`recent`](StatusReader::recent) cost half as
/// much and may miss those of the last second.
///
/// [`recent`](StatusReader::recent) asks the table's index of the newest sessions, day by
/// day, as far back as items live, and reads what that names. Items without `createdDay`,
/// which other writers leave, are not in the index. So where it names fewer than asked for,
/// where there is none, or where the role may not query it, the table is scanned: up to 64
/// pages of 1 MB, which are some 30,000 items of usual size. Of a larger table the newest
/// among those are given, as [truncated](RecentItems::truncated). A table of one page is scanned
/// once the last two weeks have named too few.
impl StatusReader for DynamoDbStore {
    async fn get(&self, session_id: &SessionId) -> Result<Option<Item>, StoreError> {
        self.read_item(session_id).await
    }

    async fn get_many(&self, session_ids: &[SessionId]) -> Result<Vec<Option<Item>>, StoreError> {
        // A batch may name each key once.
        let mut seen = HashSet::new();
        let ids: Vec<&SessionId> = session_ids.iter().filter(|id| seen.insert(*id)).collect();
        if ids.is_empty() {
            return Ok(vec![None; session_ids.len()]);
        }
        let names = self.names().await?;
        let mut found = HashMap::with_capacity(ids.len());
        for batch in ids.chunks(BATCH) {
            self.read_batch(batch, names, &mut found).await?;
        }
        Ok(session_ids.iter().map(|id| found.get(id).cloned()).collect())
    }

    async fn recent(&self, limit: usize) -> Result<RecentItems, StoreError> {
        self.newest(limit).await
    }

    async fn delete(&self, session_id: &SessionId) -> Result<bool, StoreError> {
        let names = self.names().await?;
        let answer = self
            .client()
            .delete_item()
            .table_name(self.table())
            .key(&names.key, AttributeValue::S(session_id.to_string()))
            .return_values(ReturnValue::AllOld)
            .send()
            .await
            .map_err(|error| {
                let request = self.request("delete from", "dynamodb:DeleteItem", names);
                Fault::of(&error).into_store_error(request)
            })?;
        Ok(answer.attributes.is_some_and(|attributes| !attributes.is_empty()))
    }
}
