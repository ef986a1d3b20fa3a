//! Handlers that stream while they work.

use axum::Router;
use axum::body::Body;
use axum::routing::post as on_post;
use http_body_util::BodyExt as _;
use tower_agent_status::SessionId;
use tower_agent_status::status::AgentState::{Error, Success};
use tower_agent_status::status::OverallStatus::{Completed, Processing};
use tower_agent_status::testing::{assert_agents, assert_completed, assert_failed, assert_tokens};

use crate::support::{AGENT, CalledAgent, Tracking, piped, post, read, serve};

/// A stream of events that calls the agent for each event, as it is read.
fn events(agent: CalledAgent, count: usize, last: &'static str) -> Body {
    let events = futures_util::stream::unfold(0, move |n| {
        let agent = agent.clone();
        async move {
            let event = match n {
                n if n < count => {
                    let answer = agent.ask(&n.to_string()).await.unwrap();
                    format!("data: {}\n\n", String::from_utf8_lossy(&answer))
                }
                n if n == count => last.to_owned(),
                _ => return None,
            };
            Some((Ok::<_, std::io::Error>(event), n + 1))
        }
    });
    Body::from_stream(events)
}

#[tokio::test]
async fn calls_made_inside_the_body_are_in_the_session_and_the_body_ends_it() {
    let tracking = Tracking::start();
    let agent = CalledAgent::start(&tracking).await;
    let app = Router::new().route(
        "/",
        on_post(async move || {
            (
                [("content-type", "text/event-stream")],
                events(agent, 3, "data: {\"done\": true}\n\n"),
            )
        }),
    );
    let address = serve(app.route_layer(tracking.layer())).await;
    let text = read(post(address, "/", Some("s")).await).await;
    assert_eq!(text.matches("data: ").count(), 4);
    let status = tracking.store.wait_until_finished("s").await;
    assert_completed(&status);
    assert_agents(&status, [(AGENT, Success)]);
    assert_eq!(status.agent(AGENT).unwrap().calls, 3);
    assert_tokens(&status, 9, 12);
}

#[tokio::test]
async fn a_stream_of_ones_own_that_says_nothing_is_complete() {
    let tracking = Tracking::start();
    let app = Router::new()
        .route("/nothing", on_post(async || ([("content-type", "text/event-stream")], "")))
        .route(
            "/alive",
            on_post(async || ([("content-type", "text/event-stream")], ": still here\n\n")),
        );
    let address = serve(app.route_layer(tracking.layer())).await;
    for path in ["/nothing", "/alive"] {
        read(post(address, path, Some(&path[1..])).await).await;
        assert_completed(&tracking.store.wait_until_finished(&path[1..]).await);
    }
}

#[tokio::test]
async fn an_agents_end_marker_passed_on_is_not_the_end_of_the_workflow() {
    let tracking = Tracking::start();
    let agent = CalledAgent::start(&tracking).await;
    // The handler reads one model's whole stream before it makes the next call.
    let marker = "event: message_stop\ndata: {\"type\": \"message_stop\"}\n\n";
    let app = Router::new().route(
        "/",
        on_post(async move || {
            let first = futures_util::stream::iter([Ok::<_, std::io::Error>(marker)]);
            let session = tokio::sync::Mutex::new(Vec::new());
            let rest = futures_util::stream::once(async move {
                agent.ask("after").await.unwrap();
                session.lock().await.extend(SessionId::current());
                Ok(marker)
            });
            let body = Body::from_stream(futures_util::StreamExt::chain(first, rest));
            ([("content-type", "text/event-stream")], body)
        }),
    );
    let address = serve(app.route_layer(tracking.layer())).await;
    read(post(address, "/", Some("s")).await).await;
    let status = tracking.store.wait_until_finished("s").await;
    assert_completed(&status);
    // Had the workflow been finished before, this call would not have reopened it, and the
    // history would show the end first.
    let finished = tracking.store.history().into_iter().position(|change| {
        change.set.get("overallStatus").and_then(|value| value.as_str()) == Some("completed")
    });
    let called = tracking.store.history().into_iter().position(|change| {
        let agent = change.set.get(AGENT).and_then(|agent| agent.as_map());
        agent.and_then(|agent| agent.get("status")?.as_str()) == Some("success")
    });
    assert!(called <= finished, "{called:?} {finished:?}");
}

#[tokio::test]
async fn the_workflow_is_open_until_the_body_has_ended() {
    let tracking = Tracking::start();
    let agent = CalledAgent::start(&tracking).await;
    let (pieces, body) = piped();
    let body = std::sync::Arc::new(std::sync::Mutex::new(Some(body)));
    let app = Router::new().route(
        "/",
        on_post(async move || {
            agent.ask("first").await.unwrap();
            body.lock().unwrap().take().unwrap()
        }),
    );
    let address = serve(app.route_layer(tracking.layer())).await;
    let mut response = post(address, "/", Some("s")).await;
    pieces.send("one").await.unwrap();
    let frame = response.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "one");
    assert_eq!(tracking.now("s").overall_status, Processing);
    drop(pieces);
    assert!(response.body_mut().frame().await.is_none());
    assert_eq!(tracking.store.wait_until_finished("s").await.overall_status, Completed);
}

#[tokio::test]
async fn a_call_in_a_body_that_nobody_reads_on_is_cancelled() {
    let tracking = Tracking::start();
    let (started, mut has_started) = tokio::sync::mpsc::channel(1);
    let silent = Router::new().fallback(async move || {
        started.send(()).await.unwrap();
        std::future::pending::<()>().await;
    });
    let agent = CalledAgent::start(&tracking).await.at(serve(silent).await);
    let app = Router::new().route("/", on_post(async move || events(agent, 1, "data: {}\n\n")));
    let address = serve(app.route_layer(tracking.layer())).await;
    let call = tokio::spawn(async move {
        // The server sends the head with the first chunk of the body, which never comes.
        post(address, "/", Some("s")).await.into_body().collect().await
    });
    has_started.recv().await.unwrap();
    call.abort();
    let status = tracking.store.wait_until_finished("s").await;
    assert_failed(&status, "gave up before the answer was complete");
    assert_agents(&status, [(AGENT, Error)]);
    let error = status.agent(AGENT).unwrap().error.as_ref().unwrap();
    assert_eq!(error.class, "cancelled");
}

#[tokio::test]
async fn a_stream_that_says_it_failed_has_failed() {
    let tracking = Tracking::start();
    let agent = CalledAgent::start(&tracking).await;
    let app = Router::new().route(
        "/",
        on_post(async move || {
            let last = "event: error\ndata: {\"error\": {\"message\": \"matching is down\"}}\n\n";
            ([("content-type", "text/event-stream")], events(agent, 1, last))
        }),
    );
    let address = serve(app.route_layer(tracking.layer())).await;
    read(post(address, "/", Some("s")).await).await;
    let status = tracking.store.wait_until_finished("s").await;
    assert_failed(&status, "matching is down");
    assert_agents(&status, [(AGENT, Success)]);
}

#[tokio::test]
async fn an_announced_length_is_the_end_though_the_body_does_not_know() {
    let tracking = Tracking::start();
    let app = Router::new().route(
        "/",
        on_post(async || {
            // As a proxy does that passes on the length another server announced.
            let pieces = futures_util::stream::iter(["abc", "def"]).map_ok_io();
            let body = futures_util::StreamExt::chain(pieces, futures_util::stream::pending());
            ([("content-length", "6")], Body::from_stream(body))
        }),
    );
    let address = serve(app.route_layer(tracking.layer())).await;
    assert_eq!(read(post(address, "/", Some("s")).await).await, "abcdef");
    assert_completed(&tracking.store.wait_until_finished("s").await);
}

trait MapOkIo: futures_util::Stream<Item = &'static str> + Sized {
    fn map_ok_io(self) -> impl futures_util::Stream<Item = std::io::Result<&'static str>> {
        futures_util::StreamExt::map(self, Ok)
    }
}

impl<S: futures_util::Stream<Item = &'static str>> MapOkIo for S {}
