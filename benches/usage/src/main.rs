//! The speed of reading usage, compared with other ways of reading it, in one run.
//!
//! All ways take turns on the same bytes, cut into the same chunks. Each result is the median
//! of many rounds. The bound is one `memmem` pass over the bytes, which only searches for a
//! needle: `find` calls `memmem::find` for each chunk, and `finder` uses a searcher built once
//! beforehand. Times vary between machines, ratios less.
//!
//! `cargo bench` prints the table; a word after `--` selects rows, e.g. `-- sse`. `-- memory` feeds
//! a gibibyte, and `-- hostile` bodies that are made to be slow. `-- chat 1000 reader 1400` runs one way alone 1000 times, for
//! a profiler: `reader`, `bound`, `typed` or `value`, in chunks of 1400 bytes, or `event` for
//! one event in each chunk. `-- head 1000` reads the head of a response 1000 times, and
//! `-- path 1000` the paths of three requests.

mod hostile;

use std::borrow::Cow;
use std::hint::black_box;
use std::time::{Duration, Instant};

use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use memchr::memmem;
use serde::Deserialize;
use serde_json::{Value, json};
use tower_agent_status::usage::{End, RequestHint, ResponseHead, UsageReader};

const SSE: &str = "text/event-stream";
const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";
const ROUNDS: usize = 61;
/// The needle starts with rare letters, so that the search is as fast as possible.
const NEEDLE: &str = "zqj_total_tokens";

/// A body, and how its documents are found.
struct Row {
    name: &'static str,
    headers: HeaderMap,
    body: Vec<u8>,
    /// The events of a stream start with this.
    event: Option<&'static str>,
    total: u64,
}

/// Where a body is cut.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// After this many bytes.
    Size(usize),
    /// After each event.
    Event,
}

impl Row {
    fn new(name: &'static str, content_type: &'static str, body: Vec<u8>) -> Self {
        let headers =
            HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
        Self { name, headers, body, event: None, total: 2000 }
    }

    fn head(&self) -> ResponseHead {
        ResponseHead::new(StatusCode::OK, &self.headers, RequestHint::default())
    }

    /// Whether the body is made of binary frames, which serde_json cannot read.
    fn is_binary(&self) -> bool {
        self.headers[CONTENT_TYPE] == EVENT_STREAM
    }

    fn pieces(&self, cut: Cut) -> Vec<&[u8]> {
        let end: &[u8] = if self.headers[CONTENT_TYPE] == SSE { b"\n\n" } else { b"\n" };
        match cut {
            Cut::Size(size) => self.body.chunks(size).collect(),
            Cut::Event => {
                let mut from = 0;
                memmem::find_iter(&self.body, end)
                    .map(|at| {
                        let to = at + end.len();
                        &self.body[std::mem::replace(&mut from, to)..to]
                    })
                    .collect()
            }
        }
    }
}

fn main() {
    // Cargo adds `--bench`.
    let pick = std::env::args().nth(1).filter(|word| word != "--bench").unwrap_or_default();
    match &*pick {
        "memory" => return memory(),
        "hostile" => return hostile::measure(),
        _ => {}
    }
    if let Some(times) = std::env::args().nth(2).and_then(|times| times.parse().ok()) {
        let way = std::env::args().nth(3).unwrap_or_default();
        let cut = match std::env::args().nth(4).as_deref() {
            Some("event") => Cut::Event,
            piece => Cut::Size(piece.and_then(|piece| piece.parse().ok()).unwrap_or(16 << 10)),
        };
        return repeat(&pick, times, &way, cut);
    }
    println!("reader state: {} bytes", size_of::<UsageReader>());
    println!(
        "{:<26} {:>6} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9}",
        "row", "piece", "bytes", "reader", "GB/s", "find", "finder", "typed", "Value", "ns/event"
    );
    for row in rows().iter().filter(|row| row.name.contains(&pick)) {
        for cut in [Cut::Size(1400), Cut::Size(16 << 10), Cut::Event] {
            if row.event.is_some() || cut != Cut::Event {
                measure(row, cut);
            }
        }
    }
    println!("\nfind, finder: reader ÷ memmem (smaller is better); typed, Value: theirs ÷ reader");
}

/// Runs one way alone.
fn repeat(pick: &str, times: usize, way: &str, cut: Cut) {
    match pick {
        "head" => return heads(times),
        "path" => return paths(times),
        _ => {}
    }
    let finder = memmem::Finder::new(NEEDLE);
    for row in rows().iter().filter(|row| row.name.contains(pick)) {
        let pieces = row.pieces(cut);
        for _ in 0..times {
            match way {
                "bound" => _ = black_box(bound(&pieces, &finder)),
                "typed" => _ = black_box(typed(row, &pieces)),
                "value" => _ = black_box(value(row, &pieces)),
                _ => _ = black_box(reader(row, &pieces)),
            }
        }
    }
}

/// Reads the head of a typical response.
fn heads(times: usize) {
    let headers: HeaderMap = [
        ("date", "Wed, 24 Dec 2025 10:00:00 GMT"),
        ("content-type", "application/json"),
        ("content-length", "2048"),
        ("connection", "keep-alive"),
        ("cache-control", "no-cache"),
        ("x-request-id", "req_011CSHoEeqs5C35K2UUqR7Fy"),
        ("x-ratelimit-limit-requests", "10000"),
        ("x-ratelimit-remaining-requests", "9999"),
        ("x-ratelimit-remaining-tokens", "1999000"),
        ("strict-transport-security", "max-age=31536000; includeSubDomains"),
        ("x-amzn-trace-id", "Root=1-694bbf20-0123456789abcdef01234567"),
        ("server", "envoy"),
    ]
    .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
    .into_iter()
    .collect();
    for _ in 0..times {
        black_box(ResponseHead::new(StatusCode::OK, black_box(&headers), RequestHint::default()));
    }
}

/// Classifies the paths of typical requests.
fn paths(times: usize) {
    for _ in 0..times {
        for path in [
            "/v1/chat/completions",
            "/invocations",
            "/model/anthropic.claude-3-5-sonnet-20241022-v2%3A0/converse-stream",
        ] {
            black_box(RequestHint::new(&Method::POST, black_box(path)));
        }
    }
}

/// Reads a gibibyte of an endless stream and of an endless document, and prints the most memory held.
fn memory() {
    let all = rows();
    let peak = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("unknown");
        line.to_owned()
    };
    for name in ["sse, OpenAI", "embedding"] {
        let Some(row) = all.iter().find(|row| row.name.starts_with(name)) else { continue };
        // Feeds the first half again and again, so that the body never ends.
        let part = &row.body[..row.body.len() / 2];
        let before = peak();
        let mut reader = UsageReader::new(row.head());
        let (mut fed, start) = (0, Instant::now());
        while fed < 1 << 30 {
            for piece in part.chunks(16 << 10) {
                reader.feed(piece);
            }
            fed += part.len();
        }
        reader.finish(End::Dropped);
        println!(
            "{}: {} MiB in {:.2?}; {before} before, {} after",
            row.name,
            fed >> 20,
            start.elapsed(),
            peak()
        );
    }
}

fn measure(row: &Row, cut: Cut) {
    let pieces = row.pieces(cut);
    assert_eq!(reader(row, &pieces), Some(row.total), "{}", row.name);
    if !row.is_binary() {
        assert_eq!(typed(row, &pieces), Some(row.total), "{}", row.name);
    }
    let finder = memmem::Finder::new(NEEDLE);
    let mut times: [Vec<Duration>; 5] = Default::default();
    // Short bodies are read many times over, so that the clock's overhead does not matter.
    let repeat = (200_000 / row.body.len()).max(1);
    for round in 0..ROUNDS {
        time(&mut times[0], repeat, || reader(row, &pieces));
        time(&mut times[1], repeat, || find(&pieces));
        time(&mut times[2], repeat, || bound(&pieces, &finder));
        if round % 4 == 0 && !row.is_binary() {
            time(&mut times[3], repeat, || typed(row, &pieces));
            time(&mut times[4], repeat, || value(row, &pieces));
        }
    }
    let [reader, find, bound, typed, value] = times.map(|mut times| {
        times.sort_unstable();
        times.get(times.len() / 2).map_or(f64::NAN, Duration::as_secs_f64)
    });
    let events = row.event.map(|event| memmem::find_iter(&row.body, event).count());
    println!(
        "{:<26} {:>6} {:>8} {:>7.1}µ {:>8.1} {:>7.2}x {:>7.2}x {:>7.1}x {:>7.1}x {:>9}",
        row.name,
        match cut {
            Cut::Size(size) => size.to_string(),
            Cut::Event => "event".to_owned(),
        },
        row.body.len(),
        reader * 1e6,
        row.body.len() as f64 / reader / 1e9,
        reader / find,
        reader / bound,
        typed / reader,
        value / reader,
        events.map_or(String::new(), |events| format!("{:.1}", reader * 1e9 / events as f64)),
    );
}

fn time<T>(into: &mut Vec<Duration>, repeat: usize, mut work: impl FnMut() -> T) {
    let start = Instant::now();
    for _ in 0..repeat {
        black_box(work());
    }
    into.push(start.elapsed() / repeat as u32);
}

#[inline(never)]
fn reader(row: &Row, pieces: &[&[u8]]) -> Option<u64> {
    let mut reader = UsageReader::new(row.head());
    for piece in pieces {
        reader.feed(piece);
    }
    reader.finish(End::Complete).usage?.total_tokens
}

#[inline(never)]
fn find(pieces: &[&[u8]]) -> usize {
    pieces.iter().filter_map(|piece| memmem::find(piece, NEEDLE.as_bytes())).sum()
}

#[inline(never)]
fn bound(pieces: &[&[u8]], finder: &memmem::Finder<'_>) -> usize {
    pieces.iter().filter_map(|piece| finder.find(piece)).sum()
}

/// Only the usage, with the counts that the reader returns, by the names in these rows.
#[derive(Deserialize)]
struct Typed {
    usage: Option<Tokens>,
    token_usage: Option<Tokens>,
    prompt_eval_count: Option<u64>,
    eval_count: Option<u64>,
}

#[derive(Deserialize)]
struct Tokens {
    #[serde(alias = "input_tokens")]
    prompt_tokens: Option<u64>,
    #[serde(alias = "output_tokens")]
    completion_tokens: Option<u64>,
    total_tokens: Option<u64>,
    prompt_tokens_details: Option<Cached>,
    completion_tokens_details: Option<Reasoning>,
}

#[derive(Deserialize)]
struct Cached {
    cached_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Reasoning {
    reasoning_tokens: Option<u64>,
}

impl Typed {
    fn total(&self) -> Option<u64> {
        let Some(tokens) = self.usage.as_ref().or(self.token_usage.as_ref()) else {
            return Some(self.prompt_eval_count? + self.eval_count?);
        };
        black_box((tokens.prompt_tokens, tokens.completion_tokens));
        black_box(tokens.prompt_tokens_details.as_ref().and_then(|details| details.cached_tokens));
        let details = tokens.completion_tokens_details.as_ref();
        black_box(details.and_then(|details| details.reasoning_tokens));
        tokens.total_tokens
    }
}

/// Reads each document as this type and returns the last result. Documents must be whole, so
/// the chunks are joined first, as `collect` does with a body.
fn each<T>(row: &Row, pieces: &[&[u8]], read: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
    let body = match pieces {
        [whole] => Cow::Borrowed(*whole),
        pieces => Cow::Owned(pieces.concat()),
    };
    if row.event.is_none() {
        return read(&body);
    }
    let mut last = None;
    for line in body.split(|byte| *byte == b'\n') {
        let line = line.strip_prefix(b"data: ").unwrap_or(line);
        if line.starts_with(b"{")
            && let Some(read) = read(line)
        {
            last = Some(read);
        }
    }
    last
}

#[inline(never)]
fn typed(row: &Row, pieces: &[&[u8]]) -> Option<u64> {
    each(row, pieces, |bytes| serde_json::from_slice::<Typed>(bytes).ok()?.total())
}

#[inline(never)]
fn value(row: &Row, pieces: &[&[u8]]) -> Option<u64> {
    each(row, pieces, |bytes| {
        let value: Value = serde_json::from_slice(bytes).ok()?;
        value["usage"]["total_tokens"].as_u64()
    })
}

fn rows() -> Vec<Row> {
    let usage = json!({"prompt_tokens": 1500, "completion_tokens": 500, "total_tokens": 2000});
    let document = |name, body: Value| {
        Row::new(name, "application/json", serde_json::to_vec(&body).expect("JSON"))
    };
    let mut random = Random(7);

    let text = random.text(1400);
    let chat = json!({
        "id": "chatcmpl-9Xk2mQpL7vTfYwRzNcBdHsGjKe", "object": "chat.completion",
        "created": 1_766_570_400, "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text, "refusal": null,
            "annotations": []}, "logprobs": null, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1500, "completion_tokens": 500, "total_tokens": 2000,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0,
                "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}},
        "service_tier": "default", "system_fingerprint": "fp_cbf1785567",
    });

    // An agent's answer: a report in one string, with the quotes and line feeds of reports.
    let mut report = String::new();
    while report.len() < 980_000 {
        report.push_str(&random.text(70));
        report.push_str("\n\"trade\": ");
    }
    let agent = json!({"success": true, "agent_response": report,
        "token_usage": {"input_tokens": 1500, "output_tokens": 500, "total_tokens": 2000}});

    let vectors: Vec<Value> = (0..62)
        .map(|index| {
            let vector: Vec<f64> = (0..1536).map(|_| random.fraction()).collect();
            json!({"object": "embedding", "index": index, "embedding": vector})
        })
        .collect();
    let embeddings = json!({"object": "list", "data": vectors, "model": "text-embedding-3-small",
        "usage": {"prompt_tokens": 2000, "total_tokens": 2000}});

    let logprobs: Vec<Value> = (0..2300)
        .map(|_| {
            let token = random.text(5);
            let top: Vec<Value> = (0..4)
                .map(|_| json!({"token": random.text(5), "logprob": -random.fraction() * 9.0,
                    "bytes": [104, 101, 108]}))
                .collect();
            json!({"token": token, "logprob": -0.0123, "bytes": [32, 116, 104], "top_logprobs": top})
        })
        .collect();
    let logprobs = json!({"id": "chatcmpl-1", "object": "chat.completion", "choices": [{"index": 0,
        "message": {"role": "assistant", "content": "x"}, "logprobs": {"content": logprobs},
        "finish_reason": "stop"}], "usage": usage});

    let mut sse = String::new();
    for _ in 0..5000 {
        let word = random.text(5);
        sse.push_str("data: {\"id\":\"chatcmpl-9Xk2mQpL7vTfYwRzNcBdHsGjKe\",\"object\":\"chat.completion.chunk\",\"created\":1766570400,\"model\":\"gpt-4o-2024-08-06\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_cbf1785567\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" ");
        sse.push_str(&word);
        sse.push_str("\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n");
    }
    sse.push_str("data: {\"id\":\"chatcmpl-9\",\"object\":\"chat.completion.chunk\",\"choices\":[],\"usage\":");
    sse.push_str(&usage.to_string());
    sse.push_str("}\n\ndata: [DONE]\n\n");

    let mut anthropic = String::from(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"role\":\"assistant\",\"content\":[],\"usage\":{\"input_tokens\":1500,\"output_tokens\":1}}}\n\n",
    );
    for _ in 0..5000 {
        let word = random.text(5);
        anthropic.push_str("event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" ");
        anthropic.push_str(&word);
        anthropic.push_str("\"}}\n\n");
    }
    anthropic.push_str("event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":500,\"total_tokens\":2000}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");

    let mut ollama = String::new();
    for i in 0..5000 {
        let (word, nanos) = (random.text(5), 100_000_000 + i * 17_123);
        ollama.push_str("{\"model\":\"llama3.2\",\"created_at\":\"2025-12-24T10:00:00.");
        ollama.push_str(&nanos.to_string());
        ollama.push_str("Z\",\"message\":{\"role\":\"assistant\",\"content\":\" ");
        ollama.push_str(&word);
        ollama.push_str("\"},\"done\":false}\n");
    }
    ollama.push_str("{\"model\":\"llama3.2\",\"created_at\":\"2025-12-24T10:00:00.1Z\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done_reason\":\"stop\",\"done\":true,\"total_duration\":1,\"prompt_eval_count\":1500,\"eval_count\":500}\n");

    let mut frames = Vec::new();
    for _ in 0..5000 {
        let delta =
            json!({"contentBlockIndex": 0, "delta": {"text": random.text(6)}, "p": "abcdefghij"});
        frame(&mut frames, "contentBlockDelta", &delta);
    }
    frame(&mut frames, "messageStop", &json!({"stopReason": "end_turn"}));
    let usage = json!({"inputTokens": 1500, "outputTokens": 500, "totalTokens": 2000});
    frame(&mut frames, "metadata", &json!({"metrics": {"latencyMs": 4711}, "usage": usage}));

    let stream = |name, content_type, event, body: String| Row {
        event: Some(event),
        ..Row::new(name, content_type, body.into_bytes())
    };
    vec![
        document("chat answer, 2 KB", chat),
        document("agent answer, 1 MB", agent),
        document("embedding array, 1 MB", embeddings),
        document("logprobs, 1 MB", logprobs),
        stream("sse, OpenAI, 5002 events", SSE, "data: ", sse),
        stream("sse, Anthropic, 5003", SSE, "data: ", anthropic),
        Row::new("eventstream, Converse, 5002", EVENT_STREAM, frames),
        stream("ndjson, Ollama, 5001", "application/x-ndjson", "{\"model\"", ollama),
    ]
}

/// Adds an event to an AWS event stream.
fn frame(stream: &mut Vec<u8>, event: &str, payload: &Value) {
    let mut headers = Vec::new();
    for (name, value) in
        [(":event-type", event), (":content-type", "application/json"), (":message-type", "event")]
    {
        headers.push(name.len() as u8);
        headers.extend(name.as_bytes());
        headers.push(7);
        headers.extend((value.len() as u16).to_be_bytes());
        headers.extend(value.as_bytes());
    }
    let payload = payload.to_string();
    let mut frame = Vec::new();
    frame.extend(((16 + headers.len() + payload.len()) as u32).to_be_bytes());
    frame.extend((headers.len() as u32).to_be_bytes());
    frame.extend(crc(&frame).to_be_bytes());
    frame.extend(headers);
    frame.extend(payload.as_bytes());
    frame.extend(crc(&frame).to_be_bytes());
    stream.extend(frame);
}

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    })
}

/// The same bytes in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn fraction(&mut self) -> f64 {
        self.next() as f64 / (1_u64 << 31) as f64 - 0.5
    }

    /// Words with about the letters and lengths of English.
    fn text(&mut self, len: usize) -> String {
        let letters = b"eeeeeeeeeeeetttttttttaaaaaaaaooooooooiiiiiiinnnnnnnsssssshhhhhhrrrrrrddddllllcccuuummmwwffggyyppbbvk     ";
        (0..len).map(|_| char::from(letters[self.next() as usize % letters.len()])).collect()
    }
}
