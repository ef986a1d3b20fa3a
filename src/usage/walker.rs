//! A JSON reader that follows known paths only, and can stop and go on at any byte.
//!
//! Objects that lie on a known path are read key by key; every other value is skipped
//! whole. The state has a fixed size whatever the document is. It is no validator: of a
//! document that is not JSON it makes something harmless, in linear time.

use super::blocks::{self, ContainerEnd, StringEnd};
use super::formats::Action;
use super::trie::{self, NOWHERE, NodeId};

/// Deeper than any known path.
const MAX_DEPTH: usize = 12;
/// Longer than any known key or word.
const SCRATCH: usize = 40;

/// What a walker tells of a document.
pub(super) trait Sink {
    /// An object that means something begins or ends.
    fn object(&mut self, action: Action, begins: bool);
    /// A number; nothing if it is not a whole number that fits.
    fn number(&mut self, action: Action, value: Option<u64>);
    /// A short text in which escapes were resolved; nothing if it is longer than any known word.
    fn word(&mut self, action: Action, word: Option<&[u8]>);
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
    /// In a string that is a word or a text.
    InString,
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
    stack: [NodeId; MAX_DEPTH],
    depth: u8,
    /// Bit `n` is set where `stack[n]` is an array.
    arrays: u16,
    string: StringEnd,
    container: ContainerEnd,
    scalar: Scalar,
    escape: Escape,
    scratch: [u8; SCRATCH],
    scratch_len: u8,
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

/// An escape in a key or word, as far as it was read.
#[derive(Clone, Copy, Debug, Default)]
struct Escape {
    /// 0: none; 1: after the backslash; 2 to 5: before that many digits less one.
    step: u8,
    code: u16,
}

impl Walker {
    pub(super) fn new(root: NodeId) -> Self {
        Self {
            state: State::Start,
            root,
            node: root,
            stack: [NOWHERE; MAX_DEPTH],
            depth: 0,
            arrays: 0,
            string: StringEnd::default(),
            container: ContainerEnd::default(),
            scalar: Scalar::default(),
            escape: Escape::default(),
            scratch: [0; SCRATCH],
            scratch_len: 0,
        }
    }

    /// Forgets the document at hand and waits for another.
    pub(super) fn reset(&mut self) {
        self.state = State::Start;
        self.node = self.root;
        self.depth = 0;
        self.arrays = 0;
        self.string = StringEnd::default();
        self.escape = Escape::default();
        self.scratch_len = 0;
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
        }
    }

    /// Reads on, until the bytes are used up or the document ends; returns how many were read.
    pub(super) fn feed(&mut self, bytes: &[u8], sink: &mut impl Sink) -> usize {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            match self.state {
                State::Key => at += self.key(rest, sink),
                State::InKey => at += self.in_key(rest),
                State::Value | State::FirstElement | State::Start => at += self.value(rest, sink),
                State::Colon => {
                    at += 1;
                    match rest[0] {
                        b':' => self.state = State::Value,
                        byte if is_space(byte) => {}
                        _ => self.state = State::Broken,
                    }
                }
                State::After => at += self.after(rest, sink),
                State::Scalar => at += self.in_scalar(rest, sink),
                State::InString => at += self.in_string(rest, sink),
                State::SkipString => match self.string.find_long(rest) {
                    Some(end) => {
                        at += end + 1;
                        self.value_ended();
                    }
                    None => return bytes.len(),
                },
                State::SkipContainer => match self.container.find(rest) {
                    Some(end) => {
                        at += end;
                        self.value_ended();
                    }
                    None => return bytes.len(),
                },
                State::Done | State::Broken => return at,
            }
        }
        at
    }

    fn action(&self) -> Action {
        trie::node(self.node).action
    }

    fn value_ended(&mut self) {
        self.state = if self.depth == 0 { State::Done } else { State::After };
    }

    /// In an object: before a key, or its end. Reads on as long as members are plain: whole within
    /// these bytes, in the order key, colon, value, comma. Whatever is not is left to the other
    /// states, which read it piecemeal.
    fn key(&mut self, bytes: &[u8], sink: &mut impl Sink) -> usize {
        let mut parent = self.parent();
        let mut at = 0;
        loop {
            match bytes.get(at) {
                Some(b'"') => {}
                Some(b'}') => {
                    at += 1;
                    self.close(sink);
                    let object = self.depth > 0 && !self.in_array();
                    if object && bytes.get(at) == Some(&b',') {
                        at += 1;
                        self.state = State::Key;
                    } else if object && bytes.get(at) == Some(&b'}') {
                        self.state = State::Key;
                    } else {
                        return at;
                    }
                    parent = self.parent();
                    continue;
                }
                Some(byte) if is_space(*byte) => {
                    at += spaces(&bytes[at..]);
                    continue;
                }
                Some(_) => {
                    self.state = State::Broken;
                    return at + 1;
                }
                None => return at,
            }
            let next = &bytes[at + 1..];
            let Some(end) = plain_string(next) else {
                self.scratch_len = 0;
                self.escape = Escape::default();
                self.state = State::InKey;
                return at + 1;
            };
            self.node = parent.child(next, end);
            at += end + 2;
            match bytes.get(at) {
                Some(b':') => at += 1,
                _ => {
                    self.state = State::Colon;
                    return at;
                }
            }
            if bytes.get(at) == Some(&b' ') {
                at += 1;
            }
            let rest = &bytes[at..];
            if self.node == NOWHERE {
                match self.skip_member(rest) {
                    Some(len) => at += len,
                    None => return at,
                }
            } else {
                let node = trie::node(self.node);
                if rest.first() == Some(&b'{') && node.has_keys() && self.has_room() {
                    at += 1;
                    sink.present(node.action);
                    sink.object(node.action, true);
                    self.push(self.node, false);
                    self.state = State::Key;
                    parent = node;
                } else {
                    match self.plain_member(rest, node.action, sink) {
                        Some(len) => at += len,
                        None => return at,
                    }
                }
            }
            if self.state != State::Key {
                return at;
            }
        }
    }

    /// Reads a number, a null or a word, and the comma after it, if they are plain to see. If not,
    /// nothing is used, and the state is left for the value to be read piecemeal.
    #[inline]
    fn plain_member(
        &mut self,
        bytes: &[u8],
        action: Action,
        sink: &mut impl Sink,
    ) -> Option<usize> {
        self.state = State::Value;
        let len = match bytes.first()? {
            b'0'..=b'9' if !is_text(action) => {
                // As many digits as fit in any case.
                let (mut value, mut digits) = (0_u64, 0);
                loop {
                    let digit = bytes.get(digits)?.wrapping_sub(b'0');
                    if digit > 9 {
                        break;
                    }
                    value = value * 10 + u64::from(digit);
                    digits += 1;
                    if digits == 19 {
                        return None;
                    }
                }
                if is_scalar(bytes[digits]) {
                    return None;
                }
                if action != Action::None {
                    sink.number(action, Some(value));
                }
                digits
            }
            b'n' => bytes.strip_prefix(b"null").filter(|rest| is_end(rest)).map(|_| 4)?,
            b'"' if matches!(action, Action::Word(_)) => {
                let end = plain_string(&bytes[1..])?;
                sink.word(action, bytes.get(1..=end).filter(|word| word.len() <= SCRATCH));
                end + 2
            }
            _ => return None,
        };
        Some(self.member_ends(bytes, len))
    }

    /// Skips a value of no interest and the comma after it, if they are plain to see. If not,
    /// nothing is used, and the state is left for the value to be read piecemeal.
    #[inline]
    fn skip_member(&mut self, bytes: &[u8]) -> Option<usize> {
        self.state = State::Value;
        let len = match bytes.first()? {
            b'"' => {
                self.string = StringEnd::default();
                let Some(end) = self.string.find(&bytes[1..]) else {
                    self.state = State::SkipString;
                    return Some(bytes.len());
                };
                end + 2
            }
            b'{' | b'[' => {
                self.container = ContainerEnd::opened();
                let Some(end) = self.container.find(&bytes[1..]) else {
                    self.state = State::SkipContainer;
                    return Some(bytes.len());
                };
                end + 1
            }
            b'-' | b'0'..=b'9' | b'a'..=b'z' => bytes.iter().position(|byte| !is_scalar(*byte))?,
            _ => return None,
        };
        Some(self.member_ends(bytes, len))
    }

    /// After a member of an object, `len` bytes on.
    #[inline]
    fn member_ends(&mut self, bytes: &[u8], len: usize) -> usize {
        match bytes.get(len) {
            Some(b',') => {
                self.state = State::Key;
                len + 1
            }
            // The end of the object is read in the same state as a key.
            Some(b'}') => {
                self.state = State::Key;
                len
            }
            _ => {
                self.state = State::After;
                len
            }
        }
    }

    fn has_room(&self) -> bool {
        usize::from(self.depth) < MAX_DEPTH
    }

    fn in_array(&self) -> bool {
        self.arrays & (1 << self.depth.saturating_sub(1)) != 0
    }

    fn parent(&self) -> &'static trie::Node {
        let top = usize::from(self.depth).wrapping_sub(1);
        trie::node(self.stack.get(top).copied().unwrap_or(NOWHERE))
    }

    fn lookup(&self, key: &[u8]) -> NodeId {
        self.parent().child(key, key.len())
    }

    #[inline(never)]
    fn in_key(&mut self, bytes: &[u8]) -> usize {
        for (i, byte) in bytes.iter().enumerate() {
            if self.unescaped(*byte) {
                self.node = match self.scratch() {
                    Some(key) => self.lookup(key),
                    None => NOWHERE,
                };
                self.state = State::Colon;
                return i + 1;
            }
        }
        bytes.len()
    }

    /// What the scratch holds; nothing if there was more than fits.
    fn scratch(&self) -> Option<&[u8]> {
        self.scratch.get(..usize::from(self.scratch_len))
    }

    /// Takes one byte of a string into the scratch; true at the closing quote.
    fn unescaped(&mut self, byte: u8) -> bool {
        let resolved = match (self.escape.step, byte) {
            (0, b'"') => return true,
            (0, b'\\') => {
                self.escape.step = 1;
                return false;
            }
            (0, byte) => byte,
            (1, b'u') => {
                self.escape = Escape { step: 5, code: 0 };
                return false;
            }
            (1, byte) => {
                self.escape.step = 0;
                match byte {
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'r' => b'\r',
                    b'b' => 8,
                    b'f' => 12,
                    other => other,
                }
            }
            (step, byte) => {
                let digit = char::from(byte).to_digit(16).unwrap_or(0) as u16;
                self.escape.code = self.escape.code << 4 | digit;
                self.escape.step = if step == 2 { 0 } else { step - 1 };
                if self.escape.step != 0 {
                    return false;
                }
                // No known key or word has a character beyond ASCII.
                u8::try_from(self.escape.code).ok().filter(u8::is_ascii).unwrap_or(0xff)
            }
        };
        if let Some(slot) = self.scratch.get_mut(usize::from(self.scratch_len)) {
            *slot = resolved;
            self.scratch_len += 1;
        } else {
            self.scratch_len = u8::MAX;
        }
        false
    }

    /// Before a value.
    #[inline(never)]
    fn value(&mut self, bytes: &[u8], sink: &mut impl Sink) -> usize {
        let byte = bytes[0];
        let node = trie::node(self.node);
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => return spaces(bytes),
            b'"' => {
                self.string = StringEnd::default();
                self.state = State::SkipString;
                match node.action {
                    Action::None => {}
                    Action::Word(_) => {
                        self.scratch_len = 0;
                        self.escape = Escape::default();
                        self.state = State::InString;
                    }
                    Action::Text(..) | Action::Error | Action::Nested => {
                        sink.text_begins(node.action);
                        self.state = State::InString;
                    }
                    action => sink.present(action),
                }
                // Most strings are of no interest, short and whole.
                if self.state == State::SkipString {
                    let Some(end) = self.string.find(&bytes[1..]) else { return bytes.len() };
                    self.value_ended();
                    return end + 2;
                }
            }
            b'{' => {
                sink.present(node.action);
                if node.has_keys() && self.has_room() {
                    sink.object(node.action, true);
                    self.push(self.node, false);
                    self.state = State::Key;
                } else {
                    self.skip();
                }
            }
            b'[' => {
                sink.present(node.action);
                if node.element != NOWHERE && self.has_room() {
                    self.push(self.node, true);
                    self.node = node.element;
                    self.state = State::FirstElement;
                } else {
                    self.skip();
                }
            }
            b']' if self.state == State::FirstElement => self.close(sink),
            b'-' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
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

    fn skip(&mut self) {
        self.container = ContainerEnd::opened();
        self.state = State::SkipContainer;
    }

    fn push(&mut self, node: NodeId, array: bool) {
        if let Some(slot) = self.stack.get_mut(usize::from(self.depth)) {
            *slot = node;
            self.arrays = self.arrays & !(1 << self.depth) | u16::from(array) << self.depth;
            self.depth += 1;
        }
    }

    /// The innermost open object or array ends.
    fn close(&mut self, sink: &mut impl Sink) {
        self.depth = self.depth.saturating_sub(1);
        let top = usize::from(self.depth);
        if self.arrays & (1 << top) == 0 {
            let action = trie::node(self.stack[top]).action;
            sink.object(action, false);
        }
        self.value_ended();
    }

    /// After a value in an object or array.
    #[inline(never)]
    fn after(&mut self, bytes: &[u8], sink: &mut impl Sink) -> usize {
        let top = usize::from(self.depth).saturating_sub(1);
        let array = self.in_array();
        match bytes[0] {
            b',' if array => {
                self.node = trie::node(self.stack[top]).element;
                self.state = State::Value;
            }
            b',' => self.state = State::Key,
            b']' if array => self.close(sink),
            b'}' if !array => self.close(sink),
            byte if is_space(byte) => return spaces(bytes),
            _ => self.state = State::Broken,
        }
        1
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
                sink.number(action, whole.then_some(scalar.value));
            }
        }
        self.value_ended();
    }

    /// In a word or a text.
    #[inline(never)]
    fn in_string(&mut self, bytes: &[u8], sink: &mut impl Sink) -> usize {
        let action = self.action();
        if let Action::Word(_) = action {
            if self.scratch_len == 0
                && self.escape.step == 0
                && let Some(end) = plain_string(bytes)
            {
                sink.word(action, bytes.get(..end).filter(|word| word.len() <= SCRATCH));
                self.value_ended();
                return end + 1;
            }
            for (i, byte) in bytes.iter().enumerate() {
                if self.unescaped(*byte) {
                    sink.word(action, self.scratch());
                    self.value_ended();
                    return i + 1;
                }
            }
            return bytes.len();
        }
        let end = self.string.find(bytes);
        sink.text(action, &bytes[..end.unwrap_or(bytes.len())]);
        match end {
            Some(end) => {
                self.value_ended();
                end + 1
            }
            None => bytes.len(),
        }
    }
}

fn is_text(action: Action) -> bool {
    matches!(action, Action::Text(..))
}

#[inline]
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

#[inline]
fn spaces(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !is_space(*byte)).unwrap_or(bytes.len())
}

/// Whether the byte may be part of a number, true, false or null.
#[inline]
fn is_scalar(byte: u8) -> bool {
    SCALARS[usize::from(byte)]
}

static SCALARS: [bool; 256] = {
    let mut scalars = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        scalars[byte] =
            (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'-' | b'+' | b'.');
        byte += 1;
    }
    scalars
};

/// Whether a value ends before these bytes.
fn is_end(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|byte| !is_scalar(*byte))
}

/// The length of a short string without escapes, if its closing quote is among these bytes.
#[inline]
fn plain_string(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(sixteen) = bytes.get(from..).and_then(<[u8]>::first_chunk::<16>) {
        if let Some(end) = blocks::plain_end(sixteen) {
            return end.map(|end| from + end);
        }
        from += 16;
        if from > SCRATCH {
            return None;
        }
    }
    for (i, byte) in bytes.iter().enumerate().skip(from) {
        match byte {
            b'"' => return Some(i),
            b'\\' => return None,
            _ => {}
        }
    }
    None
}
