//! Where the documents are kept.
//!
//! | store | keeps them in | feature |
//! | --- | --- | --- |
//! | [`DynamoDbStore::from_env`], [`DynamoDbStore::new`] | a DynamoDB table | `dynamodb` |
//! | [`DynamoDbStore::embedded`] | one file, by a DynamoDB engine inside the process | `embedded` |
//! | [`DynamoDbStore::embedded_in_memory`] | the same engine, in memory | `embedded` |
//! | [`MemoryStore`] | memory, with every change that was made: for tests | |
//!
//! Each is a [`StatusStore`], which a tracker writes to, and a [`StatusReader`], which a
//! portal reads. A store of your own is one when it implements these traits; an
//! [`Arc`](std::sync::Arc) of a store is a store too.

#[cfg(feature = "dynamodb")]
mod dynamodb;
#[cfg(feature = "embedded")]
#[cfg_attr(docsrs, doc(cfg(feature = "embedded")))]
mod embedded;
mod memory;
mod shared;

use std::fmt;
use std::future::Future;

use crate::status::{Change, Item, Precondition, SessionId};

#[cfg(feature = "dynamodb")]
#[cfg_attr(docsrs, doc(cfg(feature = "dynamodb")))]
pub use dynamodb::{DynamoDbStore, RecentIndex, SetupError, TableReport, TimeToLive};
pub use memory::MemoryStore;

/// Saves documents. The recorder's side of a store.
///
/// A store applies a change as a whole or not at all, and only if the item is what was
/// expected; both at once, so that of two writers that expect the same revision one wins.
/// It decides [whether](StoreError::is_retryable) a failure is worth another try; the
/// recorder decides when.
///
/// A store that is away, to test what a service does then:
///
/// ```
/// use tower_agent_status::status::{Change, Precondition};
/// use tower_agent_status::store::{StatusStore, StoreError, StoreErrorKind, WriteOutcome};
///
/// struct Away;
///
/// impl StatusStore for Away {
///     async fn write(&self, _: &Change, _: Precondition) -> Result<WriteOutcome, StoreError> {
///         Err(StoreError::new(StoreErrorKind::Unavailable, "the table is away"))
///     }
/// }
/// ```
pub trait StatusStore: Send + Sync + 'static {
    /// Applies a change if the item is as expected.
    ///
    /// # Errors
    ///
    /// If the change was not applied, or if it is not known
    /// [whether it was](StoreError::may_have_been_applied). That the item is not as
    /// expected is not an error but [`WriteOutcome::Conflict`].
    fn write(
        &self,
        change: &Change,
        expected: Precondition,
    ) -> impl Future<Output = Result<WriteOutcome, StoreError>> + Send;

    /// Whether this store keeps something of its own in the attribute of that name, as
    /// its table's key, so that no agent may have it.
    fn is_reserved(&self, _attribute: &str) -> bool {
        false
    }
}

/// Reads documents, and deletes them. The side of a store that portals and commands use; a
/// portal only reads.
pub trait StatusReader: Send + Sync + 'static {
    /// The item of a session; `None` if there is none.
    ///
    /// # Errors
    ///
    /// If the store cannot tell.
    fn get(
        &self,
        session_id: &SessionId,
    ) -> impl Future<Output = Result<Option<Item>, StoreError>> + Send;

    /// The items of several sessions, in the order asked for.
    ///
    /// # Errors
    ///
    /// If the store cannot tell for all of them.
    fn get_many(
        &self,
        session_ids: &[SessionId],
    ) -> impl Future<Output = Result<Vec<Option<Item>>, StoreError>> + Send;

    /// The newest items by their creation, `limit` of them at most.
    ///
    /// # Errors
    ///
    /// If the store cannot tell.
    fn recent(&self, limit: usize) -> impl Future<Output = Result<RecentItems, StoreError>> + Send;

    /// Deletes the item of a session; whether there was one.
    ///
    /// # Errors
    ///
    /// If the item may still be there.
    fn delete(
        &self,
        session_id: &SessionId,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

/// The newest items of a store.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct RecentItems {
    /// Each with its session id, the newest first.
    pub items: Vec<(SessionId, Item)>,
    /// Whether the store looked at a part of its items only, so that newer ones than
    /// these may be missing.
    pub truncated: bool,
}

impl RecentItems {
    /// Creates a result from items with their session ids, newest first.
    #[must_use]
    pub fn new(items: Vec<(SessionId, Item)>, truncated: bool) -> Self {
        Self { items, truncated }
    }
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum WriteOutcome {
    /// The change was applied.
    Applied,
    /// The item is not as expected, and nothing was changed: the item as it is, or
    /// `None` if there is none.
    Conflict(Option<Item>),
}

/// What a store can do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The store has too much to do: all who write to it should slow down.
    Throttled,
    /// The store did not answer, or answered that it cannot at the moment.
    Unavailable,
    /// The same write will fail again: access denied, no such table, item too large.
    Permanent,
}

/// A store could not do what it was asked.
pub struct StoreError {
    kind: StoreErrorKind,
    may_have_been_applied: bool,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl StoreError {
    /// A failure that left everything as it was.
    pub fn new(
        kind: StoreErrorKind,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { kind, may_have_been_applied: false, source: source.into() }
    }

    /// The same failure, after which it is not known whether the write was applied: a
    /// time-out, a connection that broke off before the answer.
    #[must_use]
    pub fn ambiguous(self) -> Self {
        Self { may_have_been_applied: true, ..self }
    }

    /// What can be done about it.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Whether the same write may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind != StoreErrorKind::Permanent
    }

    /// Whether the write may have been applied all the same.
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
