//! `content-encoding` and what bodies really are: lists, names that are no coding, and labels that
//! the bytes refute. Each body is read in several sizes of pieces.

#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "corpus/encode.rs"]
mod encode;

use std::io::Write as _;

use compression_codecs::brotli::params::EncoderParams;
use compression_codecs::core::Level;
use compression_codecs::{BrotliEncoder, ZstdEncoder};
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use tower_agent_status::status::Outcome;
use tower_agent_status::usage::{End, Reading, RequestHint, ResponseHead, UsageReader};

use encode::encode;

const JSON: &str = "application/json";
const SSE: &str = "text/event-stream";

const DOCUMENT: &[u8] =
    br#"{"id":"c","choices":[{"message":{"content":"done"}}],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}"#;
const STREAM: &[u8] = b"data: {\"choices\":[{\"delta\":{\"content\":\"done\"}}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3,\"total_tokens\":12}}\n\ndata: [DONE]\n\n";
const FAILURE: &[u8] = br#"{"success":false,"error":"no quota"}"#;

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn zlib(body: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn deflate(body: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn brotli(body: &[u8]) -> Vec<u8> {
    encode(BrotliEncoder::new(EncoderParams::default().quality(Level::Precise(5))), body)
}

fn zstd(body: &[u8]) -> Vec<u8> {
    encode(ZstdEncoder::new(3), body)
}

fn read_in(content_type: &str, encodings: &[&str], body: &[u8], size: usize) -> Reading {
    let mut headers = HeaderMap::new();
    if !content_type.is_empty() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap());
    }
    for encoding in encodings {
        headers.append(CONTENT_ENCODING, HeaderValue::from_str(encoding).unwrap());
    }
    let hint = RequestHint::new(&Method::POST, "/invoke/agent");
    let mut reader = UsageReader::new(ResponseHead::new(StatusCode::OK, &headers, hint));
    for piece in body.chunks(size) {
        reader.feed(piece);
    }
    reader.finish(End::Complete)
}

fn read(content_type: &str, encodings: &[&str], body: &[u8]) -> Reading {
    let whole = read_in(content_type, encodings, body, usize::MAX);
    for size in [1, 2, 7, 61] {
        let reading = read_in(content_type, encodings, body, size);
        assert_eq!(reading, whole, "{encodings:?} in pieces of {size}");
    }
    whole
}

fn total(reading: &Reading) -> Option<u64> {
    reading.usage.and_then(|usage| usage.total_tokens)
}

/// Nothing was read, and nothing was made of it.
fn is_unread(reading: &Reading) -> bool {
    reading.outcome == Outcome::Success && reading.usage.is_none() && !reading.complete
}

#[test]
fn a_list_is_undone_in_reverse_order() {
    for (encodings, body) in [
        (&["gzip, identity"][..], gzip(DOCUMENT)),
        (&["identity, gzip"], gzip(DOCUMENT)),
        (&["gzip, gzip"], gzip(&gzip(DOCUMENT))),
        (&["gzip", "gzip"], gzip(&gzip(DOCUMENT))),
        (&["br, gzip"], gzip(&brotli(DOCUMENT))),
        (&["br", "gzip"], gzip(&brotli(DOCUMENT))),
        (&["gzip, br"], brotli(&gzip(DOCUMENT))),
        (&["deflate, zstd, br"], brotli(&zstd(&zlib(DOCUMENT)))),
        (&["deflate", "br, gzip"], gzip(&brotli(&deflate(DOCUMENT)))),
        (&["aws-chunked,gzip"], gzip(DOCUMENT)),
    ] {
        let reading = read(JSON, encodings, &body);
        assert_eq!((total(&reading), reading.complete), (Some(12), true), "{encodings:?}");
    }
    let four = gzip(&gzip(&gzip(&gzip(DOCUMENT))));
    assert!(is_unread(&read(JSON, &["gzip, gzip, gzip, gzip"], &four)));
}

#[test]
fn a_name_that_is_no_coding_counts_as_none() {
    for name in ["none", "UTF-8", "chunked", "aws-chunked", "text", "application/json", "rot13"] {
        for (content_type, body) in [(JSON, DOCUMENT), (SSE, STREAM)] {
            let reading = read(content_type, &[name], body);
            assert_eq!((total(&reading), reading.complete), (Some(12), true), "{name}");
        }
        let Outcome::Error(error) = read(JSON, &[name], FAILURE).outcome else {
            panic!("{name}: a failure is shown as success");
        };
        assert_eq!(error.message.as_str(), "no quota", "{name}");
        // Not a name that is known, and not text either.
        assert!(is_unread(&read(JSON, &[name], &brotli(DOCUMENT))), "{name}");
    }
}

#[test]
fn a_coding_that_is_not_decoded_here_leaves_the_body_unread() {
    for name in ["compress", "x-compress", "dcb", "dcz", "exi", "pack200-gzip", "aes128gcm"] {
        for body in [DOCUMENT.to_vec(), gzip(DOCUMENT)] {
            assert!(is_unread(&read(JSON, &[name], &body)), "{name}");
            assert!(is_unread(&read(JSON, &["gzip", name], &body)), "{name}");
        }
    }
}

#[test]
fn the_bytes_win_over_the_label() {
    let labels =
        ["", "identity", "gzip", "deflate", "br", "zstd", "none", "gzip, gzip", "br, zstd"];
    for label in labels {
        let labels = if label.is_empty() { vec![] } else { vec![label] };
        for (content_type, plain) in
            [(JSON, DOCUMENT), (SSE, STREAM), (JSON, FAILURE), ("", DOCUMENT)]
        {
            let expected = read(content_type, &[], plain);
            assert!(expected.complete, "{expected:?}");
            for (body, what) in [
                (plain.to_vec(), "text"),
                (gzip(plain), "gzip"),
                (zstd(plain), "zstd"),
                (gzip(&gzip(plain)), "gzip twice"),
            ] {
                let reading = read(content_type, &labels, &body);
                assert_eq!(reading, expected, "{what} under {label:?} as {content_type:?}");
            }
        }
    }
}

#[test]
fn neither_brotli_nor_deflate_is_guessed() {
    for body in [brotli(DOCUMENT), zlib(DOCUMENT), deflate(DOCUMENT)] {
        for labels in [&["gzip"][..], &["zstd"], &["none"]] {
            assert!(is_unread(&read(JSON, labels, &body)), "{labels:?}");
        }
        assert_eq!(total(&read(JSON, &[], &body)), None);
    }
}

#[test]
fn an_archive_that_is_downloaded_is_not_opened() {
    for content_type in ["application/gzip", "application/octet-stream", "application/zip"] {
        for body in [gzip(DOCUMENT), zstd(DOCUMENT)] {
            assert_eq!(total(&read(content_type, &[], &body)), None, "{content_type}");
            assert_eq!(total(&read(content_type, &["gzip"], &gzip(&body))), None, "{content_type}");
        }
    }
    assert_eq!(total(&read("text/plain", &[], &gzip(DOCUMENT))), Some(12));
    assert_eq!(total(&read("", &[], &gzip(DOCUMENT))), Some(12));
}

#[test]
fn text_that_begins_like_a_magic_number_is_text() {
    let text = b"(28 pages extracted, nothing else was asked for)";
    for size in [1, usize::MAX] {
        for labels in [&[][..], &["zstd"]] {
            let plain = read_in("text/plain", &[], text, usize::MAX);
            assert_eq!(read_in("text/plain", labels, text, size), plain);
        }
    }
    // Too short for any magic number.
    for body in [&b"\x1f"[..], b"\x1f\x8b", b"(", b"\x28\xb5\x2f"] {
        assert_eq!(total(&read(JSON, &[], body)), None);
    }
}

#[test]
fn a_body_that_breaks_off_is_incomplete_whatever_its_codings() {
    let whole = gzip(STREAM);
    for labels in [&[][..], &["gzip"], &["none"], &["gzip, gzip"]] {
        // The encoder wrote one block, which is decoded as far as it goes.
        let reading = read_in(SSE, labels, &whole[..whole.len() - 30], usize::MAX);
        let Outcome::Error(error) = &reading.outcome else { panic!("{labels:?}: {reading:?}") };
        assert_eq!(error.class, "incomplete", "{labels:?}");
    }
}

/// A bomb in a bomb: each coding alone stays within the ratio.
#[test]
fn the_output_of_all_codings_together_is_bounded() {
    let mut body = b"{\"text\":\"".to_vec();
    body.resize(64 << 20, b' ');
    body.extend(br#"","usage":{"prompt_tokens":9,"completion_tokens":3}}"#);
    let once = gzip(&body);
    let twice = gzip(&once);
    assert!(body.len() / once.len() > 200 && once.len() / twice.len() > 10);
    for (labels, bomb) in [
        (&["gzip, gzip"][..], &twice),
        (&["gzip"], &twice),
        (&[], &twice),
        (&["gzip"], &once),
        (&[], &once),
        (&["none"], &once),
    ] {
        for size in [1400, usize::MAX] {
            assert!(is_unread(&read_in(JSON, labels, bomb, size)), "{labels:?} by {size}");
        }
    }
}

/// A frame of zstd with a window of this size, in its logarithm, and one block that is stored.
fn zstd_of_window(log: u8, content: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3];
    let block = u32::try_from(content.len()).unwrap() << 3 | 1;
    frame.extend(&block.to_le_bytes()[..3]);
    frame.extend(content);
    frame
}

#[test]
fn the_window_of_zstd_is_eight_mebibytes_at_most() {
    for (log, is_read) in [(10, true), (22, true), (23, true), (24, false), (27, false)] {
        let body = zstd_of_window(log, DOCUMENT);
        for labels in [&["zstd"][..], &[]] {
            let reading = read(JSON, labels, &body);
            let expected = if is_read { Some(12) } else { None };
            assert_eq!(total(&reading), expected, "a window of two to the power of {log}");
            assert_eq!(is_unread(&reading), !is_read, "{log}");
        }
    }
}

/// More than every body may have, but little enough for what was received.
#[test]
fn what_was_received_adds_to_the_output_that_a_body_may_have() {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut read_with = |noise: usize, len: usize| {
        let mut body = b"{\"text\":\"".to_vec();
        body.extend(std::iter::repeat_with(|| rng.alphanumeric() as u8).take(noise));
        body.push(b'"');
        body.resize(len, b' ');
        body.extend(br#","usage":{"prompt_tokens":9,"completion_tokens":3}}"#);
        let body = zstd(&body);
        (body.len(), read_in(JSON, &["zstd"], &body, 4096))
    };
    let free = 16 << 20;
    let (received, reading) = read_with(20_000, free + (2 << 20));
    assert!(received * 200 > 2 << 20, "{received}");
    assert_eq!(
        reading.usage.and_then(|usage| Some(usage.input_tokens? + usage.output_tokens?)),
        Some(12)
    );
    let (received, reading) = read_with(20_000, free + (6 << 20));
    assert!(received * 200 < 6 << 20, "{received}");
    assert!(is_unread(&reading));
}
