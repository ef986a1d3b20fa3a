//! Writes, without the SDK.
//!
//! Nearly all requests of a recorder are writes. Through the SDK, as JSON and back, one takes 1.4 times
//! the instructions.

use std::collections::HashMap;
use std::pin::Pin;

use aws_sdk_dynamodb::types::AttributeValue;
use dynoxide::DynoxideError;
use dynoxide::actions::update_item::UpdateItemRequest;
use dynoxide::types::AttributeValue as EngineValue;

use super::Engine;
use crate::store::dynamodb::{
    RequestError, UpdateError, UpdateItem, UpdateRequest, Updated, is_rejection,
};

impl UpdateItem for Engine {
    fn update_item(
        &self,
        request: UpdateRequest,
    ) -> Pin<Box<dyn Future<Output = Updated> + Send + '_>> {
        Box::pin(async move {
            let request = to_engine_request(request);
            match self.run(|database| database.update_item(request)).await {
                Ok(Ok(_)) => Updated { result: Ok(()), may_have_been_applied: false },
                Ok(Err(error)) => failed(error),
                Err(error) => {
                    let error = RequestError::of_service(
                        "InternalServerError",
                        &error.to_string(),
                        Some(500),
                    );
                    Updated { result: Err(UpdateError::Failed(error)), may_have_been_applied: true }
                }
            }
        })
    }
}

fn to_engine_request(request: UpdateRequest) -> UpdateItemRequest {
    let UpdateRequest { table, key: (key, session_id), expression } = request;
    UpdateItemRequest {
        table_name: table,
        key: HashMap::from([(key, EngineValue::S(session_id))]),
        update_expression: expression.update,
        condition_expression: Some(expression.condition),
        expression_attribute_names: (!expression.names.is_empty()).then_some(expression.names),
        expression_attribute_values: (!expression.values.is_empty())
            .then(|| to_engine_map(expression.values)),
        return_values_on_condition_check_failure: Some("ALL_OLD".to_owned()),
        ..UpdateItemRequest::default()
    }
}

fn failed(error: DynoxideError) -> Updated {
    if let DynoxideError::ConditionalCheckFailedException(_, item) = error {
        let item = item.map(from_engine_map);
        return Updated {
            result: Err(UpdateError::ConditionFailed(item)),
            may_have_been_applied: false,
        };
    }
    let status = error.status_code();
    // The SDK leaves out the namespace, too.
    let code = error.error_type().rsplit('#').next().unwrap_or_default();
    let error = RequestError::of_service(code, &error.to_string(), Some(status));
    Updated {
        result: Err(UpdateError::Failed(error)),
        may_have_been_applied: !is_rejection(status),
    }
}

fn to_engine_map(map: HashMap<String, AttributeValue>) -> HashMap<String, EngineValue> {
    let values = map.into_iter();
    values.filter_map(|(name, value)| Some((name, to_engine(value)?))).collect()
}

/// `None` for the types that the document does not use, and the store never writes.
fn to_engine(value: AttributeValue) -> Option<EngineValue> {
    Some(match value {
        AttributeValue::S(text) => EngineValue::S(text),
        AttributeValue::N(number) => EngineValue::N(number),
        AttributeValue::M(map) => EngineValue::M(to_engine_map(map)),
        AttributeValue::L(list) => EngineValue::L(list.into_iter().filter_map(to_engine).collect()),
        _ => return None,
    })
}

fn from_engine_map(map: HashMap<String, EngineValue>) -> HashMap<String, AttributeValue> {
    let values = map.into_iter();
    values.filter_map(|(name, value)| Some((name, from_engine(value)?))).collect()
}

/// `None` for the types that the store does not read.
fn from_engine(value: EngineValue) -> Option<AttributeValue> {
    Some(match value {
        EngineValue::S(text) => AttributeValue::S(text),
        EngineValue::N(number) => AttributeValue::N(number),
        EngineValue::M(map) => AttributeValue::M(from_engine_map(map)),
        EngineValue::L(list) => {
            AttributeValue::L(list.into_iter().filter_map(from_engine).collect())
        }
        _ => return None,
    })
}
