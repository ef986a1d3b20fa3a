//! [`TableLayout`]: where a table has the session id, the expiry and the newest sessions.

use aws_sdk_dynamodb::operation::describe_time_to_live::DescribeTimeToLiveOutput;
use aws_sdk_dynamodb::types::{
    GlobalSecondaryIndexDescription, IndexStatus, KeyType, TableDescription, TimeToLiveStatus,
};

use crate::status::schema;

/// The names of the two attributes that the table decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AttributeNames {
    /// The partition key, which holds the session id.
    pub(super) key: String,
    /// The time-to-live attribute, which holds the expiry.
    pub(super) ttl: String,
}

impl Default for AttributeNames {
    fn default() -> Self {
        Self { key: schema::SESSION_ID.to_owned(), ttl: schema::EXPIRES_AT.to_owned() }
    }
}

impl AttributeNames {
    /// Whether the table uses the attribute of this name itself, for something else than the
    /// document would.
    pub(super) fn is_reserved(&self, name: &str) -> bool {
        (name == self.key && name != schema::SESSION_ID)
            || (name == self.ttl && name != schema::EXPIRES_AT)
    }
}

/// What discovery has found out about a table.
#[derive(Clone, Debug)]
pub(super) struct TableLayout {
    pub(super) names: AttributeNames,
    /// The name of the index of the newest sessions.
    pub(super) recent_index: Option<String>,
}

/// Whether a table has an index of the newest sessions, with the partition key `createdDay`
/// and the sort key `createdAt`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecentIndex {
    /// It can be queried, and has this name.
    Ready(String),
    /// It is being created or deleted, and has this name.
    InTransition(String),
    /// There is no such index.
    Missing,
}

/// Finds the index of the newest sessions by its keys, whatever its name.
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
    /// The name of the index, if it can be queried.
    pub(super) fn ready(self) -> Option<String> {
        match self {
            Self::Ready(name) => Some(name),
            Self::InTransition(_) | Self::Missing => None,
        }
    }
}

/// The time-to-live attribute, if time-to-live is enabled.
pub(super) fn enabled_ttl(output: &DescribeTimeToLiveOutput) -> Option<String> {
    use TimeToLiveStatus::{Enabled, Enabling};
    let ttl = output.time_to_live_description()?;
    let is_on = matches!(ttl.time_to_live_status(), Some(Enabled | Enabling));
    is_on.then(|| ttl.attribute_name())?.map(str::to_owned)
}
