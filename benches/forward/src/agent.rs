//! The agent behind all ways.

use std::convert::Infallible;
use std::io::{Error, Write as _};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::Result;

/// The events of `/stream`.
pub const EVENTS: usize = 5_000;
/// The bytes of `/large`.
pub const LARGE: u64 = 1 << 30;
const CHUNK: usize = 64 << 10;

/// Serves on a free port, and prints its address.
pub async fn serve() -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let service = service_fn(answer);
            let server = hyper::server::conn::http1::Builder::new();
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<BoxBody<Bytes, Error>>, Infallible> {
    let path = request.uri().path().to_owned();
    // The prompt.
    let _ = request.into_body().collect().await;
    let (content_type, body) = match path.as_str() {
        "/small" => {
            ("application/json", Full::from(small()).map_err(|never| match never {}).boxed())
        }
        "/stream" => ("text/event-stream", BodyExt::boxed(StreamBody::new(events()))),
        "/slow" => {
            let first = stream::iter([Ok(Frame::data(event("a")))]);
            let rest = stream::once(async {
                tokio::time::sleep(Duration::from_millis(1)).await;
                Ok(Frame::data(Bytes::from_static(b"data: [DONE]\n\n")))
            });
            ("text/event-stream", BodyExt::boxed(StreamBody::new(first.chain(rest))))
        }
        "/open" => {
            let first = stream::iter([Ok(Frame::data(event("a")))]);
            ("text/event-stream", BodyExt::boxed(StreamBody::new(first.chain(stream::pending()))))
        }
        "/large" => {
            let chunk = Bytes::from(vec![b'x'; CHUNK]);
            let chunks = (0..LARGE / CHUNK as u64).map(move |_| Ok(Frame::data(chunk.clone())));
            ("application/octet-stream", BodyExt::boxed(StreamBody::new(stream::iter(chunks))))
        }
        path => panic!("no such path: {path}"),
    };
    let mut response = Response::builder().header("content-type", content_type);
    if path == "/large" {
        response = response.header("content-length", LARGE);
    }
    Ok(response.body(body).expect("a response"))
}

/// An answer of OpenAI's API, of 2 KB.
fn small() -> Bytes {
    let text = "three trades of 12 lots each, ".repeat(60);
    let body = format!(
        r#"{{"id":"chatcmpl-1","object":"chat.completion","model":"gpt-4o-mini","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15}}}}"#
    );
    Bytes::from(body)
}

fn event(text: &str) -> Bytes {
    let event = format!(
        "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"model\":\"gpt-4o-mini\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n"
    );
    Bytes::from(event)
}

/// Each is a chunk of its own, and sent before there is another one.
fn events() -> impl Stream<Item = Result<Frame<Bytes>, Error>> + Send + Sync {
    let event = event("three trades ");
    let usage = "data: {\"id\":\"chatcmpl-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":5000,\"total_tokens\":5012}}\n\n";
    let last = [Bytes::from(usage), Bytes::from("data: [DONE]\n\n")];
    let events = std::iter::repeat_n(event, EVENTS - 2).chain(last);
    stream::iter(events).then(|data| async {
        tokio::task::yield_now().await;
        Ok(Frame::data(data))
    })
}
