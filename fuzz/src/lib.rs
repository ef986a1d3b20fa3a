//! What must hold for every body, whatever its content.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use tower_agent_status::usage::{End, Reading, RequestHint, ResponseHead, UsageReader};

/// The first bytes of a zstd frame.
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
/// Sizes of chunks for bodies whose reading may depend on them.
const CHUNKS: [usize; 3] = [usize::MAX, 61, 1];

/// Reads the body whole, byte by byte, and in chunks of a size taken from it. All three results
/// must agree.
pub fn check(content_type: &'static str, body: &[u8]) {
    check_with(content_type, None, body);
}

/// The same for a body under this `content-encoding`, which must not be broken.
pub fn check_encoded(content_type: &'static str, encoding: &'static str, body: &[u8]) {
    check_with(content_type, Some(encoding), body);
}

fn check_with(content_type: &'static str, encoding: Option<&'static str>, body: &[u8]) {
    // A body that begins like a compressed one is read as one. Most that do so here are broken.
    if encoding.is_none() && (body.starts_with(b"\x1f\x8b") || body.starts_with(ZSTD)) {
        return CHUNKS.iter().for_each(|size| _ = read(content_type, None, body, *size));
    }
    let whole = read(content_type, encoding, body, usize::MAX);
    let size = body.last().map_or(1, |byte| usize::from(*byte % 97) + 1);
    assert_eq!(read(content_type, encoding, body, size), whole, "in pieces of {size}");
    assert_eq!(read(content_type, encoding, body, 1), whole, "byte by byte");
}

/// The body, compressed.
pub fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory does not fail.
    encoder.write_all(body).and_then(|()| encoder.finish()).unwrap_or_default()
}

/// Reads in the same ways, but only requires that reading ends: if the encoding of a body is
/// broken, a codec may return more or less of what precedes the break, depending on the chunks.
pub fn survive(encoding: &'static str, body: &[u8]) {
    CHUNKS.iter().for_each(|size| _ = read("", Some(encoding), body, *size));
}

fn read(
    content_type: &'static str,
    encoding: Option<&'static str>,
    body: &[u8],
    size: usize,
) -> Reading {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Some(encoding) = encoding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    let head = ResponseHead::new(StatusCode::OK, &headers, RequestHint::default());
    let mut reader = UsageReader::new(head);
    for piece in body.chunks(size) {
        reader.feed(piece);
        let _ = reader.usage();
    }
    reader.finish(End::Complete)
}

/// Wraps parts of the data in frames with valid checksums, so that their content is parsed.
pub fn frames(data: &[u8]) -> Vec<u8> {
    let kinds: [&[u8]; 6] =
        [b"messageStart", b"metadata", b"chunk", b"trace", b"messageStop", b"exception"];
    let mut body = Vec::new();
    for part in data.split(|byte| *byte == 0xff) {
        let Some((kind, payload)) = part.split_first() else { continue };
        let kind = kinds[usize::from(*kind) % kinds.len()];
        let mut headers = Vec::new();
        let name: &[u8] = if kind == b"exception" { b":message-type" } else { b":event-type" };
        headers.push(name.len() as u8);
        headers.extend(name);
        headers.push(7);
        headers.extend((kind.len() as u16).to_be_bytes());
        headers.extend(kind);
        let payload = if kind == b"chunk" { wrap(payload) } else { payload.to_vec() };
        let mut frame = Vec::new();
        frame.extend((16 + headers.len() as u32 + payload.len() as u32).to_be_bytes());
        frame.extend((headers.len() as u32).to_be_bytes());
        frame.extend(crc(&frame).to_be_bytes());
        frame.extend(headers);
        frame.extend(payload);
        frame.extend(crc(&frame).to_be_bytes());
        body.extend(frame);
    }
    body
}

/// Puts parts of the data into envelopes, so that their content is parsed.
pub fn envelopes(data: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for part in data.split(|byte| *byte == 0xff) {
        let Some((flags, message)) = part.split_first() else { continue };
        body.push([0, 1, 2, 3, 0x80, 0x81][usize::from(*flags) % 6]);
        body.extend((message.len() as u32).to_be_bytes());
        body.extend(message);
    }
    body
}

fn wrap(payload: &[u8]) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = b"{\"bytes\":\"".to_vec();
    for three in payload.chunks(3) {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - three.len()));
        for i in 0..=three.len() {
            text.push(alphabet[(bits >> (18 - 6 * i) & 63) as usize]);
        }
    }
    text.extend(b"\"}");
    text
}

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    })
}
