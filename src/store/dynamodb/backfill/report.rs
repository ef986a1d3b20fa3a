//! [`BackfillReport`]: what was found, and what was done.

use std::collections::BTreeMap;

use super::rules::Additions;

/// What a backfill has found and done, or would do. Counts are of items.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackfillReport {
    /// Those that were read.
    pub read: u64,
    /// What they lacked.
    pub lacking: LackingItems,
    /// Those that were given what they lacked; in a preview or a sample, those that would be.
    pub filled: u64,
    /// Those that another writer changed or deleted before they could be given it.
    pub skipped: u64,
    /// Those that the table did not accept with it, such as one that would be too large.
    pub rejected: u64,
    /// The session of one of these, and the error message.
    pub rejection: Option<(String, String)>,
    /// How many of those that were given an expiry expire in each month of UTC, such as `2027-02`.
    pub expiring: BTreeMap<String, u64>,
    /// The write units that this took, about.
    pub write_units: u64,
    /// Where another run goes on, or `None` if the end of the table was reached.
    pub next: Option<String>,
    /// Whether the whole table was read.
    pub is_whole: bool,
}

/// How many items lack what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LackingItems {
    /// Those that are in no index, so that a list can miss them, and can be added to one.
    pub unindexed: u64,
    /// Those without `createdAt`, whose time of creation is in `created_at`.
    pub created_at: u64,
    /// Those without `createdDay`, whose time of creation is known.
    pub created_day: u64,
    /// Those without an attribute of a sharded index, whose time of creation is known.
    pub created_shard: u64,
    /// Those without an expiry and without a `revision`.
    pub expiry: u64,
    /// Those of them that get no expiry: they are older than the retention or of unknown age.
    pub unexpiring: u64,
    /// Those without an expiry that have a `revision`: somebody has removed it to keep the item.
    pub kept: u64,
    /// Those whose expiry has passed: the table deletes them as soon as time to live is on.
    pub expired: u64,
    /// Those whose expiry is over a thousand years ahead, since it is not in seconds.
    pub not_in_seconds: u64,
    /// Those without a time of creation that can be read. They cannot be in an index.
    pub undated: u64,
    /// Those with a value of another type where a table needs a text, or a number for the expiry.
    pub unusable: u64,
    /// Those that are none of a session: without `overallStatus`, or with an invalid key.
    pub not_sessions: u64,
}

impl BackfillReport {
    pub(super) fn would_fill(&mut self, additions: &Additions, units_of_item: u64) {
        self.filled += 1;
        self.write_units += additions.write_units(units_of_item);
        if let Some(at) = additions.expires_at {
            let mut month = at.day();
            month.truncate("2027-02".len());
            *self.expiring.entry(month).or_default() += 1;
        }
    }

    /// Adds what was done with other items.
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
