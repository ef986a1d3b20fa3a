//! Responses that upgrade the connection: 101, and 2xx to CONNECT. What is seen of them is the
//! handshake, and when the caller lets go of the response.

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tower::{ServiceExt as _, service_fn};
use tower_agent_status::status::{AgentState, AgentStatus};
use tower_agent_status::store::MemoryStore;
use tower_agent_status::{Layer as _, StatusLayer, StatusTracker};

use crate::support::agent::{Connection, client, raw_agent};
use crate::support::scripted::{Scripted, Step};
use crate::support::{AGENT, SESSION, builder, id, of_session};

fn look(tracker: &StatusTracker) -> AgentStatus {
    tracker.status(SESSION).unwrap().agent(AGENT).unwrap().clone()
}

fn state(tracker: &StatusTracker) -> AgentState {
    look(tracker).state
}

fn tracker() -> StatusTracker {
    builder(MemoryStore::new()).start().unwrap()
}

/// An agent that changes protocols, and then answers `ping` with `pong`.
async fn agent() -> String {
    raw_agent(|mut connection: Connection| async move {
        connection.request().await;
        connection
            .send(
                "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: ping\r\n\r\n",
            )
            .await;
        connection.expect("ping").await;
        connection.send("pong").await;
    })
    .await
}

async fn ping(io: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin)) {
    io.write_all(b"ping").await.unwrap();
    let mut answer = [0; 4];
    io.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"pong");
}

fn upgrade_request(url: &str) -> Request<Full<Bytes>> {
    let request = Request::get(url).header("connection", "upgrade").header("upgrade", "ping");
    of_session(SESSION, request.body(Full::default()).unwrap())
}

#[tokio::test]
async fn a_call_over_hyper_is_in_progress_while_its_response_is_held() {
    let (tracker, url) = (tracker(), agent().await);
    let stack = StatusLayer::new(&tracker, AGENT).layer(client());
    let mut response = stack.oneshot(upgrade_request(&url)).await.unwrap();
    assert_eq!(response.status(), 101);
    let upgraded: Upgraded = hyper::upgrade::on(&mut response).await.unwrap();
    let mut io = TokioIo::new(upgraded);
    assert_eq!(state(&tracker), AgentState::InProgress);
    ping(&mut io).await;
    drop(io);
    assert_eq!(state(&tracker), AgentState::InProgress);
    drop(response);
    let ended = look(&tracker);
    assert_eq!((ended.state, ended.calls, ended.token_usage()), (AgentState::Success, 1, None));
}

#[tokio::test]
async fn a_call_whose_response_is_given_away_ends_with_the_handshake() {
    let (tracker, url) = (tracker(), agent().await);
    let stack = StatusLayer::new(&tracker, AGENT).layer(client());
    let response = stack.oneshot(upgrade_request(&url)).await.unwrap();
    let mut io = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    assert_eq!(state(&tracker), AgentState::Success);
    ping(&mut io).await;
}

#[tokio::test]
async fn a_call_over_reqwest_ends_with_the_handshake_and_the_connection_works() {
    let (tracker, url) = (tracker(), agent().await);
    let stack = StatusLayer::new(&tracker, AGENT).layer(reqwest::Client::new());
    let request = reqwest::Client::new().get(&url);
    let request = request.header("connection", "upgrade").header("upgrade", "ping");
    let call = stack.oneshot(request.build().unwrap());
    let response = id(SESSION).scope(call).await.unwrap();
    assert_eq!(state(&tracker), AgentState::InProgress);
    let mut io = response.upgrade().await.unwrap();
    assert_eq!(state(&tracker), AgentState::Success);
    ping(&mut io).await;
}

/// Calls an agent that answers like this.
async fn answered(
    tracker: &StatusTracker,
    method: Method,
    status: u16,
    body: Scripted,
) -> Response<tower_agent_status::StatusBody<Scripted>> {
    let agent = service_fn(move |_: Request<()>| {
        let response = Response::builder().status(status).header("content-length", "0");
        std::future::ready(response.body(body.clone()))
    });
    let request = Request::builder().method(method).uri("/v1/chat/completions").body(()).unwrap();
    let stack = StatusLayer::new(tracker, AGENT).layer(agent);
    stack.oneshot(of_session(SESSION, request)).await.unwrap()
}

const FAILURE: &str = "{\"success\":false,\"error\":\"not HTTP\",\"usage\":{\"input_tokens\":5}}";

#[tokio::test]
async fn a_body_that_is_the_connection_is_not_read_and_may_be_dropped_at_any_time() {
    let body = || Scripted::chunked(&[Step::Data(FAILURE), Step::Data(FAILURE)]);
    for (method, status) in [(Method::GET, 101), (Method::CONNECT, 200), (Method::CONNECT, 204)] {
        for read in [false, true] {
            let tracker = tracker();
            let mut response = answered(&tracker, method.clone(), status, body()).await;
            if read {
                let frame = response.body_mut().frame().await.unwrap().unwrap();
                assert_eq!(frame.into_data().unwrap(), FAILURE);
            }
            assert_eq!(state(&tracker), AgentState::InProgress, "{method} {status}");
            drop(response);
            let ended = look(&tracker);
            assert_eq!((ended.state, ended.token_usage()), (AgentState::Success, None), "{method}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_fails_is_an_error() {
    let tracker = tracker();
    let body = Scripted::chunked(&[Step::Data(FAILURE), Step::Error("connection reset")]);
    let response = answered(&tracker, Method::GET, 101, body).await;
    response.into_body().collect().await.unwrap_err();
    let error = look(&tracker).error.unwrap();
    assert_eq!((&*error.class, error.message.as_str()), ("transport", "connection reset"));
}

#[tokio::test]
async fn a_tunnel_that_is_refused_ends_like_any_other_call() {
    for status in [403, 502] {
        let tracker = tracker();
        let response = answered(&tracker, Method::CONNECT, status, Scripted::chunked(&[])).await;
        drop(response);
        assert_eq!(look(&tracker).error.unwrap().class, format!("http_{status}"));
    }
}

#[tokio::test]
async fn a_connection_that_a_panic_drops_was_given_up() {
    let tracker = tracker();
    let body = Scripted::chunked(&[Step::Data(FAILURE)]);
    let response = answered(&tracker, Method::GET, 101, body).await;
    let task = tokio::spawn(async move {
        let _response = response;
        panic!("while the connection is open");
    });
    assert!(task.await.unwrap_err().is_panic());
    assert_eq!(look(&tracker).error.unwrap().class, "cancelled");
}
