//! An event as a template, and the comparison of others with it.
//!
//! ```text
//! matches:  for each segment:
//!               the bytes up to its hole are equal?        else no match
//!               the hole ends where its string or number ends
//!           the bytes after the last hole are equal?
//! learn:    for each key of `VARIABLE_KEYS`: its string or number becomes a hole;
//!           a number only if it has changed before                               (1)
//! ```
//!
//! **Invariant.** A hole never leaves its value: a string ends at a quote that is not escaped and has
//! no control character, a number holds digits only.
//!
//! **Cost.** 1.2 KB for each template; 150 instructions for an event of OpenAI's, of 300 bytes.

use fearless_simd::{Level, Simd, dispatch};

use crate::usage::json::simd;

/// Events up to this size are compared, and buffered between two pieces.
pub(in crate::usage) const MAX_EVENT: usize = 1024;
const MAX_HOLES: usize = 8;

/// Keys of texts and counters in which events of one kind differ. None of them may be the last
/// key of a path whose value is a word of [`formats::WORDS`](crate::usage::formats::WORDS).
const VARIABLE_KEYS: &[&[u8]] = &[
    b"content",
    b"text",
    b"delta",
    b"response",
    b"thinking",
    b"reasoning",
    b"reasoning_content",
    b"partial_json",
    b"arguments",
    b"generated_text",
    b"data",
    b"token",
    b"p",
    b"obfuscation",
    b"created",
    b"created_at",
    b"sequence_number",
];

/// What a hole may be filled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HoleKind {
    /// The inside of a string.
    Text,
    /// A number.
    Number,
}

#[derive(Clone, Copy, Debug)]
struct Hole {
    start: u16,
    end: u16,
    kind: HoleKind,
    /// (1) Whether the number has changed. One that hardly ever does, as `created`, is compared like
    /// the rest: with a hole for it OpenAI's events take 40 % more.
    is_variable: bool,
}

/// What an event is compared with up to a hole that is open, and what fills the hole.
#[derive(Clone, Copy, Debug)]
struct Segment {
    literal: u16,
    hole: u16,
    kind: HoleKind,
}

/// An event that changed nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Template {
    bytes: [u8; MAX_EVENT],
    pub(super) len: u16,
    holes: [Hole; MAX_HOLES],
    hole_count: u8,
    /// The same as `holes` and what is between, without those that are not open.
    segments: [Segment; MAX_HOLES],
    segment_count: u8,
    /// How many events it let pass.
    pub(super) skipped: u32,
}

/// A number that was the same in this many events hardly ever changes.
const CONSTANT_AFTER: u32 = 4;

impl Template {
    pub(super) const EMPTY: Self = Self {
        bytes: [0; MAX_EVENT],
        len: 0,
        holes: [Hole { start: 0, end: 0, kind: HoleKind::Text, is_variable: false }; MAX_HOLES],
        hole_count: 0,
        segments: [Segment { literal: 0, hole: 0, kind: HoleKind::Text }; MAX_HOLES],
        segment_count: 0,
        skipped: 0,
    };

    /// Where the event ends that begins at `at`, if it equals this one but for the holes.
    #[inline(always)]
    pub(super) fn matches<S: Simd>(&self, simd: S, bytes: &[u8], mut at: usize) -> Option<usize> {
        let mut template = self.bytes.get(..usize::from(self.len))?;
        if template.is_empty() {
            return None;
        }
        for segment in self.segments.get(..usize::from(self.segment_count))? {
            let (literal, next) = template.split_at_checked(usize::from(segment.literal))?;
            if !starts_with(simd, bytes.get(at..)?, literal) {
                return None;
            }
            at += literal.len();
            at = match segment.kind {
                HoleKind::Text => text_end(simd, bytes, at)?,
                HoleKind::Number => number_end(bytes, at)?,
            };
            template = next.get(usize::from(segment.hole)..)?;
        }
        starts_with(simd, bytes.get(at..)?, template).then_some(at + template.len())
    }

    /// Whether these bytes are the beginning of an event that equals this one but for the holes, and
    /// end before it does. They end in no hole.
    pub(super) fn matches_prefix(&self, bytes: &[u8]) -> bool {
        dispatch!(Level::baseline(), simd => self.matches_prefix_with(simd, bytes))
    }

    #[inline(always)]
    fn matches_prefix_with<S: Simd>(&self, simd: S, bytes: &[u8]) -> bool {
        let Some(mut template) = self.bytes.get(..usize::from(self.len)) else { return false };
        let mut rest = bytes;
        for segment in self.segments.get(..usize::from(self.segment_count)).unwrap_or_default() {
            let literal = usize::from(segment.literal);
            let Some((literal, next)) = template.split_at_checked(literal) else { return false };
            let Some(after) = rest.get(literal.len()..) else { return literal.starts_with(rest) };
            if !starts_with(simd, rest, literal) {
                return false;
            }
            let end = match segment.kind {
                HoleKind::Text => text_end(simd, after, 0),
                HoleKind::Number => number_end(after, 0),
            };
            let next = next.get(usize::from(segment.hole)..);
            let (Some(end), Some(next)) = (end, next) else { return false };
            (rest, template) = (&after[end..], next);
        }
        rest.len() < template.len() && template.starts_with(rest)
    }

    /// Makes a template of an event whose JSON object begins at `json`. The event may be like
    /// `earlier`.
    pub(super) fn learn<S: Simd>(&mut self, simd: S, event: &[u8], json: usize, earlier: &Self) {
        self.skipped = 0;
        let Some(room) = self.bytes.get_mut(..event.len()) else { return };
        room.copy_from_slice(event);
        self.len = event.len() as u16;
        self.hole_count = 0;
        self.segment_count = 0;
        let mut compared = 0;
        let mut at = json;
        while let Some(next) = event.get(at..).and_then(|rest| memchr::memchr(b'"', rest)) {
            let start = at + next + 1;
            let Some(end) = text_end(simd, event, start) else { return };
            let key = &event[start..end];
            at = end + 1;
            if event.get(at) != Some(&b':') || !VARIABLE_KEYS.contains(&key) {
                continue;
            }
            at += 1;
            at += usize::from(event.get(at) == Some(&b' '));
            let (start, end, kind) = match event.get(at) {
                Some(b'"') => (at + 1, text_end(simd, event, at + 1), HoleKind::Text),
                Some(b'0'..=b'9') => (at, number_end(event, at), HoleKind::Number),
                _ => continue,
            };
            let (Some(end), Some(hole)) = (end, self.holes.get_mut(usize::from(self.hole_count)))
            else {
                return;
            };
            let is_variable = kind == HoleKind::Text
                || earlier.holes.get(usize::from(self.hole_count)).is_some_and(|before| {
                    let value = earlier.bytes.get(before.start.into()..before.end.into());
                    before.kind == kind
                        && (before.is_variable
                            || earlier.skipped < CONSTANT_AFTER && value != event.get(start..end))
                });
            *hole = Hole { start: start as u16, end: end as u16, kind, is_variable };
            self.hole_count += 1;
            if is_variable
                && let Some(segment) = self.segments.get_mut(usize::from(self.segment_count))
            {
                let literal = (start - compared) as u16;
                *segment = Segment { literal, hole: (end - start) as u16, kind };
                self.segment_count += 1;
                compared = end;
            }
            at = end + usize::from(kind == HoleKind::Text);
        }
    }
}

#[inline(always)]
fn starts_with<S: Simd>(simd: S, bytes: &[u8], literal: &[u8]) -> bool {
    bytes.get(..literal.len()).is_some_and(|begin| simd::equal(simd, begin, literal))
}

/// Where a string that begins at `at` has its closing quote, if it is whole and within a line.
#[inline(always)]
fn text_end<S: Simd>(simd: S, bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at = special(simd, bytes, at)?;
        match bytes.get(at)? {
            b'"' => return Some(at),
            b'\\' if bytes.get(at + 1)? >= &b' ' => at += 2,
            _ => return None,
        }
    }
}

/// Where a number that begins at `at` ends, if something follows it.
#[inline(always)]
fn number_end(bytes: &[u8], at: usize) -> Option<usize> {
    // Digits are few: looking at 32 bytes together takes 2 % longer.
    let len = bytes.get(at..)?.iter().position(|byte| !byte.is_ascii_digit())?;
    (len > 0).then_some(at + len)
}

/// The first quote, backslash or control character from `at` on.
#[inline(always)]
fn special<S: Simd>(simd: S, bytes: &[u8], mut at: usize) -> Option<usize> {
    while let Some(chunk) = bytes.get(at..)?.first_chunk() {
        let found = simd::specials(simd, chunk);
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize);
        }
        at += 32;
    }
    let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
    let (chunk, seen) = simd::last_block(bytes, rest);
    let found = simd::specials(simd, &chunk) >> seen;
    (found != 0).then(|| at + found.trailing_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::usage::formats::{Action, SHAPES};
    use crate::usage::json::simd::tests::levels;

    fn slow_text_end(bytes: &[u8], mut at: usize) -> Option<usize> {
        loop {
            match bytes.get(at)? {
                b'"' => return Some(at),
                b'\\' if *bytes.get(at + 1)? >= b' ' => at += 2,
                0..b' ' | b'\\' => return None,
                _ => at += 1,
            }
        }
    }

    fn slow_number_end(bytes: &[u8], at: usize) -> Option<usize> {
        let len = bytes[at..].iter().position(|byte| !byte.is_ascii_digit())?;
        (len > 0).then_some(at + len)
    }

    proptest! {
        #[test]
        fn holes_end_where_a_slow_reader_finds(
            picks in prop::collection::vec(0_usize..60, 0..80),
            from in 0_usize..80,
        ) {
            let alphabet = b"\"\\\\\n ,aaaaaaaaaaaaaaaaaaaaaaaaa";
            let part = |pick: &usize| alphabet.get(*pick).copied().unwrap_or(b'7');
            let bytes: Vec<u8> = picks.iter().map(part).collect();
            let from = from.min(bytes.len());
            for level in levels() {
                let (text, number) = dispatch!(level, simd => {
                    (text_end(simd, &bytes, from), number_end(&bytes, from))
                });
                prop_assert_eq!(text, slow_text_end(&bytes, from), "{:?}", level);
                prop_assert_eq!(number, slow_number_end(&bytes, from), "{:?}", level);
            }
        }
    }

    #[test]
    fn no_word_has_a_variable_key() {
        for (path, action) in SHAPES.iter().flat_map(|(_, rows, _)| *rows) {
            let key = path.rsplit('.').next().unwrap().trim_end_matches("[]");
            let variable = VARIABLE_KEYS.contains(&key.as_bytes());
            let is_read = matches!(
                action,
                Action::Word(_) | Action::Flag(_) | Action::Info(_) | Action::Id(_)
            );
            assert!(!(variable && is_read), "{path}");
        }
    }
}
