//! A JSON reader that follows known paths only, and can stop and go on at any byte.
//!
//! Objects that lie on a known path are read key by key; every other value is skipped
//! whole. The state has a fixed size whatever the document is. It is no validator: of a
//! document that is not JSON it makes something harmless, in linear time.

mod members;
mod scratch;

use self::scratch::Scratch;
use super::blocks::{self, ContainerEnd, StringEnd};
use super::formats::{Action, Field, Kin, Op, Word};
use super::trie::{self, KEY_ROOM, NOWHERE, NodeId};

/// Deeper than any known path.
const MAX_DEPTH: usize = 12;
/// Room for them, of a size that a place in it need not be compared with.
const STACK: usize = MAX_DEPTH.next_power_of_two();

/// What a walker tells of a document.
pub(super) trait Sink {
    /// An object that means something begins or ends.
    fn object(&mut self, action: Action, begins: bool);
    /// A figure of the usage object at hand.
    fn figure(&mut self, field: Field, op: Op, kin: Kin, value: u64);
    /// A number of another kind; nothing if it is not a whole number that fits.
    fn number(&mut self, action: Action, value: Option<u64>);
    /// A short text in which escapes were resolved; nothing if it is longer than any known word.
    fn word(&mut self, place: Word, word: Option<&[u8]>);
    /// A boolean.
    fn boolean(&mut self, action: Action, value: bool);
    /// Something other than null is here.
    fn present(&mut self, action: Action);
    /// A text begins, of which [`text`](Self::text) gives the pieces.
    fn text_begins(&mut self, action: Action);
    /// A piece of a text, as it stands between the quotes, or of a number in a text's place.
    fn text(&mut self, action: Action, piece: &[u8]);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the document.
    Start,
    /// Before a value.
    Value,
    /// Before a value or the end of an array.
    FirstElement,
    /// Before a key or the end of an object.
    Key,
    /// In a key.
    InKey,
    /// Between a key and its value.
    Colon,
    /// After a value in an object or array.
    After,
    /// In a number, true, false or null.
    Scalar,
    /// In a string that is a word.
    InWord,
    /// In a string that is a text.
    InText,
    /// In a string of no interest.
    SkipString,
    /// In an object or array of no interest.
    SkipContainer,
    /// After the document.
    Done,
    /// This is not JSON.
    Broken,
}

/// Where the reader is in its document.
#[derive(Clone, Debug)]
pub(super) struct Walker {
    state: State,
    root: NodeId,
    /// What the value at hand means.
    node: NodeId,
    /// The open objects and arrays that are followed, by what they mean.
    stack: [NodeId; STACK],
    depth: u8,
    /// Which of them are arrays, from bit 0, the innermost, outwards.
    arrays: u16,
    string: StringEnd,
    container: ContainerEnd,
    scalar: Scalar,
    scratch: Scratch,
}

/// A number, or a literal, as far as it was read.
#[derive(Clone, Copy, Debug, Default)]
struct Scalar {
    value: u64,
    /// Not a number, a fraction, too large, …
    odd: bool,
    first: u8,
    digits: u8,
}

impl Walker {
    pub(super) fn new(root: NodeId) -> Self {
        Self {
            state: State::Start,
            root,
            node: root,
            stack: [NOWHERE; STACK],
            depth: 0,
            arrays: 0,
            string: StringEnd::default(),
            container: ContainerEnd::default(),
            scalar: Scalar::default(),
            scratch: Scratch::new(),
        }
    }

    /// Forgets the document at hand and waits for another.
    pub(super) fn reset(&mut self) {
        self.state = State::Start;
        self.node = self.root;
        self.depth = 0;
        self.arrays = 0;
    }

    /// Whether the document was read to its end.
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether no document was begun.
    pub(super) fn is_fresh(&self) -> bool {
        self.state == State::Start
    }

    /// Whether what was read is not JSON.
    pub(super) fn is_broken(&self) -> bool {
        self.state == State::Broken
    }

    /// There is nothing more to come: a number at the very end is now whole.
    pub(super) fn finish(&mut self, sink: &mut impl Sink) {
        if self.state == State::Scalar && self.depth == 0 {
            self.end_scalar(sink);
            self.state = State::Done;
        }
    }

    /// Reads on, until the bytes are used up or the document ends; returns how many were read.
    pub(super) fn feed(&mut self, bytes: &[u8], sink: &mut impl Sink) -> usize {
        let mut at = 0;
        if self.state == State::Start && bytes.first() == Some(&b'{') {
            self.opens(trie::node(self.root), sink);
            at = 1;
        }
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            at += match self.state {
                State::Key if rest[0] == b'}' => self.between(rest, sink),
                State::Key => self.members(rest, sink),
                State::InKey => self.in_key(rest),
                State::Value | State::FirstElement | State::Start => self.value(rest, sink),
                State::Colon => {
                    match rest[0] {
                        b':' => self.state = State::Value,
                        byte if is_space(byte) => {}
                        _ => self.state = State::Broken,
                    }
                    1
                }
                State::After => self.after(rest, sink),
                State::Scalar => self.in_scalar(rest, sink),
                State::InWord => self.in_word(rest, sink),
                State::InText => self.in_text(rest, sink),
                State::SkipString => {
                    let end = self.string.find(rest).map(|end| end + 1);
                    self.skipped(rest, end, sink)
                }
                State::SkipContainer => {
                    let end = self.container.find(rest);
                    self.skipped(rest, end, sink)
                }
                State::Done | State::Broken => return at,
            }
        }
        at
    }

    fn action(&self) -> Action {
        trie::node(self.node).action
    }

    /// A value ends there, or not within these bytes.
    fn skipped(&mut self, bytes: &[u8], end: Option<usize>, sink: &mut impl Sink) -> usize {
        match end {
            Some(end) => end + self.after(&bytes[end..], sink),
            None => bytes.len(),
        }
    }

    fn has_room(&self) -> bool {
        self.has_room_for(1)
    }

    #[inline]
    fn has_room_for(&self, more: usize) -> bool {
        usize::from(self.depth) + more <= MAX_DEPTH
    }

    /// What ends the innermost open object or array.
    #[inline]
    fn closing(&self) -> Option<&'static u8> {
        match (self.depth, self.arrays & 1) {
            (0, _) => None,
            (_, 0) => Some(&b'}'),
            _ => Some(&b']'),
        }
    }

    #[inline]
    fn in_object(&self) -> bool {
        self.depth > 0 && self.arrays & 1 == 0
    }

    #[inline]
    fn parent(&self) -> &'static trie::Node {
        let top = usize::from(self.depth).wrapping_sub(1);
        trie::node(self.stack[top % STACK])
    }

    #[inline(never)]
    fn in_key(&mut self, bytes: &[u8]) -> usize {
        for (i, byte) in bytes.iter().enumerate() {
            if self.scratch.take(*byte) {
                self.node = match self.scratch.key() {
                    Some((key, len)) => self.parent().keys().find(key, len),
                    None => NOWHERE,
                };
                self.state = State::Colon;
                return i + 1;
            }
        }
        bytes.len()
    }

    /// Before a value.
    #[inline(never)]
    fn value(&mut self, bytes: &[u8], sink: &mut impl Sink) -> usize {
        let node = trie::node(self.node);
        let Some(first) = bytes.first() else { return 0 };
        match *first {
            byte if is_space(byte) => return spaces(bytes),
            b'"' => match node.action {
                Action::Word(place) => {
                    if let Some(len) = word_len(&bytes[1..]) {
                        sink.word(place, bytes.get(1..=len));
                        return len + 2 + self.after(&bytes[len + 2..], sink);
                    }
                    self.scratch.clear();
                    self.state = State::InWord;
                }
                Action::Text(..) | Action::Error | Action::Nested => {
                    sink.text_begins(node.action);
                    self.string = StringEnd::default();
                    self.state = State::InText;
                }
                action => {
                    sink.present(action);
                    self.string = StringEnd::default();
                    self.state = State::SkipString;
                    let end = self.string.find_near(&bytes[1..]);
                    return self.skipped(bytes, end.map(|end| end + 2), sink);
                }
            },
            b'{' => {
                if node.has_keys() && self.has_room() {
                    self.opens(node, sink);
                } else {
                    sink.present(node.action);
                    return self.skip_container(bytes, sink);
                }
            }
            b'[' => {
                sink.present(node.action);
                if node.element == NOWHERE || !self.has_room() {
                    return self.skip_container(bytes, sink);
                }
                self.push(true);
                self.node = node.element;
                self.state = State::FirstElement;
                let element = trie::node(node.element);
                if bytes.get(1) == Some(&b'{') && element.has_keys() && self.has_room() {
                    self.opens(element, sink);
                    return 2;
                }
            }
            b']' if self.state == State::FirstElement => {
                self.close(sink);
                return 1 + self.after(&bytes[1..], sink);
            }
            byte if starts_scalar(byte) => {
                self.scalar = Scalar { first: byte, ..Scalar::default() };
                if is_text(node.action) && !byte.is_ascii_alphabetic() {
                    sink.text_begins(node.action);
                }
                self.state = State::Scalar;
                return 0;
            }
            _ => self.state = State::Broken,
        }
        1
    }

    /// The value at hand is an object or array that is not followed.
    #[inline]
    fn skip_container(&mut self, bytes: &[u8], sink: &mut impl Sink) -> usize {
        self.container = ContainerEnd::opened();
        self.state = State::SkipContainer;
        let end = self.container.find(&bytes[1..]);
        self.skipped(bytes, end.map(|end| end + 1), sink)
    }

    /// The value at hand is an object that is followed.
    #[inline(always)]
    fn opens(&mut self, node: &trie::Node, sink: &mut impl Sink) {
        if node.action != Action::None {
            sink.present(node.action);
            sink.object(node.action, true);
        }
        self.push(false);
        self.state = State::Key;
    }

    /// The value at hand is an object or array that is followed.
    #[inline]
    fn push(&mut self, array: bool) {
        self.stack[usize::from(self.depth) % STACK] = self.node;
        self.arrays = self.arrays << 1 | u16::from(array);
        self.depth += 1;
    }

    /// The innermost open object or array ends.
    #[inline]
    fn close(&mut self, sink: &mut impl Sink) {
        let action = self.parent().action;
        if self.arrays & 1 == 0 && action != Action::None {
            sink.object(action, false);
        }
        self.depth = self.depth.saturating_sub(1);
        self.arrays >>= 1;
    }

    /// After a value: up to the next key or value, or the end of the document.
    #[inline]
    fn after(&mut self, bytes: &[u8], sink: &mut impl Sink) -> usize {
        if self.in_object() && bytes.first() == Some(&b',') {
            self.state = State::Key;
            return 1;
        }
        self.after_last(bytes, sink)
    }

    /// The same, where it may be the last of its object.
    #[inline(never)]
    fn after_last(&mut self, bytes: &[u8], sink: &mut impl Sink) -> usize {
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
                    self.state = State::Key;
                    return at;
                }
                b']' if array => self.close(sink),
                b'}' if !array => self.close(sink),
                byte if is_space(*byte) => {}
                _ => {
                    self.state = State::Broken;
                    return at;
                }
            }
        }
        self.state = State::Done;
        at
    }

    /// In a number, true, false or null.
    #[inline(never)]
    fn in_scalar(&mut self, bytes: &[u8], sink: &mut impl Sink) -> usize {
        let mut len = bytes.len();
        let mut ended = false;
        for (i, byte) in bytes.iter().enumerate() {
            match byte {
                b'0'..=b'9' => {
                    let scalar = &mut self.scalar;
                    let next = scalar.value.checked_mul(10);
                    match next.and_then(|tens| tens.checked_add(u64::from(byte - b'0'))) {
                        Some(value) => scalar.value = value,
                        None => scalar.odd = true,
                    }
                    scalar.digits = scalar.digits.saturating_add(1);
                }
                byte if is_scalar(*byte) => self.scalar.odd = true,
                _ => {
                    len = i;
                    ended = true;
                    break;
                }
            }
        }
        let action = self.action();
        if is_text(action) && !self.scalar.first.is_ascii_alphabetic() {
            sink.text(action, &bytes[..len]);
        }
        if ended {
            self.end_scalar(sink);
            len += self.after(&bytes[len..], sink);
        }
        len
    }

    fn end_scalar(&mut self, sink: &mut impl Sink) {
        let action = self.action();
        let scalar = self.scalar;
        match (action, scalar.first) {
            (Action::None, _) | (_, b'n') => {}
            (_, b't') => sink.boolean(action, true),
            (_, b'f') => sink.boolean(action, false),
            _ => {
                let whole = !scalar.odd && scalar.digits > 0;
                match (action, whole.then_some(scalar.value)) {
                    (Action::Figure(field, op, kin), Some(value)) => {
                        sink.figure(field, op, kin, value);
                    }
                    (action, value) => sink.number(action, value),
                }
            }
        }
    }

    #[inline(never)]
    fn in_word(&mut self, bytes: &[u8], sink: &mut impl Sink) -> usize {
        let Action::Word(place) = self.action() else { return 0 };
        for (i, byte) in bytes.iter().enumerate() {
            if self.scratch.take(*byte) {
                sink.word(place, self.scratch.word());
                return i + 1 + self.after(&bytes[i + 1..], sink);
            }
            if self.scratch.is_full() {
                sink.word(place, None);
                // Not in an escape, of which nothing is kept before it is whole.
                self.string = StringEnd::default();
                self.state = State::SkipString;
                return i + 1;
            }
        }
        bytes.len()
    }

    #[inline(never)]
    fn in_text(&mut self, bytes: &[u8], sink: &mut impl Sink) -> usize {
        let end = self.string.find(bytes);
        sink.text(self.action(), &bytes[..end.unwrap_or(bytes.len())]);
        self.skipped(bytes, end.map(|end| end + 1), sink)
    }
}

fn is_text(action: Action) -> bool {
    matches!(action, Action::Text(..))
}

/// The length of a word without escapes, if it is whole within these bytes.
#[inline]
fn word_len(bytes: &[u8]) -> Option<usize> {
    let mut len = 0;
    while let Some(sixteen) = bytes.get(len..).and_then(<[u8]>::first_chunk) {
        let plain = blocks::plain_len(sixteen);
        len += plain;
        if plain < 16 {
            return (sixteen[plain] == b'"' && len <= KEY_ROOM).then_some(len);
        }
        if len > KEY_ROOM {
            break;
        }
    }
    None
}

#[inline]
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

#[inline]
fn spaces(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !is_space(*byte)).unwrap_or(bytes.len())
}

/// Whether a number, true, false or null begins with this byte.
#[inline]
fn starts_scalar(byte: u8) -> bool {
    STARTS_SCALAR[usize::from(byte)]
}

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
