//! The members of an object, as long as they are plain: key, colon, value and comma whole within
//! a piece, without spaces but one after the colon and the comma. Whatever is not is left to the
//! states that read it a byte at a time, and read the same.
//!
//! An object is looked at in windows that begin at a key. The quotes of a window's first block are
//! found at once, and one after the other tell where keys and strings begin and end; a value is
//! only checked to end where a member may. So the next key is known before the value is read.

use fearless_simd::{Simd, dispatch};

use super::Visitor;
use super::path_table::{self, DEAD, KEY_CAPACITY};
use super::scanner::{Scanner, State, is_space, spaces, starts_scalar};
use super::simd::{self, BLOCK_SIZE};
use crate::usage::formats::Action;

/// A block, in which quotes are looked for, and room for what is looked at after the last of them.
const WINDOW: usize = 2 * BLOCK_SIZE;
/// Where the last quote of a key may be, so that its value begins within the block.
const LAST_CLOSE: usize = BLOCK_SIZE - 4;
/// In place of where a value ends. There is a quote, which ends none.
const SLOW: usize = 0;
/// What is looked at of a value: longer numbers may not fit in a figure.
const AHEAD: usize = 16;

impl Scanner {
    /// In an object, before a key.
    #[inline(never)]
    pub(super) fn read_members(&mut self, bytes: &[u8], visitor: &mut impl Visitor) -> usize {
        dispatch!(simd::single_block_level(), simd => self.read_plain_members(simd, bytes, visitor))
    }

    /// The same, as long as members are plain.
    ///
    /// The quotes of a block are found together and not one after another, so that the processor
    /// need not know where one member ends to look at the next.
    #[inline(always)]
    fn read_plain_members<S: Simd>(
        &mut self,
        simd: S,
        bytes: &[u8],
        visitor: &mut impl Visitor,
    ) -> usize {
        let mut keys = self.parent().keys();
        let mut from = 0;
        // The end of the bytes, with zeros after it, which are part of nothing plain.
        let mut padded = [0; 2 * WINDOW];
        let mut padded_from = None;
        'windows: while let Some(rest) = bytes.get(from..).filter(|rest| !rest.is_empty()) {
            let window = match rest.first_chunk::<WINDOW>() {
                Some(window) => window,
                None => {
                    let begin = *padded_from.get_or_insert_with(|| {
                        padded[..rest.len()].copy_from_slice(rest);
                        from
                    });
                    match padded.get(from - begin..).and_then(<[u8]>::first_chunk) {
                        Some(window) => window,
                        None => return from,
                    }
                }
            };
            if window[0] != b'"' {
                from += self.before_key(rest, visitor);
                if self.state != State::Key {
                    return from;
                }
                keys = self.parent().keys();
                continue;
            }
            let mut quotes = Quotes::of(simd, bytes, rest);
            // Where a quote is, which begins a key.
            let mut at = 0;
            loop {
                // It is the first one, unless a backslash stood outside a string. From there on all
                // is told by the quotes, which are known before the values are.
                let open = quotes.first();
                if open < at {
                    from += at;
                    continue 'windows;
                }
                quotes.advance();
                let close = quotes.first();
                if close > LAST_CLOSE {
                    // It is cut by the end of the block.
                    if open == 0 {
                        return self.start_slow_key(from);
                    }
                    from += open;
                    continue 'windows;
                }
                quotes.advance();
                if array_at(window, close) != Some(b"\":") {
                    return self.start_slow_key(from + open);
                }
                let value = close + 2 + usize::from(window[close + 2] == b' ');
                let (Some(key), Some(ahead)) =
                    (array_at(window, open + 1), array_at(window, value))
                else {
                    return from;
                };
                let id = keys.find(key, close - open - 1);
                let end = if id == DEAD {
                    if ahead[0] == b'"' {
                        quotes.string_end(window)
                    } else if starts_scalar(ahead[0]) {
                        value + simd::scalar_len(simd, ahead)
                    } else {
                        SLOW
                    }
                } else {
                    let node = path_table::node(id);
                    match node.action {
                        Action::Count(token, op, accounting) => match short_integer(ahead) {
                            Some((number, len)) => {
                                visitor.count(token, op, accounting, number);
                                value + len
                            }
                            None => SLOW,
                        },
                        _ if ahead[0] == b'{' && node.has_keys() && self.has_capacity(1) => {
                            self.node = id;
                            self.open_object(node, visitor);
                            keys = node.keys();
                            at = value + 1;
                            if ahead[1] == b'"' {
                                continue;
                            }
                            from += at;
                            continue 'windows;
                        }
                        action
                            if ahead.starts_with(b"[{\"")
                                && path_table::node(node.element).has_keys()
                                && self.has_capacity(2) =>
                        {
                            visitor.present(action);
                            self.node = id;
                            self.push_container(true);
                            self.node = node.element;
                            let element = path_table::node(node.element);
                            self.open_object(element, visitor);
                            keys = element.keys();
                            at = value + 2;
                            continue;
                        }
                        Action::Word(field) if ahead[0] == b'"' => {
                            let end = quotes.string_end(window);
                            if let Some(word) = window.get(value + 1..end.wrapping_sub(1)) {
                                visitor.word(
                                    field,
                                    Some(word).filter(|word| word.len() <= KEY_CAPACITY),
                                );
                            }
                            end
                        }
                        _ => SLOW,
                    }
                };
                if array_at(window, end) == Some(b",\"") {
                    at = end + 1;
                    continue;
                }
                match window.get(end) {
                    Some(b',') => {
                        at = end + 1;
                        if array_at(window, at) == Some(b" \"") {
                            at += 1;
                            continue;
                        }
                        from += at;
                        continue 'windows;
                    }
                    Some(b'}') => {
                        let mut end = end;
                        while let Some(closing) = self.closing()
                            && window.get(end) == Some(closing)
                        {
                            self.close_container(visitor);
                            end += 1;
                        }
                        if self.in_object() && array_at(window, end) == Some(b",\"") {
                            keys = self.parent().keys();
                            at = end + 1;
                            continue;
                        }
                        from += end;
                        from += self.after_last_value(&bytes[from..], visitor);
                    }
                    _ => {
                        self.node = id;
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

    /// In an object, before a key that is not plain.
    #[cold]
    fn start_slow_key(&mut self, at: usize) -> usize {
        self.key_buffer.clear();
        self.state = State::InKey;
        at + 1
    }

    /// In an object, where no key begins.
    #[inline]
    pub(super) fn before_key(&mut self, bytes: &[u8], visitor: &mut impl Visitor) -> usize {
        match bytes.first() {
            Some(b'}') => {
                self.close_container(visitor);
                1 + self.after_value(&bytes[1..], visitor)
            }
            Some(byte) if is_space(*byte) => spaces(bytes),
            _ => {
                self.state = State::Invalid;
                1
            }
        }
    }
}

/// The quotes of a window's first block, and what may be an escape, as far as they were not passed.
struct Quotes(u64);

impl Quotes {
    #[inline(always)]
    fn of<S: Simd>(simd: S, bytes: &[u8], rest: &[u8]) -> Self {
        match rest.first_chunk() {
            Some(block) => Self(simd::quotes_and_escapes(simd, block)),
            // What was written a moment ago, as what is padded, takes longer to read.
            None => {
                let (block, seen) = simd::last_block(bytes, rest);
                Self(simd::quotes_and_escapes(simd, &block) >> seen)
            }
        }
    }

    /// Where the first of them is; after the block if there is none.
    #[inline(always)]
    fn first(&self) -> usize {
        self.0.trailing_zeros() as usize
    }

    #[inline(always)]
    fn advance(&mut self) {
        self.0 &= self.0.wrapping_sub(1);
    }

    /// Where a string ends that begins at the first of them, if it has no escape and is whole;
    /// else [`SLOW`]. Both are passed.
    #[inline(always)]
    fn string_end(&mut self, window: &[u8; WINDOW]) -> usize {
        self.advance();
        let end = self.first();
        self.advance();
        if end < BLOCK_SIZE && window[end] == b'"' { end + 1 } else { SLOW }
    }
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
