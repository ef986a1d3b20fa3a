//! Rules that hold in many places, tried in each of them.

use http::{Method, StatusCode};
use tower_agent_status::status::WaitingFor;

use crate::cases::{Case, Number};
use crate::check_all;

const JSON: &str = "application/json";
const SSE: &str = "text/event-stream";
const LINES: &str = "application/x-ndjson";
const FRAMES: &str = "application/vnd.amazon.eventstream";
const HTML: &str = "text/html";

/// The paths of model APIs.
const MODELS: &[&str] = &[
    "/v1/chat/completions",
    "/v1/completions",
    "/anthropic/v1/messages",
    "/openai/responses?api-version=preview",
    "/v1/embeddings",
    "/v2/chat",
    "/generate",
    "/v1/images/generations",
    "/v1beta/models/g:generateContent?key=k",
    "/v1beta/models/g:streamGenerateContent",
    "/v1/projects/p/models/claude:rawPredict",
    "/v1/projects/p/models/claude:streamRawPredict",
    "/model/m/converse",
    "/model/m/converse-stream",
    "/model/m/invoke",
    "/model/m/invoke-with-response-stream",
];
/// The paths of agent runtimes.
const AGENTS: &[&str] = &["/invocations", "/runtimes/arn/invocations?qualifier=DEFAULT"];
/// Paths that tell nothing, and those that only look like the ones above.
const OTHERS: &[&str] =
    &["/", "/trades", "/v1/chat/completions/list", "/v1/models", "/chatter", "/invocations/1"];

fn at(method: Method, path: &str, content_type: &str, body: &str, outcome: &str) -> Case {
    let name = format!("{method} {path}, {content_type}: {body:?}");
    let mut case = Case::new(&name, content_type, body);
    (case.method, case.path) = (method, path.to_owned());
    case.right.outcome = outcome.to_owned();
    case
}

#[test]
fn the_path_decides_whether_nothing_is_an_answer() {
    const PAGE: &str = "<!DOCTYPE html>\n<html><body>Bad gateway</body></html>";
    let paths = [(MODELS, true, true), (AGENTS, true, false), (OTHERS, false, false)];
    check_all(paths.iter().flat_map(|(paths, needs_json, needs_html)| {
        let outcome = |is_error| if is_error { "no_answer" } else { "success" };
        paths.iter().flat_map(move |path| {
            [
                at(Method::POST, path, JSON, "", outcome(*needs_json)),
                at(Method::POST, path, JSON, PAGE, outcome(*needs_json)),
                at(Method::POST, path, HTML, PAGE, outcome(*needs_html)),
                at(Method::POST, path, HTML, "", outcome(*needs_html)),
            ]
        })
    }));
}

#[test]
fn a_stream_without_an_event_is_no_answer_on_any_path() {
    let paths = MODELS.iter().chain(AGENTS).chain(OTHERS);
    let empty = [
        (SSE, ""),
        (SSE, ": keep-alive\n\n"),
        (SSE, "event: ping\ndata: {\"type\": \"ping\"}\n\n"),
        (SSE, "data: [DONE]\n\n"),
        (SSE, "Bad gateway"),
        (SSE, "<html>Bad gateway</html>\n"),
        (LINES, ""),
        (LINES, "<html>Bad gateway</html>\n"),
        (FRAMES, ""),
    ];
    check_all(paths.flat_map(|path| {
        empty.iter().map(|(label, body)| at(Method::POST, path, label, body, "no_answer"))
    }));
}

#[test]
fn a_response_without_content_needs_no_answer() {
    let paths = MODELS.iter().chain(AGENTS).chain(OTHERS);
    check_all(paths.flat_map(|path| {
        let labels = [JSON, SSE, LINES, FRAMES, HTML];
        labels.into_iter().flat_map(|label| {
            let statuses = [202, 204, 205, 304].map(|status| {
                let mut case = at(Method::POST, path, label, "", "success");
                case.name = format!("{status} {}", case.name);
                case.status = StatusCode::from_u16(status).unwrap();
                case
            });
            statuses.into_iter().chain([at(Method::HEAD, path, label, "", "success")])
        })
    }));
    let listening = MODELS.iter().chain(AGENTS).chain(OTHERS);
    check_all(listening.flat_map(|path| {
        [(SSE, ""), (SSE, ": hello\n\n"), (LINES, ""), (FRAMES, "")]
            .map(|(label, body)| at(Method::GET, path, label, body, "success"))
    }));
}

/// Usage objects of 640 and 32 tokens.
const USAGES: &[&str] = &[
    r#"{"prompt_tokens":640,"completion_tokens":32,"total_tokens":672}"#,
    r#"{"input_tokens":640,"output_tokens":32}"#,
    r#"{"totalTokens":672,"outputTokens":32,"inputTokens":640}"#,
    r#"{"promptTokens":640,"completionTokens":32,"totalTokens":672}"#,
    r#"{"input_count":640,"output_count":32,"token_count":672}"#,
    r#"{"request_tokens":640,"response_tokens":32}"#,
    r#"{"prompt_token_count":640,"candidates_token_count":32,"total_token_count":672}"#,
];

fn with_usage(document: String, is_read: bool) -> Case {
    let mut case = Case::new(&document, JSON, &document);
    if is_read {
        case.right.usage = Some(Some([Number::Is(640), Number::Is(32), Number::Is(672)]));
    }
    case
}

#[test]
fn envelopes_are_transparent_up_to_three_deep() {
    const ENVELOPES: &[&str] =
        &["result", "data", "output", "payload", "response", "message", "metadata", "step"];
    check_all(USAGES.iter().flat_map(|usage| {
        let of_one = ENVELOPES.iter().map(move |a| {
            with_usage(format!(r#"{{"id":"1","{a}":{{"text":"ok","usage":{usage}}}}}"#), true)
        });
        let of_two = ENVELOPES.iter().flat_map(move |a| {
            ENVELOPES.iter().map(move |b| {
                with_usage(format!(r#"{{"{a}":{{"{b}":{{"usage":{usage}}},"n":1}}}}"#), true)
            })
        });
        let of_three = ENVELOPES.iter().flat_map(move |a| {
            ENVELOPES.iter().map(move |b| {
                let c = "result";
                with_usage(format!(r#"{{"{a}":{{"{b}":{{"{c}":{{"usage":{usage}}}}}}}}}"#), true)
            })
        });
        of_one.chain(of_two).chain(of_three)
    }));
}

#[test]
fn wrappers_of_all_names_are_transparent() {
    const WRAPPERS: &[&str] = &[
        "body",
        "answer",
        "chunk",
        "completion",
        "generation",
        "info",
        "interaction",
        "item",
        "raw",
        "run",
        "update",
        "value",
        "values",
        "chatResponse",
        "chat_response",
        "llmOutput",
        "llm_output",
        "messageMetadata",
        "message_metadata",
        "modelOutput",
        "model_output",
        "rawResponse",
        "raw_response",
        "responseMetadata",
        "response_metadata",
    ];
    const KEYS: &[&str] =
        &["usage", "usage_details", "usageDetails", "token_usage", "tokenUsage", "total_usage"];
    check_all(USAGES.iter().flat_map(|usage| {
        let of_wrappers = WRAPPERS.iter().flat_map(move |key| {
            [
                with_usage(format!(r#"{{"{key}":{{"text":"ok","usage":{usage}}}}}"#), true),
                with_usage(format!(r#"{{"id":"1","data":{{"{key}":{{"usage":{usage}}}}}}}"#), true),
            ]
        });
        let of_keys = KEYS.iter().flat_map(move |key| {
            [
                with_usage(format!(r#"{{"text":"ok","{key}":{usage}}}"#), true),
                with_usage(format!(r#"{{"output":{{"{key}":{usage}}}}}"#), true),
            ]
        });
        of_wrappers.chain(of_keys)
    }));
}

#[test]
fn what_holds_content_is_no_envelope() {
    const CONTENT: &[&str] = &[
        "content",
        "arguments",
        "args",
        "input",
        "text",
        "document",
        "messages",
        "parts",
        "artifacts",
        "tool_calls",
    ];
    check_all(USAGES.iter().flat_map(|usage| {
        CONTENT.iter().flat_map(move |key| {
            [
                with_usage(format!(r#"{{"{key}":{{"usage":{usage}}}}}"#), false),
                with_usage(format!(r#"{{"{key}":[{{"usage":{usage}}}]}}"#), false),
                with_usage(format!(r#"{{"result":{{"{key}":{{"usage":{usage}}}}}}}"#), false),
                with_usage(format!(r#"{{"data":{{"{key}":[{{"usage":{usage}}}]}}}}"#), false),
                with_usage(format!(r#"{{"{key}":{{"data":{{"usage":{usage}}}}}}}"#), false),
                with_usage(format!(r#"{{"{key}":{{"usage":{{}}}},"usage":{usage}}}"#), true),
            ]
        })
    }));
}

/// The keys of an error's text, in the order in which they are looked for.
const TEXTS: &[&str] = &[
    "message",
    "msg",
    "detail",
    "details",
    "error_message",
    "errorMessage",
    "errorText",
    "error_msg",
    "status_msg",
    "failureReason",
    "ErrorDetails",
    "reason",
    "description",
];

fn failing(document: String, message: &str) -> Case {
    let mut case = Case::new(&document, JSON, &document);
    case.right.outcome = "agent".to_owned();
    case.right.messages.push(message.to_owned());
    case
}

#[test]
fn the_text_of_an_error_is_found_under_each_key() {
    check_all(TEXTS.iter().flat_map(|key| {
        [
            failing(format!(r#"{{"error":{{"code":"E1","{key}":"no cash"}}}}"#), "no cash"),
            failing(format!(r#"{{"{key}":"no cash","error":{{"code":"E1"}}}}"#), "no cash"),
            failing(format!(r#"{{"error":{{"code":"E1"}},"{key}":"no cash"}}"#), "no cash"),
            failing(format!(r#"{{"success":false,"{key}":"no cash","rows":[]}}"#), "no cash"),
            failing(format!(r#"{{"{key}":"outer","error":{{"{key}":"no cash"}}}}"#), "no cash"),
            failing(format!(r#"{{"error":{{"{key}":"no cash"}},"{key}":"outer"}}"#), "no cash"),
        ]
    }));
}

#[test]
fn the_first_text_that_is_not_empty_counts() {
    let pairs = TEXTS
        .iter()
        .enumerate()
        .flat_map(|(i, first)| TEXTS[i + 1..].iter().map(move |second| (*first, *second)));
    check_all(pairs.flat_map(|(first, second)| {
        [
            failing(format!(r#"{{"error":{{"{first}":"first","{second}":"second"}}}}"#), "first"),
            failing(format!(r#"{{"error":{{"{second}":"second","{first}":"first"}}}}"#), "first"),
            failing(format!(r#"{{"error":{{"{first}":"","{second}":"second"}}}}"#), "second"),
            failing(format!(r#"{{"error":{{"{second}":"second","{first}":null}}}}"#), "second"),
        ]
    }));
}

#[test]
fn an_error_counts_only_if_it_says_something() {
    const SILENT: &[&str] = &[
        "null",
        "\"\"",
        "\"None\"",
        "\"null\"",
        "{}",
        r#"{"code":0}"#,
        r#"{"code":"0","message":""}"#,
        r#"{"code":200,"message":"None"}"#,
        r#"{"message":null,"type":"","param":null,"code":null}"#,
        r#"{"msg":"","code":""}"#,
        r#"{"message":"null"}"#,
    ];
    const TELLING: &[&str] = &[
        "\"no cash\"",
        r#"{"message":"no cash"}"#,
        r#"{"code":1}"#,
        r#"{"code":"E1","message":""}"#,
        r#"{"code":0,"msg":"no cash"}"#,
        r#"{"message":"None of them"}"#,
    ];
    const PLACES: &[&str] = &[
        r#"{"answer":"ok","error":ERROR}"#,
        r#"{"error":ERROR}"#,
        r#"{"id":"r","object":"response","status":"completed","error":ERROR}"#,
        r#"{"response":{"id":"r","error":ERROR}}"#,
        r#"{"object":"thread.run","status":"completed","last_error":ERROR}"#,
        r#"{"choices":[{"index":0,"message":{"content":"ok"},"error":ERROR,"finish_reason":"stop"}]}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":ERROR}"#,
    ];
    check_all([(SILENT, "success"), (TELLING, "agent")].iter().flat_map(|(errors, outcome)| {
        PLACES.iter().flat_map(move |place| {
            errors.iter().flat_map(move |error| {
                let document = place.replace("ERROR", error);
                let event = format!("data: {document}\n\n");
                [(JSON, document), (SSE, event)].map(|(label, body)| {
                    let mut case = Case::new(&body, label, &body);
                    case.right.outcome = (*outcome).to_owned();
                    case
                })
            })
        })
    }));
}

#[test]
fn an_event_that_is_named_an_error_fails() {
    const NAMES: &[&str] = &[
        "error",
        "Error",
        "RunError",
        "TeamRunError",
        "WorkflowError",
        "error_message",
        "conversation.response.error",
    ];
    const OTHERS: &[&str] = &[
        "tool.error",
        "ToolCallError",
        "TeamToolCallError",
        "StepError",
        "errors",
        "no_error",
        "error.log",
    ];
    check_all([(NAMES, "agent"), (OTHERS, "success")].iter().flat_map(|(names, outcome)| {
        names.iter().flat_map(move |name| {
            ["event", "type", "message_type"].iter().flat_map(move |member| {
                ["message", "content", "data"].iter().flat_map(move |text| {
                    let event = format!(r#"{{"{member}":"{name}","{text}":"no cash"}}"#);
                    let stream = format!("data: {{\"step\":1}}\n\ndata: {event}\n\n");
                    let lines = format!("{{\"step\":1}}\n{event}\n");
                    [(SSE, stream), (LINES, lines)].map(|(label, body)| {
                        let mut case = Case::new(&body, label, &body);
                        case.right.outcome = (*outcome).to_owned();
                        if *outcome == "agent" {
                            case.right.messages.push("no cash".to_owned());
                        }
                        case
                    })
                })
            })
        })
    }));
}

#[test]
fn what_is_beside_a_sign_of_failure_decides_whether_it_is_one() {
    let table = [
        // The elements of a list are of no status.
        (r#"{"status":"failed","errors":["row 3 is empty"],"rows":7}"#, "success"),
        (r#"{"status":"failed","error":"row 3 is empty","rows":7}"#, "agent"),
        // A number is the code of an error beside a message, whatever else there is; 0 is none.
        (r#"{"error_code":17,"error_message":"no such model","model":"m"}"#, "agent"),
        (r#"{"error_code":-1,"error_message":"no such model","model":"m"}"#, "agent"),
        (r#"{"error_code":0,"error_message":"no error","model":"m"}"#, "success"),
        (r#"{"error_code":"17","error_message":"no such model","model":"m"}"#, "success"),
        // The answer of a function behind a proxy.
        (r#"{"statusCode":400,"body":"what?"}"#, "agent"),
        (r#"{"statusCode":399,"body":"what?"}"#, "success"),
        (r#"{"statusCode":"500","body":"what?"}"#, "success"),
        // An empty error says nothing of what stands behind it.
        (r#"{"error":{},"message":"all is well","pages":7}"#, "success"),
        // The event of a call names who wrote it, and the call.
        (r#"{"author":"a","invocationId":"i","errorCode":"STOP","content":{}}"#, "agent"),
        (r#"{"invocationId":"i","errorCode":"STOP","content":{}}"#, "success"),
        (r#"{"author":"a","errorCode":"STOP","content":{}}"#, "success"),
        // Ollama's last event has a time.
        (r#"{"done":false,"answer":"not yet"}"#, "success"),
        (r#"{"done":false,"answer":"not yet","created_at":"t"}"#, "incomplete"),
        // A task of A2A has an object as its status.
        (r#"{"kind":"task","status":{"state":"failed"},"id":"t"}"#, "agent"),
        (r#"{"kind":"task","status":"failed","id":"t"}"#, "success"),
        // A later word for the status replaces an earlier one, though it is not known.
        (r#"{"run_id":"r","status":"failed","pages":7}"#, "agent"),
        (r#"{"run_id":"r","status":"failed","processing_status":"archived"}"#, "success"),
        // What says something only if it is a task.
        (r#"{"task":{"status":"failed"}}"#, "success"),
        (r#"{"result":{"status":"failed"}}"#, "agent"),
        // A scope around another one stays.
        (r#"{"result":{"status":"failed","errorText":"no quota","task":{"id":"t"}}}"#, "agent"),
        (r#"{"success":"task_state_false","pages":7}"#, "success"),
        (r#"{"success":"false","pages":7}"#, "agent"),
    ];
    check_all(table.map(|(body, outcome)| at(Method::POST, "/", JSON, body, outcome)));
    // What the elements of a list say of their success is no matter, even in a model's stream.
    let list = r#"[{"success":false},{"success":true}]"#;
    check_all([at(Method::POST, "/v1/chat/completions", JSON, list, "success")]);
    // The more telling code is the error's.
    let body = r#"{"success":false,"code":"B","error_code":"A","message":"no"}"#;
    let mut case = at(Method::POST, "/", JSON, body, "agent");
    case.right.code = Some("A".to_owned());
    check_all([case]);
}

#[test]
fn the_most_telling_id_is_that_of_the_task_and_stays_with_its_scope() {
    let long = "x".repeat(60);
    let exactly = "x".repeat(40);
    let table = [
        (JSON, r#"{"run_id":"b","status":"running","id":"a"}"#.to_owned(), Some("b")),
        (JSON, r#"{"id":"a","run_id":"b","status":"running"}"#.to_owned(), Some("b")),
        (JSON, r#"{"run_id":"b","run_id":"c","status":"running"}"#.to_owned(), Some("b")),
        (
            JSON,
            r#"{"object":"response","id":"a","id":"b","status":"queued"}"#.to_owned(),
            Some("a"),
        ),
        (
            JSON,
            format!(r#"{{"object":"response","id":"{exactly}","status":"queued"}}"#),
            Some(&*exactly),
        ),
        // Each scope has an id of its own, and so has each document.
        (
            JSON,
            r#"{"data":{"object":"response","id":"a","status":"queued"},"response":{"x":1}}"#
                .to_owned(),
            Some("a"),
        ),
        (
            JSON,
            r#"{"data":{"id":"a"},"response":{"object":"response","status":"queued"}}"#.to_owned(),
            None,
        ),
        (
            LINES,
            "{\"id\":\"a\"}\n{\"object\":\"response\",\"status\":\"queued\"}\n".to_owned(),
            None,
        ),
        (
            LINES,
            format!(
                "{{\"object\":\"response\",\"id\":\"{long}\",\"status\":\"queued\"}}\n\
                 {{\"object\":\"response\",\"id\":\"b\",\"status\":\"queued\"}}\n"
            ),
            Some("b"),
        ),
        // A document that breaks off in a scope does not lead into the next one.
        (
            LINES,
            "{\"result\":{\"a\":!\n\
             {\"object\":\"response\",\"id\":\"a\",\"status\":\"queued\"}\n"
                .to_owned(),
            Some("a"),
        ),
    ];
    for (label, body, id) in table {
        let case = at(Method::POST, "/", label, &body, "any");
        for size in [1, usize::MAX] {
            let reading = case.read(size).0;
            assert_eq!(reading.waiting_for, Some(WaitingFor::Task), "{body} by {size}");
            let task = reading.task_id.as_ref().map(|id| id.as_str());
            assert_eq!(task, id, "{body} by {size}");
        }
    }
    // A run without an id is no task.
    check_all([at(Method::POST, "/", JSON, r#"{"run_id":"","status":"running"}"#, "success")]);
}
