//! AWS event streams: binary frames with headers, a payload and two checksums.
//!
//! ```text
//! total length  headers length  CRC of these    headers …  payload …  CRC of all before
//! 4 bytes       4               4                                     4
//! ```
//!
//! The headers say what the payload is: an event of some type, an exception, a `chunk` whose JSON
//! wraps an event in base64, or a part of a body of its own, which may be cut anywhere (SageMaker,
//! Lambda). The payload goes to the scanner as it arrives, so that memory does
//! not grow with it. That is before the frame's checksum can be compared, so what a frame adds is
//! provisional:
//!
//! - Before a frame, what was extracted so far is noted as `committed`.
//! - While the frame is open, only `committed` is shown outside.
//! - If the checksum is right, the document ends and its findings stand. If it is wrong, or the body
//!   ends inside the frame, they are rolled back, and the stream counts as truncated: frames have no
//!   marker at which reading could resume.
//!
//! Each byte is hashed once and scanned once. A stream takes one allocation for its state and one
//! for up to 1 KiB of headers.

use std::fmt;

use crc32fast::Hasher;

use super::base64::Base64;
use super::frame_headers::FrameHeaders;
use super::{Framing, MediaType};
use crate::usage::extract::{Extracted, Extractor, UsageParts};
use crate::usage::formats::{
    Accounting, Action, CountOp, EVENT_TYPES, Effect, ErrorPart, Format, IdField, InfoField,
    RequestFlag, TokenType, UsagePart, Word, WordField,
};
use crate::usage::json::{self, Scanner, TEXT_BLOCK, Visitor};
use crate::usage::response_head::RequestFlags;

/// The length of the two lengths and their checksum.
pub(super) const PRELUDE: usize = 12;
/// The length of the checksum at the end.
const TRAILER: u32 = 4;
/// Some more than the 16 MiB of payload that AWS allows.
const MAX_FRAME: u32 = 24 << 20;
/// Headers beyond this are not read. Those that matter are short.
const MAX_HEADERS: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    Prelude,
    Headers,
    Payload,
    Trailer,
    /// A checksum was wrong. The next frame's beginning is not known.
    Corrupt,
}

/// How a payload is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Payload {
    /// As an event.
    Event,
    /// As a JSON object with an event in base64.
    Wrapped,
    /// As a part of a body of its own.
    Part,
    /// Not at all.
    Ignored,
}

/// A body in parts.
trait Parts: fmt::Debug + Send + Sync {
    fn feed(&mut self, part: &[u8], extractor: &mut Extractor);
    fn finish(&mut self, extractor: &mut Extractor);
}

impl Parts for Framing {
    fn feed(&mut self, part: &[u8], extractor: &mut Extractor) {
        self.feed(part, extractor);
    }

    fn finish(&mut self, extractor: &mut Extractor) {
        self.finish(extractor);
    }
}

/// A reader of AWS event streams.
#[derive(Debug)]
pub(in crate::usage) struct EventStream {
    hint: RequestFlags,
    section: Section,
    /// How many bytes of the section were read.
    read: u32,
    headers_len: u32,
    payload_len: u32,
    crc: Hasher,
    /// The prelude or the trailer, as far as it was read.
    fixed: [u8; PRELUDE],
    headers: Box<[u8; MAX_HEADERS]>,
    payload: Payload,
    wrapper: Scanner,
    scanner: Scanner,
    base64: Base64,
    /// The body whose parts are payloads.
    // Not a `Framing`, which would then have one inside of it as far as the compiler can see, and
    // take twenty instructions more to drop.
    parts: Option<Box<dyn Parts>>,
    /// The stream ends with the frame at hand.
    ends_stream: bool,
    /// What was extracted before the frame at hand.
    committed: Extracted,
    committed_parts: Option<UsageParts>,
}

/// Whether a frame begins with these bytes.
pub(super) fn is_prelude(bytes: &[u8; PRELUDE]) -> bool {
    lengths(bytes).is_some()
}

/// The lengths of the headers and of the payload, if the checksum is right.
fn lengths(prelude: &[u8; PRELUDE]) -> Option<(u32, u32)> {
    let [a, b, c, d, e, f, g, h, crc @ ..] = prelude;
    let total = u32::from_be_bytes([*a, *b, *c, *d]);
    let headers = u32::from_be_bytes([*e, *f, *g, *h]);
    let check = crc32fast::hash(&prelude[..8]);
    let rest = total.checked_sub(PRELUDE as u32 + TRAILER)?;
    let payload = rest.checked_sub(headers)?;
    (total <= MAX_FRAME && check == u32::from_be_bytes(*crc)).then_some((headers, payload))
}

impl EventStream {
    pub(super) fn new(hint: RequestFlags) -> Self {
        Self {
            hint,
            section: Section::Prelude,
            read: 0,
            headers_len: 0,
            payload_len: 0,
            crc: Hasher::new(),
            fixed: [0; PRELUDE],
            headers: Box::new([0; MAX_HEADERS]),
            payload: Payload::Ignored,
            wrapper: Scanner::new(json::CHUNK),
            scanner: Scanner::new(json::ROOT),
            base64: Base64::default(),
            parts: None,
            ends_stream: false,
            committed: Extracted::default(),
            committed_parts: None,
        }
    }

    /// What was extracted from the frames that are whole.
    pub(super) fn committed<'a>(&'a self, extractor: &'a Extractor) -> &'a Extracted {
        if self.is_open() { &self.committed } else { extractor.extracted() }
    }

    /// What usage objects told besides counts, in the frames that are whole.
    pub(super) fn committed_parts<'a>(
        &'a self,
        extractor: &'a Extractor,
    ) -> Option<&'a UsageParts> {
        if self.is_open() {
            extractor.noted_parts(&self.committed_parts)
        } else {
            extractor.parts()
        }
    }

    /// Whether a frame was begun and is not whole, or is corrupt.
    pub(super) fn is_open(&self) -> bool {
        self.section != Section::Prelude || self.read > 0
    }

    pub(super) fn feed(&mut self, mut bytes: &[u8], extractor: &mut Extractor) {
        // Frames after the end marker do not count, or the same bytes would mean one thing in one
        // piece and another in two.
        while !bytes.is_empty() && !extractor.has_ended() {
            if self.section == Section::Corrupt {
                return;
            }
            if !self.is_open() {
                self.committed = *extractor.extracted();
                extractor.note_parts(&mut self.committed_parts);
            }
            let len = match self.section {
                Section::Prelude => PRELUDE as u32,
                Section::Headers => self.headers_len,
                Section::Payload => self.payload_len,
                Section::Trailer | Section::Corrupt => TRAILER,
            };
            let left = usize::try_from(len - self.read).unwrap_or(usize::MAX);
            let (piece, rest) = bytes.split_at(left.min(bytes.len()));
            self.read_piece(piece, extractor);
            self.read += piece.len() as u32;
            bytes = rest;
            if self.read == len {
                self.end_section(extractor);
            }
        }
    }

    /// The end of the body.
    pub(super) fn finish(&mut self, extractor: &mut Extractor) {
        if self.is_open() {
            self.mark_corrupt(extractor);
        } else if let Some(parts) = &mut self.parts
            && !extractor.has_ended()
        {
            parts.finish(extractor);
        }
    }

    fn read_piece(&mut self, piece: &[u8], extractor: &mut Extractor) {
        let read = self.read as usize;
        if self.section != Section::Trailer {
            self.crc.update(piece);
        }
        match self.section {
            Section::Prelude | Section::Trailer => {
                self.fixed[read..read + piece.len()].copy_from_slice(piece);
            }
            Section::Headers => {
                let room = self.headers.get_mut(read..).unwrap_or_default();
                let len = piece.len().min(room.len());
                room[..len].copy_from_slice(&piece[..len]);
            }
            Section::Payload => self.read_payload(piece, extractor),
            Section::Corrupt => {}
        }
    }

    fn read_payload(&mut self, piece: &[u8], extractor: &mut Extractor) {
        match self.payload {
            Payload::Event => {
                self.scanner.feed(piece, extractor);
            }
            Payload::Wrapped => {
                let mut visitor = Base64Unwrapper {
                    base64: &mut self.base64,
                    scanner: &mut self.scanner,
                    extractor,
                };
                self.wrapper.feed(piece, &mut visitor);
            }
            Payload::Part => {
                let hint = self.hint;
                let new = || Box::new(Framing::new(MediaType::Other, hint)) as Box<dyn Parts>;
                self.parts.get_or_insert_with(new).feed(piece, extractor);
                extractor.note_content();
                // The frame has to be read to its end.
                self.ends_stream |= extractor.take_end();
            }
            Payload::Ignored => {}
        }
    }

    fn end_section(&mut self, extractor: &mut Extractor) {
        self.read = 0;
        match self.section {
            Section::Prelude => match lengths(&self.fixed) {
                Some((headers, payload)) => {
                    self.headers_len = headers;
                    self.payload_len = payload;
                    self.section = Section::Headers;
                    if headers == 0 {
                        self.end_headers(extractor);
                    }
                }
                None => self.mark_corrupt(extractor),
            },
            Section::Headers => self.end_headers(extractor),
            Section::Payload => self.section = Section::Trailer,
            Section::Trailer => {
                let [a, b, c, d, ..] = self.fixed;
                if u32::from_be_bytes([a, b, c, d]) == std::mem::take(&mut self.crc).finalize() {
                    self.end_frame(extractor);
                } else {
                    self.mark_corrupt(extractor);
                }
            }
            Section::Corrupt => {}
        }
    }

    /// Takes back what the open frame added, and reads no further.
    fn mark_corrupt(&mut self, extractor: &mut Extractor) {
        extractor.roll_back(self.committed, self.committed_parts);
        self.section = Section::Corrupt;
    }

    fn end_headers(&mut self, extractor: &mut Extractor) {
        self.section = if self.payload_len > 0 { Section::Payload } else { Section::Trailer };
        let mut kind = FrameKind::default();
        let headers = self.headers.get(..self.headers_len as usize).unwrap_or_default();
        for (name, value) in FrameHeaders(headers) {
            match name {
                b":event-type" => kind.event = value,
                b":message-type" => kind.message = value,
                b":exception-type" | b":error-code" => kind.code = value,
                b":error-message" => kind.text = value,
                _ => {}
            }
        }
        self.ends_stream = false;
        self.payload = Payload::Ignored;
        self.scanner = Scanner::new(json::ROOT);
        if matches!(kind.message, b"exception" | b"error") {
            extractor.fail_event("exception");
            if !kind.code.is_empty() {
                extractor.set_error_text(ErrorPart::Code, kind.code);
            }
            if !kind.text.is_empty() {
                extractor.set_error_text(ErrorPart::Message, kind.text);
            }
            self.payload = Payload::Event;
            return;
        }
        match kind.event {
            // An agent's chunks carry its text, which is no JSON of a model's.
            b"chunk" if self.hint.has(RequestFlag::AgentText) => {}
            b"chunk" => {
                // The events of some models have no end that is known here.
                extractor.apply(&Effect::SetFormat(Format::BedrockInvoke));
                self.payload = Payload::Wrapped;
                self.wrapper.reset();
                self.base64 = Base64::default();
            }
            // The last frame of a `ConverseStream`. A harness sends one for each call of a model.
            b"metadata" => {
                self.ends_stream = !self.hint.has(RequestFlag::MultipleCalls);
                extractor.apply(&Effect::StartStream(Format::BedrockConverse));
                self.scanner = Scanner::new(json::METADATA);
                self.payload = Payload::Event;
            }
            b"PayloadPart" | b"PayloadChunk" => self.payload = Payload::Part,
            b"InvokeComplete" => {
                if let Some(parts) = &mut self.parts {
                    parts.finish(extractor);
                }
                self.ends_stream = true;
                self.scanner = Scanner::new(json::COMPLETION);
                self.payload = Payload::Event;
            }
            event => {
                for (name, effect) in EVENT_TYPES {
                    if name.as_bytes() == event {
                        extractor.apply(effect);
                    }
                }
                self.payload = Payload::Event;
            }
        }
    }

    fn end_frame(&mut self, extractor: &mut Extractor) {
        if self.payload != Payload::Part {
            extractor.end_document(self.scanner.document_key_sets());
        }
        if self.ends_stream {
            extractor.end_stream();
        }
        self.section = Section::Prelude;
    }
}

/// The headers that say what a frame is.
#[derive(Default)]
struct FrameKind<'a> {
    event: &'a [u8],
    message: &'a [u8],
    code: &'a [u8],
    text: &'a [u8],
}

/// A visitor that decodes the base64 text of a `chunk`, and scans it as a document.
struct Base64Unwrapper<'a> {
    base64: &'a mut Base64,
    scanner: &'a mut Scanner,
    extractor: &'a mut Extractor,
}

impl Visitor for Base64Unwrapper<'_> {
    fn is_traced(&self) -> bool {
        Visitor::is_traced(self.extractor)
    }

    fn trace_value(&mut self, action: Action, path: String) {
        self.extractor.trace_value(action, path);
    }

    fn text(&mut self, action: Action, piece: &[u8]) {
        match action {
            Action::Base64Document => self.base64.decode(piece, |decoded| {
                self.scanner.feed(decoded, self.extractor);
            }),
            action => self.extractor.text(action, piece),
        }
    }

    fn begin_text(&mut self, action: Action) {
        if action != Action::Base64Document {
            self.extractor.begin_text(action);
        }
    }

    fn trace_word(&mut self, _: WordField, _: Word<'_>, _: String) {}
    fn trace_end(&mut self, _: Action, _: String) {}
    fn begin_object(&mut self, _: Action) {}
    fn end_object(&mut self, _: Action, _: u8) {}
    fn begin_list(&mut self) {}
    fn id(&mut self, _: IdField, _: &[u8; TEXT_BLOCK], _: usize) {}
    fn info(&mut self, _: InfoField, _: &[u8; TEXT_BLOCK], _: usize) {}
    fn end_text(&mut self, _: Action) {}
    fn count(&mut self, _: TokenType, _: CountOp, _: Accounting, _: u64) {}
    fn part(&mut self, _: UsagePart, _: u64) {}
    fn cost(&mut self, _: Option<(u64, u8)>) {}
    fn number(&mut self, _: Action, _: Option<u64>) {}
    fn word(&mut self, _: WordField, _: Word<'_>) {}
    fn boolean(&mut self, _: Action, _: bool) {}
    fn present(&mut self, _: Action) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_holds_its_headers_and_has_twenty_four_mebibytes_at_most() {
        for (total, headers, payload) in [
            (16, 0, Some(0)),
            (15, 0, None),
            (36, 20, Some(0)),
            (35, 20, None),
            (40, 20, Some(4)),
            (24 << 20, 0, Some((24 << 20) - 16)),
            ((24 << 20) + 1, 0, None),
            (u32::MAX, 0, None),
            (100, u32::MAX, None),
        ] {
            let mut prelude = [0; PRELUDE];
            prelude[..4].copy_from_slice(&u32::to_be_bytes(total));
            prelude[4..8].copy_from_slice(&u32::to_be_bytes(headers));
            assert_eq!(lengths(&prelude), None, "{total}, {headers} with a wrong checksum");
            let check = crc32fast::hash(&prelude[..8]);
            prelude[8..].copy_from_slice(&check.to_be_bytes());
            let expected = payload.map(|payload| (headers, payload));
            assert_eq!(lengths(&prelude), expected, "{total}, {headers}");
        }
    }
}
