//! Server-sent events: each event's data is a JSON document.

use crate::usage::extract::Extractor;
use crate::usage::json::{self, Scanner};
use crate::usage::skip::{EventFilter, MAX_EVENT};

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
    scanner: Scanner,
    line: Line,
    /// The name of the field, or the value of `event`, as far as it was read and fits.
    name: [u8; 6],
    name_len: u8,
    /// The last byte was a carriage return: a line feed after it belongs to it.
    after_cr: bool,
    /// The event has data.
    has_data: bool,
    /// How much of [`DONE`] the event's data is so far; nothing if it is something else.
    done_matched: Option<u8>,
    /// The event is named `error`.
    is_error: bool,
    /// What was read last ended an event with data.
    ended_event: bool,
    filter: Option<Box<EventFilter>>,
}

impl Sse {
    pub(super) fn new() -> Self {
        Self {
            scanner: Scanner::new(json::ROOT),
            line: Line::Name,
            name: [0; 6],
            name_len: 0,
            after_cr: false,
            has_data: false,
            done_matched: Some(0),
            is_error: false,
            ended_event: false,
            filter: None,
        }
    }

    pub(super) fn feed(&mut self, mut bytes: &[u8], extractor: &mut Extractor) {
        while !bytes.is_empty() && !extractor.has_ended() {
            let read = if self.filter.as_deref().is_some_and(EventFilter::has_buffered) {
                self.resume_buffered(bytes, extractor)
            } else if !self.is_between() {
                self.read(bytes, extractor)
            } else {
                let filter = self.filter.as_deref_mut();
                let (skipped, is_partial) = filter.map_or((0, false), |filter| filter.skip(bytes));
                match &bytes[skipped..] {
                    [] => skipped,
                    rest => skipped + self.read_event(rest, is_partial, extractor),
                }
            };
            bytes = &bytes[read..];
        }
    }

    /// Between events, at the beginning of a line.
    fn is_between(&self) -> bool {
        self.line == Line::Name
            && self.name_len == 0
            && !(self.has_data || self.after_cr || self.is_error)
    }

    /// Reads an event that no template lets pass, or begins to. If it is `is_partial`, it is known not
    /// to end here.
    fn read_event(&mut self, bytes: &[u8], is_partial: bool, extractor: &mut Extractor) -> usize {
        let window = &bytes[..bytes.len().min(MAX_EVENT)];
        match if is_partial { None } else { event_end(window) } {
            Some(end) => {
                self.read_whole(&bytes[..end], extractor);
                end
            }
            // It goes on in the next piece.
            None if bytes.len() < MAX_EVENT && !may_be_done(bytes) => {
                let filter = self.filter.get_or_insert_with(|| Box::new(EventFilter::new()));
                filter.buffer(bytes).1.len()
            }
            None => self.read(bytes, extractor),
        }
    }

    /// Reads an event that is whole, and remembers it if it told nothing.
    fn read_whole(&mut self, event: &[u8], extractor: &mut Extractor) {
        extractor.changed = false;
        let mut rest = event;
        let mut data = false;
        while !rest.is_empty() && !extractor.has_ended() {
            let read = self.read(rest, extractor);
            data |= self.ended_event;
            rest = &rest[read..];
        }
        if data
            && !extractor.changed
            && !extractor.has_ended()
            && self.is_between()
            && let Some(json) = single_object(event)
        {
            self.filter.get_or_insert_with(|| Box::new(EventFilter::new())).learn(event, json);
        }
    }

    /// Goes on with an event of which the beginning is carried; returns how much of `bytes` it used.
    fn resume_buffered(&mut self, bytes: &[u8], extractor: &mut Extractor) -> usize {
        let Some(filter) = self.filter.as_deref_mut() else { return 0 };
        let (before, event) = filter.buffer(bytes);
        let taken = event.len() - before;
        if let Some(end) = filter.skip_buffered() {
            return end.saturating_sub(before);
        }
        let event = filter.buffered();
        // Only a line's end can end an event; that of the byte before may have been in doubt.
        let new = &event[before.saturating_sub(1)..];
        if memchr::memchr2(b'\n', b'\r', new).is_none() && event.len() < MAX_EVENT {
            return taken;
        }
        let end = event_end(event);
        if end.is_none() && event.len() < MAX_EVENT && !may_be_done(event) {
            return taken;
        }
        let (event, len) = filter.take_buffered();
        let Some(end) = end else {
            // Too long to be carried, or perhaps the last line there is.
            self.read_all(&event[..len], extractor);
            return taken;
        };
        self.read_whole(&event[..end], extractor);
        end.saturating_sub(before)
    }

    fn read_all(&mut self, mut bytes: &[u8], extractor: &mut Extractor) {
        while !bytes.is_empty() && !extractor.has_ended() {
            let read = self.read(bytes, extractor);
            bytes = &bytes[read..];
        }
    }

    /// Reads on, up to the end of an event.
    fn read(&mut self, bytes: &[u8], extractor: &mut Extractor) -> usize {
        let mut at = 0;
        self.ended_event = false;
        while let Some(rest) = bytes.get(at..)
            && let Some(first) = rest.first()
        {
            if extractor.has_ended() || (at > 0 && self.is_between()) {
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
                Line::Name => self.read_name(rest, extractor),
                Line::Colon => {
                    self.end_name();
                    usize::from(*first == b' ')
                }
                Line::Data | Line::Event | Line::Other => self.read_value(rest, extractor),
            };
        }
        at
    }

    /// There is nothing more to come; the last event need not end in a blank line.
    pub(super) fn finish(&mut self, extractor: &mut Extractor) {
        if let Some(filter) = self.filter.as_deref_mut()
            && filter.has_buffered()
        {
            let (event, len) = filter.take_buffered();
            self.read_all(&event[..len], extractor);
        }
        if !extractor.has_ended() {
            if self.line != Line::Name {
                self.end_line(extractor);
            }
            self.end_event(extractor);
        }
    }

    /// At the beginning of a line, or in the name of its field.
    fn read_name(&mut self, bytes: &[u8], extractor: &mut Extractor) -> usize {
        if self.name_len == 0 && bytes.starts_with(b"data:") {
            self.line = Line::Data;
            self.begin_data(extractor);
            return if bytes.get(5) == Some(&b' ') {
                6
            } else {
                // A space may be yet to come.
                self.line = if bytes.len() == 5 { Line::Colon } else { Line::Data };
                self.set_name(b"data");
                5
            };
        }
        for (i, byte) in bytes.iter().enumerate() {
            match byte {
                b':' => {
                    self.line = Line::Colon;
                    if self.name_is(b"data") {
                        self.begin_data(extractor);
                    }
                    return i + 1;
                }
                b'\n' | b'\r' => {
                    self.after_cr = *byte == b'\r';
                    if self.name_len == 0 {
                        self.end_event(extractor);
                    } else {
                        self.name_len = 0;
                    }
                    return i + 1;
                }
                byte => self.push_name(*byte),
            }
        }
        bytes.len()
    }

    fn end_name(&mut self) {
        self.line = if self.name_is(b"data") {
            Line::Data
        } else if self.name_is(b"event") {
            Line::Event
        } else {
            Line::Other
        };
        self.name_len = 0;
    }

    fn begin_data(&mut self, extractor: &mut Extractor) {
        if self.has_data {
            // Several data lines are one text, joined by line feeds.
            self.scanner.feed(b"\n", extractor);
            self.done_matched = None;
        }
        self.has_data = true;
    }

    fn read_value(&mut self, bytes: &[u8], extractor: &mut Extractor) -> usize {
        let end = memchr::memchr2(b'\n', b'\r', bytes);
        let value = &bytes[..end.unwrap_or(bytes.len())];
        match self.line {
            Line::Data => {
                self.match_done(value);
                self.scanner.feed(value, extractor);
            }
            Line::Event => value.iter().for_each(|byte| self.push_name(*byte)),
            Line::Name | Line::Colon | Line::Other => {}
        }
        let Some(end) = end else { return bytes.len() };
        self.after_cr = bytes[end] == b'\r';
        self.end_line(extractor);
        end + 1
    }

    fn end_line(&mut self, extractor: &mut Extractor) {
        if self.line == Line::Event {
            self.is_error = self.name_is(b"error");
        }
        // Nothing can follow this, not even the blank line.
        if self.line == Line::Data && self.done_matched == Some(DONE.len() as u8) {
            self.end_event(extractor);
        }
        self.line = Line::Name;
        self.name_len = 0;
    }

    fn end_event(&mut self, extractor: &mut Extractor) {
        if self.has_data {
            self.ended_event = true;
            if self.done_matched == Some(DONE.len() as u8) {
                extractor.end_stream();
            }
            self.scanner.finish(extractor);
            if self.is_error {
                extractor.fail("error");
            }
            extractor.end_document();
            self.scanner.reset();
        }
        self.has_data = false;
        self.done_matched = Some(0);
        self.is_error = false;
    }

    /// Follows [`DONE`] through the data: white space may come after it, and nothing else.
    fn match_done(&mut self, value: &[u8]) {
        let Some(before) = self.done_matched else { return };
        let left = &DONE[usize::from(before)..];
        let (now, after) = value.split_at(value.len().min(left.len()));
        let matches = left.starts_with(now) && after.iter().all(u8::is_ascii_whitespace);
        self.done_matched = matches.then_some(before + now.len() as u8);
    }

    fn push_name(&mut self, byte: u8) {
        if let Some(slot) = self.name.get_mut(usize::from(self.name_len)) {
            *slot = byte;
            self.name_len += 1;
        } else {
            self.name_len = u8::MAX;
        }
    }

    fn set_name(&mut self, name: &[u8]) {
        name.iter().for_each(|byte| self.push_name(*byte));
    }

    fn name_is(&self, text: &[u8]) -> bool {
        self.name.get(..usize::from(self.name_len)) == Some(text)
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
