//! Calls through tower: the cost that each layer adds to a service that answers at once.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::runtime::Runtime;
use tower::{Layer, Service, ServiceExt as _};
use tower_agent_status::store::MemoryStore;
use tower_agent_status::{SessionId, StatusLayer, StatusTracker};
use tower_http::trace::TraceLayer;
use tracing::{Dispatch, Level};

use crate::by_hand::InSpan;
use crate::floor::Floor;
use crate::peers::{Meters, discarding, opentelemetry};
use crate::{Row, Runner, Way};

/// The body of a request.
type Sent = http_body_util::Empty<Bytes>;

/// The agent's answer.
#[derive(Clone, Copy)]
struct Answer {
    content_type: &'static str,
    body: fn() -> Bytes,
    /// The size of its chunks.
    piece: usize,
    /// Whether only the time to the first chunk counts, though all are read.
    first: bool,
}

pub fn rows() -> Vec<Row> {
    let nothing = Answer {
        content_type: "application/json",
        body: || Bytes::from_static(b"{}"),
        piece: usize::MAX,
        first: false,
    };
    let usage = Answer { body: chat, ..nothing };
    let stream = Answer {
        content_type: "text/event-stream",
        body: || events(EVENTS),
        piece: 1400,
        ..nothing
    };
    vec![
        row("call, 2 bytes", "call", 1, 10_000, nothing),
        row("call, 2 KB with usage", "call", 1, 10_000, usage),
        row("sse, 1.4 KB a chunk", "chunk", events(EVENTS).len().div_ceil(1400) as u64, 5, stream),
        row("sse, one event a chunk", "event", EVENTS, 5, Answer { piece: EVENT, ..stream }),
        row(
            "sse, to the first chunk",
            "call",
            1,
            10_000,
            Answer { body: few_events, first: true, ..stream },
        ),
    ]
}

/// A chat answer of about 2 KB.
pub fn chat() -> Bytes {
    let text = "The trade was matched against the confirmation of the counterparty. ".repeat(24);
    format!(
        r#"{{"id":"chatcmpl-1","object":"chat.completion","created":1766570400,"model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":1500,"completion_tokens":500,"total_tokens":2000}}}}"#
    )
    .into()
}

const EVENTS: u64 = 5_000;
/// The size of an event in bytes.
const EVENT: usize = 250;

/// A stream of a few chunks.
fn few_events() -> Bytes {
    events(10)
}

/// This many events, then the usage and the end marker.
fn events(count: u64) -> Bytes {
    let mut stream = String::new();
    for n in 0..count {
        let mut event = format!(
            r#"data: {{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1766570400,"model":"m","choices":[{{"index":0,"delta":{{"content":" token {n}"#
        );
        event += &"x".repeat(EVENT - 2 - event.len() - r#""},"finish_reason":null}]}"#.len());
        event += "\"},\"finish_reason\":null}]}\n\n";
        stream += &event;
    }
    stream += "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1500,\"completion_tokens\":5000,\"total_tokens\":6500}}\n\n";
    stream += "data: [DONE]\n\n";
    stream.into()
}

/// The bare service: answers at once.
#[derive(Clone)]
struct Agent {
    answer: Answer,
    body: Bytes,
}

impl Service<Request<Sent>> for Agent {
    type Response = Response<Pieces>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Ok(()).into()
    }

    fn call(&mut self, _: Request<Sent>) -> Self::Future {
        let body = Pieces { left: self.body.clone(), piece: self.answer.piece };
        let mut response = Response::new(body);
        let kind = http::HeaderValue::from_static(self.answer.content_type);
        response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
        let length = self.body.len().into();
        response.headers_mut().insert(http::header::CONTENT_LENGTH, length);
        std::future::ready(Ok(response))
    }
}

struct Pieces {
    left: Bytes,
    piece: usize,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        let piece = self.piece.min(self.left.len());
        Poll::Ready(Some(Ok(Frame::data(self.left.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.len() as u64)
    }
}

fn row(name: &'static str, unit: &'static str, units: u64, runs: u64, answer: Answer) -> Row {
    let in_session = || Some(SessionId::new("session-corr_abc123").expect("an id"));
    let way = move |name, make: fn(Agent) -> Runner| {
        Way::new(name, move || make(Agent { answer, body: (answer.body)() }))
    };
    let status = move |name, dispatch: fn() -> Option<Dispatch>, has_session: bool| {
        Way::new(name, move || {
            let runtime = runtime();
            let tracker = tracker(&runtime);
            let layer = StatusLayer::new(&tracker, "pdfAdapter");
            let session = has_session.then(in_session).flatten();
            let agent = Agent { answer, body: (answer.body)() };
            runner(runtime, layer.layer(agent), answer.first, session, dispatch(), tracker)
        })
    };
    let ways = vec![
        way("bare", |agent| {
            let first = agent.answer.first;
            runner(runtime(), agent, first, None, None, ())
        }),
        status("StatusLayer", || None, true),
        status("StatusLayer, no session", || None, false),
        status("StatusLayer, a subscriber that discards", || Some(discarding()), true),
        status("StatusLayer, OpenTelemetry SDK", || Some(opentelemetry()), true),
        way("the least that a layer must do", |agent| {
            let first = agent.answer.first;
            runner(runtime(), Floor::new(agent), first, None, None, ())
        }),
        way("the least, and the crate's reader", |agent| {
            let first = agent.answer.first;
            runner(runtime(), Floor::reading(agent), first, None, None, ())
        }),
        way("a span by hand, OpenTelemetry SDK", |agent| {
            let first = agent.answer.first;
            runner(runtime(), InSpan(agent), first, None, Some(opentelemetry()), ())
        }),
        way(TRACE, |agent| {
            let first = agent.answer.first;
            runner(runtime(), TraceLayer::new_for_http().layer(agent), first, None, None, ())
        }),
        way("tower-http TraceLayer, a subscriber that discards", |agent| {
            let first = agent.answer.first;
            let service = TraceLayer::new_for_http().layer(agent);
            runner(runtime(), service, first, None, Some(discarding()), ())
        }),
        way("tower-otel metrics, OpenTelemetry SDK", |agent| {
            let first = agent.answer.first;
            let meters = Meters::new();
            let layer = tower_otel::metrics::HttpLayer::client(&meters.meter());
            runner(runtime(), layer.layer(agent), first, None, None, meters)
        }),
        way("tower-otel trace, OpenTelemetry SDK", |agent| {
            let first = agent.answer.first;
            let layer = tower_otel::trace::HttpLayer::client(Level::INFO).trace_body();
            runner(runtime(), layer.layer(agent), first, None, Some(opentelemetry()), ())
        }),
    ];
    Row { name, unit, units, runs, peer: TRACE, ways }
}

const TRACE: &str = "tower-http TraceLayer";

pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
}

pub fn tracker(runtime: &Runtime) -> StatusTracker {
    let _entered = runtime.enter();
    StatusTracker::builder(MemoryStore::new()).start().expect("a tracker")
}

/// Makes calls and reads their answers, one after the other, in one task. If `first` is set,
/// only the time to the first chunk counts.
fn runner<S, B>(
    runtime: Runtime,
    mut service: S,
    first: bool,
    session: Option<SessionId>,
    dispatch: Option<Dispatch>,
    guard: impl Sized + 'static,
) -> Runner
where
    S: Service<Request<Sent>, Response = Response<B>> + 'static,
    S::Error: std::fmt::Debug,
    B: Body,
    B::Error: std::fmt::Debug,
{
    Box::new(move |times| {
        let _guard = &guard;
        let _listening = dispatch.as_ref().map(tracing::dispatcher::set_default);
        let mut counts = first.then_some(Duration::ZERO);
        let calls = async {
            for _ in 0..times {
                let request = Request::post("https://agents.example/invocations");
                let request = request.body(Sent::new()).expect("a request");
                let service = service.ready().await.expect("ready");
                let start = first.then(Instant::now);
                let response = service.call(request).await.expect("an answer");
                let mut body = std::pin::pin!(response.into_body());
                if let (Some(start), Some(counts)) = (start, &mut counts) {
                    std::hint::black_box(
                        body.frame().await.expect("a first chunk").expect("a chunk"),
                    );
                    *counts += start.elapsed();
                }
                while let Some(frame) = body.frame().await {
                    std::hint::black_box(frame.expect("a chunk"));
                }
            }
        };
        match &session {
            Some(session) => runtime.block_on(session.scope(calls)),
            None => runtime.block_on(calls),
        }
        counts
    })
}
