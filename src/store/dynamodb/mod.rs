//! [`DynamoDbStore`]: documents in a DynamoDB table.

mod attempts;
mod convert;
mod describe;
mod error;
mod expression;
mod read;
mod recent;
mod settings;
mod table;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use tokio::sync::Mutex;
use tokio::time::Instant;

use self::attempts::Attempts;
use self::error::{Fault, Request};
use self::expression::{Reserved, Update};
use self::settings::Settings;
use self::table::{Known, Names, Unknown};
use super::{StatusStore, StoreError, StoreErrorKind, WriteOutcome};
use crate::status::{Change, Item, Precondition, SessionId, schema};

pub use self::describe::{RecentIndex, TableReport, TimeToLive};
pub use self::error::SetupError;
#[cfg(feature = "embedded")]
pub(super) use self::{settings::behavior, table::RECENT_INDEX};

/// Documents in a DynamoDB table, one item for each session.
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
/// A clone is the same store.
///
/// # The table
///
/// The table needs a partition key of type S (string) and no sort key. What that key is
/// called, and which attribute holds the expiry, the store finds out by asking the table
/// (`DescribeTable` and `DescribeTimeToLive`) when it is opened:
///
/// - Where the key is not called `sessionId`, each item holds the id as `sessionId` too.
/// - The expiry is written under the table's own time-to-live attribute only; under
///   `expiresAt` if the table has none.
/// - An item that is read has `sessionId` and `expiresAt`, whatever the table calls them.
/// - A global secondary index with the partition key `createdDay` and the sort key
///   `createdAt`, both of type S, whatever it is called and projects, is used to find the
///   newest sessions. [`create_table`](Self::create_table) makes one, of keys alone: it
///   costs one write for each workflow, and no more at later writes. All workflows of a
///   day are one partition of it, which takes 1,000 new ones a second.
///
/// A definite answer that the table cannot be used is a [`SetupError`]. A table that cannot
/// be reached is not: it is a warning, and the table is asked again before the first
/// request. A role that may not ask goes by [`partition_key`](Self::partition_key) and
/// [`ttl_attribute`](Self::ttl_attribute), with a warning.
///
/// # Permissions
///
/// Recording takes `dynamodb:UpdateItem` and `dynamodb:GetItem`, reading takes
/// `dynamodb:GetItem` and `dynamodb:BatchGetItem`, the newest sessions `dynamodb:Query` on
/// the index, and `dynamodb:Scan` where that has too few or is missing, deleting takes
/// `dynamodb:DeleteItem`; `dynamodb:DescribeTable` and `dynamodb:DescribeTimeToLive` are
/// of use to all of them.
///
/// # Writing
///
/// A change is one conditional `UpdateItem`: it is applied as a whole, and only if the
/// item is as expected. A change that is too large for one request (an item of 400 KB, or
/// some 400 attributes at once) is a permanent error.
#[derive(Clone)]
pub struct DynamoDbStore(Arc<Shared>);

struct Shared {
    client: Client,
    table: String,
    /// What to go by where the table does not tell.
    settings: Names,
    found: OnceLock<Known>,
    /// The last time the table did not tell. Held while it is asked, so that it is asked
    /// by one at a time and the others take the answer.
    last_unknown: Mutex<Option<(Instant, Unknown)>>,
    has_warned: AtomicBool,
    has_warned_of_index: AtomicBool,
}

impl DynamoDbStore {
    /// How long a table that gave no usable answer is left alone: `DescribeTable` has a
    /// low limit per account, and a recorder may have thousands of sessions to write.
    const PAUSE: Duration = Duration::from_secs(1);

    /// A store by a client and the name of its table, which is asked before the first
    /// request, or at once by [`discover`](Self::discover). Ask at once where you can: a
    /// mistake is told while the service starts, and no agent can take a name that the
    /// table uses itself.
    ///
    /// The client is used as it is, with its own retries and time limits. One made by the
    /// SDK's defaults has no limit for the time of a request: set one.
    #[must_use]
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self::with(client, table.into(), Names::default())
    }

    /// A store by the settings of the environment, whose table was asked.
    ///
    /// | variable | meaning |
    /// | --- | --- |
    /// | `STATUS_TABLE_NAME` | The table's name or ARN. Required. |
    /// | `STATUS_TABLE_KEY` | The partition key, where the role may not ask the table: `sessionId` |
    /// | `STATUS_TABLE_TTL` | The time-to-live attribute, where the table has none or may not be asked: `expiresAt` |
    /// | `AWS_REGION`, `AWS_DEFAULT_REGION` | The region. Required, here or in the profile; on EC2 that of the instance. |
    /// | `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` | Credentials. Any value will do for an emulator. |
    /// | `AWS_PROFILE`, `AWS_CONFIG_FILE`, `AWS_SHARED_CREDENTIALS_FILE` | The profile to take region, credentials and endpoint from, and where profiles are |
    /// | `AWS_WEB_IDENTITY_TOKEN_FILE`, `AWS_ROLE_ARN`, `AWS_ROLE_SESSION_NAME` | Credentials by a web identity, as on EKS |
    /// | `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`, `AWS_CONTAINER_CREDENTIALS_FULL_URI`, `AWS_CONTAINER_AUTHORIZATION_TOKEN`, `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE` | Credentials of an ECS task or an EKS pod; set by the platform |
    /// | `AWS_EC2_METADATA_DISABLED` | `true`: do not ask the instance for region and credentials |
    /// | `AWS_ENDPOINT_URL_DYNAMODB`, else `AWS_ENDPOINT_URL` | Another endpoint, such as `http://localhost:8000` |
    /// | `AWS_IGNORE_CONFIGURED_ENDPOINT_URLS` | `true`: do not use those two |
    /// | `AWS_USE_FIPS_ENDPOINT`, `AWS_USE_DUALSTACK_ENDPOINT` | `true`: the region's FIPS or IPv6 endpoint |
    ///
    /// Retries and time limits are the store's own, as is its allowance of retries, which
    /// it does not share with other clients of the process: a write that is not answered
    /// is given up after 10 s at most, to be tried again by the recorder.
    ///
    /// # Errors
    ///
    /// If a setting is missing or cannot be what it is meant to be, or there are no
    /// credentials, or the table is missing or cannot hold sessions. That the table could
    /// not be asked is a warning.
    pub async fn from_env() -> Result<Self, SetupError> {
        let store = Self::from_env_without_discovery().await?;
        store.discover().await?;
        Ok(store)
    }

    /// As [`from_env`](Self::from_env), without asking the table: for a table that is yet
    /// to be [created](Self::create_table).
    ///
    /// # Errors
    ///
    /// If a setting is missing or cannot be what it is meant to be.
    pub async fn from_env_without_discovery() -> Result<Self, SetupError> {
        let settings = Settings::read(|name| std::env::var(name))?;
        Ok(Self::with(settings::client().await?, settings.table, settings.names))
    }

    fn with(client: Client, table: String, settings: Names) -> Self {
        Self(Arc::new(Shared {
            client,
            table,
            settings,
            found: OnceLock::new(),
            last_unknown: Mutex::new(None),
            has_warned: AtomicBool::new(false),
            has_warned_of_index: AtomicBool::new(false),
        }))
    }

    /// A store whose table is known to have the document's own names.
    #[cfg(feature = "embedded")]
    pub(super) fn with_known_table(client: Client, table: &str, index: Option<&str>) -> Self {
        let store = Self::new(client, table);
        store.0.found.get_or_init(|| Known {
            names: Names::default(),
            recent_index: index.map(str::to_owned),
        });
        store
    }

    /// The partition key to go by where the table may not be asked, and to
    /// [create](Self::create_table) a table with; `sessionId` if not set.
    #[must_use]
    pub fn partition_key(self, name: impl Into<String>) -> Self {
        let Shared { client, table, settings, .. } = &*self.0;
        let settings = Names { key: name.into(), ..settings.clone() };
        Self::with(client.clone(), table.clone(), settings)
    }

    /// The attribute for the expiry to go by where the table has no time-to-live or may
    /// not be asked, and to [create](Self::create_table) a table with; `expiresAt` if not
    /// set.
    #[must_use]
    pub fn ttl_attribute(self, name: impl Into<String>) -> Self {
        let Shared { client, table, settings, .. } = &*self.0;
        let settings = Names { expiry: name.into(), ..settings.clone() };
        Self::with(client.clone(), table.clone(), settings)
    }

    /// Asks the table for its key and its time-to-live, unless it is known. It takes five
    /// seconds at most.
    ///
    /// A table that cannot be reached, or is throttled, is a warning: it is asked again
    /// before the first request.
    ///
    /// # Errors
    ///
    /// If the table cannot be used: it is missing, or its key does not fit, or there are
    /// no credentials.
    pub async fn discover(&self) -> Result<(), SetupError> {
        match self.ask().await {
            Ok(_) | Err(Unknown::Unanswered(..)) => Ok(()),
            Err(Unknown::Unusable(error)) => Err(error),
        }
    }

    /// Creates the table, on demand, with its time-to-live and the index of the newest
    /// sessions, and waits until it can be used, a minute at most.
    ///
    /// A table that is there already is left as it is, its time-to-live and indexes too. An
    /// endpoint that knows no time-to-live gets a table without.
    ///
    /// # Errors
    ///
    /// If the table was not created, or is there and cannot hold sessions.
    pub async fn create_table(&self) -> Result<(), SetupError> {
        let Shared { client, table, settings, .. } = &*self.0;
        settings.check()?;
        table::create(client, table, settings).await?;
        // What was known before, that it is missing, is true no more.
        *self.0.last_unknown.lock().await = None;
        self.discover().await
    }

    /// The name of the table.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.0.table
    }

    /// The client this store sends its requests by.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.0.client
    }

    async fn ask(&self) -> Result<&Known, Unknown> {
        let Shared { client, table, settings, found, last_unknown, has_warned, .. } = &*self.0;
        if let Some(known) = found.get() {
            return Ok(known);
        }
        let since = Instant::now();
        let mut last_unknown = last_unknown.lock().await;
        if let Some(known) = found.get() {
            return Ok(known);
        }
        if let Some((at, unknown)) = &*last_unknown
            && *at + Self::PAUSE > since
        {
            return Err(unknown.clone());
        }
        let unknown = match settings.check() {
            Ok(()) => match table::discover(client, table, settings).await {
                Ok(known) => return Ok(found.get_or_init(|| known)),
                Err(unknown) => unknown,
            },
            Err(error) => Unknown::Unusable(error),
        };
        if let Unknown::Unanswered(_, why) = &unknown
            && !has_warned.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(table, "{why}; it will be asked again before the first request");
        }
        *last_unknown = Some((Instant::now(), unknown.clone()));
        Err(unknown)
    }

    async fn names(&self) -> Result<&Names, StoreError> {
        Ok(&self.known().await?.names)
    }

    async fn known(&self) -> Result<&Known, StoreError> {
        self.ask().await.map_err(|unknown| match unknown {
            Unknown::Unusable(error) => StoreError::new(StoreErrorKind::Permanent, error),
            Unknown::Unanswered(kind, why) => StoreError::new(kind, why),
        })
    }

    /// What the table told, or else what the settings say.
    fn newest_names(&self) -> &Names {
        let Shared { settings, found, .. } = &*self.0;
        found.get().map_or(settings, |known| &known.names)
    }

    fn request<'a>(
        &'a self,
        doing: &'static str,
        action: &'static str,
        names: &'a Names,
    ) -> Request<'a> {
        Request { doing, action, table: &self.0.table, key: &names.key }
    }
}

impl fmt::Debug for DynamoDbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { table, found, .. } = &*self.0;
        f.debug_struct("DynamoDbStore")
            .field("table", table)
            .field("names", self.newest_names())
            .field("is_discovered", &found.get().is_some())
            .finish_non_exhaustive()
    }
}

impl StatusStore for DynamoDbStore {
    async fn write(
        &self,
        change: &Change,
        expected: Precondition,
    ) -> Result<WriteOutcome, StoreError> {
        let names = self.names().await?;
        let Shared { client, table, .. } = &*self.0;
        let Update { update, condition, names: aliases, values } =
            Update::new(change, expected, names).map_err(|Reserved(name)| {
                let text = format!(
                    "cannot write attribute `{name}` to DynamoDB table `{table}`, which keeps its \
                     key or its expiry there: use another name"
                );
                StoreError::new(StoreErrorKind::Permanent, text)
            })?;
        let attempts = Attempts::default();
        let sent = client
            .update_item()
            .table_name(table)
            .key(&names.key, AttributeValue::S(change.session_id.to_string()))
            .set_update_expression(update)
            .condition_expression(condition)
            .set_expression_attribute_names(Some(aliases))
            .set_expression_attribute_values((!values.is_empty()).then_some(values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .customize()
            .interceptor(attempts.clone())
            .send()
            .await;
        let error = match sent.map_err(refused_condition) {
            Ok(_) => return Ok(WriteOutcome::Applied),
            Err(Ok(Some(item))) => {
                return Ok(WriteOutcome::Conflict(Some(convert::to_item(item, names))));
            }
            // No item: there is none, or the endpoint does not send it along.
            Err(Ok(None)) => match self.read_item(&change.session_id).await {
                Ok(item) => return Ok(WriteOutcome::Conflict(item)),
                Err(error) => error,
            },
            Err(Err(error)) => Fault::of(&error).into_store_error(self.request(
                "write to",
                "dynamodb:UpdateItem",
                names,
            )),
        };
        Err(if attempts.may_have_been_applied() { error.ambiguous() } else { error })
    }

    fn is_reserved(&self, attribute: &str) -> bool {
        self.newest_names().is_reserved(attribute)
    }
}

type Attributes = std::collections::HashMap<String, AttributeValue>;
type UpdateError = SdkError<UpdateItemError, HttpResponse>;

/// The item that did not meet the condition, if that is what the error says.
fn refused_condition(error: UpdateError) -> Result<Option<Attributes>, Box<UpdateError>> {
    match error {
        SdkError::ServiceError(refusal)
            if refusal.err().is_conditional_check_failed_exception() =>
        {
            match refusal.into_err() {
                UpdateItemError::ConditionalCheckFailedException(refused) => Ok(refused.item),
                _ => Ok(None),
            }
        }
        error => Err(Box::new(error)),
    }
}

/// The session an item is of.
fn session_id(item: &Item) -> Option<SessionId> {
    SessionId::from_key(item.get(schema::SESSION_ID)?.as_str()?).ok()
}
