//! A mocked agent with the Chat Completions API.

use std::convert::Infallible;
use std::future::pending;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::MODEL;

/// How the agent replies to a request.
#[derive(Clone, Copy, Debug)]
pub enum Reply {
    /// As JSON, or as a stream if the request asks for one.
    Answer,
    /// With the status 429, and the advice to retry at once.
    TooManyRequests,
    /// With the beginning of a stream, and then nothing more.
    Unfinished,
    /// Never.
    Silence,
}

/// The agent. It ends when it is dropped.
#[derive(Debug)]
pub struct Agent {
    url: String,
    task: JoinHandle<()>,
}

impl Agent {
    /// Starts an agent that gives these replies in turn, and repeats the last one.
    pub async fn start(replies: impl Into<Vec<Reply>>) -> Self {
        let (replies, count): (Vec<_>, _) = (replies.into(), Arc::new(AtomicUsize::new(0)));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().fallback(async move |request: Request| {
            if let Some(host) = request.headers().get("host") {
                assert_eq!(host, &*address.to_string(), "the request is for another host");
            }
            let number = count.fetch_add(1, Ordering::Relaxed);
            reply(*replies.get(number).or(replies.last()).unwrap(), request).await
        });
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url: format!("http://{address}/v1"), task }
    }

    /// The base URL of its API.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn reply(reply: Reply, request: Request) -> Response {
    assert_eq!(request.uri().path(), "/v1/chat/completions");
    let body = to_bytes(request.into_body(), usize::MAX).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    match reply {
        Reply::Answer if body["stream"] == true => {
            events(stream::iter(chunks(&body)).map(Ok).boxed())
        }
        Reply::Answer => json_response(200, &answer()),
        Reply::TooManyRequests => {
            let error = json!({"message": "slow down", "type": "requests", "code": "rate_limit"});
            let mut response = json_response(429, &json!({"error": error}));
            response.headers_mut().insert("retry-after", "0".parse().unwrap());
            response
        }
        Reply::Unfinished => {
            let first = stream::iter(chunks(&body).into_iter().take(1)).map(Ok);
            events(first.chain(stream::pending()).boxed())
        }
        Reply::Silence => pending().await,
    }
}

fn json_response(status: u16, body: &Value) -> Response {
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(Body::from(body.to_string())).unwrap()
}

fn events(chunks: stream::BoxStream<'static, Result<Bytes, Infallible>>) -> Response {
    let response = Response::builder().header("content-type", "text/event-stream");
    response.body(Body::from_stream(chunks)).unwrap()
}

fn usage() -> Value {
    json!({"prompt_tokens": 30, "completion_tokens": 12, "total_tokens": 42})
}

fn answer() -> Value {
    json!({
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_764_000_000,
        "model": MODEL,
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": "It says: buy.", "refusal": null},
            "logprobs": null,
            "finish_reason": "stop",
        }],
        "usage": usage(),
    })
}

/// The events of a stream. Like OpenAI's, it has the usage only if the request asks for it.
fn chunks(request: &Value) -> Vec<Bytes> {
    let chunk = |choices: Value, usage: Value| {
        json!({
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1_764_000_000,
            "model": MODEL,
            "choices": choices,
            "usage": usage,
        })
        .to_string()
    };
    let delta = |delta: Value, finish_reason: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish_reason});
        chunk(json!([choice]), Value::Null)
    };
    let mut events = vec![
        delta(json!({"role": "assistant", "content": "It says"}), Value::Null),
        delta(json!({"content": ": buy."}), Value::Null),
        delta(json!({}), json!("stop")),
    ];
    if request["stream_options"]["include_usage"] == true {
        events.push(chunk(json!([]), usage()));
    }
    events.push("[DONE]".to_owned());
    events.into_iter().map(|data| format!("data: {data}\n\n").into()).collect()
}
