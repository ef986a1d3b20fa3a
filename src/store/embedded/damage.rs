//! Reading around damaged rows.
//!
//! The engine answers a request for many items with an error if it cannot read one of them, and
//! says of a single one that it does not exist. Here a damaged item is one item: it has its
//! session id, failed, and says why.

use std::collections::{HashMap, HashSet};

use dynoxide::{Database, DynoxideError};
use serde_json::{Map, Value, json};

use super::{RECENT_INDEX, Response, TABLE, run};
use crate::status::schema;

const DAMAGED: &str = "the stored item is damaged and cannot be read: delete it";

/// `GetItem`, and whether an item that seems to be missing is damaged.
pub(super) fn get_item(database: &Database, body: &[u8]) -> Response {
    let response = run(body, |request| database.get_item(request))?;
    let is_missing = || !contains(&response, b"\"Item\"");
    let request = || serde_json::from_slice::<Map<String, Value>>(body).ok();
    if is_missing()
        && let Some(request) = request()
        && let (Some(Value::String(table)), Some(key)) =
            (request.get("TableName"), request.get("Key"))
    {
        match read_one(database, table, key) {
            Err(error) if is_damage(&error) => {
                return to_response(&json!({ "Item": damaged(key) }));
            }
            _ => {}
        }
    }
    Ok(response)
}

/// `DeleteItem`, which returns a damaged item, too.
pub(super) fn delete_item(database: &Database, body: &[u8]) -> Response {
    let request = serde_json::from_slice::<Map<String, Value>>(body).unwrap_or_default();
    let damaged = match (request.get("TableName"), request.get("Key")) {
        (Some(Value::String(table)), Some(key)) => match read_one(database, table, key) {
            Err(error) if is_damage(&error) => Some(damaged(key)),
            _ => None,
        },
        _ => None,
    };
    let response = run(body, |request| database.delete_item(request))?;
    match damaged {
        Some(item) => to_response(&json!({ "Attributes": item })),
        None => Ok(response),
    }
}

/// `BatchGetItem`. If an item is damaged, each is read on its own.
pub(super) fn batch_get_item(database: &Database, body: &[u8]) -> Response {
    type Request = HashMap<String, HashMap<String, Value>>;
    let error = match run(body, |request| database.batch_get_item(request)) {
        Err(error) if is_damage(&error) => error,
        response => return response,
    };
    let request = serde_json::from_slice::<Map<String, Value>>(body).ok();
    let tables = request.and_then(|mut request| request.remove("RequestItems"));
    let Some(tables) = tables.and_then(|tables| serde_json::from_value::<Request>(tables).ok())
    else {
        return Err(error);
    };
    let mut responses = Map::new();
    for (table, request) in tables {
        let keys = request.get("Keys").and_then(Value::as_array).into_iter().flatten();
        let items = keys.map(|key| read_or_damaged(database, &table, key));
        let items = items.collect::<Result<Vec<_>, _>>()?;
        responses.insert(table, items.into_iter().flatten().collect());
    }
    to_response(&json!({ "Responses": responses, "UnprocessedKeys": {} }))
}

/// `Scan`. If an item is damaged, the others are read in ever smaller segments of the table. The
/// index of the newest sessions has the ids of the damaged ones, and of what is in the same segment.
/// What is not in the index is left out with them.
pub(super) fn scan(database: &Database, body: &[u8]) -> Response {
    let error = match run(body, |request| database.scan(request)) {
        Err(error) if is_damage(&error) => error,
        response => return response,
    };
    let request = serde_json::from_slice::<Map<String, Value>>(body).unwrap_or_default();
    if request.get("TableName").and_then(Value::as_str) != Some(TABLE) {
        return Err(error);
    }
    let mut items = Vec::new();
    scan_undamaged(database, &request, (0, 1), &mut items)?;
    let prefix = request.get("ExpressionAttributeValues");
    let prefix = prefix.and_then(|values| values[":p"]["S"].as_str()).unwrap_or_default();
    let index = Map::from_iter([
        ("TableName".to_owned(), TABLE.into()),
        ("IndexName".to_owned(), RECENT_INDEX.into()),
    ]);
    let mut keys = Vec::new();
    scan_pages(database, index, &mut keys)?;
    let id_of = |item: &Value| item[schema::SESSION_ID]["S"].as_str().map(str::to_owned);
    let read: HashSet<_> = items.iter().filter_map(id_of).collect();
    for id in keys.iter().filter_map(id_of) {
        if id.starts_with(prefix) && !read.contains(&id) {
            let key = json!({ schema::SESSION_ID: { "S": id } });
            items.extend(read_or_damaged(database, TABLE, &key)?);
        }
    }
    to_response(&json!({ "Count": items.len(), "ScannedCount": items.len(), "Items": items }))
}

/// Scans a segment of so many, without the smallest segments of it that have a damaged item.
fn scan_undamaged(
    database: &Database,
    request: &Map<String, Value>,
    (segment, total): (u64, u64),
    items: &mut Vec<Value>,
) -> Result<(), DynoxideError> {
    // The engine has no smaller ones. They are ranges of the key's hash.
    const MAX_SEGMENTS: u64 = 4_096;
    let mut part = request.clone();
    part.remove("ExclusiveStartKey");
    part.insert("Segment".to_owned(), segment.into());
    part.insert("TotalSegments".to_owned(), total.into());
    let mut found = Vec::new();
    match scan_pages(database, part, &mut found) {
        Err(error) if is_damage(&error) => {}
        result => {
            items.append(&mut found);
            return result;
        }
    }
    if total < MAX_SEGMENTS {
        for segment in [2 * segment, 2 * segment + 1] {
            scan_undamaged(database, request, (segment, 2 * total), items)?;
        }
    }
    Ok(())
}

/// Scans all pages.
fn scan_pages(
    database: &Database,
    mut request: Map<String, Value>,
    items: &mut Vec<Value>,
) -> Result<(), DynoxideError> {
    loop {
        let page = serde_json::to_vec(&request)
            .map_err(|error| DynoxideError::InternalServerError(error.to_string()))?;
        let page = run(&page, |request| database.scan(request))?;
        let mut page: Map<String, Value> = serde_json::from_slice(&page).unwrap_or_default();
        if let Some(Value::Array(found)) = page.get_mut("Items") {
            items.append(found);
        }
        match page.remove("LastEvaluatedKey") {
            Some(start) => request.insert("ExclusiveStartKey".to_owned(), start),
            None => return Ok(()),
        };
    }
}

/// Reads an item, which is `None` if there is none.
fn read_one(database: &Database, table: &str, key: &Value) -> Result<Option<Value>, DynoxideError> {
    let request = json!({ "RequestItems": { table: { "Keys": [key], "ConsistentRead": true } } });
    let response = run(request.to_string().as_bytes(), |request| database.batch_get_item(request))?;
    let response: Value = serde_json::from_slice(&response).unwrap_or_default();
    Ok(response["Responses"][table].as_array().and_then(|items| items.first()).cloned())
}

fn read_or_damaged(
    database: &Database,
    table: &str,
    key: &Value,
) -> Result<Option<Value>, DynoxideError> {
    match read_one(database, table, key) {
        Err(error) if is_damage(&error) => Ok(Some(damaged(key))),
        item => item,
    }
}

/// What stands for an item that cannot be read.
fn damaged(key: &Value) -> Value {
    let mut item = key.as_object().cloned().unwrap_or_default();
    item.insert(schema::OVERALL_STATUS.to_owned(), json!({ "S": "failed" }));
    item.insert(schema::ERROR.to_owned(), json!({ "S": DAMAGED }));
    Value::Object(item)
}

fn is_damage(error: &DynoxideError) -> bool {
    error.to_string().contains("Bad item JSON")
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(text, part).is_some()
}

fn to_response(response: &Value) -> Response {
    serde_json::to_vec(response)
        .map_err(|error| DynoxideError::InternalServerError(error.to_string()))
}
