//! Finds the JSON documents in a body: a single one, JSON lines, server-sent events, AWS event
//! streams, or the messages of gRPC-Web and Connect.
//!
//! The content type alone does not decide, since it can be missing or wrong: proxies label event
//! streams as JSON, and an error may come as JSON where a stream was asked for. The first bytes
//! decide, up to twelve of them, and the content type only where they fit several framings. A body
//! that fits none is not read.

mod base64;
mod envelopes;
mod events;
mod eventstream;
mod frame_headers;
mod json;
mod sse;

use http::HeaderValue;

use self::envelopes::Envelopes;
pub(super) use self::envelopes::{Protocol, RpcType};
use self::events::Events;
use self::eventstream::{EventStream, PRELUDE};
use self::json::Json;
use self::sse::Sse;
use super::extract::{Extracted, Extractor, UsageParts};
use super::formats::RequestFlag;
use super::response_head::RequestFlags;
use super::skip::EventFilter;
use super::trace::NoAnswer;

/// The framings that content types name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MediaType {
    Json,
    /// A document on each line.
    Lines,
    Sse,
    EventStream,
    Html,
    /// The messages of a remote procedure call.
    Rpc(RpcType),
    /// Another content type, or none.
    Other,
}

impl MediaType {
    /// The media type in a `content-type` header.
    #[inline]
    pub(super) fn new(content_type: &HeaderValue) -> Self {
        // Nearly every document has exactly this one. Parsing it instead takes 220 instructions, 4 %
        // of reading a chat answer.
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
        if is("text/event-stream") {
            Self::Sse
        } else if is("application/vnd.amazon.eventstream") {
            Self::EventStream
        } else if let Some(rpc) = RpcType::parse(essence) {
            Self::Rpc(rpc)
        } else if has(b"ndjson") || has(b"jsonl") || is("application/stream+json") {
            Self::Lines
        } else if has(b"json") {
            Self::Json
        } else if is("text/html") || is("application/xhtml+xml") {
            Self::Html
        } else {
            Self::Other
        }
    }

    /// Whether `grpc-status` tells how the call ended.
    pub(super) fn has_grpc_status(self) -> bool {
        matches!(self, Self::Rpc(rpc) if rpc.protocol != Protocol::Connect)
    }
}

/// Whether a frame of an AWS event stream begins with these bytes.
pub(super) fn is_event_stream(bytes: &[u8]) -> bool {
    bytes.first_chunk().is_some_and(eventstream::is_prelude)
}

/// A body, cut into documents.
#[derive(Debug)]
pub(super) struct Framing {
    media_type: MediaType,
    hint: RequestFlags,
    framer: Framer,
    /// What events have in common, where there are some. It has a place of its own, so that most
    /// framers have nothing to drop.
    filter: Option<Box<EventFilter>>,
}

#[derive(Debug)]
enum Framer {
    /// Too few bytes were read to decide; these are all of them.
    Undetected {
        prefix: [u8; PRELUDE],
        len: u8,
    },
    Json(Json),
    Sse(Sse),
    /// Binary frames or messages. In one box, so that there is less to drop of other framers.
    Binary(Box<Binary>),
    /// A page for people.
    Html,
    /// Nothing that can be read.
    Opaque,
}

/// A framing of binary frames or messages.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it is in a box, and the rare one is in another")]
enum Binary {
    EventStream(EventStream),
    // Larger by far.
    Envelopes(Box<Envelopes>),
}

/// What a line of an event stream may begin with.
const SSE_FIELDS: [&[u8]; 5] = [b"data:", b"event:", b"id:", b"retry:", b":"];
const BOM: &[u8] = b"\xef\xbb\xbf";

impl Framing {
    #[inline]
    pub(super) fn new(media_type: MediaType, hint: RequestFlags) -> Self {
        let framer = if media_type == MediaType::EventStream {
            Framer::Binary(Box::new(Binary::EventStream(EventStream::new(hint))))
        } else {
            Framer::Undetected { prefix: [0; PRELUDE], len: 0 }
        };
        Self { media_type, hint, framer, filter: None }
    }

    /// Forgets all that was read.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.media_type, self.hint);
    }

    /// Whether the response is a stream of events, as far as its first bytes show.
    #[inline]
    pub(super) fn is_stream(&self) -> bool {
        match (&self.framer, self.media_type) {
            (Framer::Json(_) | Framer::Undetected { .. }, MediaType::Json) => false,
            _ => self.is_other_stream(),
        }
    }

    #[cold]
    fn is_other_stream(&self) -> bool {
        match &self.framer {
            Framer::Json(_) => self.media_type == MediaType::Lines,
            Framer::Sse(_) => true,
            Framer::Binary(binary) if matches!(**binary, Binary::EventStream(_)) => true,
            _ => match self.media_type {
                MediaType::Lines | MediaType::Sse | MediaType::EventStream => true,
                // The other protocols do not tell a stream from a single message.
                MediaType::Rpc(rpc) => rpc.protocol == Protocol::Connect,
                MediaType::Json | MediaType::Html | MediaType::Other => false,
            },
        }
    }

    #[inline(always)]
    pub(super) fn feed(&mut self, bytes: &[u8], extractor: &mut Extractor) {
        let Self { framer, filter, .. } = self;
        match framer {
            Framer::Json(json) => json.feed(filter, bytes, extractor),
            Framer::Sse(sse) => Events { reader: sse, filter }.feed(bytes, extractor),
            Framer::Binary(binary) => match &mut **binary {
                Binary::EventStream(stream) => stream.feed(bytes, extractor),
                Binary::Envelopes(envelopes) => envelopes.feed(bytes, extractor),
            },
            Framer::Html | Framer::Opaque => {}
            Framer::Undetected { .. } => self.detect(bytes, extractor),
        }
    }

    /// Reads byte by byte until the framing is known, then feeds it all that was read.
    #[inline(never)]
    fn detect(&mut self, mut bytes: &[u8], extractor: &mut Extractor) {
        while let Framer::Undetected { prefix, len } = &mut self.framer {
            let used = usize::from(*len);
            if used == 0 {
                // White space before anything else belongs to no framing.
                let start = bytes.iter().position(|byte| !byte.is_ascii_whitespace());
                let Some(start) = start else { return };
                bytes = &bytes[start..];
                // Only JSON begins so.
                if matches!(bytes[0], b'{' | b'[' | b'"') {
                    self.framer = Framer::Json(Json::new(self.media_type == MediaType::Lines));
                    extractor.is_stream = false;
                    if let Framer::Json(json) = &mut self.framer {
                        bytes = &bytes[json.feed_first(bytes, extractor)..];
                    }
                    break;
                }
            }
            let Some((byte, rest)) = bytes.split_first() else { return };
            prefix[used] = *byte;
            *len += 1;
            bytes = rest;
            let (prefix, len) = (*prefix, used + 1);
            if prefix[..len] == *BOM {
                self.framer = Framer::Undetected { prefix: [0; PRELUDE], len: 0 };
            } else if let Some(framer) = self.guess(&prefix, len) {
                self.start(framer, &prefix[..len], extractor);
            }
        }
        if !bytes.is_empty() {
            self.feed(bytes, extractor);
        }
    }

    fn start(&mut self, framer: Framer, prefix: &[u8], extractor: &mut Extractor) {
        extractor.is_stream = match &framer {
            Framer::Sse(_) => true,
            Framer::Binary(binary) => matches!(**binary, Binary::EventStream(_)),
            _ => false,
        };
        self.framer = framer;
        self.feed(prefix, extractor);
    }

    /// The framing of a body that begins with these `len` bytes, if they suffice to decide.
    fn guess(&self, prefix: &[u8; PRELUDE], len: usize) -> Option<Framer> {
        let seen = &prefix[..len];
        if matches!(self.media_type, MediaType::Rpc(_)) {
            return Some(self.by_media_type(false));
        }
        if seen[0] == b'<' && self.media_type != MediaType::Other {
            return guess_html(seen).map_or_else(
                || {
                    (len == PRELUDE)
                        .then(|| self.by_media_type(self.media_type == MediaType::Lines))
                },
                Some,
            );
        }
        if SSE_FIELDS.iter().any(|field| seen.starts_with(field))
            || self.media_type == MediaType::Sse && !BOM.starts_with(seen)
        {
            return Some(Framer::Sse(Sse::new()));
        }
        let is_undecided = len < PRELUDE
            && (SSE_FIELDS.iter().any(|field| field.starts_with(seen))
                || BOM.starts_with(seen)
                // The first byte of the length of any frame below 16 MiB.
                || seen[0] == 0);
        if is_undecided {
            return None;
        }
        if len == PRELUDE && eventstream::is_prelude(prefix) {
            let stream = Binary::EventStream(EventStream::new(self.hint));
            return Some(Framer::Binary(Box::new(stream)));
        }
        Some(self.by_media_type(self.media_type == MediaType::Lines))
    }

    /// The framing that the content type names, of a body whose first bytes fit none.
    fn by_media_type(&self, lines: bool) -> Framer {
        match self.media_type {
            MediaType::Json | MediaType::Lines => Framer::Json(Json::new(lines)),
            MediaType::Sse => Framer::Sse(Sse::new()),
            MediaType::Rpc(rpc) if rpc.is_readable() => {
                Framer::Binary(Box::new(Binary::Envelopes(Box::new(Envelopes::new(rpc)))))
            }
            MediaType::EventStream | MediaType::Rpc(_) | MediaType::Html | MediaType::Other => {
                Framer::Opaque
            }
        }
    }

    /// The end of the body.
    #[inline(always)]
    pub(super) fn finish(&mut self, extractor: &mut Extractor) {
        if let Framer::Undetected { prefix, len } = self.framer
            && len > 0
        {
            let framer = self.by_media_type(false);
            self.start(framer, &prefix[..usize::from(len)], extractor);
        }
        let Self { framer, filter, .. } = self;
        match framer {
            Framer::Json(json) => json.finish(filter, extractor),
            Framer::Sse(sse) => Events { reader: sse, filter }.finish(extractor),
            Framer::Binary(binary) => {
                if let Binary::EventStream(stream) = &mut **binary {
                    stream.finish(extractor);
                }
            }
            Framer::Undetected { .. } | Framer::Html | Framer::Opaque => {}
        }
    }

    /// Whether [`has_no_answer`](Self::has_no_answer) needs asking. For most responses it does not.
    #[inline]
    pub(super) fn may_be_empty(&self, extracted: &Extracted) -> bool {
        extracted.has_no_content()
            || extracted.has_no_choice()
            || self.media_type == MediaType::Html
    }

    /// Whether a response that has content would have more than this: there is nothing at all, or a
    /// page for people in place of what the content type announces. `extracted` is what was found.
    pub(super) fn has_no_answer(&self, extracted: &Extracted) -> bool {
        match (&self.framer, self.media_type) {
            _ if self.hint.has(RequestFlag::MayBeEmpty) => false,
            // A call without a message may be fine; one without a status is incomplete.
            (_, MediaType::Rpc(_) | MediaType::Other) => false,
            (_, MediaType::Html) => self.hint.has(RequestFlag::Model),
            (Framer::Html, MediaType::Json) => self.expects_model(),
            (_, MediaType::Json) => {
                let is_empty = match self.framer {
                    Framer::Undetected { .. } => true,
                    // Proxies label event streams as JSON.
                    Framer::Sse(_) => extracted.has_no_content(),
                    _ => false,
                };
                (is_empty || extracted.has_no_choice()) && self.expects_model()
            }
            // A stream that is read may stay idle.
            (_, MediaType::Lines | MediaType::Sse | MediaType::EventStream) => {
                (extracted.has_no_content() || extracted.has_no_choice())
                    && !self.hint.has(RequestFlag::Get)
            }
        }
    }

    /// What there is in place of an answer, where there has to be one.
    #[cold]
    pub(super) fn no_answer(&self, extracted: &Extracted) -> NoAnswer {
        match &self.framer {
            Framer::Html => NoAnswer::Page,
            _ if self.media_type == MediaType::Html => NoAnswer::Page,
            Framer::Undetected { .. } => NoAnswer::Nothing,
            _ if extracted.has_no_choice() => NoAnswer::NoChoices,
            _ => NoAnswer::SignsOfLife,
        }
    }

    /// Whether there are documents in the body, as far as its beginning shows.
    #[cold]
    pub(super) fn is_read(&self) -> bool {
        !matches!(self.framer, Framer::Opaque | Framer::Html)
    }

    fn expects_model(&self) -> bool {
        self.hint.has(RequestFlag::Model) || self.hint.has(RequestFlag::AgentRuntime)
    }

    /// What was extracted and cannot be revoked by a wrong checksum.
    pub(super) fn committed<'a>(&'a self, extractor: &'a Extractor) -> &'a Extracted {
        match &self.framer {
            Framer::Binary(binary) => match &**binary {
                Binary::EventStream(stream) => stream.committed(extractor),
                Binary::Envelopes(_) => extractor.extracted(),
            },
            _ => extractor.extracted(),
        }
    }

    /// The same of what usage objects tell besides their counts.
    #[inline]
    pub(super) fn committed_parts<'a>(
        &'a self,
        extractor: &'a Extractor,
    ) -> Option<&'a UsageParts> {
        match &self.framer {
            Framer::Binary(binary) => match &**binary {
                Binary::EventStream(stream) => stream.committed_parts(extractor),
                Binary::Envelopes(_) => extractor.parts(),
            },
            _ => extractor.parts(),
        }
    }

    /// Whether the body stops in the middle of a document or a frame.
    #[inline(always)]
    pub(super) fn is_truncated(&self, extracted: &Extracted) -> bool {
        match &self.framer {
            // What only begins like JSON need not be any.
            Framer::Json(json) => {
                json.is_open() && (self.media_type != MediaType::Other || extracted.is_recognized())
            }
            Framer::Binary(binary) => match &**binary {
                Binary::EventStream(stream) => stream.is_open(),
                Binary::Envelopes(_) => false,
            },
            Framer::Sse(_) | Framer::Undetected { .. } | Framer::Html | Framer::Opaque => false,
        }
    }

    /// Whether `grpc-status` tells how the call ended.
    pub(super) fn has_grpc_status(&self) -> bool {
        self.media_type.has_grpc_status()
    }

    /// Whether the response is one of a remote procedure call.
    pub(super) fn is_rpc(&self) -> bool {
        matches!(self.media_type, MediaType::Rpc(_))
    }

    /// Whether the end is in the trailers, which are no part of the body.
    pub(super) fn ends_by_trailers(&self) -> bool {
        matches!(self.media_type, MediaType::Rpc(rpc) if rpc.protocol == Protocol::Grpc)
    }

    /// Whether the body is one or several whole documents, and is announced as such.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        self.media_type == MediaType::Json && self.is_whole()
    }

    /// Whether the body is one or several whole documents.
    pub(super) fn is_whole(&self) -> bool {
        matches!(&self.framer, Framer::Json(json) if json.is_whole())
    }
}

/// The framer of a page for people, if these first bytes are those of one.
fn guess_html(seen: &[u8]) -> Option<Framer> {
    let begins = |start: &[u8]| {
        seen.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start))
    };
    [b"<!doctype".as_slice(), b"<html", b"<head", b"<body"]
        .into_iter()
        .any(begins)
        .then_some(Framer::Html)
}
