//! `tower-agent-status inspect`, run as a user would.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

pub(crate) fn inspect(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tower-agent-status"))
        .arg("inspect")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The command may exit before reading all of its input.
    let _ = command.stdin.take().unwrap().write_all(input);
    command.wait_with_output().unwrap()
}

fn report(arguments: &[&str], input: &[u8]) -> Value {
    let output = inspect(arguments, input);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn one_body_is_one_object() {
    let body =
        br#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}"#;
    for chunk in ["1", "7", "1400"] {
        let found = report(&["--content-type", "application/json", "--chunk", chunk], body);
        let expected = json!({
            "id": null, "outcome": "success", "error": null, "format": found["format"], "complete": true,
            "usage": { "inputTokens": 9, "outputTokens": 3, "totalTokens": 12, "cacheReadInputTokens": null,
                       "cacheWriteInputTokens": null, "reasoningTokens": null,
                       "cacheWrite5mInputTokens": null, "cacheWrite1hInputTokens": null },
            "waitingFor": null, "taskId": null,
            "model": null, "responseId": null, "finishReasons": [], "serviceTier": null,
        });
        assert_eq!(found, expected, "in pieces of {chunk}");
        assert!(found["format"].is_string());
    }
}

#[test]
fn what_the_answer_says_of_itself_is_printed() {
    let body = br#"{"id":"resp-1","model":"gpt-4o-2024-08-06","service_tier":"flex","choices":[{"finish_reason":"length"}]}"#;
    let found = report(&["--content-type", "application/json"], body);
    assert_eq!(found["model"], "gpt-4o-2024-08-06");
    assert_eq!(found["responseId"], "resp-1");
    assert_eq!(found["finishReasons"], json!(["length"]));
    assert_eq!(found["serviceTier"], "flex");
    let path = ["--path", "/model/amazon.nova-lite-v1%3A0/converse"];
    assert_eq!(report(&path, b"{}")["model"], "amazon.nova-lite-v1:0");
}

#[test]
fn the_status_and_the_path_count() {
    let body = br#"{"input_tokens": 7}"#;
    assert_eq!(report(&["--path", "/v1/messages/count_tokens"], body)["usage"], Value::Null);
    let refused =
        report(&["--status", "429"], br#"{"error":{"message":"slow down","type":"rate"}}"#);
    assert_eq!(refused["outcome"], "error");
    assert_eq!(refused["error"]["message"], "slow down");
}

#[test]
fn headers_count() {
    let headers = [
        "--header",
        "X-Amzn-Bedrock-Input-Token-Count: 5",
        "--header",
        "x-amzn-bedrock-output-token-count:2",
    ];
    let found = report(&headers, br#"{"outputs":[]}"#);
    assert_eq!(found["usage"]["totalTokens"], 7);
}

#[test]
fn rows_are_read_one_a_line() {
    let rows = concat!(
        r#"{"id":"a","content_type":"application/json","body_b64":"eyJ0b2tlbl91c2FnZSI6eyJpbnB1dF90b2tlbnMiOjEsIm91dHB1dF90b2tlbnMiOjJ9fQ=="}"#,
        "\n\n",
        r#"{"id":2,"status":500,"request":{"path":"/x"},"headers":{},"body_b64":""}"#,
        "\n",
    );
    let output = inspect(&["--jsonl"], rows.as_bytes());
    let lines: Vec<Value> = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[0]["id"], &lines[0]["usage"]["totalTokens"]), (&json!("a"), &json!(3)));
    assert_eq!((&lines[1]["id"], &lines[1]["outcome"]), (&json!(2), &json!("error")));
}

#[test]
fn the_trailers_of_a_row_count() {
    for (trailers, outcome, code) in [
        (json!({"grpc-status": "0"}), "success", Value::Null),
        (json!({"grpc-status": 14}), "error", json!("grpc_unavailable")),
        (Value::Null, "error", json!("incomplete")),
    ] {
        let row = json!({"content_type": "application/grpc", "trailers": trailers, "body_b64": ""});
        let found = report(&["--jsonl"], row.to_string().as_bytes());
        assert_eq!((&found["outcome"], &found["error"]["code"]), (&json!(outcome), &code));
    }
}

#[test]
fn unreadable_input_is_named() {
    let table: [(&[&str], &str, &str); 4] = [
        (&["no/such/file"], "", "cannot read no/such/file"),
        (
            &["--jsonl"],
            "{\"body_b64\": \"\"}\nnonsense",
            "standard input, line 2: not a JSON object",
        ),
        (&["--jsonl"], "{}", "`body_b64`, the body in base64, is missing"),
        (&["--header", "nonsense"], "", "`Name: value`"),
    ];
    for (arguments, input, expected) in table {
        let output = inspect(arguments, input.as_bytes());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
    }
}

#[test]
fn the_chunk_size_is_limited() {
    for chunk in ["18446744073709551615", "9999999999999", "0"] {
        let output = inspect(&["--chunk", chunk], b"{}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("--chunk"), "{stderr}");
    }
}
