//! Whole bodies, compressed.

use compression_codecs::EncodeV2;
use compression_codecs::core::util::{PartialBuffer, WriteBuffer};

/// The body as this encoder writes it.
pub(crate) fn encode(mut encoder: impl EncodeV2, body: &[u8]) -> Vec<u8> {
    let mut buffer = vec![0; body.len() + 4096];
    let mut output = WriteBuffer::new_initialized(&mut buffer);
    let mut input = PartialBuffer::new(body);
    while !input.unwritten().is_empty() {
        encoder.encode(&mut input, &mut output).unwrap();
    }
    while !encoder.finish(&mut output).unwrap() {}
    output.written().to_vec()
}
