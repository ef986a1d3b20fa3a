//! JSON documents: a single one, lines of them, or one after another.
//!
//! Most bodies are a single document, which goes straight to the scanner. Behind the first one, and
//! in a body of JSON lines from the beginning, documents are treated as [`Events`]. Where each line
//! is a document, one that is not JSON costs only its own line; elsewhere nothing can be read behind
//! it.

use super::events::{EventReader, Events};
use crate::usage::extract::Extractor;
use crate::usage::json::{self, Scanner};
use crate::usage::skip::EventFilter;

/// A body of JSON documents.
#[derive(Clone, Debug)]
pub(super) struct Json {
    documents: Documents,
}

impl Json {
    /// `lines` says that every line is a document.
    pub(super) fn new(lines: bool) -> Self {
        let scanner = Scanner::new(json::ROOT);
        Self { documents: Documents { scanner, read_one: false, lines } }
    }

    /// Reads on in the first document, which is the only one of most bodies, unless every line is one;
    /// returns how many bytes it read. Going through `Events` would take 28 instructions more for each
    /// piece.
    #[inline(always)]
    pub(super) fn feed_first(&mut self, bytes: &[u8], extractor: &mut Extractor) -> usize {
        let reader = &mut self.documents;
        if reader.lines || reader.read_one || reader.scanner.is_invalid() {
            return 0;
        }
        let read = reader.scanner.feed(bytes, extractor);
        reader.check_end(extractor);
        read
    }

    #[inline(never)]
    pub(super) fn feed(
        &mut self,
        filter: &mut Option<Box<EventFilter>>,
        bytes: &[u8],
        extractor: &mut Extractor,
    ) {
        let read = self.feed_first(bytes, extractor);
        if read < bytes.len() {
            Events { reader: &mut self.documents, filter }.feed(&bytes[read..], extractor);
        }
    }

    #[inline]
    pub(super) fn finish(
        &mut self,
        filter: &mut Option<Box<EventFilter>>,
        extractor: &mut Extractor,
    ) {
        if !self.documents.scanner.is_done() || filter.is_some() {
            self.finish_events(filter, extractor);
        }
    }

    #[inline(never)]
    fn finish_events(&mut self, filter: &mut Option<Box<EventFilter>>, extractor: &mut Extractor) {
        Events { reader: &mut self.documents, filter }.finish(extractor);
    }

    /// Whether a document was begun and is not whole.
    pub(super) fn is_open(&self) -> bool {
        let scanner = &self.documents.scanner;
        !(scanner.is_done() || scanner.is_at_start() || scanner.is_invalid())
    }

    /// Whether there is a document, and all that were begun are whole.
    pub(super) fn is_whole(&self) -> bool {
        self.documents.read_one && !self.is_open()
    }
}

#[derive(Clone, Debug)]
struct Documents {
    scanner: Scanner,
    /// A document was read to its end.
    read_one: bool,
    /// Every line is a document.
    lines: bool,
}

impl Documents {
    fn is_between_documents(&self) -> bool {
        self.scanner.is_done() || self.scanner.is_at_start()
    }

    fn check_end(&mut self, extractor: &mut Extractor) {
        if self.scanner.is_done() {
            self.read_one = true;
            extractor.end_document(self.scanner.document_key_sets());
        }
    }
}

impl EventReader for Documents {
    fn is_between_events(&self) -> bool {
        // The first document of a body that is not made of lines likely has no second.
        (self.lines || self.read_one) && self.is_between_documents()
    }

    #[inline]
    fn read(&mut self, bytes: &[u8], extractor: &mut Extractor) -> usize {
        let mut at = 0;
        if self.is_between_documents() {
            let start = bytes.iter().position(|byte| !byte.is_ascii_whitespace());
            let Some(start) = start else { return bytes.len() };
            at = start;
            self.scanner.reset();
        } else if self.scanner.is_invalid() {
            let end = memchr::memchr(b'\n', bytes).filter(|_| self.lines);
            let Some(end) = end else { return bytes.len() };
            extractor.end_document(0);
            self.scanner.reset();
            return end + 1;
        }
        at += self.scanner.feed(&bytes[at..], extractor);
        self.check_end(extractor);
        at
    }

    #[inline]
    fn finish(&mut self, extractor: &mut Extractor) {
        if self.scanner.is_done() {
            return;
        }
        self.scanner.finish(extractor);
        self.check_end(extractor);
        // What was begun and is not whole may still explain an error.
        if !self.scanner.is_done() && !self.scanner.is_at_start() {
            extractor.end_document(0);
        }
    }

    fn event_end(bytes: &[u8], searched: usize) -> Option<usize> {
        memchr::memchr(b'\n', &bytes[searched..]).map(|at| searched + at + 1)
    }

    /// The last line of a body often has no line feed.
    fn may_be_last(bytes: &[u8]) -> bool {
        bytes.last() == Some(&b'}')
    }

    fn object_start(&self, event: &[u8]) -> Option<usize> {
        (self.scanner.is_done() && event.first() == Some(&b'{')).then_some(0)
    }
}
