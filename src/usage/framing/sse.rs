//! Server-sent events: each event's data is a JSON document.

use crate::usage::findings::Findings;
use crate::usage::gate::{Gate, MAX_EVENT};
use crate::usage::trie;
use crate::usage::walker::Walker;

/// What OpenAI's streams, and those like them, end with.
const DONE: &[u8] = b"[DONE]";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// In a field's name.
    Name,
    /// After the colon, before a space that does not count.
    Colon,
    /// In the value of `data`.
    Data,
    /// In the value of `event`.
    Event,
    /// In something else.
    Other,
}

/// An event stream.
#[derive(Clone, Debug)]
pub(in crate::usage) struct Sse {
    walker: Walker,
    line: Line,
    /// The name of the field, or the value of `event`, as far as it was read and fits.
    text: [u8; 6],
    text_len: u8,
    /// The last byte was a carriage return: a line feed after it belongs to it.
    after_cr: bool,
    /// The event has data.
    data: bool,
    /// How much of [`DONE`] the event's data is so far; nothing if it is something else.
    done: Option<u8>,
    /// The event is named `error`.
    error: bool,
    /// What was read last ended an event with data.
    data_ended: bool,
    gate: Option<Box<Gate>>,
}

impl Sse {
    pub(super) fn new() -> Self {
        Self {
            walker: Walker::new(trie::ROOT),
            line: Line::Name,
            text: [0; 6],
            text_len: 0,
            after_cr: false,
            data: false,
            done: Some(0),
            error: false,
            data_ended: false,
            gate: None,
        }
    }

    pub(super) fn feed(&mut self, mut bytes: &[u8], findings: &mut Findings) {
        while !bytes.is_empty() && !findings.ended {
            let read = if self.gate.as_deref().is_some_and(Gate::is_carrying) {
                self.carry(bytes, findings)
            } else if !self.is_between() {
                self.read(bytes, findings)
            } else {
                let gate = self.gate.as_deref_mut();
                let (passed, begun) = gate.map_or((0, false), |gate| gate.passes(bytes));
                match &bytes[passed..] {
                    [] => passed,
                    rest => passed + self.event(rest, begun, findings),
                }
            };
            bytes = &bytes[read..];
        }
    }

    /// Between events, at the beginning of a line.
    fn is_between(&self) -> bool {
        self.line == Line::Name && self.text_len == 0 && !(self.data || self.after_cr || self.error)
    }

    /// Reads an event that no template lets pass, or begins to. If it is `begun`, it is known not
    /// to end here.
    fn event(&mut self, bytes: &[u8], begun: bool, findings: &mut Findings) -> usize {
        let window = &bytes[..bytes.len().min(MAX_EVENT)];
        match if begun { None } else { event_end(window) } {
            Some(end) => {
                self.whole(&bytes[..end], findings);
                end
            }
            // It goes on in the next piece.
            None if bytes.len() < MAX_EVENT && !may_be_done(bytes) => {
                let gate = self.gate.get_or_insert_with(|| Box::new(Gate::new()));
                gate.carry(bytes).1.len()
            }
            None => self.read(bytes, findings),
        }
    }

    /// Reads an event that is whole, and remembers it if it told nothing.
    fn whole(&mut self, event: &[u8], findings: &mut Findings) {
        findings.touched = false;
        let mut rest = event;
        let mut data = false;
        while !rest.is_empty() && !findings.ended {
            let read = self.read(rest, findings);
            data |= self.data_ended;
            rest = &rest[read..];
        }
        if data
            && !findings.touched
            && !findings.ended
            && self.is_between()
            && let Some(json) = single_object(event)
        {
            self.gate.get_or_insert_with(|| Box::new(Gate::new())).learn(event, json);
        }
    }

    /// Goes on with an event of which the beginning is carried; returns how much of `bytes` it used.
    fn carry(&mut self, bytes: &[u8], findings: &mut Findings) -> usize {
        let Some(gate) = self.gate.as_deref_mut() else { return 0 };
        let (before, event) = gate.carry(bytes);
        let taken = event.len() - before;
        if let Some(end) = gate.passes_carried() {
            return end.saturating_sub(before);
        }
        let event = gate.carried();
        // Only a line's end can end an event; that of the byte before may have been in doubt.
        let new = &event[before.saturating_sub(1)..];
        if memchr::memchr2(b'\n', b'\r', new).is_none() && event.len() < MAX_EVENT {
            return taken;
        }
        let end = event_end(event);
        if end.is_none() && event.len() < MAX_EVENT && !may_be_done(event) {
            return taken;
        }
        let (event, len) = gate.drop_carried();
        let Some(end) = end else {
            // Too long to be carried, or perhaps the last line there is.
            self.all(&event[..len], findings);
            return taken;
        };
        self.whole(&event[..end], findings);
        end.saturating_sub(before)
    }

    fn all(&mut self, mut bytes: &[u8], findings: &mut Findings) {
        while !bytes.is_empty() && !findings.ended {
            let read = self.read(bytes, findings);
            bytes = &bytes[read..];
        }
    }

    /// Reads on, up to the end of an event.
    fn read(&mut self, bytes: &[u8], findings: &mut Findings) -> usize {
        let mut at = 0;
        self.data_ended = false;
        while let Some(rest) = bytes.get(at..)
            && let Some(first) = rest.first()
        {
            if findings.ended || (at > 0 && self.is_between()) {
                return at;
            }
            if self.after_cr {
                self.after_cr = false;
                if *first == b'\n' {
                    at += 1;
                    continue;
                }
            }
            at += match self.line {
                Line::Name => self.name(rest, findings),
                Line::Colon => {
                    self.colon();
                    usize::from(*first == b' ')
                }
                Line::Data | Line::Event | Line::Other => self.value(rest, findings),
            };
        }
        at
    }

    /// There is nothing more to come; the last event need not end in a blank line.
    pub(super) fn finish(&mut self, findings: &mut Findings) {
        if let Some(gate) = self.gate.as_deref_mut()
            && gate.is_carrying()
        {
            let (event, len) = gate.drop_carried();
            self.all(&event[..len], findings);
        }
        if !findings.ended {
            if self.line != Line::Name {
                self.line_ends(findings);
            }
            self.event_ends(findings);
        }
    }

    /// At the beginning of a line, or in the name of its field.
    fn name(&mut self, bytes: &[u8], findings: &mut Findings) -> usize {
        if self.text_len == 0 && bytes.starts_with(b"data:") {
            self.line = Line::Data;
            self.data_begins(findings);
            return if bytes.get(5) == Some(&b' ') {
                6
            } else {
                // A space may be yet to come.
                self.line = if bytes.len() == 5 { Line::Colon } else { Line::Data };
                self.take_name(b"data");
                5
            };
        }
        for (i, byte) in bytes.iter().enumerate() {
            match byte {
                b':' => {
                    self.line = Line::Colon;
                    if self.is_text(b"data") {
                        self.data_begins(findings);
                    }
                    return i + 1;
                }
                b'\n' | b'\r' => {
                    self.after_cr = *byte == b'\r';
                    if self.text_len == 0 {
                        self.event_ends(findings);
                    } else {
                        self.text_len = 0;
                    }
                    return i + 1;
                }
                byte => self.push_text(*byte),
            }
        }
        bytes.len()
    }

    fn colon(&mut self) {
        self.line = if self.is_text(b"data") {
            Line::Data
        } else if self.is_text(b"event") {
            Line::Event
        } else {
            Line::Other
        };
        self.text_len = 0;
    }

    fn data_begins(&mut self, findings: &mut Findings) {
        if self.data {
            // Several data lines are one text, joined by line feeds.
            self.walker.feed(b"\n", findings);
            self.done = None;
        }
        self.data = true;
    }

    fn value(&mut self, bytes: &[u8], findings: &mut Findings) -> usize {
        let end = memchr::memchr2(b'\n', b'\r', bytes);
        let value = &bytes[..end.unwrap_or(bytes.len())];
        match self.line {
            Line::Data => {
                self.match_done(value);
                self.walker.feed(value, findings);
            }
            Line::Event => value.iter().for_each(|byte| self.push_text(*byte)),
            Line::Name | Line::Colon | Line::Other => {}
        }
        let Some(end) = end else { return bytes.len() };
        self.after_cr = bytes[end] == b'\r';
        self.line_ends(findings);
        end + 1
    }

    fn line_ends(&mut self, findings: &mut Findings) {
        if self.line == Line::Event {
            self.error = self.is_text(b"error");
        }
        // Nothing can follow this, not even the blank line.
        if self.line == Line::Data && self.done == Some(DONE.len() as u8) {
            self.event_ends(findings);
        }
        self.line = Line::Name;
        self.text_len = 0;
    }

    fn event_ends(&mut self, findings: &mut Findings) {
        if self.data {
            self.data_ended = true;
            if self.done == Some(DONE.len() as u8) {
                findings.ended = true;
            }
            self.walker.finish(findings);
            if self.error {
                findings.fails("error");
            }
            findings.document_ends();
            self.walker.reset();
        }
        self.data = false;
        self.done = Some(0);
        self.error = false;
    }

    /// Follows [`DONE`] through the data: white space may come after it, and nothing else.
    fn match_done(&mut self, value: &[u8]) {
        let Some(before) = self.done else { return };
        let left = &DONE[usize::from(before)..];
        let (now, after) = value.split_at(value.len().min(left.len()));
        let matches = left.starts_with(now) && after.iter().all(u8::is_ascii_whitespace);
        self.done = matches.then_some(before + now.len() as u8);
    }

    fn push_text(&mut self, byte: u8) {
        if let Some(slot) = self.text.get_mut(usize::from(self.text_len)) {
            *slot = byte;
            self.text_len += 1;
        } else {
            self.text_len = u8::MAX;
        }
    }

    fn take_name(&mut self, name: &[u8]) {
        name.iter().for_each(|byte| self.push_text(*byte));
    }

    fn is_text(&self, text: &[u8]) -> bool {
        self.text.get(..usize::from(self.text_len)) == Some(text)
    }
}

/// Whether these bytes may begin [`DONE`], which must not wait for a blank line after it.
fn may_be_done(event: &[u8]) -> bool {
    let data = event.strip_prefix(b"data:").unwrap_or_default();
    data.strip_prefix(b" ").unwrap_or(data).starts_with(b"[")
}

/// Where the event ends that these bytes begin with: after its blank line.
fn event_end(bytes: &[u8]) -> Option<usize> {
    let mut line = 0;
    loop {
        let end = line + memchr::memchr2(b'\n', b'\r', bytes.get(line..)?)?;
        let next = match (bytes[end], bytes.get(end + 1)) {
            (b'\n', _) => end + 1,
            // A line feed may be yet to come.
            (_, next) => end + 1 + usize::from(*next? == b'\n'),
        };
        if end == line {
            return Some(next);
        }
        line = next;
    }
}

/// Where the object begins in an event that has one, on a single line of data.
fn single_object(event: &[u8]) -> Option<usize> {
    let mut found = None;
    let mut at = 0;
    for line in event.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
        if let Some(value) = line.strip_prefix(b"data:") {
            let space = usize::from(value.first() == Some(&b' '));
            if found.is_some() || value.get(space) != Some(&b'{') {
                return None;
            }
            found = Some(at + 5 + space);
        }
        at += line.len();
    }
    found
}
