//! The table of paths, compiled into a trie at build time and looked up by one multiplication.
//!
//! A node is a position in a document: what is done with the value there, which keys lead on from it,
//! and what the elements are if it is an array. Nodes are numbers; 0 is [`DEAD`], where no known path
//! leads. An object has keys of its own, or those of a [`Shape`] that it has in common with others.
//! All edges of the trie are in one hash table:
//!
//! ```text
//! find(keys, key):
//!     head        = the key's first 8 bytes, zero-padded
//!     fingerprint = head ^ keys ^ len << 58
//!     slot        = fingerprint * FACTOR >> 50
//!     while slots[slot] is an edge:
//!         it is this key?  the node that it leads to
//!         slot += 1
//!     DEAD
//! ```
//!
//! **Invariant.** A lookup looks at [`MAX_PROBES`] edges at most, whatever keys a document has: if
//! more share a slot, the crate does not compile. One slot in twenty is used, so nearly all lookups
//! look at one edge, or none.
//!
//! **Cost.** Some 100 KB of static tables; an answer touches a few dozen lines of them. Looking for
//! the key edge by edge instead makes a chat answer 3.9 times as expensive.

use crate::usage::formats::{Action, KEY_SETS, Row, SHAPES, Shape};

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
const MAX_NODES: usize = 512;
const MAX_EDGES: usize = 1024;
/// Many more than there are edges, so that few share one.
const SLOTS: usize = 1 << SLOT_BITS;
const SLOT_BITS: u32 = 14;
const MAX_WILDCARDS: usize = 8;
/// How many edges may share a slot, or follow one that does.
const MAX_PROBES: usize = 4;
/// Any odd number whose bits look random: 2^64 divided by the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

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
    /// The head mixed with where it leads from and the key's length.
    fingerprint: u64,
    to: NodeId,
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
#[repr(align(32))]
pub(super) struct Node {
    /// What is done with the value found here.
    pub(super) action: Action,
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
    /// Its own keys, or those of the shape it shares.
    keys: ObjectKeys,
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
    pub(super) fn keys(&self) -> ObjectKeys {
        self.keys
    }
}

/// The keys of an object: where they lead from, in bits that no head of eight letters has alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct ObjectKeys(u64);

impl ObjectKeys {
    const fn of(node: usize) -> Self {
        Self((node as u64) << 48)
    }

    #[inline]
    const fn fingerprint(self, head: u64, len: usize) -> u64 {
        head ^ self.0 ^ (len as u64) << 58
    }

    /// The node that a key leads to, which is the first `len` of these bytes.
    #[inline(always)]
    pub(super) fn find(self, key: &[u8; KEY_CAPACITY], len: usize) -> NodeId {
        // Computing the mask instead takes 2 % of a chat answer.
        let Some(mask) = HEAD_MASKS.get(len) else { return DEAD };
        let head = word(key, 0) & mask;
        let fingerprint = self.fingerprint(head, len);
        let slot = hash(fingerprint);
        let number = TABLE.slots[slot];
        if number == DEAD {
            return DEAD;
        }
        let edge = &TABLE.edges[usize::from(number) % MAX_EDGES];
        // Parent and length are in bytes where a long head is as well; but with the same head, the
        // same fingerprint means the same parent and length.
        if edge.fingerprint == fingerprint && edge.head == head && edge.matches_rest(key, len) {
            return edge.to;
        }
        find_from(slot + 1, fingerprint, head, key, len)
    }
}

/// The node of a key whose slot has another one's.
#[inline(never)]
fn find_from(
    mut slot: usize,
    fingerprint: u64,
    head: u64,
    key: &[u8; KEY_CAPACITY],
    len: usize,
) -> NodeId {
    loop {
        let number = TABLE.slots[slot % SLOTS];
        if number == DEAD {
            return DEAD;
        }
        let edge = &TABLE.edges[usize::from(number) % MAX_EDGES];
        if edge.fingerprint == fingerprint && edge.head == head && edge.matches_rest(key, len) {
            return edge.to;
        }
        slot += 1;
    }
}

/// Where an edge is, if it is any.
#[inline]
const fn hash(fingerprint: u64) -> usize {
    (fingerprint.wrapping_mul(FACTOR) >> (u64::BITS - SLOT_BITS)) as usize
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
    &TABLE.nodes[usize::from(id) % MAX_NODES]
}

/// The last key of the path to this node.
#[cold]
pub(super) fn key(id: NodeId) -> &'static str {
    TABLE.names[usize::from(id) % MAX_NODES]
}

/// The sets of keys that this key belongs to, as bits of [`KeySet`].
#[inline]
pub(super) fn key_sets(id: NodeId) -> u8 {
    TABLE.key_sets[usize::from(id) % MAX_NODES]
}

/// The node of a key that is not among the keys of this object, if it has a known part.
#[cold]
pub(super) fn find_wildcard(object: &Node, key: &[u8]) -> NodeId {
    let matches = |wildcard: &&Wildcard| {
        let part = wildcard.part.as_bytes();
        wildcard.keys == object.keys
            && match wildcard.kind {
                WildcardKind::Any => true,
                WildcardKind::End => key.ends_with(part),
                WildcardKind::Part => memchr::memmem::find(key, part).is_some(),
            }
    };
    TABLE.wildcards.iter().find(matches).map_or(DEAD, |wildcard| wildcard.to)
}

/// A path whose last key is a pattern.
#[derive(Clone, Copy)]
struct Wildcard {
    /// The keys beside which it stands.
    keys: ObjectKeys,
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
    key_sets: [u8; MAX_NODES],
    edges: [Edge; MAX_EDGES],
    /// The numbers of edges, from the slots that they hash to.
    slots: [u16; SLOTS],
    wildcards: [Wildcard; MAX_WILDCARDS],
}

static TABLE: PathTable = compile();

/// A trie while it is built: nodes as linked lists of children.
struct Builder {
    action: [Action; MAX_NODES],
    shape: [Option<Shape>; MAX_NODES],
    element: [usize; MAX_NODES],
    first: [usize; MAX_NODES],
    next: [usize; MAX_NODES],
    key: [&'static str; MAX_NODES],
    len: usize,
}

impl Builder {
    const fn add_node(&mut self, key: &'static str) -> usize {
        let id = self.len;
        assert!(id < MAX_NODES, "the table of paths needs more nodes");
        self.key[id] = key;
        self.len += 1;
        id
    }

    const fn find_child(&self, parent: usize, key: &str) -> usize {
        let mut at = self.first[parent];
        while at != 0 && !bytes_eq(self.key[at].as_bytes(), key.as_bytes()) {
            at = self.next[at];
        }
        at
    }

    const fn child(&mut self, parent: usize, key: &'static str) -> usize {
        let known = self.find_child(parent, key);
        if known != 0 {
            return known;
        }
        let id = self.add_node(key);
        // At the end, so that wildcards are tried in the order of their rows.
        let mut last = self.first[parent];
        if last == 0 {
            self.first[parent] = id;
        } else {
            while self.next[last] != 0 {
                last = self.next[last];
            }
            self.next[last] = id;
        }
        id
    }

    /// Adds the node of a path such as `choices[].error.code`.
    const fn add_path(&mut self, root: usize, path: &'static str) -> usize {
        let bytes = path.as_bytes();
        let (mut at, mut from) = (root, 0);
        while from < bytes.len() {
            let mut to = from;
            while to < bytes.len() && !matches!(bytes[to], b'.' | b'[' | b'{') {
                to += 1;
            }
            if to > from {
                at = self.child(at, path.split_at(to).0.split_at(from).1);
            }
            while to < bytes.len() && bytes[to] != b'.' {
                assert!(matches!([bytes[to], bytes[to + 1]], [b'[', b']'] | [b'{', b'}']));
                if bytes[to] == b'[' {
                    if self.element[at] == 0 {
                        self.element[at] = self.add_node("[]");
                    }
                    at = self.element[at];
                }
                to += 2;
            }
            from = to + 1;
        }
        at
    }

    const fn add_rows(&mut self, root: usize, rows: &'static [Row]) {
        let mut i = 0;
        while i < rows.len() {
            let (path, action) = (rows[i].0, rows[i].1);
            let at = self.add_path(root, path);
            if action.shape().is_some() {
                self.shape[at] = action.shape();
            }
            if !ends_with_braces(path.as_bytes()) {
                assert!(matches!(self.action[at], Action::None), "a path is in the table twice");
                self.action[at] = action;
            }
            i += 1;
        }
    }

    const fn add_key_sets(&mut self, key_sets: &mut [u8; MAX_NODES]) {
        let (mut i, answer) = (0, Shape::Response as usize);
        while i < KEY_SETS.len() {
            let (set, keys) = KEY_SETS[i];
            let mut j = 0;
            while j < keys.len() {
                let in_envelope = self.find_child(Shape::Envelope as usize, keys[j]);
                let in_answer = match self.find_child(answer, keys[j]) {
                    0 if in_envelope != 0 => in_envelope,
                    _ => self.child(answer, keys[j]),
                };
                key_sets[in_answer] |= set as u8;
                // The root has its own node for some of them.
                let in_root = self.find_child(ROOT as usize, keys[j]);
                if in_root != 0 {
                    key_sets[in_root] |= set as u8;
                }
                // So do the answers in it that have longer paths of their own.
                let mut object = self.first[ROOT as usize];
                while object != 0 {
                    let in_object = self.find_child(object, keys[j]);
                    if in_object != 0 && matches!(self.shape[object], Some(Shape::Response)) {
                        key_sets[in_object] |= set as u8;
                    }
                    object = self.next[object];
                }
                j += 1;
            }
            i += 1;
        }
    }
}

const fn ends_with_braces(path: &[u8]) -> bool {
    path[path.len() - 1] == b'}'
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

/// The wildcard that a key of a path is, if it has stars.
const fn wildcard(key: &'static str) -> Option<(WildcardKind, &'static str)> {
    let bytes = key.as_bytes();
    if bytes[0] != b'*' {
        return None;
    }
    let part = key.split_at(1).1;
    Some(match part.len() {
        0 => (WildcardKind::Any, part),
        len if bytes[len] == b'*' => (WildcardKind::Part, part.split_at(len - 1).0),
        _ => (WildcardKind::End, part),
    })
}

#[allow(long_running_const_eval, reason = "it is a compiler, and bounded by the table")]
const fn compile() -> PathTable {
    let mut builder = Builder {
        action: [Action::None; MAX_NODES],
        shape: [None; MAX_NODES],
        element: [0; MAX_NODES],
        first: [0; MAX_NODES],
        next: [0; MAX_NODES],
        key: [""; MAX_NODES],
        len: RESERVED,
    };
    let mut i = 0;
    while i < SHAPES.len() {
        let (shape, rows, extended) = SHAPES[i];
        builder.add_rows(shape as usize, rows);
        builder.shape[shape as usize] = extended;
        i += 1;
    }
    // An answer may be an array of answers.
    builder.element[ROOT as usize] = ROOT as usize;
    let mut key_sets = [0; MAX_NODES];
    builder.add_key_sets(&mut key_sets);

    let nothing = Node {
        action: Action::None,
        is_envelope: false,
        is_scope: false,
        has_wildcards: false,
        has_keys: false,
        is_plain: false,
        has_begin: false,
        has_end: false,
        element: DEAD,
        keys: ObjectKeys::of(0),
    };
    let no_edge = Edge { head: 0, middle: [0; 2], tail: 0, fingerprint: 0, to: DEAD };
    let no_wildcard =
        Wildcard { keys: ObjectKeys::of(0), part: "", kind: WildcardKind::End, to: DEAD };
    let mut table = PathTable {
        names: builder.key,
        nodes: [nothing; MAX_NODES],
        key_sets,
        edges: [no_edge; MAX_EDGES],
        slots: [0; SLOTS],
        wildcards: [no_wildcard; MAX_WILDCARDS],
    };
    let mut filled = Filled { edges: 1, wildcards: 0 };
    let mut id = 1;
    while id < builder.len {
        table.nodes[id].action = builder.action[id];
        table.nodes[id].element = builder.element[id] as NodeId;
        table.nodes[id].has_begin = builder.action[id].has_begin();
        table.nodes[id].has_end = builder.action[id].has_end();
        table.nodes[id].is_scope =
            id == ROOT as usize || matches!(builder.action[id], Action::Response | Action::Task);
        table.nodes[id].is_envelope = id >= RESERVED
            && matches!(builder.shape[id], Some(Shape::Envelope | Shape::Response | Shape::Task));
        if builder.first[id] != 0 || id < RESERVED {
            add_keys(&builder, &mut table, &mut filled, id);
        }
        id += 1;
    }
    let mut id = builder.len;
    // Without keys of its own, an object has those of its shape.
    while id > RESERVED {
        id -= 1;
        if let Some(shape) = builder.shape[id]
            && builder.first[id] == 0
        {
            let shape = table.nodes[shape as usize];
            table.nodes[id].keys = shape.keys;
            table.nodes[id].has_keys = true;
            table.nodes[id].has_wildcards = shape.has_wildcards;
        }
        let node = &mut table.nodes[id];
        node.is_plain = node.has_keys && !node.has_wildcards && !node.is_envelope;
    }
    table
}

/// How much of the tables is used.
struct Filled {
    edges: usize,
    wildcards: usize,
}

/// Adds the keys of a node: its own, and those that it does not have itself of the shapes that it
/// extends.
const fn add_keys(builder: &Builder, table: &mut PathTable, filled: &mut Filled, id: usize) {
    let keys = ObjectKeys::of(id);
    let first_wildcard = filled.wildcards;
    let mut from = Some(id);
    while let Some(object) = from {
        let mut at = builder.first[object];
        while at != 0 {
            let key = builder.key[at];
            if let Some((kind, part)) = wildcard(key) {
                table.wildcards[filled.wildcards] = Wildcard { keys, part, kind, to: at as NodeId };
                filled.wildcards += 1;
            } else {
                add_edge(table, filled, keys, key.as_bytes(), at as NodeId);
            }
            at = builder.next[at];
        }
        from = match builder.shape[object] {
            Some(shape) => Some(shape as usize),
            None => None,
        };
    }
    table.nodes[id].keys = keys;
    table.nodes[id].has_keys = true;
    table.nodes[id].has_wildcards = filled.wildcards > first_wildcard;
}

/// Adds the edge of a key, unless the object has the key.
const fn add_edge(
    table: &mut PathTable,
    filled: &mut Filled,
    keys: ObjectKeys,
    key: &[u8],
    to: NodeId,
) {
    assert!(key.len() <= MAX_KEY_LEN, "a key is too long");
    let head = const_word(key, 0);
    let edge = Edge {
        head,
        middle: [const_word(key, 8), const_word(key, 16)],
        tail: const_word(key, key.len().saturating_sub(8)),
        fingerprint: keys.fingerprint(head, key.len()),
        to,
    };
    let (mut slot, mut probes) = (hash(edge.fingerprint), 1);
    while table.slots[slot] != DEAD {
        let other = &table.edges[table.slots[slot] as usize];
        if other.fingerprint == edge.fingerprint
            && other.head == edge.head
            && other.tail == edge.tail
            && other.middle[0] == edge.middle[0]
            && other.middle[1] == edge.middle[1]
        {
            return;
        }
        slot = (slot + 1) % SLOTS;
        probes += 1;
    }
    assert!(probes <= MAX_PROBES, "too many keys hash alike: try another `FACTOR`");
    assert!(filled.edges < MAX_EDGES, "the table of paths needs more edges");
    table.edges[filled.edges] = edge;
    table.slots[slot] = filled.edges as u16;
    filled.edges += 1;
}
