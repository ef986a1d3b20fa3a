//! Every way a call can end, poll by poll: each records one outcome, at the right moment.

use std::fmt;
use std::future::{Future, pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt as _;
use http::{Request, Response, StatusCode};
use http_body::Body;
use proptest::prelude::*;
use tower::{Layer, Service, service_fn};
use tower_agent_status::status::{AgentState, AgentStatus, TokenUsage, Value};
use tower_agent_status::store::MemoryStore;
use tower_agent_status::{StatusLayer, StatusTracker};

use crate::support::scripted::Step::{Data, End, Error, GrpcStatus, Panic, Pending, Trailers};
use crate::support::scripted::{Scripted, Step};
use crate::support::{
    AGENT, SESSION, assert_contract_of_history, builder, of_session, stored, ticking_clock,
};

const JSON: &str = "application/json";
const SSE: &str = "text/event-stream";
const GRPC: &str = "application/grpc";
/// A message of gRPC.
const MESSAGE: Step = Data("\0\0\0\0\x02\x0a\0");

/// An agent's answer, in two chunks that cut a number.
const ANSWER: [Step; 2] = [
    Data("{\"success\": true, \"token_usage\": {\"input_tokens\": 15"),
    Data("00, \"output_tokens\": 500, \"total_tokens\": 2000}}"),
];
const CHUNK: Step = Data("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\n");
const USAGE: Step = Data(
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3,\"total_tokens\":12}}\n\n",
);
const DONE: Step = Data("data: [DONE]\n\n");
const MESSAGE_START: Step = Data(
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"type\":\"message\",\"usage\":{\"input_tokens\":25,\"output_tokens\":1}}}\n\n",
);
const MESSAGE_DELTA: Step = Data(
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":15}}\n\n",
);
const MESSAGE_STOP: Step = Data("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
const RATE_LIMIT: Step =
    Data("{\"error\": {\"message\": \"Rate limit reached\", \"code\": \"x\"}}");

/// How the agent handles the call.
enum Does {
    Answers(u16, &'static str, Scripted),
    Fails(&'static str),
    NeverAnswers,
    PanicsInCall,
    PanicsInFuture,
}

/// How the caller handles the answer.
#[derive(Clone, Copy)]
enum Caller {
    /// Drops the response future after one poll.
    DropsFuture,
    /// Polls the body this many times, then drops it.
    Polls(usize),
    /// Polls the body this many times, then panics while holding it.
    PollsAndPanics(usize),
}

struct Case {
    name: &'static str,
    does: Does,
    caller: Caller,
    /// The number of polls of the body after which the outcome is recorded. `None`: the drop
    /// records it.
    recorded: Option<usize>,
    /// The class of the error and a part of its message.
    error: Option<(&'static str, &'static str)>,
    usage: Option<TokenUsage>,
}

fn case(name: &'static str, does: Does, caller: Caller) -> Case {
    Case { name, does, caller, recorded: None, error: None, usage: None }
}

impl Case {
    fn recorded_after(mut self, polls: usize) -> Self {
        self.recorded = Some(polls);
        self
    }

    fn error(mut self, class: &'static str, message: &'static str) -> Self {
        self.error = Some((class, message));
        self
    }

    fn usage(mut self, input: u64, output: u64) -> Self {
        self.usage = Some(TokenUsage::new(input, output));
        self
    }
}

fn chunked(content_type: &'static str, steps: &[Step]) -> Does {
    Does::Answers(200, content_type, Scripted::chunked(steps))
}

fn sized(content_type: &'static str, steps: &[Step]) -> Does {
    Does::Answers(200, content_type, Scripted::sized(steps))
}

fn with_status(status: u16, does: Does) -> Does {
    match does {
        Does::Answers(_, content_type, body) => Does::Answers(status, content_type, body),
        other => other,
    }
}

fn cases() -> Vec<Case> {
    use Caller::{DropsFuture, Polls, PollsAndPanics};
    const GAVE_UP: &str = "gave up";
    let [first, second] = ANSWER;
    vec![
        case("empty never polled", sized("", &[]), Polls(0)).recorded_after(0),
        case("empty without hint, polled", chunked("", &[]), Polls(1)).recorded_after(1),
        case("empty without hint, never polled", chunked("", &[]), Polls(0))
            .error("cancelled", GAVE_UP),
        case("exact length dropped after last frame", sized(JSON, &ANSWER), Polls(2))
            .recorded_after(2)
            .usage(1500, 500),
        case("exact length polled to its end", sized(JSON, &ANSWER), Polls(4))
            .recorded_after(2)
            .usage(1500, 500),
        case("chunked to none and polled again", chunked(JSON, &ANSWER), Polls(5))
            .recorded_after(3)
            .usage(1500, 500),
        case(
            "chunked, and data after its end",
            chunked(JSON, &[first, second, End, second]),
            Polls(5),
        )
        .recorded_after(3)
        .usage(1500, 500),
        case("a whole document, dropped before its end", chunked(JSON, &ANSWER), Polls(2))
            .usage(1500, 500),
        case("dropped early", chunked(SSE, &[MESSAGE_START, MESSAGE_DELTA]), Polls(1))
            .error("cancelled", GAVE_UP)
            .usage(25, 1),
        case("dropped early with a length", sized(JSON, &ANSWER), Polls(1))
            .error("cancelled", GAVE_UP),
        case("never polled", sized(JSON, &ANSWER), Polls(0)).error("cancelled", GAVE_UP),
        case(
            "pending then dropped",
            chunked(SSE, &[MESSAGE_START, Pending, MESSAGE_STOP]),
            Polls(2),
        )
        .error("cancelled", GAVE_UP)
        .usage(25, 1),
        case("pending and read on", sized(JSON, &[first, Pending, Pending, second]), Polls(4))
            .recorded_after(4)
            .usage(1500, 500),
        case("dropped after terminal event", chunked(SSE, &[CHUNK, USAGE, DONE, CHUNK]), Polls(3))
            .recorded_after(3)
            .usage(9, 3),
        case(
            "dropped after message_stop",
            chunked(SSE, &[MESSAGE_START, MESSAGE_DELTA, MESSAGE_STOP, Pending]),
            Polls(3),
        )
        .recorded_after(3)
        .usage(25, 15),
        case(
            "error after terminal event",
            chunked(SSE, &[CHUNK, USAGE, DONE, Error("connection reset")]),
            Polls(5),
        )
        .recorded_after(3)
        .usage(9, 3),
        case("trailers", chunked(JSON, &[first, second, Trailers]), Polls(3))
            .recorded_after(3)
            .usage(1500, 500),
        case("trailers and polled again", chunked(JSON, &[first, second, Trailers]), Polls(5))
            .recorded_after(3)
            .usage(1500, 500),
        case("trailers after a length", sized(JSON, &[first, second, Trailers]), Polls(4))
            .recorded_after(2)
            .usage(1500, 500),
        case(
            "trailers after a length that mean nothing",
            sized(JSON, &[first, second, GrpcStatus("14")]),
            Polls(4),
        )
        .recorded_after(2)
        .usage(1500, 500),
        case("the status of gRPC", chunked(GRPC, &[MESSAGE, GrpcStatus("0")]), Polls(2))
            .recorded_after(2),
        case("a failure of gRPC", chunked(GRPC, &[MESSAGE, GrpcStatus("14")]), Polls(2))
            .recorded_after(2)
            .error("grpc_unavailable", "UNAVAILABLE"),
        case(
            "the status of gRPC after a length",
            sized(GRPC, &[MESSAGE, MESSAGE, GrpcStatus("14")]),
            Polls(3),
        )
        .recorded_after(3)
        .error("grpc_unavailable", "UNAVAILABLE"),
        case("gRPC and then dropped", sized(GRPC, &[MESSAGE, GrpcStatus("0")]), Polls(1))
            .error("cancelled", GAVE_UP),
        case("gRPC without a status", chunked(GRPC, &[MESSAGE]), Polls(2))
            .recorded_after(2)
            .error("incomplete", "broke off"),
        case("gRPC that is over without a status", sized(GRPC, &[MESSAGE]), Polls(1))
            .error("incomplete", "broke off"),
        case("gRPC of status 503", with_status(503, chunked(GRPC, &[])), Polls(1))
            .recorded_after(1)
            .error("http_503", "Service Unavailable"),
        case(
            "error then dropped",
            chunked(SSE, &[MESSAGE_START, Error("connection reset"), MESSAGE_DELTA]),
            Polls(2),
        )
        .recorded_after(2)
        .error("transport", "connection reset")
        .usage(25, 1),
        case(
            "error polled again",
            chunked(SSE, &[MESSAGE_START, Error("connection reset"), MESSAGE_DELTA, DONE]),
            Polls(6),
        )
        .recorded_after(2)
        .error("transport", "connection reset")
        .usage(25, 1),
        case("error that is a timeout", chunked(JSON, &[first, Error("timed out")]), Polls(2))
            .recorded_after(2)
            .error("timeout", "timed out"),
        case("429 never polled", with_status(429, sized(JSON, &[RATE_LIMIT])), Polls(0))
            .error("http_429", "Too Many Requests"),
        case("429 read", with_status(429, sized(JSON, &[RATE_LIMIT])), Polls(1))
            .recorded_after(1)
            .error("http_429", "Rate limit reached"),
        case("429 that breaks off", with_status(429, chunked(JSON, &[Error("reset")])), Polls(1))
            .recorded_after(1)
            .error("http_429", "Too Many Requests"),
        case("500 without a body", with_status(500, sized("", &[])), Polls(0))
            .recorded_after(0)
            .error("http_500", "Internal Server Error"),
        case("future dropped before headers", Does::NeverAnswers, DropsFuture)
            .error("cancelled", GAVE_UP),
        case("failed before headers", Does::Fails("connection refused"), Polls(0))
            .recorded_after(0)
            .error("transport", "connection refused"),
        case("panic in the service", Does::PanicsInCall, Polls(0)).error("panic", "panicked"),
        case("panic before headers", Does::PanicsInFuture, Polls(0)).error("panic", "panicked"),
        case("panic in the body", chunked(SSE, &[MESSAGE_START, Panic]), Polls(2))
            .error("cancelled", "")
            .usage(25, 1),
        case(
            "panic unwinding through the guard",
            chunked(SSE, &[MESSAGE_START, MESSAGE_DELTA]),
            PollsAndPanics(1),
        )
        .error("cancelled", "")
        .usage(25, 1),
        case("panic after the end", chunked(SSE, &[CHUNK, USAGE, DONE]), PollsAndPanics(3))
            .recorded_after(3)
            .usage(9, 3),
        case("an answer to HEAD", sized(JSON, &[]), Polls(0)).recorded_after(0),
        case("204", with_status(204, sized("", &[])), Polls(0)).recorded_after(0),
        case("304", with_status(304, sized("", &[])), Polls(0)).recorded_after(0),
        case("broken off before its end", chunked(SSE, &[MESSAGE_START]), Polls(2))
            .recorded_after(2)
            .error("incomplete", "broke off")
            .usage(25, 1),
    ]
}

#[tokio::test]
async fn every_end_of_a_call_is_told_once_and_at_its_moment() {
    for case in cases() {
        let name = case.name;
        if let Err(panic) = AssertUnwindSafe(run(case)).catch_unwind().await {
            eprintln!("in the case: {name}");
            std::panic::resume_unwind(panic);
        }
    }
}

async fn run(case: Case) {
    let store = MemoryStore::new();
    let tracker = builder(store.clone()).clock(ticking_clock()).start().unwrap();

    let body = if let Does::Answers(_, _, body) = &case.does { Some(body.clone()) } else { None };
    let unwinding = catch_unwind(AssertUnwindSafe(|| call(&tracker, &case, body)));
    let panics = matches!(
        (&case.does, case.caller),
        (Does::PanicsInCall | Does::PanicsInFuture, _) | (_, Caller::PollsAndPanics(_))
    ) || case.name == "panic in the body";
    assert_eq!(unwinding.is_err(), panics);
    let recorded = unwinding.ok().flatten();

    let agent = look(&tracker);
    assert_outcome(&case, &agent);
    if let Some(recorded) = recorded {
        assert_eq!(agent, recorded, "nothing changes after the outcome is recorded");
    }

    let item = stored(&tracker, &store, SESSION).await;
    assert_eq!(item.get("overallStatus"), Some(&Value::from("processing")));
    let ends: Vec<_> = store
        .history()
        .into_iter()
        .filter_map(|change| change.set.get(AGENT).cloned())
        .filter(|agent| agent.as_map().unwrap().get("completedAt").is_some())
        .collect();
    assert_eq!(ends.len(), 1, "one end is written: {ends:?}");
    assert_contract_of_history(&store);
}

/// Makes the call and ends it as the caller does. Returns the agent's status at the moment the
/// outcome should be recorded, if that is before the end.
///
/// The body is polled along with one that no layer has wrapped. The two must not differ.
fn call(tracker: &StatusTracker, case: &Case, bare: Option<Scripted>) -> Option<AgentStatus> {
    let inner = service_fn(|_: Request<()>| {
        if matches!(case.does, Does::PanicsInCall) {
            panic!("scripted panic of the service");
        }
        async {
            match &case.does {
                Does::Answers(status, content_type, body) => {
                    let mut response = Response::builder().status(*status).header("x-agent", "a");
                    if !content_type.is_empty() {
                        response = response.header("content-type", *content_type);
                    }
                    Ok(response.body(body.clone()).unwrap())
                }
                Does::Fails(error) => Err(*error),
                Does::NeverAnswers => pending().await,
                Does::PanicsInCall | Does::PanicsInFuture => {
                    panic!("scripted panic of the service")
                }
            }
        }
    });
    let mut service = StatusLayer::new(tracker, AGENT).layer(inner);
    let mut cx = Context::from_waker(Waker::noop());

    let mut future = Box::pin(service.call(of_session(SESSION, Request::new(()))));
    assert_in_progress(&look(tracker));
    let response = match (future.as_mut().poll(&mut cx), &case.does) {
        (Poll::Ready(Ok(response)), _) => response,
        (Poll::Ready(Err(error)), Does::Fails(expected)) => {
            assert_eq!(error, *expected);
            return Some(look(tracker));
        }
        (Poll::Pending, Does::NeverAnswers) => {
            assert_in_progress(&look(tracker));
            return None;
        }
        _ => panic!("the agent did not answer as scripted"),
    };
    drop(future);

    let Does::Answers(status, content_type, _) = &case.does else { panic!("no answer expected") };
    assert_eq!(response.status(), StatusCode::from_u16(*status).unwrap());
    assert_eq!(response.headers().len(), if content_type.is_empty() { 1 } else { 2 });
    assert!(response.extensions().is_empty());
    let mut tracked = pin!(Holding(Some(Box::pin(response.into_body()))));
    let tracked = tracked.as_mut().get_mut();
    let mut bare = Box::pin(bare?);

    let mut recorded = None;
    let polls = match case.caller {
        Caller::Polls(polls) | Caller::PollsAndPanics(polls) => polls,
        Caller::DropsFuture => 0,
    };
    for poll in 0..=polls {
        let body = tracked.0.as_mut()?;
        assert_eq!(body.is_end_stream(), bare.is_end_stream(), "after {poll} polls");
        assert_eq!(show(&body.size_hint()), show(&bare.size_hint()), "after {poll} polls");
        let agent = look(tracker);
        match (case.recorded, &recorded) {
            (Some(moment), None) if moment == poll => {
                assert_outcome(case, &agent);
                recorded = Some(agent);
            }
            (Some(_), Some(recorded)) => assert_eq!(agent, *recorded, "after {poll} polls"),
            _ => assert_in_progress(&agent),
        }
        if poll < polls {
            let frame = body.as_mut().poll_frame(&mut cx);
            assert_eq!(show(&frame), show(&bare.as_mut().poll_frame(&mut cx)), "poll {poll}");
        }
    }
    if matches!(case.caller, Caller::PollsAndPanics(_)) {
        panic!("scripted panic of the caller");
    }
    tracked.0 = None;
    recorded
}

/// The body that the caller holds while it reads.
struct Holding<B>(Option<Pin<Box<B>>>);

fn show(value: &impl fmt::Debug) -> String {
    format!("{value:?}")
}

fn look(tracker: &StatusTracker) -> AgentStatus {
    tracker.status(SESSION).unwrap().agent(AGENT).unwrap().clone()
}

#[track_caller]
fn assert_in_progress(agent: &AgentStatus) {
    assert_eq!(agent.state, AgentState::InProgress);
    assert_eq!(agent.calls, 0);
}

#[track_caller]
fn assert_outcome(case: &Case, agent: &AgentStatus) {
    assert_eq!(agent.calls, 1);
    assert_eq!(agent.token_usage(), case.usage);
    assert!(agent.completed_at > agent.started_at);
    match (&agent.error, case.error) {
        (None, None) => assert_eq!(agent.state, AgentState::Success),
        (Some(error), Some((class, message))) => {
            assert_eq!(agent.state, AgentState::Error);
            assert_eq!(error.class, class, "{error}");
            assert!(error.message.as_str().contains(message), "{error}");
        }
        (found, expected) => panic!("the error is {found:?}, not {expected:?}"),
    }
}

fn any_step() -> impl Strategy<Value = Step> {
    let steps = [
        ANSWER[0],
        ANSWER[1],
        CHUNK,
        USAGE,
        DONE,
        MESSAGE_START,
        MESSAGE_DELTA,
        MESSAGE_STOP,
        RATE_LIMIT,
        Data(""),
        Data("\u{0}no format\r\n"),
        Trailers,
        Pending,
        Error("scripted failure"),
        End,
    ];
    prop::sample::select(steps.to_vec())
}

proptest! {
    /// Proptest prints a script that fails, with its seed.
    #[test]
    fn whatever_a_body_does_it_passes_unchanged_and_its_call_ends_once(
        steps in prop::collection::vec(any_step(), 0..8),
        knows_length: bool,
        status in prop::sample::select(vec![200_u16, 204, 404]),
        content_type in prop::sample::select(vec![JSON, SSE, "", "application/x-ndjson"]),
        polls in 0..10_usize,
    ) {
        let body = if knows_length { Scripted::sized(&steps) } else { Scripted::chunked(&steps) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(pass_unchanged(status, content_type, body, polls));
    }
}

/// Polls the body this many times, along with one that no layer has wrapped, and drops it.
async fn pass_unchanged(status: u16, content_type: &'static str, body: Scripted, polls: usize) {
    let store = MemoryStore::new();
    let tracker = builder(store.clone()).clock(ticking_clock()).start().unwrap();
    let mut bare = Box::pin(body.clone());
    let mut service = StatusLayer::new(&tracker, AGENT).layer(service_fn(|_: Request<()>| {
        let response = Response::builder().status(status).header("content-type", content_type);
        ready(response.body(body.clone()))
    }));
    let response = service.call(of_session(SESSION, Request::new(()))).await.unwrap();
    let mut tracked = Box::pin(response.into_body());
    let mut cx = Context::from_waker(Waker::noop());
    let mut end = None;
    for poll in 0..=polls {
        assert_eq!(tracked.is_end_stream(), bare.is_end_stream());
        assert_eq!(show(&tracked.size_hint()), show(&bare.size_hint()));
        let agent = look(&tracker);
        match &end {
            Some(end) => assert_eq!(agent, *end),
            None if agent.state == AgentState::InProgress => assert_eq!(agent.calls, 0),
            None => end = Some(agent),
        }
        if poll < polls {
            let frame = tracked.as_mut().poll_frame(&mut cx);
            assert_eq!(show(&frame), show(&bare.as_mut().poll_frame(&mut cx)));
        }
    }
    drop(tracked);
    let agent = look(&tracker);
    assert_eq!(agent.calls, 1);
    assert!(matches!(agent.state, AgentState::Success | AgentState::Error));
    assert!(end.is_none_or(|end| end == agent));
    stored(&tracker, &store, SESSION).await;
    assert_contract_of_history(&store);
}

#[tokio::test]
async fn a_panic_that_is_caught_around_the_layer_is_told_as_one() {
    let store = MemoryStore::new();
    let tracker = builder(store.clone()).clock(ticking_clock()).start().unwrap();
    let inner = service_fn(|_: Request<()>| async {
        if true {
            panic!("scripted panic of the service");
        }
        Ok::<_, std::convert::Infallible>(Response::new(String::new()))
    });
    let mut service = StatusLayer::new(&tracker, AGENT).layer(inner);
    let future = service.call(of_session(SESSION, Request::new(())));
    // The future is dropped only after the panic was caught.
    assert!(AssertUnwindSafe(future).catch_unwind().await.is_err());
    let error = look(&tracker).error.unwrap();
    assert_eq!((&*error.class, error.message.as_str()), ("panic", "the call panicked"));
}
