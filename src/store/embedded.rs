//! A DynamoDB engine inside the process, behind the SDK's own client.
//!
//! The client's connector hands each request to the engine instead of to a socket, so
//! that the store is the same one and every expression it sends is executed by an engine.
//! This is the only file that knows which engine that is.

use std::fmt;
use std::path::Path;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
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

use super::dynamodb::{RECENT_INDEX, behavior};
use super::{DynamoDbStore, SetupError};
use crate::status::schema;

/// The table of an embedded store.
const TABLE: &str = "agent-status";

/// Embedded stores: a DynamoDB engine inside the process, with no account, no network and
/// no settings.
impl DynamoDbStore {
    /// A store in one file, which is created if it is missing, as is the table in it.
    ///
    /// Several processes on one machine may use the file at the same time. What was
    /// written survives the end of the process, and a crash of the machine but for the
    /// last moments. Items that have expired are deleted when the file is opened. The
    /// store has to be used within a Tokio runtime, on whose blocking threads it works.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened or is not such a store.
    pub fn embedded(path: impl AsRef<Path>) -> Result<Self, SetupError> {
        let path = path.as_ref();
        let cannot = |why: &dyn fmt::Display| {
            let path = path.display();
            SetupError::new(format!(
                "cannot open the embedded store `{path}`: {why}; give the path of a file in a \
                 directory that exists and can be written to"
            ))
        };
        // As an absolute path no name has a meaning of its own, as `:memory:` has.
        let absolute = std::path::absolute(path).map_err(|error| cannot(&error))?;
        let absolute = absolute.to_str().ok_or_else(|| cannot(&"the path is not Unicode"))?;
        let database = Database::new(absolute).map_err(|error| cannot(&error))?;
        // The engine's setting after bulk loading has ended is also the one for a file
        // that a few processes share: a commit waits for the log, not for the disk.
        database.disable_bulk_loading().map_err(|error| cannot(&error))?;
        let index = create_table(&database).map_err(|error| cannot(&error))?;
        // DynamoDB does this by itself, in its own time.
        database.sweep_ttl().map_err(|error| cannot(&error))?;
        Ok(Self::with_known_table(client(Engine { database, blocks: true }), TABLE, index))
    }

    /// A store in memory, gone with its last clone.
    ///
    /// # Errors
    ///
    /// If the engine does not start.
    pub fn embedded_in_memory() -> Result<Self, SetupError> {
        let cannot = |error| SetupError::new(format!("cannot start the embedded store: {error}"));
        let database = Database::memory().map_err(cannot)?;
        let index = create_table(&database).map_err(cannot)?;
        Ok(Self::with_known_table(client(Engine { database, blocks: false }), TABLE, index))
    }

    /// A client of an engine in memory that has no table yet: for tests that make tables
    /// of their own, and open them by [`new`](Self::new).
    ///
    /// # Errors
    ///
    /// If the engine does not start.
    pub fn embedded_client() -> Result<Client, SetupError> {
        let cannot = |error| SetupError::new(format!("cannot start the embedded store: {error}"));
        let database = Database::memory().map_err(cannot)?;
        Ok(client(Engine { database, blocks: false }))
    }
}

/// Made here and not by the store's own `create_table`, so that opening a store is
/// nothing to wait for. The index of the newest sessions, if the table has it.
fn create_table(database: &Database) -> Result<Option<&'static str>, DynoxideError> {
    let key = |name: &str, key_type| KeySchemaElement { attribute_name: name.to_owned(), key_type };
    let text = |name: &str| AttributeDefinition {
        attribute_name: name.to_owned(),
        attribute_type: ScalarAttributeType::S,
    };
    let session = key(schema::SESSION_ID, KeyType::HASH);
    let created = database.create_table(CreateTableRequest {
        table_name: TABLE.to_owned(),
        key_schema: vec![session.clone()],
        attribute_definitions: vec![
            text(schema::SESSION_ID),
            text(schema::CREATED_DAY),
            text(schema::CREATED_AT),
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
        // From an earlier run, or another process.
        Err(DynoxideError::ResourceInUseException(_)) => {
            let table = DescribeTableRequest { table_name: TABLE.to_owned() };
            let table = database.describe_table(table)?.table;
            let is_ours = |found: &KeySchemaElement| {
                found.attribute_name == session.attribute_name && found.key_type == session.key_type
            };
            if !matches!(&*table.key_schema, [found] if is_ours(found)) {
                let text = format!("its table `{TABLE}` has another key than `sessionId`");
                return Err(DynoxideError::ValidationException(text));
            }
            let indexes = table.global_secondary_indexes.unwrap_or_default();
            let has_recent = indexes.iter().any(|index| index.index_name == RECENT_INDEX);
            return Ok(has_recent.then_some(RECENT_INDEX));
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

fn client(engine: Engine) -> Client {
    let connector = SharedHttpConnector::new(engine);
    let config = Config::builder()
        .behavior_version(behavior())
        .http_client(http_client_fn(move |_, _| connector.clone()))
        // Nobody is on the other side: no request is signed, none is lost on the way.
        .allow_no_auth()
        // Waits for credentials with a timer, which not every runtime has.
        .identity_cache(IdentityCache::no_cache())
        .region(Region::from_static("embedded"))
        .endpoint_url("http://embedded")
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build();
    Client::from_conf(config)
}

/// The engine, as what carries the SDK's requests.
#[derive(Clone)]
struct Engine {
    database: Database,
    /// Whether a request may wait for a disk or for another process, so that it must not
    /// be executed on a thread of the runtime. In memory one takes less than handing it
    /// over would.
    blocks: bool,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("blocks", &self.blocks).finish_non_exhaustive()
    }
}

impl HttpConnector for Engine {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Self { database, blocks } = self.clone();
        HttpConnectorFuture::new(async move {
            let answer = if blocks {
                tokio::task::spawn_blocking(move || execute(&database, &request))
                    .await
                    .map_err(|error| ConnectorError::other(error.into(), None))?
            } else {
                // Nothing below ever waits: without this a loop of writes would keep its
                // thread to itself.
                tokio::task::consume_budget().await;
                execute(&database, &request)
            };
            let (status, body) = match answer {
                Ok(body) => (200, body),
                Err(error) => (error.status_code(), error.to_json().into_bytes()),
            };
            let status =
                StatusCode::try_from(status).map_err(|error| ConnectorError::user(error.into()))?;
            Ok(HttpResponse::new(status, SdkBody::from(body)))
        })
    }
}

type Answer = Result<Vec<u8>, DynoxideError>;

fn execute(database: &Database, request: &HttpRequest) -> Answer {
    let target = request.headers().get("x-amz-target").unwrap_or_default();
    let operation = target.rsplit('.').next().unwrap_or_default();
    let body = request.body().bytes().unwrap_or_default();
    match operation {
        "BatchGetItem" => run(body, |request| database.batch_get_item(request)),
        "CreateTable" => run(body, |request| database.create_table(request)),
        "DeleteItem" => run(body, |request| database.delete_item(request)),
        "DeleteTable" => run(body, |request| database.delete_table(request)),
        "DescribeTable" => run(body, |request| database.describe_table(request)),
        "DescribeTimeToLive" => run(body, |request| database.describe_time_to_live(request)),
        "GetItem" => run(body, |request| database.get_item(request)),
        "ListTables" => run(body, |request| database.list_tables(request)),
        "PutItem" => run(body, |request| database.put_item(request)),
        "Query" => run(body, |request| database.query(request)),
        "Scan" => run(body, |request| database.scan(request)),
        "UpdateItem" => run(body, |request| database.update_item(request)),
        "UpdateTable" => run(body, |request| database.update_table(request)),
        "UpdateTimeToLive" => run(body, |request| database.update_time_to_live(request)),
        _ => Err(DynoxideError::UnsupportedCapability(operation.to_owned())),
    }
}

fn run<Q: DeserializeOwned, A: Serialize>(
    body: &[u8],
    operation: impl FnOnce(Q) -> Result<A, DynoxideError>,
) -> Answer {
    let request = serde_json::from_slice(body).map_err(|error| {
        let text = error.to_string();
        // How the engine's own types say that it is not the JSON that is at fault.
        match text.strip_prefix("VALIDATION:") {
            Some(text) => DynoxideError::ValidationException(text.to_owned()),
            None => DynoxideError::SerializationException(text),
        }
    })?;
    let answer = operation(request)?;
    serde_json::to_vec(&answer)
        .map_err(|error| DynoxideError::InternalServerError(error.to_string()))
}
