//! What gRPC, gRPC-Web, Connect and Lambda report after a status of 200, cut at every byte.

#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "corpus/encode.rs"]
mod encode;

use std::io::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, HeaderName, Method, StatusCode};
use proptest::prelude::*;
use tower_agent_status::status::{Outcome, TokenUsage};
use tower_agent_status::usage::{End, Reading, RequestHint, ResponseHead, UsageReader};

const GRPC: &str = "application/grpc";
const WEB: &str = "application/grpc-web+proto";
const WEB_TEXT: &str = "application/grpc-web-text";
const CONNECT: &str = "application/connect+proto";
const CONNECT_JSON: &str = "application/connect+json";

type Fields<'a> = &'a [(&'a str, &'a str)];

/// A response, with the method and the path of most requests.
#[derive(Clone, Debug)]
struct Answer<'a> {
    status: u16,
    content_type: &'a str,
    headers: Fields<'a>,
    body: Vec<u8>,
    trailers: Fields<'a>,
}

fn answer<'a>(content_type: &'a str, body: impl AsRef<[u8]>) -> Answer<'a> {
    let body = body.as_ref().to_vec();
    Answer { status: 200, content_type, headers: &[], body, trailers: &[] }
}

impl<'a> Answer<'a> {
    fn headers(self, headers: Fields<'a>) -> Self {
        Self { headers, ..self }
    }

    fn trailers(self, trailers: Fields<'a>) -> Self {
        Self { trailers, ..self }
    }

    fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    fn reader(&self) -> UsageReader {
        let headers = map(&[&[("content-type", self.content_type)], self.headers].concat());
        let hint = RequestHint::new(&Method::POST, "/agents.v1.Agent/Invoke");
        let status = StatusCode::from_u16(self.status).unwrap();
        UsageReader::new(ResponseHead::new(status, &headers, hint))
    }

    fn read_in(&self, pieces: &[&[u8]], end: End<'_>) -> Reading {
        let mut reader = self.reader();
        for piece in pieces {
            let _ = reader.feed(piece);
        }
        if !self.trailers.is_empty() {
            reader.trailers(&map(self.trailers));
        }
        reader.finish(end)
    }

    /// Reads the body whole, in two pieces cut at every byte, and byte by byte.
    #[track_caller]
    fn read(&self, end: End<'_>) -> Reading {
        let whole = self.read_in(&[&self.body], end);
        for cut in 0..self.body.len() {
            let (first, second) = self.body.split_at(cut);
            assert_eq!(self.read_in(&[first, second], end), whole, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = self.body.chunks(1).collect();
        assert_eq!(self.read_in(&bytes, end), whole, "byte by byte");
        whole
    }

    /// The class of the outcome, the message, and whether the response came to its own end.
    #[track_caller]
    fn ends(&self, end: End<'_>) -> (String, String, bool) {
        let reading = self.read(end);
        match reading.outcome {
            Outcome::Error(error) => {
                (error.class.into(), error.message.to_string(), reading.complete)
            }
            _ => ("success".to_owned(), String::new(), reading.complete),
        }
    }

    #[track_caller]
    fn succeeds(&self) {
        assert_eq!(self.ends(End::Complete), ("success".to_owned(), String::new(), true));
    }

    #[track_caller]
    fn fails(&self, class: &str, message: &str) -> Reading {
        let (found, text, _) = self.ends(End::Complete);
        assert_eq!(found, class, "{text}");
        assert!(text.contains(message), "{text}");
        self.read(End::Complete)
    }
}

fn map(fields: Fields<'_>) -> HeaderMap {
    let entry = |(name, value): &(&str, &str)| {
        (HeaderName::try_from(*name).unwrap(), value.parse().unwrap())
    };
    fields.iter().map(entry).collect()
}

fn envelope(flags: u8, message: impl AsRef<[u8]>) -> Vec<u8> {
    let message = message.as_ref();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[flags], &length[..], message].concat()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// A protobuf message with a text that looks like a failure.
fn message() -> Vec<u8> {
    envelope(0, b"\x0a\x11{\"success\":false}")
}

fn web(trailers: &str) -> Vec<u8> {
    [message(), message(), envelope(0x80, trailers)].concat()
}

#[test]
fn the_trailers_of_grpc_decide() {
    for content_type in [GRPC, "application/grpc+proto", "Application/gRPC+json; charset=utf-8"] {
        let answer = answer(content_type, message());
        answer.clone().trailers(&[("grpc-status", "0")]).succeeds();
        let failed = answer
            .clone()
            .trailers(&[("grpc-status", "8"), ("grpc-message", "no%20room for caf%C3%A9")]);
        let reading = failed.fails("grpc_resource_exhausted", "no room for café");
        assert!(reading.complete);
        assert_eq!(reading.error_code, None);
        answer.clone().trailers(&[("grpc-status", "4")]).fails("timeout", "DEADLINE_EXCEEDED");
        answer.clone().trailers(&[("grpc-status", "1")]).fails("cancelled", "CANCELLED");
        answer.clone().trailers(&[("grpc-status", "42")]).fails("grpc_unknown", "42");
        answer.clone().fails("incomplete", "broke off");
        answer.trailers(&[("x-checksum", "0")]).fails("incomplete", "broke off");
    }
}

#[test]
fn the_head_of_a_grpc_answer_without_a_body_decides() {
    for content_type in [GRPC, WEB, WEB_TEXT] {
        let answer = answer(content_type, "");
        answer.clone().headers(&[("grpc-status", "0")]).succeeds();
        let failed = answer.headers(&[("grpc-status", "14"), ("grpc-message", "backend down")]);
        failed.fails("grpc_unavailable", "backend down");
        // Nobody need read a body that is not there.
        assert_eq!(failed.ends(End::Dropped).0, "grpc_unavailable");
    }
}

#[test]
fn a_grpc_call_that_is_given_up_is_cancelled() {
    for (content_type, body) in
        [(GRPC, message()), (WEB, message()), (CONNECT_JSON, envelope(0, "{}"))]
    {
        let answer = answer(content_type, body);
        assert_eq!(answer.ends(End::Dropped).0, "cancelled");
        assert_eq!(answer.ends(End::Failed(&"connection reset")).0, "transport");
    }
}

#[test]
fn the_status_of_grpc_is_more_exact_than_that_of_http() {
    let answer = answer(GRPC, "").status(503);
    answer.clone().fails("http_503", "Service Unavailable");
    answer.clone().headers(&[("grpc-status", "16")]).fails("grpc_unauthenticated", "");
    // A failure that only HTTP tells is one all the same.
    answer.headers(&[("grpc-status", "0")]).fails("http_503", "Service Unavailable");
}

#[test]
fn the_status_of_grpc_means_nothing_elsewhere() {
    for content_type in ["application/json", "application/grpcx", "text/event-stream", CONNECT] {
        let body = if content_type == CONNECT { envelope(2, "{}") } else { b"{}".to_vec() };
        let answer = answer(content_type, body);
        answer.headers(&[("grpc-status", "14")]).trailers(&[("grpc-status", "14")]).succeeds();
    }
}

#[test]
fn trailers_are_read_where_the_body_is_not() {
    let answer = answer(GRPC, message()).headers(&[("content-encoding", "unknown")]);
    answer.clone().fails("incomplete", "broke off");
    answer.trailers(&[("grpc-status", "13")]).fails("grpc_internal", "INTERNAL");
}

#[test]
fn an_end_in_a_body_that_is_not_read_is_not_missed() {
    let unknown: Fields<'_> = &[("content-encoding", "unknown")];
    for content_type in [WEB, WEB_TEXT, CONNECT, CONNECT_JSON] {
        let answer = answer(content_type, message());
        assert_eq!(answer.clone().headers(unknown).ends(End::Complete).0, "success");
        answer.fails("incomplete", "broke off");
    }
}

#[test]
fn the_last_frame_of_grpc_web_decides() {
    answer(WEB, web("grpc-status: 0\r\n")).succeeds();
    for block in [
        "grpc-status: 13\r\ngrpc-message: bo%6fm\r\n",
        "grpc-status:13\ngrpc-message:bo%6fm",
        "x-trace: 1\r\nGrpc-Message: boom\r\n\r\nGRPC-STATUS: 13",
    ] {
        let reading = answer(WEB, web(block)).fails("grpc_internal", "boom");
        assert!(reading.complete);
        assert_eq!(answer(WEB, web(block)).ends(End::Dropped).0, "grpc_internal");
    }
    answer(WEB, web("grpc-status: 4\r\n")).fails("timeout", "DEADLINE_EXCEEDED");
    // Frames behind it mean nothing.
    let body = [web("grpc-status: 0\r\n"), web("grpc-status: 13\r\n")].concat();
    answer(WEB, body).succeeds();
}

#[test]
fn grpc_web_without_a_status_is_incomplete() {
    for body in [
        Vec::new(),
        message(),
        web("x-trace: 1\r\n"),
        // A frame that is not whole, a flag of another protocol, and another protocol.
        web("grpc-status: 0\r\n")[..60].to_vec(),
        [message(), envelope(0x02, "grpc-status: 0\r\n")].concat(),
        [envelope(0x40, "what else?"), web("grpc-status: 0\r\n")].concat(),
        b"<html>grpc-status: 0\r\n</html>".to_vec(),
        b"{\"answer\": 42}".to_vec(),
    ] {
        let answer = answer(WEB, body);
        answer.fails("incomplete", "broke off");
        assert_eq!(answer.ends(End::Dropped).0, "cancelled");
    }
    answer(WEB, "").trailers(&[("grpc-status", "13")]).fails("grpc_internal", "INTERNAL");
    answer(WEB, r#"{"message": "no such agent"}"#).status(404).fails("http_404", "no such agent");
}

#[test]
fn grpc_web_text_is_base64_in_pieces() {
    let failed = web("grpc-status: 13\r\ngrpc-message: boom\r\n");
    answer(WEB_TEXT, BASE64_STANDARD.encode(&failed)).fails("grpc_internal", "boom");
    // Each piece that the server flushed has its own padding.
    let pieces: String = failed.chunks(7).map(|piece| BASE64_STANDARD.encode(piece)).collect();
    assert!(pieces[..pieces.len() - 4].contains('='));
    answer(WEB_TEXT, pieces).fails("grpc_internal", "boom");
    answer(WEB_TEXT, BASE64_STANDARD.encode(web("grpc-status:0"))).succeeds();
    answer(WEB_TEXT, BASE64_STANDARD.encode(message())).fails("incomplete", "broke off");
}

#[test]
fn a_compressed_end_is_read_where_it_can_be() {
    let block = gzip("grpc-status: 13\r\ngrpc-message: boom\r\n");
    let body = [message(), envelope(0x81, &block)].concat();
    let coded = answer(WEB, &body).headers(&[("grpc-encoding", "gzip")]);
    coded.fails("grpc_internal", "boom");
    // The status is there. That it cannot be read does not make the answer incomplete.
    for headers in [&[][..], &[("grpc-encoding", "snappy")]] {
        answer(WEB, &body).headers(headers).succeeds();
    }
    answer(WEB, &body[..body.len() - 1]).fails("incomplete", "broke off");

    let end = gzip(r#"{"error":{"code":"unavailable","message":"try later"}}"#);
    let body = [message(), envelope(3, &end)].concat();
    let coded = answer(CONNECT, &body).headers(&[("connect-content-encoding", "gzip")]);
    coded.fails("agent", "try later");
    answer(CONNECT, &body).succeeds();
    answer(CONNECT, &body[..body.len() - 1]).fails("incomplete", "broke off");
}

#[test]
fn an_end_in_each_compression_is_read_and_one_that_is_too_long_is_not() {
    use compression_codecs::brotli::params::EncoderParams;
    use compression_codecs::{
        BrotliEncoder, DeflateEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder,
    };
    use flate2::Compression;

    let mut rng = fastrand::Rng::with_seed(1);
    let noise: String = std::iter::repeat_with(|| rng.alphanumeric()).take(9_000).collect();
    let block = "grpc-status: 13\r\ngrpc-message: boom\r\n";
    for (text, is_read) in [(block.to_owned(), true), (format!("{block}x: {noise}"), false)] {
        let text = text.as_bytes();
        let level = compression_codecs::core::Level::Default;
        for (name, end) in [
            ("gzip", encode::encode(GzipEncoder::new(Compression::best().into()), text)),
            ("deflate", encode::encode(ZlibEncoder::new(Compression::best().into()), text)),
            ("deflate", encode::encode(DeflateEncoder::new(Compression::best().into()), text)),
            (
                "br",
                encode::encode(BrotliEncoder::new(EncoderParams::default().quality(level)), text),
            ),
            ("zstd", encode::encode(ZstdEncoder::new(3), text)),
        ] {
            let fields = [("grpc-encoding", name)];
            let answer = answer(WEB, [message(), envelope(0x81, &end)].concat()).headers(&fields);
            for size in [100, usize::MAX] {
                let pieces: Vec<_> = answer.body.chunks(size).collect();
                let reading = answer.read_in(&pieces, End::Complete);
                // The status is there. That it cannot be read does not make it incomplete.
                let has_failed = matches!(&reading.outcome, Outcome::Error(error) if error.class == "grpc_internal");
                assert_eq!(has_failed, is_read, "{name} by {size}: {reading:?}");
                assert!(reading.complete, "{name} by {size}: {reading:?}");
            }
        }
    }
}

#[test]
fn the_end_of_a_connect_stream_decides() {
    for content_type in [CONNECT, CONNECT_JSON] {
        let ends = |end: &str| {
            let message = envelope(0, "{\"text\":\"Once\"}");
            answer(content_type, [message.clone(), message, envelope(2, end)].concat())
        };
        ends("{}").succeeds();
        ends(r#"{"metadata":{"x-error":["failed"]}}"#).succeeds();
        let failed = ends(r#"{"error":{"code":"unavailable","message":"try later","details":[]}}"#);
        let reading = failed.fails("agent", "try later");
        assert_eq!(reading.error_code.as_deref(), Some("unavailable"));
        assert!(reading.complete);
        ends(r#"{"error":{"code":"deadline_exceeded","message":"slow"}}"#).fails("timeout", "slow");
        ends(r#"{"error":{"code":"canceled","message":"why"}}"#).fails("cancelled", "why");
        ends(r#"{"error":{"code":"internal"}}"#).fails("agent", "internal");
        let cut = ends("{}");
        for len in 0..cut.body.len() {
            answer(content_type, &cut.body[..len]).fails("incomplete", "broke off");
        }
    }
}

#[test]
fn the_messages_of_connect_in_json_are_read() {
    let usage = r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":3}}"#;
    let messages = [envelope(0, r#"{"choices":[{"delta":{}}]}"#), envelope(0, usage)].concat();
    let body = [messages.clone(), envelope(2, "{}")].concat();
    let whole = answer(CONNECT_JSON, &body);
    whole.succeeds();
    assert_eq!(whole.read(End::Complete).usage, Some(TokenUsage::new(9, 3)));
    // The model's last word is not the stream's.
    let cut = answer(CONNECT_JSON, &messages);
    assert_eq!(cut.fails("incomplete", "broke off").usage, Some(TokenUsage::new(9, 3)));
    // Nor is the end marker of another format, after which the stream may still fail.
    let stop = envelope(0, r#"{"type":"message_stop"}"#);
    answer(CONNECT_JSON, &stop).fails("incomplete", "broke off");
    assert_eq!(answer(CONNECT_JSON, &stop).ends(End::Dropped).0, "success");
    let end = envelope(2, r#"{"error":{"code":"deadline_exceeded","message":"slow"}}"#);
    answer(CONNECT_JSON, [stop, end.clone()].concat()).fails("timeout", "slow");
    // A failure among the messages is the agent's, whatever its code.
    let failure = envelope(0, r#"{"error":{"code":"canceled","message":"first"}}"#);
    answer(CONNECT_JSON, [failure.clone(), end].concat()).fails("agent", "first");
    answer(CONNECT_JSON, [failure, envelope(2, "{}")].concat()).fails("agent", "first");
    // Compressed messages are not read, and protobuf is no JSON.
    let compressed = [envelope(1, gzip(usage)), envelope(2, "{}")].concat();
    answer(CONNECT_JSON, compressed).succeeds();
    let compressed = [envelope(1, r#"{"success":false}"#), envelope(2, "{}")].concat();
    answer(CONNECT_JSON, compressed).succeeds();
    assert_eq!(answer(CONNECT, &body).read(End::Complete).usage, None);
    answer(CONNECT, &body).succeeds();
}

#[test]
fn the_messages_of_grpc_in_json_are_read() {
    let usage = envelope(0, r#"{"usage":{"input_tokens":9,"output_tokens":3}}"#);
    for (content_type, end) in
        [("application/grpc+json", vec![]), ("application/grpc-web+json", web("grpc-status: 0"))]
    {
        let ok: Fields<'_> = &[("grpc-status", "0")];
        let answer = |message: &[u8]| answer(content_type, [message, &end].concat()).trailers(ok);
        answer(&usage).succeeds();
        assert_eq!(answer(&usage).read(End::Complete).usage, Some(TokenUsage::new(9, 3)));
        // An agent may report a failure although its call is fine.
        let failure = envelope(0, r#"{"success":false,"message":"no such document"}"#);
        answer(&failure).fails("agent", "no such document");
        if end.is_empty() {
            // The status of the call outranks it.
            let broken: Fields<'_> = &[("grpc-status", "13"), ("grpc-message", "boom")];
            answer(&failure).trailers(broken).fails("grpc_internal", "boom");
        }
    }
}

#[test]
fn a_unary_call_of_connect_fails_by_its_status() {
    let answer = answer("application/json", r#"{"code":"unavailable","message":"try later"}"#);
    let reading = answer.clone().status(503).fails("http_503", "try later");
    assert_eq!(reading.error_code.as_deref(), Some("unavailable"));
    answer.succeeds();
}

#[test]
fn a_function_that_failed_is_an_error() {
    let json = "application/json";
    let failed = |body: &'static str, kind: &'static str| {
        let headers: &'static [_] = match kind {
            "Handled" => &[("X-Amz-Function-Error", "Handled")],
            _ => &[("x-amz-function-error", "Unhandled")],
        };
        answer(json, body).headers(headers)
    };
    for kind in ["Handled", "Unhandled"] {
        failed(r#"{"message": "no such document"}"#, kind).fails("agent", "no such document");
        failed(r#"{"answer": 42}"#, kind).fails("agent", "reported a failure");
        failed("", kind).fails("agent", "reported a failure");
        assert_eq!(failed("{}", kind).ends(End::Dropped).0, "agent");
        failed("{}", kind).status(429).fails("http_429", "Too Many Requests");
    }
    // Other names of the same length.
    let message = r#"{"message": "no such document"}"#;
    answer(json, message).headers(&[("openai-processing-ms", "7")]).succeeds();
    answer(json, message).headers(&[("x-amz-function-errs", "Handled")]).succeeds();
}

#[test]
fn what_is_kept_is_bounded() {
    let long = "x".repeat(1 << 20);
    let block = format!("{long}: 1\r\ngrpc-message: {long}\r\nx-trace: {long}\r\ngrpc-status: 13");
    for size in [1000, usize::MAX] {
        let mut reader = answer(WEB, "").reader();
        for piece in web(&block).chunks(size) {
            let _ = reader.feed(piece);
        }
        let Outcome::Error(error) = reader.finish(End::Complete).outcome else {
            panic!("it failed")
        };
        assert_eq!(error.class, "grpc_internal");
        assert!(error.message.as_str().len() <= 500);
    }
    // A message of 4 GiB that never comes takes no memory.
    let mut reader = answer(WEB, "").reader();
    let _ = reader.feed(b"\0\xff\xff\xff\xff and so on");
    assert!(matches!(reader.finish(End::Complete).outcome, Outcome::Error(_)));
}

#[test]
fn messages_are_redacted() {
    let secret = "key%3A%20sk-ant-api03-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let fields = [("grpc-status", "16"), ("grpc-message", secret)];
    let (_, text, _) = answer(GRPC, "").trailers(&fields).ends(End::Complete);
    assert!(text.starts_with("key: ") && !text.contains("aaaa"), "{text}");
}

proptest! {
    /// Any frames, whole or cut, are read alike in pieces of any length.
    #[test]
    fn pieces_do_not_matter(
        frames in prop::collection::vec(
            (
                prop::sample::select(&[0_u8, 1, 2, 3, 0x80, 0x81, 7][..]),
                prop::sample::select(&[
                    "", "{}", "grpc-status: 0\r\n", "grpc-status: 7\ngrpc-message: no%",
                    r#"{"error":{"code":"canceled"}}"#, r#"{"type":"message_stop"}"#,
                    r#"{"usage":{"input_tokens":5,"output_tokens":2}}"#, "{\"a\":",
                ][..]),
            ),
            0..5,
        ),
        cut in 0_usize..4,
        label in prop::sample::select(
            &[GRPC, "application/grpc+json", WEB, "application/grpc-web+json", WEB_TEXT, CONNECT, CONNECT_JSON][..]
        ),
    ) {
        let body: Vec<u8> = frames.iter().flat_map(|(flags, text)| envelope(*flags, text)).collect();
        let body = &body[..body.len().saturating_sub(cut)];
        let body = if label == WEB_TEXT { BASE64_STANDARD.encode(body).into() } else { body.to_vec() };
        let _ = answer(label, body).read(End::Complete);
    }
}
