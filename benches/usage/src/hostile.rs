//! Bodies that are made to be slow to read: each at two sizes, one four times the other. If the work
//! is linear, both are read at the same speed. The same piece is fed again and again, so that the
//! larger body is not slower only because it fits no cache.

use std::hint::black_box;
use std::time::Instant;

use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use tower_agent_status::usage::{End, RequestHint, ResponseHead, UsageReader};

use crate::SSE;

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";
const ROUNDS: usize = 15;
const PIECE: usize = 16 << 10;

/// How a body is made: a beginning, a part that is repeated, and how often it is at the smaller size.
struct Row {
    name: &'static str,
    content_type: &'static str,
    begin: &'static str,
    part: &'static str,
    times: usize,
}

const fn row(
    name: &'static str,
    content_type: &'static str,
    begin: &'static str,
    part: &'static str,
    times: usize,
) -> Row {
    Row { name, content_type, begin, part, times }
}

const MILLION: usize = 1_000_000;

const ROWS: [Row; 14] = [
    row("a key, a million times", JSON, "{", "\"answer\":1,", MILLION),
    row("a count, a million times", JSON, "{\"usage\":{", "\"prompt_tokens\":1,", MILLION),
    row("usage, a million times", JSON, "{", "\"usage\":{\"total_tokens\":1},", MILLION),
    row("arrays, 100,000 deep", JSON, "{\"usage\":", "[", 100_000),
    row("objects, 100,000 deep", JSON, "", "{\"choices\":", 100_000),
    row("a string of 25 MB", JSON, "{\"answer\":\"", "x", 25 * MILLION),
    row("an error's text of 25 MB", JSON, "{\"error\":{\"message\":\"", "x", 25 * MILLION),
    row("escapes, 25 MB", JSON, "{\"answer\":\"", "\\\\\\\"", 25 * MILLION / 4),
    row("a key of 25 MB", JSON, "{\"", "k", 25 * MILLION),
    row("a number of a million digits", JSON, "{\"usage\":{\"total_tokens\":", "7", MILLION),
    row("white space, 25 MB", JSON, "{\"a\"", " ", 25 * MILLION),
    row("an event of 25 MB", SSE, "data: {\"a\":\"", "x", 25 * MILLION),
    row("empty lines of data, a million", SSE, "", "data:\n", MILLION),
    row("documents of two bytes, a million", NDJSON, "", "{}\n", MILLION),
];

pub(crate) fn measure() {
    println!("{:<36} {:>8} {:>10} {:>10} {:>10}", "row", "MB", "MB/s", "4x, MB/s", "time ÷ 4");
    for row in &ROWS {
        let piece = row.part.repeat(PIECE / row.part.len());
        let pieces = row.times * row.part.len() / piece.len();
        let megabytes = (pieces * piece.len()) as f64 / 1e6;
        let [once, four] = [pieces, 4 * pieces].map(|pieces| seconds(row, &piece, pieces));
        println!(
            "{:<36} {:>8.1} {:>10.0} {:>10.0} {:>9.2}x",
            row.name,
            megabytes,
            megabytes / once,
            4.0 * megabytes / four,
            four / once / 4.0
        );
    }
    println!("\ntime ÷ 4: of the larger body, against the smaller one; 1.0x is linear");
}

/// The shortest time of reading a body of so many pieces: what else runs only adds to it.
fn seconds(row: &Row, piece: &str, pieces: usize) -> f64 {
    let content_type = HeaderValue::from_static(row.content_type);
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type)]);
    let times = [(); ROUNDS].map(|()| {
        let head = ResponseHead::new(StatusCode::OK, &headers, RequestHint::default());
        let mut reader = UsageReader::new(head);
        let start = Instant::now();
        reader.feed(row.begin.as_bytes());
        for _ in 0..pieces {
            reader.feed(black_box(piece).as_bytes());
        }
        black_box(reader.finish(End::Complete));
        start.elapsed().as_secs_f64()
    });
    times.into_iter().fold(f64::INFINITY, f64::min)
}
