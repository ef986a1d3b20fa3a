//! Writing: the one `UpdateItem` behind [`StatusStore::write`].
//!
//! DynamoDB checks the condition and applies the update atomically. If the condition fails, it
//! returns the item along with the error, which becomes the conflict. If the request fails,
//! every attempt that the SDK made decides whether the write may have been applied.

use std::collections::HashMap;
use std::pin::pin;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};

use super::error::RequestError;
use super::expression::{ReservedAttribute, UpdateExpression};
use super::{DynamoDbStore, Inner, convert, sent_attempts};
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
        let Inner { requests, table, .. } = &*self.0;
        let UpdateExpression { update, condition, names: aliases, values } = UpdateExpression::new(
            change,
            precondition,
            names,
            &indexes,
        )
        .map_err(|ReservedAttribute(name)| {
            let text = format!(
                "cannot write attribute `{name}` to DynamoDB table `{table}`, which uses it for \
                     its key or its expiry: use another name"
            );
            StoreError::new(StoreErrorKind::Permanent, text)
        })?;
        let request = requests
            .update_item()
            .table_name(table)
            .key(&names.key, AttributeValue::S(change.session_id.to_string()))
            .set_update_expression(update)
            .condition_expression(condition)
            .set_expression_attribute_names((!aliases.is_empty()).then_some(aliases))
            .set_expression_attribute_values((!values.is_empty()).then_some(values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let (sent, may_have_been_applied) = sent_attempts::watch(pin!(request.send())).await;
        let error = match sent.map_err(failed_condition) {
            Ok(_) => return Ok(WriteOutcome::Applied),
            Err(Ok(Some(item))) => {
                return Ok(WriteOutcome::Conflict(Some(convert::to_item(item, names))));
            }
            // No item: it does not exist, or the endpoint does not return it.
            Err(Ok(None)) => match self.read_item(&change.session_id).await {
                Ok(item) => return Ok(WriteOutcome::Conflict(item)),
                Err(error) => error,
            },
            Err(Err(error)) => RequestError::from_sdk(&error).into_store_error(self.request(
                "write to",
                "dynamodb:UpdateItem",
                names,
            )),
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

type Attributes = HashMap<String, AttributeValue>;
type UpdateError = SdkError<UpdateItemError, HttpResponse>;

/// Returns the item that did not meet the condition, if that is the error.
fn failed_condition(error: UpdateError) -> Result<Option<Attributes>, Box<UpdateError>> {
    match error {
        SdkError::ServiceError(error) if error.err().is_conditional_check_failed_exception() => {
            match error.into_err() {
                UpdateItemError::ConditionalCheckFailedException(failed) => Ok(failed.item),
                _ => Ok(None),
            }
        }
        error => Err(Box::new(error)),
    }
}
