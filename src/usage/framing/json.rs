//! JSON documents one after another: a single one, lines of them, or an array of them.

use crate::usage::extract::Extractor;
use crate::usage::json::{self, Scanner};
use crate::usage::skip::{EventFilter, MAX_EVENT};

/// JSON documents one after another.
#[derive(Clone, Debug)]
pub(in crate::usage) struct Json {
    scanner: Scanner,
    /// At least one document was read to its end.
    read_one: bool,
    /// Every line is a document, so that a broken one costs only itself.
    lines: bool,
    filter: Option<Box<EventFilter>>,
}

impl Json {
    pub(super) fn new(lines: bool) -> Self {
        Self { scanner: Scanner::new(json::ROOT), read_one: false, lines, filter: None }
    }

    #[inline]
    pub(super) fn feed(&mut self, bytes: &[u8], extractor: &mut Extractor) {
        // In the first document, which is the only one of most bodies.
        let is_first = !self.lines && !self.read_one && self.filter.is_none();
        let mut read = 0;
        if is_first && !self.scanner.is_invalid() {
            read = self.scanner.feed(bytes, extractor);
            self.note_end(extractor);
        }
        if read < bytes.len() {
            self.feed_on(&bytes[read..], extractor);
        }
    }

    #[inline(never)]
    fn feed_on(&mut self, mut bytes: &[u8], extractor: &mut Extractor) {
        while !bytes.is_empty() && !extractor.has_ended() {
            let read = if self.filter.as_deref().is_some_and(EventFilter::has_buffered) {
                self.resume_buffered(bytes, extractor)
            } else if !(self.lines || self.read_one) || !self.is_between() {
                self.read(bytes, extractor)
            } else {
                let filter = self.filter.as_deref_mut();
                let (skipped, is_partial) = filter.map_or((0, false), |filter| filter.skip(bytes));
                match &bytes[skipped..] {
                    [] => skipped,
                    rest => skipped + self.read_line(rest, is_partial, extractor),
                }
            };
            bytes = &bytes[read..];
        }
    }

    /// Between documents.
    fn is_between(&self) -> bool {
        self.scanner.is_done() || self.scanner.is_at_start()
    }

    /// Reads a line that no template lets pass, or begins to. If it is `is_partial`, it is known not
    /// to end here.
    fn read_line(&mut self, bytes: &[u8], is_partial: bool, extractor: &mut Extractor) -> usize {
        let window = &bytes[..bytes.len().min(MAX_EVENT)];
        match if is_partial { None } else { memchr::memchr(b'\n', window) } {
            Some(end) => {
                self.read_whole(&bytes[..=end], extractor);
                end + 1
            }
            // It goes on in the next piece, unless it is the last one, without a line feed.
            None if bytes.len() < MAX_EVENT && bytes.last() != Some(&b'}') => self
                .filter
                .get_or_insert_with(|| Box::new(EventFilter::new()))
                .buffer(bytes)
                .1
                .len(),
            None => self.read(bytes, extractor),
        }
    }

    /// Reads a line that is whole, and remembers it if it is a document that told nothing.
    fn read_whole(&mut self, line: &[u8], extractor: &mut Extractor) {
        extractor.changed = false;
        let first = self.read(line, extractor);
        let one = self.scanner.is_done() && line[first..].trim_ascii().is_empty();
        self.read_all(&line[first..], extractor);
        if one && line.first() == Some(&b'{') && !extractor.changed && !extractor.has_ended() {
            self.filter.get_or_insert_with(|| Box::new(EventFilter::new())).learn(line, 0);
        }
    }

    /// Goes on with a line of which the beginning is carried; returns how much of `bytes` it used.
    fn resume_buffered(&mut self, bytes: &[u8], extractor: &mut Extractor) -> usize {
        let Some(filter) = self.filter.as_deref_mut() else { return 0 };
        let (before, line) = filter.buffer(bytes);
        let taken = line.len() - before;
        if let Some(end) = filter.skip_buffered() {
            return end.saturating_sub(before);
        }
        let line = filter.buffered();
        let end = memchr::memchr(b'\n', &line[before..]).map(|at| before + at + 1);
        if end.is_none() && line.len() < MAX_EVENT && line.last() != Some(&b'}') {
            return taken;
        }
        let (line, len) = filter.take_buffered();
        match end {
            Some(end) => {
                self.read_whole(&line[..end], extractor);
                end.saturating_sub(before)
            }
            // Too long to be carried, or perhaps the last.
            None => {
                self.read_all(&line[..len], extractor);
                taken
            }
        }
    }

    fn read_all(&mut self, mut bytes: &[u8], extractor: &mut Extractor) {
        while !bytes.is_empty() && !extractor.has_ended() {
            let read = self.read(bytes, extractor);
            bytes = &bytes[read..];
        }
    }

    /// Reads on, up to the end of a document.
    #[inline]
    fn read(&mut self, bytes: &[u8], extractor: &mut Extractor) -> usize {
        let mut at = 0;
        // Lines that a template lets pass leave no document behind that has ended.
        if self.is_between() {
            let spaces = bytes.iter().position(|byte| !byte.is_ascii_whitespace());
            let Some(next) = spaces else { return bytes.len() };
            at = next;
            self.scanner.reset();
        } else if self.scanner.is_invalid() {
            let end = memchr::memchr(b'\n', bytes).filter(|_| self.lines);
            let Some(end) = end else { return bytes.len() };
            extractor.end_document();
            self.scanner.reset();
            return end + 1;
        }
        at += self.scanner.feed(&bytes[at..], extractor);
        self.note_end(extractor);
        at
    }

    fn note_end(&mut self, extractor: &mut Extractor) {
        if self.scanner.is_done() {
            self.read_one = true;
            extractor.end_document();
        }
    }

    /// Reads what is carried, though its line is not whole.
    #[cold]
    fn read_buffered(&mut self, extractor: &mut Extractor) {
        if let Some(filter) = self.filter.as_deref_mut() {
            let (line, len) = filter.take_buffered();
            self.read_all(&line[..len], extractor);
        }
    }

    /// There is nothing more to come.
    #[inline]
    pub(super) fn finish(&mut self, extractor: &mut Extractor) {
        if self.filter.as_deref().is_some_and(EventFilter::has_buffered) {
            self.read_buffered(extractor);
        }
        if !self.scanner.is_done() {
            self.scanner.finish(extractor);
            self.note_end(extractor);
            if !self.scanner.is_done() {
                extractor.end_document();
            }
        }
    }

    /// Whether a document was begun and is not whole.
    pub(super) fn is_open(&self) -> bool {
        !(self.scanner.is_done() || self.scanner.is_at_start() || self.scanner.is_invalid())
    }

    /// Whether all documents that were begun are whole, and there is one.
    pub(super) fn is_whole(&self) -> bool {
        self.read_one && !self.is_open()
    }
}
