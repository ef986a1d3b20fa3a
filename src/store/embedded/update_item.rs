//! Writes, without the SDK.
//!
//! Nearly all requests of a recorder are writes. Through the SDK, as JSON and back, one takes 1.7 times
//! the instructions.

use std::collections::HashMap;
use std::pin::Pin;

use aws_sdk_dynamodb::types::AttributeValue;
use dynoxide::actions::update_item::{AttributeValueUpdate, UpdateItemRequest};
use dynoxide::types::AttributeValue as EngineValue;
use dynoxide::{Database, DynoxideError};
use serde_json::{Map, Value, json};
use tokio::runtime::{Handle, RuntimeFlavor};

use super::Engine;
use crate::store::dynamodb::{
    Condition, ItemUpdate, RequestError, UpdateError, UpdateExpression, UpdateItem, UpdateRequest,
    Updated, is_rejection,
};

impl UpdateItem for Engine {
    fn update_item<'a>(
        &'a self,
        request: UpdateRequest<'a>,
    ) -> Pin<Box<dyn Future<Output = Updated> + Send + 'a>> {
        Box::pin(async move {
            let request = to_engine_request(request);
            let execute = |database: &Database| database.update_item(request);
            let executed = match has_threads() {
                true => self.run_queued(execute).await,
                false => self.run(execute).await,
            };
            match executed {
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

/// Whether the recorder, which is one task, can prepare the next writes while another thread executes
/// this one: in memory, a quarter more workflows per second. With a single thread, writes stay in place.
/// Tests with a paused clock rely on that.
fn has_threads() -> bool {
    let runtime = Handle::try_current();
    runtime.is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread)
}

fn to_engine_request(request: UpdateRequest<'_>) -> UpdateItemRequest {
    let UpdateRequest { table, key: (key, session_id), update } = request;
    let request = UpdateItemRequest {
        table_name: table.to_owned(),
        key: HashMap::from([(key.to_owned(), EngineValue::S(session_id.to_owned()))]),
        return_values_on_condition_check_failure: Some("ALL_OLD".to_owned()),
        ..UpdateItemRequest::default()
    };
    // The engine parses each expression three times. Of the legacy parameters, it parses only the
    // condition that it makes of them, once: 0.82 times the instructions of a write.
    match expected(&update.conditions) {
        Some(expected) => UpdateItemRequest {
            attribute_updates: Some(attribute_updates(update)),
            expected: Some(expected),
            ..request
        },
        None => {
            let UpdateExpression { update, condition, names, values } =
                UpdateExpression::new(update);
            UpdateItemRequest {
                update_expression: update,
                condition_expression: Some(condition),
                expression_attribute_names: (!names.is_empty()).then_some(names),
                expression_attribute_values: (!values.is_empty()).then(|| to_engine_map(values)),
                ..request
            }
        }
    }
}

/// The conditions in the legacy form, or `None` if one of them takes an expression: those of an item
/// of another writer, which may lack a version or have one of another type.
fn expected(conditions: &[(&str, Condition)]) -> Option<Value> {
    let conditions = conditions.iter().map(|(name, condition)| {
        let condition = match condition {
            Condition::NotExists => json!({ "Exists": false }),
            Condition::Equals(AttributeValue::S(text)) => json!({ "Value": { "S": text } }),
            Condition::Equals(AttributeValue::N(number)) => json!({ "Value": { "N": number } }),
            _ => return None,
        };
        Some(((*name).to_owned(), condition))
    });
    conditions.collect::<Option<Map<_, _>>>().map(Value::Object)
}

fn attribute_updates(update: ItemUpdate<'_>) -> HashMap<String, AttributeValueUpdate> {
    let set = update.set.into_iter().filter_map(|(name, value)| {
        let value = Some(to_engine(value)?);
        Some((name.into_owned(), AttributeValueUpdate { action: "PUT".to_owned(), value }))
    });
    let remove = update.remove.into_iter().map(|name| {
        (name.to_owned(), AttributeValueUpdate { action: "DELETE".to_owned(), value: None })
    });
    set.chain(remove).collect()
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
