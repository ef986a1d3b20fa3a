//! Mocked agents over real sockets, called through hyper's client with the layer: the caller
//! receives what the agent sent, and the item has the outcome.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Version};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use serde_json::{Value as Json, json};
use tokio::sync::{Barrier, Notify, mpsc};
use tower::retry::{Policy, Retry};
use tower::timeout::Timeout;
use tower::{BoxError, Layer, Service, ServiceExt as _};
use tower_agent_status::status::{AgentState, TokenUsage};
use tower_agent_status::store::{DynamoDbStore, MemoryStore, StatusReader};
use tower_agent_status::{StatusBody, StatusLayer, StatusService, StatusTracker};

use crate::support::agent::{
    AgentBody, HttpClient, MockAgent, Received, chain, client, data, http2_client, piped,
    raw_agent, receive, receive_and, whole,
};
use crate::support::scripted::trailers;
use crate::support::{
    AGENT, SESSION, builder, expected_item, failure, in_progress, of_session, pending as waiting,
    shape, stored, success, tokens,
};

const JSON: &str = "application/json";
const SSE: &str = "text/event-stream";
const ANSWER: &str = "{\"success\": true, \"document_id\": \"FAB_26933659\", \"token_usage\": {\"input_tokens\": 1500, \"output_tokens\": 500, \"total_tokens\": 2000}}";
const REFUSAL: &str = "{\"success\": false, \"error\": \"max iterations\", \"token_usage\": {\"input_tokens\": 900, \"output_tokens\": 100, \"total_tokens\": 1000}}";
const MESSAGE_START: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"type\":\"message\",\"usage\":{\"input_tokens\":25,\"output_tokens\":1}}}\n\n";
const MESSAGE_DELTA: &str = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":15}}\n\n";
const MESSAGE_STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

/// A tracker with its own table, and the client of the agent.
struct Stack {
    tracker: StatusTracker,
    store: DynamoDbStore,
    client: StatusService<HttpClient>,
}

fn stack() -> Stack {
    stack_on(client())
}

fn stack_on(client: HttpClient) -> Stack {
    let store = DynamoDbStore::embedded_in_memory().unwrap();
    let tracker = builder(store.clone()).start().unwrap();
    let client = StatusLayer::new(&tracker, AGENT).layer(client);
    Stack { tracker, store, client }
}

impl Stack {
    /// Asserts that the stored item equals this one in all fields.
    #[track_caller]
    fn assert_stored(
        &self,
        session: &str,
        overall: &str,
        total: Json,
        agent: Json,
    ) -> impl Future<Output = ()> {
        self.assert_item(expected_item(session, overall, total, json!({AGENT: agent})))
    }

    async fn assert_item(&self, expected: Json) {
        let session = expected["sessionId"].as_str().unwrap();
        let item = stored(&self.tracker, &self.store, session).await;
        assert_eq!(shape(&item), expected);
    }

    /// The current status of the agent, whether saved or not.
    fn agent(&self) -> (AgentState, Option<TokenUsage>) {
        let status = self.tracker.status(SESSION).unwrap();
        let agent = status.agent(AGENT).unwrap();
        (agent.state, agent.token_usage())
    }
}

/// A request without a body in the session of most tests.
fn request(url: &str) -> Request<Full<Bytes>> {
    of_session(SESSION, plain_request(Method::POST, url))
}

fn plain_request(method: Method, url: &str) -> Request<Full<Bytes>> {
    Request::builder().method(method).uri(url).body(Full::default()).unwrap()
}

fn answer(status: u16, content_type: &str, body: AgentBody) -> Response<AgentBody> {
    Response::builder()
        .status(status)
        .header("content-type", content_type)
        .header("x-agent", "pdf")
        .body(body)
        .unwrap()
}

fn nothing() -> Json {
    tokens(0, 0)
}

/// Attributes of an agent whose model has stopped for this reason.
fn stopped(reason: &str, mut attributes: Json) -> Json {
    attributes["finishReason"] = json!(reason);
    attributes
}

fn used(input: u64, output: u64) -> Json {
    json!({"tokenUsage": tokens(input, output)})
}

/// Calls the agent without the layer and with it. Both callers must receive what the agent
/// sent.
async fn call_both(stack: &Stack, bare: HttpClient, agent: &MockAgent, method: Method) -> Received {
    let url = agent.url("/invocations");
    let expected = bare.oneshot(plain_request(method.clone(), &url)).await.unwrap();
    let expected = receive(expected).await;
    assert_eq!(expected.body, agent.take_sent());

    let request = of_session(SESSION, plain_request(method, &url));
    let received = receive(stack.client.clone().oneshot(request).await.unwrap()).await;
    assert_eq!(received, expected);
    assert_eq!(received.body, agent.take_sent());
    received
}

async fn agent_of(status: u16, content_type: &'static str, body: &'static str) -> MockAgent {
    MockAgent::start(move |_| async move { answer(status, content_type, whole(body)) }).await
}

#[tokio::test]
async fn an_answer_is_a_success_with_its_tokens() {
    let stack = stack();
    let agent = agent_of(200, JSON, ANSWER).await;
    let received = call_both(&stack, client(), &agent, Method::POST).await;
    assert_eq!(received.body, ANSWER.as_bytes());
    assert_eq!(received.headers["x-agent"], "pdf");
    let agent = success(1, used(1500, 500));
    stack.assert_stored(SESSION, "processing", tokens(1500, 500), agent).await;
}

#[tokio::test]
async fn a_workflow_keeps_its_attributes_and_ends_completed() {
    let stack = stack();
    let agent = agent_of(200, JSON, ANSWER).await;
    let url = agent.url("/invocations");
    let result: Result<_, BoxError> = stack
        .tracker
        .workflow(SESSION)
        .correlation_id("corr_abc123")
        .attribute("documentId", "FAB_26933659")
        .attribute("sourceType", "BANK")
        .run(async {
            let request = plain_request(Method::POST, &url);
            Ok(receive(stack.client.clone().oneshot(request).await?).await.body)
        })
        .await;
    assert_eq!(result.unwrap(), ANSWER.as_bytes());
    stack
        .assert_item(expected_item(
            SESSION,
            "completed",
            tokens(1500, 500),
            json!({
                AGENT: success(1, used(1500, 500)),
                "correlationId": "corr_abc123",
                "documentId": "FAB_26933659",
                "sourceType": "BANK",
            }),
        ))
        .await;
}

#[tokio::test]
async fn an_answer_of_status_500_is_an_error_with_the_agents_message() {
    let stack = stack();
    let agent = agent_of(500, JSON, "{\"error\": \"Model access denied\"}").await;
    let received = call_both(&stack, client(), &agent, Method::POST).await;
    assert_eq!(received.status, StatusCode::INTERNAL_SERVER_ERROR);
    let agent = failure(1, "http_500", "Model access denied", json!({}));
    stack.assert_stored(SESSION, "processing", nothing(), agent).await;
}

#[tokio::test]
async fn an_error_status_that_nobody_reads_is_the_same_error() {
    let stack = stack();
    let agent = agent_of(503, JSON, "{\"error\": \"unread\"}").await;
    let response = stack.client.clone().oneshot(request(&agent.url("/"))).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(response);
    let agent = failure(1, "http_503", "Service Unavailable", json!({}));
    stack.assert_stored(SESSION, "processing", nothing(), agent).await;
}

#[tokio::test]
async fn an_error_inside_a_200_is_an_error_and_its_tokens_count() {
    let stack = stack();
    let agent = agent_of(200, JSON, REFUSAL).await;
    call_both(&stack, client(), &agent, Method::POST).await;
    let agent = failure(1, "agent", "max iterations", used(900, 100));
    stack.assert_stored(SESSION, "processing", tokens(900, 100), agent).await;
}

/// An agent whose answers a test sends frame by frame, through one sender for each call.
async fn streaming_agent(http2: bool) -> (MockAgent, mpsc::Receiver<mpsc::Sender<Frame<Bytes>>>) {
    let (calls, senders) = mpsc::channel(8);
    let answer = move |_| {
        let calls = calls.clone();
        async move {
            let (sender, body) = piped();
            calls.send(sender).await.unwrap();
            answer(200, SSE, body)
        }
    };
    let agent =
        if http2 { MockAgent::start_http2(answer).await } else { MockAgent::start(answer).await };
    (agent, senders)
}

/// Receives the next chunk of a body, once it is sent.
async fn send_and_receive<B>(sender: &mpsc::Sender<Frame<Bytes>>, body: &mut B, text: &'static str)
where
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug> + Unpin,
{
    sender.send(data(text)).await.unwrap();
    let frame = body.frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), text, "a chunk arrives as it was sent");
}

#[tokio::test]
async fn a_slow_stream_shows_its_tokens_as_they_come_and_ends_with_its_own_end() {
    let stack = stack();
    let (agent, mut senders) = streaming_agent(false).await;
    let response = stack.client.clone().oneshot(request(&agent.url("/v1/messages"))).await.unwrap();
    let sender = senders.recv().await.unwrap();
    let mut body = response.into_body();
    assert_eq!(stack.agent(), (AgentState::InProgress, None));
    stack.assert_stored(SESSION, "processing", nothing(), in_progress(json!({}))).await;

    send_and_receive(&sender, &mut body, MESSAGE_START).await;
    assert_eq!(stack.agent(), (AgentState::InProgress, Some(TokenUsage::new(25, 1))));
    let agent_now = in_progress(used(25, 1));
    stack.assert_stored(SESSION, "processing", tokens(25, 1), agent_now).await;

    send_and_receive(&sender, &mut body, MESSAGE_DELTA).await;
    assert_eq!(stack.agent(), (AgentState::InProgress, Some(TokenUsage::new(25, 15))));

    // The stream's own end marker completes it, while the connection is still open.
    send_and_receive(&sender, &mut body, MESSAGE_STOP).await;
    let end = success(1, stopped("end_turn", used(25, 15)));
    stack.assert_stored(SESSION, "processing", tokens(25, 15), end.clone()).await;

    drop(sender);
    assert!(body.frame().await.is_none());
    drop(body);
    assert_eq!(agent.take_sent(), [MESSAGE_START, MESSAGE_DELTA, MESSAGE_STOP].concat().as_bytes());
    stack.assert_stored(SESSION, "processing", tokens(25, 15), end).await;
}

#[tokio::test]
async fn a_stream_that_ends_before_its_own_end_is_incomplete() {
    let stack = stack();
    let (agent, mut senders) = streaming_agent(false).await;
    let response = stack.client.clone().oneshot(request(&agent.url("/v1/messages"))).await.unwrap();
    let sender = senders.recv().await.unwrap();
    let mut body = response.into_body();
    send_and_receive(&sender, &mut body, MESSAGE_START).await;
    drop(sender);
    assert!(body.frame().await.is_none(), "the caller sees an ordinary end");
    let message = "the answer broke off before its end";
    let agent = failure(1, "incomplete", message, used(25, 1));
    stack.assert_stored(SESSION, "processing", tokens(25, 1), agent).await;
}

#[tokio::test]
async fn a_client_that_drops_the_stream_early_has_cancelled_the_call() {
    let stack = stack();
    let (agent, mut senders) = streaming_agent(false).await;
    let response = stack.client.clone().oneshot(request(&agent.url("/v1/messages"))).await.unwrap();
    let sender = senders.recv().await.unwrap();
    let mut body = response.into_body();
    send_and_receive(&sender, &mut body, MESSAGE_START).await;
    drop(body);
    let message = "the caller gave up before the answer was complete";
    let cancelled = failure(1, "cancelled", message, used(25, 1));
    stack.assert_stored(SESSION, "processing", tokens(25, 1), cancelled).await;
    // The agent notices it, as it would without the layer.
    sender.closed().await;
}

/// What callers without and with the layer receive from an agent whose connection breaks.
/// They report the number of bytes received after each chunk.
async fn break_both(stack: &Stack, url: &str, report: impl Fn(usize)) -> Received {
    let bare = client().oneshot(plain_request(Method::GET, url)).await.unwrap();
    let expected = receive_and(bare, &report).await;
    let request = of_session(SESSION, plain_request(Method::GET, url));
    let response = stack.client.clone().oneshot(request).await.unwrap();
    let received = receive_and(response, &report).await;
    assert_eq!(received, expected);
    assert!(received.error.is_some(), "{received:?}");
    received
}

/// Asserts that the call failed, with a message that gives the same cause as the caller's
/// error.
async fn assert_broken(stack: &Stack, received: &Received, total: Json, usage: Json) {
    let item = stored(&stack.tracker, &stack.store, SESSION).await;
    let message = shape(&item)[AGENT]["error"].as_str().unwrap().to_owned();
    assert!(!message.is_empty());
    assert!(received.error.as_ref().unwrap().starts_with(&message), "{message}");
    let agent = failure(1, "transport", &message, usage);
    stack.assert_stored(SESSION, "processing", total, agent).await;
}

#[tokio::test]
async fn a_connection_that_is_reset_half_way_is_an_error_and_keeps_its_tokens() {
    let stack = stack();
    let arrived = Arc::new(Notify::new());
    let wait = Arc::clone(&arrived);
    let url = raw_agent(move |mut connection| {
        let wait = Arc::clone(&wait);
        async move {
            connection.request().await;
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9999\r\n";
            connection.send(&format!("{head}\r\n{MESSAGE_START}")).await;
            // The usage that arrived before the connection broke is not lost.
            wait.notified().await;
            connection.reset();
        }
    })
    .await;
    let report = |bytes| {
        if bytes == MESSAGE_START.len() {
            arrived.notify_one();
        }
    };
    let received = break_both(&stack, &url, report).await;
    assert_eq!(received.body, MESSAGE_START.as_bytes());
    assert_broken(&stack, &received, tokens(25, 1), used(25, 1)).await;
}

#[tokio::test]
async fn a_chunked_stream_that_is_cut_keeps_its_tokens_and_is_an_error_of_the_transport() {
    let stack = stack();
    let url = raw_agent(|mut connection| async move {
        connection.request().await;
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        let chunk = format!("{:x}\r\n{MESSAGE_START}\r\n40\r\nevent: mess", MESSAGE_START.len());
        connection.send(&format!("{head}{chunk}")).await;
    })
    .await;
    let received = break_both(&stack, &url, |_| {}).await;
    assert_eq!(received.body, format!("{MESSAGE_START}event: mess").as_bytes());
    assert_broken(&stack, &received, tokens(25, 1), used(25, 1)).await;
}

#[tokio::test]
async fn a_body_shorter_than_its_length_is_an_error_of_the_transport() {
    let stack = stack();
    let url = raw_agent(|mut connection| async move {
        connection.request().await;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 5000\r\n";
        connection.send(&format!("{head}\r\n{ANSWER}")).await;
    })
    .await;
    let received = break_both(&stack, &url, |_| {}).await;
    assert_eq!(received.body, ANSWER.as_bytes());
    assert_broken(&stack, &received, tokens(1500, 500), used(1500, 500)).await;
}

#[tokio::test]
async fn an_agent_that_cannot_be_reached_is_an_error_of_the_transport() {
    let stack = stack();
    // Nothing listens on this port any more.
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/invocations?key=secret", listener.local_addr().unwrap());
    drop(listener);
    let expected = client().oneshot(plain_request(Method::POST, &url)).await.unwrap_err();
    let error = stack.client.clone().oneshot(request(&url)).await.unwrap_err();
    assert!(error.is_connect());
    assert_eq!(chain(&error), chain(&expected));
    let agent = failure(1, "transport", &error.to_string(), json!({}));
    stack.assert_stored(SESSION, "processing", nothing(), agent).await;
}

#[tokio::test]
async fn an_agent_that_closes_without_an_answer_is_an_error_of_the_transport() {
    let stack = stack();
    let url = raw_agent(|mut connection| async move { connection.request().await }).await;
    let expected = client().oneshot(plain_request(Method::POST, &url)).await.unwrap_err();
    let error = stack.client.clone().oneshot(request(&url)).await.unwrap_err();
    assert_eq!(chain(&error), chain(&expected));
    let agent = failure(1, "transport", &error.to_string(), json!({}));
    stack.assert_stored(SESSION, "processing", nothing(), agent).await;
}

const SOON: Duration = Duration::from_millis(20);

#[tokio::test]
async fn a_time_out_around_the_layer_cancels_the_call() {
    let stack = stack();
    let agent = MockAgent::start(|_| pending()).await;
    let error = Timeout::new(stack.client.clone(), SOON)
        .oneshot(request(&agent.url("/")))
        .await
        .unwrap_err();
    assert!(error.is::<tower::timeout::error::Elapsed>());
    let message = "the caller gave up before the agent answered";
    let agent = failure(1, "cancelled", message, json!({}));
    stack.assert_stored(SESSION, "processing", nothing(), agent).await;
}

#[tokio::test]
async fn a_time_out_inside_the_layer_is_the_calls_own_error() {
    let stack = stack();
    let agent = MockAgent::start(|_| pending()).await;
    let error = StatusLayer::new(&stack.tracker, AGENT)
        .layer(Timeout::new(client(), SOON))
        .oneshot(request(&agent.url("/")))
        .await
        .unwrap_err();
    assert!(error.is::<tower::timeout::error::Elapsed>());
    let agent = failure(1, "timeout", "request timed out", json!({}));
    stack.assert_stored(SESSION, "processing", nothing(), agent).await;
}

/// Retries, up to three attempts in all, while the answer asks for it.
#[derive(Clone)]
struct Again<F> {
    left: usize,
    unless: F,
}

impl<F, B, E> Policy<Request<Full<Bytes>>, Response<B>, E> for Again<F>
where
    F: Fn(&Response<B>) -> bool,
{
    type Future = std::future::Ready<()>;

    fn retry(
        &mut self,
        _: &mut Request<Full<Bytes>>,
        result: &mut Result<Response<B>, E>,
    ) -> Option<Self::Future> {
        let is_good = result.as_ref().is_ok_and(&self.unless);
        (!is_good && self.left > 0).then(|| {
            self.left -= 1;
            std::future::ready(())
        })
    }

    fn clone_request(&mut self, request: &Request<Full<Bytes>>) -> Option<Request<Full<Bytes>>> {
        Some(request.clone())
    }
}

/// An agent that fails this many times before it succeeds, and counts its calls.
async fn flaky_agent(
    failures: usize,
    status: u16,
    body: &'static str,
) -> (MockAgent, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let agent = MockAgent::start(move |_| {
        let fails = counted.fetch_add(1, Ordering::SeqCst) < failures;
        async move {
            if fails { answer(status, JSON, whole(body)) } else { answer(200, JSON, whole(ANSWER)) }
        }
    })
    .await;
    (agent, calls)
}

#[tokio::test]
async fn with_the_layer_inside_a_retry_every_attempt_is_a_call_and_its_tokens_count() {
    let stack = stack();
    let (agent, calls) = flaky_agent(2, 200, REFUSAL).await;
    // The failure is in the body, so the policy has to read it.
    let reading =
        stack.client.clone().and_then(|response: Response<StatusBody<Incoming>>| async move {
            let (head, body) = response.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok::<_, BoxError>(Response::from_parts(head, body))
        });
    let unless = |response: &Response<Bytes>| !response.body().starts_with(b"{\"success\": false");
    let response = Retry::new(Again { left: 2, unless }, reading)
        .oneshot(request(&agent.url("/invocations")))
        .await
        .unwrap();
    assert_eq!(*response.body(), ANSWER);
    assert_eq!(calls.load(Ordering::SeqCst), 3);
    // The last attempt decides the state, but the tokens of all attempts count.
    let (input, output) = (1500 + 2 * 900, 500 + 2 * 100);
    let agent = success(3, used(input, output));
    stack.assert_stored(SESSION, "processing", tokens(input, output), agent).await;
}

#[tokio::test]
async fn with_the_layer_inside_a_retry_that_gives_up_the_last_error_stays() {
    let stack = stack();
    let (agent, calls) = flaky_agent(9, 503, "{\"error\": \"busy\"}").await;
    let unless = |response: &Response<_>| response.status().is_success();
    let response = Retry::new(Again { left: 2, unless }, stack.client.clone())
        .oneshot(request(&agent.url("/invocations")))
        .await
        .unwrap();
    assert_eq!(receive(response).await.body, b"{\"error\": \"busy\"}");
    assert_eq!(calls.load(Ordering::SeqCst), 3);
    let agent = failure(3, "http_503", "busy", json!({}));
    stack.assert_stored(SESSION, "processing", nothing(), agent).await;
}

#[tokio::test]
async fn with_the_layer_around_a_retry_only_the_last_answer_is_seen() {
    let stack = stack();
    let (agent, calls) = flaky_agent(2, 503, REFUSAL).await;
    let unless = |response: &Response<_>| response.status().is_success();
    let response = StatusLayer::new(&stack.tracker, AGENT)
        .layer(Retry::new(Again { left: 2, unless }, client()))
        .oneshot(request(&agent.url("/invocations")))
        .await
        .unwrap();
    assert_eq!(receive(response).await.body, ANSWER.as_bytes());
    assert_eq!(calls.load(Ordering::SeqCst), 3);
    let agent = success(1, used(1500, 500));
    stack.assert_stored(SESSION, "processing", tokens(1500, 500), agent).await;
}

#[tokio::test]
async fn two_calls_at_once_are_one_group_that_fails_if_one_of_them_does() {
    let stack = stack();
    // The agent answers neither call before both have arrived.
    let both = Arc::new(Barrier::new(2));
    let agent = MockAgent::start(move |request: Request<_>| {
        let both = Arc::clone(&both);
        async move {
            both.wait().await;
            let body = if request.uri().path() == "/bad" { REFUSAL } else { ANSWER };
            answer(200, JSON, whole(body))
        }
    })
    .await;
    let call = |path| {
        let call = stack.client.clone().oneshot(request(&agent.url(path)));
        async { receive(call.await.unwrap()).await.body }
    };
    let (good, bad) = tokio::join!(call("/good"), call("/bad"));
    assert_eq!((&*good, &*bad), (ANSWER.as_bytes(), REFUSAL.as_bytes()));
    let failed = failure(2, "agent", "max iterations", used(2400, 600));
    stack.assert_stored(SESSION, "processing", tokens(2400, 600), failed).await;

    // Calls that start later do not inherit the error.
    tokio::join!(call("/good"), call("/good"));
    let succeeded = success(4, used(5400, 1600));
    stack.assert_stored(SESSION, "processing", tokens(5400, 1600), succeeded).await;
}

#[tokio::test]
async fn one_call_of_two_that_ends_leaves_the_agent_in_progress() {
    let stack = stack();
    let (agent, mut senders) = streaming_agent(false).await;
    let url = agent.url("/v1/messages");
    let mut bodies = Vec::new();
    for _ in 0..2 {
        let response = stack.client.clone().oneshot(request(&url)).await.unwrap();
        bodies.push((senders.recv().await.unwrap(), response.into_body()));
    }
    for (sender, body) in &mut bodies {
        send_and_receive(sender, body, MESSAGE_START).await;
    }
    let (sender, mut body) = bodies.pop().unwrap();
    send_and_receive(&sender, &mut body, MESSAGE_STOP).await;
    let running = in_progress(json!({"calls": 1, "tokenUsage": tokens(50, 2)}));
    stack.assert_stored(SESSION, "processing", tokens(50, 2), running).await;

    let (sender, mut body) = bodies.pop().unwrap();
    send_and_receive(&sender, &mut body, MESSAGE_STOP).await;
    let agent = success(2, used(50, 2));
    stack.assert_stored(SESSION, "processing", tokens(50, 2), agent).await;
}

#[tokio::test]
async fn two_workflows_at_once_do_not_see_each_other() {
    let stack = stack();
    let both = Arc::new(Barrier::new(2));
    let agent = MockAgent::start(move |request: Request<_>| {
        let both = Arc::clone(&both);
        async move {
            both.wait().await;
            let fails = request.uri().path() == "/bad";
            answer(200, JSON, whole(if fails { REFUSAL } else { ANSWER }))
        }
    })
    .await;
    let run = |session: &'static str, path: &str| {
        let request = plain_request(Method::POST, &agent.url(path));
        let call = stack.client.clone().oneshot(request);
        stack.tracker.workflow(session).run(async {
            let body = receive(call.await.unwrap()).await.body;
            if body == ANSWER.as_bytes() { Ok(()) } else { Err("extraction failed") }
        })
    };
    let (good, bad) = tokio::join!(run("s-good", "/good"), run("s-bad", "/bad"));
    assert_eq!((good, bad), (Ok(()), Err("extraction failed")));
    let agent = success(1, used(1500, 500));
    stack.assert_stored("s-good", "completed", tokens(1500, 500), agent).await;
    let agent = failure(1, "agent", "max iterations", used(900, 100));
    let attributes = json!({AGENT: agent, "error": "extraction failed"});
    stack.assert_item(expected_item("s-bad", "failed", tokens(900, 100), attributes)).await;
}

#[tokio::test]
async fn a_workflow_that_is_dropped_ends_its_call_as_cancelled_and_fails() {
    let stack = stack();
    let (agent, mut senders) = streaming_agent(false).await;
    let call = stack.client.clone().oneshot(plain_request(Method::POST, &agent.url("/")));
    {
        let run = stack.tracker.workflow(SESSION).run(async {
            let mut body = call.await.unwrap().into_body();
            while let Some(frame) = body.frame().await {
                frame.unwrap();
            }
            Ok::<_, BoxError>(())
        });
        let sent = async {
            let sender = senders.recv().await.unwrap();
            sender.send(data(MESSAGE_START)).await.unwrap();
            // Waits until the workflow has read it.
            while stack.agent().1.is_none() {
                tokio::task::yield_now().await;
            }
            sender
        };
        tokio::select! {
            _ = run => panic!("the agent has not answered yet"),
            _ = sent => {}
        }
    }
    let message = "the caller gave up before the answer was complete";
    let agent = failure(1, "cancelled", message, used(25, 1));
    let attributes = json!({AGENT: agent, "error": "the workflow was dropped before its end"});
    stack.assert_item(expected_item(SESSION, "failed", tokens(25, 1), attributes)).await;
}

#[tokio::test]
async fn a_call_that_outlives_its_workflow_adds_its_tokens_and_reopens_nothing() {
    let stack = stack();
    let (agent, mut senders) = streaming_agent(false).await;
    let workflow = stack.tracker.workflow(SESSION).start().unwrap();
    let response = stack.client.clone().oneshot(request(&agent.url("/"))).await.unwrap();
    let sender = senders.recv().await.unwrap();
    let mut body = response.into_body();
    send_and_receive(&sender, &mut body, MESSAGE_START).await;
    workflow.fail("took too long");
    let message = "the workflow ended while this agent was in progress";
    let agent = failure(1, "workflow_ended", message, used(25, 1));
    let mut attributes = json!({AGENT: agent, "error": "took too long"});
    // The call has not ended, so it is not counted yet.
    attributes[AGENT].as_object_mut().unwrap().remove("calls");
    stack.assert_item(expected_item(SESSION, "failed", tokens(25, 1), attributes)).await;

    for piece in [MESSAGE_DELTA, MESSAGE_STOP] {
        send_and_receive(&sender, &mut body, piece).await;
    }
    let agent = success(1, stopped("end_turn", used(25, 15)));
    let attributes = json!({AGENT: agent, "error": "took too long"});
    stack.assert_item(expected_item(SESSION, "failed", tokens(25, 15), attributes)).await;
}

#[tokio::test]
async fn a_call_without_a_session_is_passed_on_and_nothing_is_stored() {
    let stack = stack();
    let agent = agent_of(200, JSON, ANSWER).await;
    let request = plain_request(Method::POST, &agent.url("/invocations"));
    let received = receive(stack.client.clone().oneshot(request).await.unwrap()).await;
    assert_eq!(received.body, agent.take_sent());
    stack.tracker.flush().await.unwrap();
    assert_eq!(stack.store.recent(10).await.unwrap().items, []);
}

#[tokio::test]
async fn an_agent_that_was_not_called_stays_pending() {
    let stack = stack();
    let agent = agent_of(200, JSON, ANSWER).await;
    let client = StatusLayer::new(&stack.tracker, "tradeExtraction").layer(client());
    let response = client.oneshot(request(&agent.url("/invocations"))).await.unwrap();
    receive(response).await;
    let mut other = success(1, used(1500, 500));
    other["activity"] = "Complete".into();
    let attributes = json!({AGENT: waiting(), "tradeExtraction": other});
    stack.assert_item(expected_item(SESSION, "processing", tokens(1500, 500), attributes)).await;
}

#[tokio::test]
async fn a_body_read_to_its_length_and_dropped_is_a_success() {
    let stack = stack();
    let agent = agent_of(200, JSON, ANSWER).await;
    let response = stack.client.clone().oneshot(request(&agent.url("/"))).await.unwrap();
    let mut body = response.into_body();
    let mut received = Vec::new();
    // Reads only as many bytes as `content-length` announces.
    while received.len() < ANSWER.len() {
        assert!(!body.is_end_stream());
        let frame = body.frame().await.unwrap().unwrap();
        received.extend_from_slice(&frame.into_data().unwrap());
        let left = (ANSWER.len() - received.len()) as u64;
        assert_eq!(body.size_hint().exact(), Some(left));
    }
    assert!(body.is_end_stream());
    assert_eq!(stack.agent(), (AgentState::Success, Some(TokenUsage::new(1500, 500))));
    drop(body);
    assert_eq!(received, agent.take_sent());
    let agent = success(1, used(1500, 500));
    stack.assert_stored(SESSION, "processing", tokens(1500, 500), agent).await;
}

#[tokio::test]
async fn an_answer_without_a_body_is_a_success_though_nobody_polls_it() {
    for (method, status) in [(Method::HEAD, 200), (Method::GET, 204), (Method::GET, 304)] {
        let stack = stack();
        let agent = MockAgent::start(move |request: Request<_>| async move {
            let body = if request.method() == Method::HEAD { ANSWER } else { "" };
            answer(status, JSON, whole(body))
        })
        .await;
        let received = call_both(&stack, client(), &agent, method.clone()).await;
        assert_eq!(received.status, status);
        assert_eq!(received.body, b"");
        let has_length = received.headers.contains_key("content-length");
        assert_eq!(has_length, method == Method::HEAD, "the length that GET would have");

        let request = of_session(SESSION, plain_request(method, &agent.url("/")));
        let response = stack.client.clone().oneshot(request).await.unwrap();
        assert_eq!(stack.agent(), (AgentState::Success, None));
        drop(response);
        stack.assert_stored(SESSION, "processing", nothing(), success(2, json!({}))).await;
    }
}

#[tokio::test]
async fn an_answer_of_http2_comes_with_its_trailers() {
    let stack = stack_on(http2_client());
    let agent = MockAgent::start_http2(|_| async {
        let (sender, body) = piped();
        tokio::spawn(async move {
            for text in [&ANSWER[..40], &ANSWER[40..]] {
                sender.send(data(text)).await.unwrap();
            }
            sender.send(Frame::trailers(trailers())).await.unwrap();
        });
        answer(200, JSON, body)
    })
    .await;
    let received = call_both(&stack, http2_client(), &agent, Method::POST).await;
    assert_eq!(received.version, Version::HTTP_2);
    assert_eq!(received.body, ANSWER.as_bytes());
    assert_eq!(received.trailers, Some(trailers()));
    let agent = success(1, used(1500, 500));
    stack.assert_stored(SESSION, "processing", tokens(1500, 500), agent).await;
}

#[tokio::test]
async fn a_stream_of_http2_that_is_dropped_early_is_cancelled() {
    let stack = stack_on(http2_client());
    let (agent, mut senders) = streaming_agent(true).await;
    let response = stack.client.clone().oneshot(request(&agent.url("/"))).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    let sender = senders.recv().await.unwrap();
    let mut body = response.into_body();
    send_and_receive(&sender, &mut body, MESSAGE_START).await;
    drop(body);
    let message = "the caller gave up before the answer was complete";
    let agent = failure(1, "cancelled", message, used(25, 1));
    stack.assert_stored(SESSION, "processing", tokens(25, 1), agent).await;
    sender.closed().await;
}

#[tokio::test]
async fn a_compressed_answer_is_passed_on_compressed_and_read_on_the_side() {
    use std::io::Write as _;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(ANSWER.as_bytes()).unwrap();
    let compressed = Bytes::from(gzip.finish().unwrap());

    let stack = stack();
    let body = compressed.clone();
    let agent = MockAgent::start(move |_| {
        let mut response = answer(200, JSON, whole(body.clone()));
        response.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
        async { response }
    })
    .await;
    let received = call_both(&stack, client(), &agent, Method::POST).await;
    assert_eq!(received.body, compressed);
    assert_eq!(received.headers["content-encoding"], "gzip");
    let agent = success(1, used(1500, 500));
    stack.assert_stored(SESSION, "processing", tokens(1500, 500), agent).await;
}

#[tokio::test]
async fn a_request_reaches_the_agent_as_it_was_made() {
    let store = MemoryStore::new();
    let tracker = builder(store.clone()).start().unwrap();
    let mut client = StatusLayer::new(&tracker, AGENT).layer(client());
    let agent = MockAgent::start(|request: Request<Incoming>| async {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let mut names: Vec<_> = head.headers.keys().map(ToString::to_string).collect();
        names.sort();
        let seen = json!({
            "method": head.method.as_str(),
            "uri": head.uri.to_string(),
            "headers": names,
            "body": String::from_utf8_lossy(&body),
        });
        answer(200, JSON, whole(seen.to_string()))
    })
    .await;
    let mut request =
        Request::put(agent.url("/v1/x?key=secret")).header("authorization", "Bearer s");
    request = request.header("content-type", JSON);
    let request = of_session(SESSION, request.body(Full::from("{\"prompt\": 1}")).unwrap());
    client.ready().await.unwrap();
    let received = receive(client.call(request).await.unwrap()).await;
    let seen: Json = serde_json::from_slice(&received.body).unwrap();
    assert_eq!(
        seen,
        json!({
            "method": "PUT",
            "uri": "/v1/x?key=secret",
            "headers": ["authorization", "content-length", "content-type", "host"],
            "body": "{\"prompt\": 1}",
        })
    );
    // Nor is any of it stored.
    let item = stored(&tracker, &store, SESSION).await;
    assert_eq!(shape(&item)[AGENT], success(1, json!({})));
}
