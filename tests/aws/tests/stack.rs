//! What the layer leaves unchanged between the SDK and its HTTP client, and where it finds
//! the session.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use aws_clients::clients::{AGENT, Clients, SESSION, describe, http_client, layer, tracker};
use aws_clients::in_memory::{Frames, InMemory, Marker};
use aws_clients::service::{Answer, Service};
use aws_sdk_bedrockagentcore::operation::invoke_agent_runtime::builders::InvokeAgentRuntimeFluentBuilder;
use aws_sdk_bedrockagentcore::primitives::Blob;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::ErrorKind;
use aws_smithy_types::timeout::TimeoutConfig;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use tower_agent_status::status::{AgentState, AgentStatus};
use tower_agent_status::store::MemoryStore;
use tower_agent_status::{Agent, Layer, SessionId, StatusLayer, StatusTracker, Target, aws};

const ARN: &str = "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/pdf-x1";
const ANSWER: &str = r#"{"success": true, "token_usage": {"input_tokens": 30, "output_tokens": 12, "total_tokens": 42}}"#;

fn ask(clients: &Clients) -> InvokeAgentRuntimeFluentBuilder {
    clients
        .agentcore
        .invoke_agent_runtime()
        .agent_runtime_arn(ARN)
        .runtime_session_id("c0ffee00-0000-4000-8000-000000000000-0")
        .payload(Blob::new("{}"))
}

fn session() -> SessionId {
    SessionId::new(SESSION).unwrap()
}

fn untimed() -> TimeoutConfig {
    TimeoutConfig::disabled()
}

/// Clients over an in-memory HTTP client, without the layer and with it.
fn both(inner: &InMemory, tracker: &StatusTracker) -> [Clients; 2] {
    [bare(inner), tracked(inner, tracker)]
}

fn bare(inner: &InMemory) -> Clients {
    let client = SharedHttpClient::new(inner.clone());
    Clients::new("http://service.test", &client, &untimed())
}

fn tracked(inner: &InMemory, tracker: &StatusTracker) -> Clients {
    let client = SharedHttpClient::new(layer(tracker).layer(inner.clone()));
    Clients::new("http://service.test", &client, &untimed())
}

async fn stored(tracker: &StatusTracker, store: &MemoryStore) -> AgentStatus {
    tracker.flush().await.unwrap();
    store.status(SESSION).unwrap().agent(AGENT).unwrap().clone()
}

fn response(body: SdkBody) -> HttpResponse {
    let response = http::Response::builder().status(200).header("content-type", "application/json");
    response.body(body).unwrap().try_into().unwrap()
}

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([(HeaderName::from_static("x-checksum"), HeaderValue::from_static("abc"))])
}

/// Everything that can be observed of a body while it is read.
async fn seen_of(body: SdkBody) -> Vec<String> {
    let properties = |body: &SdkBody| {
        let hint = body.size_hint();
        format!(
            "length {:?}, {}..{:?}, end {}, streaming {}, again {}, bytes {:?}",
            body.content_length(),
            hint.lower(),
            hint.upper(),
            body.is_end_stream(),
            body.is_streaming(),
            body.try_clone().is_some(),
            body.bytes(),
        )
    };
    let mut body = pin!(body);
    let mut seen = vec![properties(&body)];
    loop {
        match body.frame().await {
            Some(Ok(frame)) => seen.push(format!("{frame:?}")),
            Some(Err(error)) => {
                seen.push(error.to_string());
                return seen;
            }
            None => {
                seen.push("end".to_owned());
                return seen;
            }
        }
        seen.push(properties(&body));
    }
}

#[tokio::test]
async fn a_body_keeps_its_frames_its_trailers_and_all_that_it_tells_of_itself() {
    let (one, two) = ANSWER.split_at(40);
    let data = |text: &'static str| Ok(Frame::data(Bytes::from_static(text.as_bytes())));
    let streamed = move |knows_length: bool, last: Option<Result<Frame<Bytes>, &'static str>>| {
        let frames = [data(one), data(""), data(two)].into_iter().chain(last).collect();
        SdkBody::from_body_1_x(Frames { frames, knows_length })
    };
    let empty = || SdkBody::from_body_1_x(Frames { frames: [].into(), knows_length: true });
    let again = move || SdkBody::retryable(move || streamed(true, None));
    type MakeBody = Box<dyn Fn() -> SdkBody + Send + Sync>;
    let rows: [(MakeBody, AgentState); 9] = [
        (Box::new(move || streamed(true, None)), AgentState::Success),
        (Box::new(move || streamed(false, None)), AgentState::Success),
        (
            Box::new(move || streamed(true, Some(Ok(Frame::trailers(trailers()))))),
            AgentState::Success,
        ),
        (
            Box::new(move || streamed(false, Some(Ok(Frame::trailers(trailers()))))),
            AgentState::Success,
        ),
        (Box::new(move || streamed(false, Some(Err("the cable was cut")))), AgentState::Error),
        (Box::new(|| SdkBody::from(ANSWER)), AgentState::Success),
        // An agent that answers nothing has failed, though its body is whole.
        (Box::new(SdkBody::empty), AgentState::Error),
        (Box::new(empty), AgentState::Error),
        (Box::new(again), AgentState::Success),
    ];
    for (number, (body, state)) in rows.into_iter().enumerate() {
        let inner = InMemory::new(move || Some(Ok(response(body()))));
        let (tracker, store) = tracker();
        let [bare, tracked] = both(&inner, &tracker);
        let bare = ask(&bare).send().await.unwrap().response.into_inner();
        let tracked = session().scope(ask(&tracked).send()).await.unwrap();
        let tracked = tracked.response.into_inner();
        // Bodies that can be cloned must also have equal clones.
        let again = [bare.try_clone(), tracked.try_clone()];
        assert_eq!(seen_of(tracked).await, seen_of(bare).await, "row {number}");
        if let [Some(bare), Some(tracked)] = again {
            assert_eq!(seen_of(tracked).await, seen_of(bare).await, "row {number}");
        }
        let agent = stored(&tracker, &store).await;
        assert_eq!((agent.state, agent.calls), (state, 1), "row {number}");
    }
}

#[tokio::test]
async fn a_body_that_nobody_reads_ends_as_what_it_is() {
    let data = || Frame::data(Bytes::from_static(ANSWER.as_bytes()));
    let streamed =
        move || SdkBody::from_body_1_x(Frames { frames: [Ok(data())].into(), knows_length: true });
    let empty = || SdkBody::from_body_1_x(Frames { frames: [].into(), knows_length: true });
    type MakeBody = Box<dyn Fn() -> SdkBody + Send + Sync>;
    let rows: [(MakeBody, AgentState, Option<u64>); 3] = [
        (Box::new(streamed), AgentState::Error, None),
        (Box::new(empty), AgentState::Error, None),
        // A body in memory is complete from the start, and its usage is known.
        (Box::new(|| SdkBody::from(ANSWER)), AgentState::Success, Some(42)),
    ];
    for (body, state, tokens) in rows {
        let inner = InMemory::new(move || Some(Ok(response(body()))));
        let (tracker, store) = tracker();
        drop(session().scope(ask(&tracked(&inner, &tracker)).send()).await.unwrap());
        let agent = stored(&tracker, &store).await;
        assert_eq!(agent.state, state);
        assert_eq!(agent.token_usage().and_then(|usage| usage.total_tokens), tokens);
    }
}

#[tokio::test]
async fn an_error_keeps_its_kind_and_tells_its_causes() {
    #[derive(Debug)]
    struct Cut(std::io::Error);
    impl std::fmt::Display for Cut {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("the cable was cut")
        }
    }
    impl std::error::Error for Cut {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    let cut = || {
        let url = "no way to http://user:password@service.test/runtimes?key=secret";
        Box::new(Cut(std::io::Error::other(url)))
    };
    type MakeError = Box<dyn Fn() -> ConnectorError + Send + Sync>;
    let rows: [(MakeError, &str, &str); 5] = [
        (Box::new(move || ConnectorError::timeout(cut())), "timeout", "timeout: the cable was cut"),
        (Box::new(move || ConnectorError::io(cut())), "transport", "io error: the cable was cut"),
        (Box::new(move || ConnectorError::user(cut())), "transport", "user error: "),
        (Box::new(move || ConnectorError::other(cut(), None)), "transport", "other: "),
        (
            Box::new(move || ConnectorError::other(cut(), Some(ErrorKind::ServerError))),
            "transport",
            "other: the cable was cut: no way to http://service.test/runtimes",
        ),
    ];
    for (error, class, message) in rows {
        let inner = InMemory::new(move || Some(Err(error())));
        let (tracker, store) = tracker();
        let [bare, tracked] = both(&inner, &tracker);
        let bare = ask(&bare).send().await.unwrap_err();
        let tracked = session().scope(ask(&tracked).send()).await.unwrap_err();
        assert_eq!(describe(&tracked), describe(&bare));
        let error = stored(&tracker, &store).await.error.unwrap();
        assert_eq!(error.class, class);
        let text = error.message.as_str();
        assert!(text.contains(message), "{text}");
        for secret in ["secret", "password", "user:", "key="] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[tokio::test]
async fn the_clients_own_questions_are_passed_on() {
    let service = Service::start(vec![Answer::json(200, ANSWER)]).await;
    let inner = InMemory::new(|| Some(Ok(response(SdkBody::from(ANSWER)))));
    let (tracker, store) = tracker();
    let validated = || inner.validated.swap(0, Ordering::SeqCst);
    let (bare, of_bare) = (bare(&inner), validated());
    let (tracked, of_tracked) = (tracked(&inner, &tracker), validated());
    assert!(of_bare > 0);
    assert_eq!(of_tracked, of_bare);
    ask(&bare).send().await.unwrap();
    let of_bare = validated();
    assert!(of_bare >= 1000);
    session().scope(ask(&tracked).send()).await.unwrap();
    assert_eq!(validated(), of_bare);

    // The SDK names its connector in a header.
    let tracked = SharedHttpClient::new(layer(&tracker).layer(http_client()));
    for client in [http_client(), tracked] {
        let clients = Clients::new(&service.url(), &client, &untimed());
        session().scope(ask(&clients).send()).await.unwrap();
    }
    let agents: Vec<_> =
        service.asked().iter().map(|asked| asked.headers["user-agent"].clone()).collect();
    assert!(agents[0].to_str().unwrap().contains("md/http#"), "{agents:?}");
    assert_eq!(agents[0], agents[1]);
    assert_eq!(stored(&tracker, &store).await.calls, 2);
}

#[tokio::test]
async fn extensions_of_the_request_and_of_the_response_pass() {
    let inner = InMemory::new(|| {
        let mut response = response(SdkBody::from(ANSWER));
        response.add_extension(Marker("response"));
        Some(Ok(response))
    });
    let (tracker, _store) = tracker();
    for clients in both(&inner, &tracker) {
        let asked = ask(&clients).customize();
        let asked = asked.mutate_request(|request| request.add_extension(Marker("request")));
        session().scope(asked.send()).await.unwrap();
    }
    let marker = Some(Marker("request"));
    assert_eq!(*inner.seen.lock().unwrap(), [marker.clone(), marker]);
}

#[tokio::test]
async fn an_operation_names_its_session_for_each_of_its_attempts() {
    let throttled = Answer::error(429, "ThrottlingException", "Too many requests");
    let service = Service::start(vec![throttled, Answer::json(200, ANSWER)]).await;
    let (tracker, store) = tracker();
    let tracked = SharedHttpClient::new(layer(&tracker).layer(http_client()));
    let clients = Clients::new(&service.url(), &tracked, &untimed());
    let session = session();
    let asked = ask(&clients).customize();
    let asked = asked.mutate_request(move |request| request.add_extension(session.clone()));
    // The extension overrides the scope around the call.
    let other = SessionId::new("another").unwrap();
    let output = other.scope(asked.send()).await.unwrap();
    output.response.collect().await.unwrap();
    let agent = stored(&tracker, &store).await;
    assert_eq!((agent.state, agent.calls), (AgentState::Success, 2));
    assert!(store.status("another").is_none());
}

#[tokio::test]
async fn a_header_or_a_closure_names_the_session() {
    let name = HeaderName::from_static("x-amzn-bedrock-agentcore-runtime-session-id");
    let (tracker, store) = tracker();
    let by_header = layer(&tracker).session_header_with(name, |id| {
        assert_eq!(id, "c0ffee00-0000-4000-8000-000000000000-0");
        SESSION.to_owned()
    });
    let by_closure = layer(&tracker).session_from(|head| {
        assert_eq!((head.method.as_str(), head.host), ("POST", Some("127.0.0.1")));
        assert!(head.path.starts_with("/runtimes/arn"), "{}", head.path);
        assert!(head.path.ends_with("/invocations"), "{}", head.path);
        assert_eq!(head.headers["content-type"], "application/octet-stream");
        Some(SESSION.to_owned())
    });
    let service = Service::start(vec![Answer::json(200, ANSWER)]).await;
    for layer in [by_header, by_closure] {
        let client = SharedHttpClient::new(layer.layer(http_client()));
        let clients = Clients::new(&service.url(), &client, &untimed());
        ask(&clients).send().await.unwrap().response.collect().await.unwrap();
    }
    assert_eq!(stored(&tracker, &store).await.calls, 2);
}

#[tokio::test]
async fn one_client_calls_several_agents() {
    let service = Service::start(vec![Answer::json(200, ANSWER)]).await;
    let (tracker, store) = tracker();
    let layer = StatusLayer::per_request(&tracker).agent_for(Target::agent_runtime(ARN), AGENT);
    let tracked = SharedHttpClient::new(layer.layer(http_client()));
    let clients = Clients::new(&service.url(), &tracked, &untimed());
    session().scope(ask(&clients).send()).await.unwrap().response.collect().await.unwrap();
    let other = || {
        ask(&clients)
            .agent_runtime_arn("arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/x")
    };
    // No agent matches this runtime.
    session().scope(other().send()).await.unwrap().response.collect().await.unwrap();
    let named = other().customize();
    let named = named.mutate_request(|request| request.add_extension(Agent::new("matching")));
    session().scope(named.send()).await.unwrap().response.collect().await.unwrap();
    assert_eq!(stored(&tracker, &store).await.calls, 1);
    assert_eq!(store.status(SESSION).unwrap().agent("matching").unwrap().calls, 1);
}

#[tokio::test]
async fn without_a_session_nothing_is_recorded() {
    let service = Service::start(vec![Answer::json(200, ANSWER)]).await;
    let (tracker, store) = tracker();
    let tracked = SharedHttpClient::new(layer(&tracker).layer(http_client()));
    let clients = Clients::new(&service.url(), &tracked, &untimed());
    let output = ask(&clients).send().await.unwrap();
    assert_eq!(output.response.collect().await.unwrap().to_vec(), ANSWER.as_bytes());
    tracker.flush().await.unwrap();
    assert!(store.history().is_empty());
}

#[tokio::test]
async fn of_nested_layers_of_one_tracker_the_outermost_owns_the_call() {
    let service = Service::start(vec![Answer::json(200, ANSWER)]).await;
    let (tracker, store) = tracker();
    let inner = StatusLayer::new(&tracker, "another").layer(http_client());
    let nested = SharedHttpClient::new(layer(&tracker).layer(inner));
    let clients = Clients::new(&service.url(), &nested, &untimed());
    let output = session().scope(ask(&clients).send()).await.unwrap();
    output.response.collect().await.unwrap();
    assert_eq!(stored(&tracker, &store).await.calls, 1);
    assert_eq!(store.status(SESSION).unwrap().agent("another").unwrap().calls, 0);
}

#[tokio::test]
async fn a_body_that_is_read_after_the_scope_still_counts() {
    let service = Service::start(vec![Answer::json(200, ANSWER)]).await;
    let (tracker, store) = tracker();
    let tracked = SharedHttpClient::new(layer(&tracker).layer(http_client()));
    let clients = Clients::new(&service.url(), &tracked, &untimed());
    let output = session().scope(ask(&clients).send()).await.unwrap();
    let read = tokio::spawn(output.response.collect());
    read.await.unwrap().unwrap();
    let agent = stored(&tracker, &store).await;
    assert_eq!(agent.state, AgentState::Success);
    assert_eq!(agent.token_usage().unwrap().total_tokens, Some(42));
}

#[tokio::test(start_paused = true)]
async fn a_time_out_of_the_sdk_itself_is_cancelled() {
    let inner = InMemory::new(|| None);
    let (tracker, store) = tracker();
    let second = Duration::from_secs(1);
    for (timeouts, calls) in [
        (TimeoutConfig::builder().operation_attempt_timeout(second).build(), 3),
        (TimeoutConfig::builder().operation_timeout(second).build(), 4),
    ] {
        let tracked = SharedHttpClient::new(layer(&tracker).layer(inner.clone()));
        let clients = Clients::new("http://service.test", &tracked, &timeouts);
        let error = session().scope(ask(&clients).send()).await.unwrap_err();
        assert!(describe(&error).starts_with("time-out"), "{}", describe(&error));
        let agent = stored(&tracker, &store).await;
        assert_eq!((&*agent.error.unwrap().class, agent.calls), ("cancelled", calls));
    }
}

#[tokio::test]
async fn a_call_that_was_not_polled_and_a_panic_are_told_too() {
    let (tracker, store) = tracker();
    let inner = InMemory::new(|| panic!("scripted panic of the connector"));
    let [_, tracked] = both(&inner, &tracker);
    let call = tokio::spawn(session().scope(async move { ask(&tracked).send().await }));
    assert!(call.await.unwrap_err().is_panic());
    let agent = stored(&tracker, &store).await;
    assert_eq!(agent.error.unwrap().class, "panic");

    let inner = InMemory::new(|| None);
    let [_, tracked] = both(&inner, &tracker);
    let mut call = Box::pin(session().scope(ask(&tracked).send()));
    std::future::poll_fn(|cx| {
        assert!(call.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
    drop(call);
    let agent = stored(&tracker, &store).await;
    assert_eq!((&*agent.error.unwrap().class, agent.calls), ("cancelled", 2));
}

#[test]
#[should_panic(expected = "turn on the feature `default-https-client`")]
fn a_build_without_a_default_client_is_told_so() {
    // This package is built without that feature.
    drop(aws::default_http_client());
}
