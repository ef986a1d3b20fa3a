//! The table of paths, compiled into a trie at build time and looked up by one multiplication.
//!
//! A node is a position in a document: what is done with the value there, which keys lead on from it,
//! and what the elements are if it is an array. Nodes are numbers of one byte; 0 is [`DEAD`], where no
//! known path leads. All edges of the trie are in one hash table:
//!
//! ```text
//! find(parent, key):
//!     head        = the key's first 8 bytes, zero-padded
//!     fingerprint = head ^ parent << 56 ^ len << 48
//!     id          = slots[fingerprint * factor >> 52]
//!     edges[id] is this key?  id, else DEAD
//! ```
//!
//! **Invariant.** No two edges share a slot: `factor` is searched for while the crate compiles, and
//! if there is none, or too many nodes, it does not compile. So a lookup never probes twice, whatever
//! keys a document has. Usage objects share one shape wherever they are, and so do errors.
//!
//! **Cost.** A static table of 256 nodes, 256 edges and 4,096 slots of a byte. Looking for the
//! fingerprint edge by edge instead makes a chat answer 3.9 times as expensive.

use crate::usage::formats::{self, Action, Row};

/// A node's number.
pub(in crate::usage) type NodeId = u8;

/// Where no known path leads.
pub(super) const DEAD: NodeId = 0;
/// The root of an agent's answer, or of one event of it.
pub(in crate::usage) const ROOT: NodeId = 1;
/// The root of a `chunk` frame of an AWS event stream, which wraps the agent's answer.
pub(in crate::usage) const CHUNK: NodeId = 2;
/// The root of a `metadata` frame; there is one per call of a model.
pub(in crate::usage) const METADATA: NodeId = 3;
const USAGE_SHAPE: usize = 4;
const ERROR_SHAPE: usize = 5;
const RESERVED: usize = 6;

const MAX_NODES: usize = 256;
/// Many more than there are edges, so that a factor without collisions is found after few trials.
const SLOTS: usize = 1 << SLOT_BITS;
const SLOT_BITS: u32 = 12;

/// No known key is longer than four words of eight bytes.
pub(super) const MAX_KEY_LEN: usize = 32;
/// Keys are looked up in an array of this size, whatever follows the key in it: its words can then be
/// loaded without asking for the key's end.
pub(super) const KEY_CAPACITY: usize = 40;

/// The one key that leads to a node from another.
#[derive(Clone, Copy)]
struct Edge {
    /// The key's first eight bytes, zero-padded, which are all of most keys that matter.
    head: u64,
    /// The two words after those, and the key's last eight bytes, where it is long enough.
    middle: [u64; 2],
    tail: u64,
    /// The head mixed with where it leads from and the key's length.
    fingerprint: u64,
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

#[inline]
const fn fingerprint(head: u64, keys: ObjectKeys, len: usize) -> u64 {
    head ^ keys.0 ^ (len as u64) << 48
}

/// What a position in a document means.
#[derive(Clone, Copy)]
pub(super) struct Node {
    /// What is done with the value found here.
    pub(super) action: Action,
    /// What an element is, if the value is an array.
    pub(super) element: NodeId,
    /// Its own, or those of the shape it shares.
    keys: ObjectKeys,
    has_keys: bool,
}

impl Node {
    /// Whether any key of an object here is of interest.
    pub(super) const fn has_keys(&self) -> bool {
        self.has_keys
    }

    /// Its keys.
    #[inline]
    pub(super) fn keys(&self) -> ObjectKeys {
        self.keys
    }
}

/// The keys of an object: where they lead from, in the highest bits.
#[derive(Clone, Copy)]
pub(super) struct ObjectKeys(u64);

impl ObjectKeys {
    const fn of(node: usize) -> Self {
        Self((node as u64) << 56)
    }

    /// The node that a key leads to, which is the first `len` of these bytes.
    #[inline(always)]
    pub(super) fn find(self, key: &[u8; KEY_CAPACITY], len: usize) -> NodeId {
        // Computing the mask instead takes 2 % of a chat answer.
        let Some(mask) = HEAD_MASKS.get(len) else { return DEAD };
        let head = word(key, 0) & mask;
        let fingerprint = fingerprint(head, self, len);
        let number = TABLE.slots[hash(fingerprint, TABLE.factor)];
        if number == DEAD {
            return DEAD;
        }
        let edge = &TABLE.edges[usize::from(number)];
        // Parent and length are in bytes 7 and 6, where a long head is as well; but with the same
        // head, the same fingerprint means the same parent and length.
        if edge.fingerprint == fingerprint && edge.head == head && edge.matches_rest(key, len) {
            number
        } else {
            DEAD
        }
    }
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

/// Where an edge is, if it is any.
#[inline]
const fn hash(fingerprint: u64, factor: u64) -> usize {
    (fingerprint.wrapping_mul(factor) >> (u64::BITS - SLOT_BITS)) as usize
}

/// The node of that number.
#[inline]
pub(super) fn node(id: NodeId) -> &'static Node {
    &TABLE.nodes[usize::from(id)]
}

struct PathTable {
    nodes: [Node; MAX_NODES],
    /// The edges, by the node that they lead to.
    edges: [Edge; MAX_NODES],
    /// The number of the edge that hashes so with the factor; there is no other.
    slots: [NodeId; SLOTS],
    factor: u64,
}

static TABLE: PathTable = compile();

/// A trie while it is built: nodes as linked lists of children.
struct Builder {
    action: [Action; MAX_NODES],
    element: [usize; MAX_NODES],
    first: [usize; MAX_NODES],
    next: [usize; MAX_NODES],
    key: [&'static [u8]; MAX_NODES],
    len: usize,
}

impl Builder {
    const fn add_node(&mut self, key: &'static [u8]) -> usize {
        let id = self.len;
        assert!(id < MAX_NODES, "the table of paths needs more nodes");
        self.key[id] = key;
        self.len += 1;
        id
    }

    const fn child(&mut self, parent: usize, key: &'static [u8]) -> usize {
        let mut at = self.first[parent];
        while at != 0 {
            if bytes_eq(self.key[at], key) {
                return at;
            }
            at = self.next[at];
        }
        let id = self.add_node(key);
        self.next[id] = self.first[parent];
        self.first[parent] = id;
        id
    }

    /// Adds the node of a path such as `choices[].error.code`.
    const fn add_path(&mut self, root: usize, path: &'static [u8]) -> usize {
        let mut at = root;
        let mut from = 0;
        while from < path.len() {
            let mut to = from;
            while to < path.len() && path[to] != b'.' && path[to] != b'[' {
                to += 1;
            }
            if to > from {
                at = self.child(at, slice(path, from, to));
            }
            while to < path.len() && path[to] == b'[' {
                assert!(path[to + 1] == b']', "only `[]` is understood");
                if self.element[at] == 0 {
                    self.element[at] = self.add_node(b"[]");
                }
                at = self.element[at];
                to += 2;
            }
            from = to + 1;
        }
        at
    }

    const fn add_rows(&mut self, root: usize, rows: &'static [Row]) {
        let mut i = 0;
        while i < rows.len() {
            let at = self.add_path(root, rows[i].0.as_bytes());
            assert!(matches!(self.action[at], Action::None), "a path is in the table twice");
            self.action[at] = rows[i].1;
            i += 1;
        }
    }
}

const fn bytes_eq(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

const fn slice(bytes: &'static [u8], from: usize, to: usize) -> &'static [u8] {
    bytes.split_at(to).0.split_at(from).1
}

/// Up to eight of a key's bytes, zero-padded.
const fn const_word(key: &[u8], from: usize) -> u64 {
    let mut word = 0;
    let mut i = 0;
    while from + i < key.len() && i < 8 {
        word |= (key[from + i] as u64) << (8 * i);
        i += 1;
    }
    word
}

#[allow(long_running_const_eval, reason = "it is a compiler, and bounded by the table")]
const fn compile() -> PathTable {
    let mut builder = Builder {
        action: [Action::None; MAX_NODES],
        element: [0; MAX_NODES],
        first: [0; MAX_NODES],
        next: [0; MAX_NODES],
        key: [b""; MAX_NODES],
        len: RESERVED,
    };
    builder.add_rows(ROOT as usize, formats::ROOT);
    builder.add_rows(CHUNK as usize, formats::CHUNK);
    builder.add_rows(METADATA as usize, formats::METADATA);
    builder.add_rows(USAGE_SHAPE, formats::USAGE);
    builder.add_rows(ERROR_SHAPE, formats::ERROR);
    // An answer may be an array of answers.
    builder.element[ROOT as usize] = ROOT as usize;

    let nothing =
        Node { action: Action::None, element: DEAD, keys: ObjectKeys::of(0), has_keys: false };
    let mut nodes = [nothing; MAX_NODES];
    let mut edges = [Edge { head: 0, middle: [0; 2], tail: 0, fingerprint: u64::MAX }; MAX_NODES];
    let mut id = 1;
    while id < builder.len {
        let mut at = builder.first[id];
        while at != 0 {
            let key = builder.key[at];
            assert!(key.len() <= MAX_KEY_LEN, "a key is too long");
            let head = const_word(key, 0);
            let edge = Edge {
                head,
                middle: [const_word(key, 8), const_word(key, 16)],
                tail: const_word(key, key.len().saturating_sub(8)),
                fingerprint: fingerprint(head, ObjectKeys::of(id), key.len()),
            };
            edges[at] = edge;
            at = builder.next[at];
        }
        nodes[id] = Node {
            action: builder.action[id],
            element: builder.element[id] as NodeId,
            keys: ObjectKeys::of(id),
            has_keys: builder.first[id] != 0,
        };
        id += 1;
    }
    // Usage objects have one shape wherever they are, and so have errors.
    let mut id = RESERVED;
    while id < builder.len {
        let shape = match builder.action[id] {
            Action::Usage(_) => USAGE_SHAPE,
            Action::Error => ERROR_SHAPE,
            _ => 0,
        };
        if shape != 0 {
            assert!(!nodes[id].has_keys, "a usage object or an error has keys of its own");
            nodes[id].keys = ObjectKeys::of(shape);
            nodes[id].has_keys = true;
        }
        id += 1;
    }
    let (slots, factor) = perfect_hash(&edges, builder.len);
    PathTable { nodes, edges, slots, factor }
}

/// How many factors are tried. A few dozens are enough for the paths there are.
const MAX_FACTORS: u64 = 1_000;

/// Finds a factor with which no two edges hash alike.
const fn perfect_hash(edges: &[Edge; MAX_NODES], len: usize) -> ([NodeId; SLOTS], u64) {
    let mut slots = [DEAD; SLOTS];
    // Which factor each slot was taken with last.
    let mut taken = [0_u64; SLOTS];
    let first = 0x9e37_79b9_7f4a_7c15;
    let mut factor = first;
    'factors: loop {
        factor += 2;
        assert!(factor < first + MAX_FACTORS * 2, "the table of paths needs more `SLOT_BITS`");
        let mut id = RESERVED;
        while id < len {
            if edges[id].fingerprint != u64::MAX {
                let slot = hash(edges[id].fingerprint, factor);
                if taken[slot] == factor {
                    continue 'factors;
                }
                taken[slot] = factor;
                slots[slot] = id as NodeId;
            }
            id += 1;
        }
        break;
    }
    let mut slot = 0;
    while slot < SLOTS {
        if taken[slot] != factor {
            slots[slot] = DEAD;
        }
        slot += 1;
    }
    (slots, factor)
}
