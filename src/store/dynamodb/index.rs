//! The indexes of a table: [`RecentIndex`], of the newest sessions, and [`SearchIndex`], of an
//! attribute.
//!
//! ```text
//! createdDay          createdAt     the newest of a day, in one partition
//! createdShard16      createdAt     the same in 16 partitions, such as `2026-11-26.7`
//! documentId          createdAt     the newest with this value
//! ```
//!
//! An index is known by its keys, all of type S, whatever its name. So a table can have two indexes
//! of the newest sessions while one takes the place of the other. The first by the number at the
//! end of its name has all of the sessions: `recent` before `recent-2`, and `recent-9` before
//! `recent-10`.

use std::fmt;

use aws_sdk_dynamodb::types::{
    GlobalSecondaryIndexDescription, IndexStatus as SdkIndexStatus, KeyType, ScalarAttributeType,
    TableDescription,
};

use crate::status::{SessionId, cut, schema};

/// The name of the index of the newest sessions in a table that is created here.
pub(in crate::store) const RECENT_INDEX: &str = "recent";

/// An index of the newest sessions, as the table has it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecentIndex {
    /// Its name.
    pub name: String,
    /// In how many partitions it has the sessions of a day. Each takes 1,000 new ones a second.
    pub shards: u16,
    /// Whether it can be queried.
    pub status: IndexStatus,
}

/// An index of the sessions by an attribute, as the table has it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SearchIndex {
    /// Its name.
    pub name: String,
    /// The attribute.
    pub attribute: String,
    /// Whether it can be queried.
    pub status: IndexStatus,
}

/// The status of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IndexStatus {
    /// It can be queried.
    Active,
    /// DynamoDB is creating it.
    Creating,
    /// DynamoDB is deleting it.
    Deleting,
}

/// The number of shards of an index of the newest sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shards(u16);

/// The largest number of shards. A list asks each of them.
const MAX_SHARDS: u16 = 256;

/// The longest partition key, in bytes.
const MAX_KEY_BYTES: usize = 2_048;

/// What stands for a text in an index: as much of it as the key of an index may have.
pub(super) fn search_key(text: &str) -> &str {
    cut(text, MAX_KEY_BYTES)
}

impl Shards {
    pub(super) const ONE: Self = Self(1);

    /// A number of shards that a table can have.
    pub(super) fn new(shards: u16) -> Option<Self> {
        (1..=MAX_SHARDS).contains(&shards).then_some(Self(shards))
    }

    /// The attribute with the partition, which is the key of the index.
    pub(super) fn attribute(self) -> String {
        match self.0 {
            1 => schema::CREATED_DAY.to_owned(),
            shards => format!("{}{shards}", schema::CREATED_SHARD),
        }
    }

    /// Those of the index whose key is this attribute.
    pub(super) fn of_attribute(name: &str) -> Option<Self> {
        if name == schema::CREATED_DAY {
            return Some(Self::ONE);
        }
        let shards = name.strip_prefix(schema::CREATED_SHARD)?.parse().ok().and_then(Self::new)?;
        (shards.0 > 1 && shards.attribute() == name).then_some(shards)
    }

    /// The partition that has the sessions of a day which fall into this shard.
    pub(super) fn partition(self, day: &str, shard: u16) -> String {
        match self.0 {
            1 => day.to_owned(),
            _ => format!("{day}.{shard}"),
        }
    }

    /// The partition for a session of a day.
    pub(super) fn partition_of(self, day: &str, session_id: &SessionId) -> String {
        let hash = crc32fast::hash(session_id.as_str().as_bytes());
        let shard = hash % u32::from(self.0);
        self.partition(day, u16::try_from(shard).unwrap_or(0))
    }
}

impl fmt::Display for Shards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl RecentIndex {
    pub(super) fn key(&self) -> Shards {
        Shards(self.shards)
    }

    /// Its place among several: the number at the end of its name, and the name.
    fn place(&self) -> (u64, &str) {
        let digits = self.name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        (self.name[digits..].parse().unwrap_or(0), &self.name)
    }

    /// The name of the index that takes the place of this one.
    pub(super) fn next_name(&self) -> String {
        let (number, name) = self.place();
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('-');
        format!("{stem}-{}", number.max(1) + 1)
    }
}

/// The indexes of a table that are of use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Indexes {
    /// The first is the one that has all sessions.
    pub(super) recent: Vec<RecentIndex>,
    pub(super) search: Vec<SearchIndex>,
}

impl Indexes {
    /// Finds them by their keys. The table uses `reserved` attributes itself.
    pub(super) fn of(described: &TableDescription, reserved: &[&str]) -> Self {
        let is_string = |name: &str| {
            let definitions = described.attribute_definitions().iter();
            let mut ours = definitions.filter(|definition| definition.attribute_name() == name);
            ours.all(|definition| *definition.attribute_type() == ScalarAttributeType::S)
        };
        let mut indexes = Self::default();
        for index in described.global_secondary_indexes() {
            let (Some(name), Some(attribute)) = (index.index_name(), partition_key(index)) else {
                continue;
            };
            let (name, status) = (name.to_owned(), status(index));
            if let Some(shards) = Shards::of_attribute(attribute) {
                indexes.recent.push(RecentIndex { name, shards: shards.0, status });
            } else if is_string(attribute)
                && !schema::is_reserved(attribute)
                && !reserved.contains(&attribute)
            {
                indexes.search.push(SearchIndex { name, attribute: attribute.to_owned(), status });
            }
        }
        indexes.recent.sort_by(|a, b| a.place().cmp(&b.place()));
        indexes.search.sort_by(|a, b| (&a.attribute, &a.name).cmp(&(&b.attribute, &b.name)));
        indexes
    }

    /// The index that lists the newest sessions, if it can be queried.
    pub(super) fn newest(&self) -> Option<&RecentIndex> {
        self.recent.iter().find(|index| index.status == IndexStatus::Active)
    }

    /// The index of an attribute, if it can be queried.
    pub(super) fn of_attribute(&self, attribute: &str) -> Option<&SearchIndex> {
        let is_ours = |index: &&SearchIndex| {
            index.attribute == attribute && index.status == IndexStatus::Active
        };
        self.search.iter().find(is_ours)
    }

    /// Whether an attribute is the key of an index, so that it has to be a string.
    pub(super) fn is_search_key(&self, attribute: &str) -> bool {
        self.search.iter().any(|index| index.attribute == attribute)
    }

    /// The shards whose partitions a new item names, beside its day.
    pub(super) fn shards(&self) -> impl Iterator<Item = Shards> {
        self.recent.iter().map(RecentIndex::key).filter(|shards| *shards != Shards::ONE)
    }
}

/// The partition key of an index whose sort key is the time of creation.
fn partition_key(index: &GlobalSecondaryIndexDescription) -> Option<&str> {
    match index.key_schema() {
        [key, time]
            if *key.key_type() == KeyType::Hash
                && *time.key_type() == KeyType::Range
                && time.attribute_name() == schema::CREATED_AT =>
        {
            Some(key.attribute_name())
        }
        _ => None,
    }
}

fn status(index: &GlobalSecondaryIndexDescription) -> IndexStatus {
    match index.index_status() {
        Some(SdkIndexStatus::Creating) => IndexStatus::Creating,
        Some(SdkIndexStatus::Deleting) => IndexStatus::Deleting,
        _ => IndexStatus::Active,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(name: &str) -> RecentIndex {
        RecentIndex { name: name.to_owned(), shards: 1, status: IndexStatus::Active }
    }

    #[test]
    fn an_attribute_says_how_many_shards_there_are() {
        for shards in [1, 2, 16, 256] {
            let shards = Shards::new(shards).unwrap();
            assert_eq!(Shards::of_attribute(&shards.attribute()), Some(shards));
        }
        let none = ["createdShard", "createdShard1", "createdShard0", "createdShard04"];
        for name in none.iter().chain(&["createdShard257", "createdShard-2", "createdAt"]) {
            assert_eq!(Shards::of_attribute(name), None, "{name}");
        }
        assert_eq!((Shards::new(0), Shards::new(257)), (None, None));
    }

    #[test]
    fn sessions_are_spread_evenly_and_always_fall_into_the_same_shard() {
        let shards = Shards::new(16).unwrap();
        let mut counts = [0; 16];
        for n in 0..16_000 {
            let id = SessionId::new(format!("document-{n}")).unwrap();
            let partition = shards.partition_of("2026-11-26", &id);
            let shard: usize = partition.strip_prefix("2026-11-26.").unwrap().parse().unwrap();
            counts[shard] += 1;
        }
        assert!(counts.iter().all(|count| (900..1_100).contains(count)), "{counts:?}");
        // CRC-32 of the id, for writers in other languages.
        let id = SessionId::new("123456789").unwrap();
        assert_eq!(shards.partition_of("d", &id), format!("d.{}", 0xCBF4_3926_u32 % 16));
        assert_eq!(Shards::ONE.partition_of("d", &id), "d");
    }

    #[test]
    fn the_index_with_the_lower_number_comes_first() {
        let mut names: Vec<_> = ["recent-10", "recent-9", "recent", "recent-2"].map(index).into();
        names.sort_by(|a, b| a.place().cmp(&b.place()));
        let names: Vec<_> = names.iter().map(|index| &*index.name).collect();
        assert_eq!(names, ["recent", "recent-2", "recent-9", "recent-10"]);
        for (name, next) in
            [("recent", "recent-2"), ("recent-2", "recent-3"), ("by-day-9", "by-day-10")]
        {
            assert_eq!(index(name).next_name(), next);
        }
    }
}
