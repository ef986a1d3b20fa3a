//! Each word that may mean that a task failed or is not finished, both where it does and where it
//! does not.

use crate::cases::Case;
use crate::check_all;

/// The words for a task that failed.
const FAILED: &[&str] = &[
    "failed",
    "failure",
    "error",
    "errored",
    "aborted",
    "timed_out",
    "cancelled",
    "canceled",
    "rejected",
    "expired",
];

/// The words for a task that is not finished, and what the agent waits for.
const WAITING: &[(&str, &str)] = &[
    ("queued", "task"),
    ("pending", "task"),
    ("validating", "task"),
    ("starting", "task"),
    ("processing", "task"),
    ("running", "task"),
    ("working", "task"),
    ("in_progress", "task"),
    ("in-progress", "task"),
    ("submitted", "task"),
    ("finalizing", "task"),
    ("cancelling", "task"),
    ("paused", "task"),
    ("input-required", "input"),
    ("awaiting", "input"),
    ("requires_action", "input"),
    ("auth-required", "authorization"),
];

/// The words for a task that succeeded, if only in part.
const DONE: &[&str] = &["completed", "succeeded", "success", "incomplete", "partial"];

/// Tasks with the id `t-1` whose word is `WORD`.
const TASKS: &[&str] = &[
    r#"{"id":"t-1","object":"response","status":"WORD"}"#,
    r#"{"status":"WORD","last_error":null,"object":"thread.run","id":"t-1"}"#,
    r#"{"id":"t-1","object":"batch","errors":null,"status":"WORD"}"#,
    r#"{"object":"interaction","status":"WORD","id":"t-1"}"#,
    r#"{"object":"realtime.response","id":"t-1","status":"WORD"}"#,
    r#"{"id":"t-1","urls":{"get":"https://x/t-1"},"error":null,"status":"WORD"}"#,
    r#"{"status":"WORD","agent":"pdf","run_id":"t-1"}"#,
    r#"{"jsonrpc":"2.0","id":1,"result":{"kind":"task","id":"t-1","status":{"state":"WORD"}}}"#,
    r#"{"result":{"status":{"state":"WORD"},"id":"t-1"},"id":1,"jsonrpc":"2.0"}"#,
    r#"{"jsonrpc":"2.0","id":1,"result":{"task":{"id":"t-1","status":{"state":"WORD"}}}}"#,
    r#"{"jsonrpc":"2.0","id":1,"result":{"statusUpdate":{"taskId":"t-1","status":{"state":"WORD"}}}}"#,
    r#"{"data":{"id":"t-1","object":"response","status":"WORD"}}"#,
    r#"{"ok":true,"result":{"run_id":"t-1","status":"WORD"}}"#,
    r#"{"response":{"object":"batch","status":"WORD","id":"t-1"}}"#,
];

/// Objects with the id `t-1` that are recognized as tasks by the prefix `TASK_STATE_` alone.
const A2A_TASKS: &[&str] = &[
    r#"{"id":"t-1","contextId":"c","status":{"state":"WORD"}}"#,
    r#"{"task":{"id":"t-1","status":{"state":"WORD"}}}"#,
    r#"{"statusUpdate":{"taskId":"t-1","contextId":"c","status":{"state":"WORD"}}}"#,
];

/// Answers in which `WORD` is content.
const CONTENT: &[&str] = &[
    r#"{"tradeId":"T1","status":"WORD"}"#,
    r#"{"tradeId":"T1","state":"WORD","reason":"as agreed","message":"so it is"}"#,
    r#"{"tradeId":"T1","status":{"state":"WORD"}}"#,
    r#"{"id":"c","object":"container","status":"WORD"}"#,
    r#"{"id":"p","status":"WORD","urls":{"self":"https://x"}}"#,
    r#"[{"status":"WORD"}]"#,
    r#"[{"id":"1","status":"WORD"},{"id":"2","status":"WORD"}]"#,
    r#"{"result":{"tradeId":"T1","status":"WORD","reason":"as agreed"}}"#,
    r#"{"data":{"trade":{"status":"WORD","error":"no cash"}}}"#,
    r#"{"data":[{"status":"WORD"},{"object":"response","id":"r","status":"WORD"}]}"#,
    r#"{"output":{"status":"WORD","error":"no cash"}}"#,
    r#"{"output":{"object":"thread.run","id":"r","status":"WORD"}}"#,
    r#"{"output":[{"id":"r","object":"response","status":"WORD"}]}"#,
    r#"{"message":{"run_id":"r","status":"WORD"}}"#,
    r#"{"content":{"object":"response","id":"r","status":"WORD"}}"#,
    r#"{"content":[{"type":"text","status":"WORD","error":"no cash"}]}"#,
    r#"{"artifacts":[{"status":{"state":"WORD"},"parts":[{"data":{"status":"WORD"}}]}]}"#,
    r#"{"parts":[{"kind":"data","data":{"run_id":"r","status":"WORD"}}]}"#,
    r#"{"results":[{"status":"WORD","error_message":"no cash"}]}"#,
    r#"{"steps":[{"run_id":"r","status":"WORD","error":"no cash"}],"answer":"ok"}"#,
    r#"{"messages":[{"role":"tool","status":"WORD","run_id":"r"}]}"#,
    r#"{"choices":[{"index":0,"message":{"run_id":"r","status":"WORD"},"finish_reason":"stop"}]}"#,
    r#"{"id":"r","object":"response","status":"completed","output":[{"type":"mcp_call","status":"WORD"}]}"#,
    r#"{"jsonrpc":"2.0","id":1,"result":{"kind":"task","id":"r","status":{"state":"completed"},"artifacts":[{"parts":[{"kind":"data","data":{"status":"WORD","error":"no cash"}}]}],"history":[{"status":{"state":"WORD"}}]}}"#,
    r#"{"text":"{\"run_id\":\"r\",\"status\":\"WORD\"}"}"#,
    r#"{"statuses":{"T1":"WORD","T2":"WORD"},"WORD":2}"#,
    r#"{"answer":"WORD"}"#,
    r#""WORD""#,
];

/// The answer as a document, as a line and as an event.
fn framed(document: &str) -> [(&'static str, String); 3] {
    [
        ("application/json", document.to_owned()),
        ("application/x-ndjson", format!("{document}\n")),
        ("text/event-stream", format!("data: {document}\n\n")),
    ]
}

/// Each answer with each word, in lower and upper case.
fn each<'a>(
    answers: &'a [&str],
    words: impl IntoIterator<Item = &'a str>,
) -> impl Iterator<Item = (&'a str, String)> {
    let cases = |word: &'a str| [(word, word.to_owned()), (word, word.to_uppercase())];
    let words: Vec<_> = words.into_iter().flat_map(cases).collect();
    answers.iter().flat_map(move |answer| {
        let fill = |(word, spelled): &(_, String)| (*word, answer.replace("WORD", spelled));
        words.iter().map(fill).collect::<Vec<_>>()
    })
}

#[test]
fn failure_words_fail_a_task() {
    check_all(each(TASKS, FAILED.iter().copied()).flat_map(|(_, document)| {
        framed(&document).map(|(media_type, body)| {
            let mut case = Case::new(&body, media_type, &body);
            case.right.outcome = "agent".to_owned();
            case
        })
    }));
}

#[test]
fn waiting_words_leave_a_task_unfinished() {
    check_all(WAITING.iter().flat_map(|(word, waits_for)| {
        each(TASKS, [*word]).map(|(_, document)| {
            let mut case = Case::new(&document, "application/json", &document);
            case.right.waiting = Some((*waits_for).to_owned());
            case.right.task = Some("t-1".to_owned());
            case
        })
    }));
}

#[test]
fn success_words_end_a_task() {
    check_all(each(TASKS, DONE.iter().copied()).map(|(_, document)| {
        let mut case = Case::new(&document, "application/json", &document);
        case.right.task = Some("t-1".to_owned());
        case
    }));
}

#[test]
fn a2a_states_identify_a_task() {
    let tasks: Vec<_> = A2A_TASKS.iter().chain(&TASKS[7..11]).copied().collect();
    let states = [
        ("TASK_STATE_SUBMITTED", "success", Some("task")),
        ("TASK_STATE_WORKING", "success", Some("task")),
        ("TASK_STATE_INPUT_REQUIRED", "success", Some("input")),
        ("TASK_STATE_AUTH_REQUIRED", "success", Some("authorization")),
        ("TASK_STATE_COMPLETED", "success", None),
        ("TASK_STATE_FAILED", "agent", None),
        ("TASK_STATE_CANCELED", "agent", None),
        ("TASK_STATE_REJECTED", "agent", None),
    ];
    check_all(tasks.iter().flat_map(|task| {
        states.map(|(state, outcome, waits_for)| {
            let document = task.replace("WORD", state);
            let mut case = Case::new(&document, "application/json", &document);
            case.right.outcome = outcome.to_owned();
            case.right.waiting = waits_for.map(str::to_owned);
            case.right.task = Some("t-1".to_owned());
            case
        })
    }));
}

#[test]
fn words_in_content_decide_nothing() {
    let words = FAILED.iter().copied().chain(WAITING.iter().map(|(word, _)| *word));
    check_all(each(CONTENT, words).flat_map(|(_, document)| {
        framed(&document).map(|(media_type, body)| Case::new(&body, media_type, &body))
    }));
}

/// Without a task, a word decides only if nothing but an error's own members is beside it, and only
/// if it has no other meaning.
#[test]
fn a_word_alone_is_a_failure_only_if_it_is_unambiguous() {
    for word in FAILED {
        let is_failure = !matches!(*word, "cancelled" | "canceled" | "rejected" | "expired");
        check_all(
            each(
                &[r#"{"status":"WORD"}"#, r#"{"status":"WORD","message":"m","trace_id":"t"}"#],
                [*word],
            )
            .map(|(_, document)| {
                let mut case = Case::new(&document, "application/json", &document);
                if is_failure {
                    case.right.outcome = "agent".to_owned();
                }
                case
            }),
        );
    }
    let waiting = WAITING.iter().map(|(word, _)| *word);
    check_all(
        each(&[r#"{"status":"WORD"}"#, r#"{"id":"7","status":"WORD","message":"m"}"#], waiting)
            .map(|(_, document)| Case::new(&document, "application/json", &document)),
    );
}
