//! A JSON scanner that follows known paths only, and can stop and resume at any byte.
//!
//! ```text
//! value, by its first byte and by what its node means:
//!     object or array on a known path:  push it; go on with its members or elements
//!     count, word, flag:                read it and pass it to the visitor
//!     text of an error, base64:         pass it on in pieces, with its escapes
//!     anything else:                    skip it whole, by `simd`, without looking anything up
//! after a value:
//!     `,`         the next key or element
//!     `}` or `]`  pop; with nothing left to pop, the document is done
//! ```
//!
//! Members are read by [`fast_path`](super::fast_path) as long as they are plain; the states here
//! read all the rest, a byte at a time.
//!
//! **Invariant.** The state is all that is carried from one piece to the next: wherever the bytes are
//! cut, the visitor gets the same calls, except that a text comes in other pieces. Each step reads a
//! byte or changes to a state that will, so that the work is linear. This is no validator: what is
//! skipped is only searched for its end, and what is not JSON leads to [`State::Invalid`] or to
//! something harmless, never to a panic.
//!
//! **Cost.** 160 bytes of state, and no allocation. Of `benches/usage`, in pieces of 16 KiB: 2.2
//! instructions a byte for a chat answer of 2 KB, 0.55 for one long string, 0.47 for arrays of
//! numbers, 1.2 for objects that are skipped.

mod containers;
mod state;

pub(super) use self::state::State;
use super::Visitor;
use super::key_buffer::KeyBuffer;
use super::number::Number;
use super::path_table::{self, DEAD, NodeId};
use super::simd::{ContainerEnd, StringEnd};
use crate::usage::formats::{Action, CountOp, ErrorPart, IdField, Word};

/// Deeper than any known path. What is nested deeper is skipped.
const MAX_DEPTH: usize = 12;
/// How many objects may be around a known path only to wrap an answer.
const MAX_ENVELOPES: u32 = 3;
/// Room for them, rounded up so that a remainder replaces the check of each index: 3 % of a chat
/// answer.
const STACK_SIZE: usize = MAX_DEPTH.next_power_of_two();

/// Where the reader is in its document.
#[derive(Clone, Debug)]
pub(in crate::usage) struct Scanner {
    pub(super) state: State,
    root: NodeId,
    /// What the value at hand means.
    pub(super) node: NodeId,
    /// The open objects and arrays that are followed, by what they mean.
    stack: [NodeId; STACK_SIZE],
    pub(super) depth: u32,
    /// Which of them are arrays, from bit 0, the innermost, outwards.
    arrays: u32,
    string: StringEnd,
    container: ContainerEnd,
    scalar: Scalar,
    /// The sets that have all keys of the innermost object so far, as bits of
    /// [`KeySet`](crate::usage::formats::KeySet).
    pub(super) key_sets: u8,
    /// The same for the objects and arrays around it, eight of them: a byte each, from the lowest
    /// outwards.
    outer_key_sets: u64,
    /// At which depths they were saved, as bits.
    saved_key_sets: u32,
    /// The depth of an object whose unknown keys may mean something, or zero. It may have ended.
    pub(super) wildcard_depth: u32,
    pub(super) key_buffer: KeyBuffer,
}

/// A number, or a literal, as far as it was read.
#[derive(Clone, Copy, Debug, Default)]
struct Scalar {
    number: Number,
    first: u8,
}

impl Scanner {
    pub(in crate::usage) fn new(root: NodeId) -> Self {
        Self {
            state: State::Start,
            root,
            node: root,
            stack: [DEAD; STACK_SIZE],
            depth: 0,
            arrays: 0,
            string: StringEnd::default(),
            container: ContainerEnd::default(),
            scalar: Scalar::default(),
            key_sets: u8::MAX,
            outer_key_sets: 0,
            saved_key_sets: 0,
            wildcard_depth: 0,
            key_buffer: KeyBuffer::new(),
        }
    }

    /// Forgets the document at hand and waits for another.
    pub(in crate::usage) fn reset(&mut self) {
        self.state = State::Start;
        self.node = self.root;
        self.depth = 0;
        self.arrays = 0;
        self.key_sets = u8::MAX;
        self.saved_key_sets = 0;
        self.wildcard_depth = 0;
    }

    /// Whether the document was read to its end.
    pub(in crate::usage) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The sets that have all keys of the document, as bits of
    /// [`KeySet`](crate::usage::formats::KeySet).
    pub(in crate::usage) fn document_key_sets(&self) -> u8 {
        self.key_sets
    }

    /// Whether no document was begun.
    pub(in crate::usage) fn is_at_start(&self) -> bool {
        self.state == State::Start
    }

    /// Whether what was read is not JSON.
    pub(in crate::usage) fn is_invalid(&self) -> bool {
        self.state == State::Invalid
    }

    /// There is nothing more to come: a number at the very end is now whole.
    pub(in crate::usage) fn finish(&mut self, visitor: &mut impl Visitor) {
        if self.state == State::Scalar && self.depth == 0 {
            self.end_scalar(visitor);
            self.state = State::Done;
        }
    }

    /// Reads on, until the bytes are used up or the document ends; returns how many were read.
    pub(in crate::usage) fn feed(&mut self, bytes: &[u8], visitor: &mut impl Visitor) -> usize {
        let mut at = 0;
        // Saves 1 % of a chat answer, and costs 9 instructions for each further piece.
        if self.state == State::Start && bytes.first() == Some(&b'{') {
            self.open_plain_object(path_table::node(self.root), visitor);
            at = 1;
        }
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            at += match self.state {
                State::Key if rest[0] == b'}' => self.end_object(rest, visitor),
                State::Key => self.read_members(rest, visitor),
                State::WildcardKey if rest[0] == b'"' => self.start_slow_key(0),
                State::WildcardKey => self.before_key(rest, visitor),
                State::InKey => self.read_key(rest),
                State::Value | State::FirstElement | State::Start => self.read_value(rest, visitor),
                State::Colon => {
                    match rest[0] {
                        b':' => self.state = State::Value,
                        byte if is_space(byte) => {}
                        _ => self.state = State::Invalid,
                    }
                    1
                }
                State::After => self.after_value(rest, visitor),
                State::Scalar => self.read_scalar(rest, visitor),
                State::InWord => self.read_word(rest, visitor),
                State::InText => self.read_text(rest, visitor),
                State::SkippedString => {
                    let end = self.string.find(rest).map(|end| end + 1);
                    self.end_skip(rest, end, visitor)
                }
                State::SkippedContainer => {
                    let end = self.container.find(rest);
                    self.end_skip(rest, end, visitor)
                }
                State::Done | State::Invalid => return at,
            }
        }
        at
    }

    /// The value at hand is about to be reported.
    #[inline]
    fn trace_value(&self, action: Action, visitor: &mut impl Visitor) {
        if visitor.is_traced() {
            visitor.trace_value(action, self.value_path());
        }
    }

    fn action(&self) -> Action {
        path_table::node(self.node).action
    }

    /// A value ends there, or not within these bytes.
    fn end_skip(&mut self, bytes: &[u8], end: Option<usize>, visitor: &mut impl Visitor) -> usize {
        match end {
            Some(end) => end + self.after_value(&bytes[end..], visitor),
            None => bytes.len(),
        }
    }

    #[inline(never)]
    fn read_key(&mut self, bytes: &[u8]) -> usize {
        for (i, byte) in bytes.iter().enumerate() {
            if self.key_buffer.push(*byte) {
                let object = self.parent();
                let mut node =
                    self.key_buffer.key().and_then(|(key, len)| object.keys().find(key, len));
                if node.is_none() && object.has_wildcards {
                    let key = self.key_buffer.word();
                    node = key.and_then(|key| path_table::find_wildcard(object, key.as_bytes()));
                }
                self.node = node.map_or(DEAD, |node| node.id);
                self.state = State::Colon;
                return i + 1;
            }
        }
        bytes.len()
    }

    /// Before a value.
    #[inline(never)]
    pub(super) fn read_value(&mut self, bytes: &[u8], visitor: &mut impl Visitor) -> usize {
        let node = path_table::node(self.node);
        let Some(first) = bytes.first() else { return 0 };
        if is_space(*first) {
            return spaces(bytes);
        }
        if self.in_object() && !matches!(node.action, Action::Count(..)) {
            self.note_key(node, *first);
        }
        match *first {
            b'"' => match node.action {
                Action::Word(_)
                | Action::Count(..)
                | Action::StandaloneCount(..)
                | Action::Part(_)
                | Action::Cost(_) => {
                    self.key_buffer.clear();
                    self.state = State::InWord;
                }
                action if self.depth == 0 || is_text(action) => {
                    self.trace_value(action, visitor);
                    visitor.begin_text(action);
                    self.string = StringEnd::default();
                    self.state = State::InText;
                }
                action => {
                    visitor.present(action);
                    self.string = StringEnd::default();
                    self.state = State::SkippedString;
                    let end = self.string.find(&bytes[1..]);
                    return self.end_skip(bytes, end.map(|end| end + 2), visitor);
                }
            },
            b'{' => {
                if node.has_keys() && self.has_capacity(1) && !self.is_too_deep(node) {
                    self.open_object(node, visitor);
                } else {
                    visitor.present(node.action);
                    return self.skip_container(bytes, visitor);
                }
            }
            b'[' => {
                visitor.present(node.action);
                if node.element == DEAD || !self.has_capacity(1) {
                    return self.skip_container(bytes, visitor);
                }
                if self.depth == 0 {
                    visitor.begin_list();
                }
                self.push_container(node.id, true);
                self.node = node.element;
                self.state = State::FirstElement;
            }
            b']' if self.state == State::FirstElement => {
                self.close_container(visitor);
                return 1 + self.after_value(&bytes[1..], visitor);
            }
            byte if starts_scalar(byte) => {
                self.scalar = Scalar { first: byte, ..Scalar::default() };
                if is_code(node.action) && !byte.is_ascii_alphabetic() {
                    self.trace_value(node.action, visitor);
                    visitor.begin_text(node.action);
                }
                self.state = State::Scalar;
                return 0;
            }
            _ => self.state = State::Invalid,
        }
        1
    }

    /// After a value: reads up to the next key or value, or to the end of the document.
    #[inline(never)]
    pub(super) fn after_value(&mut self, bytes: &[u8], visitor: &mut impl Visitor) -> usize {
        let mut at = 0;
        while self.depth > 0 {
            let array = self.arrays & 1 != 0;
            let Some(byte) = bytes.get(at) else {
                self.state = State::After;
                return at;
            };
            at += 1;
            match byte {
                b',' if array => {
                    self.node = self.parent().element;
                    self.state = State::Value;
                    return at;
                }
                b',' => {
                    let has_wildcards = self.wildcard_depth == self.depth;
                    self.state = if has_wildcards { State::WildcardKey } else { State::Key };
                    return at;
                }
                b']' if array => self.close_container(visitor),
                b'}' if !array => self.close_container(visitor),
                byte if is_space(*byte) => {}
                _ => {
                    self.state = State::Invalid;
                    return at;
                }
            }
        }
        self.state = State::Done;
        at
    }

    /// In a number, true, false or null.
    #[inline(never)]
    fn read_scalar(&mut self, bytes: &[u8], visitor: &mut impl Visitor) -> usize {
        let mut len = bytes.len();
        let mut ended = false;
        for (i, byte) in bytes.iter().enumerate() {
            if !is_scalar(*byte) {
                len = i;
                ended = true;
                break;
            }
            self.scalar.number.push(*byte);
        }
        let action = self.action();
        if is_code(action) && !self.scalar.first.is_ascii_alphabetic() {
            visitor.text(action, &bytes[..len]);
        }
        if ended {
            self.end_scalar(visitor);
            len += self.after_value(&bytes[len..], visitor);
        }
        len
    }

    fn end_scalar(&mut self, visitor: &mut impl Visitor) {
        let action = self.action();
        let scalar = self.scalar;
        self.trace_value(action, visitor);
        match (action, scalar.first) {
            (Action::None, _) | (_, b'n') => {}
            (_, b't') => visitor.boolean(action, true),
            (_, b'f') => visitor.boolean(action, false),
            _ => report_number(action, scalar.number, visitor),
        }
    }

    #[inline(never)]
    fn read_word(&mut self, bytes: &[u8], visitor: &mut impl Visitor) -> usize {
        for (i, byte) in bytes.iter().enumerate() {
            if self.key_buffer.push(*byte) {
                self.end_word(visitor);
                return i + 1 + self.after_value(&bytes[i + 1..], visitor);
            }
            if self.key_buffer.is_full() {
                self.end_word(visitor);
                // Not inside an escape: the buffer only grows when one is complete.
                self.string = StringEnd::default();
                self.state = State::SkippedString;
                return i + 1;
            }
        }
        bytes.len()
    }

    /// A word ends, or a number that is written as a text. It may be longer than any.
    fn end_word(&mut self, visitor: &mut impl Visitor) {
        let word = self.key_buffer.word();
        match self.action() {
            Action::Word(field) => {
                let word = word.unwrap_or(Word::UNKNOWN);
                if visitor.is_traced() {
                    visitor.trace_word(field, word, self.value_path());
                }
                visitor.word(field, word);
            }
            action => {
                self.trace_value(action, visitor);
                let mut number = Number::default();
                let digits = word.map_or(&b""[..], Word::as_bytes);
                digits.iter().for_each(|byte| number.push(*byte));
                report_number(action, number, visitor);
            }
        }
    }

    #[inline(never)]
    fn read_text(&mut self, bytes: &[u8], visitor: &mut impl Visitor) -> usize {
        let end = self.string.find(bytes);
        let action = self.action();
        visitor.text(action, &bytes[..end.unwrap_or(bytes.len())]);
        if end.is_some() && matches!(action, Action::Info(_) | Action::Id(IdField::AnswerId)) {
            visitor.end_text(action);
        }
        self.end_skip(bytes, end.map(|end| end + 1), visitor)
    }
}

/// Reports a number to the visitor.
fn report_number(action: Action, number: Number, visitor: &mut impl Visitor) {
    match (action, number.value()) {
        (Action::Count(token, op, accounting), Some(value)) => {
            visitor.count(token, op, accounting, value);
        }
        (Action::Count(..), None) => {}
        (Action::Part(part), Some(value)) => visitor.part(part, value),
        (Action::Cost(unit), _) => {
            if number.is_complete() {
                visitor.cost(number.decimal(unit as i16));
            }
        }
        // Its value does not matter.
        (Action::StandaloneCount(_, CountOp::Increment, _), _) => visitor.present(action),
        (action, value) => visitor.number(action, value),
    }
}

/// Whether a text here is passed on.
fn is_text(action: Action) -> bool {
    matches!(
        action,
        Action::ErrorText(..)
            | Action::Code(_)
            | Action::Error
            | Action::ListedError
            | Action::Response
            | Action::Id(_)
            | Action::Info(_)
            | Action::Base64Document
    )
}

/// Whether a number here is passed on as a text, too.
fn is_code(action: Action) -> bool {
    matches!(action, Action::ErrorText(ErrorPart::Code, _) | Action::Code(_))
}

#[inline]
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

#[inline]
pub(super) fn spaces(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !is_space(*byte)).unwrap_or(bytes.len())
}

/// Whether a number, true, false or null begins with this byte.
#[inline]
pub(super) fn starts_scalar(byte: u8) -> bool {
    STARTS_SCALAR[usize::from(byte)]
}

/// A table, since comparing takes 0.4 % more of a chat answer.
static STARTS_SCALAR: [bool; 256] = {
    let mut starts = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        starts[byte] = (byte as u8).is_ascii_alphanumeric() || byte as u8 == b'-';
        byte += 1;
    }
    starts
};

/// Whether the byte may be part of a number, true, false or null: all that cannot end one.
#[inline]
fn is_scalar(byte: u8) -> bool {
    matches!(byte, b'+' | b'-'..) && !matches!(byte, b']' | b'}')
}
