//! `tower-agent-status inspect --explain`: what people read who ask why.

use serde_json::json;

use crate::inspect::inspect;

const JSON: &str = "application/json";
const SSE: &str = "text/event-stream";

/// The text for a body; the same in pieces of any size.
#[track_caller]
fn explain(content_type: &str, arguments: &[&str], body: &str) -> String {
    let run = |chunk: &str| {
        let mut all = vec!["--explain", "--content-type", content_type, "--chunk", chunk];
        all.extend(arguments);
        let output = inspect(&all, body.as_bytes());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let text = run("1400");
    assert_eq!(run("1"), text, "byte by byte");
    text
}

/// The lines below a heading.
fn section(text: &str, heading: &str) -> Vec<String> {
    let lines = text.lines().skip_while(|line| *line != heading).skip(1);
    lines.map_while(|line| line.strip_prefix("  ")).map(str::to_owned).collect()
}

const CONTENT: &str = "Objects elsewhere are content, and are not read.";
const NONE_FOUND: &str = "None: there is no usage object at a known place.";

#[test]
fn an_answer_is_explained_from_its_outcome_to_what_is_recorded() {
    let body = r#"{"object":"chat.completion","choices":[{"message":{"content":"usage"}}],"usage":{
        "prompt_tokens":1200,"completion_tokens":30,"total_tokens":1230,
        "prompt_tokens_details":{"cached_tokens":64},
        "completion_tokens_details":{"reasoning_tokens":7}}}"#;
    let expected = "\
Outcome
  Success: the body was read to its end, and reports no failure.
Tokens
  1,200 in, 30 out, 1,230 in all, from `usage` (openai.chat_completions).
  64 were read from a cache: they are part of the input, as their names say.
  7 were reasoning: they are part of the output.
Ignored
  Objects elsewhere are content, and are not read.
Recorded
  success
  1,230 tokens: 1,200 in, 30 out, 64 from cache, 7 reasoning
";
    assert_eq!(explain(JSON, &[], body), expected);
}

#[test]
fn each_rule_for_tokens_is_named() {
    let table: &[(&str, &[&str])] = &[
        (
            r#"{"result":{"message":{"usage":{"input_tokens":10,"output_tokens":5,"cache_read_input_tokens":7,"cache_creation_input_tokens":2}}}}"#,
            &[
                "19 in, 5 out, 24 in all, from `result.message.usage` (anthropic.messages).",
                "7 were read from a cache, 2 were written to a cache: they were added to the input, beside which they are by their names.",
                "No total was reported: it is the sum of input and output.",
            ],
        ),
        (
            r#"{"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"cache_read_input_tokens":7}}"#,
            &[
                "10 in, 5 out, 15 in all, from `usage`.",
                "7 were read from a cache: they are part of the input, since input and output add up to the total.",
            ],
        ),
        (
            r#"{"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":22,"cache_read_input_tokens":7}}"#,
            &[
                "17 in, 5 out, 22 in all, from `usage`.",
                "7 were read from a cache: they were added to the input, since only then do input and output add up to the total.",
            ],
        ),
        (
            r#"{"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":18,"reasoning_tokens":3}}"#,
            &[
                "10 in, 8 out, 18 in all, from `usage`.",
                "3 were reasoning: they were added to the output, since the total says so.",
            ],
        ),
        (
            r#"{"candidates":[],"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":5,"thoughtsTokenCount":3,"toolUsePromptTokenCount":4,"totalTokenCount":22}}"#,
            &[
                "14 in, 8 out, 22 in all, from `usageMetadata` (gemini.generate_content).",
                "The results of tools were added to the input, which never includes them.",
                "3 were reasoning: they were added to the output, beside which they are by their name.",
            ],
        ),
        (
            r#"{"usage":{"promptTokens":10,"totalTokens":15}}"#,
            &["10 in, 5 out, 15 in all, from `usage`.", "The output is what is left of the total."],
        ),
        (
            r#"{"usage":{"prompt_tokens":1,"completion_tokens":1},"token_usage":{"input_tokens":5,"output_tokens":2}}"#,
            &[
                "5 in, 2 out, 7 in all, from `token_usage` (agentcore).",
                "Usage in `usage`: 1 in, 1 out. It is the first that counts.",
                "Usage in `token_usage`: 5 in, 2 out. It takes the place of what says less.",
                "No total was reported: it is the sum of input and output.",
            ],
        ),
        (
            r#"{"usage":{"total_tokens":15}}"#,
            &[
                "15 in all, from `usage`.",
                "Only a total was reported: input and output are not known.",
            ],
        ),
        (
            r#"{"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":3}}"#,
            &[
                "10 in, 5 out, 15 in all, from `usage`.",
                "The reported total is less than input and output: it is their sum instead.",
            ],
        ),
        (
            r#"{"prompt_eval_count":4,"eval_count":2,"done":true,"created_at":"now"}"#,
            &[
                "4 in, 2 out, 6 in all, from `eval_count` (ollama.native).",
                "Usage in `prompt_eval_count`: 4 in. It is the first that counts.",
                "Usage in `eval_count`: 2 out. Each count takes the place of the earlier one.",
                "No total was reported: it is the sum of input and output.",
            ],
        ),
        (
            r#"[{"author":"a","invocationId":"1","usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":2}},
                {"author":"a","invocationId":"1","usageMetadata":{"promptTokenCount":6,"candidatesTokenCount":2}}]"#,
            &[
                "11 in, 4 out, 15 in all, from `[].usageMetadata` (adk).",
                "Usage in `[].usageMetadata`: 5 in, 2 out. It is the first that counts.",
                "Usage in `[].usageMetadata`: 6 in, 2 out. It is added: there is one for each call of a model.",
                "No total was reported: it is the sum of input and output.",
                "Several calls of a model were added up, each by its own rules.",
            ],
        ),
    ];
    for (body, expected) in table {
        let lines = section(&explain(JSON, &[], body), "Tokens");
        assert_eq!(lines, *expected, "{body}");
    }
}

#[test]
fn it_says_why_no_tokens_are_counted() {
    let usage = r#"{"usage":{"prompt_tokens":9,"completion_tokens":3}}"#;
    let table: &[(&str, &[&str], &str, &str)] = &[
        (JSON, &[], r#"{"messages":[{"usage":{"prompt_tokens":9}}]}"#, NONE_FOUND),
        (
            JSON,
            &["--path", "/v1/messages/count_tokens"],
            usage,
            "None: the path of the request says that nothing is generated, or that it was counted before.",
        ),
        (
            JSON,
            &["--path", "/v1/files/1/content"],
            usage,
            "None: the path of the request says that the response is a file.",
        ),
        (
            "text/plain",
            &[],
            "Good morning.",
            "None: the body is not one of JSON documents, and was not read.",
        ),
        (
            JSON,
            &[],
            r#"{"usage":{"prompt_tokens_details":{"cached_tokens":4}}}"#,
            "None: what was found is no tokens of input or output.",
        ),
    ];
    for (content_type, arguments, body, expected) in table {
        let lines = section(&explain(content_type, arguments, body), "Tokens");
        assert_eq!(lines, [*expected], "{body}");
    }
}

#[test]
fn a_body_that_cannot_be_decoded_has_no_tokens() {
    let arguments = ["--explain", "--content-type", JSON, "--content-encoding", "gzip"];
    let output = inspect(&arguments, b"\x1f\x8b\x08\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(section(&text, "Tokens"), ["None: the body could not be decoded."]);
}

#[test]
fn headers_that_report_usage_are_named() {
    let header = ["--header", "x-amzn-bedrock-input-token-count: 5"];
    let lines = section(&explain(JSON, &header, r#"{"outputs":[]}"#), "Tokens");
    assert_eq!(lines[0], "5 in, 0 out, 5 in all.");
    assert_eq!(lines[1], "They are those of the response's headers: the body has none.");
}

#[test]
fn each_sign_of_a_failure_is_named() {
    let table: &[(&str, &[&str])] = &[
        (
            r#"{"error":{"message":"no room","code":"E7"}}"#,
            &["There is an error in `error.message`.", "The failure: code `E7`, `no room`."],
        ),
        (
            r#"{"type":"error","message":"boom"}"#,
            &["`type` is `error`, the word for a failure.", "The failure: code `error`, `boom`."],
        ),
        (r#"{"success":false,"message":"no"}"#, &["`success` is false.", "The failure: `no`."]),
        (r#"{"result":{"ok":false}}"#, &["`result.ok` is false."]),
        (
            r#"{"is_error":true,"result":"stuck"}"#,
            &["`is_error` is true.", "The failure: code `isError`, `stuck`."],
        ),
        (
            r#"{"object":"response","id":"r1","status":"FAILED"}"#,
            &[
                "`status` is `FAILED`, the status word of a task.",
                "The failure: code `failed`.",
                "The response belongs to the task `r1`: `status` is `FAILED`.",
            ],
        ),
        (
            r#"{"status":"failed","error_message":"boom"}"#,
            &[
                "`status` is `failed`, a status word beside the text of an error or beside nothing that is an answer.",
                "The failure: code `failed`, `boom`.",
            ],
        ),
        (
            r#"{"errorMessage":"boom","errorType":"Crash"}"#,
            &[
                "There is a code or a text of an error, and nothing beside it that is an answer.",
                "The failure: code `Crash`, `boom`.",
            ],
        ),
        (
            r#"{"trace":{"failureTrace":{"failureReason":"boom"}}}"#,
            &[
                "There is `trace.failureTrace`, as only in a failure.",
                "The failure: code `failed`, `boom`.",
            ],
        ),
    ];
    for (body, expected) in table {
        let lines = section(&explain(JSON, &[], body), "Outcome");
        assert_eq!(
            lines[0], "An error of class `agent`: the response reports a failure.",
            "{body}"
        );
        let mut rest = lines[1..].to_vec();
        rest.sort();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(rest, expected, "{body}");
    }
}

#[test]
fn a_status_of_http_is_the_reason_and_the_body_explains_it() {
    let lines = section(&explain(JSON, &["--status", "503"], r#"{"message":"busy"}"#), "Outcome");
    assert_eq!(
        lines,
        ["An error of class `http_503`: HTTP status 503.", "The body explains it: `busy`."]
    );
}

#[test]
fn what_a_stream_lacks_is_named() {
    let chunk = "data: {\"choices\":[{\"delta\":{}}]}\n\n";
    let whole = format!("{chunk}data: [DONE]\n\n");
    assert_eq!(
        section(&explain(SSE, &[], chunk), "Outcome"),
        [
            "An error of class `incomplete`: the stream broke off: there is no end marker of openai.chat_completions."
        ]
    );
    assert_eq!(
        section(&explain(SSE, &[], &whole), "Outcome"),
        ["Success: the end marker was read, and no failure.", "The end marker: `[DONE]`."]
    );
    let anthropic = "data: {\"type\":\"message_start\"}\n\ndata: {\"type\":\"message_stop\"}\n\n";
    assert_eq!(
        section(&explain(SSE, &[], anthropic), "Outcome")[1],
        "The end marker: `type` is `message_stop`."
    );
    let ollama = r#"{"created_at":"now","done":true}"#;
    assert_eq!(
        section(&explain(JSON, &[], ollama), "Outcome")[1],
        "The end marker: `done` is `true`."
    );
    assert_eq!(
        section(&explain(JSON, &[], r#"{"choices":["#), "Outcome"),
        [
            "An error of class `incomplete`: the body broke off in the middle of a document or a frame."
        ]
    );
    let event = "event: error\ndata: overloaded\n\n";
    assert_eq!(
        section(&explain(SSE, &[], event), "Outcome")[1..],
        [
            "The event is that of an error, or the frame an exception.",
            "The failure: code `error`, `overloaded`."
        ]
    );
}

#[test]
fn a_response_without_an_answer_is_named() {
    let path = ["--path", "/v1/chat/completions"];
    for (content_type, body, what) in [
        (JSON, "", "nothing"),
        (JSON, r#"{"choices":[]}"#, "no choices"),
        (JSON, "<!doctype html><p>Sign in", "a page for people"),
        (SSE, ": hello\n\n", "only signs of life or an end marker"),
        (SSE, "data: [DONE]\n\n", "only signs of life or an end marker"),
    ] {
        let lines = section(&explain(content_type, &path, body), "Outcome");
        let expected = format!(
            "An error of class `no_answer`: {what} in a response that has to have an answer in it."
        );
        assert_eq!(lines[0], expected, "{body}");
    }
}

#[test]
fn what_was_looked_at_and_ignored_is_named() {
    let table: &[(&str, &str, &[&str])] = &[
        (
            JSON,
            r#"{"token_usage":{"input_tokens":5,"output_tokens":2},"usage":{"prompt_tokens":1,"completion_tokens":1}}"#,
            &["Usage in `usage`: 1 in, 1 out. There are counts from a place that says more."],
        ),
        (
            SSE,
            "data: {\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3}}\n\ndata: {\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0}}\n\n",
            &["Usage in `usage`: 0 in, 0 out. It has only zeros, and earlier counts are not zero."],
        ),
        (
            JSON,
            r#"{"usage":{"type":"duration","input_tokens":3}}"#,
            &["Usage in `usage`: 3 in. It counts something other than tokens."],
        ),
        (JSON, r#"{"meta":{"page":3}}"#, &["Usage in `meta`. It has no count that is known."]),
        (
            SSE,
            "data: {\"author\":\"a\",\"invocationId\":\"1\",\"partial\":true,\"usageMetadata\":{\"promptTokenCount\":3}}\n\n",
            &["Usage in `usageMetadata`: 3 in. Its event is a part of another one to come."],
        ),
        (
            SSE,
            "data: {\"event\":\"node_finished\",\"data\":{\"status\":\"failed\",\"error\":\"boom\"}}\n\n",
            &[
                "There is an error in `data.error`.",
                "`data.status` is `failed`, a status word beside the text of an error or beside nothing that is an answer.",
                "It is about a step of the run, which the run may have caught.",
            ],
        ),
        (
            JSON,
            r#"[{"error":{"message":"row 3 is empty"}}]"#,
            &[
                "There is an error in `[].error.message`.",
                "It is about an element of a list, which is the answer.",
            ],
        ),
        (
            SSE,
            "data: {\"error\":\"first\"}\n\ndata: {\"error\":\"second\"}\n\n",
            &[
                "There is an error in `error`.",
                "The failure: `second`.",
                "An earlier failure stands.",
            ],
        ),
    ];
    for (content_type, body, expected) in table {
        let mut lines = section(&explain(content_type, &[], body), "Ignored");
        assert_eq!(lines.pop().as_deref(), Some(CONTENT), "{body}");
        assert_eq!(lines, *expected, "{body}");
    }
}

#[test]
fn a_failure_in_a_file_of_answers_is_that_of_another_call() {
    let arguments = ["--path", "/v1/batches/1/results"];
    let text = explain(JSON, &arguments, r#"{"error":{"message":"boom"}}"#);
    assert!(section(&text, "Outcome")[0].starts_with("Success"), "{text}");
    assert_eq!(
        section(&text, "Ignored")[2],
        "The response is a file of answers: this is the failure of another call."
    );
}

#[test]
fn a_task_that_has_not_ended_is_named() {
    let body = r#"{"jsonrpc":"2.0","id":1,"result":{"kind":"task","id":"t1","status":{"state":"input-required"}}}"#;
    let text = explain(JSON, &[], body);
    assert_eq!(
        section(&text, "Outcome")[1],
        "The response belongs to the task `t1`: `result.status.state` is `input-required`. The task waits for input."
    );
    assert_eq!(section(&text, "Recorded")[0], "in progress, waitingFor `input`");
}

#[test]
fn a_stream_is_explained_in_few_lines_however_long_it_is() {
    let mut body = String::new();
    for n in 1..=500 {
        body +=
            &format!("data: {{\"usage\":{{\"prompt_tokens\":9,\"completion_tokens\":{n}}}}}\n\n");
    }
    let lines = section(&explain(SSE, &[], &body), "Tokens");
    assert_eq!(
        lines,
        [
            "9 in, 500 out, 509 in all, from `usage`.",
            "Usage in `usage`: 9 in, 1 out. It is the first that counts.",
            "Usage in `usage`: 9 in, 500 out. It takes the place of the one before it. So 499 times; these are the last counts.",
            "No total was reported: it is the sum of input and output.",
        ]
    );
}

#[test]
fn each_row_has_its_own_text() {
    let row = |id, status: &str| {
        json!({"id": id, "content_type": "application/grpc", "body_b64": "",
               "trailers": {"grpc-status": status}})
    };
    let rows = format!("{}\n{}\n", row("a", "14"), row("b", "0"));
    let output = inspect(&["--explain", "--jsonl"], rows.as_bytes());
    let expected = "\
Response \"a\"
Outcome
  An error of class `grpc_unavailable`: the protocol says so at the end of the call.
  The failure is in `grpc-status`, in the trailers.
  The failure: `gRPC status UNAVAILABLE`.
Tokens
  None: there is no usage object at a known place.
Ignored
  Objects elsewhere are content, and are not read.
Recorded
  error, class `grpc_unavailable`: gRPC status UNAVAILABLE
  no tokens

Response \"b\"
Outcome
  Success: the end marker was read, and no failure.
Tokens
  None: there is no usage object at a known place.
Ignored
  Objects elsewhere are content, and are not read.
Recorded
  success
  no tokens

";
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

#[test]
fn texts_of_the_body_cannot_change_the_terminal() {
    let long = "x".repeat(5000);
    let body = json!({"error": {"message": format!("\u{1b}[2J{long}"), "code": "\u{202e}E"}});
    let text = explain(JSON, &[], &body.to_string());
    assert!(text.contains("code `\\u{202e}E`, `\\u{1b}[2Jxxx"), "{text}");
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text}");
    assert!(text.len() < 1500, "{} bytes", text.len());
}
