//! Calls that share a connection do not hold each other up, and a connection whose other side is gone is
//! found out.

use std::convert::Infallible;

use bytes::Bytes;
use forward_clients::agent::listen;
use forward_clients::raw::Raw;
use forward_clients::{AGENT, Forwarder, in_time, until};
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::sync::mpsc;
use tower::ServiceBuilder;
use tower_agent_status::StatusLayer;
use tower_agent_status::forward::Forward;

type AnyBody = BoxBody<Bytes, Infallible>;

const MIB: usize = 1 << 20;

/// So many bytes, or without an end.
fn large(bytes: Option<usize>) -> AnyBody {
    let frame = Bytes::from(vec![b'x'; 64 << 10]);
    let count = bytes.map_or(usize::MAX, |bytes| bytes / (64 << 10));
    let frames = std::iter::repeat_n(frame, count);
    let frames = futures_util::stream::iter(frames.map(|frame| Ok(Frame::data(frame))));
    BodyExt::boxed(StreamBody::new(frames))
}

/// An agent over HTTP/2 with this handler.
async fn agent<F, R>(answer: F) -> String
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<AnyBody>> + Send + 'static,
{
    let address = listen(move |stream| {
        let answer = answer.clone();
        async move {
            let service = service_fn(move |request| {
                let response = answer(request);
                async { Ok::<_, Infallible>(response.await) }
            });
            let server = auto::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        }
    })
    .await;
    format!("http://{address}")
}

/// A client over HTTP/2, with a connection of its own.
fn client() -> Client<HttpConnector, AnyBody> {
    Client::builder(TokioExecutor::new()).http2_only(true).build_http()
}

fn empty() -> AnyBody {
    BodyExt::boxed(Empty::new())
}

#[tokio::test]
async fn clients_that_pause_do_not_hold_up_others_of_the_same_agent() {
    let url = agent(|request: Request<Incoming>| async move {
        Response::new(large(request.uri().path().ends_with("/end").then_some(32 * MIB)))
    })
    .await;
    let forwarder = Forwarder::start(&url).await;
    let mut paused = Vec::new();
    for _ in 0..20 {
        let client = client();
        let request = Request::get(forwarder.url() + "/on").body(empty()).unwrap();
        let response = in_time(client.request(request)).await.unwrap();
        paused.push((response, client));
    }
    let request = Request::get(forwarder.url() + "/end").body(empty()).unwrap();
    let response = in_time(client().request(request)).await.unwrap();
    let read = in_time(response.into_body().collect()).await.unwrap();
    assert_eq!(read.to_bytes().len(), 32 * MIB);
    drop(paused);
}

#[tokio::test]
async fn a_request_that_waits_in_the_stack_does_not_hold_up_those_it_waits_for() {
    let url = agent(|request: Request<Incoming>| async move {
        let read = request.into_body().collect().await.unwrap().to_bytes().len();
        Response::new(BodyExt::boxed(Full::from(read.to_string())))
    })
    .await;
    let forwarder = Forwarder::build(|tracker| {
        let stack = ServiceBuilder::new()
            .concurrency_limit(1)
            .layer(StatusLayer::new(tracker, AGENT))
            .service(tower_agent_status::forward::Client::new().unwrap());
        Forward::new(tracker).agent_service(AGENT, &*url, stack)
    })
    .await;
    let client = client();
    let call = |body| {
        let request = Request::post(forwarder.url() + "/x").body(body).unwrap();
        let response = client.request(request);
        async move {
            let body = response.await.unwrap().into_body();
            body.collect().await.unwrap().to_bytes()
        }
    };
    let (frames, mut queue) = mpsc::channel::<usize>(1);
    let first = futures_util::stream::poll_fn(move |cx| {
        queue.poll_recv(cx).map(|bytes| Some(Ok(Frame::data(Bytes::from(vec![b'x'; bytes?])))))
    });
    let first = tokio::spawn(call(BodyExt::boxed(StreamBody::new(first))));
    frames.send(1).await.unwrap();
    // It has the one place.
    until(|| forwarder.agent()).await;
    let others: Vec<_> = (0..4).map(|_| tokio::spawn(call(large(Some(2 * MIB))))).collect();
    in_time(async {
        for _ in 0..64 {
            frames.send(64 << 10).await.unwrap();
        }
        drop(frames);
        assert_eq!(first.await.unwrap(), (4 * MIB + 1).to_string());
        for other in others {
            assert_eq!(other.await.unwrap(), (2 * MIB).to_string());
        }
    })
    .await;
}

/// Whether the kernel asks, on a connection between these ports, for a sign of life of the other side.
#[cfg(target_os = "linux")]
fn keeps_alive(local: u16, remote: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().skip(1).any(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let port = |field: &str| u16::from_str_radix(field.split_once(':').unwrap().1, 16).unwrap();
        // The timer that runs: 02 is that of keep-alive.
        port(fields[1]) == local && port(fields[2]) == remote && fields[5].starts_with("02:")
    })
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn both_sides_of_a_call_are_asked_whether_they_are_there() {
    let (seen, mut ports) = mpsc::unbounded_channel();
    let address = listen(move |stream| {
        seen.send((stream.local_addr().unwrap().port(), stream.peer_addr().unwrap().port()))
            .unwrap();
        async move {
            // It thinks.
            std::future::pending::<()>().await;
            drop(stream);
        }
    })
    .await;
    let forwarder = Forwarder::start(&format!("http://{address}")).await;
    let mut raw = Raw::connect(forwarder.address).await;
    raw.send("GET /pdfAdapter/x HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let (agent, of_forwarder) = in_time(ports.recv()).await.unwrap();
    let client = raw.stream.local_addr().unwrap().port();
    // Until what was sent is acknowledged, another timer runs.
    until(|| keeps_alive(of_forwarder, agent).then_some(())).await;
    until(|| keeps_alive(forwarder.address.port(), client).then_some(())).await;
}
