//! [`Codec`]: undoes one coding.

use compression_codecs::core::util::{PartialBuffer, WriteBuffer};
use compression_codecs::zstd::params::DParameter;
use compression_codecs::{
    BrotliDecoder, DecodeV2, DeflateDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder,
};

use super::decoder::{Budget, Out};

/// How many bytes are decoded at a time.
const CHUNK: usize = 8 << 10;
/// The largest window of zstd in a body, as RFC 9659 has it: 8 MiB.
const ZSTD_WINDOW_LOG: u32 = 23;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// The bytes cannot be decoded, or their output exceeds the budget.
pub(super) struct Undecodable;

pub(super) struct Codec {
    method: Method,
    decoder: Box<dyn DecodeV2 + Send + Sync>,
    state: State,
    buffer: [u8; CHUNK],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Decoding,
    /// A member of the stream has ended. Another may follow.
    BetweenMembers,
    Ended,
}

impl Codec {
    /// Decodes a body that begins with these bytes.
    pub(super) fn new(method: Method, first: &[u8]) -> Self {
        let decoder: Box<dyn DecodeV2 + Send + Sync> = match method {
            Method::Gzip => Box::new(GzipDecoder::new()),
            // RFC 9110 means zlib by it; some servers send bare deflate.
            Method::Deflate if is_zlib(first) => Box::new(ZlibDecoder::new()),
            Method::Deflate => Box::new(DeflateDecoder::new()),
            Method::Brotli => Box::new(BrotliDecoder::new()),
            Method::Zstd => {
                let window = DParameter::window_log_max(ZSTD_WINDOW_LOG);
                Box::new(ZstdDecoder::new_with_params(&[window]))
            }
        };
        Self { method, decoder, state: State::Decoding, buffer: [0; CHUNK] }
    }

    /// Decodes a piece, and passes the output on.
    pub(super) fn decode(
        &mut self,
        piece: &[u8],
        budget: &mut Budget,
        out: &mut Out<'_>,
    ) -> Result<(), Undecodable> {
        let mut input = PartialBuffer::new(piece);
        loop {
            match self.state {
                State::Ended => return Ok(()),
                State::BetweenMembers if input.unwritten().is_empty() => return Ok(()),
                State::BetweenMembers => {
                    self.state = match self.decoder.reinit() {
                        Ok(()) if self.method != Method::Brotli => State::Decoding,
                        _ => State::Ended,
                    };
                    continue;
                }
                State::Decoding => {}
            }
            let (before, had_input) = (input.written_len(), !input.unwritten().is_empty());
            let mut output = WriteBuffer::new_initialized(&mut self.buffer);
            let result = self.decoder.decode(&mut input, &mut output);
            let full = output.has_no_spare_space();
            let decoded = output.written();
            let progressed = input.written_len() > before || !decoded.is_empty();
            if !decoded.is_empty() {
                if !budget.spend(decoded.len()) {
                    return Err(Undecodable);
                }
                out(decoded, budget);
            }
            match result {
                Ok(true) => self.state = State::BetweenMembers,
                Ok(false) => {}
                // Some codecs report an error if there is nothing left to do.
                Err(_) if !had_input && !progressed => return Ok(()),
                Err(_) => return Err(Undecodable),
            }
            if !progressed || (input.unwritten().is_empty() && !full) {
                return Ok(());
            }
        }
    }
}

fn is_zlib(first: &[u8]) -> bool {
    first.first().is_some_and(|first| first & 0x0f == 8 && first >> 4 <= 7)
}
