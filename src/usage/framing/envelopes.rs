//! The messages of gRPC, gRPC-Web and Connect, and the one that ends their streams.
//!
//! ```text
//! flags   length   message …
//! 1 byte  4 bytes
//! ```
//!
//! | protocol | flag | what ends the stream |
//! | --- | --- | --- |
//! | gRPC | | the trailers, which are no part of the body |
//! | gRPC-Web | `0x80` | the trailers, as a block of lines |
//! | Connect | `0x02` | a JSON object, with the error if there is one |
//!
//! Messages are protobuf, which cannot be read without its schema, or JSON documents. The flag
//! `0x01` marks a compressed message. Only the one at the end is decompressed then: it decides the
//! outcome.
//!
//! In `grpc-web-text` all of it is base64, where each piece that the server flushed may be padded.

use http::{HeaderMap, HeaderValue};

use super::base64::Base64;
use crate::usage::decompress::Encoding;
use crate::usage::extract::Extractor;
use crate::usage::json::{self, Scanner};
use crate::usage::rpc_status::{GrpcStatus, MAX_MESSAGE, connect_class};
use crate::usage::trace::StatusPlace;

/// The length of the flags and the length.
const PREFIX: usize = 5;
/// The flag of a compressed message.
const COMPRESSED: u8 = 0x01;
/// The longest line of trailers that is kept, or compressed end: a message, and the name before it.
const MAX_LINE: usize = MAX_MESSAGE + 64;
/// More than the digits of any status.
const MAX_CODE: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::usage) enum Protocol {
    Grpc,
    GrpcWeb,
    Connect,
}

impl Protocol {
    /// The flag of the message that ends the stream.
    fn end_flag(self) -> u8 {
        match self {
            Self::Grpc => 0,
            Self::GrpcWeb => 0x80,
            Self::Connect => 0x02,
        }
    }
}

/// How the messages of a response are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::usage) struct RpcType {
    pub(in crate::usage) protocol: Protocol,
    /// The messages are JSON.
    json: bool,
    /// The body is base64.
    text: bool,
    compression: Compression,
}

/// The compression of single messages, which their flags announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
    /// None, or an unknown one.
    Other,
}

impl RpcType {
    /// The protocol of a media type, without its parameters.
    pub(super) fn parse(essence: &str) -> Option<Self> {
        let name = essence.to_ascii_lowercase();
        let name = name.strip_prefix("application/")?;
        let (protocol, codec) = name.split_once('+').unwrap_or((name, ""));
        let (protocol, text) = match protocol {
            "grpc" => (Protocol::Grpc, false),
            "grpc-web" => (Protocol::GrpcWeb, false),
            "grpc-web-text" => (Protocol::GrpcWeb, true),
            "connect" => (Protocol::Connect, false),
            _ => return None,
        };
        Some(Self { protocol, json: codec == "json", text, compression: Compression::Other })
    }

    /// Takes the compression of messages from the head of the response.
    pub(in crate::usage) fn with_compression(self, headers: &HeaderMap) -> Self {
        let name = match self.protocol {
            Protocol::Grpc | Protocol::GrpcWeb => "grpc-encoding",
            Protocol::Connect => "connect-content-encoding",
        };
        let coding = headers.get(name).map(HeaderValue::as_bytes);
        let compression = match coding.unwrap_or_default() {
            b"gzip" => Compression::Gzip,
            b"deflate" => Compression::Deflate,
            b"br" => Compression::Brotli,
            b"zstd" => Compression::Zstd,
            _ => Compression::Other,
        };
        Self { compression, ..self }
    }

    /// Whether the body has anything to read.
    pub(super) fn is_readable(self) -> bool {
        self.protocol != Protocol::Grpc || self.json
    }

    fn decoder(self) -> Encoding {
        let name = match self.compression {
            Compression::Gzip => "gzip",
            Compression::Deflate => "deflate",
            Compression::Brotli => "br",
            Compression::Zstd => "zstd",
            Compression::Other => return Encoding::Unsupported,
        };
        Encoding::new([&HeaderValue::from_static(name)], false)
    }
}

/// What is in the message at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// Something that is not read.
    Opaque,
    Document,
    /// The end of the stream.
    End,
    CompressedEnd,
}

/// A reader of messages.
// It owns no other memory: each more that does would make the end of any other body longer.
#[derive(Debug)]
pub(super) struct Envelopes {
    rpc: RpcType,
    base64: Base64,
    prefix: [u8; PREFIX],
    /// How many bytes of the prefix were read.
    prefix_len: usize,
    /// How many bytes of the message are to come.
    left: u32,
    content: Content,
    scanner: Scanner,
    /// The end of the stream, as far as it was read, if it is compressed.
    compressed: BoundedText<MAX_LINE>,
    trailers: TrailerLines,
    /// The body is not of this protocol.
    is_foreign: bool,
}

impl Envelopes {
    pub(super) fn new(rpc: RpcType) -> Self {
        Self {
            rpc,
            base64: Base64::default(),
            prefix: [0; PREFIX],
            prefix_len: 0,
            left: 0,
            content: Content::Opaque,
            scanner: Scanner::new(json::ROOT),
            compressed: BoundedText::NONE,
            trailers: TrailerLines::NONE,
            is_foreign: false,
        }
    }

    pub(super) fn feed(&mut self, bytes: &[u8], extractor: &mut Extractor) {
        if self.rpc.text {
            let mut base64 = self.base64;
            base64.decode(bytes, |decoded| self.read(decoded, extractor));
            self.base64 = base64;
        } else {
            self.read(bytes, extractor);
        }
    }

    fn read(&mut self, mut bytes: &[u8], extractor: &mut Extractor) {
        while !bytes.is_empty() && !extractor.has_ended() && !self.is_foreign {
            if self.prefix_len < PREFIX {
                let (piece, rest) = split(bytes, PREFIX - self.prefix_len);
                self.prefix[self.prefix_len..][..piece.len()].copy_from_slice(piece);
                self.prefix_len += piece.len();
                bytes = rest;
                if self.prefix_len < PREFIX {
                    return;
                }
                self.begin_message();
            } else {
                let (piece, rest) = split(bytes, usize::try_from(self.left).unwrap_or(usize::MAX));
                self.read_message(piece, extractor);
                self.left -= piece.len() as u32;
                bytes = rest;
            }
            if self.left == 0 && !self.is_foreign {
                self.end_message(extractor);
            }
        }
    }

    fn begin_message(&mut self) {
        let [flags, length @ ..] = self.prefix;
        let end_flag = self.rpc.protocol.end_flag();
        self.left = u32::from_be_bytes(length);
        self.is_foreign = flags & !(COMPRESSED | end_flag) != 0;
        let is_compressed = flags & COMPRESSED != 0;
        self.content = if flags & end_flag != 0 {
            if is_compressed { Content::CompressedEnd } else { Content::End }
        } else if self.rpc.json && !is_compressed {
            Content::Document
        } else {
            Content::Opaque
        };
    }

    fn read_message(&mut self, piece: &[u8], extractor: &mut Extractor) {
        match self.content {
            Content::Opaque => {}
            Content::Document => {
                self.scanner.feed(piece, extractor);
            }
            Content::End => self.read_end(piece, extractor),
            Content::CompressedEnd => self.compressed.push(piece),
        }
    }

    fn read_end(&mut self, piece: &[u8], extractor: &mut Extractor) {
        match self.rpc.protocol {
            Protocol::GrpcWeb => self.trailers.read(piece),
            Protocol::Grpc | Protocol::Connect => {
                self.scanner.feed(piece, extractor);
            }
        }
    }

    fn end_message(&mut self, extractor: &mut Extractor) {
        self.prefix_len = 0;
        match self.content {
            Content::Opaque => {}
            Content::Document => {
                self.scanner.finish(extractor);
                extractor.end_message(self.scanner.document_key_sets());
                self.scanner.reset();
            }
            Content::End => self.end_stream(extractor),
            Content::CompressedEnd => {
                if !self.decompress_end(extractor) {
                    // The status is there, but cannot be read.
                    return extractor.end_stream();
                }
                self.end_stream(extractor);
            }
        }
    }

    /// Reads a compressed end. Whether that was possible.
    fn decompress_end(&mut self, extractor: &mut Extractor) -> bool {
        let compressed = std::mem::replace(&mut self.compressed, BoundedText::NONE);
        let Encoding::Encoded(mut decoder) = self.rpc.decoder() else { return false };
        decoder.decode(compressed.bytes(), |decoded| self.read_end(decoded, extractor));
        decoder.finish(|decoded| self.read_end(decoded, extractor));
        !decoder.has_failed() && !compressed.is_full()
    }

    fn end_stream(&mut self, extractor: &mut Extractor) {
        match self.rpc.protocol {
            Protocol::GrpcWeb => {
                if let Some(status) = self.trailers.finish() {
                    extractor.end_call(status, StatusPlace::Body);
                }
            }
            Protocol::Grpc | Protocol::Connect => {
                self.scanner.finish(extractor);
                extractor.end_stream_with(self.scanner.document_key_sets(), connect_class);
            }
        }
    }
}

fn split(bytes: &[u8], at: usize) -> (&[u8], &[u8]) {
    bytes.split_at(at.min(bytes.len()))
}

/// A text, or its beginning.
#[derive(Debug)]
struct BoundedText<const MAX: usize> {
    bytes: [u8; MAX],
    len: usize,
}

impl<const MAX: usize> BoundedText<MAX> {
    const NONE: Self = Self { bytes: [0; MAX], len: 0 };

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Whether there may have been more.
    fn is_full(&self) -> bool {
        self.len == MAX
    }

    fn push(&mut self, piece: &[u8]) {
        let len = piece.len().min(MAX - self.len);
        self.bytes[self.len..][..len].copy_from_slice(&piece[..len]);
        self.len += len;
    }

    fn set(&mut self, text: &[u8]) {
        self.len = 0;
        self.push(text);
    }
}

/// Trailers as lines of names and values. Only the status is kept.
#[derive(Debug)]
struct TrailerLines {
    line: BoundedText<MAX_LINE>,
    code: BoundedText<MAX_CODE>,
    has_code: bool,
    message: BoundedText<MAX_MESSAGE>,
}

impl TrailerLines {
    const NONE: Self = Self {
        line: BoundedText::NONE,
        code: BoundedText::NONE,
        has_code: false,
        message: BoundedText::NONE,
    };

    fn read(&mut self, mut bytes: &[u8]) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            self.line.push(&bytes[..end]);
            self.end_line();
            bytes = &bytes[end + 1..];
        }
        self.line.push(bytes);
    }

    fn end_line(&mut self) {
        let line = self.line.bytes();
        if let Some(colon) = memchr::memchr(b':', line) {
            let (name, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
            if name.eq_ignore_ascii_case(b"grpc-status") {
                self.code.set(value);
                self.has_code = true;
            } else if name.eq_ignore_ascii_case(b"grpc-message") {
                self.message.set(value);
            }
        }
        self.line.set(b"");
    }

    /// The end of the block, whose last line need not have an end of its own.
    fn finish(&mut self) -> Option<GrpcStatus> {
        self.end_line();
        self.has_code.then(|| GrpcStatus::new(self.code.bytes(), self.message.bytes()))
    }
}
