//! [`ListRequest`] and [`RecentItems`]: lists of sessions, newest first.

use crate::status::schema::{CREATED_AT, CREATED_AT_OF_OTHERS, LAST_UPDATED, REVISION};
use crate::status::{Item, SessionId, Timestamp};

/// Which sessions to list, and what of them to read.
///
/// ```
/// use tower_agent_status::store::{ListRequest, MemoryStore, StatusReader};
///
/// # async fn pages(store: MemoryStore) -> Result<(), tower_agent_status::store::StoreError> {
/// let request = ListRequest::new(100).attributes(["overallStatus"]);
/// let page = store.list(&request, |_, item| item).await?;
/// if let Some((id, item)) = page.items.last() {
///     let next = store.list(&request.clone().after(id, item), |_, item| item).await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListRequest {
    /// How many sessions to list at most.
    pub limit: usize,
    /// Only sessions that come after this one: those that were created before it, or at the same
    /// time with a greater id.
    pub after: Option<(Timestamp, SessionId)>,
    /// Only sessions that were created at this time or later.
    pub since: Option<Timestamp>,
    /// The attributes that are read of each item, beside `sessionId` and `createdAt`, or `None` for
    /// all. A store may read more.
    pub attributes: Option<Vec<String>>,
}

impl ListRequest {
    /// Requests the newest sessions, with all of their attributes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, after: None, since: None, attributes: None }
    }

    /// Requests only what follows this session of another list.
    ///
    /// The item needs the attributes of a list: `createdAt`, and where that is missing its
    /// `lastUpdated`.
    #[must_use]
    pub fn after(self, session_id: &SessionId, item: &Item) -> Self {
        Self { after: Some((created_at(item), session_id.clone())), ..self }
    }

    /// Requests only sessions that were created at this time or later.
    #[must_use]
    pub fn since(self, time: Timestamp) -> Self {
        Self { since: Some(time), ..self }
    }

    /// Requests only these attributes of each item, and those by which a list is sorted and a
    /// workflow is known to have [stalled](crate::status::WorkflowStatus::is_stalled).
    #[must_use]
    pub fn attributes<N: Into<String>>(self, names: impl IntoIterator<Item = N>) -> Self {
        let mut attributes: Vec<String> = names.into_iter().map(Into::into).collect();
        for name in [CREATED_AT_OF_OTHERS, LAST_UPDATED, REVISION] {
            if !attributes.iter().any(|known| known == name) {
                attributes.push(name.to_owned());
            }
        }
        Self { attributes: Some(attributes), ..self }
    }

    /// Whether a session that was created then belongs into the list.
    pub(super) fn includes(&self, created_at: Timestamp, session_id: &SessionId) -> bool {
        let is_after = self
            .after
            .as_ref()
            .is_none_or(|(time, id)| created_at < *time || created_at == *time && session_id > id);
        is_after && self.since.is_none_or(|since| created_at >= since)
    }
}

/// When a session was created, by which lists are sorted. For an item that does not say, its last
/// change: it is no later than that.
pub(super) fn created_at(item: &Item) -> Timestamp {
    let time = |name| item.get(name).and_then(|time| time.as_str()?.parse().ok());
    time(CREATED_AT)
        .or_else(|| time(CREATED_AT_OF_OTHERS))
        .or_else(|| time(LAST_UPDATED))
        .unwrap_or(Timestamp::from_millis(0))
}

/// The newest sessions of a store with their items, or with what a function made of each.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct RecentItems<T = Item> {
    /// The items with their session ids, newest first. Those that were created at the same time are
    /// sorted by their ids.
    pub items: Vec<(SessionId, T)>,
    /// Whether the store looked at only a part of its items, so that newer ones may be
    /// missing.
    pub truncated: bool,
    /// Whether the store has sessions that are missing from its index, so that newer ones may be
    /// missing here. `DynamoDbStore::backfill` adds them to the index.
    pub unindexed: bool,
    /// The read units that the list took, as the table has counted them. `None` if the store does not
    /// count any.
    pub read_units: Option<f64>,
}

impl<T> RecentItems<T> {
    /// Creates a result from items with their session ids, newest first.
    #[must_use]
    pub fn new(items: Vec<(SessionId, T)>, truncated: bool) -> Self {
        Self { items, truncated, unindexed: false, read_units: None }
    }
}
