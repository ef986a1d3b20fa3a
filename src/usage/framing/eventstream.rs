//! AWS event streams: binary frames with headers, a payload and two checksums.

use super::base64::Base64;
use crate::usage::PathHint;
use crate::usage::crc::Crc;
use crate::usage::findings::Findings;
use crate::usage::formats::{
    Action, FRAMES, Field, Format, Kin, Meaning, Op, PathSays, TextKind, Word,
};
use crate::usage::trie;
use crate::usage::walker::{Sink, Walker};

/// Two lengths and their checksum.
pub(super) const PRELUDE: usize = 12;
/// The checksum of the whole.
const TRAILER: u32 = 4;
/// The largest frame AWS sends, and some.
const MAX_FRAME: u32 = 24 << 20;
/// Headers beyond this are not read. Those that matter are a few short words.
const MAX_HEADERS: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Prelude,
    Headers,
    Payload,
    Trailer,
    /// The frames cannot be told apart any more.
    Broken,
}

/// What a frame's payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Payload {
    /// An event.
    Event,
    /// An event in base64 in an object.
    Wrapped,
    /// Of no interest.
    Other,
}

/// An AWS event stream.
#[derive(Clone, Debug)]
pub(in crate::usage) struct EventStream {
    path: PathHint,
    part: Part,
    /// How many bytes of the part were read.
    read: u32,
    headers_len: u32,
    payload_len: u32,
    crc: Crc,
    small: [u8; PRELUDE],
    headers: Box<[u8; MAX_HEADERS]>,
    payload: Payload,
    outer: Walker,
    walker: Walker,
    base64: Base64,
    /// The frame at hand says that the stream is over.
    ends: bool,
    /// What was found in the frames before this one, for this one may prove false.
    before: Findings,
}

/// Whether these bytes begin a frame.
pub(super) fn is_prelude(bytes: &[u8; PRELUDE]) -> bool {
    lengths(bytes).is_some()
}

/// The lengths of headers and payload.
fn lengths(prelude: &[u8; PRELUDE]) -> Option<(u32, u32)> {
    let [a, b, c, d, e, f, g, h, crc @ ..] = prelude;
    let total = u32::from_be_bytes([*a, *b, *c, *d]);
    let headers = u32::from_be_bytes([*e, *f, *g, *h]);
    let mut check = Crc::new();
    check.update(&prelude[..8]);
    let rest = total.checked_sub(PRELUDE as u32 + TRAILER)?;
    let payload = rest.checked_sub(headers)?;
    (total <= MAX_FRAME && check.value() == u32::from_be_bytes(*crc)).then_some((headers, payload))
}

impl EventStream {
    pub(super) fn new(path: PathHint) -> Self {
        Self {
            path,
            part: Part::Prelude,
            read: 0,
            headers_len: 0,
            payload_len: 0,
            crc: Crc::new(),
            small: [0; PRELUDE],
            headers: Box::new([0; MAX_HEADERS]),
            payload: Payload::Other,
            outer: Walker::new(trie::CHUNK),
            walker: Walker::new(trie::ROOT),
            base64: Base64::default(),
            ends: false,
            before: Findings::default(),
        }
    }

    /// What the whole frames told.
    pub(super) fn settled<'a>(&'a self, findings: &'a Findings) -> &'a Findings {
        if self.is_open() { &self.before } else { findings }
    }

    /// Whether a frame is cut or broken.
    pub(super) fn is_open(&self) -> bool {
        self.part != Part::Prelude || self.read > 0
    }

    pub(super) fn feed(&mut self, mut bytes: &[u8], findings: &mut Findings) {
        while !bytes.is_empty() {
            if self.part == Part::Broken {
                return;
            }
            if !self.is_open() {
                self.before = findings.clone();
            }
            let len = match self.part {
                Part::Prelude => PRELUDE as u32,
                Part::Headers => self.headers_len,
                Part::Payload => self.payload_len,
                Part::Trailer | Part::Broken => TRAILER,
            };
            let left = usize::try_from(len - self.read).unwrap_or(usize::MAX);
            let (piece, rest) = bytes.split_at(left.min(bytes.len()));
            self.piece(piece, findings);
            self.read += piece.len() as u32;
            bytes = rest;
            if self.read == len {
                self.part_ends(findings);
            }
        }
    }

    /// There is nothing more to come.
    pub(super) fn finish(&mut self, findings: &mut Findings) {
        if self.is_open() {
            // What is settled is looked at after this too.
            findings.clone_from(&self.before);
            self.part = Part::Broken;
        }
    }

    fn piece(&mut self, piece: &[u8], findings: &mut Findings) {
        let read = self.read as usize;
        if self.part != Part::Trailer {
            self.crc.update(piece);
        }
        match self.part {
            Part::Prelude | Part::Trailer => {
                self.small[read..read + piece.len()].copy_from_slice(piece);
            }
            Part::Headers => {
                let room = self.headers.get_mut(read..).unwrap_or_default();
                let len = piece.len().min(room.len());
                room[..len].copy_from_slice(&piece[..len]);
            }
            Part::Payload => self.payload(piece, findings),
            Part::Broken => {}
        }
    }

    fn payload(&mut self, piece: &[u8], findings: &mut Findings) {
        match self.payload {
            Payload::Event => {
                self.walker.feed(piece, findings);
            }
            Payload::Wrapped => {
                let mut sink =
                    Unwrap { base64: &mut self.base64, walker: &mut self.walker, findings };
                self.outer.feed(piece, &mut sink);
            }
            Payload::Other => {}
        }
    }

    fn part_ends(&mut self, findings: &mut Findings) {
        self.read = 0;
        match self.part {
            Part::Prelude => match lengths(&self.small) {
                Some((headers, payload)) => {
                    self.headers_len = headers;
                    self.payload_len = payload;
                    self.part = Part::Headers;
                    if headers == 0 {
                        self.headers_end(findings);
                    }
                }
                None => self.breaks(findings),
            },
            Part::Headers => self.headers_end(findings),
            Part::Payload => self.part = Part::Trailer,
            Part::Trailer => {
                let [a, b, c, d, ..] = self.small;
                if u32::from_be_bytes([a, b, c, d]) == self.crc.value() {
                    self.frame_ends(findings);
                } else {
                    self.breaks(findings);
                }
            }
            Part::Broken => {}
        }
    }

    fn breaks(&mut self, findings: &mut Findings) {
        *findings = self.before.clone();
        self.part = Part::Broken;
    }

    fn headers_end(&mut self, findings: &mut Findings) {
        self.part = if self.payload_len > 0 { Part::Payload } else { Part::Trailer };
        let mut kind = Kind::default();
        let headers = self.headers.get(..self.headers_len as usize).unwrap_or_default();
        for (name, value) in Headers(headers) {
            match name {
                b":event-type" => kind.event = value,
                b":message-type" => kind.message = value,
                b":exception-type" | b":error-code" => kind.code = value,
                b":error-message" => kind.text = value,
                _ => {}
            }
        }
        self.ends = false;
        self.payload = Payload::Other;
        self.walker = Walker::new(trie::ROOT);
        if matches!(kind.message, b"exception" | b"error") {
            findings.fails("exception");
            if !kind.code.is_empty() {
                findings.tell(TextKind::Code, kind.code);
            }
            if !kind.text.is_empty() {
                findings.tell(TextKind::Message, kind.text);
            }
            self.payload = Payload::Event;
            return;
        }
        match kind.event {
            b"chunk" if self.path.says(PathSays::AgentText) => {}
            b"chunk" => {
                findings.means(Meaning::Opens(Format::BedrockInvoke));
                self.payload = Payload::Wrapped;
                self.outer.reset();
                self.base64 = Base64::default();
            }
            b"metadata" => {
                self.ends = !self.path.says(PathSays::ManyCalls);
                findings.means(Meaning::Opens(Format::BedrockConverse));
                self.walker = Walker::new(trie::METADATA);
                self.payload = Payload::Event;
            }
            event => {
                for (name, meaning) in FRAMES {
                    if name.as_bytes() == event {
                        findings.means(*meaning);
                    }
                }
                self.payload = Payload::Event;
            }
        }
    }

    fn frame_ends(&mut self, findings: &mut Findings) {
        findings.document_ends();
        findings.ended |= self.ends;
        self.part = Part::Prelude;
        self.crc = Crc::new();
    }
}

/// What the headers say a frame is.
#[derive(Default)]
struct Kind<'a> {
    event: &'a [u8],
    message: &'a [u8],
    code: &'a [u8],
    text: &'a [u8],
}

/// The headers that are texts.
struct Headers<'a>(&'a [u8]);

impl<'a> Headers<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn length(&mut self) -> Option<usize> {
        let bytes = self.take(2)?;
        Some(usize::from(bytes[0]) << 8 | usize::from(bytes[1]))
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let len = usize::from(*self.take(1)?.first()?);
        let name = self.take(len)?;
        let len = match *self.take(1)?.first()? {
            0 | 1 => 0,
            2 => 1,
            3 => 2,
            4 => 4,
            5 | 8 => 8,
            6 | 7 => self.length()?,
            9 => 16,
            _ => return None,
        };
        Some((name, self.take(len)?))
    }
}

/// Decodes the one text of interest and reads it as a document.
struct Unwrap<'a> {
    base64: &'a mut Base64,
    walker: &'a mut Walker,
    findings: &'a mut Findings,
}

impl Sink for Unwrap<'_> {
    fn text(&mut self, action: Action, piece: &[u8]) {
        match action {
            Action::Nested => self.base64.decode(piece, |decoded| {
                self.walker.feed(decoded, self.findings);
            }),
            action => self.findings.text(action, piece),
        }
    }

    fn text_begins(&mut self, action: Action) {
        if action != Action::Nested {
            self.findings.text_begins(action);
        }
    }

    fn object(&mut self, _: Action, _: bool) {}
    fn figure(&mut self, _: Field, _: Op, _: Kin, _: u64) {}
    fn number(&mut self, _: Action, _: Option<u64>) {}
    fn word(&mut self, _: Word, _: Option<&[u8]>) {}
    fn boolean(&mut self, _: Action, _: bool) {}
    fn present(&mut self, _: Action) {}
}
