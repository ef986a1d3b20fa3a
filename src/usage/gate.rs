//! Passing over events that say nothing new, without reading them.
//!
//! The events of a stream resemble each other: most differ from the one before in the text
//! a model wrote and perhaps a counter, and nothing else. So an event that was read and
//! told nothing becomes a template, with holes where such texts and counters are. An event
//! that equals a template outside its holes would be read the same way and tell nothing
//! either; comparing is many times cheaper than reading. Nothing is guessed: an event that
//! differs anywhere else is read.
//!
//! What lies between the holes, and the holes' ends, are looked at by vectors. The instructions
//! are chosen once for all events of a piece that pass one after another.

use fearless_simd::{Level, Simd, dispatch};

use super::blocks;

/// Events up to this size are compared, and carried from one piece to the next.
pub(super) const MAX_EVENT: usize = 1024;
const MAX_HOLES: usize = 8;
const TEMPLATES: usize = 2;

/// Keys of texts and counters in which events of one kind differ. None of them may be the last
/// key of a path whose value is a word of [`formats::WORDS`](super::formats::WORDS).
pub(super) const FREE_KEYS: &[&[u8]] = &[
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
enum Fill {
    /// The inside of a string.
    Text,
    /// A number.
    Number,
}

#[derive(Clone, Copy, Debug)]
struct Hole {
    start: u16,
    end: u16,
    fill: Fill,
    /// Numbers that hardly ever change are compared like the rest, which is faster.
    open: bool,
}

/// What an event is compared with up to a hole that is open, and what fills the hole.
#[derive(Clone, Copy, Debug)]
struct Segment {
    literal: u16,
    hole: u16,
    fill: Fill,
}

/// An event that told nothing.
#[derive(Clone, Copy, Debug)]
struct Template {
    bytes: [u8; MAX_EVENT],
    len: u16,
    holes: [Hole; MAX_HOLES],
    count: u8,
    /// The same as `holes` and what is between, without those that are not open.
    segments: [Segment; MAX_HOLES],
    open: u8,
    /// How many events it let pass.
    passed: u32,
}

/// A counter that stays the same for this many events is one that hardly ever changes.
const STEADY: u32 = 4;

impl Template {
    const EMPTY: Self = Self {
        bytes: [0; MAX_EVENT],
        len: 0,
        holes: [Hole { start: 0, end: 0, fill: Fill::Text, open: false }; MAX_HOLES],
        count: 0,
        segments: [Segment { literal: 0, hole: 0, fill: Fill::Text }; MAX_HOLES],
        open: 0,
        passed: 0,
    };

    /// Where the event ends that begins at `at`, if it equals this one but for the holes.
    #[inline(always)]
    fn matches<S: Simd>(&self, simd: S, bytes: &[u8], mut at: usize) -> Option<usize> {
        let mut template = self.bytes.get(..usize::from(self.len))?;
        if template.is_empty() {
            return None;
        }
        for segment in self.segments.get(..usize::from(self.open))? {
            let (literal, next) = template.split_at_checked(usize::from(segment.literal))?;
            if !begins_with(simd, bytes.get(at..)?, literal) {
                return None;
            }
            at += literal.len();
            at = match segment.fill {
                Fill::Text => text_end(simd, bytes, at)?,
                Fill::Number => number_end(simd, bytes, at)?,
            };
            template = next.get(usize::from(segment.hole)..)?;
        }
        begins_with(simd, bytes.get(at..)?, template).then_some(at + template.len())
    }

    /// Whether these bytes are the beginning of an event that equals this one but for the holes, and
    /// end before it does. They end in no hole.
    fn is_begun(&self, bytes: &[u8]) -> bool {
        dispatch!(Level::baseline(), simd => self.is_begun_in(simd, bytes))
    }

    #[inline(always)]
    fn is_begun_in<S: Simd>(&self, simd: S, bytes: &[u8]) -> bool {
        let Some(mut template) = self.bytes.get(..usize::from(self.len)) else { return false };
        let mut rest = bytes;
        for segment in self.segments.get(..usize::from(self.open)).unwrap_or_default() {
            let literal = usize::from(segment.literal);
            let Some((literal, next)) = template.split_at_checked(literal) else { return false };
            let Some(after) = rest.get(literal.len()..) else { return literal.starts_with(rest) };
            if !begins_with(simd, rest, literal) {
                return false;
            }
            let end = match segment.fill {
                Fill::Text => text_end(simd, after, 0),
                Fill::Number => number_end(simd, after, 0),
            };
            let next = next.get(usize::from(segment.hole)..);
            let (Some(end), Some(next)) = (end, next) else { return false };
            (rest, template) = (&after[end..], next);
        }
        rest.len() < template.len() && template.starts_with(rest)
    }

    /// Makes a template of an event, of which the JSON object begins at `json`, and which may be
    /// like `earlier`.
    fn learn<S: Simd>(&mut self, simd: S, event: &[u8], json: usize, earlier: &Self) {
        self.passed = 0;
        let Some(room) = self.bytes.get_mut(..event.len()) else { return };
        room.copy_from_slice(event);
        self.len = event.len() as u16;
        self.count = 0;
        self.open = 0;
        let mut compared = 0;
        let mut at = json;
        while let Some(next) = event.get(at..).and_then(|rest| memchr::memchr(b'"', rest)) {
            let start = at + next + 1;
            let Some(end) = text_end(simd, event, start) else { return };
            let key = &event[start..end];
            at = end + 1;
            if event.get(at) != Some(&b':') || !FREE_KEYS.contains(&key) {
                continue;
            }
            at += 1;
            at += usize::from(event.get(at) == Some(&b' '));
            let (start, end, fill) = match event.get(at) {
                Some(b'"') => (at + 1, text_end(simd, event, at + 1), Fill::Text),
                Some(b'0'..=b'9') => (at, number_end(simd, event, at), Fill::Number),
                _ => continue,
            };
            let (Some(end), Some(hole)) = (end, self.holes.get_mut(usize::from(self.count))) else {
                return;
            };
            let open = fill == Fill::Text
                || earlier.holes.get(usize::from(self.count)).is_some_and(|before| {
                    let value = earlier.bytes.get(before.start.into()..before.end.into());
                    before.fill == fill
                        && (before.open
                            || earlier.passed < STEADY && value != event.get(start..end))
                });
            *hole = Hole { start: start as u16, end: end as u16, fill, open };
            self.count += 1;
            if open && let Some(segment) = self.segments.get_mut(usize::from(self.open)) {
                let literal = (start - compared) as u16;
                *segment = Segment { literal, hole: (end - start) as u16, fill };
                self.open += 1;
                compared = end;
            }
            at = end + usize::from(fill == Fill::Text);
        }
    }
}

#[inline(always)]
fn begins_with<S: Simd>(simd: S, bytes: &[u8], literal: &[u8]) -> bool {
    bytes.get(..literal.len()).is_some_and(|begin| blocks::equal(simd, begin, literal))
}

/// Where a string that begins at `at` has its closing quote, if it is whole and within a line.
#[inline(always)]
fn text_end<S: Simd>(simd: S, bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at = next(bytes, at, |chunk| blocks::specials(simd, chunk))?;
        match bytes.get(at)? {
            b'"' => return Some(at),
            b'\\' if bytes.get(at + 1)? >= &b' ' => at += 2,
            _ => return None,
        }
    }
}

/// Where a number that begins at `at` ends, if something follows it.
#[inline(always)]
fn number_end<S: Simd>(simd: S, bytes: &[u8], at: usize) -> Option<usize> {
    next(bytes, at, |chunk| blocks::no_digits(simd, chunk)).filter(|end| *end > at)
}

/// The first byte from `at` on of those that `find` sets the bits of.
#[inline(always)]
fn next(bytes: &[u8], mut at: usize, find: impl Fn(&[u8; 32]) -> u64) -> Option<usize> {
    while let Some(chunk) = bytes.get(at..)?.first_chunk() {
        let found = find(chunk);
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize);
        }
        at += 32;
    }
    let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
    let (chunk, seen) = blocks::last_block(bytes, rest);
    let found = find(&chunk) >> seen;
    (found != 0).then(|| at + found.trailing_zeros() as usize)
}

/// The templates of a stream, and the event that is cut by the end of a piece.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    templates: [Template; TEMPLATES],
    /// The template that matched last.
    latest: u8,
    carry: [u8; MAX_EVENT],
    carried: u16,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self {
            templates: [Template::EMPTY; TEMPLATES],
            latest: 0,
            carry: [0; MAX_EVENT],
            carried: 0,
        }
    }

    /// The length of the events that these bytes begin with and that are known to tell nothing;
    /// and whether what follows is the beginning of one more, which is cut.
    #[inline]
    pub(super) fn passes(&mut self, bytes: &[u8]) -> (usize, bool) {
        let len = dispatch!(blocks::level_of_one(), simd => self.passes_in(simd, bytes));
        let rest = &bytes[len..];
        // A template has an event's end at its own end only, so what is cut has none.
        let is_begun = || self.templates.iter().any(|template| template.is_begun(rest));
        (len, !rest.is_empty() && is_begun())
    }

    #[inline(always)]
    fn passes_in<S: Simd>(&mut self, simd: S, bytes: &[u8]) -> usize {
        let mut at = 0;
        let mut turn = usize::from(self.latest) % TEMPLATES;
        // Events of one kind follow one another, so each template goes on while it matches.
        let mut failed = 0;
        while at < bytes.len() && failed < TEMPLATES {
            let template = &mut self.templates[turn];
            let mut passed = 0;
            // No template matches no bytes: to look whether there are any takes longer.
            while let Some(end) = template.matches(simd, bytes, at) {
                at = end;
                passed += 1;
            }
            if passed > 0 {
                template.passed = template.passed.saturating_add(passed);
                self.latest = turn as u8;
                failed = 0;
            }
            failed += 1;
            turn = (turn + 1) % TEMPLATES;
        }
        at
    }

    /// Remembers an event that was read whole and told nothing.
    pub(super) fn learn(&mut self, event: &[u8], json: usize) {
        let earlier = self.templates[usize::from(self.latest) % TEMPLATES];
        self.latest = (self.latest + 1) % TEMPLATES as u8;
        let template = &mut self.templates[usize::from(self.latest)];
        dispatch!(Level::baseline(), simd => template.learn(simd, event, json, &earlier));
    }

    /// Whether part of an event is carried.
    #[inline]
    pub(super) fn is_carrying(&self) -> bool {
        self.carried > 0
    }

    /// Adds to the carried event, as much as fits; returns how much was carried before, and all of it.
    pub(super) fn carry(&mut self, bytes: &[u8]) -> (usize, &[u8]) {
        let before = usize::from(self.carried);
        // What it lacks is likely as much as the last one had, and some.
        let likely = self.templates.iter().map(|template| template.len).max().unwrap_or(0);
        let likely = usize::from(likely) + 32;
        let to = if before < likely { likely.min(MAX_EVENT) } else { MAX_EVENT };
        let room = &mut self.carry[before..to];
        let len = bytes.len().min(room.len());
        room[..len].copy_from_slice(&bytes[..len]);
        self.carried += len as u16;
        (before, &self.carry[..before + len])
    }

    /// What is carried.
    pub(super) fn carried(&self) -> &[u8] {
        &self.carry[..usize::from(self.carried)]
    }

    /// Stops carrying, and gives back what was carried.
    pub(super) fn drop_carried(&mut self) -> ([u8; MAX_EVENT], usize) {
        let len = usize::from(std::mem::take(&mut self.carried));
        (self.carry, len)
    }

    /// If the carried event is known to tell nothing, stops carrying it and returns its length.
    pub(super) fn passes_carried(&mut self) -> Option<usize> {
        let event = &self.carry[..usize::from(self.carried)];
        let len = dispatch!(blocks::level_of_one(), simd => {
            self.templates.iter().find_map(|template| template.matches(simd, event, 0))
        })?;
        self.carried = 0;
        Some(len)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::blocks::tests::levels;
    use super::super::formats::{Action, ERROR, ROOT, USAGE};
    use super::*;

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
                    (text_end(simd, &bytes, from), number_end(simd, &bytes, from))
                });
                prop_assert_eq!(text, slow_text_end(&bytes, from), "{:?}", level);
                prop_assert_eq!(number, slow_number_end(&bytes, from), "{:?}", level);
            }
        }
    }

    #[test]
    fn no_word_has_a_free_key() {
        for (path, action) in ROOT.iter().chain(USAGE).chain(ERROR) {
            let key = path.rsplit('.').next().unwrap().trim_end_matches("[]");
            let free = FREE_KEYS.contains(&key.as_bytes());
            assert!(!(free && matches!(action, Action::Word(_) | Action::Flag(_))), "{path}");
        }
    }

    #[test]
    fn a_number_that_changes_each_time_becomes_a_hole() {
        let mut gate = Gate::new();
        let event = |n: u32| format!("{{\"created\":{n},\"stop\":0}}\n");
        gate.learn(event(1).as_bytes(), 0);
        assert_eq!(gate.passes(event(1).as_bytes()).0, 23);
        assert_eq!(gate.passes(event(22).as_bytes()).0, 0);
        gate.learn(event(22).as_bytes(), 0);
        assert_eq!(gate.passes(event(333).as_bytes()).0, 25);
    }

    #[test]
    fn what_is_begun_has_no_end_yet() {
        let event = b"data: {\"id\":\"a\",\"created\":12,\"delta\":\"x\",\"stop\":null}\n\n";
        let text = event.iter().position(|byte| *byte == b'x').unwrap();
        let mut gate = Gate::new();
        gate.learn(event, 6);
        for cut in 1..event.len() {
            let twice = [event, &event[..cut]].concat();
            // The end of a text that is cut is not found.
            let begun = cut != text && cut != text + 1;
            assert_eq!(gate.passes(&twice), (event.len(), begun), "cut at {cut}");
            for at in 0..cut.min(text) {
                let mut other = twice.clone();
                other[event.len() + at] ^= 0x80;
                assert_eq!(gate.passes(&other), (event.len(), false), "byte {at} of {cut}");
            }
        }
        // Nothing follows.
        assert_eq!(gate.passes(event), (event.len(), false));
    }

    #[test]
    fn only_holes_may_differ() {
        let event =
            b"data: {\"id\":\"a\",\"created\":12,\"delta\":{\"content\":\"x\"},\"stop\":null}\n\n";
        let mut gate = Gate::new();
        gate.learn(event, 6);
        for (same, other) in [
            (
                true,
                "data: {\"id\":\"a\",\"created\":12,\"delta\":{\"content\":\"\"},\"stop\":null}\n\nmore",
            ),
            (
                true,
                "data: {\"id\":\"a\",\"created\":12,\"delta\":{\"content\":\"a \\\" \\\\ and some more text\"},\"stop\":null}\n\n",
            ),
            (
                false,
                "data: {\"id\":\"b\",\"created\":12,\"delta\":{\"content\":\"x\"},\"stop\":null}\n\n",
            ),
            (
                false,
                "data: {\"id\":\"a\",\"created\":12,\"delta\":{\"content\":\"x\"},\"stop\":\"end\"}\n\n",
            ),
            (
                false,
                "data: {\"id\":\"a\",\"created\":12,\"delta\":{\"content\":\"x\"},\"usage\":1,\"stop\":null}\n\n",
            ),
            (
                false,
                "data: {\"id\":\"a\",\"created\":12,\"delta\":{\"content\":\"x\ny\"},\"stop\":null}\n\n",
            ),
            (
                false,
                "data: {\"id\":\"a\",\"created\":12,\"delta\":{\"content\":null},\"stop\":null}\n\n",
            ),
            (
                false,
                "data: {\"id\":\"a\",\"created\":12.5,\"delta\":{\"content\":\"x\"},\"stop\":null}\n\n",
            ),
            (
                false,
                "data: {\"id\":\"a\",\"created\":12,\"delta\":{\"content\":\"x\"},\"stop\":null}\n",
            ),
        ] {
            let len = other.trim_end_matches("more").len();
            assert_eq!(gate.passes(other.as_bytes()).0, if same { len } else { 0 }, "{other}");
        }
    }
}
