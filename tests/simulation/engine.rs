//! A part of the runs is on an engine of DynamoDB, through the store's own code, with the ways of
//! DynamoDB: reads that may be a version behind unless they are to be consistent, batches that are
//! answered in part, conflicts that come without the item, and items of over 400 KB refused.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{HttpClient, RuntimeComponents, SharedHttpClient};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use fastrand::Rng;
use serde_json::{Value as Json, json};
use tower_agent_status::SessionId;
use tower_agent_status::status::{Change, Precondition};
use tower_agent_status::store::{
    DynamoDbStore, StatusReader as _, StatusStore as _, StoreError, WriteOutcome,
};

use crate::Counts;

/// What must come up.
pub(crate) const EXPECTED: [&str; 10] = [
    "engine: runs",
    "engine: a batch that is answered in part",
    "engine: a batch that is not answered at all",
    "engine: a read in a batch is a version behind",
    "engine: a single read",
    "engine: a conflict without its item",
    "engine: an item of over 400 KB refused",
    "engine: an item filled up by another writer",
    "engine: an item filled up by a writer that tells nobody",
    "engine: sessions read in a batch",
];

const KEY: &str = "sessionId";

/// Whether this seed's table is such an engine.
pub(crate) fn is_for(seed: u64) -> bool {
    Rng::with_seed(seed ^ 0x00e4_614e).u8(..20) == 0
}

/// A table in an engine.
#[derive(Clone)]
pub(crate) struct Engine {
    /// As the processes and readers see it.
    pub(crate) store: DynamoDbStore,
    /// As it is.
    pub(crate) truth: DynamoDbStore,
    ways: Arc<Ways>,
}

/// What the engine does now and then.
struct Ways {
    rng: Mutex<Rng>,
    /// The version before the newest of each item, and the newest.
    versions: Mutex<BTreeMap<String, [Option<Json>; 2]>>,
    counts: Mutex<Counts>,
    wrong: Mutex<Vec<String>>,
    is_over: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ways {
    fn count(&self, what: &'static str) {
        *lock(&self.counts).entry(what).or_default() += 1;
    }

    fn one_in(&self, number: u8) -> bool {
        !self.is_over.load(Ordering::SeqCst) && lock(&self.rng).u8(..number) == 0
    }
}

impl Engine {
    pub(crate) fn new(seed: u64) -> Self {
        let truth = DynamoDbStore::embedded_in_memory().unwrap();
        let ways = Arc::new(Ways {
            rng: Mutex::new(Rng::with_seed(seed ^ 0x00e4)),
            versions: Mutex::default(),
            counts: Mutex::default(),
            wrong: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        ways.count("engine: runs");
        let config = truth.client().config();
        let inner = config.http_client().unwrap();
        let client = config.to_builder().http_client(Capricious { ways: Arc::clone(&ways), inner });
        let client = Client::from_conf(client.build());
        let store = DynamoDbStore::new(client, truth.table_name());
        Self { store, truth, ways }
    }

    pub(crate) fn heal(&self) {
        self.ways.is_over.store(true, Ordering::SeqCst);
    }

    pub(crate) fn take(&self) -> (Counts, Vec<String>) {
        (std::mem::take(&mut lock(&self.ways.counts)), std::mem::take(&mut lock(&self.ways.wrong)))
    }

    fn wrong(&self, what: String) {
        lock(&self.ways.wrong).push(what);
    }

    pub(crate) async fn write(
        &self,
        change: &Change,
        precondition: Precondition,
    ) -> Result<WriteOutcome, StoreError> {
        let written = self.store.write(change, precondition).await;
        match &written {
            Ok(WriteOutcome::Conflict(found)) => {
                let is = self.truth.get(&change.session_id).await.unwrap();
                if *found != is {
                    self.wrong(format!("a conflict came with {found:?}, and the item is {is:?}"));
                }
            }
            Err(error) => {
                let is_size = error.to_string().contains("400 KB");
                if !is_size || error.may_have_been_applied() || error.is_retryable() {
                    self.wrong(format!("a write failed: {error:?}"));
                }
                self.ways.count("engine: an item of over 400 KB refused");
            }
            Ok(_) => {}
        }
        written
    }

    /// Reads all sessions as a portal does, and each of them alone.
    async fn read(&self, sessions: &[SessionId]) {
        let before = lock(&self.ways.versions).clone();
        let batch = self.store.get_many(sessions).await;
        match batch {
            Ok(items) => {
                self.ways.count("engine: sessions read in a batch");
                for (id, item) in sessions.iter().zip(items) {
                    let revision = |item: &Option<Json>| {
                        let number = item.as_ref()?["revision"]["N"].as_str()?;
                        number.parse::<u64>().ok()
                    };
                    let least = before.get(id.as_str()).and_then(|[one, _]| revision(one));
                    let found = item.as_ref().and_then(|item| item.get("revision")?.as_u64());
                    let named = item.as_ref().and_then(|item| item.get(KEY)?.as_str());
                    if found < least || item.is_some() && named != Some(id.as_str()) {
                        self.wrong(format!(
                            "{id} is {item:?} in a batch, which is before {least:?}"
                        ));
                    }
                }
            }
            // Five batches in a row without any answer.
            Err(error) if error.is_retryable() => {}
            Err(error) => self.wrong(format!("a batch failed: {error:?}")),
        }
        for id in sessions {
            self.ways.count("engine: a single read");
            let read = tokio::task::unconstrained(async {
                (self.store.get(id).await.unwrap(), self.truth.get(id).await.unwrap())
            });
            let (found, is) = read.await;
            if found != is {
                self.wrong(format!("{id} was read as {found:?}, and is {is:?}"));
            }
        }
    }

    /// Reads now and then, and fills items up and empties them again, for a minute or two.
    pub(crate) async fn live(self, sessions: Vec<String>, mut rng: Rng) {
        let ids: Vec<_> = sessions.iter().map(|id| SessionId::new(id).unwrap()).collect();
        // No batch may have a session twice, and one does not exist.
        let mut asked = ids.clone();
        asked.extend([ids[0].clone(), SessionId::new("missing").unwrap()]);
        for _ in 0..rng.usize(5..30) {
            tokio::time::sleep(Duration::from_millis(rng.u64(..5_000))).await;
            self.read(&asked).await;
            if rng.u8(..4) == 0 {
                let id = &ids[rng.usize(..ids.len())];
                let tells = rng.u8(..3) == 0;
                self.fill(id, tells, &mut rng).await;
                tokio::time::sleep(Duration::from_millis(rng.u64(..20_000))).await;
                self.empty(id, tells).await;
            }
        }
    }

    /// Another writer puts so much into the item that hardly anything is left.
    async fn fill(&self, id: &SessionId, tells: bool, rng: &mut Rng) {
        let versions = lock(&self.ways.versions).clone();
        let Some([_, Some(item)]) = versions.get(id.as_str()) else { return };
        let free = (400 * 1024_usize).saturating_sub(item_size(item) + "notes".len());
        let notes = json!({ "S": "x".repeat(free.saturating_sub(rng.usize(..20))) });
        if self.update(id, "SET notes = :n", json!({ ":n": notes }), tells).await {
            self.ways.count(match tells {
                true => "engine: an item filled up by another writer",
                false => "engine: an item filled up by a writer that tells nobody",
            });
        }
    }

    async fn empty(&self, id: &SessionId, tells: bool) {
        if lock(&self.ways.versions).contains_key(id.as_str())
            && !self.update(id, "REMOVE notes", json!({}), tells).await
        {
            self.wrong("an item cannot be made smaller".to_owned());
        }
    }

    /// What another writer does; `tells` others by the revision.
    async fn update(&self, id: &SessionId, update: &str, mut values: Json, tells: bool) -> bool {
        let mut update = update.to_owned();
        if tells {
            let clause = if update.starts_with("SET") { ", " } else { " SET " };
            update = format!("{update}{clause}revision = revision + :one");
            values[":one"] = json!({ "N": "1" });
        }
        let values = values.as_object().cloned().unwrap_or_default();
        let values = values.into_iter().map(|(name, value)| (name, to_attribute(&value)));
        let values: std::collections::HashMap<_, _> = values.collect();
        let request = self.store.client().update_item();
        let request = request
            .table_name(self.store.table_name())
            .key(KEY, aws_sdk_dynamodb::types::AttributeValue::S(id.to_string()))
            .condition_expression("attribute_exists(revision)")
            .update_expression(update)
            .set_expression_attribute_values((!values.is_empty()).then_some(values));
        request.send().await.is_ok()
    }
}

fn to_attribute(value: &Json) -> aws_sdk_dynamodb::types::AttributeValue {
    use aws_sdk_dynamodb::types::AttributeValue::{N, S};
    match (value["S"].as_str(), value["N"].as_str()) {
        (Some(text), _) => S(text.to_owned()),
        (None, number) => N(number.unwrap_or_default().to_owned()),
    }
}

/// The bytes of an item, as DynamoDB counts them.
fn item_size(item: &Json) -> usize {
    let attributes = item.as_object().into_iter().flatten();
    attributes.map(|(name, value)| name.len() + size(value)).sum()
}

fn size(value: &Json) -> usize {
    const CONTAINER: usize = 3;
    let Some((kind, value)) = value.as_object().and_then(|value| value.iter().next()) else {
        return 0;
    };
    match (&**kind, value) {
        ("M", Json::Object(map)) => CONTAINER + map.len() + item_size(value),
        ("L", Json::Array(list)) => {
            CONTAINER + list.iter().map(|each| 1 + size(each)).sum::<usize>()
        }
        ("N", Json::String(number)) => number.trim_end_matches('0').len().div_ceil(2) + 1,
        (_, Json::String(text)) => text.len(),
        _ => 1,
    }
}

/// A client of the engine that has its ways.
struct Capricious {
    ways: Arc<Ways>,
    inner: SharedHttpClient,
}

impl fmt::Debug for Capricious {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Capricious")
    }
}

impl HttpClient for Capricious {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(Connector { ways: Arc::clone(&self.ways), inner })
    }
}

#[derive(Clone)]
struct Connector {
    ways: Arc<Ways>,
    inner: SharedHttpConnector,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let connector = self.clone();
        HttpConnectorFuture::new(async move {
            let target = request.headers().get("x-amz-target").unwrap_or_default().to_owned();
            let body: Json = parse(request.body());
            match target.rsplit('.').next().unwrap_or_default() {
                "UpdateItem" => connector.update(request, &body).await,
                "GetItem" => {
                    let is_consistent = body["ConsistentRead"] == true;
                    let mut answer = connector.ask(&request, None).await?;
                    if !is_consistent {
                        let item = answer.1.get("Item").cloned();
                        answer.1 = match connector.seen(item, &body["Key"]) {
                            Some(item) => json!({ "Item": item }),
                            None => json!({}),
                        };
                    }
                    Ok(respond(answer))
                }
                "BatchGetItem" => connector.batch(&request, &body).await,
                _ => connector.inner.call(request).await,
            }
        })
    }
}

type Answer = Result<HttpResponse, ConnectorError>;

fn parse(body: &SdkBody) -> Json {
    serde_json::from_slice(body.bytes().unwrap_or_default()).unwrap_or_default()
}

fn respond((status, body): (u16, Json)) -> HttpResponse {
    HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body.to_string()))
}

impl Connector {
    /// Sends this request, or the same with another operation and body.
    async fn ask(
        &self,
        request: &HttpRequest,
        other: Option<(&'static str, Json)>,
    ) -> Result<(u16, Json), ConnectorError> {
        let mut sent = request.try_clone().unwrap();
        if let Some((operation, body)) = other {
            sent.headers_mut().insert("x-amz-target", format!("DynamoDB_20120810.{operation}"));
            *sent.body_mut() = SdkBody::from(body.to_string());
        }
        let response = self.inner.call(sent).await?;
        Ok((response.status().as_u16(), parse(response.body())))
    }

    async fn update(&self, request: HttpRequest, body: &Json) -> Answer {
        let (status, mut answer) = self.ask(&request, None).await?;
        if status == 200 {
            let key = json!({ "TableName": body["TableName"], "Key": body["Key"] });
            let (_, read) = self.ask(&request, Some(("GetItem", key))).await?;
            let mut versions = lock(&self.ways.versions);
            let id = body["Key"][KEY]["S"].as_str().unwrap_or_default();
            let [_, newest] = versions.remove(id).unwrap_or_default();
            versions.insert(id.to_owned(), [newest, read.get("Item").cloned()]);
        } else if answer.get("Item").is_some() && self.ways.one_in(3) {
            self.ways.count("engine: a conflict without its item");
            answer.as_object_mut().unwrap().remove("Item");
        }
        Ok(respond((status, answer)))
    }

    /// What an eventually consistent read sees of an item.
    fn seen(&self, item: Option<Json>, key: &Json) -> Option<Json> {
        let versions = lock(&self.ways.versions);
        match versions.get(key[KEY]["S"].as_str().unwrap_or_default()) {
            Some([before, _]) if self.ways.one_in(2) => {
                self.ways.count("engine: a read in a batch is a version behind");
                before.clone()
            }
            _ => item,
        }
    }

    async fn batch(&self, request: &HttpRequest, body: &Json) -> Answer {
        let (table, wanted) = body["RequestItems"].as_object().unwrap().iter().next().unwrap();
        let mut keys = wanted["Keys"].as_array().cloned().unwrap_or_default();
        let answered = match keys.len() {
            _ if self.ways.one_in(6) => {
                self.ways.count("engine: a batch that is not answered at all");
                0
            }
            all if all > 1 && self.ways.one_in(2) => {
                self.ways.count("engine: a batch that is answered in part");
                lock(&self.ways.rng).usize(1..all)
            }
            all => all,
        };
        let left = keys.split_off(answered);
        let mut items = Vec::new();
        for key in keys {
            let read = json!({ "TableName": table, "Key": key });
            let (_, found) = self.ask(request, Some(("GetItem", read))).await?;
            let found = found.get("Item").cloned();
            let is_consistent = wanted["ConsistentRead"] == true;
            items.extend(if is_consistent { found } else { self.seen(found, &key) });
        }
        let mut answer = json!({ "Responses": { table: items }, "UnprocessedKeys": {} });
        if !left.is_empty() {
            answer["UnprocessedKeys"] = json!({ table: { "Keys": left } });
        }
        Ok(respond((200, answer)))
    }
}
