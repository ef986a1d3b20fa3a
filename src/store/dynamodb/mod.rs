//! [`DynamoDbStore`]: status documents in a DynamoDB table.
//!
//! This file has the store's configuration and the cache of what discovery found. Every request
//! first waits for [`layout`](DynamoDbStore::layout), which is a load once the table has been
//! discovered.

mod backfill;
mod convert;
mod create;
mod describe;
mod discovery;
mod error;
mod expression;
mod fill;
mod index;
mod layout;
mod query;
mod read;
mod read_units;
mod recent;
mod remedy;
mod reshard;
mod search;
mod sent_attempts;
mod settings;
mod unindexed;
mod update;
mod update_item;
mod write;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use tokio::sync::Mutex;
use tokio::time::Instant;

use self::discovery::DiscoveryError;
use self::error::RequestContext;
use self::settings::Settings;
use self::unindexed::IndexCoverage;
use super::{StoreError, StoreErrorKind};
use crate::status::{Item, SessionId, schema};

pub use self::backfill::{BackfillCounts, BackfillPlan, BackfillReport};
pub use self::describe::{TableDescription, TimeToLive};
pub use self::error::SetupError;
use self::index::Indexes;
pub use self::index::{IndexStatus, RecentIndex, SearchIndex};
use self::layout::{AttributeNames, TableLayout, TableSettings};
pub use self::reshard::{ReshardAction, ReshardPlan, ReshardProgress};
#[cfg(feature = "embedded")]
pub(super) use self::{
    error::{RequestError, is_rejection},
    expression::UpdateExpression,
    index::RECENT_INDEX,
    settings::behavior_version,
    update::{Condition, ItemUpdate},
    update_item::{UpdateError, UpdateItem, UpdateRequest, Updated},
};

/// A store in a DynamoDB table, with one item for each session.
///
/// ```no_run
/// # async fn start() -> Result<(), Box<dyn std::error::Error>> {
/// use tower_agent_status::store::DynamoDbStore;
///
/// let store = DynamoDbStore::from_env().await?;
/// # Ok(())
/// # }
/// ```
///
/// Clones share the store.
///
/// # Table
///
/// The table needs a partition key of type S (string) and no sort key. When it is opened, the
/// store asks the table for the names of its key and its time-to-live attribute
/// (`DescribeTable` and `DescribeTimeToLive`):
///
/// - If the key is not `sessionId`, items hold the session id under `sessionId` as well.
/// - The expiry is written to the table's time-to-live attribute, or to `expiresAt` if it has
///   none.
/// - Items read through the store have `sessionId` and `expiresAt`, whatever the table calls
///   them.
/// - The newest sessions come from a global secondary index with the partition key
///   `createdDay` and the sort key `createdAt`, both of type S; its name and projection do not
///   matter. [`create_table`](Self::create_table) creates one that projects keys only, which
///   costs one write for each workflow and nothing at later writes. All workflows of a day are
///   one partition of the index, which takes 1,000 new ones a second. With
///   [`recent_shards`](Self::recent_shards) it has as many partitions a day, and their key is such
///   as `createdShard16`.
/// - [`search`](super::StatusReader::search) uses an index with the attribute and `createdAt` as
///   its keys, which [`search_attribute`](Self::search_attribute) creates. The table accepts only
///   strings of at most 2,048 bytes there: the store writes a number as text, cuts what is longer,
///   and leaves out what is empty.
///
/// The indexes are asked for again every five minutes, so they may change while services run.
///
/// If the table cannot be used, opening the store returns a [`SetupError`]. If it cannot be
/// reached, a warning is logged, and the table is asked again before the first request. If the
/// role lacks the permission to ask, [`partition_key`](Self::partition_key) and
/// [`ttl_attribute`](Self::ttl_attribute) apply, and a warning is logged.
///
/// # Permissions
///
/// | for | permissions |
/// | --- | --- |
/// | recording | `dynamodb:UpdateItem`, `dynamodb:GetItem` |
/// | reading sessions | `dynamodb:GetItem`, `dynamodb:BatchGetItem` |
/// | the newest sessions | `dynamodb:Query` on the index; `dynamodb:Scan` if the index has too few or is missing, and to notice sessions missing from it |
/// | ending, with the command | the same as recording; with `--stalled` also `dynamodb:BatchGetItem` and `dynamodb:Scan` |
/// | deleting | `dynamodb:DeleteItem` |
/// | [`backfill`](Self::backfill) | `dynamodb:Scan`, `dynamodb:UpdateItem`, `dynamodb:DescribeTable`, `dynamodb:DescribeTimeToLive` |
/// | [`reshard`](Self::reshard) | the same without `dynamodb:DescribeTimeToLive`, and `dynamodb:UpdateTable` |
/// | discovery, optional | `dynamodb:DescribeTable`, `dynamodb:DescribeTimeToLive` |
///
/// # Writing
///
/// A change is one conditional `UpdateItem`: it is applied as a whole, and only if the item
/// meets the precondition. A change that is too large for one request (an item of 400 KB, or
/// some 400 attributes at once) is a permanent error.
#[derive(Clone)]
pub struct DynamoDbStore(Arc<Inner>);

struct Inner {
    /// The client that the store was created from.
    client: Client,
    /// The same, for the store's own requests: a write can be [watched](sent_attempts::watch).
    requests: Client,
    /// The engine of an embedded store, which writes without a client.
    engine: Option<Arc<dyn update_item::UpdateItem>>,
    table: String,
    /// What to assume where the table cannot tell.
    settings: TableSettings,
    discovered: OnceLock<TableLayout>,
    /// When and how discovery last failed. Locked during discovery, so that one request at a
    /// time asks the table and the others share the result.
    last_failure: Mutex<Option<(Instant, DiscoveryError)>>,
    has_warned: AtomicBool,
    has_warned_of_index: AtomicBool,
    has_warned_of_scan: AtomicBool,
    has_warned_of_unindexed: AtomicBool,
    /// Whether the index has all sessions. Locked while the table is sampled.
    unindexed: Mutex<Option<IndexCoverage>>,
}

impl DynamoDbStore {
    /// How long a failed discovery is not repeated: `DescribeTable` has a low limit per account,
    /// and a recorder may have thousands of sessions to write.
    const DISCOVERY_BACKOFF: Duration = Duration::from_secs(1);

    /// How often the table is asked for its indexes again.
    pub(super) const INDEX_REFRESH: Duration = Duration::from_secs(5 * 60);

    /// Creates a store from a client and the name of a table.
    ///
    /// The table is discovered before the first request. Call [`discover`](Self::discover) to do
    /// so now: mistakes show while the service starts, and no agent can take a name that the
    /// table uses itself.
    ///
    /// The client keeps its own retries and timeouts. With the SDK's defaults a request has no
    /// timeout: set one.
    #[must_use]
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self::with(client, table.into(), TableSettings::default())
    }

    /// Creates a store from environment variables, and discovers its table.
    ///
    /// | variable | kind |
    /// | --- | --- |
    /// | `STATUS_TABLE_NAME` | The table's name or ARN. Required. |
    /// | `STATUS_TABLE_KEY` | The partition key, if the role may not describe the table; default `sessionId` |
    /// | `STATUS_TABLE_TTL` | The time-to-live attribute, if the table has none or the role may not describe it; default `expiresAt` |
    /// | `STATUS_TABLE_RECENT_SHARDS` | The shards of the index of the newest sessions, 1 to 256, if the role may not describe the table; default 1 |
    /// | `STATUS_TABLE_SEARCH` | The attributes that have an index, separated by commas, if the role may not describe the table |
    /// | `AWS_REGION`, `AWS_DEFAULT_REGION` | The region. Required here or in the profile; on EC2, defaults to the instance's. |
    /// | `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` | Credentials. Any value works with an emulator. |
    /// | `AWS_PROFILE`, `AWS_CONFIG_FILE`, `AWS_SHARED_CREDENTIALS_FILE` | The profile with region, credentials and endpoint, and the files with profiles |
    /// | `AWS_WEB_IDENTITY_TOKEN_FILE`, `AWS_ROLE_ARN`, `AWS_ROLE_SESSION_NAME` | Credentials from a web identity, as on EKS |
    /// | `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`, `AWS_CONTAINER_CREDENTIALS_FULL_URI`, `AWS_CONTAINER_AUTHORIZATION_TOKEN`, `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE` | Credentials of an ECS task or an EKS pod; set by the platform |
    /// | `AWS_EC2_METADATA_DISABLED` | `true`: do not query the instance metadata for region and credentials |
    /// | `AWS_ENDPOINT_URL_DYNAMODB`, else `AWS_ENDPOINT_URL` | Another endpoint, such as `http://localhost:8000` |
    /// | `AWS_IGNORE_CONFIGURED_ENDPOINT_URLS` | `true`: ignore those two |
    /// | `AWS_USE_FIPS_ENDPOINT`, `AWS_USE_DUALSTACK_ENDPOINT` | `true`: use the region's FIPS or dual-stack endpoint |
    /// | `HTTPS_PROXY` | The proxy for DynamoDB, such as `http://user:password@proxy:3128`: the SDK opens a tunnel through it (`CONNECT`), so it sees only the host. |
    /// | `HTTP_PROXY` | The proxy for `http` URLs: an endpoint such as `http://localhost:8000`, and **the sources of credentials** of instances and containers. These are local: set `NO_PROXY=localhost,169.254.169.254,169.254.170.2,169.254.170.23`. Ignored if `REQUEST_METHOD` is set, as in CGI. |
    /// | `ALL_PROXY` | The proxy where the other two are not set. |
    /// | `NO_PROXY` | Hosts without a proxy, separated by commas: names (with their subdomains), addresses, networks (`10.0.0.0/8`), or `*`. Each of these four also in lower case. |
    ///
    /// The store sets its own retries and timeouts, and does not share the SDK's retry quota
    /// with other clients of the process. A write fails after at most 10 s, and the recorder
    /// tries again.
    ///
    /// # Errors
    ///
    /// Returns an error if a setting is missing or invalid, such as a key that ends with a line
    /// break, if there are no credentials, or if the table does not exist or cannot hold sessions.
    /// If the table cannot be reached, a warning is logged instead.
    pub async fn from_env() -> Result<Self, SetupError> {
        let store = Self::from_env_without_discovery().await?;
        store.discover().await?;
        Ok(store)
    }

    /// Like [`from_env`](Self::from_env), without discovery: for a table that is yet to be
    /// [created](Self::create_table).
    ///
    /// # Errors
    ///
    /// Returns an error if a setting is missing or invalid.
    pub async fn from_env_without_discovery() -> Result<Self, SetupError> {
        let settings = Settings::read(|name| std::env::var(name))?;
        Ok(Self::with(settings::client().await?, settings.table, settings.assumed))
    }

    fn with(client: Client, table: String, settings: TableSettings) -> Self {
        Self::with_engine(client, None, table, settings)
    }

    fn with_engine(
        client: Client,
        engine: Option<Arc<dyn update_item::UpdateItem>>,
        table: String,
        settings: TableSettings,
    ) -> Self {
        Self(Arc::new(Inner {
            requests: sent_attempts::watchable(&client),
            engine,
            client,
            table,
            settings,
            discovered: OnceLock::new(),
            last_failure: Mutex::new(None),
            has_warned: AtomicBool::new(false),
            has_warned_of_index: AtomicBool::new(false),
            has_warned_of_scan: AtomicBool::new(false),
            has_warned_of_unindexed: AtomicBool::new(false),
            unindexed: Mutex::new(None),
        }))
    }

    /// Creates a store in an engine, whose table is known to use the document's own names.
    #[cfg(feature = "embedded")]
    pub(super) fn embedded_in(
        engine: Arc<dyn UpdateItem>,
        client: Client,
        table: &str,
        index: Option<&str>,
    ) -> Self {
        let settings = TableSettings::default();
        let store = Self::with_engine(client, Some(engine), table.to_owned(), settings);
        let recent = index.map(|name| RecentIndex {
            name: name.to_owned(),
            shards: 1,
            status: IndexStatus::Active,
        });
        let indexes = Indexes { recent: recent.into_iter().collect(), search: Vec::new() };
        store.0.discovered.get_or_init(|| TableLayout::new(AttributeNames::default(), indexes));
        store
    }

    /// Sets the partition key to assume if the role may not describe the table, and to
    /// [create](Self::create_table) a table with. Default: `sessionId`.
    #[must_use]
    pub fn partition_key(self, name: impl Into<String>) -> Self {
        self.with_settings(|settings| settings.names.key = name.into())
    }

    /// Sets the attribute for the expiry to use if the table has no time-to-live or the role may
    /// not describe it, and to [create](Self::create_table) a table with. Default: `expiresAt`.
    #[must_use]
    pub fn ttl_attribute(self, name: impl Into<String>) -> Self {
        self.with_settings(|settings| settings.names.ttl = name.into())
    }

    /// Sets over how many partitions the index of the newest sessions spreads those of a day, from
    /// 1 to 256, to [create](Self::create_table) a table with, and to assume if the role may not
    /// describe it. Default: 1.
    ///
    /// Each takes 1,000 new sessions a second. A list asks each of them, so more cost more to
    /// read. [`reshard`](Self::reshard) changes the number of an existing table.
    #[must_use]
    pub fn recent_shards(self, shards: u16) -> Self {
        self.with_settings(|settings| settings.recent_shards = shards)
    }

    /// Adds an attribute that [`search`](super::StatusReader::search) can look up, to
    /// [create](Self::create_table) a table with, and to assume if the role may not describe it.
    ///
    /// It adds one write unit to the first write of each session that has the attribute, and to a
    /// write that changes it. One value is one partition of the index: choose an attribute with
    /// many values, such as `documentId`. At most 19.
    #[must_use]
    pub fn search_attribute(self, name: impl Into<String>) -> Self {
        self.with_settings(|settings| settings.search.push(name.into()))
    }

    fn with_settings(self, change: impl FnOnce(&mut TableSettings)) -> Self {
        let Inner { client, engine, table, settings, .. } = &*self.0;
        let mut settings = settings.clone();
        change(&mut settings);
        Self::with_engine(client.clone(), engine.clone(), table.clone(), settings)
    }

    /// Asks the table for the names of its key and its time-to-live attribute, unless they are
    /// known already. Takes at most five seconds.
    ///
    /// If the table cannot be reached or is throttled, this logs a warning and returns `Ok`; the
    /// table is asked again before the first request.
    ///
    /// # Errors
    ///
    /// Returns an error if the table does not exist or has the wrong kind of key, or if there
    /// are no credentials.
    pub async fn discover(&self) -> Result<(), SetupError> {
        match self.discovery().await {
            Ok(_) | Err(DiscoveryError::Unavailable(..)) => Ok(()),
            Err(DiscoveryError::Unusable(error)) => Err(error),
        }
    }

    /// Creates the table, with on-demand capacity, time-to-live, an index of the newest sessions and
    /// those of [attributes](Self::search_attribute), and waits until it is active, for at most a minute.
    ///
    /// An existing table is left as it is, including its time-to-live and indexes. If the
    /// endpoint does not support time-to-live, the table is created without.
    ///
    /// # Errors
    ///
    /// Returns an error if the table was not created, or if it exists and cannot hold sessions.
    pub async fn create_table(&self) -> Result<(), SetupError> {
        let Inner { requests, table, settings, .. } = &*self.0;
        settings.check()?;
        create::create(requests, table, settings).await?;
        // Discovery may have failed because the table did not exist.
        *self.0.last_failure.lock().await = None;
        self.discover().await
    }

    /// Returns the name of the table.
    #[must_use]
    pub fn table_name(&self) -> &str {
        &self.0.table
    }

    /// Returns the client of this store.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.0.client
    }

    /// The client for the store's own requests.
    fn requests(&self) -> &Client {
        &self.0.requests
    }

    /// What discovery has found, which is asked for now unless it is known.
    async fn discovery(&self) -> Result<&TableLayout, DiscoveryError> {
        let Inner { requests, table, settings, discovered, last_failure, has_warned, .. } =
            &*self.0;
        if let Some(layout) = discovered.get() {
            return Ok(layout);
        }
        let started = Instant::now();
        let mut last_failure = last_failure.lock().await;
        // Another request may have discovered the table, or failed to, in the meantime.
        if let Some(layout) = discovered.get() {
            return Ok(layout);
        }
        if let Some((at, error)) = &*last_failure
            && *at + Self::DISCOVERY_BACKOFF > started
        {
            return Err(error.clone());
        }
        let error = match settings.check() {
            Ok(()) => match discovery::discover(requests, table, settings).await {
                Ok(layout) => return Ok(discovered.get_or_init(|| layout)),
                Err(error) => error,
            },
            Err(error) => DiscoveryError::Unusable(error),
        };
        if let DiscoveryError::Unavailable(_, message) = &error
            && !has_warned.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(table, "{message}; it will be asked again before the first request");
        }
        *last_failure = Some((Instant::now(), error.clone()));
        Err(error)
    }

    async fn layout(&self) -> Result<&TableLayout, StoreError> {
        self.discovery().await.map_err(|error| match error {
            DiscoveryError::Unusable(error) => StoreError::new(StoreErrorKind::Permanent, error),
            DiscoveryError::Unavailable(kind, message) => StoreError::new(kind, message),
        })
    }

    /// The indexes of the table, as of some minutes ago at most.
    async fn indexes(&self, layout: &TableLayout) -> Arc<Indexes> {
        if layout.take_turn(Self::INDEX_REFRESH) {
            self.refresh_indexes(layout).await
        } else {
            layout.indexes()
        }
    }

    /// The indexes that the table has now, or the known ones if it cannot tell.
    async fn refresh_indexes(&self, layout: &TableLayout) -> Arc<Indexes> {
        match discovery::indexes(self.requests(), self.table_name(), &layout.names).await {
            Ok(indexes) => layout.set_indexes(indexes),
            Err(error) => {
                tracing::debug!(
                    table = self.table_name(),
                    error = %error.message,
                    "cannot ask the table for its indexes again"
                );
                layout.indexes()
            }
        }
    }

    async fn names(&self) -> Result<&AttributeNames, StoreError> {
        Ok(&self.layout().await?.names)
    }

    /// The discovered names, or those of the settings before discovery.
    fn current_names(&self) -> &AttributeNames {
        let Inner { settings, discovered, .. } = &*self.0;
        discovered.get().map_or(&settings.names, |layout| &layout.names)
    }

    fn request<'a>(
        &'a self,
        operation: &'static str,
        permission: &'static str,
        names: &'a AttributeNames,
    ) -> RequestContext<'a> {
        RequestContext { operation, permission, table: &self.0.table, key: &names.key }
    }
}

impl fmt::Debug for DynamoDbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { table, discovered, .. } = &*self.0;
        f.debug_struct("DynamoDbStore")
            .field("table", table)
            .field("names", self.current_names())
            .field("is_discovered", &discovered.get().is_some())
            .finish_non_exhaustive()
    }
}

/// The session id of an item.
fn session_id(item: &Item) -> Option<SessionId> {
    SessionId::from_key(item.get(schema::SESSION_ID)?.as_str()?).ok()
}
