//! Decodes a copy of a compressed body, so that the framing can read it.
//!
//! The caller still receives the compressed bytes. The decoder works in chunks of 8 KiB, and its
//! output is bounded: 16 MiB are free, and beyond them each byte received may stand for 200. A body
//! that exceeds this is a decompression bomb, or not worth the time; it is not read any further.

use http::HeaderValue;

/// The encoding of a body.
#[derive(Debug)]
pub(super) enum Encoding {
    /// None.
    Identity,
    #[cfg(feature = "decompression")]
    Compressed(Box<Decoder>),
    /// One that cannot be decoded here. The body is not read.
    Unsupported,
}

impl Encoding {
    /// The encoding that a `content-encoding` header announces.
    pub(super) fn new(content_encoding: &HeaderValue) -> Self {
        let Ok(name) = str::from_utf8(content_encoding.as_bytes()) else { return Self::Identity };
        let name = name.trim();
        if name.is_empty() || name.eq_ignore_ascii_case("identity") {
            return Self::Identity;
        }
        #[cfg(feature = "decompression")]
        if let Some(decoder) = Decoder::new(name) {
            return Self::Compressed(Box::new(decoder));
        }
        Self::Unsupported
    }
}

#[cfg(feature = "decompression")]
pub(super) use self::decoder::Decoder;

#[cfg(feature = "decompression")]
mod decoder {
    use std::fmt;

    use compression_codecs::core::util::{PartialBuffer, WriteBuffer};
    use compression_codecs::zstd::params::DParameter;
    use compression_codecs::{
        BrotliDecoder, DecodeV2, DeflateDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder,
    };

    /// How many bytes are decoded at a time.
    const CHUNK: usize = 8 << 10;
    /// The output that every body may have.
    const FREE_OUTPUT: u64 = 16 << 20;
    /// The output that each received byte may add. Text is compressed to about a twentieth.
    const MAX_RATIO: u64 = 200;
    /// The largest window of zstd in a body, as RFC 9659 has it: 8 MiB.
    const ZSTD_WINDOW_LOG: u32 = 23;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Method {
        Gzip,
        Deflate,
        Brotli,
        Zstd,
    }

    /// Decodes one body.
    pub(in crate::usage) struct Decoder {
        method: Method,
        codec: Option<Box<dyn DecodeV2 + Send + Sync>>,
        read: u64,
        written: u64,
        state: State,
        buffer: [u8; CHUNK],
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum State {
        /// No byte was received.
        New,
        /// The body is not compressed, whatever its headers say.
        Passthrough,
        Decoding,
        /// A member of the stream has ended. Another may follow.
        BetweenMembers,
        Ended,
        Failed,
    }

    impl Decoder {
        pub(super) fn new(name: &str) -> Option<Self> {
            let method = match name.to_ascii_lowercase().as_str() {
                "gzip" | "x-gzip" => Method::Gzip,
                "deflate" => Method::Deflate,
                "br" => Method::Brotli,
                "zstd" => Method::Zstd,
                _ => return None,
            };
            Some(Self {
                method,
                codec: None,
                read: 0,
                written: 0,
                state: State::New,
                buffer: [0; CHUNK],
            })
        }

        /// Whether the rest of the body cannot be decoded.
        pub(in crate::usage) fn has_failed(&self) -> bool {
            self.state == State::Failed
        }

        /// Decodes a piece. `out` receives the output, and returns whether it wants more.
        pub(in crate::usage) fn decode(
            &mut self,
            piece: &[u8],
            mut out: impl FnMut(&[u8]) -> bool,
        ) {
            let Some(first) = piece.first() else { return };
            if self.state == State::New {
                self.begin(*first);
            }
            if self.state == State::Passthrough {
                out(piece);
                return;
            }
            self.read = self.read.saturating_add(piece.len() as u64);
            let Some(codec) = self.codec.as_deref_mut() else { return };
            let mut input = PartialBuffer::new(piece);
            loop {
                match self.state {
                    State::New | State::Passthrough | State::Ended | State::Failed => return,
                    State::BetweenMembers if input.unwritten().is_empty() => return,
                    State::BetweenMembers => {
                        self.state = match codec.reinit() {
                            Ok(()) if self.method != Method::Brotli => State::Decoding,
                            _ => State::Ended,
                        };
                        continue;
                    }
                    State::Decoding => {}
                }
                let (before, had_input) = (input.written_len(), !input.unwritten().is_empty());
                let mut output = WriteBuffer::new_initialized(&mut self.buffer);
                let result = codec.decode(&mut input, &mut output);
                let full = output.has_no_spare_space();
                let decoded = output.written();
                self.written = self.written.saturating_add(decoded.len() as u64);
                let more = decoded.is_empty() || out(decoded);
                let progressed = input.written_len() > before || !decoded.is_empty();
                match result {
                    Ok(true) => self.state = State::BetweenMembers,
                    Ok(false) if !more => self.state = State::Ended,
                    Ok(false) => {}
                    // Some codecs report an error if there is nothing left to do.
                    Err(_) if !had_input && !progressed => return,
                    // What follows a whole member need not be another.
                    Err(_) if self.written > 0 && self.state == State::BetweenMembers => {
                        self.state = State::Ended;
                    }
                    Err(_) => self.state = State::Failed,
                }
                if self.written > FREE_OUTPUT.saturating_add(self.read.saturating_mul(MAX_RATIO)) {
                    self.state = State::Failed;
                }
                if !progressed || (input.unwritten().is_empty() && !full) {
                    return;
                }
            }
        }

        fn begin(&mut self, first: u8) {
            // Some clients decode a body and leave the header. No JSON or event begins like these.
            let compressed = match self.method {
                Method::Gzip => first == 0x1f,
                Method::Zstd => first == 0x28 || first & 0xf0 == 0x50,
                Method::Deflate | Method::Brotli => true,
            };
            if !compressed {
                self.state = State::Passthrough;
                return;
            }
            self.state = State::Decoding;
            self.codec = Some(match self.method {
                Method::Gzip => Box::new(GzipDecoder::new()),
                // RFC 9110 means zlib by it; some servers send bare deflate.
                Method::Deflate if first & 0x0f == 8 && first >> 4 <= 7 => {
                    Box::new(ZlibDecoder::new())
                }
                Method::Deflate => Box::new(DeflateDecoder::new()),
                Method::Brotli => Box::new(BrotliDecoder::new()),
                Method::Zstd => {
                    let window = DParameter::window_log_max(ZSTD_WINDOW_LOG);
                    Box::new(ZstdDecoder::new_with_params(&[window]))
                }
            });
        }
    }

    impl fmt::Debug for Decoder {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Decoder")
                .field("method", &self.method)
                .field("state", &self.state)
                .field("read", &self.read)
                .field("written", &self.written)
                .finish_non_exhaustive()
        }
    }
}
