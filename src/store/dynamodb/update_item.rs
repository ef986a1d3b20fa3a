//! The one `UpdateItem` of a write. The SDK makes it, or an engine inside the process.

use std::collections::HashMap;
use std::pin::{Pin, pin};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};

use super::error::RequestError;
use super::expression::UpdateExpression;
use super::sent_attempts;
use super::update::ItemUpdate;

/// The request of a write.
#[derive(Debug)]
pub(in crate::store) struct UpdateRequest<'a> {
    pub(in crate::store) table: &'a str,
    /// The name of the partition key, and its value.
    pub(in crate::store) key: (&'a str, &'a str),
    pub(in crate::store) update: ItemUpdate<'a>,
}

/// How the request of a write ended.
#[derive(Debug)]
pub(in crate::store) struct Updated {
    pub(in crate::store) result: Result<(), UpdateError>,
    /// Whether the write may have been applied although the request failed.
    pub(in crate::store) may_have_been_applied: bool,
}

#[derive(Debug)]
pub(in crate::store) enum UpdateError {
    /// The item did not meet the condition. `None` if there is no item, or if the endpoint does not
    /// return it.
    ConditionFailed(Option<HashMap<String, AttributeValue>>),
    Failed(RequestError),
}

/// An engine that makes the request of a write without the SDK.
pub(in crate::store) trait UpdateItem: Send + Sync {
    fn update_item<'a>(
        &'a self,
        request: UpdateRequest<'a>,
    ) -> Pin<Box<dyn Future<Output = Updated> + Send + 'a>>;
}

/// Sends the request with a [watchable](sent_attempts::watchable) client.
pub(super) async fn send(requests: &Client, request: UpdateRequest<'_>) -> Updated {
    let UpdateRequest { table, key: (key, session_id), update } = request;
    let UpdateExpression { update, condition, names, values } = UpdateExpression::new(update);
    let request = requests
        .update_item()
        .table_name(table)
        .key(key, AttributeValue::S(session_id.to_owned()))
        .set_update_expression(update)
        .condition_expression(condition)
        .set_expression_attribute_names((!names.is_empty()).then_some(names))
        .set_expression_attribute_values((!values.is_empty()).then_some(values))
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    let (sent, may_have_been_applied) = sent_attempts::watch(pin!(request.send())).await;
    Updated { result: sent.map(drop).map_err(UpdateError::from), may_have_been_applied }
}

impl From<SdkError<UpdateItemError, HttpResponse>> for UpdateError {
    fn from(error: SdkError<UpdateItemError, HttpResponse>) -> Self {
        match error {
            SdkError::ServiceError(error)
                if error.err().is_conditional_check_failed_exception() =>
            {
                match error.into_err() {
                    UpdateItemError::ConditionalCheckFailedException(failed) => {
                        Self::ConditionFailed(failed.item)
                    }
                    _ => Self::ConditionFailed(None),
                }
            }
            error => Self::Failed(RequestError::from_sdk(&error)),
        }
    }
}
