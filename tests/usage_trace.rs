//! A reader that tells why reads the same as one that does not, and tells the same however the body
//! is cut.

#![expect(clippy::unwrap_used, reason = "a row that cannot be read fails the test")]

#[path = "corpus/cuts.rs"]
mod cuts;
#[path = "corpus/rows.rs"]
mod rows;

use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use tower_agent_status::status::WaitingFor;
use tower_agent_status::usage::{
    End, FailureEffect, FailureSign, Missing, NoAnswer, OutcomeRule, Progress, Reading,
    RequestHint, ResponseHead, StatusPlace, Step, TokenRule, Trace, UsageEffect, UsageReader,
};

const JSON: &str = "application/json";
const SSE: &str = "text/event-stream";

fn head(content_type: &'static str, path: &str) -> ResponseHead {
    let content_type = HeaderValue::from_static(content_type);
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type)]);
    ResponseHead::new(StatusCode::OK, &headers, RequestHint::new(&Method::POST, path))
}

/// What a traced reader makes of pieces of a body.
fn read(
    head: ResponseHead,
    pieces: &mut dyn Iterator<Item = &[u8]>,
    end: End<'_>,
) -> (Reading, Trace) {
    let mut reader = UsageReader::traced(head);
    for piece in pieces {
        if reader.feed(piece) == Progress::Ended {
            break;
        }
    }
    reader.finish_traced(end)
}

fn trace(content_type: &'static str, path: &str, body: &str) -> Trace {
    read(head(content_type, path), &mut std::iter::once(body.as_bytes()), End::Complete).1
}

/// Bodies in which much is found.
const BODIES: &[(&str, &str)] = &[
    (
        JSON,
        r#"{"choices":[{"finish_reason":"error"}],"usage":{"prompt_tokens":9,"completion_tokens":3}}"#,
    ),
    (JSON, r#"{"result":{"message":{"usage":{"input_tokens":9,"cache_read_input_tokens":4}}}}"#),
    (
        JSON,
        r#"[{"author":"a","invocationId":"1","usageMetadata":{"promptTokenCount":5}},{"author":"b","invocationId":"2","errorCode":"E"}]"#,
    ),
    (JSON, r#"{"jsonrpc":"2.0","result":{"kind":"task","id":"t","status":{"state":"working"}}}"#),
    (JSON, r#"{"data":{"status":"FAILED","error_message":"boom","id":"x"}}"#),
    (
        JSON,
        r#"{"success":"false","message":"no","details":{"prefill":[{},{},{}],"generated_tokens":2}}"#,
    ),
    (JSON, r#"{"errors":[{"message":"a"},{"message":"b"}]}"#),
    (
        SSE,
        "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":9}}\n\ndata: {\"type\":\"message_stop\"}\n\n",
    ),
    (SSE, "event: error\ndata: {\"error\":{\"message\":\"x\"}}\n\ndata: {\"error\":\"later\"}\n\n"),
    (
        SSE,
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"b\"}}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3}}\n\ndata: [DONE]\n\n",
    ),
];

#[test]
fn a_trace_changes_no_reading_and_is_the_same_at_any_cut() {
    for (content_type, body) in BODIES {
        let mut plain = UsageReader::new(head(content_type, "/"));
        plain.feed(body.as_bytes());
        let plain = plain.finish(End::Complete);
        let checked = cuts::check(body.as_bytes(), 1, |pieces| {
            read(head(content_type, "/"), pieces, End::Complete)
        });
        let (reading, trace) = checked.unwrap_or_else(|fault| panic!("{body}: {fault}"));
        assert_eq!(reading, plain, "{body}");
        assert!(!trace.steps.is_empty() && trace.outcome_rule.is_some(), "{body}: {trace:?}");
    }
}

#[test]
fn recorded_answers_are_read_alike_with_a_trace() {
    let rows = match rows::all_rows() {
        Ok(rows) => rows,
        Err(why) => return println!("{why}"),
    };
    let faults = cuts::faults(&rows, |row| {
        for size in [7, 1400, usize::MAX] {
            let mut plain = row.reader();
            let mut traced = UsageReader::traced(row.head());
            for piece in row.body.chunks(size) {
                assert_eq!(plain.feed(piece), traced.feed(piece));
            }
            plain.trailers(&row.trailers());
            traced.trailers(&row.trailers());
            let (reading, trace) = traced.finish_traced(End::Complete);
            let id = &row.json["id"];
            if plain.finish(End::Complete) != reading {
                return Err(format!("{id}: {reading:?}"));
            }
            // Figures come from somewhere, and so do failures.
            let has = |effect: fn(&Step) -> bool| trace.steps.iter().any(effect);
            let has_usage =
                has(|step| matches!(step, Step::Usage { effect, .. } if effect.counts()));
            let of_headers = trace.token_rules.iter().any(|rule| {
                matches!(rule, TokenRule::FromHeaders | TokenRule::FilledInFromHeaders)
            });
            if reading.usage.is_some() && !has_usage && !of_headers {
                return Err(format!("{id}: no source of the figures in {trace:?}"));
            }
            let signed = has(
                |step| matches!(step, Step::Failure { signs, effect: FailureEffect::Reported, .. } if !signs.is_empty()),
            );
            if trace.outcome_rule == Some(OutcomeRule::Reported) && !signed {
                return Err(format!("{id}: no sign of the failure in {trace:?}"));
            }
        }
        Ok(())
    });
    println!("corpus: {} of {} rows are read alike", rows.len() - faults.len(), rows.len());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_reader_without_a_trace_has_an_empty_one() {
    let mut reader = UsageReader::new(head(JSON, "/"));
    reader.feed(br#"{"usage":{"prompt_tokens":9}}"#);
    let (reading, trace) = reader.finish_traced(End::Complete);
    assert_eq!(trace, Trace::default());
    assert_eq!(reading.usage.and_then(|usage| usage.input_tokens), Some(9));
}

#[test]
fn the_end_of_the_transport_is_the_reason_where_nothing_else_is() {
    let body = "data: {\"choices\":[{\"delta\":{}}]}\n\n";
    let failure = std::io::Error::other("reset");
    for (end, rule) in [
        (End::Complete, OutcomeRule::Incomplete(Missing::EndMarker)),
        (End::Dropped, OutcomeRule::Dropped),
        (End::Failed(&failure), OutcomeRule::Failed),
        (End::TimedOut(&failure), OutcomeRule::TimedOut),
    ] {
        let pieces = &mut std::iter::once(body.as_bytes());
        let (_, trace) = read(head(SSE, "/"), pieces, end);
        assert_eq!(trace.outcome_rule, Some(rule), "{end:?}");
    }
    let whole = &mut std::iter::once(b"{}".as_slice());
    let (_, trace) = read(head(JSON, "/"), whole, End::Dropped);
    assert_eq!(trace.outcome_rule, Some(OutcomeRule::DroppedComplete));
}

#[test]
fn paths_are_those_of_the_document() {
    for (body, path) in [
        (r#"{"usage":{"prompt_tokens":1}}"#, "usage"),
        (r#"[{"usage":{"prompt_tokens":1}}]"#, "[].usage"),
        (r#"{"choices":[{"usage":{"prompt_tokens":1}}]}"#, "choices[].usage"),
        (r#"{"data":{"output":{"usage":[{"prompt_tokens":1}]}}}"#, "data.output.usage[]"),
        (r#"{"eval_count":1}"#, "eval_count"),
        (r#"{"details":{"prefill":[{}]}}"#, "details.prefill[]"),
        (r#"{"workflow_run_id":"w","data":{"total_tokens":7}}"#, ""),
    ] {
        let trace = trace(JSON, "/", body);
        let [Step::Usage { path: found, effect: UsageEffect::Counted, .. }] = &*trace.steps else {
            panic!("{body}: {trace:?}")
        };
        assert_eq!(&**found, path, "{body}");
    }
}

#[test]
fn a_document_in_a_text_has_its_own_paths() {
    let body = r#""{\"success\": false, \"result\": {\"usage\": {\"prompt_tokens\": 4}}}""#;
    let steps = trace(JSON, "/invocations", body).steps;
    let [Step::Usage { path, .. }, Step::Failure { signs, .. }] = &*steps else {
        panic!("{steps:?}")
    };
    assert_eq!(&**path, "result.usage");
    assert_eq!(*signs, [FailureSign::NoSuccess("success".into())]);
}

#[test]
fn a_protocol_s_status_is_found_where_it_is() {
    let grpc = || head("application/grpc", "/");
    let headers = HeaderMap::from_iter([
        (CONTENT_TYPE, HeaderValue::from_static("application/grpc")),
        ("grpc-status".parse().unwrap(), HeaderValue::from_static("5")),
    ]);
    let in_head = ResponseHead::new(StatusCode::OK, &headers, RequestHint::default());
    let trailers =
        HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("5"))]);
    for (head, trailers, place) in
        [(in_head, HeaderMap::new(), StatusPlace::Head), (grpc(), trailers, StatusPlace::Trailers)]
    {
        let mut reader = UsageReader::traced(head);
        reader.trailers(&trailers);
        let (_, trace) = reader.finish_traced(End::Complete);
        let [Step::Failure { signs, effect: FailureEffect::Reported, .. }] = &*trace.steps else {
            panic!("{trace:?}")
        };
        assert_eq!(*signs, [FailureSign::ProtocolStatus(place)]);
        assert_eq!(trace.outcome_rule, Some(OutcomeRule::ProtocolStatus));
    }
    let without = UsageReader::traced(grpc()).finish_traced(End::Complete).1;
    let rule = OutcomeRule::Incomplete(Missing::ProtocolStatus);
    assert_eq!(without.outcome_rule, Some(rule));
    let frame = b"\x80\0\0\0\x0egrpc-status:13";
    let web = head("application/grpc-web+proto", "/");
    let (_, trace) = read(web, &mut std::iter::once(frame.as_slice()), End::Complete);
    let in_body = FailureSign::ProtocolStatus(StatusPlace::Body);
    assert!(
        matches!(&*trace.steps, [Step::Failure { signs, .. }] if *signs == [in_body]),
        "{trace:?}"
    );
}

#[test]
fn what_is_not_read_any_further_is_in_no_step_but_a_failure() {
    let mut reader = UsageReader::traced(head(SSE, "/"));
    reader.feed(b"data: {\"error\":\"boom\",\"usage\":{\"prompt_tokens\":9}}\n\n");
    reader.skip_rest();
    let (_, trace) = reader.finish_traced(End::Complete);
    assert!(matches!(&*trace.steps, [Step::Failure { .. }]), "{trace:?}");
    assert_eq!(trace.token_rules, [TokenRule::NoneDecoded]);
}

#[test]
fn a_task_that_waits_is_a_step() {
    let body = r#"{"object":"thread.run","id":"r","status":"requires_action"}"#;
    let steps = trace(JSON, "/", body).steps;
    let [Step::Task { status, waiting_for, id, .. }] = &*steps else { panic!("{steps:?}") };
    let status = status.as_ref().map(|(path, word)| (&**path, &**word));
    assert_eq!(status, Some(("status", "requires_action")));
    assert_eq!((*waiting_for, id.as_ref().unwrap().as_str()), (Some(WaitingFor::Input), "r"));
}

#[test]
fn what_is_there_in_place_of_an_answer_is_told_apart() {
    for (content_type, body, what) in [
        (JSON, "", NoAnswer::Nothing),
        (JSON, r#"{"choices":[]}"#, NoAnswer::NoChoices),
        (JSON, "<html>", NoAnswer::Page),
        ("text/html", "Sign in, please", NoAnswer::Page),
        (SSE, ": hello\n\n", NoAnswer::SignsOfLife),
    ] {
        let trace = trace(content_type, "/v1/chat/completions", body);
        assert_eq!(trace.outcome_rule, Some(OutcomeRule::NoAnswer(what)), "{body}");
    }
}
