//! Writing: the one `UpdateItem` behind [`StatusStore::write`].
//!
//! DynamoDB checks the condition and applies the update atomically. If the condition fails, it
//! returns the item along with the error, which becomes the conflict. If the request fails,
//! every attempt that the SDK made decides whether the write may have been applied.

use super::layout::ReservedAttribute;
use super::update::ItemUpdate;
use super::update_item::{self, UpdateError, UpdateRequest, Updated};
use super::{DynamoDbStore, Inner, convert};
use crate::status::{Change, Precondition, schema};
use crate::store::{StatusStore, StoreError, StoreErrorKind, WriteOutcome};

impl StatusStore for DynamoDbStore {
    async fn write(
        &self,
        change: &Change,
        precondition: Precondition,
    ) -> Result<WriteOutcome, StoreError> {
        let layout = self.layout().await?;
        let names = &layout.names;
        // Only the first write of a run names partitions of indexes.
        let is_first = change.set.get(schema::CREATED_DAY).is_some();
        let indexes = if is_first { self.indexes(layout).await } else { layout.indexes() };
        let Inner { requests, engine, table, .. } = &*self.0;
        let update = ItemUpdate::new(change, precondition, names, &indexes).map_err(
            |ReservedAttribute(name)| {
                let text = format!(
                    "cannot write attribute `{name}` to DynamoDB table `{table}`, which uses it \
                     for its key or its expiry: use another name"
                );
                StoreError::new(StoreErrorKind::Permanent, text)
            },
        )?;
        let key = (&*names.key, change.session_id.as_str());
        let request = UpdateRequest { table, key, update };
        let Updated { result, may_have_been_applied } = match engine {
            Some(engine) => engine.update_item(request).await,
            None => update_item::send(requests, request).await,
        };
        let error = match result {
            Ok(()) => return Ok(WriteOutcome::Applied),
            Err(UpdateError::ConditionFailed(Some(item))) => {
                return Ok(WriteOutcome::Conflict(Some(convert::to_item(item, names))));
            }
            Err(UpdateError::ConditionFailed(None)) => {
                match self.read_item(&change.session_id).await {
                    Ok(item) => return Ok(WriteOutcome::Conflict(item)),
                    Err(error) => error,
                }
            }
            Err(UpdateError::Failed(error)) => {
                error.into_store_error(self.request("write to", "dynamodb:UpdateItem", names))
            }
        };
        Err(if may_have_been_applied { error.ambiguous() } else { error })
    }

    fn is_reserved(&self, attribute: &str) -> bool {
        self.current_names().is_reserved(attribute)
    }

    fn is_index_key(&self, attribute: &str) -> bool {
        let Inner { settings, discovered, .. } = &*self.0;
        match discovered.get() {
            Some(layout) => layout.indexes().is_search_key(attribute),
            None => settings.search.iter().any(|name| name == attribute),
        }
    }
}
