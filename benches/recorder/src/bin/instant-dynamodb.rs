//! A server with as much of DynamoDB's protocol as the recorder needs. It has every table,
//! accepts every write at once, counts the writes, and discards them.
//!
//! It prints its address. `GET /` returns the number of writes so far.

use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

const TABLE: &str = r#"{"Table":{"TableName":"bench-status","TableStatus":"ACTIVE","AttributeDefinitions":[{"AttributeName":"sessionId","AttributeType":"S"}],"KeySchema":[{"AttributeName":"sessionId","KeyType":"HASH"}]}}"#;
const EXPIRY: &str =
    r#"{"TimeToLiveDescription":{"TimeToLiveStatus":"ENABLED","AttributeName":"expiresAt"}}"#;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime.expect("a runtime"), serve());
}

async fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("http://{}", listener.local_addr().expect("an address"));
    let writes = Rc::new(Cell::new(0_u64));
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("a connection");
        let writes = Rc::clone(&writes);
        let service = service_fn(move |request| answer(request, Rc::clone(&writes)));
        tokio::task::spawn_local(
            // Clients may disconnect at any time.
            async move {
                drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await)
            },
        );
    }
}

async fn answer(
    request: Request<Incoming>,
    writes: Rc<Cell<u64>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    // Reads the whole request, as a server that parses it would.
    drop(body.collect().await);
    let target = head.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let operation = target.and_then(|target| target.rsplit('.').next());
    let answer = match operation {
        Some("DescribeTable") => TABLE.into(),
        Some("DescribeTimeToLive") => EXPIRY.into(),
        Some("UpdateItem" | "PutItem") => {
            writes.set(writes.get() + 1);
            "{}".into()
        }
        Some(_) => "{}".into(),
        None => writes.get().to_string(),
    };
    let response = Response::builder().header("content-type", "application/x-amz-json-1.0");
    Ok(response.body(Full::from(answer)).expect("a response"))
}
