//! Mock agents: services that respond as an HTTP client would.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::{Body, Frame};
use serde_json::{Value, json};
use tower_service::Service;

/// How time passes.
#[derive(Clone, Debug)]
pub(super) enum Pace {
    /// Real time, multiplied by this factor.
    Real(f64),
    /// A manual clock, in milliseconds since the Unix epoch.
    Manual(Arc<AtomicU64>),
}

impl Pace {
    /// Waits, or advances the manual clock.
    pub(super) async fn sleep(&self, millis: u64) {
        match self {
            Self::Real(factor) => {
                tokio::time::sleep(Duration::from_millis(millis).mul_f64(*factor)).await;
            }
            Self::Manual(clock) => {
                clock.fetch_add(millis, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn now(&self) -> SystemTime {
        match self {
            Self::Real(_) => SystemTime::now(),
            Self::Manual(clock) => {
                UNIX_EPOCH + Duration::from_millis(clock.load(Ordering::Relaxed))
            }
        }
    }
}

/// The response a mock agent gives. It is sent to the agent as the request's body.
///
/// `millis` is the response time; `tokens` are input and output.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reply {
    /// A JSON body in one chunk, and why the model stopped.
    Json { model: &'static str, millis: u64, tokens: (u64, u64), stop: &'static str },
    /// Server-sent events, spread over the response time.
    Stream { model: &'static str, millis: u64, tokens: (u64, u64) },
    /// Status 429: try again after so many seconds.
    RateLimited { millis: u64, retry_after: u64 },
    /// Status 500.
    ServerError { millis: u64, message: &'static str },
    /// Status 200 with an error in the body.
    Failure { millis: u64, message: &'static str },
}

/// A mock agent, called like an HTTP client.
#[derive(Clone, Debug)]
pub(super) struct MockAgent {
    pace: Pace,
}

impl MockAgent {
    pub(super) fn new(pace: Pace) -> Self {
        Self { pace }
    }
}

impl Service<Request<Reply>> for MockAgent {
    type Response = Response<Chunks>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Reply>) -> Self::Future {
        let pace = self.pace.clone();
        Box::pin(async move { Ok(respond(request.into_body(), pace).await) })
    }
}

async fn respond(reply: Reply, pace: Pace) -> Response<Chunks> {
    match reply {
        Reply::Json { model, millis, tokens: (input, output), stop } => {
            pace.sleep(millis).await;
            let usage = json!({
                "prompt_tokens": input,
                "completion_tokens": output,
                "total_tokens": input + output,
            });
            let message = json!({ "role": "assistant", "content": "{\"success\": true}" });
            let choice = json!({ "index": 0, "message": message, "finish_reason": stop });
            let body = json!({
                "object": "chat.completion", "model": model, "choices": [choice], "usage": usage,
            });
            whole(StatusCode::OK, &body)
        }
        Reply::RateLimited { millis, retry_after } => {
            pace.sleep(millis).await;
            let error = json!({ "type": "rate_limit_error", "message": "Too many requests" });
            let body = json!({ "error": error });
            let mut response = whole(StatusCode::TOO_MANY_REQUESTS, &body);
            response.headers_mut().insert(RETRY_AFTER, retry_after.into());
            response
        }
        Reply::ServerError { millis, message } => {
            pace.sleep(millis).await;
            whole(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "detail": message }))
        }
        Reply::Failure { millis, message } => {
            pace.sleep(millis).await;
            whole(StatusCode::OK, &json!({ "success": false, "error": message }))
        }
        Reply::Stream { model, millis, tokens } => {
            let events = events(model, tokens);
            let each = millis / events.len() as u64;
            let chunks = stream::iter(events).then(move |event| {
                let pace = pace.clone();
                async move {
                    pace.sleep(each).await;
                    let kind = event["type"].as_str().unwrap_or_default();
                    Bytes::from(format!("event: {kind}\ndata: {event}\n\n"))
                }
            });
            response(StatusCode::OK, "text/event-stream", Chunks(chunks.boxed()))
        }
    }
}

/// The events of a model's message: input tokens at the start, output tokens at the end.
fn events(model: &str, (input, output): (u64, u64)) -> Vec<Value> {
    const DELTAS: u64 = 24;
    let message = json!({ "role": "assistant", "model": model, "content": [], "usage": { "input_tokens": input, "output_tokens": 1 } });
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

fn whole(status: StatusCode, body: &Value) -> Response<Chunks> {
    let body = Bytes::from(body.to_string());
    response(status, "application/json", Chunks(stream::iter([body]).boxed()))
}

fn response(status: StatusCode, kind: &'static str, body: Chunks) -> Response<Chunks> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// A body that arrives in chunks.
pub(super) struct Chunks(BoxStream<'static, Bytes>);

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_next_unpin(cx).map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}
