//! How an answer is cut into documents, and the choice among the ways.
//!
//! The content type is believed where it can be true. What the body begins with decides
//! where there is none or where it is mistaken: proxies label event streams as JSON, and
//! an error may come as JSON where a stream was asked for.

mod base64;
mod eventstream;
mod json;
mod sse;

use self::eventstream::{EventStream, PRELUDE};
use self::json::Json;
use self::sse::Sse;
use super::PathHint;
use super::findings::Findings;

/// What the content type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    Json,
    /// A document on each line.
    Lines,
    Sse,
    EventStream,
    /// Something else, or nothing.
    Other,
}

impl Label {
    pub(super) fn new(content_type: Option<&str>) -> Self {
        let Some(content_type) = content_type else { return Self::Other };
        if content_type == "application/json" {
            return Self::Json;
        }
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let is = |name: &str| essence.eq_ignore_ascii_case(name);
        let has = |part: &[u8]| {
            essence.as_bytes().windows(part.len()).any(|at| at.eq_ignore_ascii_case(part))
        };
        if is("application/json") {
            Self::Json
        } else if is("text/event-stream") {
            Self::Sse
        } else if is("application/vnd.amazon.eventstream") {
            Self::EventStream
        } else if has(b"ndjson") || has(b"jsonl") || is("application/stream+json") {
            Self::Lines
        } else if has(b"json") {
            Self::Json
        } else {
            Self::Other
        }
    }
}

/// How an answer is cut into documents.
#[derive(Debug)]
enum Frames {
    /// Not known yet; this is how the body begins.
    Unknown {
        begin: [u8; PRELUDE],
        len: u8,
    },
    Json(Json),
    Sse(Sse),
    EventStream(Box<EventStream>),
    /// Nothing that can be read.
    Opaque,
}

/// An answer, cut into documents.
#[derive(Debug)]
pub(super) struct Framing {
    label: Label,
    path: PathHint,
    frames: Frames,
}

/// Whether a body that begins with this byte is JSON, and nothing else.
fn begins_json(byte: u8) -> bool {
    matches!(byte, b'{' | b'[' | b'"')
}

/// What the first bytes of a body say.
enum Guess {
    Is(Frames),
    /// It takes more bytes to tell.
    Undecided,
}

const FIELDS: [&[u8]; 5] = [b"data:", b"event:", b"id:", b"retry:", b":"];
const BOM: &[u8] = b"\xef\xbb\xbf";

impl Framing {
    #[inline]
    pub(super) fn new(label: Label, path: PathHint) -> Self {
        let frames = if label == Label::EventStream {
            Frames::EventStream(Box::new(EventStream::new(path)))
        } else {
            Frames::Unknown { begin: [0; PRELUDE], len: 0 }
        };
        Self { label, path, frames }
    }

    /// Whether the answer comes in events, as far as its beginning tells.
    pub(super) fn is_stream(&self) -> bool {
        match &self.frames {
            Frames::Sse(_) | Frames::EventStream(_) => true,
            Frames::Json(_) => self.label == Label::Lines,
            Frames::Unknown { .. } | Frames::Opaque => {
                !matches!(self.label, Label::Json | Label::Other)
            }
        }
    }

    #[inline]
    pub(super) fn feed(&mut self, bytes: &[u8], findings: &mut Findings) {
        // The beginning of most bodies.
        if let (Frames::Unknown { len: 0, .. }, Some(first)) = (&self.frames, bytes.first())
            && begins_json(*first)
        {
            self.frames = Frames::Json(Json::new(self.label == Label::Lines));
            findings.streaming = false;
        }
        match &mut self.frames {
            Frames::Json(json) => json.feed(bytes, findings),
            Frames::Sse(sse) => sse.feed(bytes, findings),
            Frames::EventStream(stream) => stream.feed(bytes, findings),
            Frames::Opaque => {}
            Frames::Unknown { .. } => self.begin(bytes, findings),
        }
    }

    #[cold]
    fn begin(&mut self, mut bytes: &[u8], findings: &mut Findings) {
        while let Frames::Unknown { begin, len } = &mut self.frames {
            let used = usize::from(*len);
            if used == 0 {
                // White space before anything says nothing, and is dropped.
                let start = bytes.iter().position(|byte| !byte.is_ascii_whitespace());
                let Some(start) = start else { return };
                bytes = &bytes[start..];
                if begins_json(bytes[0]) {
                    break;
                }
            }
            let Some((byte, rest)) = bytes.split_first() else { return };
            begin[used] = *byte;
            *len += 1;
            bytes = rest;
            let (begin, len) = (*begin, used + 1);
            if begin[..len] == *BOM {
                self.frames = Frames::Unknown { begin: [0; PRELUDE], len: 0 };
            } else if let Guess::Is(frames) = self.guess(&begin, len) {
                self.settle(frames, &begin[..len], findings);
            }
        }
        self.feed(bytes, findings);
    }

    fn settle(&mut self, frames: Frames, begin: &[u8], findings: &mut Findings) {
        findings.streaming = matches!(frames, Frames::Sse(_) | Frames::EventStream(_));
        self.frames = frames;
        self.feed(begin, findings);
    }

    fn guess(&self, begin: &[u8; PRELUDE], len: usize) -> Guess {
        let seen = &begin[..len];
        if FIELDS.iter().any(|field| seen.starts_with(field))
            || self.label == Label::Sse && !BOM.starts_with(seen)
        {
            return Guess::Is(Frames::Sse(Sse::new()));
        }
        let undecided = len < PRELUDE
            && (FIELDS.iter().any(|field| field.starts_with(seen))
                || BOM.starts_with(seen)
                || seen[0] == 0);
        if undecided {
            return Guess::Undecided;
        }
        if len == PRELUDE && eventstream::is_prelude(begin) {
            return Guess::Is(Frames::EventStream(Box::new(EventStream::new(self.path))));
        }
        match self.label {
            Label::Json | Label::Lines => {
                Guess::Is(Frames::Json(Json::new(self.label == Label::Lines)))
            }
            Label::Sse => Guess::Is(Frames::Sse(Sse::new())),
            Label::EventStream | Label::Other => Guess::Is(Frames::Opaque),
        }
    }

    /// There is nothing more to come.
    #[inline]
    pub(super) fn finish(&mut self, findings: &mut Findings) {
        if let Frames::Unknown { begin, len } = self.frames
            && len > 0
        {
            let frames = match self.label {
                Label::Sse => Frames::Sse(Sse::new()),
                Label::Json | Label::Lines => Frames::Json(Json::new(false)),
                Label::EventStream | Label::Other => Frames::Opaque,
            };
            self.settle(frames, &begin[..usize::from(len)], findings);
        }
        match &mut self.frames {
            Frames::Json(json) => json.finish(findings),
            Frames::Sse(sse) => sse.finish(findings),
            Frames::EventStream(stream) => stream.finish(findings),
            Frames::Unknown { .. } | Frames::Opaque => {}
        }
    }

    /// What was told for certain.
    pub(super) fn settled<'a>(&'a self, findings: &'a Findings) -> &'a Findings {
        match &self.frames {
            Frames::EventStream(stream) => stream.settled(findings),
            _ => findings,
        }
    }

    /// Whether the body stops in the middle of something that it must not stop in.
    pub(super) fn is_cut(&self, findings: &Findings) -> bool {
        match &self.frames {
            Frames::Json(json) => {
                json.is_open() && (self.label != Label::Other || findings.is_recognised())
            }
            Frames::EventStream(stream) => stream.is_open(),
            Frames::Sse(_) | Frames::Unknown { .. } | Frames::Opaque => false,
        }
    }

    /// Whether the body is one whole document, or several.
    pub(super) fn is_whole(&self) -> bool {
        matches!(&self.frames, Frames::Json(json) if json.is_whole())
    }
}
