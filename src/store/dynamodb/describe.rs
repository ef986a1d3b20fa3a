//! [`TableReport`]: what a table is like, for those who look after it.

use aws_sdk_dynamodb::operation::describe_time_to_live::DescribeTimeToLiveOutput;
use aws_sdk_dynamodb::types::{
    BillingMode, GlobalSecondaryIndexDescription, IndexStatus, KeyType, TableDescription,
    TableStatus, TimeToLiveStatus,
};

use super::DynamoDbStore;
use super::error::{Fault, Meaning, SetupError};
use super::table::{self, Unknown};
use crate::status::schema;

/// What a table is like, as far as it matters to the items. By
/// [`DynamoDbStore::describe_table`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableReport {
    /// The partition key, which holds the session id.
    pub partition_key: String,
    /// Whether requests are paid for one by one; otherwise the table has a capacity that
    /// was set beforehand, and throttles what exceeds it.
    pub is_on_demand: bool,
    /// The attribute under which items say when they expire: that of the table's time to
    /// live, or else the one set.
    pub ttl_attribute: String,
    /// Whether items expire.
    pub time_to_live: TimeToLive,
    /// The index by which the newest sessions are found.
    pub recent_index: RecentIndex,
    /// The state of the table, if it is not active: such as `UPDATING`.
    pub transition: Option<String>,
}

/// Whether a table's items expire.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimeToLive {
    /// By this attribute.
    On(String),
    /// They do not.
    Off,
    /// The role may not ask, or the endpoint knows no time to live: what was answered.
    Unknown(String),
}

/// Whether a table has an index of the newest sessions: one with the partition key
/// `createdDay` and the sort key `createdAt`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecentIndex {
    /// It is there, under this name.
    Ready(String),
    /// It is being made, or being deleted.
    InTransition(String),
    /// There is none.
    Missing,
}

impl DynamoDbStore {
    /// Asks the table what it is like, each time anew.
    ///
    /// It takes `dynamodb:DescribeTable`, and `dynamodb:DescribeTimeToLive` to tell about
    /// the time to live.
    ///
    /// # Errors
    ///
    /// If the table cannot be used, or cannot be asked.
    pub async fn describe_table(&self) -> Result<TableReport, SetupError> {
        let (client, table) = (self.client(), self.table());
        let described = client.describe_table().table_name(table).send().await;
        let described = described.map_err(|error| {
            let Fault { meaning, text } = Fault::of(&error);
            match meaning {
                Meaning::Denied => SetupError::denied(format!(
                    "cannot ask DynamoDB table `{table}` what it is like: {text}; allow \
                     `dynamodb:DescribeTable` on the table"
                )),
                _ => match table::no_description(client, table, Fault { meaning, text }) {
                    Unknown::Unusable(error) => error,
                    Unknown::Unanswered(_, why) => SetupError::new(why),
                },
            }
        })?;
        let described = described.table().ok_or_else(|| {
            SetupError::new(format!("DynamoDB described table `{table}` with an empty answer"))
        })?;
        let partition_key = table::usable_key(client, table, described)?;
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
            TimeToLive::Off | TimeToLive::Unknown(_) => self.0.settings.expiry.clone(),
        };
        Ok(TableReport {
            partition_key,
            is_on_demand,
            ttl_attribute,
            time_to_live,
            recent_index: recent_index(described),
            transition,
        })
    }

    async fn time_to_live(&self) -> TimeToLive {
        match self.client().describe_time_to_live().table_name(self.table()).send().await {
            Ok(answer) => expiry_of(&answer).map_or(TimeToLive::Off, TimeToLive::On),
            Err(error) => TimeToLive::Unknown(Fault::of(&error).text.to_string()),
        }
    }
}

/// The index of the newest sessions: known by its keys, whatever its name is.
pub(super) fn recent_index(described: &TableDescription) -> RecentIndex {
    let has_keys = |index: &&GlobalSecondaryIndexDescription| {
        matches!(index.key_schema(), [day, time]
            if *day.key_type() == KeyType::Hash && day.attribute_name() == schema::CREATED_DAY
            && *time.key_type() == KeyType::Range && time.attribute_name() == schema::CREATED_AT)
    };
    let is_ready = |index: &&GlobalSecondaryIndexDescription| {
        !matches!(index.index_status(), Some(IndexStatus::Creating | IndexStatus::Deleting))
    };
    let ours = || described.global_secondary_indexes().iter().filter(has_keys);
    let name = |index: &GlobalSecondaryIndexDescription| index.index_name().map(str::to_owned);
    match (ours().find(is_ready).and_then(name), ours().next().and_then(name)) {
        (Some(ready), _) => RecentIndex::Ready(ready),
        (None, Some(other)) => RecentIndex::InTransition(other),
        (None, None) => RecentIndex::Missing,
    }
}

impl RecentIndex {
    /// The index, if it can be asked.
    pub(super) fn ready(self) -> Option<String> {
        match self {
            Self::Ready(name) => Some(name),
            Self::InTransition(_) | Self::Missing => None,
        }
    }
}

/// The attribute by which items expire.
pub(super) fn expiry_of(answer: &DescribeTimeToLiveOutput) -> Option<String> {
    use TimeToLiveStatus::{Enabled, Enabling};
    let ttl = answer.time_to_live_description()?;
    let is_on = matches!(ttl.time_to_live_status(), Some(Enabled | Enabling));
    is_on.then(|| ttl.attribute_name())?.map(str::to_owned)
}
