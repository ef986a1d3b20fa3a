//! Stores: where status documents are saved and read.
//!
//! | store | saves to | feature |
//! | --- | --- | --- |
//! | [`DynamoDbStore::from_env`], [`DynamoDbStore::new`] | a DynamoDB table | `dynamodb` |
//! | [`DynamoDbStore::embedded`] | a file, through a DynamoDB engine inside the process | `embedded` |
//! | [`DynamoDbStore::embedded_in_memory`] | memory, through the same engine | `embedded` |
//! | [`MemoryStore`] | memory, with a history of changes, for tests | |
//!
//! Each implements [`StatusStore`], which a tracker writes to, and [`StatusReader`], which a
//! portal reads from. Implement them for a store of your own. An [`Arc`](std::sync::Arc) of a
//! store is a store too.

#[cfg(feature = "dynamodb")]
mod dynamodb;
#[cfg(feature = "embedded")]
#[cfg_attr(docsrs, doc(cfg(feature = "embedded")))]
mod embedded;
mod find;
mod list;
mod memory;
mod shared;

use std::fmt;
use std::future::Future;

use crate::status::{Change, Item, Precondition, SessionId};

#[cfg(feature = "dynamodb")]
#[cfg_attr(docsrs, doc(cfg(feature = "dynamodb")))]
pub use dynamodb::{
    BackfillCounts, BackfillPlan, BackfillReport, DynamoDbStore, IndexStatus, RecentIndex,
    ReshardAction, ReshardPlan, ReshardProgress, SearchIndex, SetupError, TableDescription,
    TimeToLive,
};
pub use find::{FindRequest, FoundItems};
pub use list::{ListRequest, RecentItems};
pub use memory::MemoryStore;

/// Saves documents: the side of a store that the recorder uses.
///
/// A store checks the precondition and applies the change in one atomic step, as a whole or
/// not at all: of two writers that expect the same revision, only one succeeds. The store
/// decides [whether](StoreError::is_retryable) a failed write may be retried, and the
/// recorder decides when.
///
/// # Examples
///
/// A store that is always unavailable, to test how a service copes:
///
/// ```
/// use tower_agent_status::status::{Change, Precondition};
/// use tower_agent_status::store::{StatusStore, StoreError, StoreErrorKind, WriteOutcome};
///
/// struct Unreachable;
///
/// impl StatusStore for Unreachable {
///     async fn write(&self, _: &Change, _: Precondition) -> Result<WriteOutcome, StoreError> {
///         Err(StoreError::new(StoreErrorKind::Unavailable, "the table cannot be reached"))
///     }
/// }
/// ```
pub trait StatusStore: Send + Sync + 'static {
    /// Applies a change if the item meets the precondition.
    ///
    /// An item that does not is no error, but [`WriteOutcome::Conflict`].
    ///
    /// # Errors
    ///
    /// Returns an error if the change was not applied, or if it is unknown
    /// [whether it was](StoreError::may_have_been_applied).
    fn write(
        &self,
        change: &Change,
        precondition: Precondition,
    ) -> impl Future<Output = Result<WriteOutcome, StoreError>> + Send;

    /// Returns `true` if the store uses the attribute of this name itself, such as the key of
    /// its table. No agent and no attribute of a workflow may have such a name.
    fn is_reserved(&self, _attribute: &str) -> bool {
        false
    }

    /// Returns `true` if the store has an index of the attribute of this name, which can hold texts
    /// and numbers only. No agent may have such a name.
    fn is_index_key(&self, _attribute: &str) -> bool {
        false
    }
}

/// Reads and deletes documents: the side of a store that portals and commands use. A portal
/// only reads.
pub trait StatusReader: Send + Sync + 'static {
    /// Returns the item of a session, or `None` if there is none.
    ///
    /// # Errors
    ///
    /// Returns an error if the store could not be read.
    fn get(
        &self,
        session_id: &SessionId,
    ) -> impl Future<Output = Result<Option<Item>, StoreError>> + Send;

    /// Returns the items of several sessions, in the order of their ids here.
    ///
    /// # Errors
    ///
    /// Returns an error if the store could not be read for all of them.
    fn get_many(
        &self,
        session_ids: &[SessionId],
    ) -> impl Future<Output = Result<Vec<Option<Item>>, StoreError>> + Send;

    /// Returns what `map` makes of the items created last, newest first.
    ///
    /// For when something small of each item is enough: a store that reads in batches maps the
    /// items of each, and keeps no others in memory. `map` may be called for items that turn out
    /// not to belong into the list.
    ///
    /// # Errors
    ///
    /// Returns an error if the store could not be read.
    fn list<T: Send>(
        &self,
        request: &ListRequest,
        map: impl Fn(&SessionId, Item) -> T + Send + Sync,
    ) -> impl Future<Output = Result<RecentItems<T>, StoreError>> + Send;

    /// Returns what `map` makes of the items in which the attribute has this value, newest first;
    /// or `None` if the store has no index of the attribute, so that only a look at each item could
    /// tell.
    ///
    /// The value is compared as text: `17` finds the number and the string. By default, there is no
    /// index.
    ///
    /// # Errors
    ///
    /// Returns an error if the store could not be read.
    fn search<T: Send>(
        &self,
        attribute: &str,
        value: &str,
        request: &ListRequest,
        map: impl Fn(&SessionId, Item) -> T + Send + Sync,
    ) -> impl Future<Output = Result<Option<RecentItems<T>>, StoreError>> + Send {
        let _ = (attribute, value, request, map);
        std::future::ready(Ok(None))
    }

    /// Returns what `map` makes of the newest items in which an attribute has a value, and how far
    /// the store has looked for them.
    ///
    /// With an index of the attribute, this is a [search](Self::search). Without one, the store looks
    /// at the newest sessions, 2,000 at most unless the request [says
    /// otherwise](FindRequest::max_searched).
    ///
    /// # Errors
    ///
    /// Returns an error if the store could not be read.
    fn find<T: Send>(
        &self,
        request: &FindRequest,
        map: impl Fn(&SessionId, Item) -> T + Send + Sync,
    ) -> impl Future<Output = Result<FoundItems<T>, StoreError>> + Send {
        async move {
            let (attribute, value) = (&request.attribute, &request.value);
            let list = request.list(request.limit);
            if let Some(found) = self.search(attribute, value, &list, &map).await? {
                return Ok(FoundItems::of_index(found, request));
            }
            let list = request.list(request.max_searched);
            let kept = self.list(&list, |id, item| request.keep(id, item, &map)).await?;
            Ok(FoundItems::of_list(kept, request))
        }
    }

    /// Returns the items created last, at most `limit` of them, whole.
    ///
    /// # Errors
    ///
    /// Returns an error if the store could not be read.
    fn recent(&self, limit: usize) -> impl Future<Output = Result<RecentItems, StoreError>> + Send {
        async move { self.list(&ListRequest::new(limit), |_, item| item).await }
    }

    /// Deletes the item of a session, and returns whether there was one.
    ///
    /// # Errors
    ///
    /// Returns an error if the item may still exist.
    fn delete(
        &self,
        session_id: &SessionId,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

/// The result of a write that the store has answered.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum WriteOutcome {
    /// The change was applied.
    Applied,
    /// The item did not meet the precondition, and nothing was changed. Holds the item as it
    /// is, or `None` if there is none.
    Conflict(Option<Item>),
}

/// The kind of a failure, by what can be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The store is overloaded: all writers should slow down.
    Throttled,
    /// The store could not be reached, or cannot serve requests at the moment.
    Unavailable,
    /// The same request will fail again: access denied, no such table, item too large.
    Permanent,
}

/// The error returned when a store could not read or write.
pub struct StoreError {
    kind: StoreErrorKind,
    may_have_been_applied: bool,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl StoreError {
    /// Creates an error of a request that changed nothing.
    pub fn new(
        kind: StoreErrorKind,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { kind, may_have_been_applied: false, source: source.into() }
    }

    /// Marks the outcome as ambiguous: the write may have been applied, as after a timeout or
    /// a connection that broke off before the response.
    #[must_use]
    pub fn ambiguous(self) -> Self {
        Self { may_have_been_applied: true, ..self }
    }

    /// Returns the kind of the failure.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Returns `true` if the same request may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind != StoreErrorKind::Permanent
    }

    /// Returns `true` if the write may have been applied in spite of the error.
    #[must_use]
    pub fn may_have_been_applied(&self) -> bool {
        self.may_have_been_applied
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreError")
            .field("kind", &self.kind)
            .field("may_have_been_applied", &self.may_have_been_applied)
            .field("source", &self.source)
            .finish()
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.source()
    }
}
