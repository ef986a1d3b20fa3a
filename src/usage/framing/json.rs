//! JSON documents one after another: a single one, lines of them, or an array of them.

use crate::usage::findings::Findings;
use crate::usage::gate::{Gate, MAX_EVENT};
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
    gate: Option<Box<Gate>>,
}

impl Json {
    pub(super) fn new(lines: bool) -> Self {
        Self { walker: Walker::new(trie::ROOT), read_one: false, lines, gate: None }
    }

    #[inline]
    pub(super) fn feed(&mut self, bytes: &[u8], findings: &mut Findings) {
        // In the first document, which is the only one of most bodies.
        let is_first = !self.lines && !self.read_one && self.gate.is_none();
        let mut read = 0;
        if is_first && !self.walker.is_broken() {
            read = self.walker.feed(bytes, findings);
            self.note_end(findings);
        }
        if read < bytes.len() {
            self.feed_on(&bytes[read..], findings);
        }
    }

    #[inline(never)]
    fn feed_on(&mut self, mut bytes: &[u8], findings: &mut Findings) {
        while !bytes.is_empty() && !findings.ended {
            let read = if self.gate.as_deref().is_some_and(Gate::is_carrying) {
                self.carry(bytes, findings)
            } else if !(self.lines || self.read_one) || !self.is_between() {
                self.read(bytes, findings)
            } else {
                let gate = self.gate.as_deref_mut();
                let (passed, begun) = gate.map_or((0, false), |gate| gate.passes(bytes));
                match &bytes[passed..] {
                    [] => passed,
                    rest => passed + self.line(rest, begun, findings),
                }
            };
            bytes = &bytes[read..];
        }
    }

    /// Between documents.
    fn is_between(&self) -> bool {
        self.walker.is_done() || self.walker.is_fresh()
    }

    /// Reads a line that no template lets pass, or begins to. If it is `begun`, it is known not
    /// to end here.
    fn line(&mut self, bytes: &[u8], begun: bool, findings: &mut Findings) -> usize {
        let window = &bytes[..bytes.len().min(MAX_EVENT)];
        match if begun { None } else { memchr::memchr(b'\n', window) } {
            Some(end) => {
                self.whole(&bytes[..=end], findings);
                end + 1
            }
            // It goes on in the next piece, unless it is the last one, without a line feed.
            None if bytes.len() < MAX_EVENT && bytes.last() != Some(&b'}') => {
                self.gate.get_or_insert_with(|| Box::new(Gate::new())).carry(bytes).1.len()
            }
            None => self.read(bytes, findings),
        }
    }

    /// Reads a line that is whole, and remembers it if it is a document that told nothing.
    fn whole(&mut self, line: &[u8], findings: &mut Findings) {
        findings.touched = false;
        let first = self.read(line, findings);
        let one = self.walker.is_done() && line[first..].trim_ascii().is_empty();
        self.all(&line[first..], findings);
        if one && line.first() == Some(&b'{') && !findings.touched && !findings.ended {
            self.gate.get_or_insert_with(|| Box::new(Gate::new())).learn(line, 0);
        }
    }

    /// Goes on with a line of which the beginning is carried; returns how much of `bytes` it used.
    fn carry(&mut self, bytes: &[u8], findings: &mut Findings) -> usize {
        let Some(gate) = self.gate.as_deref_mut() else { return 0 };
        let (before, line) = gate.carry(bytes);
        let taken = line.len() - before;
        if let Some(end) = gate.passes_carried() {
            return end.saturating_sub(before);
        }
        let line = gate.carried();
        let end = memchr::memchr(b'\n', &line[before..]).map(|at| before + at + 1);
        if end.is_none() && line.len() < MAX_EVENT && line.last() != Some(&b'}') {
            return taken;
        }
        let (line, len) = gate.drop_carried();
        match end {
            Some(end) => {
                self.whole(&line[..end], findings);
                end.saturating_sub(before)
            }
            // Too long to be carried, or perhaps the last.
            None => {
                self.all(&line[..len], findings);
                taken
            }
        }
    }

    fn all(&mut self, mut bytes: &[u8], findings: &mut Findings) {
        while !bytes.is_empty() && !findings.ended {
            let read = self.read(bytes, findings);
            bytes = &bytes[read..];
        }
    }

    /// Reads on, up to the end of a document.
    #[inline]
    fn read(&mut self, bytes: &[u8], findings: &mut Findings) -> usize {
        let mut at = 0;
        // Lines that a template lets pass leave no document behind that has ended.
        if self.is_between() {
            let spaces = bytes.iter().position(|byte| !byte.is_ascii_whitespace());
            let Some(next) = spaces else { return bytes.len() };
            at = next;
            self.walker.reset();
        } else if self.walker.is_broken() {
            let end = memchr::memchr(b'\n', bytes).filter(|_| self.lines);
            let Some(end) = end else { return bytes.len() };
            findings.document_ends();
            self.walker.reset();
            return end + 1;
        }
        at += self.walker.feed(&bytes[at..], findings);
        self.note_end(findings);
        at
    }

    fn note_end(&mut self, findings: &mut Findings) {
        if self.walker.is_done() {
            self.read_one = true;
            findings.document_ends();
        }
    }

    /// Reads what is carried, though its line is not whole.
    #[cold]
    fn read_carried(&mut self, findings: &mut Findings) {
        if let Some(gate) = self.gate.as_deref_mut() {
            let (line, len) = gate.drop_carried();
            self.all(&line[..len], findings);
        }
    }

    /// There is nothing more to come.
    #[inline]
    pub(super) fn finish(&mut self, findings: &mut Findings) {
        if self.gate.as_deref().is_some_and(Gate::is_carrying) {
            self.read_carried(findings);
        }
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
