//! [`FindRequest`] and [`FoundItems`]: finding sessions by the value of an attribute.

use super::list::created_at;
use super::{ListRequest, RecentItems};
use crate::status::{Item, SessionId, Timestamp, Value};

/// Which sessions to find: those in which an attribute has this value.
///
/// ```
/// use tower_agent_status::store::{FindRequest, MemoryStore, StatusReader};
///
/// # async fn find(store: MemoryStore) -> Result<(), tower_agent_status::store::StoreError> {
/// let request = FindRequest::new("documentId", "FAB_26933659").limit(5);
/// let found = store.find(&request, |_, item| item).await?;
/// println!("{} found among {} sessions", found.items.len(), found.searched);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FindRequest {
    /// The name of the attribute: one of your own, or any other attribute of the item whose value is a
    /// string or a number, such as `correlationId`.
    pub attribute: String,
    /// The exact value, as text: `17` finds both the number and the string.
    pub value: String,
    /// The maximum number of sessions to find.
    pub limit: usize,
    /// The maximum number of sessions to search, newest first, if the store has no index of the
    /// attribute.
    pub max_searched: usize,
    /// Only sessions that were created at this time or later.
    pub since: Option<Timestamp>,
    /// The attributes that are read of each item, as in [`ListRequest::attributes`].
    pub attributes: Option<Vec<String>>,
}

impl FindRequest {
    /// The default of [`max_searched`](Self::max_searched).
    pub const MAX_SEARCHED: usize = 2_000;

    /// Requests the newest 100 sessions in which the attribute has this value, among the newest
    /// [`MAX_SEARCHED`](Self::MAX_SEARCHED), with all of their attributes.
    #[must_use]
    pub fn new(attribute: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            attribute: attribute.into(),
            value: value.into(),
            limit: 100,
            max_searched: Self::MAX_SEARCHED,
            since: None,
            attributes: None,
        }
    }

    /// Sets the maximum number of sessions to find.
    #[must_use]
    pub fn limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    /// Sets the maximum number of sessions to search, newest first, if the store has no index of the
    /// attribute.
    #[must_use]
    pub fn max_searched(self, max_searched: usize) -> Self {
        Self { max_searched, ..self }
    }

    /// Requests only sessions that were created at this time or later.
    #[must_use]
    pub fn since(self, time: Timestamp) -> Self {
        Self { since: Some(time), ..self }
    }

    /// Requests only these attributes of each item, as [`ListRequest::attributes`] does.
    #[must_use]
    pub fn attributes<N: Into<String>>(self, names: impl IntoIterator<Item = N>) -> Self {
        let attributes = ListRequest::new(0).attributes(names).attributes;
        Self { attributes, ..self }
    }

    /// Whether the item has the value.
    pub(super) fn matches(&self, item: &Item) -> bool {
        item.get(&self.attribute).and_then(Value::to_text).as_deref() == Some(&*self.value)
    }

    /// The list of sessions to look at. Of each, the attribute is read, too.
    pub(super) fn list(&self, limit: usize) -> ListRequest {
        let mut attributes = self.attributes.clone();
        if let Some(attributes) = &mut attributes {
            attributes.push(self.attribute.clone());
        }
        ListRequest { since: self.since, attributes, ..ListRequest::new(limit) }
    }

    /// What to keep of an item in a list that only a look at each can filter: when it was created,
    /// and what `map` makes of it if it has the value.
    pub(super) fn keep<T>(
        &self,
        session_id: &SessionId,
        item: Item,
        map: impl Fn(&SessionId, Item) -> T,
    ) -> (Timestamp, Option<T>) {
        let time = created_at(&item);
        (time, self.matches(&item).then(|| map(session_id, item)))
    }
}

/// The sessions found, each with its item or with what a function returned for it; and how far the
/// store searched.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct FoundItems<T = Item> {
    /// The items with their session ids, newest first.
    pub items: Vec<(SessionId, T)>,
    /// Whether the store used an index of the attribute. Otherwise it searched the newest sessions one by
    /// one.
    pub indexed: bool,
    /// The number of sessions that the store searched.
    pub searched: usize,
    /// When the oldest session searched was created: the store has searched all sessions since then.
    /// `None` if it searched none, used an index of the attribute, or searched in no order.
    pub reached: Option<Timestamp>,
    /// Whether these are all matching sessions. Otherwise there may be more: the store stopped at one of
    /// the limits, or its list has gaps, as the fields below tell.
    pub complete: bool,
    /// As [`RecentItems::truncated`]: the store searched only part of its items, in no order.
    pub truncated: bool,
    /// As [`RecentItems::unindexed`]: some sessions are missing from the index of the newest ones.
    pub unindexed: bool,
    /// The read units that the search used, as reported by the table. `None` if the store does not count
    /// them.
    pub read_units: Option<f64>,
}

impl<T> FoundItems<T> {
    /// Creates a result from items with their session ids, newest first, and the number of sessions that
    /// the store searched. The other fields are false or `None`.
    #[must_use]
    pub fn new(items: Vec<(SessionId, T)>, searched: usize) -> Self {
        Self {
            items,
            indexed: false,
            searched,
            reached: None,
            complete: false,
            truncated: false,
            unindexed: false,
            read_units: None,
        }
    }

    /// What an index of the attribute has.
    pub(super) fn of_index(found: RecentItems<T>, request: &FindRequest) -> Self {
        let searched = found.items.len();
        let complete = searched < request.limit && !found.truncated;
        let read_units = found.read_units;
        let truncated = found.truncated;
        let found = Self::new(found.items, searched);
        Self { indexed: true, complete, truncated, read_units, ..found }
    }

    /// What the newest sessions have that [were kept](FindRequest::keep).
    pub(super) fn of_list(
        list: RecentItems<(Timestamp, Option<T>)>,
        request: &FindRequest,
    ) -> Self {
        let searched = list.items.len();
        let reached = list.items.last().map(|(_, (time, _))| *time).filter(|_| !list.truncated);
        let found = list.items.into_iter().filter_map(|(id, (_, item))| Some((id, item?)));
        let mut items: Vec<_> = found.take(request.limit.saturating_add(1)).collect();
        let has_more = items.len() > request.limit;
        items.truncate(request.limit);
        let (truncated, unindexed, read_units) = (list.truncated, list.unindexed, list.read_units);
        let complete = searched < request.max_searched && !has_more && !truncated && !unindexed;
        let found = Self::new(items, searched);
        Self { reached, complete, truncated, unindexed, read_units, ..found }
    }
}
