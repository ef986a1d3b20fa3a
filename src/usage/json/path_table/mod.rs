//! The table of paths, compiled into a trie at build time and looked up by one multiplication.
//!
//! A node is a position in a document: what is done with the value there, which keys lead on from it,
//! and what the elements are if it is an array. Nodes are numbers; 0 is [`DEAD`], where no known path
//! leads. An object has keys of its own, or those of a [`Shape`] that it has in common with others.
//! All edges of the trie are in one hash table:
//!
//! ```text
//! find(keys, key):
//!     head   = the key's first 8 bytes, zero-padded
//!     origin = keys << 48 | len
//!     slot   = (head ^ origin) * FACTOR >> 50
//!     while slots[slot] is an edge:
//!         it is this key?  the node that it leads to
//!         slot += 1
//!     nothing
//! ```
//!
//! **Invariant.** A lookup looks at [`MAX_PROBES`] edges at most, whatever keys a document has: if
//! more share a slot, the crate does not compile. One slot in thirteen is used, so nearly all lookups
//! look at one edge, or none.
//!
//! **Cost.** Some 200 KB of static tables; an answer touches a few dozen lines of them. Looking for
//! the key edge by edge instead makes a chat answer 3.9 times as expensive.

mod compiler;

use crate::usage::formats::{Action, SHAPES, Shape};

/// A node's number.
pub(in crate::usage) type NodeId = u16;

/// Where no known path leads.
pub(super) const DEAD: NodeId = 0;
/// The root of an agent's answer, or of one event of it.
pub(in crate::usage) const ROOT: NodeId = Shape::Root as NodeId;
/// The root of a `chunk` frame of an AWS event stream, which wraps the agent's answer.
pub(in crate::usage) const CHUNK: NodeId = Shape::Chunk as NodeId;
/// The root of a `metadata` frame; there is one per call of a model.
pub(in crate::usage) const METADATA: NodeId = Shape::Metadata as NodeId;
/// The root of the last frame of a Lambda function's response stream.
pub(in crate::usage) const COMPLETION: NodeId = Shape::Completion as NodeId;
const RESERVED: usize = SHAPES.len() + 1;

/// Powers of two, so that an index needs no check.
const MAX_NODES: usize = 1024;
const MAX_EDGES: usize = 2048;
/// Many more than there are edges, so that few share one.
const SLOT_COUNT: usize = 1 << SLOT_BITS;
const SLOT_BITS: u32 = 14;
const MAX_WILDCARDS: usize = 8;
/// How many edges may share a slot, or follow one that does.
const MAX_PROBES: usize = 4;
/// An odd number whose bits look random. Of 200,000 that were tried, the one with which the fewest keys
/// share a slot, and none of the usual ones.
const FACTOR: u64 = 0xbb57_0553_ca95_5d1f;

/// No known key is longer than four words of eight bytes.
pub(super) const MAX_KEY_LEN: usize = 32;
/// Keys are looked up in an array of this size, whatever follows the key in it: its words can then be
/// loaded without asking for the key's end.
pub(super) const KEY_CAPACITY: usize = 40;

/// A key that leads from one node to another.
// As large as a power of two, so that its place is found by a shift.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Edge {
    /// The key's first eight bytes, zero-padded, which are all of most keys that matter.
    head: u64,
    /// The two words after those, and the key's last eight bytes, where it is long enough.
    middle: [u64; 2],
    tail: u64,
    /// Where it leads from, and the key's length.
    origin: u64,
    /// The node that it leads to, so that there is one line of memory to look at.
    to: Node,
}

impl Edge {
    /// Whether a key of the same length and the same first eight bytes is this one.
    #[inline]
    fn matches_rest(&self, key: &[u8; KEY_CAPACITY], len: usize) -> bool {
        // Words that overlap cover every length. Comparing slices takes 7 % of a chat answer.
        let [second, third] = self.middle;
        len <= 8
            || word(key, len - 8) == self.tail
                && (len <= 16 || word(key, 8) == second)
                && (len <= 24 || word(key, 16) == third)
    }
}

#[inline]
fn word(key: &[u8; KEY_CAPACITY], at: usize) -> u64 {
    let word = key.get(at..).and_then(<[u8]>::first_chunk);
    word.map_or(0, |word| u64::from_le_bytes(*word))
}

/// What a position in a document means.
#[derive(Clone, Copy)]
pub(super) struct Node {
    pub(super) id: NodeId,
    /// What is done with the value found here.
    pub(super) action: Action,
    /// The sets of keys that its key belongs to, as bits of [`KeySet`](crate::usage::formats::KeySet).
    pub(super) key_sets: u8,
    /// An object here may be an answer in itself, and is not followed if it is too deep.
    pub(super) is_envelope: bool,
    /// An object here is one whose keys matter as a whole.
    pub(super) is_scope: bool,
    /// Keys that are not known may mean something, so each has to be looked at.
    pub(super) has_wildcards: bool,
    has_keys: bool,
    is_plain: bool,
    /// The visitor has to know where an object here begins, and where it ends.
    pub(super) has_begin: bool,
    pub(super) has_end: bool,
    /// What an element is, if the value is an array.
    pub(super) element: NodeId,
    /// The node whose keys it has: itself, or the shape it shares.
    keys_of: NodeId,
}

impl Node {
    /// Whether any key of an object here is of interest.
    pub(super) const fn has_keys(&self) -> bool {
        self.has_keys
    }

    /// The same, if nothing else decides whether it is followed, and how.
    pub(super) const fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// Its keys.
    #[inline]
    pub(super) const fn keys(&self) -> ObjectKeys {
        ObjectKeys::of(self.keys_of as usize)
    }
}

/// The keys of an object: the node that they lead from, above the bits of a key's length.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct ObjectKeys(u64);

impl ObjectKeys {
    const fn of(node: usize) -> Self {
        Self((node as u64) << 48)
    }

    #[inline]
    const fn origin(self, len: usize) -> u64 {
        // Not `|`, which would take an instruction more.
        self.0 + len as u64
    }

    /// The node that a key leads to, which is the first `len` of these bytes.
    #[inline(always)]
    pub(super) fn find(self, key: &[u8; KEY_CAPACITY], len: usize) -> Option<&'static Node> {
        // Computing the mask instead takes 2 % of a chat answer.
        let mask = HEAD_MASKS.get(len)?;
        let head = word(key, 0) & mask;
        let origin = self.origin(len);
        let slot = hash(head, origin);
        let number = SLOTS[slot];
        if number == DEAD {
            return None;
        }
        let edge = &EDGES[usize::from(number) % MAX_EDGES];
        if edge.head == head && edge.origin == origin && edge.matches_rest(key, len) {
            return Some(&edge.to);
        }
        find_from(slot + 1, origin, head, key, len)
    }
}

/// The node of a key whose slot has another one's.
#[inline(never)]
fn find_from(
    mut slot: usize,
    origin: u64,
    head: u64,
    key: &[u8; KEY_CAPACITY],
    len: usize,
) -> Option<&'static Node> {
    loop {
        let number = SLOTS[slot % SLOT_COUNT];
        if number == DEAD {
            return None;
        }
        let edge = &EDGES[usize::from(number) % MAX_EDGES];
        if edge.head == head && edge.origin == origin && edge.matches_rest(key, len) {
            return Some(&edge.to);
        }
        slot += 1;
    }
}

/// Where an edge is, if it is any.
#[inline]
const fn hash(head: u64, origin: u64) -> usize {
    ((head ^ origin).wrapping_mul(FACTOR) >> (u64::BITS - SLOT_BITS)) as usize
}

/// What is left of a key's first word, by the key's length.
static HEAD_MASKS: [u64; MAX_KEY_LEN + 1] = {
    let mut masks = [u64::MAX; MAX_KEY_LEN + 1];
    let mut len = 0;
    while len < 8 {
        masks[len] = (1 << (8 * len)) - 1;
        len += 1;
    }
    masks
};

/// The node of that number.
#[inline]
pub(super) fn node(id: NodeId) -> &'static Node {
    &NODES[usize::from(id) % MAX_NODES]
}

/// The last key of the path to this node.
#[cold]
pub(super) fn key(id: NodeId) -> &'static str {
    NAMES[usize::from(id) % MAX_NODES]
}

/// The node of a key that is not among the keys of this object, if it has a known part.
#[cold]
pub(super) fn find_wildcard(object: &Node, key: &[u8]) -> Option<&'static Node> {
    let matches = |wildcard: &&Wildcard| {
        let part = wildcard.part.as_bytes();
        wildcard.keys_of == object.keys_of
            && match wildcard.kind {
                WildcardKind::Any => true,
                WildcardKind::End => key.ends_with(part),
                WildcardKind::Part => memchr::memmem::find(key, part).is_some(),
            }
    };
    WILDCARDS.iter().find(matches).map(|wildcard| node(wildcard.to))
}

/// A path whose last key is a pattern.
#[derive(Clone, Copy)]
struct Wildcard {
    /// The node of the keys beside which it stands.
    keys_of: NodeId,
    part: &'static str,
    kind: WildcardKind,
    to: NodeId,
}

#[derive(Clone, Copy)]
enum WildcardKind {
    Any,
    End,
    Part,
}

struct PathTable {
    /// The last key of the path to each node, for people.
    names: [&'static str; MAX_NODES],
    nodes: [Node; MAX_NODES],
    edges: [Edge; MAX_EDGES],
    /// The numbers of edges, from the slots that they hash to.
    slots: [u16; SLOT_COUNT],
    wildcards: [Wildcard; MAX_WILDCARDS],
}

const TABLE: PathTable = compiler::compile();

// Apart, since the sum of an address and a part's place in it takes 2 % of a chat answer.
static NODES: [Node; MAX_NODES] = TABLE.nodes;
static EDGES: [Edge; MAX_EDGES] = TABLE.edges;
static SLOTS: [u16; SLOT_COUNT] = TABLE.slots;
static NAMES: [&str; MAX_NODES] = TABLE.names;
static WILDCARDS: [Wildcard; MAX_WILDCARDS] = TABLE.wildcards;
