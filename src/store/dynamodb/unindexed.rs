//! Whether a table has sessions that its index does not list: those of older writers, which set no
//! `createdDay`.
//!
//! A list that the index fills by itself does not show that newer sessions are missing. So every few
//! minutes some items from all over the table are looked at. If any is in no index, lists of a small
//! table come from a scan of it, and those of a larger one say that sessions may be missing. What a
//! backfill cannot add either, since it has no time of creation, is only in lists of a small table.

use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::DynamoDbStore;
use super::backfill::LackingItems;
use super::error::RequestErrorKind;
use super::index::Indexes;
use super::layout::TableLayout;

/// What was seen of a table last.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    at: Instant,
    /// The index that lists the newest sessions.
    index: Option<String>,
    /// Whether it has sessions that are in no index.
    has_unindexed: bool,
    /// Whether a backfill would add any of them.
    pub(super) can_be_added: bool,
    /// Whether the table has more than one page, so that it is not scanned for each list.
    pub(super) is_large: bool,
}

impl DynamoDbStore {
    /// What was seen of the table some minutes ago at most. `None` if its index has all sessions, as far
    /// as is known.
    pub(super) async fn unindexed(&self, layout: &TableLayout) -> Option<Seen> {
        let indexes = layout.indexes();
        let index = indexes.newest().map(|index| index.name.clone());
        let mut seen = self.0.unindexed.lock().await;
        let is_known = seen
            .as_ref()
            .is_some_and(|seen| seen.index == index && seen.at.elapsed() < Self::INDEX_REFRESH);
        if !is_known {
            let before = seen.take();
            let (has_unindexed, can_be_added) = match self.look_at_table(layout, &indexes).await {
                Some(lacking) => (lacking.unindexed + lacking.undated > 0, lacking.unindexed > 0),
                // Without an answer, it is as it was.
                None => before.map_or((false, false), |it| (it.has_unindexed, it.can_be_added)),
            };
            let at = Instant::now();
            *seen = Some(Seen { at, index, has_unindexed, can_be_added, is_large: false });
        }
        seen.clone().filter(|seen| seen.has_unindexed)
    }

    /// `None` if the table cannot be looked at. A list does not fail for that.
    async fn look_at_table(&self, layout: &TableLayout, indexes: &Indexes) -> Option<LackingItems> {
        let error = match self.peek(layout, indexes).await {
            Ok(lacking) => return Some(lacking),
            Err(error) => error,
        };
        let table = self.table_name();
        if error.kind == RequestErrorKind::AccessDenied {
            if !self.0.has_warned_of_scan.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    table,
                    error = %error.message,
                    "cannot look for sessions that are in no index (`dynamodb:Scan`): lists do not \
                     have them"
                );
            }
        } else {
            tracing::debug!(table, error = %error.message, "cannot look for sessions in no index");
        }
        None
    }

    /// The table has more than one page.
    pub(super) async fn note_large_table(&self) {
        if let Some(seen) = &mut *self.0.unindexed.lock().await {
            seen.is_large = true;
        }
    }

    pub(super) fn warn_of_unindexed(&self) {
        if !self.0.has_warned_of_unindexed.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                table = self.table_name(),
                "the table has sessions that are in no index, as older writers leave them, so lists \
                 may lack some: `tower-agent-status table backfill` adds them"
            );
        }
    }
}
