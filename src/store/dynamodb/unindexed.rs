//! Finds out whether a table has sessions that are missing from its index: those of older writers,
//! which set no `createdDay`.
//!
//! If the index alone fills a list, nothing shows that newer sessions are missing. So every few minutes
//! a small sample of the table is read. If it has sessions that are not in the index, lists of a small
//! table come from a scan of it, and those of a larger table say that sessions may be missing. Sessions
//! without a creation time, which no backfill can add, are only in the lists of a small table.

use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::DynamoDbStore;
use super::backfill::BackfillCounts;
use super::error::RequestErrorKind;
use super::index::Indexes;
use super::layout::TableLayout;
use super::read_units::ReadUnits;

/// Whether the index has all sessions, as of the last sample.
#[derive(Clone, Debug)]
pub(super) struct IndexCoverage {
    sampled_at: Instant,
    /// The name of the index that lists use.
    index: Option<String>,
    /// Whether there are sessions that are not in the index.
    has_unindexed: bool,
    /// Whether a backfill would add any of them to it.
    pub(super) can_be_backfilled: bool,
    /// Whether the table has more than one page, so that it is not scanned for each list.
    pub(super) is_large: bool,
}

impl DynamoDbStore {
    /// The coverage of the index as of a few minutes ago at most. `None` if the index has all sessions,
    /// as far as is known.
    pub(super) async fn index_gaps(
        &self,
        layout: &TableLayout,
        units: &ReadUnits,
    ) -> Option<IndexCoverage> {
        let indexes = layout.indexes();
        let index = indexes.newest().map(|index| index.name.clone());
        let mut seen = self.0.unindexed.lock().await;
        let is_known = seen.as_ref().is_some_and(|seen| {
            seen.index == index && seen.sampled_at.elapsed() < Self::INDEX_REFRESH
        });
        if !is_known {
            let before = seen.take();
            let (has_unindexed, can_be_backfilled) =
                match self.sample_for_coverage(layout, &indexes, units).await {
                    Some(counts) => (counts.unindexed + counts.undated > 0, counts.unindexed > 0),
                    // Without an answer, the last one stands.
                    None => {
                        before.map_or((false, false), |it| (it.has_unindexed, it.can_be_backfilled))
                    }
                };
            let sampled_at = Instant::now();
            *seen = Some(IndexCoverage {
                sampled_at,
                index,
                has_unindexed,
                can_be_backfilled,
                is_large: false,
            });
        }
        seen.clone().filter(|seen| seen.has_unindexed)
    }

    /// Samples the table. `None` if that fails, for which no list fails.
    async fn sample_for_coverage(
        &self,
        layout: &TableLayout,
        indexes: &Indexes,
        units: &ReadUnits,
    ) -> Option<BackfillCounts> {
        let error = match self.small_sample(layout, indexes, units).await {
            Ok(counts) => return Some(counts),
            Err(error) => error,
        };
        let table = self.table_name();
        if error.kind == RequestErrorKind::AccessDenied {
            if !self.0.has_warned_of_scan.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    table,
                    error = %error.message,
                    "cannot check for sessions that are missing from the index: if there are any, \
                     lists lack them; allow `dynamodb:Scan` on the table"
                );
            }
        } else {
            tracing::debug!(table, error = %error.message, "cannot check for sessions that are missing from the index");
        }
        None
    }

    /// Notes that the table has more than one page.
    pub(super) async fn note_large_table(&self) {
        if let Some(seen) = &mut *self.0.unindexed.lock().await {
            seen.is_large = true;
        }
    }

    pub(super) fn warn_of_unindexed(&self) {
        if !self.0.has_warned_of_unindexed.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                table = self.table_name(),
                "some sessions of older writers are missing from the index, so lists may lack them: \
                 add them with `tower-agent-status table backfill`"
            );
        }
    }
}
