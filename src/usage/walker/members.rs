//! The members of an object, as long as they are plain: key, colon, value and comma whole within
//! a piece, without spaces but one after the colon. Whatever is not is left to the states that
//! read it a byte at a time, and read the same.

use super::scratch::ROOM;
use super::{Sink, State, Walker, is_space, spaces};
use crate::usage::blocks::{self, ContainerEnd, StringEnd};
use crate::usage::formats::Action;
use crate::usage::trie::{self, MAX_KEY, NOWHERE};

/// Holds the longest known key, and a number or literal after it.
const WINDOW: usize = 64;

/// What to do about a value.
enum Value {
    /// It was read, and is this long.
    Read(usize),
    /// It is an object or array that is of interest.
    Opens,
    /// It is of no interest, and goes on after these bytes.
    SkipsOn(State),
    /// It is not plain.
    NotPlain,
}

impl Walker {
    /// In an object, before a key or its end.
    pub(super) fn members(&mut self, bytes: &[u8], sink: &mut impl Sink) -> usize {
        let mut padded = [0; WINDOW];
        let mut parent = self.parent();
        let mut at = 0;
        loop {
            let window = match bytes.get(at..).and_then(<[u8]>::first_chunk::<WINDOW>) {
                Some(window) => window,
                None if at >= bytes.len() => return at,
                None => pad(&bytes[at..], &mut padded),
            };
            match window[0] {
                b'"' => {}
                b'}' => {
                    self.close(sink);
                    at += 1;
                    at += self.after(&bytes[at..], sink);
                    if self.state != State::Key {
                        return at;
                    }
                    parent = self.parent();
                    continue;
                }
                byte if is_space(byte) => {
                    at += spaces(&bytes[at..]);
                    continue;
                }
                _ => {
                    self.state = State::Broken;
                    return at + 1;
                }
            }
            let Some(len) = key_len(window) else {
                self.scratch.clear();
                self.state = State::InKey;
                return at + 1;
            };
            let (_, key) = window.split_at(1);
            let Some(key) = key.first_chunk::<ROOM>() else { return at };
            self.node = parent.child(key, len);
            at += len + 2;
            if window[(len + 2) % WINDOW] != b':' {
                self.state = State::Colon;
                return at;
            }
            let mut value = len + 3;
            at += 1;
            if window[value % WINDOW] == b' ' {
                value += 1;
                at += 1;
            }

            let node = trie::node(self.node);
            let ahead = window.get(value..).and_then(<[u8]>::first_chunk::<16>);
            let (Some(ahead), Some(rest)) = (ahead, bytes.get(at..)) else { return at };
            let read = if self.node == NOWHERE {
                self.skip(ahead, rest)
            } else {
                self.plain(node, ahead, rest, sink)
            };
            match read {
                Value::Read(len) => {
                    at += len;
                    if bytes.get(at) == Some(&b',') {
                        at += 1;
                        continue;
                    }
                    at += self.after(&bytes[at..], sink);
                }
                Value::Opens => {
                    self.state = State::Value;
                    at += self.value(rest, sink);
                }
                Value::SkipsOn(state) => {
                    self.state = state;
                    return bytes.len();
                }
                Value::NotPlain => self.state = State::Value,
            }
            if self.state != State::Key {
                return at;
            }
            parent = self.parent();
        }
    }

    /// A value of no interest.
    #[inline]
    fn skip(&mut self, ahead: &[u8; 16], rest: &[u8]) -> Value {
        match ahead[0] {
            b'"' => self.skip_string(rest),
            b'{' | b'[' => {
                self.container = ContainerEnd::opened();
                match self.container.find(&rest[1..]) {
                    Some(end) => Value::Read(end + 1),
                    None => Value::SkipsOn(State::SkipContainer),
                }
            }
            b'-' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                let len = blocks::scalar_len(ahead);
                if len < 16 && matches!(ahead[len], b',' | b'}') {
                    Value::Read(len)
                } else {
                    Value::NotPlain
                }
            }
            _ => Value::NotPlain,
        }
    }

    #[inline]
    fn skip_string(&mut self, rest: &[u8]) -> Value {
        // Most strings are short, and have no escape.
        let mut from = 1;
        while let Some(sixteen) = rest.get(from..).and_then(<[u8]>::first_chunk::<16>)
            && from < 64
        {
            let len = blocks::plain_len(sixteen);
            from += len;
            if len < 16 {
                if sixteen[len] == b'"' {
                    return Value::Read(from + 1);
                }
                break;
            }
        }
        self.string = StringEnd::default();
        match self.string.find(&rest[from..]) {
            Some(end) => Value::Read(from + end + 1),
            None => Value::SkipsOn(State::SkipString),
        }
    }

    /// A value that means something.
    #[inline]
    fn plain(
        &mut self,
        node: &trie::Node,
        ahead: &[u8; 16],
        rest: &[u8],
        sink: &mut impl Sink,
    ) -> Value {
        match (ahead[0], node.action) {
            (b'{', _) if node.has_keys() && self.has_room() => Value::Opens,
            (b'[', _) if node.element != NOWHERE && self.has_room() => Value::Opens,
            (b'{' | b'[', action) => {
                sink.present(action);
                self.skip(ahead, rest)
            }
            (b'"', action @ Action::Word(_)) => {
                let Some(len) = word_len(&rest[1..]) else { return Value::NotPlain };
                sink.word(action, rest.get(1..=len));
                Value::Read(len + 2)
            }
            (b'"', Action::Text(..) | Action::Error | Action::Nested) => Value::NotPlain,
            (b'"', action) => {
                sink.present(action);
                self.skip_string(rest)
            }
            (_, Action::None) => self.skip(ahead, rest),
            (b'n', _) if ahead.starts_with(b"null") && matches!(ahead[4], b',' | b'}') => {
                Value::Read(4)
            }
            (_, Action::Text(..)) => Value::NotPlain,
            (b'0'..=b'9', action) => {
                let len = blocks::digits(ahead);
                if len > 8 || !matches!(ahead[len], b',' | b'}') {
                    return Value::NotPlain;
                }
                sink.number(action, Some(number(ahead, len)));
                Value::Read(len)
            }
            _ => Value::NotPlain,
        }
    }
}

/// These bytes, and zeros, which are part of nothing plain.
#[cold]
fn pad<'a>(bytes: &[u8], padded: &'a mut [u8; WINDOW]) -> &'a [u8; WINDOW] {
    padded.fill(0);
    padded[..bytes.len()].copy_from_slice(bytes);
    padded
}

/// The length of the key that begins after the first byte; nothing if it is longer than any known
/// key, not whole, or has an escape.
#[inline]
fn key_len(window: &[u8; WINDOW]) -> Option<usize> {
    let (sixteens, _) = window[1..].as_chunks::<16>();
    let mut len = blocks::plain_len(&sixteens[0]);
    if len == 16 {
        len += blocks::plain_len(&sixteens[1]);
        if len > MAX_KEY {
            return None;
        }
    }
    (window[(len + 1) % WINDOW] == b'"').then_some(len)
}

/// The length of a word without escapes, if it is whole within these bytes.
#[inline]
fn word_len(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(sixteen) = bytes.get(from..).and_then(<[u8]>::first_chunk::<16>) {
        let len = blocks::plain_len(sixteen);
        from += len;
        if len < 16 {
            return (sixteen[len] == b'"' && from <= ROOM).then_some(from);
        }
        if from > ROOM {
            return None;
        }
    }
    None
}

/// The number that one to eight digits make.
#[inline]
fn number(digits: &[u8; 16], len: usize) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *digits;
    // Zeros come before them, then each step joins neighbours: digits, pairs, fours.
    let zeros = 64 - 8 * len as u32;
    let ascii = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    let ones = ascii.wrapping_shl(zeros) & 0x0f0f_0f0f_0f0f_0f0f;
    let pairs = ones.wrapping_mul(10 << 8 | 1) >> 8 & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100 << 16 | 1) >> 16 & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000 << 32 | 1) >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_make_their_number() {
        for value in [0, 7, 10, 99, 1500, 12_345, 654_321, 9_999_999, 10_000_000, 98_765_432] {
            let text = format!("{value},}}999999999999999");
            let sixteen = text.as_bytes().first_chunk().unwrap();
            assert_eq!(number(sixteen, blocks::digits(sixteen)), value);
        }
    }
}
