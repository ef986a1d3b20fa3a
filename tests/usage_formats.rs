//! Small answers in each format, with each way they can end, cut at every byte.

#![expect(clippy::unwrap_used, reason = "tests")]

#[cfg(feature = "decompression")]
#[path = "corpus/encode.rs"]
mod encode;
#[path = "corpus/frames.rs"]
mod frames;

use std::fmt::Write as _;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use proptest::prelude::*;
use tower_agent_status::status::{Outcome, TokenUsage};
use tower_agent_status::usage::{End, Progress, Reading, RequestHint, ResponseHead, UsageReader};

use frames::frame;

const JSON: &str = "application/json";
const SSE: &str = "text/event-stream";
const LINES: &str = "application/x-ndjson";
const FRAMES: &str = "application/vnd.amazon.eventstream";

/// Input, output, total, cache read, cache write, reasoning; -1 is unknown.
type Counts = [i64; 6];

struct Answer {
    name: &'static str,
    content_type: &'static str,
    status: u16,
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: Vec<u8>,
    usage: Option<Counts>,
    /// `success`, or the class of the error.
    outcome: &'static str,
    code: Option<&'static str>,
    message: Option<&'static str>,
    /// Whether the body has the format's own end marker.
    ended: bool,
}

fn answer(name: &'static str, content_type: &'static str, body: impl AsRef<[u8]>) -> Answer {
    Answer {
        name,
        content_type,
        status: 200,
        path: "/",
        headers: &[],
        body: body.as_ref().to_vec(),
        usage: None,
        outcome: "success",
        code: None,
        message: None,
        ended: false,
    }
}

impl Answer {
    fn usage(mut self, input: i64, output: i64, total: i64) -> Self {
        self.usage = Some([input, output, total, -1, -1, -1]);
        self
    }

    fn parts(mut self, read: i64, write: i64, reasoning: i64) -> Self {
        let figures = self.usage.as_mut().unwrap();
        figures[3..].copy_from_slice(&[read, write, reasoning]);
        self
    }

    fn fails(mut self, code: &'static str, message: &'static str) -> Self {
        self.outcome = "agent";
        self.code = (!code.is_empty()).then_some(code);
        self.message = Some(message);
        self
    }

    fn outcome(mut self, outcome: &'static str) -> Self {
        self.outcome = outcome;
        self
    }

    fn ends(mut self) -> Self {
        self.ended = true;
        self
    }

    fn at(mut self, path: &'static str) -> Self {
        self.path = path;
        self
    }

    fn headers(mut self, headers: &'static [(&'static str, &'static str)]) -> Self {
        self.headers = headers;
        self
    }

    fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }
}

/// Server-sent events with these data, one for each string.
fn sse(events: &[&str]) -> String {
    events.iter().fold(String::new(), |mut body, event| {
        let _ = write!(body, "data: {event}\n\n");
        body
    })
}

fn events(events: &[(&str, &str)]) -> Vec<u8> {
    let frame_of = |(kind, payload): &(&str, &str)| {
        frame(
            &[(":event-type", kind), (":content-type", JSON), (":message-type", "event")],
            payload.as_bytes(),
        )
    };
    events.iter().flat_map(frame_of).collect()
}

fn exception(kind: &str, payload: &str) -> Vec<u8> {
    frame(&[(":exception-type", kind), (":message-type", "exception")], payload.as_bytes())
}

fn chunk(document: &str) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in document.as_bytes().chunks(3) {
        let bits = three.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte))
            << (8 * (3 - three.len()));
        for i in 0..4 {
            let digit = alphabet[bits >> (18 - 6 * i) & 63];
            text.push(if i <= three.len() { char::from(digit) } else { '=' });
        }
    }
    format!(r#"{{"bytes":"{text}","p":"abc"}}"#)
}

#[rustfmt::skip]
fn answers() -> Vec<Answer> {
    let chat = r#"{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"Hi {\"usage\""},"finish_reason":null}],"usage":null}"#;
    let chat_stop = r#"{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}"#;
    let message_start = r#"{"type":"message_start","message":{"content":[],"usage":{"input_tokens":3,"cache_read_input_tokens":100,"cache_creation_input_tokens":20,"output_tokens":1}}}"#;
    vec![
        // OpenAI and compatible providers.
        answer("chat", JSON, r#"{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"content":"{\"usage\":{\"prompt_tokens\":9}}"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":4,"total_tokens":14,"prompt_tokens_details":{"cached_tokens":6},"completion_tokens_details":{"reasoning_tokens":2}}}"#).usage(10, 4, 14).parts(6, -1, 2),
        answer("chat, usage first and spaced", JSON, "{ \"usage\" : { \"prompt_tokens\" : 10 ,\n\"completion_tokens\" : 4 , \"total_tokens\":14 } , \"choices\" : [ ] }\n").usage(10, 4, 14),
        answer("chat, escaped keys", JSON, r#"{"\u0075sage":{"prompt\u005ftokens":10,"completion_tokens":4,"tot\u0061l_tokens":14}}"#).usage(10, 4, 14),
        answer("chat stream", SSE, sse(&[chat, chat, chat_stop, r#"{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":4,"total_tokens":14}}"#, "[DONE]"])).usage(10, 4, 14).ends(),
        answer("chat stream without usage", SSE, sse(&[chat, chat_stop, "[DONE]"])).ends(),
        answer("white space after the end marker", SSE, sse(&[chat, "[DONE] \t"])).ends(),
        answer("a broken line, and an odd space before the last", LINES, "{\"a\":1}\n?\n{\"a\":1}\n\u{c}{\"a\":").outcome("incomplete"),
        answer("white space before an end marker", SSE, ": it begins\r\rdata:\t[DONE]\n\n"),
        answer("white space within an end marker", SSE, ": it begins\r\rdata: [DONE\u{c}]\n\n"),
        answer("chat stream that has no end marker", SSE, sse(&[chat, chat_stop])),
        answer("chat stream that broke off", SSE, sse(&[chat, chat, chat])).outcome("incomplete"),
        answer("chat stream labelled as JSON", JSON, sse(&[chat, chat_stop, "[DONE]"])).ends(),
        answer("chat stream without a label", "", format!(": PROCESSING\n\n{}", sse(&[chat, "[DONE]"]))).ends(),
        answer("usage in every event", SSE, sse(&[r#"{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":1,"total_tokens":11}}"#, r#"{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":4,"total_tokens":14}}"#, "[DONE]"])).usage(10, 4, 14).ends(),
        answer("Groq, usage twice", SSE, sse(&[r#"{"choices":[],"x_groq":{"usage":{"prompt_tokens":10,"completion_tokens":4,"total_tokens":14}}}"#, r#"{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":4,"total_tokens":14}}"#, "[DONE]"])).usage(10, 4, 14).ends(),
        answer("Groq, its own usage only", SSE, sse(&[r#"{"choices":[],"x_groq":{"usage":{"prompt_tokens":10,"completion_tokens":4,"total_tokens":14}}}"#, "[DONE]"])).usage(10, 4, 14).ends(),
        answer("reasoning beside the output", JSON, r#"{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":4,"total_tokens":20,"completion_tokens_details":{"reasoning_tokens":6}}}"#).usage(10, 10, 20).parts(-1, -1, 6),
        answer("cached beside the prompt, and in it", JSON, r#"{"usage":{"prompt_tokens":10,"completion_tokens":4,"total_tokens":14,"cache_read_input_tokens":6}}"#).usage(10, 4, 14).parts(6, -1, -1),
        answer("audio beside the prompt", JSON, r#"{"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":20,"prompt_tokens_details":{"audio_tokens":13}}}"#).usage(16, 4, 20),
        answer("a total larger than the sum", JSON, r#"{"usage":{"prompt_tokens":10,"completion_tokens":4,"total_tokens":30}}"#).usage(10, 4, 30),
        answer("DeepSeek", JSON, r#"{"usage":{"prompt_tokens":10,"completion_tokens":4,"total_tokens":14,"prompt_cache_hit_tokens":8,"prompt_cache_miss_tokens":2}}"#).usage(10, 4, 14).parts(8, -1, -1),
        answer("embeddings", JSON, r#"{"object":"list","data":[{"embedding":[0.1,-2e-3]}],"usage":{"prompt_tokens":8,"total_tokens":8}}"#).usage(8, 0, 8),
        answer("a total alone", JSON, r#"{"usage":{"total_tokens":8}}"#).usage(-1, -1, 8),
        answer("Responses", JSON, r#"{"object":"response","status":"completed","error":null,"tool_usage":{"image_gen":{"input_tokens":7}},"usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":6},"output_tokens":4,"output_tokens_details":{"reasoning_tokens":2},"total_tokens":14}}"#).usage(10, 4, 14).parts(6, -1, 2),
        answer("Responses stream", SSE, "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"usage\":null,\"error\":null}}\n\nevent: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"tool_usage\":{\"input_tokens\":0},\"usage\":{\"input_tokens\":10,\"output_tokens\":4,\"total_tokens\":14}}}\n\n").usage(10, 4, 14).ends(),
        answer("Responses stream that broke off", SSE, sse(&[r#"{"type":"response.created","response":{}}"#])).outcome("incomplete"),
        answer("Responses, failed", JSON, r#"{"object":"response","status":"failed","error":{"code":"server_error","message":"It broke"},"usage":null}"#).fails("server_error", "It broke"),
        answer("Responses, too long", SSE, sse(&[r#"{"type":"response.incomplete","response":{"status":"incomplete","error":null,"usage":{"input_tokens":10,"output_tokens":4,"total_tokens":14}}}"#])).usage(10, 4, 14).ends(),
        answer("Assistants repeat themselves", SSE, "event: thread.run.step.completed\ndata: {\"object\":\"thread.run.step\",\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":4,\"total_tokens\":14}}\n\nevent: thread.run.completed\ndata: {\"object\":\"thread.run\",\"last_error\":null,\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":4,\"total_tokens\":14}}\n\nevent: done\ndata: [DONE]\n\n").usage(10, 4, 14).ends(),
        answer("images", JSON, r#"{"created":1,"data":[],"usage":{"input_tokens":10,"output_tokens":4,"total_tokens":14}}"#).usage(10, 4, 14),
        // Anthropic.
        answer("Anthropic", JSON, r#"{"type":"message","content":[{"type":"tool_use","input":{"usage":{"input_tokens":77}}}],"usage":{"input_tokens":3,"cache_creation_input_tokens":20,"cache_read_input_tokens":100,"cache_creation":{"ephemeral_5m_input_tokens":20},"output_tokens":5}}"#).usage(123, 5, 128).parts(100, 20, -1),
        answer("Anthropic stream", SSE, format!("event: message_start\ndata: {message_start}\n\nevent: ping\ndata: {{\"type\": \"ping\"}}\n\nevent: message_delta\ndata: {{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":\"end_turn\"}},\"usage\":{{\"output_tokens\":50}}}}\n\nevent: message_stop\ndata: {{\"type\":\"message_stop\"}}\n\n")).usage(123, 50, 173).parts(100, 20, -1).ends(),
        answer("Anthropic stream, counts corrected", SSE, sse(&[message_start, r#"{"type":"message_delta","usage":{"input_tokens":9,"cache_read_input_tokens":0,"cache_creation_input_tokens":null,"output_tokens":50,"iterations":[{"input_tokens":500,"output_tokens":7}]}}"#, r#"{"type":"message_stop"}"#])).usage(29, 50, 79).parts(0, 20, -1).ends(),
        answer("Anthropic stream that broke off", SSE, sse(&[message_start])).usage(123, 1, 124).parts(100, 20, -1).outcome("incomplete"),
        answer("Anthropic, overloaded half-way", SSE, format!("{}event: error\ndata: {{\"type\":\"error\",\"error\":{{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}}}\n\n", sse(&[message_start]))).usage(123, 1, 124).parts(100, 20, -1).fails("overloaded_error", "Overloaded"),
        answer("counting tokens", JSON, r#"{"input_tokens":14}"#).at("/v1/messages/count_tokens?beta=true"),
        answer("reranking", JSON, r#"{"usage":{"total_tokens":17}}"#).at("/v1/rerank").usage(17, 0, 17),
        answer("reranking, billed by tokens", JSON, r#"{"results":[{"index":0}],"meta":{"billed_units":{"total_tokens":48},"tokens":{"input_tokens":48,"output_tokens":0}}}"#).at("/rerank").usage(48, 0, 48),
        answer("reranking, billed by a total", JSON, r#"{"results":[],"meta":{"billed_units":{"total_tokens":48}}}"#).at("/v1/rerank").usage(48, 0, 48),
        answer("reranking, billed by searches", JSON, r#"{"results":[],"meta":{"api_version":{"version":"2"},"billed_units":{"search_units":1}}}"#).at("/v2/rerank"),
        answer("a transcription in tokens", JSON, r#"{"text":"a","usage":{"type":"tokens","total_tokens":31,"input_tokens":26,"input_token_details":{"text_tokens":5,"audio_tokens":21},"output_tokens":5}}"#).at("/v1/audio/transcriptions").usage(26, 5, 31),
        answer("a transcription in tokens, without a type", JSON, r#"{"text":"a","usage":{"input_tokens":26,"output_tokens":5}}"#).at("/v1/audio/translations").usage(26, 5, 31),
        answer("a transcription as a stream", SSE, sse(&[r#"{"type":"transcript.text.delta","delta":"a"}"#, r#"{"type":"transcript.text.done","text":"a","usage":{"type":"tokens","total_tokens":59,"input_tokens":14,"output_tokens":45}}"#])).at("/openai/deployments/x/audio/transcriptions").usage(14, 45, 59),
        answer("a transcription in seconds", JSON, r#"{"text":"a","usage":{"type":"duration","seconds":7}}"#).at("/v1/audio/transcriptions"),
        answer("a transcription in seconds, with zeros", JSON, r#"{"text":"a","usage":{"total_tokens":0,"type":"duration","seconds":7,"input_tokens":0,"output_tokens":0}}"#).at("/v1/audio/transcriptions"),
        answer("seconds after tokens", LINES, "{\"usage\":{\"type\":\"tokens\",\"input_tokens\":2,\"output_tokens\":1}}\n{\"usage\":{\"type\":\"duration\",\"input_tokens\":9}}\n{\"usage\":{\"seconds\":1}}\n").usage(2, 1, 3),
        // Bedrock.
        answer("Converse", JSON, r#"{"output":{},"stopReason":"end_turn","usage":{"cacheDetails":[{"inputTokens":9}],"inputTokens":3,"outputTokens":5,"totalTokens":128,"cacheReadInputTokens":100,"cacheWriteInputTokens":20}}"#).usage(123, 5, 128).parts(100, 20, -1),
        answer("Converse, where cached tokens are in the input", JSON, r#"{"usage":{"inputTokens":123,"outputTokens":5,"totalTokens":128,"cacheReadInputTokens":100}}"#).usage(123, 5, 128).parts(100, -1, -1),
        answer("ConverseStream", FRAMES, events(&[("messageStart", r#"{"role":"assistant"}"#), ("messageStop", r#"{"stopReason":"end_turn","p":"ab"}"#), ("metadata", r#"{"usage":{"inputTokens":3,"outputTokens":5,"totalTokens":8},"p":"abc"}"#)])).usage(3, 5, 8).ends(),
        answer("ConverseStream without a label", "", events(&[("messageStart", "{}"), ("metadata", r#"{"usage":{"inputTokens":3,"outputTokens":5,"totalTokens":8}}"#)])).usage(3, 5, 8).ends(),
        answer("ConverseStream, and the beginning of a frame after its end", FRAMES, { let end = events(&[("metadata", r#"{"usage":{"inputTokens":3,"outputTokens":5,"totalTokens":8}}"#)]); [&end, &end[..20]].concat() }).usage(3, 5, 8).ends(),
        answer("an agent's calls that broke off", FRAMES, { let call = events(&[("trace", r#"{"trace":{"orchestrationTrace":{"modelInvocationOutput":{"metadata":{"usage":{"inputTokens":10,"outputTokens":1}}}}}}"#)]); [&call, &call, &call[..60]].concat() }).at("/agents/A/agentAliases/B/sessions/C/text").usage(20, 2, 22).outcome("incomplete"),
        answer("ConverseStream that broke off", FRAMES, events(&[("messageStart", r#"{"role":"assistant"}"#)])).outcome("incomplete"),
        answer("ConverseStream, an exception and counts after its end", FRAMES, [events(&[("messageStart", "{}"), ("metadata", r#"{"usage":{"inputTokens":9,"outputTokens":1,"totalTokens":10}}"#)]), exception("internalServerException", r#"{"message":"x"}"#), events(&[("metadata", r#"{"usage":{"inputTokens":90}}"#)])].concat()).usage(9, 1, 10).ends(),
        answer("InvokeModelWithResponseStream, an exception after its end", FRAMES, [events(&[("chunk", &chunk(r#"{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":9,"outputTokenCount":1}}"#))]), exception("internalServerException", r#"{"message":"x"}"#)].concat()).usage(9, 1, 10).ends(),
        answer("ConverseStream, throttled", FRAMES, [events(&[("messageStart", "{}")]), exception("throttlingException", r#"{"message":"Too many"}"#)].concat()).fails("throttlingException", "Too many"),
        answer("a frame that proves false", FRAMES, { let mut body = events(&[("messageStart", "{}"), ("metadata", r#"{"usage":{"inputTokens":3,"outputTokens":5,"totalTokens":8}}"#)]); *body.last_mut().unwrap() ^= 1; body }).outcome("incomplete"),
        answer("invoke, native counts first", FRAMES, events(&[("chunk", &chunk(message_start)), ("chunk", &chunk(r#"{"type":"message_delta","usage":{"output_tokens":50}}"#)), ("chunk", &chunk(r#"{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":3,"outputTokenCount":9}}"#))])).usage(123, 50, 173).parts(100, 20, -1).ends(),
        answer("invoke, metrics only", FRAMES, events(&[("chunk", &chunk(r#"{"completion":"x","amazon-bedrock-invocationMetrics":{"inputTokenCount":3,"outputTokenCount":9}}"#))])).usage(3, 9, 12).ends(),
        answer("invoke, headers only", JSON, r#"{"outputs":[]}"#).headers(&[("x-amzn-bedrock-input-token-count", "6"), ("x-amzn-bedrock-output-token-count", "10")]).usage(6, 10, 16),
        answer("invoke, output in a header", JSON, r#"{"usage":{"inputTokens":30}}"#).headers(&[("x-amzn-bedrock-input-token-count", "30"), ("x-amzn-bedrock-output-token-count", "51")]).usage(30, 51, 81),
        answer("Titan", JSON, r#"{"inputTextTokenCount":5,"results":[{"tokenCount":3,"outputText":"a"},{"tokenCount":4}]}"#).usage(5, 7, 12),
        answer("Llama", JSON, r#"{"generation":"a","prompt_token_count":5,"generation_token_count":7}"#).usage(5, 7, 12),
        answer("an agent's calls add up", FRAMES, events(&[("trace", r#"{"trace":{"orchestrationTrace":{"modelInvocationOutput":{"metadata":{"usage":{"inputTokens":10,"outputTokens":1}}}}}}"#), ("trace", r#"{"trace":{"postProcessingTrace":{"modelInvocationOutput":{"metadata":{"usage":{"inputTokens":20,"outputTokens":2}}}}}}"#), ("chunk", &chunk(r#"{"usage":{"inputTokens":99}}"#))])).at("/agents/A/agentAliases/B/sessions/C/text").usage(30, 3, 33),
        // Gemini.
        answer("Gemini", JSON, r#"{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":4,"thoughtsTokenCount":6,"toolUsePromptTokenCount":5,"cachedContentTokenCount":3,"totalTokenCount":25}}"#).usage(15, 10, 25).parts(3, -1, 6),
        answer("Gemini stream, where the last counts", SSE, "data: {\"candidates\":[{}],\"usageMetadata\":{\"promptTokenCount\":90,\"candidatesTokenCount\":4,\"totalTokenCount\":94}}\r\n\r\ndata: {\"candidates\":[{\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":87,\"thoughtsTokenCount\":78,\"totalTokenCount\":165}}\r\n\r\n").usage(87, 78, 165).parts(-1, -1, 78),
        answer("Gemini stream that broke off", SSE, sse(&[r#"{"candidates":[{}],"usageMetadata":{"promptTokenCount":90,"totalTokenCount":90}}"#])).usage(90, 0, 90).outcome("incomplete"),
        answer("Gemini array", JSON, "[{\"candidates\":[{}],\"usageMetadata\":{\"promptTokenCount\":9,\"totalTokenCount\":9}}\n,\n{\"candidates\":[{\"finishReason\":1}],\"usageMetadata\":{\"promptTokenCount\":9,\"candidatesTokenCount\":2,\"totalTokenCount\":11}}]").usage(9, 2, 11),
        answer("Gemini array, overloaded", JSON, r#"[{"candidates":[{}],"usageMetadata":{"promptTokenCount":4,"totalTokenCount":4}},{"error":{"code":503,"message":"Overloaded","status":"UNAVAILABLE"}}]"#).usage(4, 0, 4).fails("503", "Overloaded"),
        answer("Gemini, refused", JSON, r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":7,"totalTokenCount":7}}"#).usage(7, 0, 7),
        answer("Cloud Code", JSON, r#"{"response":{"candidates":[],"usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":1,"totalTokenCount":8}}}"#).usage(7, 1, 8),
        answer("Interactions", JSON, r#"{"object":"interaction","usage":{"total_tokens":21,"total_input_tokens":10,"total_cached_tokens":3,"total_output_tokens":4,"total_tool_use_tokens":1,"total_thought_tokens":6}}"#).usage(11, 10, 21).parts(3, -1, 6),
        answer("cached content", JSON, r#"{"name":"x","usageMetadata":{"totalTokenCount":1081}}"#).at("/v1beta/cachedContents/x"),
        // Cohere, Ollama and others.
        answer("Cohere v1", JSON, r#"{"text":"a","finish_reason":"COMPLETE","meta":{"billed_units":{"input_tokens":3,"output_tokens":4},"tokens":{"input_tokens":60,"output_tokens":5},"cached_tokens":48}}"#).usage(60, 5, 65).parts(48, -1, -1),
        answer("Cohere v1 stream", "application/stream+json", "{\"event_type\":\"stream-start\"}\n{\"event_type\":\"stream-end\",\"response\":{\"meta\":{\"tokens\":{\"input_tokens\":60,\"output_tokens\":5}}}}\n").usage(60, 5, 65).ends(),
        answer("Cohere v2", JSON, r#"{"message":{"content":[]},"usage":{"billed_units":{"input_tokens":3,"output_tokens":4},"tokens":{"input_tokens":60,"output_tokens":5}}}"#).usage(60, 5, 65),
        answer("Cohere v2 stream", SSE, sse(&[r#"{"type":"message-start"}"#, r#"{"type":"message-end","delta":{"finish_reason":"COMPLETE","usage":{"tokens":{"input_tokens":60,"output_tokens":5}}}}"#])).usage(60, 5, 65).ends(),
        answer("Cohere v2, failed", SSE, sse(&[r#"{"type":"message-start"}"#, r#"{"type":"message-end","delta":{"finish_reason":"ERROR","error":"internal error"}}"#])).fails("finish_reason=ERROR", "internal error").ends(),
        answer("Cohere embeddings", JSON, r#"{"embeddings":{},"meta":{"billed_units":{"input_tokens":7,"image_tokens":0}}}"#).usage(7, 0, 7),
        answer("Ollama", LINES, "{\"model\":\"m\",\"created_at\":\"t\",\"message\":{\"content\":\"a\"},\"done\":false}\n{\"model\":\"m\",\"created_at\":\"t\",\"done\":true,\"prompt_eval_count\":3,\"eval_count\":4}\n").usage(3, 4, 7).ends(),
        answer("Ollama that broke off", LINES, "{\"model\":\"m\",\"created_at\":\"t\",\"done\":false}\n{\"model\":\"m\",\"created_at\":\"t\",\"done\":false}\n").outcome("incomplete"),
        answer("Ollama, failed", LINES, "{\"model\":\"m\",\"created_at\":\"t\",\"done\":false}\n{\"error\":\"out of memory\"}\n").fails("", "out of memory"),
        answer("repeated counts", SSE, { let chunk = |n: u32| format!(r#"{{"choices":[],"usage":{{"prompt_tokens":1,"completion_tokens":{n},"total_tokens":{}}}}}"#, n + 1); sse(&[&chunk(4), &chunk(4), &chunk(9), &chunk(4), "[DONE]"]) }).usage(1, 4, 5).ends(),
        answer("an error among like events", SSE, sse(&[chat, chat, chat, r#"{"id":"c","object":"chat.completion.chunk","error":{"code":502,"message":"gone"},"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}],"usage":null}"#, chat, "[DONE]"])).fails("502", "gone").ends(),
        answer("a broken line with an end marker", LINES, "!\n{\"type\":\"message_stop\"-\n{").ends(),
        answer("a broken line among lines", LINES, "{oops\n{\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n").usage(1, 2, 3),
        answer("watsonx", SSE, "id: 1\nevent: message\ndata: {\"results\":[{\"generated_token_count\":1,\"input_token_count\":8,\"stop_reason\":\"not_finished\"}]}\n\nid: 2\ndata: {\"results\":[{\"generated_token_count\":5,\"input_token_count\":0,\"stop_reason\":\"eos_token\"}]}\n\n").usage(8, 5, 13),
        answer("watsonx that broke off", SSE, sse(&[r#"{"results":[{"generated_token_count":1,"input_token_count":8,"stop_reason":"not_finished"}]}"#])).usage(8, 1, 9).outcome("incomplete"),
        answer("TGI", JSON, r#"[{"generated_text":"a","details":{"prefill":[{"id":1},{"id":2}],"generated_tokens":5}}]"#).usage(2, 5, 7),
        answer("TGI, refused", SSE, sse(&[r#"{"error":"Input validation error","error_type":"validation"}"#])).fails("validation", "Input validation error"),
        answer("Aleph Alpha", JSON, r#"{"num_tokens_prompt_total":9,"num_tokens_generated":10}"#).usage(9, 10, 19),
        answer("Replicate", JSON, r#"{"error":null,"metrics":{"input_token_count":9,"output_token_count":10}}"#).usage(9, 10, 19),
        // Agents.
        answer("agent", JSON, r#"{"success":true,"agent_response":"{\"error\": 1}","token_usage":{"input_tokens":9,"output_tokens":10,"total_tokens":19}}"#).usage(9, 10, 19),
        answer("agent, zero is zero", JSON, r#"{"success":true,"token_usage":{"input_tokens":0,"output_tokens":0,"total_tokens":0}}"#).usage(0, 0, 0),
        answer("agent, failed", JSON, r#"{"success": false, "error": "No such document", "error_type": "NotFound", "token_usage": {"input_tokens": 9, "output_tokens": 1, "total_tokens": 10}}"#).usage(9, 1, 10).fails("NotFound", "No such document"),
        answer("agent, failed with a message", JSON, r#"{"success":false,"message":"Sorry \u2014 no"}"#).fails("", "Sorry \u{2014} no"),
        answer("agent, usage in a text", JSON, r#"{"result":"{\"token_usage\": {\"input_tokens\": 5}}"}"#),
        answer("agent, a text", JSON, r#""plain text""#),
        answer("Strands events add up", SSE, sse(&[r#"{"event":{"metadata":{"usage":{"inputTokens":10,"outputTokens":1,"totalTokens":11}}}}"#, r#""text""#, r#"{"event":{"metadata":{"usage":{"inputTokens":20,"outputTokens":2,"totalTokens":22}}}}"#])).usage(30, 3, 33),
        answer("Strands, this invocation", JSON, r#"{"metrics":{"accumulated_usage":{"inputTokens":90,"outputTokens":9},"agent_invocations":[{"usage":{"inputTokens":60,"outputTokens":6}},{"usage":{"inputTokens":30,"outputTokens":3},"cycles":[{"usage":{"inputTokens":30}}]}]}}"#).usage(30, 3, 33),
        answer("AgentCore, failed half-way", SSE, sse(&[r#"{"event":{"metadata":{"usage":{"inputTokens":10,"outputTokens":1}}}}"#, r#"{"error": "Read timeout", "error_type": "ReadTimeoutError", "message": "An error occurred during streaming"}"#])).usage(10, 1, 11).fails("ReadTimeoutError", "Read timeout"),
        answer("AG-UI", SSE, sse(&[r#"{"type":"RUN_STARTED"}"#, r#"{"type":"RUN_FINISHED","usage":[{"inputTokens":10,"outputTokens":1,"totalTokens":11,"cachedInputTokens":4},{"inputTokens":20,"outputTokens":2,"totalTokens":22}]}"#])).usage(30, 3, 33).parts(4, -1, -1).ends(),
        answer("AG-UI, failed", SSE, sse(&[r#"{"type":"RUN_STARTED"}"#, r#"{"type":"RUN_ERROR","message":"throttled","code":"Throttling"}"#])).fails("Throttling", "throttled").ends(),
        answer("A2A", JSON, r#"{"jsonrpc":"2.0","result":{"kind":"task","status":{"state":"completed"},"metadata":{"usage":{"inputTokens":12,"outputTokens":7,"totalTokens":19}}}}"#).usage(12, 7, 19),
        answer("A2A, failed", JSON, r#"{"jsonrpc":"2.0","result":{"status":{"state":"failed","message":{"parts":[{"kind":"text","text":"no quota"}]}}}}"#).fails("failed", "no quota"),
        answer("MCP, failed", JSON, r#"{"jsonrpc":"2.0","result":{"content":[{"type":"text","text":"no file"}],"isError":true}}"#).fails("isError", "no file"),
        answer("JSON-RPC, failed", JSON, r#"{"jsonrpc":"2.0","error":{"code":-32603,"message":"Internal error"}}"#).fails("-32603", "Internal error"),
        // Errors, and what only looks like one.
        answer("error and the end", SSE, sse(&[r#"{"error":{"message":"quota exceeded","code":null,"type":"quota"}}"#, "[DONE]"])).fails("quota", "quota exceeded").ends(),
        answer("error in a choice", JSON, r#"{"choices":[{"finish_reason":"error","error":{"code":502,"message":"Provider returned error"}}],"usage":{"prompt_tokens":10,"completion_tokens":0,"total_tokens":10}}"#).usage(10, 0, 10).fails("502", "Provider returned error"),
        answer("error null", JSON, r#"{"error":null,"usage":{"prompt_tokens":1,"completion_tokens":2}}"#).usage(1, 2, 3),
        answer("error empty", JSON, r#"{"error":"","errors":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#).usage(1, 2, 3),
        answer("error status", JSON, r#"{"error":{"message":"Rate limit","type":"requests","code":"rate_limit_exceeded"}}"#).status(429).outcome("http_429"),
        answer("error status with usage", JSON, r#"{"detail":"no","usage":{"prompt_tokens":1,"completion_tokens":2}}"#).status(500).outcome("http_500").usage(1, 2, 3),
        answer("error status without JSON", "text/html", "<html>Bad gateway</html>").status(502).outcome("http_502"),
        // Counts that are not numbers, or not valid.
        answer("invalid counts", JSON, r#"{"usage":{"prompt_tokens":null,"completion_tokens":4,"total_tokens":"14","prompt_tokens_details":{"cached_tokens":1.5},"completion_tokens_details":{"reasoning_tokens":-2},"num_cached_tokens":99999999999999999999}}"#).usage(10, 4, 14).parts(1, -1, -1),
        answer("invalid counts only", JSON, r#"{"usage":{"prompt_tokens":1e3,"completion_tokens":true,"total_tokens":[7]}}"#).usage(1000, 0, 1000),
        answer("the largest count", JSON, r#"{"usage":{"prompt_tokens":18446744073709551615,"completion_tokens":4}}"#).usage(-2, 4, -2),
        // Bodies that are not an agent's answer.
        answer("nothing", JSON, ""),
        answer("a page", "text/html", "<html>data: {}</html>"),
        answer("a document cut", JSON, r#"{"success":true,"agent_response":"and th"#).outcome("incomplete"),
        answer("not JSON", JSON, "{\n  this isn't json!\n}"),
        answer("deep", JSON, format!("{}{}", r#"{"choices":[{"message":"#.repeat(50), "[".repeat(300))).outcome("incomplete"),
        answer("an unknown encoding", JSON, "\u{1}\u{2}").headers(&[("content-encoding", "rot13")]),
    ]
}

fn reader(answer: &Answer, encoding: Option<&'static str>) -> UsageReader {
    let mut headers = HeaderMap::new();
    for (name, value) in answer.headers {
        headers.insert(*name, HeaderValue::from_static(value));
    }
    if !answer.content_type.is_empty() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    }
    if let Some(encoding) = encoding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    let status = StatusCode::from_u16(answer.status).unwrap();
    UsageReader::new(ResponseHead::new(
        status,
        &headers,
        RequestHint::new(&Method::POST, answer.path),
    ))
}

/// Reads the body in these chunks. Also returns whether the end marker was seen.
fn read<'a>(
    answer: &Answer,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    end: End<'_>,
) -> (Reading, bool) {
    let mut reader = reader(answer, None);
    let mut ended = false;
    for piece in pieces {
        ended |= reader.feed(piece) == Progress::Ended;
    }
    (reader.finish(end), ended)
}

fn class(reading: &Reading) -> &str {
    match &reading.outcome {
        Outcome::Success => "success",
        Outcome::Error(error) => &error.class,
        other => panic!("unknown outcome {other:?}"),
    }
}

fn expected(figures: Option<Counts>) -> Option<TokenUsage> {
    let figures = figures?.map(|figure| match figure {
        -1 => None,
        -2 => Some(u64::MAX),
        figure => u64::try_from(figure).ok(),
    });
    let mut usage = TokenUsage::default();
    [usage.input_tokens, usage.output_tokens, usage.total_tokens] =
        [figures[0], figures[1], figures[2]];
    usage.cache_read_input_tokens = figures[3];
    usage.cache_write_input_tokens = figures[4];
    usage.reasoning_tokens = figures[5];
    Some(usage)
}

#[test]
fn each_answer_is_read_as_it_is_meant() {
    for answer in answers() {
        let (reading, ended) = read(&answer, [&*answer.body], End::Complete);
        let name = answer.name;
        // `response_info` has how long what is cached is kept.
        let usage = reading.usage.map(|mut usage| {
            usage.cache_write_5m_input_tokens = None;
            usage.cache_write_1h_input_tokens = None;
            usage
        });
        assert_eq!(usage, expected(answer.usage), "{name}");
        assert_eq!(class(&reading), answer.outcome, "{name}: {reading:?}");
        assert_eq!(ended, answer.ended, "{name}: {reading:?}");
        assert!(reading.complete || !ended, "{name}");
        if let (Outcome::Error(error), Some(message)) = (&reading.outcome, answer.message) {
            assert_eq!(error.message.as_str(), message, "{name}");
            assert_eq!(reading.error_code.as_deref(), answer.code, "{name}");
        }
    }
}

#[test]
fn cuts_do_not_matter() {
    for answer in answers() {
        let whole = read(&answer, [&*answer.body], End::Complete);
        for at in 0..answer.body.len() {
            let (a, b) = answer.body.split_at(at);
            assert_eq!(read(&answer, [a, b], End::Complete), whole, "{} cut at {at}", answer.name);
        }
        for size in [1, 2, 3, 5, 7, 64] {
            let pieces = answer.body.chunks(size);
            assert_eq!(read(&answer, pieces, End::Complete), whole, "{} by {size}", answer.name);
        }
    }
}

#[test]
fn line_ends_and_a_mark_at_the_beginning_do_not_matter() {
    for answer in answers().into_iter().filter(|answer| answer.content_type == SSE) {
        let lf = String::from_utf8(answer.body.clone()).unwrap().replace("\r\n", "\n");
        let whole = read(&answer, [&*answer.body], End::Complete);
        for body in [
            lf.replace('\n', "\r\n"),
            lf.replace('\n', "\r"),
            format!("\u{feff}{lf}"),
            lf.replace("data: ", "data:"),
            lf.trim_end().to_owned(),
            format!(": comment\n{}", lf.replace("\n\n", "\n: comment\nid: 1\nretry: 5\n\n")),
            // One document over several data lines.
            lf.replace(",\"", ",\ndata: \"").replace("[DONE]\n\n", "[DONE]\n"),
        ] {
            for size in [1, 7, usize::MAX] {
                let pieces = body.as_bytes().chunks(size);
                let (reading, ended) = read(&answer, pieces, End::Complete);
                assert_eq!(reading, whole.0, "{} by {size}: {body:?}", answer.name);
                // The blank line after the last event may be missing; the event counts anyway.
                assert!(ended <= whole.1, "{}", answer.name);
            }
        }
    }
}

#[test]
fn an_end_marker_outweighs_the_transport() {
    for answer in answers() {
        let (complete, ended) = read(&answer, [&*answer.body], End::Complete);
        let (dropped, _) = read(&answer, [&*answer.body], End::Dropped);
        let (failed, _) = read(&answer, [&*answer.body], End::Failed(&"connection reset"));
        let (late, _) = read(&answer, [&*answer.body], End::Failed(&"operation timed out"));
        let name = answer.name;
        assert_eq!(dropped.usage, complete.usage, "{name}");
        if ended || !matches!(answer.outcome, "success" | "incomplete") {
            assert_eq!([&dropped, &failed, &late], [&complete; 3], "{name}");
        } else {
            let expected = if complete.complete { "success" } else { "cancelled" };
            assert_eq!(class(&dropped), expected, "{name}");
            assert_eq!(class(&failed), "transport", "{name}");
            assert_eq!(class(&late), "timeout", "{name}");
        }
    }
}

#[test]
fn done_waits_for_no_blank_line() {
    for body in ["data: {\"id\":1}\n\ndata: [DONE]\n", "data:[DONE]\r\n", ": x\n\ndata: [DONE]\n"] {
        for cut in 0..body.len() {
            let mut reader = reader(&answer("", SSE, ""), None);
            let (first, second) = body.as_bytes().split_at(cut);
            reader.feed(first);
            assert_eq!(reader.feed(second), Progress::Ended, "{body:?} cut at {cut}");
        }
    }
}

#[test]
fn only_data_that_is_done_and_nothing_else_ends_a_stream() {
    let usage = r#"data: {"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#;
    for (data, ends) in [
        ("data: [DONE]\n", true),
        ("data: [DONE] \t\n", true),
        ("event: x\ndata:[DONE]\n", true),
        ("data: [DONE]x\n", false),
        ("data: [DONE] [DONE]\n", false),
        ("data: [DONE\n", false),
        ("data: [DO\ndata: NE]\n", false),
        ("data:\ndata: [DONE]\n", false),
        ("data: [\ndata: DONE]\n", false),
        ("event: [DONE]\n", false),
    ] {
        let body = format!("{data}\n{usage}\n\n");
        let answer = answer("", SSE, &body);
        for size in [1, 3, usize::MAX] {
            let (reading, ended) = read(&answer, body.as_bytes().chunks(size), End::Complete);
            assert_eq!(ended, ends, "{data:?}");
            let expected = (!ends).then(|| TokenUsage::new(1, 2));
            assert_eq!(reading.usage, expected, "{data:?}");
        }
    }
}

#[test]
fn nothing_behind_the_end_marker_counts_in_whatever_pieces() {
    for error in ["data: {\"error\":{\"message\":\"late\"}}\n\n", "event: error\ndata: late\n\n"] {
        for end in ["\n", "\r\n", "\r"] {
            let body = format!("data: {{\"id\":1}}\n\ndata: [DONE]\n{error}").replace('\n', end);
            let answer = answer("", SSE, &body);
            for size in [1, 20, usize::MAX] {
                let (reading, ended) = read(&answer, body.as_bytes().chunks(size), End::Complete);
                assert!(ended, "{body:?} by {size}");
                assert_eq!(class(&reading), "success", "{body:?} by {size}");
            }
        }
    }
}

#[test]
fn a_field_whose_name_ends_in_data_is_another_field() {
    // Longer than what is buffered, so that the reader itself sees the cut.
    let comment = "x".repeat(2000);
    for name in ["metadata", "xdata", " data"] {
        let first =
            format!("event: ping\n: {comment}\n{name}: {{\"error\":{{\"message\":\"gone\"}}}}\n");
        let body = format!(
            "{first}data: {{\"usage\":{{\"prompt_tokens\":1,\"completion_tokens\":2}}}}\n\n"
        );
        let answer = answer("", SSE, &body);
        for cut in 2000..body.len() {
            let (a, b) = body.as_bytes().split_at(cut);
            let reading = read(&answer, [a, b], End::Complete).0;
            assert_eq!(class(&reading), "success", "{name} cut at {cut}");
            assert_eq!(reading.usage, Some(TokenUsage::new(1, 2)), "{name} cut at {cut}");
        }
    }
}

#[test]
fn a_line_without_a_colon_ends_no_event_and_hides_no_end() {
    let usage = r#"{"usage":{"prompt_tokens":1,"#;
    let rest = r#""completion_tokens":2}}"#;
    for body in [
        format!("data: {{\"id\":1}}\nretry\n\ndata: {usage}{rest}\n\n"),
        format!("data: {usage}\nretry\ndata: {rest}\n\n"),
    ] {
        for end in ["\n", "\r\n", "\r"] {
            let body = body.replace('\n', end);
            let answer = answer("", SSE, &body);
            for size in [1, 3, usize::MAX] {
                let reading = read(&answer, body.as_bytes().chunks(size), End::Complete).0;
                assert_eq!(reading.usage, Some(TokenUsage::new(1, 2)), "{body:?} by {size}");
            }
        }
    }
}

#[test]
fn the_name_of_the_last_event_counts_without_the_end_of_its_line() {
    for (name, expected) in [("error", "agent"), ("erro", "success"), ("message", "success")] {
        let body = format!("data: {{\"id\":1}}\nevent: {name}");
        let answer = answer("", SSE, &body);
        for size in [1, usize::MAX] {
            let reading = read(&answer, body.as_bytes().chunks(size), End::Complete).0;
            assert_eq!(class(&reading), expected, "{body:?} by {size}");
        }
    }
}

#[test]
fn several_lines_of_data_are_joined_by_a_line_feed() {
    for (first, second, expected) in [
        // In a number, the line feed makes it no JSON.
        (r#"{"usage":{"prompt_tokens":1"#, r#"2,"completion_tokens":3}}"#, None),
        (r#"{"usage":{"prompt_tokens":12"#, r#","completion_tokens":3}}"#, Some(15)),
        (r#"{"usage":{"prompt_tokens":12,"completion_tokens":3"#, "}}", Some(15)),
        // A key with a line feed is another key.
        (r#"{"usage":{"prompt_"#, r#"tokens":12,"completion_tokens":3}}"#, Some(3)),
    ] {
        for end in ["\n", "\r\n", "\r"] {
            let body = format!("data: {first}{end}data: {second}{end}{end}");
            let answer = answer("", SSE, &body);
            for size in [1, 5, usize::MAX] {
                let reading = read(&answer, body.as_bytes().chunks(size), End::Complete).0;
                let total = reading
                    .usage
                    .and_then(|usage| Some(usage.input_tokens? + usage.output_tokens?));
                assert_eq!(total, expected, "{body:?}");
            }
        }
    }
}

#[test]
fn a_document_that_is_cut_off_is_incomplete_if_it_is_announced_or_recognized() {
    let recognized = r#"{"usage":{"prompt_tokens":1,"completion_tokens":2},"choices":[{"te"#;
    let other = r#"{"trades":[{"isin":"DE000"#;
    for (content_type, body, expected) in [
        (JSON, recognized, "incomplete"),
        (JSON, other, "incomplete"),
        ("", recognized, "incomplete"),
        ("text/plain", recognized, "incomplete"),
        ("", other, "success"),
        ("text/plain", other, "success"),
        ("text/plain", "{in braces}, as people write", "success"),
    ] {
        let answer = answer("", content_type, body);
        let reading = read(&answer, [body.as_bytes()], End::Complete).0;
        assert_eq!(class(&reading), expected, "{body} as {content_type:?}: {reading:?}");
    }
}

#[test]
fn where_each_line_is_a_document_one_that_is_none_costs_only_itself() {
    let usage = r#"{"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
    for (content_type, is_read) in [
        (LINES, true),
        ("application/jsonl", true),
        ("Application/JsonL; charset=utf-8", true),
        ("application/stream+json", true),
        (JSON, false),
        ("application/problem+json", false),
    ] {
        for first in ["{oops", "<p>Please be patient.</p>", "<>"] {
            let body = format!("{first}\n{usage}\n");
            let answer = answer("", content_type, &body);
            for size in [1, usize::MAX] {
                let reading = read(&answer, body.as_bytes().chunks(size), End::Complete).0;
                let expected = is_read.then(|| TokenUsage::new(1, 2));
                assert_eq!(reading.usage, expected, "{content_type}: {body:?} by {size}");
            }
        }
    }
}

#[test]
fn a_body_that_begins_with_a_zero_need_not_be_frames() {
    let film = b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41";
    for content_type in ["video/mp4", "application/octet-stream", "", JSON] {
        for len in [1, 11, 12, 13, film.len()] {
            let answer = answer("", content_type, &film[..len]);
            let reading = read(&answer, [&film[..len]], End::Complete).0;
            assert_eq!(class(&reading), "success", "{len} bytes as {content_type}: {reading:?}");
        }
    }
}

#[test]
fn a_body_of_a_few_bytes_is_something_too() {
    // All but the last begin like something else, and end before they are that.
    for body in ["d", "dat", "event", "<p>", "<!doc", "\0", "no"] {
        let answer = answer("", JSON, body).at("/v1/chat/completions");
        let reading = read(&answer, [body.as_bytes()], End::Complete).0;
        assert_eq!(class(&reading), "success", "{body:?}: {reading:?}");
    }
}

#[test]
fn an_error_that_is_cut_off_says_what_it_has_said() {
    let body = r#"{"error":{"code":"quota","message":"no credits","type":"x"#;
    for content_type in [JSON, LINES, ""] {
        let answer = answer("", content_type, body).status(429);
        for size in [1, usize::MAX] {
            let reading = read(&answer, body.as_bytes().chunks(size), End::Complete).0;
            let Outcome::Error(error) = &reading.outcome else { panic!("{reading:?}") };
            assert_eq!(error.message.as_str(), "no credits", "{content_type} by {size}");
            assert_eq!(reading.error_code.as_deref(), Some("quota"), "{content_type} by {size}");
        }
    }
}

#[test]
fn an_error_that_says_nothing_is_named_by_its_status() {
    for (status, message) in [
        (404, "Not Found"),
        (499, "the request was refused"),
        (500, "Internal Server Error"),
        (529, "Overloaded"),
        (599, "the agent's server failed"),
        (600, "the agent's server failed"),
    ] {
        let answer = answer("", JSON, "{}").status(status);
        let Outcome::Error(error) = read(&answer, [&*answer.body], End::Complete).0.outcome else {
            panic!("{status} is an error");
        };
        assert_eq!(error.class, format!("http_{status}"));
        assert_eq!(error.message.as_str(), message, "{status}");
    }
}

#[test]
fn what_the_headers_of_an_error_frame_say_is_its_error() {
    let kind = (":message-type", "error");
    let (code, text) = ((":error-code", "InternalFailure"), (":error-message", "it broke"));
    for (headers, expected, message) in [
        (&[kind, code, text][..], Some("InternalFailure"), "it broke"),
        (&[text, kind], Some("exception"), "it broke"),
        (&[code, kind], Some("InternalFailure"), "InternalFailure"),
        (&[kind], Some("exception"), "exception"),
        (
            &[(":exception-type", "throttled"), (":message-type", "exception")],
            Some("throttled"),
            "throttled",
        ),
    ] {
        let body = frame(headers, b"");
        let answer = answer("", FRAMES, &body);
        for size in [1, usize::MAX] {
            let reading = read(&answer, body.chunks(size), End::Complete).0;
            let Outcome::Error(error) = &reading.outcome else { panic!("{headers:?}") };
            assert_eq!((&*error.class, error.message.as_str()), ("agent", message), "{headers:?}");
            assert_eq!(reading.error_code.as_deref(), expected, "{headers:?}");
        }
    }
}

#[test]
fn a_frame_that_is_cut_off_counts_for_nothing() {
    let first = events(&[("messageStart", r#"{"role":"assistant"}"#)]);
    let usage = r#"{"usage":{"inputTokens":7,"outputTokens":3,"totalTokens":10}}"#;
    let last = events(&[("metadata", usage)]);
    for cut in 1..=last.len() {
        let body = [&*first, &last[..cut]].concat();
        let answer = answer("", FRAMES, &body);
        let is_whole = cut == last.len();
        let mut live = reader(&answer, None);
        assert_eq!(live.feed(&body) == Progress::Ended, is_whole, "cut at {cut}");
        assert_eq!(live.usage(), is_whole.then(|| TokenUsage::new(7, 3)), "cut at {cut}");
        let reading = read(&answer, [&*body], End::Complete).0;
        assert_eq!(reading.usage, is_whole.then(|| TokenUsage::new(7, 3)), "cut at {cut}");
        assert_eq!(class(&reading), if is_whole { "success" } else { "incomplete" });
    }
}

#[test]
fn a_model_has_not_finished_in_a_frame_that_is_cut_off() {
    let first = events(&[("messageStart", r#"{"role":"assistant"}"#)]);
    let last = events(&[("messageStop", r#"{"stopReason":"end_turn"}"#)]);
    for cut in 1..=last.len() {
        let body = [&*first, &last[..cut]].concat();
        let answer = answer("", FRAMES, &body);
        for size in [1, usize::MAX] {
            let reading = read(&answer, body.chunks(size), End::Dropped).0;
            let expected = if cut == last.len() { "success" } else { "cancelled" };
            assert_eq!(class(&reading), expected, "cut at {cut}: {reading:?}");
        }
    }
}

#[test]
fn a_stream_of_frames_ends_between_two_of_them() {
    let event = events(&[("chunk", &chunk(r#"{"outputText":"a"}"#))]);
    for content_type in [FRAMES, ""] {
        for more in 0..=event.len() {
            let body = [&*event, &event[..more]].concat();
            let answer = answer("", content_type, &body);
            let reading = read(&answer, [&*body], End::Complete).0;
            let is_whole = more == 0 || more == event.len();
            let expected = if is_whole { "success" } else { "incomplete" };
            assert_eq!(class(&reading), expected, "{content_type:?}, {more} bytes: {reading:?}");
        }
    }
}

#[test]
fn a_body_in_parts_ends_with_the_frame_of_its_end_marker_or_with_the_stream() {
    let part = |text: &str| events(&[("PayloadPart", text)]);
    let done = [part("data: {\"id\":1}\n\ndata: [DO"), part("NE]\n\n")].concat();
    let answer_done = answer("", FRAMES, &done);
    for size in [1, 5, usize::MAX] {
        let mut reader = reader(&answer_done, None);
        for piece in done[..done.len() - 1].chunks(size) {
            assert_eq!(reader.feed(piece), Progress::More, "by {size}");
        }
        assert_eq!(reader.feed(&done[done.len() - 1..]), Progress::Ended, "by {size}");
    }
    // The last event has no blank line.
    let open = part(r#"data: {"usage":{"prompt_tokens":1,"completion_tokens":2}}"#);
    let reading = read(&answer("", FRAMES, &open), [&*open], End::Complete).0;
    assert_eq!(reading.usage, Some(TokenUsage::new(1, 2)));
}

#[test]
fn the_headers_of_an_error_frame_outrank_its_payload() {
    let headers =
        [(":message-type", "error"), (":error-code", "Throttled"), (":error-message", "slow down")];
    let body = frame(&headers, br#"{"error":{"message":"later","code":"other"}}"#);
    let reading = read(&answer("", FRAMES, &body), [&*body], End::Complete).0;
    let Outcome::Error(error) = &reading.outcome else { panic!("{reading:?}") };
    assert_eq!(error.message.as_str(), "slow down");
    assert_eq!(reading.error_code.as_deref(), Some("Throttled"));
}

#[test]
fn frames_are_a_stream_whether_or_not_they_are_announced() {
    let body = events(&[("chunk", &chunk(r#"{"type":"text-delta","delta":"x"}"#))]);
    for content_type in [FRAMES, ""] {
        let answer = answer("", content_type, &body);
        for size in [1, usize::MAX] {
            let reading = read(&answer, body.chunks(size), End::Complete).0;
            assert_eq!(class(&reading), "incomplete", "{content_type:?} by {size}: {reading:?}");
        }
    }
    // In a single document, the same is no stream that has to end.
    let document = r#"{"type":"text-delta","delta":"x"}"#;
    let reading = read(&answer("", JSON, document), [document.as_bytes()], End::Complete).0;
    assert_eq!(class(&reading), "success");
}

#[test]
fn the_state_of_a_task_names_its_format() {
    let body = r#"{"result":{"status":{"state":"TASK_STATE_COMPLETED"}}}"#;
    let reading = read(&answer("", JSON, body), [body.as_bytes()], End::Complete).0;
    assert_eq!(reading.format, Some("a2a"));
    let body = body.replace("TASK_STATE_", "");
    let reading = read(&answer("", JSON, &body), [body.as_bytes()], End::Complete).0;
    assert_eq!(reading.format, None);
}

#[test]
fn the_message_of_a_chunk_explains_an_error_status() {
    let body = events(&[("chunk", r#"{"message":"no such model"}"#)]);
    let answer = answer("", FRAMES, &body).status(404);
    for size in [1, usize::MAX] {
        let reading = read(&answer, body.chunks(size), End::Complete).0;
        let Outcome::Error(error) = &reading.outcome else { panic!("{reading:?}") };
        assert_eq!(error.message.as_str(), "no such model");
    }
}

#[test]
fn the_kind_of_a_frame_may_stand_behind_a_kilobyte_of_other_headers() {
    let kind = [(":exception-type", "throttlingException"), (":message-type", "exception")];
    let of_kind: usize = kind.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    for (before, is_read) in [(500, true), (1024 - of_kind, true), (1025 - of_kind, false)] {
        let other = "x".repeat(before - 4 - 1);
        let headers: Vec<_> = [("x", &*other)].into_iter().chain(kind).collect();
        let body = frame(&headers, br#"{"message":"slow down"}"#);
        let answer = answer("", FRAMES, &body);
        for size in [1, 100, usize::MAX] {
            let reading = read(&answer, body.chunks(size), End::Complete).0;
            let expected = if is_read { "agent" } else { "success" };
            assert_eq!(class(&reading), expected, "behind {before} bytes: {reading:?}");
        }
    }
}

#[test]
fn the_text_of_an_error_event_is_read_alike_in_pieces() {
    for space in ["", " ", "\t ", "\u{c}", " \u{c}\u{c}"] {
        let body = format!("a\r\revent:error\ndata:{space}no seats\ndata:left\n\n");
        let answer = answer("", SSE, body.as_bytes());
        for size in 1..=body.len() {
            let reading = read(&answer, body.as_bytes().chunks(size), End::Complete).0;
            let Outcome::Error(error) = &reading.outcome else { panic!("{body:?}: {reading:?}") };
            assert_eq!(error.message.as_str(), "no seats left", "{body:?} in pieces of {size}");
        }
    }
}

#[test]
fn a_large_event_is_read_to_its_end() {
    let text = "x\\\"y ".repeat(20_000);
    let event = format!(
        r#"{{"type":"response.completed","response":{{"output":"{text}","usage":{{"input_tokens":3,"output_tokens":4,"total_tokens":7}}}}}}"#
    );
    let answer = answer("large", SSE, sse(&[&event])).usage(3, 4, 7);
    for size in [1, 100, 1400, 16_384, usize::MAX] {
        let (reading, ended) = read(&answer, answer.body.chunks(size), End::Dropped);
        assert!(ended);
        assert_eq!(reading.usage, expected(answer.usage));
    }
}

#[test]
fn escapes_in_keys_and_strings_of_any_length_are_seen() {
    let usage = r#""usage":{"total_tokens":7}"#;
    for len in 0..150 {
        let long = "k".repeat(len);
        for body in [
            format!(r#"{{"{long}\"x":1,{usage}}}"#),
            format!(r#"{{"{long}\\":1,{usage}}}"#),
            format!(r#"{{"a":"{long}\",\"usage\":{{\"total_tokens\":1}}",{usage}}}"#),
            format!(r#"{{"a":"{long}\\",{usage}}}"#),
            format!(r#"{{"a":{{"b":"{long}\"}}"}},{usage}}}"#),
            format!(r#"{{"type":"{long}\"","\u0075sage":{{"total\u005ftokens":7}}}}"#),
        ] {
            let answer = answer("escapes", JSON, &body).usage(-1, -1, 7);
            for size in [1, 7, 64, usize::MAX] {
                let (reading, _) = read(&answer, answer.body.chunks(size), End::Complete);
                assert_eq!(reading.usage, expected(answer.usage), "{body} in pieces of {size}");
                assert!(reading.complete, "{body} in pieces of {size}");
            }
        }
        // This is not JSON, but must be read the same way.
        for (body, total) in [
            (format!(r#"{{"a":"{long}\,"usage":{{"total_tokens":1}}}}"#), None),
            (format!(r#"{{"a":1\,"{long}":1,"usage":{{"total_tokens":1}}}}"#), Some(1)),
        ] {
            let answer = answer("escapes", JSON, &body);
            for size in [1, 7, usize::MAX] {
                let (reading, _) = read(&answer, answer.body.chunks(size), End::Complete);
                let found = reading.usage.and_then(|usage| usage.total_tokens);
                assert_eq!(found, total, "{body} in pieces of {size}");
            }
        }
    }
}

/// With quadratic work in these lengths, the test would not end.
#[test]
fn hostile_bodies_are_read_in_linear_time_and_kept_in_small_part() {
    const LEN: usize = 1 << 17;
    let long = |begin: &str, part: &str| format!("{begin}{}", part.repeat(LEN / part.len()));
    for body in [
        long("", "["),
        long("", r#"{"a":"#),
        long("", r#"{"choices":["#),
        long("", r#"{"usage":"#),
        long("", "{}"),
        long("[", "{},"),
        long("", "\""),
        long("{\"a\":\"", "\\"),
        long("{\"a\":\"", "\\\""),
        long("{\"a\":[\"", "\\\\\\\""),
        long("{\"", "k"),
        long("{\"", r"\u0061"),
        long("{\"usage\":{\"total_tokens\":", "1"),
        long("{\"type\":\"", "x"),
        long("{\"error\":{\"message\":\"", "\\n"),
        long("{\"a\"", " "),
        long("", "data: \n"),
        long("data: {", "data: \n"),
        long("data: ", "[DONE]"),
        long("", "data: {\"a\":1}\n\n"),
        long("", "event: x\r"),
        long(":", "\u{feff}"),
        long("", "\0"),
    ] {
        for label in [JSON, SSE, LINES, FRAMES] {
            let answer = answer("hostile", label, &body);
            let whole = read(&answer, [body.as_bytes()], End::Complete).0;
            assert_eq!(read(&answer, body.as_bytes().chunks(1400), End::Complete).0, whole);
            if let Outcome::Error(error) = &whole.outcome {
                assert!(error.message.as_str().len() <= 4096, "{label} {}", &body[..40]);
            }
        }
    }
}

#[test]
fn live_figures_come_as_they_are_read() {
    let answer = answer("live", SSE, "");
    let mut reader = reader(&answer, None);
    for (event, total) in [
        (r#"{"type":"message_start","message":{"usage":{"input_tokens":5,"output_tokens":1}}}"#, 6),
        (r#"{"type":"message_delta","usage":{"output_tokens":9}}"#, 14),
    ] {
        assert_eq!(reader.feed(sse(&[event]).as_bytes()), Progress::More);
        assert_eq!(reader.usage().unwrap().total_tokens, Some(total));
    }
    // With it, the state of a call still fits into what malloc serves from a thread's own cache.
    assert!(size_of::<UsageReader>() <= 832, "{} bytes", size_of::<UsageReader>());
}

#[test]
fn a_reader_can_cross_threads() {
    fn check<T: Send + Sync + std::fmt::Debug + 'static>() {}
    check::<UsageReader>();
}

/// Bytes with a meaning in some format, so that garbage gets far into the reader.
fn scraps() -> impl Strategy<Value = Vec<u8>> {
    let scrap = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\",
        "\n",
        "\n\n",
        "\r\n",
        "\r",
        "data: ",
        "event: error",
        "\revent:error\ndata:",
        "\u{c}",
        "[DONE]",
        "\"usage\":",
        "\"error\":",
        "\"choices\":",
        "\"prompt_tokens\":",
        "\"completion_tokens\":4",
        "12",
        "-",
        "null",
        "true",
        "{\"usage\":{\"total_tokens\":5}}",
        "\\u0075",
        "\"type\":\"error\"",
        "\"content\":\"",
        "\"delta\"",
        " ",
        "x",
        "\u{feff}",
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n",
        "{\"created_at\":\"1\",\"done\":false}\n",
        "\"done\":true",
    ]);
    prop::collection::vec(scrap, 0..60).prop_map(|scraps| scraps.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn garbage_is_read_alike_in_any_pieces(
        body in scraps(),
        label in prop::sample::select(vec![JSON, SSE, LINES, FRAMES, ""]),
        cuts in prop::collection::vec(1_usize..40, 1..40),
    ) {
        let answer = answer("garbage", label, &body);
        let whole = read(&answer, [&*body], End::Complete).0;
        let mut pieces = Vec::new();
        let mut rest = &*body;
        for cut in cuts.iter().cycle() {
            if rest.is_empty() { break; }
            let (piece, left) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = left;
        }
        prop_assert_eq!(&read(&answer, pieces, End::Complete).0, &whole);
        prop_assert_eq!(&read(&answer, body.chunks(1), End::Complete).0, &whole);
    }

    #[test]
    fn documents_are_read_as_serde_json_reads_them(document in documents(), pretty: bool, cut in 1_usize..50) {
        let text = if pretty { serde_json::to_vec_pretty(&document) } else { serde_json::to_vec(&document) };
        let answer = answer("generated", JSON, text.unwrap());
        // A fraction is dropped, and what is negative or too large counts for nothing.
        let number = |key: &str| {
            let value = &document["usage"][key];
            let truncated = value.as_f64().filter(|value| (0.0..1e19).contains(value));
            value.as_u64().or(truncated.map(|value| value as u64))
        };
        let known = [number("prompt_tokens"), number("completion_tokens"), number("total_tokens")];
        let (input, output, total) = match known {
            [None, None, None] => (None, None, None),
            [None, None, Some(total)] => (None, None, Some(total)),
            [input, output, total] => {
                let rest = |part: Option<u64>| {
                    total.unwrap_or(0).saturating_sub(part.unwrap_or(0))
                };
                let (input, output) =
                    (input.unwrap_or_else(|| rest(output)), output.unwrap_or_else(|| rest(input)));
                let sum = input.saturating_add(output);
                (Some(input), Some(output), Some(total.unwrap_or(0).max(sum)))
            }
        };
        let (reading, _) = read(&answer, answer.body.chunks(cut), End::Complete);
        let usage = reading.usage.unwrap_or_default();
        prop_assert_eq!([usage.input_tokens, usage.output_tokens, usage.total_tokens], [input, output, total]);
        prop_assert!(reading.complete);
        // An error has to say something. A list of errors has to be all that there is.
        let text = |value: &serde_json::Value| value.as_str().is_some_and(|text| !["", "null"].contains(&text));
        let says = |value: &serde_json::Value| {
            text(value) || value.as_object().is_some_and(|object| object.values().any(text))
        };
        let members = document.as_object().into_iter().flatten();
        let is_alone = members.filter(|(_, value)| !value.is_null()).count() == 1;
        let error = &document["error"];
        let fails = says(error)
            || error == true
            || is_alone && error.as_array().is_some_and(|errors| errors.iter().any(says));
        prop_assert_eq!(class(&reading), if fails { "agent" } else { "success" });
    }
}

/// Documents in which the relevant keys appear everywhere, but count in one place only.
fn documents() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::{Map, Value};
    let key = prop::sample::select(vec![
        "usage",
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "error",
        "text",
        "a\"b",
        "é\u{1}",
        "",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0_u64..1000).prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        (-1e6..1e6).prop_map(Value::from),
        "[a-z\"\\\\{}\\[\\]:, é]{0,90}".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|members| Value::from_iter(
                members.into_iter().map(|(key, value)| (key.to_owned(), value))
            )),
        ]
    });
    prop::collection::vec(
        (prop::sample::select(vec!["usage", "error", "text", "x", "metadata_"]), value),
        0..6,
    )
    .prop_map(|members| {
        let mut document = Map::new();
        for (key, value) in members {
            // A list of usages is a different format.
            if !(key == "usage" && value.is_array()) {
                document.insert(key.to_owned(), value);
            }
        }
        Value::from(document)
    })
}

#[cfg(feature = "decompression")]
mod compressed {
    use compression_codecs::brotli::params::EncoderParams;
    use compression_codecs::core::Level;
    use compression_codecs::{
        BrotliEncoder, DeflateEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder,
    };

    use super::encode::encode;
    use super::*;

    fn encodings(body: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
        let (a, b) = body.split_at(body.len() / 2);
        let gzip = |part: &[u8]| encode(GzipEncoder::new(Level::Default.into()), part);
        vec![
            ("gzip", gzip(body)),
            ("x-gzip", [gzip(a), gzip(b)].concat()),
            ("deflate", encode(ZlibEncoder::new(Level::Default.into()), body)),
            ("deflate", encode(DeflateEncoder::new(Level::Default.into()), body)),
            (
                "br",
                encode(
                    BrotliEncoder::new(EncoderParams::default().quality(Level::Precise(5))),
                    body,
                ),
            ),
            ("zstd", encode(ZstdEncoder::new(3), body)),
            // Decoded by the client, which left the header in place.
            ("gzip", body.to_vec()),
        ]
    }

    fn read_encoded(answer: &Answer, encoding: &'static str, body: &[u8], size: usize) -> Reading {
        let mut reader = reader(answer, Some(encoding));
        for piece in body.chunks(size) {
            reader.feed(piece);
        }
        reader.finish(End::Complete)
    }

    #[test]
    fn compressed_answers_are_read_like_plain_ones() {
        for answer in
            answers().iter().filter(|answer| !answer.body.is_empty() && answer.headers.is_empty())
        {
            let (plain, _) = read(answer, [&*answer.body], End::Complete);
            for (encoding, body) in encodings(&answer.body) {
                for size in [1, 7, usize::MAX] {
                    let reading = read_encoded(answer, encoding, &body, size);
                    assert_eq!(reading, plain, "{} as {encoding} by {size}", answer.name);
                }
            }
        }
    }

    #[test]
    fn broken_encodings_cost_the_figure_only() {
        let answer = &answers()[0];
        for (encoding, mut body) in encodings(&answer.body) {
            for byte in body.iter_mut().skip(9).step_by(3) {
                *byte ^= 0x55;
            }
            let reading = read_encoded(answer, encoding, &body, 7);
            assert!(matches!(class(&reading), "success" | "incomplete"), "{encoding}: {reading:?}");
        }
    }

    #[test]
    fn a_bomb_is_not_unpacked() {
        let mut body = b"{\"text\":\"".to_vec();
        body.resize(80 << 20, b' ');
        let answer = answer("bomb", JSON, "");
        for (encoding, bomb) in [
            (
                "br",
                encode(
                    BrotliEncoder::new(EncoderParams::default().quality(Level::Precise(5))),
                    &body,
                ),
            ),
            ("zstd", encode(ZstdEncoder::new(3), &body)),
        ] {
            assert!(bomb.len() < 100_000);
            let reading = read_encoded(&answer, encoding, &bomb, 1400);
            assert_eq!((class(&reading), reading.complete), ("success", false), "{encoding}");
        }
    }
}
