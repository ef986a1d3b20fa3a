//! A mocked MCP server over HTTP.

use std::net::Ipv4Addr;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::Method;
use axum::response::Response;
use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Starts a server with a session and four tools, which ends with the runtime. `answer` answers as
/// JSON, `stream` with an event, `fail` with an error of JSON-RPC, `overloaded` with the status 503,
/// and `hang` begins a stream without an event. Returns its URL.
pub async fn start() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let app = Router::new().fallback(respond);
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

async fn respond(request: Request) -> Response {
    let is_post = request.method() == Method::POST;
    if !is_post {
        return response(405, "text/plain", Body::empty());
    }
    let has_session = request.headers().get("mcp-session-id").is_some_and(|id| id == "mcp-1");
    let body = to_bytes(request.into_body(), usize::MAX).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let answer = |key: &str, value: Value| {
        json!({"jsonrpc": "2.0", "id": body["id"], key: value}).to_string()
    };
    match body["method"].as_str().unwrap() {
        "initialize" => {
            let result = json!({
                "protocolVersion": body["params"]["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "mock", "version": "1"},
            });
            let mut response = json_response(answer("result", result));
            response.headers_mut().insert("mcp-session-id", "mcp-1".parse().unwrap());
            response
        }
        method if method.starts_with("notifications/") => {
            response(202, "text/plain", Body::empty())
        }
        "tools/call" => {
            assert!(has_session, "a tool call belongs to the session");
            let result = json!({"content": [{"type": "text", "text": "It says: buy."}]});
            match body["params"]["name"].as_str().unwrap() {
                "answer" => json_response(answer("result", result)),
                "stream" => {
                    let event = format!("data: {}\n\n", answer("result", result));
                    response(200, "text/event-stream", event.into())
                }
                "fail" => {
                    json_response(answer("error", json!({"code": -32603, "message": "no room"})))
                }
                "overloaded" => response(503, "text/plain", "busy".into()),
                "hang" => {
                    let silence = stream::pending::<Result<String, std::io::Error>>().boxed();
                    response(200, "text/event-stream", Body::from_stream(silence))
                }
                name => panic!("there is no tool {name}"),
            }
        }
        _ => json_response(answer("error", json!({"code": -32601, "message": "no such method"}))),
    }
}

fn json_response(body: String) -> Response {
    response(200, "application/json", body.into())
}

fn response(status: u16, content_type: &str, body: Body) -> Response {
    Response::builder().status(status).header("content-type", content_type).body(body).unwrap()
}
