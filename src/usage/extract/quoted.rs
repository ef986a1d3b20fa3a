//! A document that is a text in another one, as some agents return it: `json.dumps` twice.

use super::document::Sign;
use super::{Extracted, Extractor, ReportedError};
use crate::usage::json::{self, Scanner, Unescaped, Unescaper};
use crate::usage::trace::Tracer;

/// How many bytes are scanned at a time.
const CHUNK: usize = 256;
/// The longest character.
const MAX_CHAR: usize = 4;

/// What is known of a document at its end.
type Finished = (Extracted, Option<ReportedError>, Option<Box<Tracer>>);

/// A reader of a text whose content may be one JSON object.
#[derive(Clone, Debug)]
pub(super) struct QuotedDocument {
    unescaper: Unescaper,
    scanner: Scanner,
    extractor: Extractor,
    /// There is something before or behind the object.
    is_more: bool,
}

impl QuotedDocument {
    pub(super) fn new(traced: bool) -> Self {
        let mut extractor = Extractor::default();
        if traced {
            extractor.enable_trace();
        }
        Self {
            unescaper: Unescaper::default(),
            scanner: Scanner::new(json::ROOT),
            extractor,
            is_more: false,
        }
    }

    /// Takes a piece of the text, as it stands between the quotes.
    pub(super) fn feed(&mut self, piece: &[u8]) {
        let mut chunk = [0; CHUNK];
        let mut len = 0;
        for byte in piece {
            match self.unescaper.push(*byte) {
                Unescaped::Literal => {
                    chunk[len] = *byte;
                    len += 1;
                }
                Unescaped::Pending => {}
                Unescaped::Char(char) => len += char.encode_utf8(&mut chunk[len..]).len(),
            }
            if len + MAX_CHAR > CHUNK {
                self.scan(&chunk[..len]);
                len = 0;
            }
        }
        self.scan(&chunk[..len]);
    }

    fn scan(&mut self, mut bytes: &[u8]) {
        if self.scanner.is_at_start() {
            let start = bytes.iter().position(|byte| !byte.is_ascii_whitespace());
            bytes = start.map_or(&[], |start| &bytes[start..]);
            self.is_more |= bytes.first().is_some_and(|byte| *byte != b'{');
        }
        if !self.is_more {
            let read = self.scanner.feed(bytes, &mut self.extractor);
            self.is_more = bytes[read..].iter().any(|byte| !byte.is_ascii_whitespace());
        }
    }

    /// What the object reports, its failure if it says that there was no success, and its trace;
    /// nothing if the text is anything but one object.
    pub(super) fn finish(mut self) -> Option<Finished> {
        if self.is_more || !self.scanner.is_done() {
            return None;
        }
        let has_no_success = self.extractor.document.has(Sign::NoSuccess);
        self.extractor.end_document(self.scanner.document_key_sets());
        let rare = self.extractor.rare.map(|rare| *rare).unwrap_or_default();
        let failure = rare.error.filter(|_| has_no_success);
        Some((self.extractor.extracted, failure, rare.tracer))
    }
}
