//! Embedded stores: a DynamoDB engine inside the process, behind the SDK's own client.
//!
//! ```text
//! DynamoDbStore ─▶ aws_sdk_dynamodb::Client ─▶ Engine, an HttpConnector ─▶ dynoxide ─▶ SQLite
//!               └────────────── writes ──────▶ Engine
//! ```
//!
//! The client's connector passes each request to the engine instead of a socket, so the store is the
//! same one. Its writes reach the engine directly (`update_item`). What may take its time runs on another
//! thread (`queue`). This file and those below it are the only ones that know which engine that is.

mod damage;
mod queue;
mod update_item;

use std::fmt;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::{ReconnectMode, RetryConfig};
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{Config, IdentityCache, Region, StalledStreamProtectionConfig};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use dynoxide::actions::create_table::CreateTableRequest;
use dynoxide::actions::describe_table::DescribeTableRequest;
use dynoxide::actions::update_time_to_live::{TimeToLiveSpecification, UpdateTimeToLiveRequest};
use dynoxide::types::{
    AttributeDefinition, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType,
};
use dynoxide::{Database, DynoxideError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::queue::{Interrupted, Queue};
use super::dynamodb::{RECENT_INDEX, behavior_version};
use super::{DynamoDbStore, SetupError};
use crate::status::schema;

/// The name of the table of an embedded store.
const TABLE: &str = "agent-status";

/// Embedded stores: a DynamoDB engine inside the process. They need no account, no network and
/// no settings.
impl DynamoDbStore {
    /// Opens a store in a file. Creates the file and the table in it if they do not exist.
    ///
    /// Several processes on one machine may use the file at the same time. Writes survive the
    /// end of the process, and a crash of the machine except for the last moments before it.
    /// Expired items are deleted when the file is opened. Requests run on the blocking threads
    /// of the Tokio runtime, so the store has to be used within one.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be opened or is not such a store.
    pub fn embedded(path: impl AsRef<Path>) -> Result<Self, SetupError> {
        let path = path.as_ref();
        let failed = |error: &dyn fmt::Display| {
            let path = path.display();
            SetupError::new(format!(
                "cannot open the embedded store `{path}`: {error}; use the path of a file in an \
                 existing, writable directory"
            ))
        };
        let absolute = absolute(path).map_err(|error| failed(&error))?;
        let database = Database::new(&absolute).map_err(|error| failed(&error))?;
        // Ends a bulk load that was never started, for its settings: they suit a file shared by
        // a few processes. A commit waits for the log, not for the disk.
        database.disable_bulk_loading().map_err(|error| failed(&error))?;
        let index = create_table(&database).map_err(|error| failed(&error))?;
        // DynamoDB deletes expired items by itself.
        database.sweep_ttl().map_err(|error| failed(&error))?;
        Ok(Engine::in_file(database, path).into_store(index))
    }

    /// Opens a store in a file to read it. Nothing is written: no file is created, expired items
    /// stay, and permission to read the file is enough. A write is a
    /// [permanent](super::StoreErrorKind::Permanent) error.
    ///
    /// Writes of other processes are seen, unless this process may not write to the directory and
    /// no process had the store open at first: then it is read as it was.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such file, if it cannot be read, or if it is not such a
    /// store.
    pub fn embedded_read_only(path: impl AsRef<Path>) -> Result<Self, SetupError> {
        let path = path.as_ref();
        let failed = |error: &dyn fmt::Display| {
            let path = path.display();
            SetupError::new(format!(
                "cannot open the embedded store `{path}`: {error}; use the path of a file that a \
                 tracker writes"
            ))
        };
        std::fs::File::open(path).map_err(|error| failed(&error))?;
        let absolute = absolute(path).map_err(|error| failed(&error))?;
        let open = |mode| Database::new(&format!("file:{}?{mode}", uri_path(&absolute)));
        let database = open("mode=ro").or_else(|error| {
            // A reader of a log adds a file beside it, for which it may lack the permission.
            // Without a log there is nothing to share with writers.
            match has_log(&absolute) {
                true => Err(error),
                false => open("mode=ro&immutable=1").map_err(|_| error),
            }
        });
        let database = database.map_err(|error| match is_read_only(&error) {
            true => failed(&"it is empty, or an earlier version wrote it"),
            false => failed(&error),
        })?;
        let index = describe_table(&database).map_err(|error| match error {
            DynoxideError::ResourceNotFoundException(_) => {
                failed(&format_args!("it has no table `{TABLE}`"))
            }
            error => failed(&error),
        })?;
        Ok(Engine::in_file(database, path).into_store(index))
    }

    /// Creates a store in memory. Its contents are lost with its last clone.
    ///
    /// # Errors
    ///
    /// Returns an error if the engine does not start.
    pub fn embedded_in_memory() -> Result<Self, SetupError> {
        let failed = |error| SetupError::new(format!("cannot start the embedded store: {error}"));
        let database = Database::memory().map_err(failed)?;
        let index = create_table(&database).map_err(failed)?;
        Ok(Engine::in_memory(database).into_store(index))
    }

    /// Creates a client of an engine in memory without tables, for tests that create their own
    /// and open them with [`new`](Self::new).
    ///
    /// # Errors
    ///
    /// Returns an error if the engine does not start.
    pub fn embedded_client() -> Result<Client, SetupError> {
        let failed = |error| SetupError::new(format!("cannot start the embedded store: {error}"));
        let database = Database::memory().map_err(failed)?;
        Ok(client(Engine::in_memory(database)))
    }
}

/// Creates the table, and returns the name of its index of the newest sessions, if it has one.
///
/// Not through `DynamoDbStore::create_table`, so that opening a store is not `async`.
fn create_table(database: &Database) -> Result<Option<&'static str>, DynoxideError> {
    let key = |name: &str, key_type| KeySchemaElement { attribute_name: name.to_owned(), key_type };
    let string = |name: &str| AttributeDefinition {
        attribute_name: name.to_owned(),
        attribute_type: ScalarAttributeType::S,
    };
    let session = key(schema::SESSION_ID, KeyType::HASH);
    let created = database.create_table(CreateTableRequest {
        table_name: TABLE.to_owned(),
        key_schema: vec![session],
        attribute_definitions: vec![
            string(schema::SESSION_ID),
            string(schema::CREATED_DAY),
            string(schema::CREATED_AT),
        ],
        global_secondary_indexes: Some(vec![GlobalSecondaryIndex {
            index_name: RECENT_INDEX.to_owned(),
            key_schema: vec![
                key(schema::CREATED_DAY, KeyType::HASH),
                key(schema::CREATED_AT, KeyType::RANGE),
            ],
            projection: Projection {
                projection_type: Some(ProjectionType::KEYS_ONLY),
                non_key_attributes: None,
            },
            provisioned_throughput: None,
        }]),
        billing_mode: Some("PAY_PER_REQUEST".to_owned()),
        ..CreateTableRequest::default()
    });
    match created {
        // It was created by an earlier run or by another process.
        Err(DynoxideError::ResourceInUseException(_)) => {
            return describe_table(database);
        }
        created => created?,
    };
    database.update_time_to_live(UpdateTimeToLiveRequest {
        table_name: TABLE.to_owned(),
        time_to_live_specification: TimeToLiveSpecification {
            attribute_name: schema::EXPIRES_AT.to_owned(),
            enabled: true,
        },
    })?;
    Ok(Some(RECENT_INDEX))
}

/// Checks the table, and returns the name of its index of the newest sessions, if it has one.
fn describe_table(database: &Database) -> Result<Option<&'static str>, DynoxideError> {
    let table = DescribeTableRequest { table_name: TABLE.to_owned() };
    let table = database.describe_table(table)?.table;
    let is_ours = |found: &KeySchemaElement| {
        found.attribute_name == schema::SESSION_ID && found.key_type == KeyType::HASH
    };
    if !matches!(&*table.key_schema, [found] if is_ours(found)) {
        let message = format!("the key of its table `{TABLE}` is not `sessionId`");
        return Err(DynoxideError::ValidationException(message));
    }
    let indexes = table.global_secondary_indexes.unwrap_or_default();
    let has_recent = indexes.iter().any(|index| index.index_name == RECENT_INDEX);
    Ok(has_recent.then_some(RECENT_INDEX))
}

/// The path for the engine. Names such as `:memory:` have no special meaning in an absolute one.
fn absolute(path: &Path) -> Result<String, Box<dyn std::error::Error>> {
    const HEAD: &[u8] = b"SQLite format 3\0";
    let absolute = std::path::absolute(path)?;
    let absolute = absolute.to_str().ok_or("the path is not Unicode")?;
    // The engine would take any other file for one that is encrypted.
    if let Ok(file) = std::fs::File::open(absolute) {
        let mut head = Vec::new();
        file.take(HEAD.len() as u64).read_to_end(&mut head)?;
        if !head.is_empty() && head != HEAD {
            return Err("the file is not a database".into());
        }
    }
    Ok(absolute.to_owned())
}

/// An absolute path as the path of a URI.
fn uri_path(path: &str) -> String {
    let path = path.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    match cfg!(windows) {
        true => format!("///{}", path.replace('\\', "/")),
        false => path,
    }
}

/// Whether writes wait in the log beside the file.
fn has_log(path: &str) -> bool {
    std::fs::metadata(format!("{path}-wal")).is_ok_and(|log| log.len() > 0)
}

fn client(engine: Engine) -> Client {
    let connector = SharedHttpConnector::new(engine);
    let config = Config::builder()
        .behavior_version(behavior_version())
        .http_client(http_client_fn(move |_, _| connector.clone()))
        // No network is involved: requests are not signed, retried or timed out.
        .allow_no_auth()
        // The cache needs a timer, which not every runtime has.
        .identity_cache(IdentityCache::no_cache())
        .region(Region::from_static("embedded"))
        .endpoint_url("http://embedded")
        // There is no connection to close after an error, which the SDK would log each time.
        .retry_config(
            RetryConfig::disabled().with_reconnect_mode(ReconnectMode::ReuseAllConnections),
        )
        .timeout_config(TimeoutConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build();
    Client::from_conf(config)
}

/// The engine as the connector of an SDK client.
#[derive(Clone)]
struct Engine {
    database: Database,
    /// Whether requests may block on a disk or on another process, so that they must not run
    /// on a thread of the runtime. In memory, a single request takes less time than passing it to
    /// another thread.
    blocks: bool,
    /// The requests for another thread: all of a store that blocks, and many writes of any.
    queue: Arc<Queue>,
    /// The file, for errors.
    file: Option<Arc<str>>,
}

impl Engine {
    fn in_file(database: Database, path: &Path) -> Self {
        let file = Some(path.display().to_string().into());
        Self { database, blocks: true, queue: Arc::default(), file }
    }

    fn in_memory(database: Database) -> Self {
        Self { database, blocks: false, queue: Arc::default(), file: None }
    }

    /// A store in the table of this engine.
    fn into_store(self, index: Option<&str>) -> DynamoDbStore {
        DynamoDbStore::embedded_in(Arc::new(self.clone()), client(self), TABLE, index)
    }

    /// Runs a request where it may take its time. Fails if it panics.
    async fn run<T: Send + 'static>(
        &self,
        request: impl FnOnce(&Database) -> Result<T, DynoxideError> + Send + 'static,
    ) -> Result<Result<T, DynoxideError>, Interrupted> {
        if self.blocks {
            return self.run_queued(request).await;
        }
        // Nothing below ever yields: without this, a loop of writes would monopolize its
        // thread.
        tokio::task::consume_budget().await;
        Ok(request(&self.database).map_err(|error| explained(error, None)))
    }

    /// Runs a request on another thread, after those that wait there.
    async fn run_queued<T: Send + 'static>(
        &self,
        request: impl FnOnce(&Database) -> Result<T, DynoxideError> + Send + 'static,
    ) -> Result<Result<T, DynoxideError>, Interrupted> {
        let database = self.database.clone();
        let result = self.queue.run(move || request(&database)).await?;
        Ok(result.map_err(|error| explained(error, self.file.as_deref())))
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("blocks", &self.blocks).finish_non_exhaustive()
    }
}

impl HttpConnector for Engine {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let engine = self.clone();
        HttpConnectorFuture::new(async move {
            let result = engine
                .run(move |database| execute(database, &request))
                .await
                .map_err(|error| ConnectorError::other(error.into(), None))?;
            let (status, body) = match result {
                Ok(body) => (200, body),
                Err(error) => (error.status_code(), error.to_json().into_bytes()),
            };
            let status =
                StatusCode::try_from(status).map_err(|error| ConnectorError::user(error.into()))?;
            Ok(HttpResponse::new(status, SdkBody::from(body)))
        })
    }
}

type Response = Result<Vec<u8>, DynoxideError>;

fn execute(database: &Database, request: &HttpRequest) -> Response {
    let target = request.headers().get("x-amz-target").unwrap_or_default();
    let operation = target.rsplit('.').next().unwrap_or_default();
    let body = request.body().bytes().unwrap_or_default();
    match operation {
        "BatchGetItem" => damage::batch_get_item(database, body),
        "CreateTable" => run(body, |request| database.create_table(request)),
        "DeleteItem" => damage::delete_item(database, body),
        "DeleteTable" => run(body, |request| database.delete_table(request)),
        "DescribeTable" => run(body, |request| database.describe_table(request)),
        "DescribeTimeToLive" => run(body, |request| database.describe_time_to_live(request)),
        "GetItem" => damage::get_item(database, body),
        "ListTables" => run(body, |request| database.list_tables(request)),
        "PutItem" => run(body, |request| database.put_item(request)),
        "Query" => run(body, |request| database.query(request)),
        "Scan" => damage::scan(database, body),
        "UpdateItem" => run(body, |request| database.update_item(request)),
        "UpdateTable" => run(body, |request| database.update_table(request)),
        "UpdateTimeToLive" => run(body, |request| database.update_time_to_live(request)),
        _ => Err(DynoxideError::UnsupportedCapability(operation.to_owned())),
    }
}

fn run<Q: DeserializeOwned, A: Serialize>(
    body: &[u8],
    operation: impl FnOnce(Q) -> Result<A, DynoxideError>,
) -> Response {
    let request = serde_json::from_slice(body).map_err(|error| {
        let text = error.to_string();
        // The prefix by which the engine marks an error of validation, not of syntax.
        match text.strip_prefix("VALIDATION:") {
            Some(text) => DynoxideError::ValidationException(text.to_owned()),
            None => DynoxideError::SerializationException(text),
        }
    })?;
    let response = operation(request)?;
    serde_json::to_vec(&response)
        .map_err(|error| DynoxideError::InternalServerError(error.to_string()))
}

/// The error with what is wrong with the file, and the remedy, where the engine's own says less.
fn explained(error: DynoxideError, file: Option<&str>) -> DynoxideError {
    let Some(file) = file else { return error };
    let text = error.to_string();
    if text.contains("database or disk is full") {
        let text = format!("the disk is full: make room for the embedded store `{file}`");
        return DynoxideError::InternalServerError(text);
    }
    if is_read_only(&error) {
        let text = format!("the embedded store `{file}` was opened read-only");
        return DynoxideError::ValidationException(text);
    }
    error
}

fn is_read_only(error: &DynoxideError) -> bool {
    error.to_string().contains("readonly database")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_an_error_with_the_file_and_the_remedy() {
        let full = DynoxideError::InternalServerError("backend: database or disk is full".into());
        let error = explained(full, Some("/data/status.db"));
        assert_eq!(error.status_code(), 500, "it may be retried");
        let expected = "the disk is full: make room for the embedded store `/data/status.db`";
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[test]
    fn the_sdk_looks_for_no_connection_to_close() {
        let client = DynamoDbStore::embedded_client().unwrap();
        let retries = client.config().retry_config().unwrap();
        assert_eq!(retries.reconnect_mode(), ReconnectMode::ReuseAllConnections);
    }
}
