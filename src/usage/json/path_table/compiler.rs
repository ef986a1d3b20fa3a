//! Compiles the tables of paths into the one that is looked up, while the crate compiles.
//!
//! A row adds the nodes of its path to a trie. Then each node with keys of its own gets edges: for
//! these, and for those keys of the shapes that it extends that it does not have itself.

use super::{
    DEAD, Edge, MAX_EDGES, MAX_KEY_LEN, MAX_NODES, MAX_PROBES, MAX_WILDCARDS, Node, NodeId,
    ObjectKeys, PathTable, RESERVED, ROOT, SLOT_COUNT, Wildcard, WildcardKind, hash,
};
use crate::usage::formats::{Action, KEY_SETS, Row, SHAPES, Shape};

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
pub(super) const fn compile() -> PathTable {
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

    let mut table = PathTable {
        names: builder.key,
        nodes: [NOTHING; MAX_NODES],
        edges: [Edge { head: 0, middle: [0; 2], tail: 0, origin: 0, to: NOTHING }; MAX_EDGES],
        slots: [0; SLOT_COUNT],
        wildcards: [Wildcard { keys_of: DEAD, part: "", kind: WildcardKind::End, to: DEAD };
            MAX_WILDCARDS],
    };
    let mut id = 1;
    while id < builder.len {
        table.nodes[id] = builder.node(id, key_sets[id]);
        id += 1;
    }
    let mut filled = Filled { edges: 1, wildcards: 0 };
    let mut id = 1;
    while id < builder.len {
        if table.nodes[id].keys_of as usize == id {
            add_keys(&builder, &mut table, &mut filled, id);
        }
        id += 1;
    }
    table
}

const NOTHING: Node = Node {
    id: DEAD,
    action: Action::None,
    key_sets: 0,
    is_envelope: false,
    is_scope: false,
    has_wildcards: false,
    has_keys: false,
    is_plain: false,
    has_begin: false,
    has_end: false,
    element: DEAD,
    keys_of: DEAD,
};

impl Builder {
    const fn node(&self, id: usize, key_sets: u8) -> Node {
        let (action, shape) = (self.action[id], self.shape[id]);
        let is_envelope = id >= RESERVED
            && matches!(shape, Some(Shape::Envelope | Shape::Response | Shape::Task));
        let keys_of = match shape {
            _ if id < RESERVED || self.first[id] != 0 => id,
            // Without keys of its own, an object has those of its shape.
            Some(shape) => shape as usize,
            None => DEAD as usize,
        };
        let has_keys = keys_of != DEAD as usize;
        let has_wildcards = has_keys && self.has_wildcards(keys_of);
        Node {
            id: id as NodeId,
            action,
            key_sets,
            is_envelope,
            is_scope: id == ROOT as usize || matches!(action, Action::Response | Action::Task),
            has_wildcards,
            has_keys,
            is_plain: has_keys && !has_wildcards && !is_envelope,
            has_begin: action.has_begin(),
            has_end: action.has_end(),
            element: self.element[id] as NodeId,
            keys_of: keys_of as NodeId,
        }
    }

    /// Whether a key of an object is a pattern: one of its own, or of a shape that it extends.
    const fn has_wildcards(&self, object: usize) -> bool {
        let mut at = self.first[object];
        while at != 0 {
            if wildcard(self.key[at]).is_some() {
                return true;
            }
            at = self.next[at];
        }
        match self.shape[object] {
            Some(shape) => self.has_wildcards(shape as usize),
            None => false,
        }
    }
}

/// How much of the tables is used.
struct Filled {
    edges: usize,
    wildcards: usize,
}

/// Adds the keys of a node: its own, and those that it does not have itself of the shapes that it
/// extends.
const fn add_keys(builder: &Builder, table: &mut PathTable, filled: &mut Filled, id: usize) {
    let mut from = Some(id);
    while let Some(object) = from {
        let mut at = builder.first[object];
        while at != 0 {
            let key = builder.key[at];
            if let Some((kind, part)) = wildcard(key) {
                table.wildcards[filled.wildcards] =
                    Wildcard { keys_of: id as NodeId, part, kind, to: at as NodeId };
                filled.wildcards += 1;
            } else {
                add_edge(table, filled, ObjectKeys::of(id), key.as_bytes(), at);
            }
            at = builder.next[at];
        }
        from = match builder.shape[object] {
            Some(shape) => Some(shape as usize),
            None => None,
        };
    }
}

/// Adds the edge of a key, unless the object has the key.
const fn add_edge(
    table: &mut PathTable,
    filled: &mut Filled,
    keys: ObjectKeys,
    key: &[u8],
    to: usize,
) {
    assert!(key.len() <= MAX_KEY_LEN, "a key is too long");
    let head = const_word(key, 0);
    let edge = Edge {
        head,
        middle: [const_word(key, 8), const_word(key, 16)],
        tail: const_word(key, key.len().saturating_sub(8)),
        origin: keys.origin(key.len()),
        to: table.nodes[to],
    };
    let (mut slot, mut probes) = (hash(head, edge.origin), 1);
    while table.slots[slot] != DEAD {
        let other = &table.edges[table.slots[slot] as usize];
        if other.head == edge.head
            && other.origin == edge.origin
            && other.tail == edge.tail
            && other.middle[0] == edge.middle[0]
            && other.middle[1] == edge.middle[1]
        {
            return;
        }
        slot = (slot + 1) % SLOT_COUNT;
        probes += 1;
    }
    assert!(probes <= MAX_PROBES, "too many keys hash alike: try another `FACTOR`");
    assert!(filled.edges < MAX_EDGES, "the table of paths needs more edges");
    table.edges[filled.edges] = edge;
    table.slots[slot] = filled.edges as u16;
    filled.edges += 1;
}
