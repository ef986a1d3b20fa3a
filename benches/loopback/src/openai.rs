//! Answers in the format of OpenAI's API.

use bytes::Bytes;

use crate::agent::{Answer, Pace};

/// The prompt that they answer.
pub const PROMPT: &str = r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"List the trades of this document, with their lots, prices and dates, as JSON."}]}"#;
/// The tokens of each answer that has any: input, output and total.
pub const TOKENS: [u64; 3] = [12, 3, 15];

/// The text of [`chat`].
#[must_use]
pub fn text() -> String {
    "three trades of 12 lots each, ".repeat(60)
}

/// A chat completion of 2 KB.
#[must_use]
pub fn chat() -> Answer {
    let body = format!(
        r#"{{"id":"chatcmpl-1","object":"chat.completion","model":"gpt-4o-mini","choices":[{{"index":0,"message":{{"role":"assistant","content":"{}"}},"finish_reason":"stop"}}],"usage":{}}}"#,
        text(),
        usage(),
    );
    Answer { content_type: "application/json", chunks: vec![body.into()], pace: Pace::Whole }
}

/// A streamed chat completion of this many events, which include the usage and the end marker.
#[must_use]
pub fn stream(events: usize, pace: Pace) -> Answer {
    let last = format!("data: {{\"id\":\"chatcmpl-1\",\"choices\":[],\"usage\":{}}}\n\n", usage());
    let last = [Bytes::from(last), Bytes::from("data: [DONE]\n\n")];
    let chunks = std::iter::repeat_n(event("three trades "), events - last.len()).chain(last);
    Answer { content_type: "text/event-stream", chunks: chunks.collect(), pace }
}

/// An event with text.
#[must_use]
pub fn event(text: &str) -> Bytes {
    let event = format!(
        "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"model\":\"gpt-4o-mini\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n"
    );
    event.into()
}

fn usage() -> String {
    let [input, output, total] = TOKENS;
    format!(r#"{{"prompt_tokens":{input},"completion_tokens":{output},"total_tokens":{total}}}"#)
}
