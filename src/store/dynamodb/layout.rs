//! [`TableLayout`]: where a table has the session id and the expiry, and which indexes it has.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aws_sdk_dynamodb::operation::describe_time_to_live::DescribeTimeToLiveOutput;
use aws_sdk_dynamodb::types::TimeToLiveStatus;
use tokio::time::Instant;

use super::index::{IndexStatus, Indexes, RecentIndex, SearchIndex};
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

    /// The attribute of the table for an attribute of the document.
    pub(super) fn target_of<'a>(&'a self, name: &'a str) -> Result<Target<'a>, ReservedAttribute> {
        match name {
            schema::SESSION_ID if self.key == name => Ok(Target::Key),
            schema::EXPIRES_AT => Ok(Target::Attribute(&self.ttl)),
            _ if self.is_reserved(name) => Err(ReservedAttribute(name.to_owned())),
            _ => Ok(Target::Attribute(name)),
        }
    }
}

/// Where an attribute of the document goes.
pub(super) enum Target<'a> {
    /// The table's key, which is given by the request and may not be updated.
    Key,
    Attribute(&'a str),
}

/// The error for a change to an attribute that the table uses itself.
#[derive(Debug, PartialEq)]
pub(super) struct ReservedAttribute(pub(super) String);

/// What the store assumes where the table cannot tell, and what it creates a table with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TableSettings {
    pub(super) names: AttributeNames,
    /// The shards of the index of the newest sessions. Not checked yet.
    pub(super) recent_shards: u16,
    /// The attributes that have an index.
    pub(super) search: Vec<String>,
}

impl Default for TableSettings {
    fn default() -> Self {
        Self { names: AttributeNames::default(), recent_shards: 1, search: Vec::new() }
    }
}

/// What discovery has found out about a table. The names stay; the indexes may be others later.
#[derive(Debug)]
pub(super) struct TableLayout {
    pub(super) names: AttributeNames,
    /// Whether the table itself said so. Otherwise these are the settings.
    is_described: bool,
    indexes: RwLock<KnownIndexes>,
}

#[derive(Debug)]
struct KnownIndexes {
    indexes: Arc<Indexes>,
    asked_at: Instant,
}

impl TableLayout {
    pub(super) fn new(names: AttributeNames, indexes: Indexes) -> Self {
        let known = KnownIndexes { indexes: Arc::new(indexes), asked_at: Instant::now() };
        Self { names, is_described: true, indexes: RwLock::new(known) }
    }

    /// The layout of a table that cannot be described. No index is known that could be queried.
    pub(super) fn assumed(settings: &TableSettings) -> Self {
        let unknown = IndexStatus::Creating;
        let name = String::new;
        let recent = RecentIndex { name: name(), shards: settings.recent_shards, status: unknown };
        let search = settings.search.iter().map(|attribute| SearchIndex {
            name: name(),
            attribute: attribute.clone(),
            status: unknown,
        });
        let indexes = Indexes { recent: vec![recent], search: search.collect() };
        Self { is_described: false, ..Self::new(settings.names.clone(), indexes) }
    }

    pub(super) fn indexes(&self) -> Arc<Indexes> {
        Arc::clone(&self.indexes.read().unwrap_or_else(PoisonError::into_inner).indexes)
    }

    /// Whether it is time to ask the table for its indexes again. Says so once.
    pub(super) fn take_turn(&self, every: Duration) -> bool {
        let is_due = |known: &KnownIndexes| known.asked_at.elapsed() >= every;
        if !self.is_described
            || !is_due(&self.indexes.read().unwrap_or_else(PoisonError::into_inner))
        {
            return false;
        }
        let mut known = self.indexes.write().unwrap_or_else(PoisonError::into_inner);
        // Another request may have been faster.
        let is_due = is_due(&known);
        known.asked_at = Instant::now();
        is_due
    }

    /// The table has these indexes now.
    pub(super) fn set_indexes(&self, indexes: Indexes) -> Arc<Indexes> {
        let indexes = Arc::new(indexes);
        let mut known = self.indexes.write().unwrap_or_else(PoisonError::into_inner);
        *known = KnownIndexes { indexes: Arc::clone(&indexes), asked_at: Instant::now() };
        indexes
    }
}

/// The time-to-live attribute, if time-to-live is enabled.
pub(super) fn enabled_ttl(output: &DescribeTimeToLiveOutput) -> Option<String> {
    use TimeToLiveStatus::{Enabled, Enabling};
    let ttl = output.time_to_live_description()?;
    let is_on = matches!(ttl.time_to_live_status(), Some(Enabled | Enabling));
    is_on.then(|| ttl.attribute_name())?.map(str::to_owned)
}
