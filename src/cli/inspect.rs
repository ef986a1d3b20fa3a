//! `inspect`: what the layer would record for a response.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::builder::TypedValueParser as _;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use tower_agent_status::Prices;
use tower_agent_status::status::{Outcome, TaskId, TokenUsage, WaitingFor};
use tower_agent_status::usage::{
    End, Progress, Reading, RequestHint, ResponseHead, ResponseInfo, UsageReader,
};

use super::explain::explain;
use super::failure::Failure;
use super::prices::{PricesArgs, ResponseCost};
use super::text::escaped;

/// Print what the layer would record for a response: outcome, error, format, tokens, model and why it
/// stopped; and, by a price list, what it cost.
///
/// Reads a response body from a file or from standard input, runs it through the layer's
/// parser, and prints one JSON object; or, with `--explain`, a text that says why.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  curl -s https://agent.example/invocations -d @request.json | tower-agent-status inspect --content-type application/json
  tower-agent-status inspect --content-type text/event-stream --path /v1/messages stream.txt
  tower-agent-status inspect --jsonl recorded.jsonl
  tower-agent-status inspect --prices model_prices.json --content-type application/json answer.json
  tower-agent-status inspect --explain --content-type application/json answer.json")]
pub(crate) struct Inspect {
    /// File to read; standard input if absent or `-`
    file: Option<PathBuf>,

    /// Content type of the response
    #[arg(long)]
    content_type: Option<HeaderValue>,

    /// Content encoding of the response: gzip, deflate, br or zstd
    #[arg(long)]
    content_encoding: Option<HeaderValue>,

    /// Status code of the response
    #[arg(
        long,
        default_value = "200",
        value_parser = clap::value_parser!(u16).range(100..1000).try_map(StatusCode::from_u16)
    )]
    status: StatusCode,

    /// Method of the request
    #[arg(long, default_value = "POST")]
    method: Method,

    /// Path of the request
    #[arg(long, default_value = "/")]
    path: String,

    /// Response header, as `Name: value`; may be repeated
    #[arg(long = "header", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,

    /// Read recorded responses, one JSON object per line, with `id`, `status`,
    /// `content_type`, `content_encoding`, `headers`, `trailers`, `request.method`, `request.path`, and the body
    /// in base64 as `body_b64`
    #[arg(long)]
    jsonl: bool,

    #[command(flatten)]
    prices: PricesArgs,

    /// Print a text instead of JSON: where tokens and failures were found, by which rules they
    /// count, and what was ignored
    #[arg(long)]
    explain: bool,

    /// Feed the body in chunks of this many bytes, at most 16 MiB
    #[arg(long, default_value = "1400", value_parser = clap::value_parser!(u32).range(1..=16_777_216))]
    chunk: u32,
}

/// Parses `Name: value`.
fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("expected `Name: value`")?;
    let name = name.trim().parse().map_err(|error| format!("not a header name: {error}"))?;
    let value = value.trim().parse().map_err(|error| format!("not a header value: {error}"))?;
    Ok((name, value))
}

impl Inspect {
    pub(crate) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let prices = self.prices.read()?;
        Ok(self.inspect(prices.as_ref(), out)?)
    }

    fn inspect(&self, prices: Option<&Prices>, out: &mut impl Write) -> Result<(), Error> {
        let name = match &self.file {
            Some(file) if file.as_os_str() != "-" => file.display().to_string(),
            _ => "standard input".to_owned(),
        };
        let read_error = |error| Error::Read(name.clone(), error);
        let input: Box<dyn Read> = match &self.file {
            Some(file) if file.as_os_str() != "-" => {
                Box::new(File::open(file).map_err(read_error)?)
            }
            _ => Box::new(io::stdin().lock()),
        };
        if !self.jsonl {
            let found = self.inspect_body(input, prices).map_err(read_error)?;
            return write!(out, "{found}").map_err(Error::Write);
        }
        for (n, line) in BufReader::new(input).lines().enumerate() {
            let line = line.map_err(read_error)?;
            if line.trim().is_empty() {
                continue;
            }
            let row = Row::read(&line).map_err(|problem| Error::Row {
                file: name.clone(),
                line: n + 1,
                problem,
            })?;
            write!(out, "{}", self.inspect_row(&row, prices)).map_err(Error::Write)?;
        }
        Ok(())
    }

    fn chunk_size(&self) -> usize {
        usize::try_from(self.chunk).unwrap_or(usize::MAX)
    }

    /// Reads a body in chunks, so that it may be of any size.
    fn inspect_body(&self, mut input: impl Read, prices: Option<&Prices>) -> io::Result<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        for (name, value) in
            [(CONTENT_TYPE, &self.content_type), (CONTENT_ENCODING, &self.content_encoding)]
        {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
        let mut reader = self.reader(self.status, &self.method, &self.path, &headers);
        let mut chunk = vec![0; self.chunk_size()];
        loop {
            // A pipe may return fewer bytes than requested. Chunks are of the given size.
            let mut filled = 0;
            while filled < chunk.len() {
                match input.read(&mut chunk[filled..])? {
                    0 => break,
                    read => filled += read,
                }
            }
            if filled == 0 || reader.feed(&chunk[..filled]) == Progress::Ended {
                break;
            }
        }
        Ok(self.report(&Value::Null, reader, prices))
    }

    fn inspect_row(&self, row: &Row, prices: Option<&Prices>) -> String {
        let mut reader = self.reader(row.status, &row.method, &row.path, &row.headers);
        for chunk in row.body.chunks(self.chunk_size()) {
            if reader.feed(chunk) == Progress::Ended {
                break;
            }
        }
        reader.trailers(&row.trailers);
        self.report(&row.id, reader, prices)
    }

    fn reader(
        &self,
        status: StatusCode,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> UsageReader {
        let head = ResponseHead::new(status, headers, RequestHint::new(method, path));
        if self.explain { UsageReader::traced(head) } else { UsageReader::new(head) }
    }

    /// Ends the reading, and prints what was read: as lines that end with a line feed.
    fn report(&self, id: &Value, mut reader: UsageReader, prices: Option<&Prices>) -> String {
        let cost = |reading: &Reading, info: &ResponseInfo| {
            prices.map(|prices| ResponseCost::of(reading, info, prices))
        };
        if !self.explain {
            let reading = reader.finish(End::Complete);
            let info = reader.info();
            let mut report = json_report(id, &reading, &info);
            if let (Some(cost), Value::Object(report)) = (cost(&reading, &info), &mut report) {
                cost.add_to(report);
            }
            return format!("{report}\n");
        }
        let (reading, trace) = reader.finish_traced(End::Complete);
        let cost = cost(&reading, &reader.info()).map(|cost| cost.explained());
        let text = explain(&trace, &reading, cost.as_deref());
        // A text of several lines is told from the next one by its id and an empty line.
        if self.jsonl { format!("Response {}\n{text}\n", escaped(&id.to_string())) } else { text }
    }
}

fn json_report(id: &Value, reading: &Reading, info: &ResponseInfo) -> Value {
    let (outcome, error) = match &reading.outcome {
        Outcome::Success => ("success", Value::Null),
        Outcome::Error(error) => {
            let code = reading.error_code.as_deref().unwrap_or(&error.class);
            ("error", json!({ "code": code, "message": error.message.as_str() }))
        }
        _ => ("unknown", Value::Null),
    };
    json!({
        "id": id,
        "outcome": outcome,
        "error": error,
        "format": reading.format,
        "usage": reading.usage.as_ref().map(usage),
        "complete": reading.complete,
        "waitingFor": reading.waiting_for.map(WaitingFor::as_str),
        "taskId": reading.task_id.as_ref().map(TaskId::as_str),
        "model": info.model,
        "responseId": info.response_id,
        "finishReasons": info.finish_reasons,
        "serviceTier": info.service_tier,
    })
}

fn usage(usage: &TokenUsage) -> Value {
    json!({
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.total_tokens,
        "cacheReadInputTokens": usage.cache_read_input_tokens,
        "cacheWriteInputTokens": usage.cache_write_input_tokens,
        "reasoningTokens": usage.reasoning_tokens,
        "cacheWrite5mInputTokens": usage.cache_write_5m_input_tokens,
        "cacheWrite1hInputTokens": usage.cache_write_1h_input_tokens,
    })
}

/// One recorded response.
struct Row {
    id: Value,
    status: StatusCode,
    method: Method,
    path: String,
    headers: HeaderMap,
    trailers: HeaderMap,
    body: Vec<u8>,
}

/// A recorded object of names and values.
fn header_map(recorded: Option<&Value>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in recorded.and_then(Value::as_object).into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        // A name or value that HTTP does not allow was on no wire.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    headers
}

impl Row {
    fn read(line: &str) -> Result<Self, String> {
        let row: Map<String, Value> =
            serde_json::from_str(line).map_err(|error| format!("not a JSON object: {error}"))?;
        let text = |name: &str| row.get(name).and_then(Value::as_str);
        let mut headers = header_map(row.get("headers"));
        // These fields describe the recorded body and override the recorded headers.
        for (name, field) in
            [(CONTENT_TYPE, "content_type"), (CONTENT_ENCODING, "content_encoding")]
        {
            headers.remove(&name);
            if let Some(value) = text(field) {
                let value = HeaderValue::from_str(value)
                    .map_err(|error| format!("`{field}` is no header value: {error}"))?;
                headers.insert(name, value);
            }
        }
        let status = match row.get("status") {
            None | Some(Value::Null) => StatusCode::OK,
            Some(status) => status
                .as_u64()
                .and_then(|code| StatusCode::from_u16(u16::try_from(code).ok()?).ok())
                .ok_or_else(|| format!("`status` is {status}, which is not a status code"))?,
        };
        let request = |name| row.get("request").and_then(|request| request.get(name)?.as_str());
        let method = match request("method") {
            None => Method::POST,
            Some(method) => {
                method.parse().map_err(|error| format!("`request.method` is {method}: {error}"))?
            }
        };
        let body = text("body_b64").ok_or("`body_b64`, the body in base64, is missing")?;
        let body =
            BASE64.decode(body).map_err(|error| format!("`body_b64` is not base64: {error}"))?;
        Ok(Self {
            id: row.get("id").cloned().unwrap_or(Value::Null),
            status,
            method,
            path: request("path").unwrap_or("/").to_owned(),
            headers,
            trailers: header_map(row.get("trailers")),
            body,
        })
    }
}

/// Why nothing can be inspected.
#[derive(Debug)]
pub(crate) enum Error {
    Read(String, io::Error),
    Row { file: String, line: usize, problem: String },
    Write(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(name, error) => write!(f, "cannot read {name}: {error}"),
            Self::Row { file, line, problem } => {
                write!(f, "{file}, line {line}: {problem}; `inspect --help` lists the fields")
            }
            Self::Write(error) => write!(f, "cannot write: {error}"),
        }
    }
}
