//! How an answer is cut into documents, and the choice among the ways.
//!
//! The content type is believed where it can be true. What the body begins with decides
//! where there is none or where it is mistaken: proxies media_type event streams as JSON, and
//! an error may come as JSON where a stream was asked for.

mod base64;
mod events;
mod eventstream;
mod json;
mod sse;

use http::HeaderValue;

use self::events::Events;
use self::eventstream::{EventStream, PRELUDE};
use self::json::Json;
use self::sse::Sse;
use super::PathHint;
use super::extract::{Extracted, Extractor};

/// What the content type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MediaType {
    Json,
    /// A document on each line.
    Lines,
    Sse,
    EventStream,
    /// Something else, or nothing.
    Other,
}

impl MediaType {
    /// The media type that a `content-type` header announces.
    #[inline]
    pub(super) fn new(content_type: &HeaderValue) -> Self {
        // That of nearly all documents is told without parsing it.
        if content_type == "application/json" {
            return Self::Json;
        }
        Self::parse(content_type)
    }

    fn parse(content_type: &HeaderValue) -> Self {
        let Ok(content_type) = str::from_utf8(content_type.as_bytes()) else { return Self::Other };
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
enum Framer {
    /// Not known yet; this is how the body begins.
    Unknown {
        begin: [u8; PRELUDE],
        len: u8,
    },
    Json(Json),
    Sse(Events<Sse>),
    EventStream(Box<EventStream>),
    /// Nothing that can be read.
    Opaque,
}

/// An answer, cut into documents.
#[derive(Debug)]
pub(super) struct Framing {
    media_type: MediaType,
    path: PathHint,
    framer: Framer,
}

/// Whether a body that begins with this byte is JSON, and nothing else.
fn begins_json(byte: u8) -> bool {
    matches!(byte, b'{' | b'[' | b'"')
}

/// What the first bytes of a body say.
enum Guess {
    Is(Framer),
    /// It takes more bytes to tell.
    Undecided,
}

const SSE_FIELDS: [&[u8]; 5] = [b"data:", b"event:", b"id:", b"retry:", b":"];
const BOM: &[u8] = b"\xef\xbb\xbf";

impl Framing {
    #[inline]
    pub(super) fn new(media_type: MediaType, path: PathHint) -> Self {
        let framer = if media_type == MediaType::EventStream {
            Framer::EventStream(Box::new(EventStream::new(path)))
        } else {
            Framer::Unknown { begin: [0; PRELUDE], len: 0 }
        };
        Self { media_type, path, framer }
    }

    /// Whether the answer comes in events, as far as its beginning tells.
    pub(super) fn is_stream(&self) -> bool {
        match &self.framer {
            Framer::Sse(_) | Framer::EventStream(_) => true,
            Framer::Json(_) => self.media_type == MediaType::Lines,
            Framer::Unknown { .. } | Framer::Opaque => {
                !matches!(self.media_type, MediaType::Json | MediaType::Other)
            }
        }
    }

    #[inline]
    pub(super) fn feed(&mut self, bytes: &[u8], extractor: &mut Extractor) {
        // The beginning of most bodies.
        if let (Framer::Unknown { len: 0, .. }, Some(first)) = (&self.framer, bytes.first())
            && begins_json(*first)
        {
            self.framer = Framer::Json(Json::new(self.media_type == MediaType::Lines));
            extractor.is_stream = false;
        }
        match &mut self.framer {
            Framer::Json(json) => json.feed(bytes, extractor),
            Framer::Sse(sse) => sse.feed(bytes, extractor),
            Framer::EventStream(stream) => stream.feed(bytes, extractor),
            Framer::Opaque => {}
            Framer::Unknown { .. } => self.detect(bytes, extractor),
        }
    }

    #[cold]
    fn detect(&mut self, mut bytes: &[u8], extractor: &mut Extractor) {
        while let Framer::Unknown { begin, len } = &mut self.framer {
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
                self.framer = Framer::Unknown { begin: [0; PRELUDE], len: 0 };
            } else if let Guess::Is(framer) = self.guess(&begin, len) {
                self.choose(framer, &begin[..len], extractor);
            }
        }
        self.feed(bytes, extractor);
    }

    fn choose(&mut self, framer: Framer, begin: &[u8], extractor: &mut Extractor) {
        extractor.is_stream = matches!(framer, Framer::Sse(_) | Framer::EventStream(_));
        self.framer = framer;
        self.feed(begin, extractor);
    }

    fn guess(&self, begin: &[u8; PRELUDE], len: usize) -> Guess {
        let seen = &begin[..len];
        if SSE_FIELDS.iter().any(|field| seen.starts_with(field))
            || self.media_type == MediaType::Sse && !BOM.starts_with(seen)
        {
            return Guess::Is(Framer::Sse(Events::new(Sse::new())));
        }
        let undecided = len < PRELUDE
            && (SSE_FIELDS.iter().any(|field| field.starts_with(seen))
                || BOM.starts_with(seen)
                || seen[0] == 0);
        if undecided {
            return Guess::Undecided;
        }
        if len == PRELUDE && eventstream::is_prelude(begin) {
            return Guess::Is(Framer::EventStream(Box::new(EventStream::new(self.path))));
        }
        match self.media_type {
            MediaType::Json | MediaType::Lines => {
                Guess::Is(Framer::Json(Json::new(self.media_type == MediaType::Lines)))
            }
            MediaType::Sse => Guess::Is(Framer::Sse(Events::new(Sse::new()))),
            MediaType::EventStream | MediaType::Other => Guess::Is(Framer::Opaque),
        }
    }

    /// There is nothing more to come.
    #[inline]
    pub(super) fn finish(&mut self, extractor: &mut Extractor) {
        if let Framer::Unknown { begin, len } = self.framer
            && len > 0
        {
            let framer = match self.media_type {
                MediaType::Sse => Framer::Sse(Events::new(Sse::new())),
                MediaType::Json | MediaType::Lines => Framer::Json(Json::new(false)),
                MediaType::EventStream | MediaType::Other => Framer::Opaque,
            };
            self.choose(framer, &begin[..usize::from(len)], extractor);
        }
        match &mut self.framer {
            Framer::Json(json) => json.finish(extractor),
            Framer::Sse(sse) => sse.finish(extractor),
            Framer::EventStream(stream) => stream.finish(extractor),
            Framer::Unknown { .. } | Framer::Opaque => {}
        }
    }

    /// What was told for certain.
    pub(super) fn committed<'a>(&'a self, extractor: &'a Extractor) -> &'a Extracted {
        match &self.framer {
            Framer::EventStream(stream) => stream.committed(extractor),
            _ => extractor.extracted(),
        }
    }

    /// Whether the body stops in the middle of something that it must not stop in.
    pub(super) fn is_truncated(&self, extracted: &Extracted) -> bool {
        match &self.framer {
            Framer::Json(json) => {
                json.is_open() && (self.media_type != MediaType::Other || extracted.is_recognized())
            }
            Framer::EventStream(stream) => stream.is_open(),
            Framer::Sse(_) | Framer::Unknown { .. } | Framer::Opaque => false,
        }
    }

    /// Whether the body is one whole document, or several.
    pub(super) fn is_whole(&self) -> bool {
        matches!(&self.framer, Framer::Json(json) if json.is_whole())
    }
}
