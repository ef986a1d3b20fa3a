//! Keys that are spelled in several ways, or that say something only together: each of them in turn.

use crate::cases::{Case, Number};
use crate::check_all;

fn json(document: &str) -> Case {
    Case::new(document, "application/json", document)
}

fn failing(document: &str) -> Case {
    let mut case = json(document);
    case.right.outcome = "agent".to_owned();
    case
}

/// With each of these keys beside it a status is the agent's own, and with another it is a result's.
#[test]
fn a_status_fails_only_beside_what_explains_it() {
    const KEYS: &[&str] = &[
        "message",
        "detail",
        "code",
        "id",
        "request_id",
        "requestId",
        "trace_id",
        "timestamp",
        "created_at",
        "createdAt",
    ];
    check_all(KEYS.iter().flat_map(|key| {
        [
            failing(&format!(r#"{{"status":"failed","{key}":"x1"}}"#)),
            failing(&format!(r#"{{"result":{{"{key}":"x1","status":"failed"}}}}"#)),
            json(&format!(r#"{{"status":"failed","{key}":"x1","trade":"T1"}}"#)),
            json(&format!(r#"{{"result":{{"trade":"T1","{key}":"x1","status":"failed"}}}}"#)),
        ]
    }));
}

/// A code of an error is one only in an object that has nothing but an error's keys.
#[test]
fn an_error_code_fails_only_beside_keys_of_errors() {
    const KEYS: &[&str] = &[
        "id",
        "request_id",
        "requestId",
        "trace_id",
        "log_id",
        "timestamp",
        "created_at",
        "createdAt",
    ];
    check_all(KEYS.iter().flat_map(|key| {
        [
            failing(&format!(r#"{{"error_code":"E17","error_msg":"no cash","{key}":"x1"}}"#)),
            failing(&format!(r#"{{"{key}":"x1","errorMessage":"no cash","errorCode":"E17"}}"#)),
            json(&format!(
                r#"{{"error_code":"E17","error_msg":"no cash","{key}":"x1","trade":1}}"#
            )),
        ]
    }));
}

/// The error of a run, at the root and in what wraps an answer.
#[test]
fn a_last_error_fails_under_both_names() {
    check_all(["last_error", "lastError"].iter().flat_map(|key| {
        let error = format!(r#""{key}":{{"code":"E17","message":"no cash"}}"#);
        let documents = [
            format!(r#"{{"id":"run_1","status":"failed",{error}}}"#),
            format!(r#"{{"response":{{"id":"run_1",{error},"trade":1}}}}"#),
            format!(r#"{{"data":{{{error}}}}}"#),
        ];
        documents.map(|document| {
            let mut case = failing(&document);
            case.right.messages.push("no cash".to_owned());
            case.right.code = Some("E17".to_owned());
            case
        })
    }));
}

/// The text of a failed answer, in the objects that wrap one.
#[test]
fn the_text_of_a_failed_answer_is_found_under_each_key() {
    const TEXTS: &[&str] = &["message", "msg", "detail", "details", "error_message", "status_msg"];
    check_all(TEXTS.iter().flat_map(|key| {
        let documents = [
            format!(r#"{{"success":false,"{key}":"no cash"}}"#),
            format!(r#"{{"result":{{"success":false,"{key}":"no cash"}}}}"#),
            format!(r#"{{"response":{{"success":false,"{key}":"no cash","trade":1}}}}"#),
        ];
        documents.map(|document| {
            let mut case = failing(&document);
            case.right.messages.push("no cash".to_owned());
            case
        })
    }));
}

/// The counts of Bedrock's Converse API, of its metrics, and of what follows them.
#[test]
fn counts_are_read_under_each_spelling_of_converse() {
    const SPELLINGS: &[[&str; 4]] = &[
        ["inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens"],
        [
            "inputTokenCount",
            "outputTokenCount",
            "cacheReadInputTokenCount",
            "cacheWriteInputTokenCount",
        ],
    ];
    check_all(SPELLINGS.iter().flat_map(|[input, output, read, write]| {
        let beside = format!(r#"{{"{input}":640,"{output}":32,"{read}":100,"{write}":10}}"#);
        let mut with_cache = json(&format!(r#"{{"usage":{beside}}}"#));
        with_cache.right.usage = Some(Some([750, 32, 782].map(Number::Is)));
        with_cache.right.parts = [Number::Is(100), Number::Is(10), Number::Absent];
        let mut plain = json(&format!(r#"{{"usage":{{"{output}":32,"{input}":640}}}}"#));
        plain.right.usage = Some(Some([640, 32, 672].map(Number::Is)));
        [with_cache, plain]
    }));
    const WITHIN: &[[&str; 4]] = &[
        ["inputTokens", "outputTokens", "cachedInputTokens", "reasoningTokens"],
        ["inputTokenCount", "outputTokenCount", "cachedInputTokenCount", "reasoningTokenCount"],
    ];
    check_all(WITHIN.iter().map(|[input, output, cached, reasoning]| {
        let mut case = json(&format!(
            r#"{{"usage":{{"{input}":640,"{output}":32,"{cached}":100,"{reasoning}":10}}}}"#
        ));
        case.right.usage = Some(Some([640, 32, 672].map(Number::Is)));
        case.right.parts = [Number::Is(100), Number::Absent, Number::Is(10)];
        case
    }));
}
