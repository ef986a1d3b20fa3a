//! Server-sent events: the data of each event is a JSON document.
//!
//! A state machine over lines, as the WHATWG describes the format. A line is a field name, a colon,
//! an optional space and a value; it ends with LF, CR or CRLF; an empty line ends the event. Of the
//! fields only these matter:
//!
//! - The values of `data` go to the scanner as they arrive. Several of them form one text, joined by
//!   line feeds.
//! - `event: error` makes the event a failure, whatever its data is; what is no JSON is then its text.
//!   `event: message_stop` ends the stream, and `event: done` says that the model has. `event: ping`
//!   and its like carry nothing, and neither does an event without data or with empty data.
//! - Data that is `[DONE]` ends the stream. It does so at the end of its line, since some servers
//!   close the connection without the blank line that would end the event.
//! - Some servers end a stream that fails with a line `error: {…}` (llama.cpp until September 2025, see
//!   <https://github.com/ggml-org/llama.cpp/pull/16109>), or with a document that is in no field at
//!   all. Both are read as data.
//!
//! Between two calls the reader is in one of the states of [`Line`], with at most sixteen bytes of a
//! name buffered; a cut anywhere, even between CR and LF, changes nothing. The work is one search for
//! the end of each line, and the scanning of data.

use super::events::EventReader;
use crate::usage::extract::Extractor;
use crate::usage::formats::Effect;
use crate::usage::json::{self, Scanner};

/// The end marker of OpenAI's streams and of those that follow them.
const DONE: &[u8] = b"[DONE]";
/// Some more than the longest name of a field or event that matters.
const MAX_NAME: usize = 16;

/// What the name of an event says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum EventName {
    /// Nothing, or there is none.
    #[default]
    Other,
    Error,
    MessageStop,
    Done,
    Ping,
}

impl EventName {
    fn new(name: &[u8]) -> Self {
        match name {
            b"error" => Self::Error,
            b"message_stop" => Self::MessageStop,
            b"done" => Self::Done,
            b"ping" | b"heartbeat" | b"keepalive" | b"keep-alive" => Self::Ping,
            _ => Self::Other,
        }
    }
}

/// Where in a line the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// In the field's name.
    Name,
    /// Behind the colon, before a space that is no part of the value.
    Colon,
    /// In the value of `data`.
    Data,
    /// In the value of `event`.
    Event,
    /// In the value of another field, or in a comment.
    Other,
}

/// A reader of server-sent events.
#[derive(Clone, Debug)]
pub(super) struct Sse {
    scanner: Scanner,
    line: Line,
    /// The name of the field, or the value of `event`, as far as it was read.
    name: [u8; MAX_NAME],
    /// Its length; more than fits if it is none of interest.
    name_len: u8,
    /// The last byte was a carriage return. A line feed behind it belongs to the same line end.
    after_cr: bool,
    /// The event has data.
    has_data: bool,
    /// How many bytes of [`DONE`] the data has matched, or nothing if it is something else.
    done_matched: Option<u8>,
    event: EventName,
    /// The data of an event named `error` begins like no JSON, and is its text.
    is_plain_text: bool,
}

impl Sse {
    pub(super) fn new() -> Self {
        Self {
            scanner: Scanner::new(json::ROOT),
            line: Line::Name,
            name: [0; MAX_NAME],
            name_len: 0,
            after_cr: false,
            has_data: false,
            done_matched: Some(0),
            event: EventName::Other,
            is_plain_text: false,
        }
    }

    /// At the beginning of a line, or in its field's name.
    fn read_name(&mut self, bytes: &[u8], extractor: &mut Extractor) -> usize {
        if self.name_len == 0 && bytes.starts_with(b"data:") {
            self.line = Line::Data;
            self.begin_data(extractor);
            return if bytes.get(5) == Some(&b' ') {
                6
            } else {
                // The space may be the first byte of the next piece.
                self.line = if bytes.len() == 5 { Line::Colon } else { Line::Data };
                self.set_name(b"data");
                5
            };
        }
        if self.name_len == 0 && bytes.first() == Some(&b'{') {
            // A document that is in no field.
            self.line = Line::Data;
            self.begin_data(extractor);
            return 0;
        }
        for (i, byte) in bytes.iter().enumerate() {
            match byte {
                b':' => {
                    self.line = Line::Colon;
                    if self.name_is(b"error") {
                        self.event = EventName::Error;
                        self.name = *b"data\0\0\0\0\0\0\0\0\0\0\0\0";
                        self.name_len = 4;
                    }
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
            self.scanner.feed(b"\n", extractor);
            if self.is_plain_text {
                extractor.push_plain_text(b"\n");
            }
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
                let value = match self.event {
                    EventName::Error => self.read_error_text(value, extractor),
                    _ => value,
                };
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
            let name = self.name.get(..usize::from(self.name_len));
            self.event = EventName::new(name.unwrap_or_default());
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
            let is_done = self.done_matched == Some(DONE.len() as u8);
            if is_done {
                extractor.end_stream_by("[DONE]");
            }
            self.scanner.finish(extractor);
            match self.event {
                EventName::Error => extractor.fail_event("error"),
                EventName::MessageStop => extractor.apply(&Effect::EndStream),
                EventName::Done => extractor.apply(&Effect::FinishModel),
                EventName::Ping | EventName::Other => {}
            }
            let is_empty = self.scanner.is_at_start();
            if is_done || is_empty || matches!(self.event, EventName::Ping | EventName::MessageStop)
            {
                extractor.mark_ping();
            }
            extractor.end_document(self.scanner.document_key_sets());
            self.scanner.reset();
        }
        self.has_data = false;
        self.done_matched = Some(0);
        self.event = EventName::Other;
        self.is_plain_text = false;
    }

    /// Takes the data of an event named `error`, which may be plain text, and returns what is left
    /// to scan. White space in front of it belongs to neither.
    #[cold]
    fn read_error_text<'a>(&mut self, value: &'a [u8], extractor: &mut Extractor) -> &'a [u8] {
        let mut value = value;
        if self.scanner.is_at_start() && !self.is_plain_text {
            value = value.trim_ascii_start();
            let Some(first) = value.first() else { return value };
            extractor.take_root_text();
            self.is_plain_text = !matches!(first, b'{' | b'[' | b'"');
            if self.is_plain_text {
                extractor.begin_plain_text();
            }
        }
        if self.is_plain_text {
            extractor.push_plain_text(value);
        }
        value
    }

    /// Compares the next part of the data with [`DONE`]. Only white space may follow it.
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

impl EventReader for Sse {
    fn is_between_events(&self) -> bool {
        self.line == Line::Name
            && self.name_len == 0
            && !(self.has_data || self.after_cr || self.event != EventName::Other)
    }

    fn read(&mut self, bytes: &[u8], extractor: &mut Extractor) -> usize {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..)
            && let Some(first) = rest.first()
        {
            if extractor.has_ended() || (at > 0 && self.is_between_events()) {
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

    /// The last event need not end with a blank line.
    fn finish(&mut self, extractor: &mut Extractor) {
        if !extractor.has_ended() {
            if self.line != Line::Name {
                self.end_line(extractor);
            }
            self.end_event(extractor);
        }
    }

    fn event_end(bytes: &[u8], searched: usize) -> Option<usize> {
        // Only a line end can end an event. If the byte before is a carriage return, it is not yet
        // known whether its line end has ended.
        let new = &bytes[searched.saturating_sub(1)..];
        memchr::memchr2(b'\n', b'\r', new).and_then(|_| blank_line_end(bytes))
    }

    /// [`DONE`] must not wait for a blank line behind it.
    fn may_be_last(bytes: &[u8]) -> bool {
        let data = bytes.strip_prefix(b"data:").unwrap_or_default();
        data.strip_prefix(b" ").unwrap_or(data).starts_with(b"[")
    }

    fn object_start(&self, event: &[u8]) -> Option<usize> {
        if self.is_between_events() { single_object(event) } else { None }
    }
}

/// Where the first blank line ends.
fn blank_line_end(bytes: &[u8]) -> Option<usize> {
    let mut line = 0;
    loop {
        let end = line + memchr::memchr2(b'\n', b'\r', bytes.get(line..)?)?;
        let next = match (bytes[end], bytes.get(end + 1)) {
            (b'\n', _) => end + 1,
            // The line feed may be the first byte of the next piece.
            (_, next) => end + 1 + usize::from(*next? == b'\n'),
        };
        if end == line {
            return Some(next);
        }
        line = next;
    }
}

/// Where the object begins, in an event whose only line of data begins with one.
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
