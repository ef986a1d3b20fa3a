//! What small answers say of themselves, however they are cut, and what their heads tell.

#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "corpus/frames.rs"]
mod frames;

use std::time::Duration;

use frames::frame;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use tower_agent_status::status::TokenUsage;
use tower_agent_status::usage::{
    End, ModelSource, RequestHint, ResponseHead, ResponseInfo, UsageReader,
};

const JSON: &str = "application/json";
const SSE: &str = "text/event-stream";
const FRAMES: &str = "application/vnd.amazon.eventstream";

fn reader(content_type: &str, path: &str, headers: &[(&str, &str)]) -> UsageReader {
    let headers = headers.iter().copied().chain([(CONTENT_TYPE.as_str(), content_type)]);
    let headers: HeaderMap = headers
        .map(|(name, value)| {
            (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())
        })
        .collect();
    UsageReader::new(ResponseHead::new(
        StatusCode::OK,
        &headers,
        RequestHint::new(&Method::POST, path),
    ))
}

/// What an answer says, which is the same whole and cut at every byte.
fn read(content_type: &str, path: &str, body: &[u8]) -> (ResponseInfo, Option<TokenUsage>) {
    let read = |pieces: &[&[u8]]| {
        let mut reader = reader(content_type, path, &[]);
        pieces.iter().for_each(|piece| _ = reader.feed(piece));
        let usage = reader.finish(End::Complete).usage;
        (reader.info(), usage)
    };
    let whole = read(&[body]);
    for at in 0..body.len() {
        let (a, b) = body.split_at(at);
        assert_eq!(read(&[a, b]), whole, "cut at {at}");
    }
    assert_eq!(read(&body.chunks(1).collect::<Vec<_>>()), whole, "byte by byte");
    whole
}

fn info(content_type: &str, body: impl AsRef<[u8]>) -> ResponseInfo {
    read(content_type, "/", body.as_ref()).0
}

fn sse(events: &[&str]) -> String {
    events.iter().map(|event| format!("data: {event}\n\n")).collect()
}

/// Model, id, reasons and tier, `-` for none.
fn summary(info: &ResponseInfo) -> String {
    let text = |text: &Option<Box<str>>| text.as_deref().unwrap_or("-").to_owned();
    let reasons = info.finish_reasons.join(",");
    format!(
        "{} {} [{reasons}] {}",
        text(&info.model),
        text(&info.response_id),
        text(&info.service_tier)
    )
}

#[test]
fn answers_say_which_model_answered_and_why_it_stopped() {
    let long = "m".repeat(100);
    let escaped = format!(
        r#"{{"model":"vendor\/{long}","id":"caf\u00e9","choices":[{{"finish_reason":"le\u006egth"}}]}}"#
    );
    for (kind, body, expected) in [
        (JSON, r#"{"id":"c-1","model":"m-1","service_tier":"flex","choices":[{"finish_reason":"stop"}]}"#.to_owned(), "m-1 c-1 [stop] flex".to_owned()),
        (JSON, r#"{ "id" : "c-1" , "model" : "m-1" }"#.to_owned(), "m-1 c-1 [] -".to_owned()),
        // Several choices: each reason once, in order.
        (JSON, r#"{"choices":[{"finish_reason":"length"},{"finish_reason":"stop"},{"finish_reason":"length"}]}"#.to_owned(), "- - [length,stop] -".to_owned()),
        (JSON, escaped, format!("vendor/{long} café [length] -")),
        // Azure sends an empty event first, and the text of each event differs.
        (SSE, sse(&[r#"{"id":"","model":"","choices":[]}"#, r#"{"id":"c-1","model":"m-1","choices":[{"finish_reason":null}]}"#, r#"{"id":"c-1","model":"m-1","choices":[{"finish_reason":null}]}"#, r#"{"id":"c-2","model":"m-2","choices":[{"finish_reason":"content_filter"}]}"#, "[DONE]"]), "m-1 c-1 [content_filter] -".to_owned()),
        // What was asked for gives way to what was served.
        (SSE, sse(&[r#"{"type":"response.created","response":{"id":"r-1","object":"response","model":"m-1","service_tier":"auto","status":"in_progress"}}"#, r#"{"type":"response.incomplete","response":{"id":"r-1","object":"response","model":"m-1","service_tier":"default","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"}}}"#]), "m-1 r-1 [max_output_tokens] default".to_owned()),
        (JSON, r#"{"service_tier":"auto"}"#.to_owned(), "- - [] auto".to_owned()),
        (JSON, r#"{"service_tier":"flex","response":{"service_tier":"default"}}"#.to_owned(), "- - [] flex".to_owned()),
        (SSE, sse(&[r#"{"type":"message_start","message":{"id":"msg-1","model":"claude","stop_reason":null,"usage":{"input_tokens":1,"output_tokens":1,"service_tier":"standard"}}}"#, r#"{"type":"message_delta","delta":{"stop_reason":"refusal"},"usage":{"output_tokens":2}}"#, r#"{"type":"message_stop"}"#]), "claude msg-1 [refusal] standard".to_owned()),
        (JSON, r#"{"candidates":[{"finishReason":"MAX_TOKENS"}],"modelVersion":"gemini","responseId":"r-1","usageMetadata":{"serviceTier":"priority","promptTokenCount":1}}"#.to_owned(), "gemini r-1 [MAX_TOKENS] priority".to_owned()),
        // Gemini's events as one list, with enumerations as numbers.
        (JSON, r#"[{"candidates":[{}],"responseId":"r-1"},{"candidates":[{"finishReason":1}],"modelVersion":"gemini","responseId":"r-1"}]"#.to_owned(), "gemini r-1 [1] -".to_owned()),
        (JSON, r#"{"results":[{"completionReason":"FINISH"}]}"#.to_owned(), "- - [FINISH] -".to_owned()),
        (JSON, r#"{"results":[{"stop_reason":"not_finished"}],"output":{"finish_reason":"null"}}"#.to_owned(), "- - [] -".to_owned()),
        (FRAMES, String::new(), "- - [] -".to_owned()),
    ] {
        assert_eq!(summary(&info(kind, &body)), expected, "{body}");
    }
}

#[test]
fn what_only_looks_like_it_says_nothing() {
    for body in [
        // The id of a request, of rows, of a part of an answer; content; what is no text.
        r#"{"jsonrpc":"2.0","id":"1","result":{"id":"t","model":"Corolla"}}"#,
        r#"[{"id":"a"},{"id":"b"}]"#,
        r#"{"choices":[{"message":{"model":"m","id":"i","finish_reason":"stop"}}]}"#,
        r#"{"model":{"name":"m"},"id":7,"service_tier":null,"stop_reason":["a"]}"#,
        r#"{"data":{"model":"Corolla","finish_reason":"done"}}"#,
        "{\"model\":\"a\\u0000b\",\"stop_reason\":\"a text\"}",
        // Cut off.
        r#"{"model":"gpt-4o-mi"#,
        r#"{"id":"c-"#,
    ] {
        assert_eq!(info(JSON, body), ResponseInfo::default(), "{body}");
    }
    let stream = sse(&[
        r#"{"type":"text-start","id":"0"}"#,
        r#"{"type":"text-delta","id":"0","delta":"x"}"#,
        r#"{"type":"finish","finishReason":"stop"}"#,
    ]);
    assert_eq!(summary(&info(SSE, stream)), "- - [stop] -");
}

#[test]
fn texts_are_bounded() {
    for (len, known) in
        [(62, true), (63, true), (64, true), (65, true), (128, true), (129, false), (5000, false)]
    {
        let name = "x".repeat(len);
        let found = info(JSON, format!(r#"{{"model":"{name}","id":"{name}"}}"#));
        let expected = known.then_some(&*name);
        assert_eq!(
            (found.model.as_deref(), found.response_id.as_deref()),
            (expected, expected),
            "{len}"
        );
    }
    // Of a text with escapes, the characters count.
    for (len, known) in [(128, true), (129, false), (200, false)] {
        let found = info(JSON, format!(r#"{{"model":"{}"}}"#, r"\u0061".repeat(len)));
        let name = "a".repeat(len);
        assert_eq!(found.model.as_deref(), known.then_some(&*name), "{len}");
    }
    for (len, known) in [(31, true), (32, true), (33, true), (40, true), (41, false), (500, false)]
    {
        let name = "x".repeat(len);
        let found = info(JSON, format!(r#"{{"stop_reason":"{name}"}}"#));
        assert_eq!(found.finish_reasons.len(), usize::from(known), "{len}");
    }
    let choices: Vec<_> = (0..20).map(|n| format!(r#"{{"finish_reason":"r{n}"}}"#)).collect();
    let found = info(JSON, format!(r#"{{"choices":[{}]}}"#, choices.join(",")));
    assert_eq!(found.finish_reasons.join(" "), "r0 r1 r2 r3 r4 r5 r6 r7");
}

#[test]
fn a_cost_is_taken_exactly_as_it_is_told() {
    let usage = r#""prompt_tokens":1,"completion_tokens":1"#;
    for (told, expected) in [
        (r#""cost":0.00502"#, Some("0.00502")),
        (r#""cost":5.37e-06"#, Some("0.00000537")),
        (r#""cost":0.00010625000000000001"#, Some("0.00010625000000000001")),
        (r#""cost":"0.0100""#, Some("0.01")),
        (r#""cost":0"#, Some("0")),
        (r#""cost":12"#, Some("12")),
        (r#""cost":{"input_tokens_cost":1,"total_cost":0.00502}"#, Some("0.00502")),
        (r#""cost_in_usd_ticks":37756000"#, Some("0.0037756")),
        (r#""cost_in_usd_ticks":200000000"#, Some("0.02")),
        (r#""estimated_cost":1.2E-5"#, Some("0.000012")),
        (r#""cost":-1"#, None),
        (r#""cost":null"#, None),
        (r#""cost":"free""#, None),
        (r#""cost":1e400"#, None),
    ] {
        let found = info(JSON, format!(r#"{{"usage":{{{usage},{told}}}}}"#));
        assert_eq!(found.cost_usd.as_deref(), expected, "{told}");
    }
    // The last event has the running total; an image has a cost and no tokens.
    let events =
        [0.1, 0.25].map(|cost| format!(r#"{{"choices":[],"usage":{{{usage},"cost":{cost}}}}}"#));
    let stream = sse(&[&events[0], &events[1], "[DONE]"]);
    assert_eq!(info(SSE, stream).cost_usd.as_deref(), Some("0.25"));
    let image = r#"{"data":[],"usage":{"cost_in_usd_ticks":200000000}}"#;
    assert_eq!(info(JSON, image).cost_usd.as_deref(), Some("0.02"));
    // Stored, and counted when it was made.
    let stored = read(
        JSON,
        "/v1/chat/completions/c-1",
        format!(r#"{{"usage":{{{usage},"cost":1}}}}"#).as_bytes(),
    );
    assert_eq!(stored.0.cost_usd, None);
}

#[test]
fn what_is_kept_in_a_cache_is_told_apart_by_how_long() {
    let parts = |kind: &str, body: &str| {
        let usage = read(kind, "/", body.as_bytes()).1.unwrap();
        let parts = [usage.cache_write_5m_input_tokens, usage.cache_write_1h_input_tokens];
        (parts, usage.cache_write_input_tokens)
    };
    let anthropic = r#"{"usage":{"input_tokens":1,"output_tokens":1,"cache_creation_input_tokens":9,"cache_creation":{"ephemeral_5m_input_tokens":4,"ephemeral_1h_input_tokens":5}}}"#;
    assert_eq!(parts(JSON, anthropic), ([Some(4), Some(5)], Some(9)));
    let zero = r#"{"usage":{"input_tokens":1,"output_tokens":1,"cache_creation":{"ephemeral_5m_input_tokens":0}}}"#;
    assert_eq!(parts(JSON, zero).0, [Some(0), None]);
    // The delta repeats some counts and leaves the parts out.
    let stream = sse(&[
        r#"{"type":"message_start","message":{"usage":{"input_tokens":1,"output_tokens":1,"cache_creation_input_tokens":9,"cache_creation":{"ephemeral_5m_input_tokens":4,"ephemeral_1h_input_tokens":5}}}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7,"cache_creation_input_tokens":9}}"#,
        r#"{"type":"message_stop"}"#,
    ]);
    assert_eq!(parts(SSE, &stream), ([Some(4), Some(5)], Some(9)));
    // Converse: a list, in which each part has a lifetime before or behind it.
    for (list, expected) in [
        (
            r#"{"inputTokens":3,"ttl":"5m"},{"ttl":"1h","inputTokens":4},{"inputTokens":2,"ttl":"5m"}"#,
            [Some(5), Some(4)],
        ),
        (r#"{"inputTokens":3},{"ttl":"1h","inputTokens":4}"#, [None, Some(4)]),
        (r#"{"inputTokens":3,"ttl":"2h"},{"ttl":"1h"}"#, [None, None]),
        ("", [None, None]),
    ] {
        let body = format!(
            r#"{{"usage":{{"cacheDetails":[{list}],"inputTokens":1,"outputTokens":1,"totalTokens":2}}}}"#
        );
        assert_eq!(parts(JSON, &body).0, expected, "{list}");
    }
    // One object for each call of a model.
    let call = r#"{"event":{"metadata":{"usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2,"cacheDetails":[{"inputTokens":3,"ttl":"1h"}]}}}}"#;
    assert_eq!(parts(SSE, &sse(&[call, call])).0, [None, Some(6)]);
}

#[test]
fn web_searches_are_counted() {
    for (body, expected) in [
        (
            r#"{"usage":{"input_tokens":1,"output_tokens":1,"server_tool_use":{"web_search_requests":2,"web_fetch_requests":1}}}"#,
            Some(2),
        ),
        (r#"{"usage":{"prompt_tokens":1,"num_search_queries":3}}"#, Some(3)),
        (r#"{"tool_usage":{"web_search":{"num_requests":4}},"usage":{"input_tokens":1}}"#, Some(4)),
        (r#"{"usage":{"server_tool_use":{"web_search_requests":0}}}"#, Some(0)),
        (r#"{"usage":{"server_tool_use":null}}"#, None),
    ] {
        assert_eq!(info(JSON, body).web_search_requests, expected, "{body}");
    }
}

#[test]
fn a_frame_with_a_wrong_checksum_says_nothing() {
    let event = |kind: &str, payload: &str| {
        frame(&[(":event-type", kind), (":message-type", "event")], payload.as_bytes())
    };
    let first = event("messageStop", r#"{"stopReason":"end_turn"}"#);
    let mut second = event(
        "metadata",
        r#"{"usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2},"serviceTier":{"type":"flex"},"trace":{"promptRouter":{"invokedModelId":"m-1"}}}"#,
    );
    let path = "/model/router/converse-stream";
    let found = read(FRAMES, path, &[&*first, &second].concat()).0;
    assert_eq!(summary(&found), "m-1 - [end_turn] flex");
    assert_eq!(found.model_source, Some(ModelSource::Response));
    *second.last_mut().unwrap() ^= 1;
    let found = read(FRAMES, path, &[&*first, &second].concat()).0;
    assert_eq!(summary(&found), "router - [end_turn] -");
    assert_eq!(found.model_source, Some(ModelSource::Path));
    // One `metadata` for each call of a model: that of the last call is lost.
    let usage = |tokens: u64| {
        event(
            "metadata",
            &format!(
                r#"{{"usage":{{"inputTokens":9,"outputTokens":1,"totalTokens":10,"cacheDetails":[{{"inputTokens":{tokens},"ttl":"5m"}}]}}}}"#
            ),
        )
    };
    let (first_call, mut last_call) = (usage(3), usage(4));
    let parts =
        |body: &[u8]| read(FRAMES, "/harness/h", body).1.unwrap().cache_write_5m_input_tokens;
    assert_eq!(parts(&[&*first_call, &last_call].concat()), Some(7));
    *last_call.last_mut().unwrap() ^= 1;
    assert_eq!(parts(&[&*first_call, &last_call].concat()), Some(3));
    // What was read of an open frame does not count yet.
    let mut open = reader(FRAMES, "/", &[]);
    open.feed(&first[..first.len() - 1]);
    assert_eq!(open.info().finish_reasons.len(), 0);
    open.feed(&first[first.len() - 1..]);
    assert_eq!(open.info().finish_reasons.len(), 1);
}

#[test]
fn a_path_names_the_model_if_the_answer_does_not() {
    let (path, deployment) = (Some(ModelSource::Path), Some(ModelSource::Deployment));
    for (request, model, source) in [
        (
            "/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse-stream",
            "anthropic.claude-3-haiku-20240307-v1:0",
            path,
        ),
        ("/model/amazon.nova-lite-v1:0/invoke", "amazon.nova-lite-v1:0", path),
        (
            "/model/arn%3Aaws%3Abedrock%3Aus-west-2%3A906383545488%3Ainference-profile%2Fus.amazon.nova-lite-v1%3A0/converse",
            "arn:aws:bedrock:us-west-2:906383545488:inference-profile/us.amazon.nova-lite-v1:0",
            path,
        ),
        (
            "/model/arn:aws:bedrock:us-west-2:9:inference-profile/us.amazon.nova-lite-v1:0/invoke-with-response-stream",
            "arn:aws:bedrock:us-west-2:9:inference-profile/us.amazon.nova-lite-v1:0",
            path,
        ),
        ("/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse", "gemini-2.5-flash", path),
        (
            "/v1/projects/p/locations/l/publishers/anthropic/models/claude-3-7-sonnet@20250219:rawPredict",
            "claude-3-7-sonnet@20250219",
            path,
        ),
        ("/v1beta/models/text-embedding-004:batchEmbedContents/", "text-embedding-004", path),
        ("//openai/deployments/my%20gpt/chat/completions?api-version=1", "my gpt", deployment),
        ("/v1/chat/completions", "", None),
        ("/v1/models/m", "", None),
        ("/openai/deployments/d", "", None),
        ("/model//converse", "", None),
        ("/model/%ff/converse", "", None),
        ("/model/a%0Ab/converse", "", None),
    ] {
        let reader = reader(JSON, request, &[]);
        let info = reader.info();
        assert_eq!(
            (info.model.as_deref().unwrap_or_default(), info.model_source),
            (model, source),
            "{request}"
        );
    }
    let too_long = format!("/model/{}/converse", "x".repeat(129));
    assert_eq!(reader(JSON, &too_long, &[]).info().model, None);
    let told = read(JSON, "/openai/deployments/d/chat/completions", br#"{"model":"gpt-4o"}"#).0;
    assert_eq!(
        (told.model.as_deref(), told.model_source),
        (Some("gpt-4o"), Some(ModelSource::Response))
    );
}

#[test]
fn the_head_names_the_request_and_says_how_much_is_left() {
    let head = |headers: &[(&str, &str)]| reader(JSON, "/", headers).info();
    for (headers, id) in [
        (&[("x-request-id", "req-1")][..], Some("req-1")),
        (&[("request-id", "req-1"), ("x-request-id", "other")], Some("req-1")),
        (&[("x-request-id", "other"), ("x-amzn-RequestId", "req-1")], Some("req-1")),
        (&[("apim-request-id", "req-1")], Some("req-1")),
        (&[("request-id", ""), ("x-request-id", "req-1")], Some("req-1")),
        (&[("x-correlation-id", "c")], None),
    ] {
        assert_eq!(head(headers).request_id.as_deref(), id, "{headers:?}");
    }
    let date = ("date", "Wed, 24 Dec 2025 10:00:00 GMT");
    for (headers, wait) in [
        (&[("retry-after", "20")][..], Some(Duration::from_secs(20))),
        (&[("retry-after", "1.5")], Some(Duration::from_millis(1500))),
        (&[("retry-after", "2"), ("retry-after-ms", "1234")], Some(Duration::from_millis(1234))),
        (&[("retry-after", "Wed, 24 Dec 2025 10:01:30 GMT"), date], Some(Duration::from_secs(90))),
        (&[("retry-after", "Wed, 24 Dec 2025 09:00:00 GMT"), date], Some(Duration::ZERO)),
        (&[("retry-after", "Wed, 24 Dec 2025 10:01:30 GMT")], None),
        (&[("retry-after", "-1")], None),
        (&[("retry-after", "nan")], None),
        (&[("retry-after", "1e30")], None),
        (&[("retry-after", "soon"), date], None),
    ] {
        assert_eq!(head(headers).retry_after, wait, "{headers:?}");
    }
    let openai =
        head(&[("x-ratelimit-remaining-requests", "99"), ("x-ratelimit-remaining-tokens", "1000")]);
    assert_eq!((openai.remaining_requests, openai.remaining_tokens), (Some(99), Some(1000)));
    let anthropic = head(&[
        ("anthropic-ratelimit-requests-remaining", "9"),
        ("anthropic-ratelimit-tokens-remaining", "10"),
    ]);
    assert_eq!((anthropic.remaining_requests, anthropic.remaining_tokens), (Some(9), Some(10)));
    assert_eq!(head(&[("x-ratelimit-remaining-tokens", "-1")]).remaining_tokens, None);
    // A head that tells something changes nothing else.
    let mut reader = reader(JSON, "/", &[("x-request-id", "req-1")]);
    reader.feed(br#"{"usage":{"prompt_tokens":1,"completion_tokens":2}}"#);
    assert_eq!(reader.finish(End::Complete).usage, Some(TokenUsage::new(1, 2)));
}

#[test]
fn the_rows_of_a_file_are_about_other_calls() {
    let rows = br#"{"id":"batch_req_1","response":{"request_id":"r"},"model":"m","usage":{"prompt_tokens":1}}"#;
    let found = read("application/jsonl", "/v1/files/file-1/content", rows).0;
    assert_eq!(found, ResponseInfo::default());
}
