//! Responses in text files, each with the reading that is right for it.
//!
//! A file has the cases of one kind in two sections: those that are of the kind, and those that
//! only look like it.
//!
//! ```text
//! == of the kind
//!
//! === the name of a case
//! request: POST /v1/chat/completions
//! type: sse
//! right: agent 12 30 42
//! parts: 4 - ?
//! message: overloaded
//!
//! data: {"the body": "follows the empty line"}
//! ```
//!
//! | field | meaning | without it |
//! | --- | --- | --- |
//! | `request` | method and path | `POST /` |
//! | `status` | the response's status | 200 |
//! | `type` | `json`, `sse`, `ndjson`, `frames`, or a content type | `json` |
//! | `label` | the content type that is sent, `-` for none | that of `type` |
//! | `header` | a header of the response; may be repeated | none |
//! | `encode` | how many times the body is compressed with gzip | 0 |
//! | `lines` | `crlf`: lines end in CRLF; `cut`: the body ends with its last character | `lf` |
//! | `right` | `success`, an error class, `error` for any, or `any`; then the tokens | required |
//! | `parts` | tokens read from the cache, written to it, and of reasoning | not compared |
//! | `message` | what the message must contain; may be repeated | nothing |
//! | `code` | the provider's own code, `-` for none | not compared |
//! | `waiting` | what the agent waits for | nothing |
//! | `task` | the id of the task | not compared |
//! | `complete` | `yes` or `no` | not compared |
//!
//! The tokens are input, output and total, `none` or `any`; if they are left out, there are none.
//! `-` stands for an absent number, and `?` for one that is not compared.
//!
//! Each line of a body of `frames` is one frame of an AWS event stream: `TYPE :: JSON`, or
//! `TYPE base64:: JSON` with the JSON in `bytes`, or `TYPE raw:: BYTES` with `␤` for a line break,
//! or `!TYPE :: JSON` for an exception.

#![allow(dead_code, reason = "tests that include this file by its path use a part of it")]

#[path = "../corpus/frames.rs"]
mod frames;

use std::fmt::Write as _;
use std::io::Write as _;
use std::iter::Peekable;
use std::str::Lines;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use tower_agent_status::status::Outcome;
use tower_agent_status::usage::{End, Progress, Reading, RequestHint, ResponseHead, UsageReader};

/// The kinds of answers, each with its file.
pub(crate) const KINDS: &[(&str, &str)] = &[
    ("spellings", include_str!("answers/spellings.txt")),
    ("content_encoding", include_str!("answers/content_encoding.txt")),
    ("no_answer", include_str!("answers/no_answer.txt")),
    ("silent_errors", include_str!("answers/silent_errors.txt")),
    ("known_total", include_str!("answers/known_total.txt")),
    ("choice_usage", include_str!("answers/choice_usage.txt")),
    ("envelopes", include_str!("answers/envelopes.txt")),
    ("snake_case", include_str!("answers/snake_case.txt")),
    ("several_calls", include_str!("answers/several_calls.txt")),
    ("odd_numbers", include_str!("answers/odd_numbers.txt")),
    ("is_error", include_str!("answers/is_error.txt")),
    ("flat_errors", include_str!("answers/flat_errors.txt")),
    ("error_events", include_str!("answers/error_events.txt")),
    ("status_words", include_str!("answers/status_words.txt")),
    ("vendor_codes", include_str!("answers/vendor_codes.txt")),
    ("broken_turns", include_str!("answers/broken_turns.txt")),
    ("raw_frames", include_str!("answers/raw_frames.txt")),
    ("lambda", include_str!("answers/lambda.txt")),
    ("unknown_ends", include_str!("answers/unknown_ends.txt")),
    ("transcriptions", include_str!("answers/transcriptions.txt")),
    ("other_parts", include_str!("answers/other_parts.txt")),
    ("cache_writes", include_str!("answers/cache_writes.txt")),
    ("error_texts", include_str!("answers/error_texts.txt")),
    ("json_in_strings", include_str!("answers/json_in_strings.txt")),
    ("error_arrays", include_str!("answers/error_arrays.txt")),
    ("downloads", include_str!("answers/downloads.txt")),
    ("stored", include_str!("answers/stored.txt")),
    ("langgraph", include_str!("answers/langgraph.txt")),
    ("error_lines", include_str!("answers/error_lines.txt")),
    ("failure_traces", include_str!("answers/failure_traces.txt")),
    ("waiting", include_str!("answers/waiting.txt")),
    ("a2a", include_str!("answers/a2a.txt")),
    ("cut", include_str!("answers/cut.txt")),
    ("recordings", include_str!("answers/recordings.txt")),
    ("business", include_str!("answers/business.txt")),
];

/// A response, and what must be read from it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    /// Whether it is of its kind, and does not only look like it.
    pub(crate) is_of_kind: bool,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) right: Right,
}

/// What must be read.
#[derive(Clone, Debug)]
pub(crate) struct Right {
    /// `success`, a class of errors, `error` or `any`.
    pub(crate) outcome: String,
    /// `None` if it is not compared.
    pub(crate) usage: Option<Option<[Number; 3]>>,
    pub(crate) parts: [Number; 3],
    pub(crate) messages: Vec<String>,
    pub(crate) code: Option<String>,
    pub(crate) waiting: Option<String>,
    pub(crate) task: Option<String>,
    pub(crate) complete: Option<bool>,
}

/// A number of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    Is(u64),
    Absent,
    Any,
}

impl Number {
    fn parse(text: &str) -> Self {
        match text {
            "-" => Self::Absent,
            "?" => Self::Any,
            number => Self::Is(number.parse().unwrap()),
        }
    }

    fn matches(self, number: Option<u64>) -> bool {
        match self {
            Self::Is(right) => number == Some(right),
            Self::Absent => number.is_none(),
            Self::Any => true,
        }
    }
}

/// All cases of all kinds.
pub(crate) fn all() -> Vec<Case> {
    KINDS.iter().flat_map(|(kind, text)| parse(kind, text)).collect()
}

/// The cases of this kind.
pub(crate) fn of_kind(kind: &str) -> Vec<Case> {
    let (kind, text) = KINDS.iter().find(|(name, _)| *name == kind).unwrap();
    parse(kind, text)
}

fn parse(kind: &'static str, text: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut is_of_kind = true;
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        match line {
            "" => {}
            "== of the kind" => is_of_kind = true,
            "== only look like it" => is_of_kind = false,
            line => match line.strip_prefix("=== ") {
                Some(name) => cases.push(Case::parse(kind, name, is_of_kind, &mut lines)),
                None => assert!(line.starts_with("# "), "{kind}: what is {line:?}?"),
            },
        }
    }
    cases
}

impl Case {
    /// A response to `POST /` with this body, which is read rightly as a success without usage.
    pub(crate) fn new(name: &str, content_type: &str, body: &str) -> Self {
        let content_type = HeaderValue::from_str(content_type).unwrap();
        Self {
            kind: "",
            name: name.to_owned(),
            is_of_kind: true,
            method: Method::POST,
            path: "/".to_owned(),
            status: StatusCode::OK,
            headers: HeaderMap::from_iter([(CONTENT_TYPE, content_type)]),
            body: body.as_bytes().to_vec(),
            right: Right {
                outcome: "success".to_owned(),
                usage: Some(None),
                parts: [Number::Any; 3],
                messages: Vec::new(),
                code: None,
                waiting: None,
                task: None,
                complete: None,
            },
        }
    }

    fn parse(
        kind: &'static str,
        name: &str,
        is_of_kind: bool,
        lines: &mut Peekable<Lines<'_>>,
    ) -> Self {
        let mut case = Self { kind, is_of_kind, ..Self::new(name, "", "") };
        let (mut media_type, mut label, mut encode, mut ends) = ("json", None, 0, "lf");
        let mut is_right_given = false;
        for line in lines.by_ref().take_while(|line| !line.is_empty()) {
            let (field, value) = line.split_once(": ").unwrap_or_else(|| panic!("{name}: {line}"));
            is_right_given |= field == "right";
            match field {
                "type" => media_type = value,
                "label" => label = Some(value),
                "encode" => encode = value.parse().unwrap(),
                "lines" => ends = value,
                _ => case.set(field, value),
            }
        }
        assert!(is_right_given, "{kind}: {name} has no `right`");
        let text = body(lines);
        case.body = match (media_type, ends) {
            ("frames", _) => text.lines().flat_map(frame).collect(),
            (_, "cut") => text.into_bytes(),
            ("sse", "crlf") if text.is_empty() => Vec::new(),
            ("sse", "crlf") => format!("{text}\n\n").replace('\n', "\r\n").into_bytes(),
            ("sse", _) if !text.is_empty() => format!("{text}\n\n").into_bytes(),
            ("ndjson", _) if !text.is_empty() => format!("{text}\n").into_bytes(),
            _ => text.into_bytes(),
        };
        for _ in 0..encode {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(&case.body).unwrap();
            case.body = encoder.finish().unwrap();
        }
        let label = label.unwrap_or(match media_type {
            "json" => "application/json",
            "sse" => "text/event-stream",
            "ndjson" => "application/x-ndjson",
            "frames" => "application/vnd.amazon.eventstream",
            other => other,
        });
        match label {
            "-" => case.headers.remove(CONTENT_TYPE),
            label => case.headers.insert(CONTENT_TYPE, HeaderValue::from_str(label).unwrap()),
        };
        case
    }

    fn set(&mut self, field: &str, value: &str) {
        match field {
            "request" => {
                let (method, path) = value.split_once(' ').unwrap();
                self.method = method.parse().unwrap();
                self.path = path.to_owned();
            }
            "status" => self.status = value.parse().unwrap(),
            "header" => {
                let (name, value) = value.split_once(':').unwrap();
                let name: HeaderName = name.parse().unwrap();
                self.headers.append(name, HeaderValue::from_str(value.trim()).unwrap());
            }
            "right" => {
                let (outcome, usage) = value.split_once(' ').unwrap_or((value, "none"));
                self.right.outcome = outcome.to_owned();
                self.right.usage = match usage {
                    "any" => None,
                    "none" => Some(None),
                    numbers => Some(Some(three(numbers))),
                };
            }
            "parts" => self.right.parts = three(value),
            "message" => self.right.messages.push(value.to_owned()),
            "code" => self.right.code = Some(value.to_owned()),
            "waiting" => self.right.waiting = Some(value.to_owned()),
            "task" => self.right.task = Some(value.to_owned()),
            "complete" => self.right.complete = Some(value == "yes"),
            _ => panic!("{}: what is {field}?", self.name),
        }
    }

    pub(crate) fn reader(&self) -> UsageReader {
        let hint = RequestHint::new(&self.method, &self.path);
        UsageReader::new(ResponseHead::new(self.status, &self.headers, hint))
    }

    /// Reads the body to its end in pieces of this size. Also returns whether an end marker was
    /// seen.
    pub(crate) fn read(&self, size: usize) -> (Reading, bool) {
        let mut reader = self.reader();
        let mut ended = false;
        for piece in self.body.chunks(size) {
            ended |= reader.feed(piece) == Progress::Ended;
        }
        (reader.finish(End::Complete), ended)
    }

    /// Describes how a reading differs from the right one; empty if it does not.
    pub(crate) fn differences(&self, reading: &Reading) -> String {
        let (right, mut wrong) = (&self.right, String::new());
        let (class, message) = match &reading.outcome {
            Outcome::Success => ("success", ""),
            Outcome::Error(error) => (&*error.class, error.message.as_str()),
            other => panic!("unknown outcome {other:?}"),
        };
        let is_right = match &*right.outcome {
            "any" => true,
            "error" => class != "success",
            outcome => class == outcome,
        };
        if !is_right {
            let _ = write!(wrong, "; {class} {message:?}, right {}", right.outcome);
        }
        for part in right.messages.iter().filter(|part| !message.contains(&***part)) {
            let _ = write!(wrong, "; message {message:?}, right has {part:?}");
        }
        let read = reading
            .usage
            .as_ref()
            .map(|usage| [usage.input_tokens, usage.output_tokens, usage.total_tokens]);
        let is_right = match (right.usage, read) {
            (None, _) | (Some(None), None) => true,
            (Some(Some(right)), Some(read)) => {
                right.iter().zip(read).all(|(right, read)| right.matches(read))
            }
            _ => false,
        };
        if !is_right {
            let _ = write!(wrong, "; usage {read:?}, right {:?}", right.usage);
        }
        let usage = reading.usage.unwrap_or_default();
        let parts =
            [usage.cache_read_input_tokens, usage.cache_write_input_tokens, usage.reasoning_tokens];
        if right.parts.iter().zip(parts).any(|(right, part)| !right.matches(part)) {
            let _ = write!(wrong, "; parts {parts:?}, right {:?}", right.parts);
        }
        let code = reading.error_code.as_deref();
        if let Some(right) = &right.code
            && code.unwrap_or("-") != right
        {
            let _ = write!(wrong, "; code {code:?}, right {right}");
        }
        let waiting = reading.waiting_for.map(|waiting| waiting.as_str());
        if waiting != right.waiting.as_deref() {
            let _ = write!(wrong, "; waits for {waiting:?}, right {:?}", right.waiting);
        }
        let task = reading.task_id.as_ref().map(|id| id.as_str());
        if right.task.is_some() && task != right.task.as_deref() {
            let _ = write!(wrong, "; task {task:?}, right {:?}", right.task);
        }
        if right.complete.is_some_and(|right| right != reading.complete) {
            let _ = write!(wrong, "; complete {}", reading.complete);
        }
        wrong
    }
}

/// The lines up to the next case or section, without empty lines at their end.
fn body(lines: &mut Peekable<Lines<'_>>) -> String {
    let mut body = String::new();
    while let Some(line) = lines.next_if(|line| !line.starts_with("==")) {
        body.push_str(line);
        body.push('\n');
    }
    body.trim_end_matches('\n').to_owned()
}

fn three(text: &str) -> [Number; 3] {
    let numbers: Vec<_> = text.split_whitespace().map(Number::parse).collect();
    numbers.try_into().unwrap()
}

/// One frame of an AWS event stream.
fn frame(line: &str) -> Vec<u8> {
    let (kind, payload) = line.split_once(":: ").unwrap();
    let (name, encoding) = kind.trim_end().split_once(' ').unwrap_or((kind.trim_end(), ""));
    let json = "application/json";
    let (content_type, payload) = match encoding {
        "" => (json, payload.as_bytes().to_vec()),
        "base64" => {
            (json, format!(r#"{{"bytes":"{}"}}"#, BASE64_STANDARD.encode(payload)).into_bytes())
        }
        "raw" => ("application/octet-stream", payload.replace('␤', "\n").into_bytes()),
        _ => panic!("what is {encoding}?"),
    };
    let (kind, message_type) = match name.strip_prefix('!') {
        Some(name) => ((":exception-type", name), "exception"),
        None => ((":event-type", name), "event"),
    };
    frames::frame(
        &[kind, (":message-type", message_type), (":content-type", content_type)],
        &payload,
    )
}
