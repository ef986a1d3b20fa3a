//! The tables of [`words`](super::words) and [`requests`](super::requests), compiled at build time.
//!
//! Both tables are lists of texts that nearly every input is compared with and does not match. Here
//! each text becomes one or two integers, computed by the compiler:
//!
//! - A word is looked up in the rows of its field alone, and of these only in those that begin with
//!   its first letter. The first sixteen bytes are compared at once, as two integers with a mask for
//!   the bytes that the text has.
//! - The end of a path is looked up by a hash of its last five bytes, and what it may contain by the
//!   first six bytes of each pattern. Only a path that has them is compared with the patterns.
//!
//! The tables stay the only source: a new row needs no change here, and what they cannot express
//! fails to compile. Nothing is computed at run time, and nothing is allocated.

use super::Pattern::{Exact, Not, Prefix};
use super::requests::PathPattern::{self, Contains, Suffix, Under};
use super::{Effect, Pattern, REQUEST_PATHS, WORDS, WordField};

/// An entry of [`WORDS`], compiled.
///
/// A text is compared sixteen bytes at a time, by two integers: `word & mask == prefix`. Comparing
/// the texts of the table one after another takes no more instructions, but each comparison is a
/// call: the `chat answer` of the bench is then read at 6.1 instead of 9.0 GB/s.
#[derive(Clone, Copy)]
struct CompiledWord {
    prefix: [u64; 2],
    masks: [u64; 2],
    pattern: Pattern,
    effect: Effect,
}

impl CompiledWord {
    const fn new(pattern: Pattern, effect: Effect) -> Self {
        let (text, whole) = match pattern {
            Exact(text) => (text.as_bytes(), true),
            Prefix(text) => (text.as_bytes(), false),
            Not(_) => (b"".as_slice(), false),
        };
        let (mut prefix, mut masks, mut i) = ([0; 2], [0; 2], 0);
        while i < 16 && (i < text.len() || whole) {
            masks[i / 8] |= 0xff << (8 * (i % 8));
            if i < text.len() {
                prefix[i / 8] |= (text[i] as u64) << (8 * (i % 8));
            }
            i += 1;
        }
        Self { prefix, masks, pattern, effect }
    }

    /// Whether a word matches; `prefix` is its first sixteen bytes, zero-padded.
    #[inline]
    fn matches(&self, prefix: [u64; 2], word: &[u8]) -> bool {
        prefix[0] & self.masks[0] == self.prefix[0]
            && prefix[1] & self.masks[1] == self.prefix[1]
            && match self.pattern {
                Exact(text) if text.len() <= 16 => word.len() == text.len(),
                Exact(text) => word == text.as_bytes(),
                Not(text) => word != text.as_bytes(),
                Prefix(text) => text.len() <= 16 || word.starts_with(text.as_bytes()),
            }
    }
}

/// Calls `apply` with the effect of each entry of [`WORDS`] that this value of a field matches.
#[inline]
pub(in crate::usage) fn effects(field: WordField, word: &[u8], mut apply: impl FnMut(Effect)) {
    let words = &FIELDS[field as usize];
    let prefix = [head(word), head(word.get(8..).unwrap_or_default())];
    let first = word.first().map_or(0, |byte| usize::from(*byte) % FIRST_BYTES);
    let mut left = words.candidates[first];
    while let Some(compiled) = words.words.get(left.trailing_zeros() as usize) {
        left &= left - 1;
        if compiled.matches(prefix, word) {
            apply(compiled.effect);
        }
    }
}

/// The first eight bytes of a word, zero-padded.
#[inline]
fn head(word: &[u8]) -> u64 {
    if let Some(eight) = word.first_chunk() {
        return u64::from_le_bytes(*eight);
    }
    match (word.first_chunk(), word.last_chunk()) {
        // Two words of four bytes, which may overlap.
        (Some(first), Some(last)) => {
            let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
            u64::from(first) | u64::from(last) << (8 * (word.len() - 4))
        }
        _ => word.iter().rev().fold(0, |head, byte| head << 8 | u64::from(*byte)),
    }
}

/// The rows of a field, compiled.
#[derive(Clone, Copy)]
struct FieldWords {
    words: &'static [CompiledWord],
    /// A bit for each word that may match, by the last bits of a word's first byte.
    candidates: [u32; FIRST_BYTES],
}

/// Five bits tell letters apart, except for their case.
const FIRST_BYTES: usize = 32;

static COMPILED: [CompiledWord; WORDS.len()] = {
    let mut compiled = [CompiledWord::new(WORDS[0].1, WORDS[0].2); WORDS.len()];
    let mut i = 0;
    while i < WORDS.len() {
        compiled[i] = CompiledWord::new(WORDS[i].1, WORDS[i].2);
        i += 1;
    }
    compiled
};

const FIELD_COUNT: usize = WordField::UsageType as usize + 1;

static FIELDS: [FieldWords; FIELD_COUNT] = {
    let mut fields = [FieldWords { words: &[], candidates: [0; FIRST_BYTES] }; FIELD_COUNT];
    let mut i = 0;
    while i < WORDS.len() {
        let field = &mut fields[WORDS[i].0 as usize];
        let number = field.words.len();
        assert!(number < 32, "a field has more words than a `u32` has bits");
        let start = i - number;
        assert!(
            WORDS[start].0 as usize == WORDS[i].0 as usize,
            "the words of a field stand together"
        );
        field.words = COMPILED.split_at(i + 1).0.split_at(start).1;
        let text = match WORDS[i].1 {
            Exact(text) | Prefix(text) => text.as_bytes(),
            Not(_) => b"",
        };
        let mut first = 0;
        while first < FIRST_BYTES {
            if text.is_empty() || text[0] as usize % FIRST_BYTES == first {
                field.candidates[first] |= 1 << number;
            }
            first += 1;
        }
        i += 1;
    }
    fields
};

/// What the path of a request implies: a bit for each [`RequestFlag`](super::RequestFlag).
#[inline]
pub(in crate::usage) fn request_flags(path: &[u8]) -> u16 {
    let suffix = suffix_flags(path);
    if may_contain(path) { suffix | contained_flags(path) } else { suffix }
}

/// The flags of the [`Suffix`] that a path ends with. It is found by a hash of the last five bytes,
/// and where several patterns have the same, the longest comes first in the table. The last eight
/// bytes tell nearly all of them apart.
#[inline]
fn suffix_flags(path: &[u8]) -> u16 {
    let Some(tail) = path.last_chunk() else {
        // Room for the few that are shorter than a word.
        let mut padded = [0; 8];
        padded[8 - path.len()..].copy_from_slice(path);
        return find_suffix(u64::from_le_bytes(padded), path);
    };
    find_suffix(u64::from_le_bytes(*tail), path)
}

#[inline]
fn find_suffix(tail: u64, path: &[u8]) -> u16 {
    let mut number = SUFFIX_SLOTS[suffix_hash(tail >> (8 * (8 - TAIL)), SUFFIX_FACTOR)];
    while let Some(suffix) = SUFFIXES.get(usize::from(number)) {
        if tail & suffix.mask == suffix.tail
            && (suffix.text.len() <= 8 || path.ends_with(suffix.text))
        {
            return suffix.flags;
        }
        number = suffix.next;
    }
    0
}

/// Whether any [`Contains`] or [`Under`] may match, by six bytes of each.
fn may_contain(path: &[u8]) -> bool {
    let begins = |word: &[u8; 8]| {
        word[0] == b'/' && CONTAINED_HEADS.contains(&(u64::from_le_bytes(*word) & HEAD_MASK))
    };
    match path.len() {
        // Looking at so few one by one is done before a search is under way.
        ..40 => path.array_windows().any(begins),
        _ => memchr::memchr_iter(b'/', path).any(|at| path[at..].first_chunk().is_some_and(begins)),
    }
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

/// A [`Suffix`], compiled.
#[derive(Clone, Copy)]
struct CompiledSuffix {
    text: &'static [u8],
    /// Its last eight bytes, and a mask of those that it has.
    tail: u64,
    mask: u64,
    flags: u16,
    /// The number of another suffix with the same tail; [`NO_SUFFIX`] if there is none.
    next: u8,
}

const NO_SUFFIX: u8 = u8::MAX;
const SUFFIX_SLOT_BITS: u32 = 7;

const fn suffix_hash(tail: u64, factor: u64) -> usize {
    (tail.wrapping_mul(factor) >> (u64::BITS - SUFFIX_SLOT_BITS)) as usize
}

/// Each pattern once, with the flags of all its rows.
static SUFFIXES: [CompiledSuffix; count_patterns(true)] = {
    let nothing = CompiledSuffix { text: b"", tail: 0, mask: 0, flags: 0, next: NO_SUFFIX };
    let mut compiled = [nothing; count_patterns(true)];
    let (mut filled, mut i) = (0, 0);
    while i < REQUEST_PATHS.len() {
        if let Suffix(text) = REQUEST_PATHS[i].0 {
            let len = if text.len() < 8 { text.len() } else { 8 };
            compiled[filled].text = text.as_bytes();
            let tail = const_word(text.as_bytes(), text.len() - len, len);
            compiled[filled].tail = tail << (8 * (8 - len));
            compiled[filled].mask = u64::MAX << (8 * (8 - len));
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
            if TAILS[j] == TAILS[i] {
                compiled[i].next = j as u8;
                break;
            }
            j += 1;
        }
        i += 1;
    }
    compiled
};

/// A factor with which no two tails hash alike.
#[allow(long_running_const_eval, reason = "it is a search, and bounded by the table")]
const SUFFIX_FACTOR: u64 = {
    let mut factor = 0x9e37_79b9_7f4a_7c15;
    'factors: loop {
        factor += 2;
        let mut taken = [0; 1 << SUFFIX_SLOT_BITS];
        let mut i = 0;
        while i < TAILS.len() {
            let slot = suffix_hash(TAILS[i], factor);
            if taken[slot] != 0 && taken[slot] != TAILS[i] {
                continue 'factors;
            }
            taken[slot] = TAILS[i];
            i += 1;
        }
        break factor;
    }
};

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

/// The first pattern with the tail that hashes so.
static SUFFIX_SLOTS: [u8; 1 << SUFFIX_SLOT_BITS] = {
    let mut slots = [NO_SUFFIX; 1 << SUFFIX_SLOT_BITS];
    let mut i = TAILS.len();
    while i > 0 {
        i -= 1;
        slots[suffix_hash(TAILS[i], SUFFIX_FACTOR)] = i as u8;
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

const fn count_patterns(suffixes: bool) -> usize {
    let (mut count, mut i) = (0, 0);
    while i < REQUEST_PATHS.len() {
        count += (matches!(REQUEST_PATHS[i].0, Suffix(_)) == suffixes) as usize;
        i += 1;
    }
    count
}

#[inline]
const fn const_word(bytes: &[u8], from: usize, len: usize) -> u64 {
    let (mut word, mut i) = (0, 0);
    while i < len {
        word |= (bytes[from + i] as u64) << (8 * i);
        i += 1;
    }
    word
}

const fn const_eq(a: &[u8], b: &[u8]) -> bool {
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}
