//! `inspect`: what the layer would record of a response.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};
use tower_agent_status::status::{Outcome, TokenUsage};
use tower_agent_status::usage::{End, Head, PathHint, Progress, Reading, UsageReader};

/// Print what the layer would record of a response: outcome, error, format and tokens.
///
/// Reads one response body from a file, or from standard input, drives the layer's own
/// reader with it, and prints one JSON object.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  curl -s https://agent.example/invocations -d @request.json | tower-agent-status inspect --content-type application/json
  tower-agent-status inspect --content-type text/event-stream --path /v1/messages stream.txt
  tower-agent-status inspect --jsonl recorded.jsonl")]
pub(crate) struct Inspect {
    /// The file to read; standard input where it is missing or `-`
    file: Option<PathBuf>,

    /// The response's content type
    #[arg(long)]
    content_type: Option<String>,

    /// The response's content encoding: gzip, deflate, br, zstd
    #[arg(long)]
    content_encoding: Option<String>,

    /// The response's status code
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(100..1000))]
    status: u16,

    /// The request's path
    #[arg(long, default_value = "/")]
    path: String,

    /// A header of the response, as `Name: value`; may be given several times
    #[arg(long = "header", value_parser = header)]
    headers: Vec<(String, String)>,

    /// Read recorded responses, one JSON object a line: `id`, `status`, `content_type`,
    /// `content_encoding`, `headers`, `request.path` and the body in base64, `body_b64`
    #[arg(long)]
    jsonl: bool,

    /// Feed the body in pieces of that many bytes, 16 MiB at most
    #[arg(long, default_value = "1400", value_parser = clap::value_parser!(u32).range(1..=16_777_216))]
    chunk: u32,
}

/// `Name: value`, the name in lower case.
fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("a header is written as `Name: value`")?;
    Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
}

impl Inspect {
    pub(crate) fn run(&self, out: &mut impl Write) -> Result<(), Error> {
        let name = match &self.file {
            Some(file) if file.as_os_str() != "-" => file.display().to_string(),
            _ => "standard input".to_owned(),
        };
        let unreadable = |error| Error::Read(name.clone(), error);
        let input: Box<dyn Read> = match &self.file {
            Some(file) if file.as_os_str() != "-" => {
                Box::new(File::open(file).map_err(unreadable)?)
            }
            _ => Box::new(io::stdin().lock()),
        };
        if !self.jsonl {
            let found = self.inspect_body(input).map_err(unreadable)?;
            return writeln!(out, "{found}").map_err(Error::Write);
        }
        for (n, line) in BufReader::new(input).lines().enumerate() {
            let line = line.map_err(unreadable)?;
            if line.trim().is_empty() {
                continue;
            }
            let row = Row::read(&line).map_err(|problem| Error::Row {
                file: name.clone(),
                line: n + 1,
                problem,
            })?;
            writeln!(out, "{}", self.inspect_row(&row)).map_err(Error::Write)?;
        }
        Ok(())
    }

    fn piece(&self) -> usize {
        usize::try_from(self.chunk).unwrap_or(usize::MAX)
    }

    /// Reads a body as it comes, so that it may be of any size.
    fn inspect_body(&self, mut input: impl Read) -> io::Result<Value> {
        let mut headers: HashMap<_, _> = self.headers.iter().cloned().collect();
        let labels =
            [("content-type", &self.content_type), ("content-encoding", &self.content_encoding)];
        for (name, value) in labels {
            headers.extend(value.iter().map(|value| (name.to_owned(), value.clone())));
        }
        let mut reader = reader(self.status, &self.path, &headers);
        let mut piece = vec![0; self.piece()];
        loop {
            // A pipe gives less than was asked for; the pieces are to be of the size given.
            let mut filled = 0;
            while filled < piece.len() {
                match input.read(&mut piece[filled..])? {
                    0 => break,
                    read => filled += read,
                }
            }
            if filled == 0 || reader.feed(&piece[..filled]) == Progress::Ended {
                break;
            }
        }
        Ok(told(&Value::Null, &reader.finish(End::Complete)))
    }

    fn inspect_row(&self, row: &Row) -> Value {
        let mut reader = reader(row.status, &row.path, &row.headers);
        for piece in row.body.chunks(self.piece()) {
            if reader.feed(piece) == Progress::Ended {
                break;
            }
        }
        told(&row.id, &reader.finish(End::Complete))
    }
}

fn reader(status: u16, path: &str, headers: &HashMap<String, String>) -> UsageReader {
    let header = |name: &str| headers.get(name).map(String::as_str);
    UsageReader::new(&Head { status, path: PathHint::new(path), header: &header })
}

fn told(id: &Value, reading: &Reading) -> Value {
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
    })
}

/// One recorded response.
struct Row {
    id: Value,
    status: u16,
    path: String,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

impl Row {
    fn read(line: &str) -> Result<Self, String> {
        let row: Map<String, Value> =
            serde_json::from_str(line).map_err(|error| format!("no JSON object: {error}"))?;
        let text = |name: &str| row.get(name).and_then(Value::as_str);
        let mut headers = HashMap::new();
        if let Some(given) = row.get("headers").and_then(Value::as_object) {
            for (name, value) in given {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                headers.insert(name.to_ascii_lowercase(), value);
            }
        }
        // The body is as it was recorded: whether it is compressed is for these two to say.
        for (name, field) in
            [("content-type", "content_type"), ("content-encoding", "content_encoding")]
        {
            headers.remove(name);
            headers.extend(text(field).map(|value| (name.to_owned(), value.to_owned())));
        }
        let status = match row.get("status") {
            None | Some(Value::Null) => 200,
            Some(status) => status
                .as_u64()
                .and_then(|status| u16::try_from(status).ok())
                .ok_or_else(|| format!("`status` is {status}, not a status code"))?,
        };
        let path = row.get("request").and_then(|request| request.get("path")?.as_str());
        let body = text("body_b64").ok_or("`body_b64`, the body in base64, is missing")?;
        let body =
            BASE64.decode(body).map_err(|error| format!("`body_b64` is not base64: {error}"))?;
        Ok(Self {
            id: row.get("id").cloned().unwrap_or(Value::Null),
            status,
            path: path.unwrap_or("/").to_owned(),
            headers,
            body,
        })
    }
}

/// Why there is nothing to show.
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
                write!(f, "{file}, line {line}: {problem}; see `inspect --help` for the fields")
            }
            Self::Write(error) => write!(f, "cannot write: {error}"),
        }
    }
}
