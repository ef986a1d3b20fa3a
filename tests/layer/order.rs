//! Neighbours for which it matters whether the layer is outside or inside. `stacks` tests
//! those for which it does not, and timeouts and retries.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::buffer::Buffer;
use tower::{Layer, Service, ServiceBuilder, ServiceExt as _};
use tower_agent_status::status::{AgentState, AgentStatus};
use tower_agent_status::store::MemoryStore;
use tower_agent_status::{StatusLayer, StatusTracker};
use tower_http::follow_redirect::FollowRedirectLayer;

use crate::support::agent::{AgentBody, MockAgent, client, receive, whole};
use crate::support::{AGENT, SESSION, builder, of_session, ticking_clock};

const ANSWER: &str = "{\"success\": true, \"token_usage\": {\"input_tokens\": 5, \"output_tokens\": 2, \"total_tokens\": 7}}";

fn tracker() -> StatusTracker {
    builder(MemoryStore::new()).clock(ticking_clock()).start().unwrap()
}

/// The current state of the agent, whether saved or not; `None` before its session is known.
fn look(tracker: &StatusTracker) -> Option<AgentStatus> {
    tracker.status(SESSION)?.agent(AGENT).cloned()
}

fn answer(status: u16, body: &'static str) -> Response<AgentBody> {
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(whole(body))
        .unwrap()
}

fn request(url: &str) -> Request<Full<Bytes>> {
    of_session(SESSION, Request::get(url).body(Full::default()).unwrap())
}

#[tokio::test]
async fn outside_a_buffer_waiting_in_its_queue_is_part_of_the_call_and_inside_it_is_not() {
    let agent = MockAgent::start(|_| async { answer(200, ANSWER) }).await;

    let tracker_outside = tracker();
    // Nothing takes calls from the queue yet.
    let (buffer, worker) = Buffer::pair(client(), 1);
    let mut outside = StatusLayer::new(&tracker_outside, AGENT).layer(buffer);
    let call = outside.ready().await.unwrap().call(request(&agent.url("/")));
    assert_eq!(look(&tracker_outside).unwrap().state, AgentState::InProgress);
    tokio::spawn(worker);
    receive(call.await.unwrap()).await;
    assert_eq!(look(&tracker_outside).unwrap().state, AgentState::Success);

    let tracker_inside = tracker();
    let inside = StatusLayer::new(&tracker_inside, AGENT).layer(client());
    let (mut buffer, worker) = Buffer::pair(inside, 1);
    let call = buffer.ready().await.unwrap().call(request(&agent.url("/")));
    assert_eq!(look(&tracker_inside), None, "the call has not started");
    tokio::spawn(worker);
    receive(call.await.unwrap()).await;
    assert_eq!(look(&tracker_inside).unwrap().state, AgentState::Success);
}

#[tokio::test]
async fn waiting_for_a_concurrency_limit_is_not_part_of_a_call() {
    // The first of two calls fails and the second succeeds. Had they overlapped, the agent
    // would end in error.
    let asked = Arc::new(AtomicUsize::new(0));
    let agent = MockAgent::start(move |_| {
        let is_first = asked.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
        async move { if is_first { answer(503, "{}") } else { answer(200, ANSWER) } }
    })
    .await;
    let url = agent.url("/");
    let stack = ServiceBuilder::new;

    let tracker_outside = tracker();
    let layer = StatusLayer::new(&tracker_outside, AGENT);
    two_at_once(stack().layer(layer).concurrency_limit(1).service(client()), &url).await;
    let tracker_inside = tracker();
    let layer = StatusLayer::new(&tracker_inside, AGENT);
    two_at_once(stack().concurrency_limit(1).layer(layer).service(client()), &url).await;

    for tracker in [tracker_outside, tracker_inside] {
        let agent = look(&tracker).unwrap();
        assert_eq!((agent.state, agent.calls), (AgentState::Success, 2));
    }
}

/// Makes two concurrent calls and drops their responses unread.
async fn two_at_once<S, B>(service: S, url: &str)
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
    S::Error: std::fmt::Debug,
    B: http_body::Body<Data = Bytes, Error: std::error::Error>,
{
    let call = || {
        let call = service.clone().oneshot(request(url));
        async {
            let response = call.await.unwrap();
            if response.status().is_success() {
                receive(response).await;
            }
        }
    };
    tokio::join!(call(), call());
}

/// An agent that redirects, with a body that no client reads.
async fn agent_that_moved() -> MockAgent {
    MockAgent::start(|request: Request<_>| async move {
        match request.uri().path() {
            "/old" => {
                let mut response = answer(307, "{\"message\": \"moved\"}");
                response.headers_mut().insert("location", "/new".parse().unwrap());
                response
            }
            _ => answer(200, ANSWER),
        }
    })
    .await
}

#[tokio::test]
async fn inside_of_follow_redirect_every_hop_is_a_call_and_outside_the_last_answer_is() {
    let agent = agent_that_moved().await;
    let stack = ServiceBuilder::new;

    let tracker_inside = tracker();
    let status = StatusLayer::new(&tracker_inside, AGENT);
    let inside = stack().layer(FollowRedirectLayer::new()).layer(status).service(client());
    let received = receive(inside.oneshot(request(&agent.url("/old"))).await.unwrap()).await;
    assert_eq!(received.body, ANSWER.as_bytes());

    let tracker_outside = tracker();
    let status = StatusLayer::new(&tracker_outside, AGENT);
    let outside = stack().layer(status).layer(FollowRedirectLayer::new()).service(client());
    let received = receive(outside.oneshot(request(&agent.url("/old"))).await.unwrap()).await;
    assert_eq!(received.body, ANSWER.as_bytes());

    for (tracker, calls) in [(tracker_inside, 2), (tracker_outside, 1)] {
        let agent = look(&tracker).unwrap();
        assert_eq!((agent.state, agent.calls), (AgentState::Success, calls));
    }
}

#[tokio::test]
async fn reqwest_follows_redirects_inside_and_its_answer_keeps_the_last_url() {
    let agent = agent_that_moved().await;
    let tracker = tracker();
    let client = reqwest_middleware::ClientBuilder::new(::reqwest::Client::new())
        .with(crate::StatusMiddleware::new(&tracker, AGENT))
        .build();
    let request = client.get(agent.url("/old")).with_extension(crate::support::id(SESSION));
    let response = request.send().await.unwrap();
    assert_eq!(response.url().as_str(), agent.url("/new"));
    assert_eq!(response.text().await.unwrap(), ANSWER);
    let agent = look(&tracker).unwrap();
    assert_eq!((agent.state, agent.calls), (AgentState::Success, 1));
}

/// Makes one call through the layer `inner` inside the layer `outer`.
async fn call_nested(outer: StatusLayer, inner: StatusLayer, url: &str) {
    // With the neighbours that may be between them.
    let stack = ServiceBuilder::new()
        .layer(outer)
        .buffer(1)
        .timeout(std::time::Duration::from_secs(60))
        .layer(FollowRedirectLayer::new())
        .layer(inner);
    let response = stack.service(client()).oneshot(request(url)).await.unwrap();
    receive(response).await;
}

#[tokio::test]
async fn of_nested_layers_the_outermost_owns_the_call_whatever_is_between_them() {
    let agent = agent_that_moved().await;
    let tracker = tracker();
    let layer = |name: &str| StatusLayer::new(&tracker, name);
    call_nested(layer(AGENT), layer("inner"), &agent.url("/old")).await;
    let status = tracker.status(SESSION).unwrap();
    let calls = |name: &str| status.agent(name).map(|agent| agent.calls);
    assert_eq!((calls(AGENT), calls("inner")), (Some(1), Some(0)));
}
