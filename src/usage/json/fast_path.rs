//! The members of an object that is followed, read a block at a time.
//!
//! An object on a known path is read member by member, and most members are short. Reading them a
//! byte at a time, as [`scanner`](super::scanner) can, is what takes longest in a short document. Here
//! the quotes of 64 bytes are found together; from one quote to the next is a key or a string, so
//! that only keys are looked up, and only token counts and words are read at all.
//!
//! ```text
//! while bytes are left:
//!     window = the next 128 bytes, at the piece's end followed by zeros                     (1)
//!     no quote begins it: read the space or `}` there; next window
//!     quotes = a bit for each `"` and `\` in the window's first 64 bytes                    (2)
//!     for each key that ends in those 64 bytes, and early enough to show its value          (3)
//!         take the key's two quotes from `quotes`                                           (4)
//!         they are not in order: the window begins anew at the key                          (5)
//!         key and colon are not plain: leave the key to `State::InKey`
//!         node = where the key leads to
//!         end = where the value ends:
//!             no known path:  a string at the next quote, a scalar at `,` `]` `}`
//!             a token count:  after its digits
//!             a word:         at the next quote
//!             `{` or `[{"` of a known path:  enter it, and go on with its first member
//!         `,` and a quote at `end`:  go on with the next member                             (7)
//!         `}` at `end`:  close what closes there; with `,"` after it, go on with the next member
//!         else:  leave the value to `read_value`
//!     the key is cut: the window moves to the key, and `quotes` with it                     (8)
//! ```
//!
//! **Invariant.** This only ever does what the states that read a byte at a time would do with the
//! same bytes. Whatever is not plain (an escape, more white space than one space after a colon or
//! comma, a value that does not end in the window) is left to them: at every return the state, the
//! node and the number of bytes read are theirs, and nothing in the window is remembered. So a cut
//! between two pieces costs time and never a different result.
//!
//! **Cost.** No state; 256 bytes of stack. A chat answer of 2 KB takes 3.8 times as many instructions
//! without this file, 1.8 times without the zeros after the piece's end.

use fearless_simd::{Simd, dispatch};

use super::path_table::{self, DEAD, Node};
use super::scanner::{Scanner, State, is_space, spaces, starts_scalar};
use super::simd::{self, BLOCK_SIZE};
use super::{TEXT_BLOCK, Visitor};
use crate::usage::formats::{Action, Word, WordField};

/// The block whose quotes are found, and one more: (1) what begins in the first block can be read as
/// an array of fixed length, without asking each time how much is left.
const WINDOW: usize = 2 * BLOCK_SIZE;
/// (3) The last place of a key's closing quote: `":` and a space may come between it and the quote
/// that begins its value, which has to be in the same block.
const LAST_CLOSE: usize = BLOCK_SIZE - 4;
/// In place of a value's end: leave the value to [`Scanner::read_value`]. A window begins with a quote,
/// and no value ends before one, so that the comparisons for a real end send this there as well.
const SLOW: usize = 0;
/// As much of a value as is looked at. A number as long as this is no usual token count.
const AHEAD: usize = 16;

impl Scanner {
    /// Reads members of the innermost object, which is before a key. Returns how many bytes it read.
    #[inline(never)]
    pub(super) fn read_members(&mut self, bytes: &[u8], visitor: &mut impl Visitor) -> usize {
        dispatch!(simd::single_block_level(), simd => self.read_plain_members(simd, bytes, visitor))
    }

    #[inline(always)]
    fn read_plain_members<S: Simd>(
        &mut self,
        simd: S,
        bytes: &[u8],
        visitor: &mut impl Visitor,
    ) -> usize {
        let mut windows = Windows::new();
        // Held here, since loading them for each key takes 2 %.
        let mut keys = self.parent().keys();
        let mut from = 0;
        'windows: while from < bytes.len() {
            let rest = &bytes[from..];
            let Some(mut window) = windows.at(from, rest) else { return from };
            if window[0] != b'"' {
                from += self.before_key(rest, visitor);
                if self.state != State::Key {
                    return from;
                }
                keys = self.parent().keys();
                continue;
            }
            // (2) One mask for all members of the block.
            let mut quotes = Quotes::of(simd, window);
            quotes.advance();
            // Where in the window the quote is that begins a key.
            let mut at = 0;
            loop {
                // (4) The key's quotes are in the mask, so that its end need not be searched for. That of
                // the first is cleared.
                let open = at;
                let close = quotes.first();
                if close > LAST_CLOSE {
                    // A key that is cut by the end of the block begins the next window. If it begins
                    // this one, it is longer than any known key or it is cut by the piece's end.
                    if open == 0 {
                        return self.start_slow_key(from);
                    }
                    from += open;
                    // (8)
                    let Some(following) = quotes.shifted(simd, window, open) else {
                        continue 'windows;
                    };
                    let next = bytes.get(from..).and_then(|rest| windows.at(from, rest));
                    let Some(next) = next else { return from };
                    (window, quotes, at) = (next, following, 0);
                    continue;
                }
                if close <= open {
                    // (5) Only a backslash outside a string leaves a bit behind: this is no JSON.
                    from += open;
                    continue 'windows;
                }
                quotes.advance();
                // This is also where a key with an escape is left to the slow path: `close` is then
                // its backslash.
                if array_at(window, close) != Some(b"\":") {
                    return self.start_slow_key(from + open);
                }
                let value = close + 2 + usize::from(window[close + 2] == b' ');
                // (6) Never fails: `open` and `value` are in the first of the window's two blocks.
                let (Some(key), Some(ahead)) =
                    (array_at(window, open + 1), array_at(window, value))
                else {
                    return from;
                };

                let node = keys.find(key, close - open - 1);
                let end = match node {
                    // A key that is in no set, unless it has no value. See `note_key`.
                    None if ahead[0] == b'"' => {
                        self.key_sets = 0;
                        quotes.string_end(window)
                    }
                    None if starts_scalar(ahead[0]) => {
                        if ahead[0] != b'n' {
                            self.key_sets = 0;
                        }
                        value + simd::scalar_len(simd, ahead)
                    }
                    None => SLOW,
                    // Leaving counts to the slow path takes 42 % of a chat answer, words 4 %, objects
                    // 7 %, arrays 1 %.
                    Some(&Node { action: Action::Count(token, op, accounting), .. }) => {
                        match short_integer(ahead) {
                            Some((number, len)) => {
                                visitor.count(token, op, accounting, number);
                                value + len
                            }
                            None => SLOW,
                        }
                    }
                    // These are keys in no set, too.
                    Some(&Node { action: Action::Info(field), .. }) if ahead[0] == b'"' => {
                        self.key_sets = 0;
                        read_plain_text(window, value, &mut quotes, |text, len| {
                            visitor.info(field, text, len);
                        })
                    }
                    Some(node) => {
                        self.note_key(node, ahead[0]);
                        match node.action {
                            Action::Word(field) if ahead[0] == b'"' => {
                                if visitor.is_traced() {
                                    SLOW
                                } else {
                                    read_plain_word(window, value, field, &mut quotes, visitor)
                                }
                            }
                            Action::Id(field) if ahead[0] == b'"' => {
                                read_plain_text(window, value, &mut quotes, |text, len| {
                                    visitor.id(field, text, len);
                                })
                            }
                            Action::Part(part) => match short_integer(ahead) {
                                Some((number, len)) => {
                                    visitor.part(part, number);
                                    value + len
                                }
                                None => SLOW,
                            },
                            _ => match self.enter(node, ahead, visitor) {
                                None => SLOW,
                                Some((object, brackets)) => {
                                    keys = object.keys();
                                    at = value + brackets;
                                    if window.get(at) == Some(&b'"') {
                                        quotes.advance();
                                        continue;
                                    }
                                    from += at;
                                    continue 'windows;
                                }
                            },
                        }
                    }
                };

                // (7) Nearly every member is followed by this: 3.5 % of a chat answer.
                if array_at(window, end) == Some(b",\"") {
                    at = end + 1;
                    quotes.advance();
                    continue;
                }
                match window.get(end) {
                    Some(b',') => {
                        at = end + 1;
                        at += usize::from(window.get(at) == Some(&b' '));
                        if window.get(at) == Some(&b'"') {
                            quotes.advance();
                            continue;
                        }
                        from += at;
                        continue 'windows;
                    }
                    Some(b'}') => {
                        // To go on here, and not in `after_value`, saves 4 %.
                        let end = self.close_all(window, end, visitor);
                        if self.in_object()
                            && self.depth != self.wildcard_depth
                            && array_at(window, end) == Some(b",\"")
                        {
                            keys = self.parent().keys();
                            at = end + 1;
                            quotes.advance();
                            continue;
                        }
                        from += end;
                        from += self.after_value(&bytes[from..], visitor);
                    }
                    _ => {
                        self.node = node.map_or(DEAD, |node| node.id);
                        self.state = State::Value;
                        from += value;
                        from += self.read_value(&bytes[from..], visitor);
                    }
                }
                if self.state != State::Key {
                    return from;
                }
                keys = self.parent().keys();
                continue 'windows;
            }
        }
        from
    }

    /// Enters the object, or the object that is first in an array, with which a value begins. Returns
    /// it and the number of brackets, if there is one to follow.
    #[inline(always)]
    fn enter(
        &mut self,
        node: &'static Node,
        ahead: &[u8; AHEAD],
        visitor: &mut impl Visitor,
    ) -> Option<(&'static Node, usize)> {
        if ahead[0] == b'{' && node.is_plain() && self.has_capacity(1) {
            self.open_plain_object(node, visitor);
            return Some((node, 1));
        }
        let element = path_table::node(node.element);
        if ahead.starts_with(b"[{\"") && element.is_plain() && self.has_capacity(2) {
            visitor.present(node.action);
            self.push_container(node.id, true);
            self.open_plain_object(element, visitor);
            return Some((element, 2));
        }
        None
    }

    /// Closes what the brackets at `end` close; returns where they end.
    #[inline(always)]
    fn close_all(
        &mut self,
        window: &[u8; WINDOW],
        mut end: usize,
        visitor: &mut impl Visitor,
    ) -> usize {
        while let Some(closing) = self.closing()
            && window.get(end) == Some(closing)
        {
            self.close_container(visitor);
            end += 1;
        }
        end
    }

    /// In an object, before a key that is not plain.
    #[cold]
    pub(super) fn start_slow_key(&mut self, at: usize) -> usize {
        self.key_buffer.clear();
        self.state = State::InKey;
        at + 1
    }

    /// In an object, where it ends.
    #[inline(always)]
    pub(super) fn end_object(&mut self, bytes: &[u8], visitor: &mut impl Visitor) -> usize {
        self.close_container(visitor);
        1 + self.after_value(&bytes[1..], visitor)
    }

    /// In an object, where no key begins.
    #[inline]
    pub(super) fn before_key(&mut self, bytes: &[u8], visitor: &mut impl Visitor) -> usize {
        match bytes.first() {
            Some(b'}') => self.end_object(bytes, visitor),
            Some(byte) if is_space(*byte) => spaces(bytes),
            _ => {
                self.state = State::Invalid;
                1
            }
        }
    }
}

/// The windows of a piece.
struct Windows {
    /// The end of the piece and zeros, which are part of nothing plain.
    padded: [u8; 2 * WINDOW],
    /// Where in the piece that begins.
    padded_from: Option<usize>,
}

impl Windows {
    #[inline(always)]
    fn new() -> Self {
        Self { padded: [0; 2 * WINDOW], padded_from: None }
    }

    /// The window that begins at `from`, where `rest` is what is left of the piece.
    #[inline(always)]
    fn at<'a>(&'a mut self, from: usize, rest: &'a [u8]) -> Option<&'a [u8; WINDOW]> {
        if let Some(window) = rest.first_chunk() {
            return Some(window);
        }
        let begin = *self.padded_from.get_or_insert_with(|| {
            self.padded[..rest.len()].copy_from_slice(rest);
            from
        });
        self.padded.get(from - begin..).and_then(<[u8]>::first_chunk)
    }
}

/// A bit for each quote and backslash of a window's first block that is not read yet.
struct Quotes(u64);

impl Quotes {
    #[inline(always)]
    fn of<S: Simd>(simd: S, window: &[u8; WINDOW]) -> Self {
        // No closure: it would not be compiled for the level's instructions.
        let Some(block) = window.first_chunk() else { return Self(0) };
        Self(simd::quotes_and_escapes(simd, block))
    }

    /// Where the first of them is; [`BLOCK_SIZE`] if none is left.
    #[inline(always)]
    fn first(&self) -> usize {
        self.0.trailing_zeros() as usize
    }

    /// Clears the first of them, if there is one.
    #[inline(always)]
    fn advance(&mut self) {
        self.0 &= self.0.wrapping_sub(1);
    }

    /// The same for a window that begins at `from` in this one's first block, if it does. What is in
    /// the second block does not depend on `from`, so that only the shift waits for it: to load and
    /// compare the new window's block instead takes 17 % more of a chat answer's time, though fewer
    /// instructions.
    #[inline(always)]
    fn shifted<S: Simd>(&self, simd: S, window: &[u8; WINDOW], from: usize) -> Option<Self> {
        let second = simd::quotes_and_escapes(simd, window.last_chunk()?);
        // By two shifts, since all 64 bits may go.
        (from < BLOCK_SIZE).then(|| Self(self.0 >> from | second << 1 << (BLOCK_SIZE - 1 - from)))
    }

    /// The end of a string that begins at the first of them, or [`SLOW`] if it has an escape or is
    /// cut. Clears both of its quotes.
    #[inline(always)]
    fn string_end(&mut self, window: &[u8; WINDOW]) -> usize {
        self.advance();
        let end = self.first();
        self.advance();
        if end < BLOCK_SIZE && window[end] == b'"' { end + 1 } else { SLOW }
    }
}

/// Reads a word without escapes, and returns its end.
#[inline(always)]
fn read_plain_word(
    window: &[u8; WINDOW],
    value: usize,
    field: WordField,
    quotes: &mut Quotes,
    visitor: &mut impl Visitor,
) -> usize {
    let end = quotes.string_end(window);
    if end != SLOW
        && let Some(bytes) = array_at(window, value + 1)
    {
        visitor.word(field, Word::new(bytes, end - value - 2).unwrap_or(Word::UNKNOWN));
    }
    end
}

/// Reads a short text without escapes, and returns its end.
#[inline(always)]
fn read_plain_text(
    window: &[u8; WINDOW],
    value: usize,
    quotes: &mut Quotes,
    take: impl FnOnce(&[u8; TEXT_BLOCK], usize),
) -> usize {
    let end = quotes.string_end(window);
    if end != SLOW
        && let Some(bytes) = array_at::<TEXT_BLOCK>(window, value + 1)
    {
        take(bytes, end - value - 2);
    }
    end
}

/// A part of a window.
#[inline(always)]
fn array_at<const LEN: usize>(window: &[u8; WINDOW], at: usize) -> Option<&[u8; LEN]> {
    window.get(at..).and_then(<[u8]>::first_chunk)
}

/// A number of a few digits and nothing else, and how many they are.
#[inline(always)]
fn short_integer(ahead: &[u8; AHEAD]) -> Option<(u64, usize)> {
    let mut number = 0;
    for (i, byte) in ahead.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return (i > 0 && matches!(byte, b',' | b'}')).then_some((number, i));
        }
        number = number * 10 + u64::from(digit);
    }
    None
}
