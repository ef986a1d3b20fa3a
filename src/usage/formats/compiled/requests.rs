//! The paths of requests, compiled.
//!
//! The end of a path is looked up by a hash of its last five bytes. What it may contain begins with a
//! slash, and few letters follow that one. Only a path that has the first six bytes of a pattern is
//! compared with all of them.

use super::{WORD, const_word};
use crate::usage::formats::REQUEST_PATHS;
use crate::usage::formats::requests::PathPattern::{self, Contains, Suffix, Under};

/// What the path of a request implies: a bit for each [`RequestFlag`](crate::usage::formats::RequestFlag).
#[inline]
pub(in crate::usage) fn request_flags(path: &[u8]) -> u16 {
    let suffix = suffix_flags(path);
    if may_contain(path) { suffix | contained_flags(path) } else { suffix }
}

/// The flags of the [`Suffix`] that a path ends with. It is found by a hash of the last five bytes.
/// Of several patterns with the same last bytes, the longest comes first in the table. The last eight
/// bytes tell nearly all of them apart.
#[inline]
fn suffix_flags(path: &[u8]) -> u16 {
    let tail = path.last_chunk().copied().unwrap_or_else(|| {
        let mut padded = [0; WORD];
        padded[WORD - path.len()..].copy_from_slice(path);
        padded
    });
    find_suffix(u64::from_le_bytes(tail), path)
}

#[inline]
fn find_suffix(tail: u64, path: &[u8]) -> u16 {
    let mut number = SUFFIX_SLOTS[suffix_hash(tail >> (8 * (8 - TAIL)))];
    while let Some(suffix) = SUFFIXES.get(usize::from(number)) {
        if tail & suffix.mask == suffix.tail && suffix.matches_rest(path) {
            return suffix.flags;
        }
        number = suffix.next;
    }
    0
}

/// Whether any [`Contains`] or [`Under`] may match, by six bytes of each. Slashes are searched for
/// in eight bytes at a time, and few are followed by a byte that begins a pattern.
#[inline]
fn may_contain(path: &[u8]) -> bool {
    let (words, rest) = path.as_chunks();
    words.iter().enumerate().any(|(i, word)| may_begin_in(word, path, WORD * i))
        // Overlaps the word before it.
        || !rest.is_empty()
            && path.last_chunk().is_some_and(|word| may_begin_in(word, path, path.len() - WORD))
}

/// Whether a pattern may begin in this word of a path.
#[inline]
fn may_begin_in(word: &[u8; WORD], path: &[u8], from: usize) -> bool {
    let mut slashes = zero_bytes(u64::from_le_bytes(*word) ^ u64::from_le_bytes([b'/'; WORD]));
    while slashes != 0 {
        let at = from + slashes.trailing_zeros() as usize / 8;
        if let Some(second) = path.get(at + 1)
            && CONTAINED_SECONDS >> (second % 32) & 1 != 0
            && begins_contained(&path[at..])
        {
            return true;
        }
        slashes &= slashes - 1;
    }
    false
}

/// Whether a pattern may begin here.
#[cold]
fn begins_contained(path: &[u8]) -> bool {
    let head = path.first_chunk().map(|word| u64::from_le_bytes(*word) & HEAD_MASK);
    head.is_some_and(|head| CONTAINED_HEADS.contains(&head))
}

/// The highest bit of each byte that is zero, and perhaps of bytes behind it.
#[inline]
const fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(u64::from_le_bytes([1; WORD])) & !word & u64::from_le_bytes([0x80; WORD])
}

#[cold]
fn contained_flags(path: &[u8]) -> u16 {
    let find = |path: &[u8], part: &str| memchr::memmem::find(path, part.as_bytes());
    let matches = |pattern: &PathPattern| match pattern {
        Suffix(_) => false,
        Contains(part) => find(path, part).is_some(),
        Under(part, below) => find(path, part)
            // The slash at the end of one may be that at the beginning of the other.
            .is_some_and(|at| find(&path[at + part.len() - 1..], below).is_some()),
    };
    let matching = REQUEST_PATHS.iter().filter(|(pattern, _)| matches(pattern));
    matching.fold(0, |flags, (_, flag)| flags | flag.bit())
}

/// How many of the last bytes are hashed.
const TAIL: usize = 5;

/// A [`Suffix`], compiled. As large as a power of two, so that its place is found by a shift.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct CompiledSuffix {
    text: &'static [u8],
    /// Its last eight bytes, and a mask of those that it has.
    tail: u64,
    mask: u64,
    /// Its first eight bytes, if it is longer.
    head: u64,
    flags: u16,
    /// The number of another suffix with the same hash; [`NO_SUFFIX`] if there is none.
    next: u8,
}

impl CompiledSuffix {
    /// Whether a path that ends with its tail ends with all of it.
    #[inline]
    fn matches_rest(&self, path: &[u8]) -> bool {
        let len = self.text.len();
        if len <= WORD {
            return true;
        }
        let begin = path.len().checked_sub(len).and_then(|at| path[at..].first_chunk());
        begin.is_some_and(|word| u64::from_le_bytes(*word) == self.head)
            && (len <= 2 * WORD || path.ends_with(self.text))
    }
}

const NO_SUFFIX: u8 = u8::MAX;
const SUFFIX_SLOT_BITS: u32 = 8;

const fn suffix_hash(tail: u64) -> usize {
    // 2^64 divided by the golden ratio.
    (tail.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - SUFFIX_SLOT_BITS)) as usize
}

/// Each pattern once, with the flags of all its rows.
static SUFFIXES: [CompiledSuffix; count_patterns(true)] = {
    let mut compiled = [NOTHING; count_patterns(true)];
    let (mut filled, mut i) = (0, 0);
    while i < REQUEST_PATHS.len() {
        if let Suffix(text) = REQUEST_PATHS[i].0 {
            compiled[filled].text = text.as_bytes();
            let len = if text.len() < WORD { text.len() } else { WORD };
            let missing = 8 * (WORD - len);
            let tail = const_word(text.as_bytes(), text.len() - len, len);
            compiled[filled].tail = tail << missing;
            compiled[filled].mask = u64::MAX << missing;
            compiled[filled].head = const_word(text.as_bytes(), 0, len);
            let mut j = 0;
            while j < REQUEST_PATHS.len() {
                if let Suffix(other) = REQUEST_PATHS[j].0
                    && const_eq(text.as_bytes(), other.as_bytes())
                {
                    compiled[filled].flags |= REQUEST_PATHS[j].1.bit();
                }
                j += 1;
            }
            filled += 1;
        }
        i += 1;
    }
    let mut i = 0;
    while i < filled {
        let mut j = i + 1;
        while j < filled {
            if suffix_hash(TAILS[j]) == suffix_hash(TAILS[i]) {
                compiled[i].next = j as u8;
                break;
            }
            j += 1;
        }
        i += 1;
    }
    compiled
};

const NOTHING: CompiledSuffix =
    CompiledSuffix { text: b"", tail: 0, mask: 0, head: 0, flags: 0, next: NO_SUFFIX };

/// The tails of all patterns.
const TAILS: [u64; count_patterns(true)] = {
    let (mut tails, mut filled, mut i) = ([0; count_patterns(true)], 0, 0);
    while i < REQUEST_PATHS.len() {
        if let Suffix(text) = REQUEST_PATHS[i].0 {
            tails[filled] = const_word(text.as_bytes(), text.len() - TAIL, TAIL);
            filled += 1;
        }
        i += 1;
    }
    tails
};

/// The first pattern whose tail has this hash.
static SUFFIX_SLOTS: [u8; 1 << SUFFIX_SLOT_BITS] = {
    let mut slots = [NO_SUFFIX; 1 << SUFFIX_SLOT_BITS];
    let mut i = TAILS.len();
    while i > 0 {
        i -= 1;
        slots[suffix_hash(TAILS[i])] = i as u8;
    }
    slots
};

/// How many bytes of a contained pattern are compared first.
const HEAD: usize = 6;
const HEAD_MASK: u64 = (1 << (8 * HEAD)) - 1;

/// The first bytes of each [`Contains`] and [`Under`].
const CONTAINED_HEADS: [u64; count_patterns(false)] = {
    let (mut words, mut filled, mut i) = ([0; count_patterns(false)], 0, 0);
    while i < REQUEST_PATHS.len() {
        if let Contains(part) | Under(part, _) = REQUEST_PATHS[i].0 {
            assert!(part.as_bytes()[0] == b'/', "a contained pattern begins with a slash");
            words[filled] = const_word(part.as_bytes(), 0, HEAD);
            filled += 1;
        }
        i += 1;
    }
    words
};

/// The second bytes of these, as bits: five of a byte's bits tell letters apart, but for their case.
const CONTAINED_SECONDS: u32 = {
    let (mut seconds, mut i) = (0, 0);
    while i < CONTAINED_HEADS.len() {
        seconds |= 1 << ((CONTAINED_HEADS[i] >> 8) % 32);
        i += 1;
    }
    seconds
};

const fn count_patterns(suffixes: bool) -> usize {
    let (mut count, mut i) = (0, 0);
    while i < REQUEST_PATHS.len() {
        count += (matches!(REQUEST_PATHS[i].0, Suffix(_)) == suffixes) as usize;
        i += 1;
    }
    count
}

const fn const_eq(a: &[u8], b: &[u8]) -> bool {
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}
