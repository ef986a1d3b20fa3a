//! What the agent sends, in the formats of OpenAI and of Bedrock, and what is right of it.

use std::time::Duration;

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;
use loopback::Result;
use loopback::agent::{Answer, Answers, Pace};
use loopback::openai::{self, TOKENS};
use serde_json::{Value, json};

/// The events of the fast stream.
pub const EVENTS: usize = 500;
/// The events of the stream with pauses.
pub const PAUSED_EVENTS: usize = 10;
/// The pause before each of them but the first.
pub const PAUSE: Duration = Duration::from_millis(5);
/// The events of a stream that stays open.
pub const OPEN_EVENTS: usize = 100;

/// An answer of the agent, and what is right of it.
pub struct Case {
    /// Its path, and its model id on Bedrock.
    pub name: &'static str,
    pub is_stream: bool,
    /// In the format of OpenAI.
    pub body: Bytes,
    /// On Bedrock: the text alone, since the SDK parses the rest.
    pub text: String,
}

pub struct Cases {
    pub whole: Case,
    pub fast: Case,
    pub paused: Case,
    pub open: Case,
}

impl Cases {
    pub fn new() -> Self {
        let [whole, fast, paused, open] = NAMES.map(|name| {
            let body = openai(name).chunks.concat().into();
            let text = match name {
                "whole" => openai::text(),
                _ => TEXT.repeat(stream(name).0 - OTHER_EVENTS),
            };
            Case { name, is_stream: name != "whole", body, text }
        });
        Self { whole, fast, paused, open }
    }
}

const NAMES: [&str; 4] = ["whole", "fast", "paused", "open"];

/// All answers, by their paths.
pub fn answers() -> Result<Answers> {
    let mut answers = Answers::new();
    for name in NAMES {
        answers.insert(format!("/{name}"), openai(name));
        let (operation, answer) = match name {
            "whole" => ("converse", converse()),
            _ => ("converse-stream", converse_stream(name)?),
        };
        answers.insert(format!("/model/{name}/{operation}"), answer);
    }
    Ok(answers)
}

/// The events of a stream, and when they come.
fn stream(name: &str) -> (usize, Pace) {
    match name {
        "fast" => (EVENTS, Pace::Fast),
        "paused" => (PAUSED_EVENTS, Pace::Paused(PAUSE)),
        _ => (OPEN_EVENTS, Pace::Open),
    }
}

fn openai(name: &str) -> Answer {
    if name == "whole" {
        return openai::chat();
    }
    let (events, pace) = stream(name);
    let mut answer = openai::stream(events, pace);
    if pace == Pace::Open {
        answer.chunks = vec![openai::event(TEXT); events];
    }
    answer
}

fn usage() -> Value {
    let [input, output, total] = TOKENS;
    json!({"inputTokens": input, "outputTokens": output, "totalTokens": total})
}

fn converse() -> Answer {
    let message = json!({"role": "assistant", "content": [{"text": openai::text()}]});
    let body = json!({
        "metrics": {"latencyMs": 1},
        "output": {"message": message},
        "stopReason": "end_turn",
        "usage": usage(),
    });
    let chunks = vec![body.to_string().into()];
    Answer { content_type: "application/json", chunks, pace: Pace::Whole }
}

/// The text of an event.
const TEXT: &str = "three trades ";
/// The events of a stream of Bedrock that have no text: one before it, and the others behind it.
const OTHER_EVENTS: usize = 4;

fn converse_stream(name: &str) -> Result<Answer> {
    let (events, pace) = stream(name);
    let text = json!({"contentBlockIndex": 0, "delta": {"text": TEXT}});
    let text = event("contentBlockDelta", &text)?;
    let mut chunks = vec![event("messageStart", &json!({"role": "assistant"}))?];
    if pace == Pace::Open {
        chunks.resize(events, text);
    } else {
        chunks.resize(events - OTHER_EVENTS + 1, text);
        chunks.push(event("contentBlockStop", &json!({"contentBlockIndex": 0}))?);
        chunks.push(event("messageStop", &json!({"stopReason": "end_turn"}))?);
        chunks.push(event("metadata", &json!({"metrics": {"latencyMs": 1}, "usage": usage()}))?);
    }
    Ok(Answer { content_type: "application/vnd.amazon.eventstream", chunks, pace })
}

fn event(kind: &'static str, payload: &Value) -> Result<Bytes> {
    let mut message = Message::new(payload.to_string());
    let headers =
        [(":event-type", kind), (":content-type", "application/json"), (":message-type", "event")];
    for (name, value) in headers {
        message = message.add_header(Header::new(name, HeaderValue::String(value.into())));
    }
    let mut bytes = Vec::new();
    write_message_to(&message, &mut bytes)?;
    Ok(bytes.into())
}
