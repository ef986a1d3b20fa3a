//! The values of fields, compiled.
//!
//! A word is looked up in the rows of its field alone, and of these only in those that begin with its
//! first letter. The first sixteen bytes are compared at once, as two integers with a mask for the
//! bytes that the text has.

use super::WORD;
use crate::usage::formats::Pattern::{Exact, Not, Prefix};
use crate::usage::formats::{Effect, Pattern, WORDS, WordField};

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

    /// Whether a word with this [`prefix`](Word::prefix) matches.
    #[inline]
    fn matches(&self, prefix: [u64; 2], word: Word<'_>) -> bool {
        prefix[0] & self.masks[0] == self.prefix[0]
            && prefix[1] & self.masks[1] == self.prefix[1]
            && match self.pattern {
                Exact(text) if text.len() <= 16 => word.len == text.len(),
                Exact(text) => word.as_bytes() == text.as_bytes(),
                Not(text) => word.as_bytes() != text.as_bytes(),
                Prefix(text) => text.len() <= 16 || word.as_bytes().starts_with(text.as_bytes()),
            }
    }
}

/// A text that may be one of [`WORDS`]: the first of these bytes. What follows them is no part of it,
/// so that its first two words can be loaded without asking for its end.
#[derive(Clone, Copy)]
pub(in crate::usage) struct Word<'a> {
    bytes: &'a [u8; Word::CAPACITY],
    len: usize,
}

impl<'a> Word<'a> {
    /// No text of the table is longer.
    pub(in crate::usage) const CAPACITY: usize = 40;
    /// In place of a longer text, which is equal to none of the table.
    pub(in crate::usage) const UNKNOWN: Self = Self { bytes: &[b'?'; Self::CAPACITY], len: 1 };

    /// The first `len` of these bytes.
    #[inline]
    pub(in crate::usage) fn new(bytes: &'a [u8; Word::CAPACITY], len: usize) -> Option<Self> {
        (len <= Self::CAPACITY).then_some(Self { bytes, len })
    }

    #[inline]
    pub(in crate::usage) fn as_bytes(self) -> &'a [u8] {
        &self.bytes[..self.len]
    }

    #[inline]
    pub(in crate::usage) fn len(self) -> usize {
        self.len
    }

    /// The word and what follows it.
    #[inline]
    pub(in crate::usage) fn block(self) -> &'a [u8; Word::CAPACITY] {
        self.bytes
    }

    /// Its first sixteen bytes, zero-padded.
    #[inline]
    fn prefix(self) -> [u64; 2] {
        let word = |at: usize| {
            let word = self.bytes[at..].first_chunk().copied().unwrap_or_default();
            u64::from_le_bytes(word)
        };
        let [first, second] = MASKS[self.len];
        [word(0) & first, word(WORD) & second]
    }
}

/// What is left of the first two words of a text, by its length.
static MASKS: [[u64; 2]; Word::CAPACITY + 1] = {
    let mut masks = [[u64::MAX; 2]; Word::CAPACITY + 1];
    let mut len = 0;
    while len < 2 * WORD {
        masks[len] = if len < WORD { [mask(len), 0] } else { [u64::MAX, mask(len - WORD)] };
        len += 1;
    }
    masks
};

/// The bits of the first bytes of a word; fewer than all.
const fn mask(len: usize) -> u64 {
    (1 << (8 * len)) - 1
}

/// Calls `apply` with the effect of each entry of [`WORDS`] that this value of a field matches.
#[inline]
pub(in crate::usage) fn effects(
    field: WordField,
    word: Word<'_>,
    mut apply: impl FnMut(&'static Effect),
) {
    let words = &FIELDS[field as usize];
    let prefix = word.prefix();
    let mut left = words.candidates[prefix[0] as usize % FIRST_BYTES];
    while let Some(compiled) = words.words.get(left.trailing_zeros() as usize) {
        left &= left - 1;
        if compiled.matches(prefix, word) {
            apply(&compiled.effect);
        }
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

static FIELDS: [FieldWords; WordField::COUNT] = {
    let mut fields = [FieldWords { words: &[], candidates: [0; FIRST_BYTES] }; WordField::COUNT];
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
