//! [`TableDescription`]: the properties of a table, for its operators.

use aws_sdk_dynamodb::types::{BillingMode, TableStatus};

use super::DynamoDbStore;
use super::discovery::{self, DiscoveryError};
use super::error::{RequestError, RequestErrorKind, SetupError};
use super::index::{Indexes, RecentIndex, SearchIndex};
use super::layout::enabled_ttl;

/// The properties of a table that matter to status items. Returned by
/// [`DynamoDbStore::describe_table`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableDescription {
    /// The partition key, which holds the session id.
    pub partition_key: String,
    /// Whether the table has on-demand capacity. Otherwise its capacity is provisioned, and
    /// requests beyond it are throttled.
    pub is_on_demand: bool,
    /// The attribute that holds the expiry: the table's time-to-live attribute, or else the
    /// one set on the store.
    pub ttl_attribute: String,
    /// Whether items expire.
    pub time_to_live: TimeToLive,
    /// The indexes of the newest sessions. The first lists them; a second one is there while it
    /// takes the place of the first.
    pub recent_indexes: Vec<RecentIndex>,
    /// The indexes of attributes.
    pub search_indexes: Vec<SearchIndex>,
    /// How many items the table has, as of up to six hours ago.
    pub item_count: u64,
    /// How many bytes they take together, as of up to six hours ago.
    pub table_size_bytes: u64,
    /// The status of the table if it is not active, such as `UPDATING`.
    pub transition: Option<String>,
}

/// Whether the items of a table expire.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimeToLive {
    /// They expire by this attribute.
    On(String),
    /// They do not expire.
    Off,
    /// Unknown: the role lacks the permission, or the endpoint has no time-to-live. Holds the
    /// error message, with the remedy if there is one.
    Unknown(String),
}

impl DynamoDbStore {
    /// Describes the table. Each call sends the requests anew.
    ///
    /// Requires `dynamodb:DescribeTable`, and `dynamodb:DescribeTimeToLive` for
    /// [`time_to_live`](TableDescription::time_to_live).
    ///
    /// # Errors
    ///
    /// Returns an error if the table cannot be used or cannot be described.
    pub async fn describe_table(&self) -> Result<TableDescription, SetupError> {
        let (client, table) = (self.requests(), self.table_name());
        let described = client.describe_table().table_name(table).send().await;
        let described = described.map_err(|error| {
            let RequestError { kind, message } = RequestError::from_sdk(&error);
            match kind {
                RequestErrorKind::AccessDenied => SetupError::denied(format!(
                    "cannot describe DynamoDB table `{table}`: {message}; allow \
                     `dynamodb:DescribeTable` on the table"
                )),
                _ => {
                    match discovery::describe_failed(client, table, RequestError { kind, message })
                    {
                        DiscoveryError::Unusable(error) => error,
                        DiscoveryError::Unavailable(_, why) => SetupError::new(why),
                    }
                }
            }
        })?;
        let described = described.table().ok_or_else(|| {
            SetupError::new(format!("DynamoDB returned no description of table `{table}`"))
        })?;
        let partition_key = discovery::usable_key(client, table, described)?;
        let is_on_demand = described
            .billing_mode_summary()
            .is_some_and(|billing| billing.billing_mode() == Some(&BillingMode::PayPerRequest));
        let transition = match described.table_status() {
            None | Some(TableStatus::Active) => None,
            Some(status) => Some(status.as_str().to_owned()),
        };
        let time_to_live = self.time_to_live().await;
        let ttl_attribute = match &time_to_live {
            TimeToLive::On(name) => name.clone(),
            TimeToLive::Off | TimeToLive::Unknown(_) => self.0.settings.names.ttl.clone(),
        };
        let Indexes { recent, search } = Indexes::of(described, &[&partition_key, &ttl_attribute]);
        let count = |count: Option<i64>| count.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        Ok(TableDescription {
            partition_key,
            is_on_demand,
            ttl_attribute,
            time_to_live,
            recent_indexes: recent,
            search_indexes: search,
            item_count: count(described.item_count()),
            table_size_bytes: count(described.table_size_bytes()),
            transition,
        })
    }

    async fn time_to_live(&self) -> TimeToLive {
        match self.requests().describe_time_to_live().table_name(self.table_name()).send().await {
            Ok(output) => enabled_ttl(&output).map_or(TimeToLive::Off, TimeToLive::On),
            Err(error) => {
                let RequestError { kind, message } = RequestError::from_sdk(&error);
                TimeToLive::Unknown(match kind {
                    RequestErrorKind::AccessDenied => {
                        format!("{message}; allow `dynamodb:DescribeTimeToLive` on the table")
                    }
                    _ => message.to_string(),
                })
            }
        }
    }
}
