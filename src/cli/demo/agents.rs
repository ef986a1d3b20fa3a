//! Mocked agents: services that answer as an HTTP client would.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::{Body, Frame};
use serde_json::{Value, json};
use tower_service::Service;

/// How time passes.
#[derive(Clone, Debug)]
pub(super) enum Pace {
    /// As it does, by this factor.
    Real(f64),
    /// By being told: milliseconds since 1970.
    Told(Arc<AtomicU64>),
}

impl Pace {
    /// Lets time pass.
    async fn pass(&self, millis: u64) {
        match self {
            Self::Real(factor) => {
                tokio::time::sleep(Duration::from_millis(millis).mul_f64(*factor)).await;
            }
            Self::Told(clock) => {
                clock.fetch_add(millis, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn now(&self) -> SystemTime {
        match self {
            Self::Real(_) => SystemTime::now(),
            Self::Told(clock) => UNIX_EPOCH + Duration::from_millis(clock.load(Ordering::Relaxed)),
        }
    }
}

/// What an agent is to answer: this is what it is sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    /// In one piece, after so long, with these tokens (input, output).
    Json { millis: u64, tokens: (u64, u64) },
    /// Piece by piece, for so long, with these tokens (input, output).
    Stream { millis: u64, tokens: (u64, u64) },
    /// 500, after so long.
    Refusal { millis: u64, said: &'static str },
    /// 200 with a failure in it, after so long.
    Failure { millis: u64, said: &'static str },
}

/// An agent. It is called as the HTTP client of an agent is.
#[derive(Clone, Debug)]
pub(super) struct MockAgent {
    pace: Pace,
}

impl MockAgent {
    pub(super) fn new(pace: Pace) -> Self {
        Self { pace }
    }
}

impl Service<Request<Answer>> for MockAgent {
    type Response = Response<Pieces>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Answer>) -> Self::Future {
        let pace = self.pace.clone();
        Box::pin(async move { Ok(answer(request.into_body(), pace).await) })
    }
}

async fn answer(answer: Answer, pace: Pace) -> Response<Pieces> {
    match answer {
        Answer::Json { millis, tokens: (input, output) } => {
            pace.pass(millis).await;
            let usage = json!({
                "input_tokens": input,
                "output_tokens": output,
                "total_tokens": input + output,
            });
            in_one(StatusCode::OK, &json!({ "success": true, "token_usage": usage }))
        }
        Answer::Refusal { millis, said } => {
            pace.pass(millis).await;
            in_one(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "detail": said }))
        }
        Answer::Failure { millis, said } => {
            pace.pass(millis).await;
            in_one(StatusCode::OK, &json!({ "success": false, "error": said }))
        }
        Answer::Stream { millis, tokens } => {
            let events = events(tokens);
            let each = millis / events.len() as u64;
            let pieces = stream::iter(events).then(move |event| {
                let pace = pace.clone();
                async move {
                    pace.pass(each).await;
                    let kind = event["type"].as_str().unwrap_or_default();
                    Bytes::from(format!("event: {kind}\ndata: {event}\n\n"))
                }
            });
            response(StatusCode::OK, "text/event-stream", Pieces(pieces.boxed()))
        }
    }
}

/// The events of a model's message: its input tokens come first, its output tokens grow.
fn events((input, output): (u64, u64)) -> Vec<Value> {
    const DELTAS: u64 = 24;
    let message = json!({ "role": "assistant", "content": [], "usage": { "input_tokens": input, "output_tokens": 1 } });
    let delta = |n: u64| {
        let text = format!("{{\"trade_id\": \"T-{n}\"}}\n");
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } })
    };
    let block = json!({ "type": "text", "text": "" });
    let mut events = vec![
        json!({ "type": "message_start", "message": message }),
        json!({ "type": "content_block_start", "index": 0, "content_block": block }),
    ];
    events.extend((1..=DELTAS).map(delta));
    events.extend([
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" }, "usage": { "output_tokens": output } }),
        json!({ "type": "message_stop" }),
    ]);
    events
}

fn in_one(status: StatusCode, body: &Value) -> Response<Pieces> {
    let body = Bytes::from(body.to_string());
    response(status, "application/json", Pieces(stream::iter([body]).boxed()))
}

fn response(status: StatusCode, kind: &'static str, body: Pieces) -> Response<Pieces> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// A body that comes piece by piece.
pub(super) struct Pieces(BoxStream<'static, Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_next_unpin(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}
