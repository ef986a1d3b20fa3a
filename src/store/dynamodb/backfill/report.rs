//! [`BackfillReport`]: what a backfill found, and what it did.

use std::collections::BTreeMap;

use super::requirements::Additions;

/// What a backfill has found and done, or, as a preview or a sample, would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackfillReport {
    /// The number of items read.
    pub read: u64,
    /// What these items lacked.
    pub counts: BackfillCounts,
    /// The number of items filled in; in a preview or a sample, those that would be.
    pub filled: u64,
    /// The number of items skipped, since a writer changed or deleted them in the meantime.
    pub skipped: u64,
    /// The number of items whose update the table rejected, such as one that would be too large.
    pub rejected: u64,
    /// The session id of one rejected item, and the error message.
    pub rejection: Option<(String, String)>,
    /// The number of items that were given an expiry, by the UTC month in which they expire, such as
    /// `2027-02`.
    pub expiring: BTreeMap<String, u64>,
    /// The approximate number of write units taken.
    pub write_units: u64,
    /// Where the next run continues, or `None` if the end of the table was reached. A sample has `None`.
    pub next: Option<String>,
    /// Whether the whole table was read.
    pub is_whole_table: bool,
}

/// How many items lack what, or need attention.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackfillCounts {
    /// Items missing from the index, so that lists can miss them, which a backfill can add to it.
    pub unindexed: u64,
    /// Items without `createdAt` whose creation time is in `created_at`.
    pub created_at: u64,
    /// Items without `createdDay` whose creation time is known.
    pub created_day: u64,
    /// Items without the attribute of a sharded index whose creation time is known.
    pub created_shard: u64,
    /// Items with neither an expiry nor a `revision`.
    pub expiry: u64,
    /// Of these, items that get no expiry, since they are older than the retention or of unknown age.
    pub left_without_expiry: u64,
    /// Items that have a `revision` and no expiry: it was removed to keep them.
    pub kept: u64,
    /// Items whose expiry has passed: the table deletes them once time to live is on.
    pub expired: u64,
    /// Items whose expiry is over a thousand years ahead, so it cannot be in seconds.
    pub not_in_seconds: u64,
    /// Items without a readable creation time. They cannot be added to an index.
    pub undated: u64,
    /// Items with a value of the wrong type: the table needs a string as `createdDay` and shard, and a
    /// number as expiry.
    pub unusable: u64,
    /// Items that are not sessions: they have no `overallStatus`, or an invalid key.
    pub not_sessions: u64,
}

impl BackfillReport {
    /// Counts an item that is filled in.
    pub(super) fn add_filled(&mut self, additions: &Additions, units_of_item: u64) {
        self.filled += 1;
        self.write_units += additions.write_units(units_of_item);
        if let Some(at) = additions.expires_at {
            let mut month = at.day();
            month.truncate("2027-02".len());
            *self.expiring.entry(month).or_default() += 1;
        }
    }

    /// Adds what was done with other items, except what was read of them.
    pub(super) fn add(&mut self, other: Self) {
        self.filled += other.filled;
        self.skipped += other.skipped;
        self.rejected += other.rejected;
        self.write_units += other.write_units;
        self.rejection = self.rejection.take().or(other.rejection);
        for (month, count) in other.expiring {
            *self.expiring.entry(month).or_default() += count;
        }
    }
}
