//! The members of an object, as long as they are plain: key, colon, value and comma whole within
//! a piece, without spaces but one after the colon. Whatever is not is left to the states that
//! read it a byte at a time, and read the same.

use super::{Sink, State, Walker, is_space, spaces, starts_scalar};
use crate::usage::blocks::{self, BLOCK};
use crate::usage::formats::Action;
use crate::usage::trie::{self, KEY_ROOM, MAX_KEY, NOWHERE};

/// Holds the longest known key, and what is looked at of its value.
const WINDOW: usize = 64;
/// What is left of a piece is copied if it is shorter than this, and zeros put after it.
const TAIL: usize = 2 * BLOCK;
/// In place of where a value ends. Nothing is there.
const NOT_PLAIN: usize = usize::MAX;
/// What is looked at of a value: longer numbers may not fit in a figure.
const AHEAD: usize = 16;

impl Walker {
    /// In an object, before a key or its end.
    pub(super) fn members(&mut self, bytes: &[u8], sink: &mut impl Sink) -> usize {
        let at = self.plain_members(bytes, bytes, sink);
        let rest = &bytes[at..];
        if self.state != State::Key || rest.is_empty() {
            return at;
        }
        // What is left is less than a block. Zeros after it are part of nothing plain.
        let mut padded = [0; TAIL + BLOCK];
        let len = rest.len().min(TAIL);
        padded[..len].copy_from_slice(&rest[..len]);
        let read = self.plain_members(&rest[..len], &padded, sink);
        if self.state == State::Key && read < len {
            // A key that is not whole.
            self.scratch.clear();
            self.state = State::InKey;
            return at + read + 1;
        }
        at + read
    }

    /// The same, as long as there are blocks of `padded` bytes, which are `bytes` and perhaps more.
    ///
    /// Quotes are found a block at a time and not one after another, so that the processor need not
    /// know where one member ends to look at the next.
    #[inline(never)]
    fn plain_members(&mut self, bytes: &[u8], padded: &[u8], sink: &mut impl Sink) -> usize {
        let mut keys = self.parent().keys();
        let mut quotes = Quotes::new(padded, 0);
        let mut at = 0;
        while let Some(first) = bytes.get(at) {
            if *first != b'"' {
                at += self.between(&bytes[at..], sink);
                if self.state != State::Key {
                    return at;
                }
                keys = self.parent().keys();
                continue;
            }
            if quotes.next() != Some(at) {
                // What is no JSON came before, such as a backslash outside a string.
                quotes = Quotes::new(padded, at);
                quotes.next();
            }
            let window = padded.get(at..).and_then(<[u8]>::first_chunk::<WINDOW>);
            let (Some(window), Some(close)) = (window, quotes.next()) else { return at };
            let len = close - at - 1;
            let (_, key) = window.split_at(1);
            let Some(key) = key.first_chunk() else { return at };
            if len > MAX_KEY && padded.get(close) == Some(&b'"') {
                self.node = NOWHERE;
                self.state = State::Colon;
                return close + 1;
            }
            if len > MAX_KEY || window[len + 1] != b'"' || window[len + 2] != b':' {
                break;
            }
            let id = keys.find(key, len);
            let space = usize::from(window[len + 3] == b' ');
            let (_, ahead) = window.split_at(len + 3 + space);
            let Some(ahead) = ahead.first_chunk() else { return at };
            let value = close + 2 + space;
            let end = if id == NOWHERE {
                skip(ahead, value, &mut quotes)
            } else {
                let node = trie::node(id);
                match node.action {
                    Action::Figure(field, op, kin) => {
                        let end = figure(ahead, |number| sink.figure(field, op, kin, number));
                        if end > 0 { value + end } else { NOT_PLAIN }
                    }
                    _ if ahead[0] == b'{' && node.has_keys() && self.has_room() => {
                        self.node = id;
                        self.opens(node, sink);
                        keys = node.keys();
                        at = value + 1;
                        continue;
                    }
                    action @ Action::Word(_) if ahead[0] == b'"' => {
                        let end = plain_string(&mut quotes);
                        match padded.get(value + 1..end.wrapping_sub(1)) {
                            Some(word) => {
                                sink.word(action, Some(word).filter(|word| word.len() <= KEY_ROOM));
                                end
                            }
                            None => NOT_PLAIN,
                        }
                    }
                    _ => NOT_PLAIN,
                }
            };
            match padded.get(end) {
                Some(b',') => at = end + 1,
                Some(b'}') => at = end,
                _ => {
                    self.node = id;
                    self.state = State::Value;
                    let Some(rest) = bytes.get(value..) else { return at };
                    at = value + self.value(rest, sink);
                    if self.state != State::Key {
                        return at;
                    }
                    keys = self.parent().keys();
                    quotes = Quotes::new(padded, at);
                }
            }
        }
        if at < bytes.len() {
            // A key that is not plain.
            self.scratch.clear();
            self.state = State::InKey;
            at += 1;
        }
        at
    }

    /// In an object, where no key begins.
    #[inline(never)]
    fn between(&mut self, bytes: &[u8], sink: &mut impl Sink) -> usize {
        match bytes.first() {
            Some(b'}') => {
                self.close(sink);
                1 + self.after(&bytes[1..], sink)
            }
            Some(byte) if is_space(*byte) => spaces(bytes),
            _ => {
                self.state = State::Broken;
                1
            }
        }
    }
}

/// Where the quotes are, and what may be an escape.
struct Quotes<'a> {
    bytes: &'a [u8],
    /// Where the block at hand begins.
    block: usize,
    /// Those of its quotes and backslashes that were not passed.
    mask: u64,
}

impl<'a> Quotes<'a> {
    #[inline(always)]
    fn new(bytes: &'a [u8], at: usize) -> Self {
        let block = at / BLOCK * BLOCK;
        let mask = Self::mask(bytes, block).unwrap_or(0) & u64::MAX << (at % BLOCK);
        Self { bytes, block, mask }
    }

    #[inline(always)]
    fn mask(bytes: &[u8], block: usize) -> Option<u64> {
        bytes.get(block..).and_then(<[u8]>::first_chunk).map(blocks::quotes_and_escapes)
    }

    /// The next one, which is passed; nothing after the last whole block.
    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        self.fill()?;
        let at = self.block + self.mask.trailing_zeros() as usize;
        self.mask &= self.mask - 1;
        Some(at)
    }

    #[inline(always)]
    fn fill(&mut self) -> Option<()> {
        while self.mask == 0 {
            let next = self.block + BLOCK;
            self.mask = Self::mask(self.bytes, next)?;
            self.block = next;
        }
        Some(())
    }
}

/// Where a string ends that begins at the next quote, if it has no escape and is whole; else [`NOT_PLAIN`].
#[inline(always)]
fn plain_string(quotes: &mut Quotes<'_>) -> usize {
    quotes.next();
    match quotes.next() {
        Some(end) if quotes.bytes.get(end) == Some(&b'"') => end + 1,
        _ => NOT_PLAIN,
    }
}

/// Where a value of no interest ends, if it is plain; else [`NOT_PLAIN`].
#[inline(always)]
fn skip(ahead: &[u8; AHEAD], value: usize, quotes: &mut Quotes<'_>) -> usize {
    if ahead[0] == b'"' {
        return plain_string(quotes);
    }
    if starts_scalar(ahead[0]) {
        let len = blocks::scalar_len(ahead);
        if len < AHEAD {
            return value + len;
        }
    }
    NOT_PLAIN
}

/// Tells of a number of a few digits, and returns where it ends; 0 if it is anything else.
#[inline(always)]
fn figure(ahead: &[u8; AHEAD], tell: impl FnOnce(u64)) -> usize {
    let mut number = 0;
    for (i, byte) in ahead.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            if i == 0 || !matches!(byte, b',' | b'}') {
                return 0;
            }
            tell(number);
            return i;
        }
        number = number * 10 + u64::from(digit);
    }
    0
}
