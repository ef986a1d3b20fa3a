//! The members of an object, as long as they are plain: key, colon, value and comma whole within
//! a piece, without spaces but one after the colon and the comma. Whatever is not is left to the
//! states that read it a byte at a time, and read the same.
//!
//! An object is looked at in windows that begin at a key. The quotes of a window's first block are
//! found at once, and one after the other tell where keys and strings begin and end; a value is
//! only checked to end where a member may. So the next key is known before the value is read.

use super::{Sink, State, Walker, is_space, spaces, starts_scalar};
use crate::usage::blocks::{self, BLOCK};
use crate::usage::formats::Action;
use crate::usage::trie::{self, KEY_ROOM, NOWHERE};

/// A block, in which quotes are looked for, and room for what is looked at after the last of them.
const WINDOW: usize = 2 * BLOCK;
/// In place of where a value ends. There is a quote, which ends none.
const NOT_PLAIN: usize = 0;
/// What is looked at of a value: longer numbers may not fit in a figure.
const AHEAD: usize = 16;

impl Walker {
    /// In an object, before a key or its end.
    pub(super) fn members(&mut self, bytes: &[u8], sink: &mut impl Sink) -> usize {
        if bytes.first() == Some(&b'}') {
            return self.between(bytes, sink);
        }
        let mut at = 0;
        if bytes.len() >= WINDOW {
            at = self.plain_members(bytes, bytes, sink);
        }
        let rest = &bytes[at..];
        if self.state != State::Key || rest.is_empty() {
            return at;
        }
        // What is left is less than a window. Zeros after it are part of nothing plain.
        let mut padded = [0; 2 * WINDOW];
        let len = rest.len().min(WINDOW);
        padded[..len].copy_from_slice(&rest[..len]);
        at + self.plain_members(&rest[..len], &padded, sink)
    }

    /// The same, as long as there are windows of `padded` bytes, which are `bytes` and perhaps more.
    ///
    /// The quotes of a block are found together and not one after another, so that the processor
    /// need not know where one member ends to look at the next.
    #[inline(never)]
    fn plain_members(&mut self, bytes: &[u8], padded: &[u8], sink: &mut impl Sink) -> usize {
        let mut keys = self.parent().keys();
        let mut from = 0;
        'windows: while from < bytes.len()
            && let Some(window) = padded.get(from..).and_then(<[u8]>::first_chunk::<WINDOW>)
        {
            if window[0] != b'"' {
                from += self.between(&bytes[from..], sink);
                if self.state != State::Key {
                    return from;
                }
                keys = self.parent().keys();
                continue;
            }
            let mut quotes = Quotes::new(window);
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
                quotes.pass();
                let Some(close) = quotes.next() else {
                    if open == 0 {
                        return self.odd_key(from);
                    }
                    from += open;
                    continue 'windows;
                };
                if part(window, close) != Some(b"\":") {
                    return self.odd_key(from + open);
                }
                let mut value = close + 2;
                if window[value] == b' ' {
                    value += 1;
                }
                let (Some(key), Some(ahead)) = (part(window, open + 1), part(window, value)) else {
                    return from;
                };
                let id = keys.find(key, close - open - 1);
                let end = if id == NOWHERE {
                    skip(ahead, value, window, &mut quotes)
                } else {
                    let node = trie::node(id);
                    match node.action {
                        Action::Figure(field, op, kin) => match figure(ahead) {
                            Some((number, len)) => {
                                sink.figure(field, op, kin, number);
                                value + len
                            }
                            None => NOT_PLAIN,
                        },
                        _ if ahead[0] == b'{' && node.has_keys() && self.has_room() => {
                            self.node = id;
                            self.opens(node, sink);
                            keys = node.keys();
                            at = value + 1;
                            if ahead[1] == b'"' {
                                continue;
                            }
                            from += at;
                            continue 'windows;
                        }
                        action @ Action::Word(_) if ahead[0] == b'"' => {
                            let end = plain_string(window, &mut quotes);
                            if let Some(word) = window.get(value + 1..end.wrapping_sub(1)) {
                                sink.word(action, Some(word).filter(|word| word.len() <= KEY_ROOM));
                            }
                            end
                        }
                        _ => NOT_PLAIN,
                    }
                };
                let Some(next) = part(window, end) else { return from };
                match next {
                    [b',', b'"', _] => at = end + 1,
                    [b',', b' ', b'"'] => at = end + 2,
                    [b',', ..] => {
                        from += end + 1;
                        continue 'windows;
                    }
                    [b'}', ..] => {
                        let mut end = end;
                        while self.in_object() && window.get(end) == Some(&b'}') {
                            self.close(sink);
                            end += 1;
                        }
                        keys = self.parent().keys();
                        if self.in_object() && part(window, end) == Some(b",\"") {
                            at = end + 1;
                            continue;
                        }
                        from += end;
                        from += self.after_last(&bytes[from..], sink);
                        break;
                    }
                    _ => {
                        self.node = id;
                        self.state = State::Value;
                        from += value;
                        from += self.value(&bytes[from..], sink);
                        break;
                    }
                }
            }
            if self.state != State::Key {
                return from;
            }
            keys = self.parent().keys();
        }
        from
    }

    /// In an object, before a key that is not plain.
    #[cold]
    fn odd_key(&mut self, at: usize) -> usize {
        self.scratch.clear();
        self.state = State::InKey;
        at + 1
    }

    /// In an object, where no key begins.
    #[inline]
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

/// Where the quotes are in a block, and what may be an escape, as far as they were not passed.
struct Quotes(u64);

impl Quotes {
    #[inline(always)]
    fn new(window: &[u8; WINDOW]) -> Self {
        Self(window.first_chunk().map_or(0, blocks::quotes_and_escapes))
    }

    /// Where the first of them is; after the block if there is none.
    #[inline(always)]
    fn first(&self) -> usize {
        self.0.trailing_zeros() as usize
    }

    #[inline(always)]
    fn pass(&mut self) {
        self.0 &= self.0.wrapping_sub(1);
    }

    /// The first of them, which is passed.
    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        let first = (self.0 != 0).then(|| self.first());
        self.pass();
        first
    }
}

/// A part of a window.
#[inline(always)]
fn part<const LEN: usize>(window: &[u8; WINDOW], at: usize) -> Option<&[u8; LEN]> {
    window.get(at..).and_then(<[u8]>::first_chunk)
}

/// Where a string ends that begins at the first quote, if it has no escape and is whole; else [`NOT_PLAIN`].
#[inline(always)]
fn plain_string(window: &[u8; WINDOW], quotes: &mut Quotes) -> usize {
    quotes.pass();
    match quotes.next() {
        Some(end) if window[end] == b'"' => end + 1,
        _ => NOT_PLAIN,
    }
}

/// Where a value of no interest ends, if it is plain; else [`NOT_PLAIN`].
#[inline(always)]
fn skip(ahead: &[u8; AHEAD], value: usize, window: &[u8; WINDOW], quotes: &mut Quotes) -> usize {
    if ahead[0] == b'"' {
        return plain_string(window, quotes);
    }
    if starts_scalar(ahead[0]) {
        let len = blocks::scalar_len(ahead);
        if len < AHEAD {
            return value + len;
        }
    }
    NOT_PLAIN
}

/// A number of a few digits and nothing else, and how many they are.
#[inline(always)]
fn figure(ahead: &[u8; AHEAD]) -> Option<(u64, usize)> {
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
