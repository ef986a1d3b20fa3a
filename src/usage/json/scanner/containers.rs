//! The objects and arrays that the scanner is in, and the keys of those objects whose keys matter as
//! a whole.

use super::{MAX_DEPTH, MAX_ENVELOPES, STACK_SIZE, Scanner, State};
use crate::usage::json::Visitor;
use crate::usage::json::path_table::{self, Node, NodeId};
use crate::usage::json::simd::ContainerEnd;

impl Scanner {
    /// The open objects and arrays from the root inwards, and which of them are arrays.
    pub(in crate::usage::json) fn containers(&self) -> impl Iterator<Item = (NodeId, bool)> {
        let depth = self.depth as usize;
        let nodes = self.stack.iter().take(depth).enumerate();
        nodes.map(move |(i, node)| (*node, self.arrays >> (depth - 1 - i) & 1 != 0))
    }

    #[inline]
    pub(in crate::usage::json) fn has_capacity(&self, more: usize) -> bool {
        self.depth as usize + more <= MAX_DEPTH
    }

    /// What ends the innermost open object or array.
    #[inline]
    pub(in crate::usage::json) fn closing(&self) -> Option<&'static u8> {
        match (self.depth, self.arrays & 1) {
            (0, _) => None,
            (_, 0) => Some(&b'}'),
            _ => Some(&b']'),
        }
    }

    #[inline]
    pub(in crate::usage::json) fn in_object(&self) -> bool {
        self.depth > 0 && self.arrays & 1 == 0
    }

    #[inline]
    pub(in crate::usage::json) fn parent(&self) -> &'static Node {
        let top = self.depth.wrapping_sub(1) as usize;
        path_table::node(self.stack[top % STACK_SIZE])
    }

    /// The value at hand is an object or array that is not followed.
    #[inline]
    pub(super) fn skip_container(&mut self, bytes: &[u8], visitor: &mut impl Visitor) -> usize {
        self.container = ContainerEnd::after_open();
        self.state = State::SkippedContainer;
        let end = self.container.find(&bytes[1..]);
        self.end_skip(bytes, end.map(|end| end + 1), visitor)
    }

    /// Goes into an object.
    pub(super) fn open_object(&mut self, node: &Node, visitor: &mut impl Visitor) {
        self.open_plain_object(node, visitor);
        if node.has_wildcards {
            self.wildcard_depth = self.depth;
            self.state = State::WildcardKey;
        }
    }

    /// The same, if none of its unknown keys means anything.
    #[inline(always)]
    pub(in crate::usage::json) fn open_plain_object(
        &mut self,
        node: &Node,
        visitor: &mut impl Visitor,
    ) {
        if node.has_begin {
            visitor.begin_object(node.action);
        }
        if (node.is_scope || self.key_sets != 0) && self.depth > 0 {
            self.save_key_sets();
        }
        self.push_container(node.id, false);
        self.state = State::Key;
    }

    /// Begins the sets of keys of an object in another one: of one whose keys matter, or if those of
    /// the object around it would change with it. Once an object is in no set, nothing in it matters.
    #[inline(never)]
    pub(super) fn save_key_sets(&mut self) {
        self.outer_key_sets = self.outer_key_sets << 8 | u64::from(self.key_sets);
        self.saved_key_sets |= 1 << self.depth;
        self.key_sets = u8::MAX;
    }

    /// Ends the sets of keys of an object, and returns to those of the object around it.
    #[cold]
    pub(super) fn restore_key_sets(&mut self) {
        self.key_sets = self.outer_key_sets as u8;
        self.outer_key_sets >>= 8;
        self.saved_key_sets &= !(1 << self.depth);
    }

    /// Whether an object here is no answer any more, since too many are around it.
    pub(super) fn is_too_deep(&self, node: &Node) -> bool {
        let arrays = self.arrays & ((1 << self.depth) - 1);
        node.is_envelope && self.depth - arrays.count_ones() > MAX_ENVELOPES
    }

    /// Notes a key of the innermost object, by the node that it leads to and the first byte of its
    /// value. To note it twice changes nothing. Counts are not noted: an object with nothing else is
    /// no result.
    #[inline(always)]
    pub(in crate::usage::json) fn note_key(&mut self, node: &Node, first: u8) {
        self.key_sets &= node.key_sets | NO_VALUE[usize::from(first)];
    }

    /// Goes into an object or array.
    #[inline]
    pub(in crate::usage::json) fn push_container(&mut self, node: NodeId, array: bool) {
        self.stack[self.depth as usize % STACK_SIZE] = node;
        self.arrays = self.arrays << 1 | u32::from(array);
        self.depth += 1;
    }

    /// The innermost open object or array ends.
    #[inline(always)]
    pub(in crate::usage::json) fn close_container(&mut self, visitor: &mut impl Visitor) {
        let node = self.parent();
        if self.arrays & 1 == 0 && node.has_end {
            if visitor.is_traced() {
                visitor.trace_end(node.action, self.object_path());
            }
            visitor.end_object(node.action, self.key_sets);
        }
        self.depth = self.depth.wrapping_sub(1);
        self.arrays >>= 1;
        if self.saved_key_sets != 0 && self.saved_key_sets >> self.depth & 1 != 0 {
            self.restore_key_sets();
        }
    }
}

/// All sets, for what shows no value yet, and for null: a key without a value is as good as none.
static NO_VALUE: [u8; 256] = {
    let mut sets = [0; 256];
    let mut byte = 0;
    while byte <= b' ' as usize {
        sets[byte] = u8::MAX;
        byte += 1;
    }
    sets[b'n' as usize] = u8::MAX;
    sets
};
