//! Four mocked agents, each an HTTP server on the loopback interface.
//!
//! They respond in different ways, as real agents do: the PDF adapter with plain JSON,
//! extraction with server-sent events in small chunks cut anywhere, matching with gzipped JSON
//! in chunks, and exception management with plain JSON again.

use std::convert::Infallible;
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream::{self, StreamExt as _};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::scenario::{
    CACHED_TOKENS, EXCEPTION_TOKENS, EXTRACTION_TOKENS, MATCHING_TOKENS, PDF_TOKENS, Scenario,
    Tokens,
};

/// A factor for the agents' response times; 0 is no delay.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace(pub(crate) f64);

impl Pace {
    async fn sleep(self, millis: u64) {
        let time = Duration::from_millis(millis).mul_f64(self.0);
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
    }
}

/// The agents' URLs. Dropping this stops the servers.
#[derive(Debug)]
pub(crate) struct Agents {
    pub(crate) pdf_adapter: Uri,
    pub(crate) trade_extraction: Uri,
    pub(crate) trade_matching: Uri,
    pub(crate) exception_management: Uri,
    _servers: JoinSet<()>,
}

impl Agents {
    pub(crate) async fn start(scenario: Scenario, pace: Pace) -> io::Result<Self> {
        let mut servers = JoinSet::new();
        Ok(Self {
            pdf_adapter: serve(&mut servers, move |request| pdf_adapter(request, pace)).await?,
            trade_extraction: serve(&mut servers, move |_| trade_extraction(scenario, pace))
                .await?,
            trade_matching: serve(&mut servers, move |_| trade_matching(scenario, pace)).await?,
            exception_management: serve(&mut servers, move |_| exception_management(pace)).await?,
            _servers: servers,
        })
    }
}

type AgentResponse = Response<UnsyncBoxBody<Bytes, Infallible>>;

async fn pdf_adapter(request: Value, pace: Pace) -> io::Result<AgentResponse> {
    pace.sleep(900).await;
    let id = request["document_id"].as_str().unwrap_or_default();
    Ok(json_response(
        StatusCode::OK,
        &json!({
            "success": true,
            "document_id": id,
            "correlation_id": request["correlation_id"],
            "agent_name": "pdf-adapter-agent",
            "output_location": format!("s3://documents/extracted/{id}.json"),
            "processing_time_ms": 900.0,
            "model": "gpt-4o-mini",
            "token_usage": token_usage(PDF_TOKENS),
        }),
    ))
}

async fn trade_extraction(scenario: Scenario, pace: Pace) -> io::Result<AgentResponse> {
    pace.sleep(300).await;
    match scenario {
        Scenario::AgentError => {
            pace.sleep(600).await;
            Ok(json_response(
                StatusCode::INTERNAL_SERVER_ERROR,
                &json!({ "detail": "The extraction model could not be loaded" }),
            ))
        }
        Scenario::ErrorIn200 => {
            pace.sleep(600).await;
            Ok(json_response(
                StatusCode::OK,
                &json!({
                    "success": false,
                    "error": "No trade was found in the text of the document",
                    "error_type": "ExtractionError",
                    "agent_name": "trade-extraction-agent",
                }),
            ))
        }
        Scenario::Matched | Scenario::Review => Ok(stream(&events(1), pace, false)),
        Scenario::Abandoned => Ok(stream(&events(8), pace, true)),
    }
}

async fn trade_matching(scenario: Scenario, pace: Pace) -> io::Result<AgentResponse> {
    pace.sleep(700).await;
    let (classification, score) = match scenario {
        Scenario::Review => ("REVIEW_REQUIRED", 0.62),
        _ => ("MATCHED", 0.97),
    };
    let body = json!({
        "success": true,
        "classification": classification,
        "match_score": score,
        "agent_name": "trade-matching-agent",
        "model": "gpt-5",
        "token_usage": token_usage(MATCHING_TOKENS),
    });
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body.to_string().as_bytes())?;
    let body = Bytes::from(encoder.finish()?);
    let mut response = in_chunks("application/json", body, 64, 60, pace, false);
    response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    Ok(response)
}

async fn exception_management(pace: Pace) -> io::Result<AgentResponse> {
    pace.sleep(800).await;
    Ok(json_response(
        StatusCode::OK,
        &json!({
            "success": true,
            "severity": "MEDIUM",
            "routing": "OPS_DESK",
            "agent_name": "exception-management-agent",
            "model": "gpt-4o-mini",
            "token_usage": token_usage(EXCEPTION_TOKENS),
        }),
    ))
}

fn token_usage((input, output): Tokens) -> Value {
    json!({ "input_tokens": input, "output_tokens": output, "total_tokens": input + output })
}

/// The events of an agent that calls its model twice: first to read the document with a tool,
/// then to write `trades` trades.
fn events(trades: usize) -> Vec<Value> {
    let text = |text: &str| json!({ "event": { "contentBlockDelta": { "delta": { "text": text }, "contentBlockIndex": 0 } } });
    let start = json!({ "event": { "messageStart": { "role": "assistant" } } });
    let stop = |reason| json!({ "event": { "messageStop": { "stopReason": reason } } });
    let [first, second] = EXTRACTION_TOKENS;
    let mut events = vec![
        start.clone(),
        // A tool's input is not usage, even if it looks like it.
        json!({ "event": { "contentBlockStart": { "start": { "toolUse": { "toolUseId": "tooluse_1", "name": "read_document" } }, "contentBlockIndex": 0 } } }),
        json!({ "event": { "contentBlockDelta": { "delta": { "toolUse": { "input": "{\"usage\": {\"inputTokens\": 7}}" } }, "contentBlockIndex": 0 } } }),
        stop("tool_use"),
        metadata(first, 0),
        start,
    ];
    for n in 1..=trades {
        let notional = format!("{}000000", n + 4);
        for piece in ["{\"trade_id\": \"T-", &n.to_string(), "\", \"product\": \"IRS\", "] {
            events.push(text(piece));
        }
        for piece in ["\"notional\": ", &notional, ", \"currency\": \"EUR\"}\n"] {
            events.push(text(piece));
        }
    }
    events.extend([stop("end_turn"), metadata(second, CACHED_TOKENS)]);
    events
}

/// The metadata that Bedrock sends after each model call. It does not count cached tokens as
/// input.
fn metadata((input, output): Tokens, cached: u64) -> Value {
    json!({ "event": { "metadata": {
        "usage": {
            "inputTokens": input - cached,
            "outputTokens": output,
            "totalTokens": input + output,
            "cacheReadInputTokens": cached,
            "cacheWriteInputTokens": 0,
        },
        "metrics": { "latencyMs": 412 },
    } } })
}

fn json_response(status: StatusCode, body: &Value) -> AgentResponse {
    let mut response = Response::new(Full::from(body.to_string()).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn stream(events: &[Value], pace: Pace, endless: bool) -> AgentResponse {
    let text: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    in_chunks("text/event-stream", text.into(), 48, 45, pace, endless)
}

/// A body in chunks of `size` bytes, `millis` apart. An endless one stays open after the last
/// chunk.
fn in_chunks(
    content_type: &'static str,
    body: Bytes,
    size: usize,
    millis: u64,
    pace: Pace,
    endless: bool,
) -> AgentResponse {
    let chunks = stream::unfold(body, move |mut rest| async move {
        if rest.is_empty() {
            if endless {
                std::future::pending::<()>().await;
            }
            return None;
        }
        pace.sleep(millis).await;
        let chunk = rest.split_to(size.min(rest.len()));
        Some((chunk, rest))
    });
    let body = StreamBody::new(chunks.map(|chunk| Ok(Frame::data(chunk))));
    let mut response = Response::new(body.boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Starts a server for an agent and returns its URL.
async fn serve<A, F>(servers: &mut JoinSet<()>, agent: A) -> io::Result<Uri>
where
    A: Fn(Value) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = io::Result<AgentResponse>> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    servers.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            // Removes finished connections from the set.
            while connections.try_join_next().is_some() {}
            let agent = agent.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let agent = agent.clone();
                async move {
                    let body = request.into_body().collect().await.map_err(io::Error::other)?;
                    agent(serde_json::from_slice(&body.to_bytes())?).await
                }
            });
            connections.spawn(async move {
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                // One scenario drops the connection, which is an error here.
                let _ = connection.await;
            });
        }
    });
    let uri = Uri::builder()
        .scheme("http")
        .authority(address.to_string())
        .path_and_query("/invocations")
        .build();
    uri.map_err(io::Error::other)
}
