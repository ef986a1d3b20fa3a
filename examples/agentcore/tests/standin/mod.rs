//! A stand-in for AgentCore's endpoint. It verifies signatures with its own code, rejects short
//! runtime session IDs, and answers as four agents would.

mod signature;

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};

pub(crate) const ACCESS_KEY: &str = "AKIDSTANDIN000000000";
pub(crate) const SECRET_KEY: &str = "stand-in/secret+key";

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What the stand-in has received.
#[derive(Default)]
pub(crate) struct Seen {
    /// The runtime session ID of each accepted call, by agent.
    pub(crate) sessions: Mutex<HashMap<String, Vec<String>>>,
    /// The bodies of OTLP exports.
    pub(crate) exports: Mutex<Vec<Bytes>>,
    /// Whether an agent is working that will not end by itself.
    pub(crate) endless: Notify,
}

pub(crate) struct StandIn {
    pub(crate) addr: SocketAddr,
    pub(crate) seen: Arc<Seen>,
}

impl StandIn {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let shared = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let seen = Arc::clone(&shared);
                tokio::spawn(async move {
                    let service = service_fn(|request| answer(Arc::clone(&seen), request));
                    let connection =
                        http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                    // A caller that is stopped disconnects in the middle of an answer.
                    let _ = connection.await;
                });
            }
        });
        Self { addr, seen }
    }
}

async fn answer(seen: Arc<Seen>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    if parts.uri.path() == "/v1/traces" {
        seen.exports.lock().unwrap().push(body);
        return Ok(Response::new(Full::default().boxed_unsync()));
    }
    if let Err(message) = signature::check(&parts, &body) {
        return Ok(refusal(StatusCode::FORBIDDEN, &message));
    }
    let session = parts.headers.get("x-amzn-bedrock-agentcore-runtime-session-id");
    let session = session.and_then(|id| id.to_str().ok()).unwrap_or_default();
    if session.len() < 33 {
        let message = "runtimeSessionId: length must be greater than or equal to 33";
        return Ok(refusal(StatusCode::BAD_REQUEST, message));
    }
    // `/runtimes/arn%3A…%3Aruntime%2Fpdf_adapter-0123456789/invocations`
    let name = parts.uri.path().strip_prefix("/runtimes/arn%3Aaws%3A").and_then(|rest| {
        let (name, rest) = rest.split_once("runtime%2F")?.1.split_once('-')?;
        rest.ends_with("/invocations").then(|| name.to_owned())
    });
    let Some(name) = name else {
        return Ok(refusal(StatusCode::NOT_FOUND, "no such runtime"));
    };
    let asked: Value = serde_json::from_slice(&body).unwrap();
    seen.sessions.lock().unwrap().entry(name.clone()).or_default().push(session.to_owned());
    Ok(invoke(&name, asked["document_id"].as_str().unwrap(), &seen))
}

fn invoke(agent: &str, document: &str, seen: &Seen) -> Response<Body> {
    let usage = json!({ "input_tokens": 1000, "output_tokens": 200, "total_tokens": 1200 });
    let answer = match agent {
        "pdf_adapter" => {
            json!({ "success": true, "output_location": "s3://x/y", "token_usage": usage })
        }
        "trade_extraction" => return extraction(document == "ENDLESS", seen),
        "trade_matching" => {
            json!({ "success": true, "classification": "REVIEW", "token_usage": usage })
        }
        "exception_management" => {
            json!({ "success": true, "routing": "OPS", "token_usage": usage })
        }
        _ => return refusal(StatusCode::NOT_FOUND, "no such runtime"),
    };
    let mut response = Response::new(Full::from(answer.to_string()).boxed_unsync());
    response.headers_mut().insert("content-type", "application/json".parse().unwrap());
    response
}

/// A stream of one trade with usage at its end, or one that never ends.
fn extraction(endless: bool, seen: &Seen) -> Response<Body> {
    let text = json!({ "trade_id": "T-1" }).to_string() + "\n";
    let events = [
        json!({ "event": { "contentBlockDelta": { "delta": { "text": text }, "contentBlockIndex": 0 } } }),
        json!({ "event": { "messageStop": { "stopReason": "end_turn" } } }),
        json!({ "event": { "metadata": { "usage": { "inputTokens": 300, "outputTokens": 70, "totalTokens": 370 } } } }),
    ];
    let (pieces, received) = mpsc::unbounded_channel();
    for event in &events[..if endless { 1 } else { 3 }] {
        pieces.send(format!("data: {event}\n\n")).unwrap();
    }
    if endless {
        seen.endless.notify_one();
        // The stream never ends: more is always to come.
        std::mem::forget(pieces);
    }
    let stream = futures_util::stream::unfold(received, |mut received| async {
        let piece = received.recv().await?;
        Some((Ok(Frame::data(Bytes::from(piece))), received))
    });
    let mut response = Response::new(StreamBody::new(stream).boxed_unsync());
    response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
    response
}

fn refusal(status: StatusCode, message: &str) -> Response<Body> {
    let body = json!({ "message": message }).to_string();
    let mut response = Response::new(Full::from(body).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", "application/json".parse().unwrap());
    response
}
