//! JSON documents one after another: a single one, lines of them, or an array of them.

use crate::usage::findings::Findings;
use crate::usage::trie;
use crate::usage::walker::Walker;

/// JSON documents one after another.
#[derive(Clone, Debug)]
pub(in crate::usage) struct Json {
    walker: Walker,
    /// At least one document was read to its end.
    read_one: bool,
    /// Every line is a document, so that a broken one costs only itself.
    lines: bool,
}

impl Json {
    pub(super) fn new(lines: bool) -> Self {
        Self { walker: Walker::new(trie::ROOT), read_one: false, lines }
    }

    pub(super) fn feed(&mut self, mut bytes: &[u8], findings: &mut Findings) {
        while !bytes.is_empty() && !findings.ended {
            if self.walker.is_done() {
                let spaces = bytes.iter().position(|byte| !byte.is_ascii_whitespace());
                let Some(next) = spaces else { return };
                bytes = &bytes[next..];
                self.walker.reset();
            } else if self.walker.is_broken() {
                if !self.lines {
                    return;
                }
                let Some(end) = memchr::memchr(b'\n', bytes) else { return };
                bytes = &bytes[end..];
                findings.document_ends();
                self.walker.reset();
            }
            let read = self.walker.feed(bytes, findings);
            bytes = &bytes[read..];
            self.note_end(findings);
        }
    }

    fn note_end(&mut self, findings: &mut Findings) {
        if self.walker.is_done() {
            self.read_one = true;
            findings.document_ends();
        }
    }

    /// There is nothing more to come.
    pub(super) fn finish(&mut self, findings: &mut Findings) {
        if !self.walker.is_done() {
            self.walker.finish(findings);
            self.note_end(findings);
            if !self.walker.is_done() {
                findings.document_ends();
            }
        }
    }

    /// Whether a document was begun and is not whole.
    pub(super) fn is_open(&self) -> bool {
        !(self.walker.is_done() || self.walker.is_fresh() || self.walker.is_broken())
    }

    /// Whether all documents that were begun are whole, and there is one.
    pub(super) fn is_whole(&self) -> bool {
        self.read_one && !self.is_open()
    }
}
