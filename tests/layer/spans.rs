//! The span of a call: its fields, what happens inside it, and when it is closed.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Credentials, Region};
use aws_smithy_runtime_api::client::http::{
    HttpClient as _, HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use http::Request;
use http_body_util::BodyExt as _;
use tower::{Service as _, ServiceBuilder, ServiceExt as _};
use tower_agent_status::store::MemoryStore;
use tower_agent_status::{StatusLayer, StatusMiddleware, StatusService, StatusTracker, aws};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

use crate::support::agent::{MockAgent, whole};
use crate::support::spans::Spans;
use crate::support::timed::{FAILS, JSON, RESET, SSE, Timed};
use crate::support::{AGENT, SESSION, builder, id, of_session};

fn fields(fields: &[(&'static str, &str)]) -> BTreeMap<&'static str, String> {
    let start = [
        ("otel.name", "invoke_agent pdfAdapter"),
        ("otel.kind", "client"),
        ("gen_ai.operation.name", "invoke_agent"),
        ("gen_ai.agent.name", AGENT),
        ("gen_ai.conversation.id", SESSION),
        ("http.request.method", "POST"),
        ("server.address", "agents.example"),
        ("server.port", "443"),
    ];
    start.iter().chain(fields).map(|(name, value)| (*name, (*value).to_owned())).collect()
}

fn stack(agent: Timed) -> (StatusTracker, StatusService<Timed>) {
    let tracker = builder(MemoryStore::new()).start().unwrap();
    let service = ServiceBuilder::new().layer(StatusLayer::new(&tracker, AGENT)).service(agent);
    (tracker, service)
}

fn request() -> Request<()> {
    let uri = "https://agents.example/invocations?key=secret";
    of_session(SESSION, Request::post(uri).body(()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn the_span_lasts_to_the_end_of_the_body_and_has_the_clients_spans_inside() {
    let (spans, _listening) = Spans::listen();
    let (_tracker, service) = stack(JSON);
    let caller = tracing::info_span!("caller");
    let future = caller.in_scope(|| {
        let mut service = service;
        service.call(request())
    });
    assert_eq!(spans.call().fields, fields(&[]));
    let mut body = future.await.unwrap().into_body();
    assert_eq!(spans.call().fields, fields(&[("http.response.status_code", "200")]));
    body.frame().await.unwrap().unwrap();
    body.frame().await.unwrap().unwrap();
    assert!(!spans.call().is_closed, "the end of the body is not known yet");
    assert!(body.frame().await.is_none());
    let call = spans.call();
    assert!(call.is_closed, "the body has ended, though it is still held");
    let expected = [
        ("http.response.status_code", "200"),
        ("gen_ai.usage.input_tokens", "12"),
        ("gen_ai.usage.output_tokens", "2"),
        ("gen_ai.usage.cache_read.input_tokens", "3"),
        ("gen_ai.usage.cache_write.input_tokens", "4"),
        ("gen_ai.response.id", "msg"),
        ("gen_ai.provider.name", "anthropic"),
    ];
    assert_eq!(call.fields, fields(&expected));
    assert_eq!(call.parent, Some("caller"));
    assert_eq!((&*call.level, &*call.target), ("INFO", "tower_agent_status"));
    for (name, times) in [("in_call", 1), ("in_future", 1), ("in_body", 2)] {
        let inner = spans.by_name(name);
        assert_eq!(inner.len(), times, "{name}");
        assert!(inner.iter().all(|seen| seen.parent == Some("invoke_agent")), "{inner:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_stream_the_time_to_its_first_chunk_is_told_and_its_marker_ends_the_span() {
    let (spans, _listening) = Spans::listen();
    let (_tracker, service) = stack(SSE);
    let mut body = service.oneshot(request()).await.unwrap().into_body();
    for _ in SSE.pieces {
        assert!(!spans.call().is_closed);
        body.frame().await.unwrap().unwrap();
    }
    let mut call = spans.call();
    assert!(call.is_closed, "the stream's own end marker was read");
    let after: f64 =
        call.fields.remove("gen_ai.response.time_to_first_chunk").unwrap().parse().unwrap();
    assert!((3.0..3.01).contains(&after), "{after}");
    let expected = [
        ("http.response.status_code", "200"),
        ("gen_ai.usage.input_tokens", "9"),
        ("gen_ai.usage.output_tokens", "3"),
        ("gen_ai.usage.reasoning.output_tokens", "1"),
        ("gen_ai.provider.name", "openai"),
    ];
    assert_eq!(call.fields, fields(&expected));
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told() {
    let cases: [(Timed, &[(&'static str, &str)]); 2] = [
        (
            FAILS,
            &[
                ("http.response.status_code", "500"),
                ("error.type", "http_500"),
                ("otel.status_code", "ERROR"),
                ("otel.status_description", "out of patience"),
            ],
        ),
        (
            RESET,
            &[
                ("error.type", "transport"),
                ("otel.status_code", "ERROR"),
                ("otel.status_description", "connection reset"),
            ],
        ),
    ];
    for (agent, expected) in cases {
        let (spans, _listening) = Spans::listen();
        let (_tracker, service) = stack(agent);
        if let Ok(response) = service.oneshot(request()).await {
            response.into_body().collect().await.unwrap();
        }
        let call = spans.call();
        assert!(call.is_closed);
        assert_eq!(call.fields, fields(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_is_told_as_cancelled() {
    for waits in [Duration::from_secs(1), Duration::from_millis(3_500)] {
        let (spans, _listening) = Spans::listen();
        let (_tracker, service) = stack(JSON);
        let call = async { service.oneshot(request()).await.unwrap().collect().await };
        assert!(tokio::time::timeout(waits, call).await.is_err());
        let call = spans.call();
        assert!(call.is_closed);
        assert_eq!(call.fields["error.type"], "cancelled");
    }
}

#[tokio::test]
async fn a_call_that_is_lost_in_a_panic_is_told() {
    struct Unshown;

    impl fmt::Display for Unshown {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("an error that cannot be shown");
        }
    }

    let (spans, _listening) = Spans::listen();
    let tracker = builder(MemoryStore::new()).start().unwrap();
    let layer = StatusLayer::new(&tracker, AGENT);
    let fails = |_| async { Err::<http::Response<String>, _>(Unshown) };
    let service = ServiceBuilder::new().layer(layer).service_fn(fails);
    let call = tokio::spawn(async { service.oneshot(request()).await.is_ok() });
    assert!(call.await.unwrap_err().is_panic());
    let call = spans.call();
    assert!(call.is_closed);
    assert_eq!(call.fields["error.type"], "panic");
}

/// A subscriber that panics on every event of this kind.
#[derive(Clone, Copy, PartialEq)]
enum Panics {
    OnSpan,
    OnRecord,
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Panics {
    fn on_new_span(&self, _: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        assert!(*self != Self::OnSpan, "scripted panic of the subscriber");
    }

    fn on_record(&self, _: &Id, _: &Record<'_>, _: Context<'_, S>) {
        assert!(*self != Self::OnRecord, "scripted panic of the subscriber");
    }
}

/// The state of the agent after a call under this subscriber.
async fn state_after(panics: Panics) -> String {
    let subscriber = tracing_subscriber::registry().with(panics);
    let _listening = tracing::subscriber::set_default(subscriber);
    let (tracker, service) = stack(JSON);
    let call = async { service.oneshot(request()).await.unwrap().collect().await.is_ok() };
    assert!(tokio::spawn(call).await.unwrap_err().is_panic());
    let status = tracker.status(SESSION).unwrap();
    status.agent(AGENT).unwrap().state.to_string()
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_panics_again_and_again_is_told_nothing_more() {
    assert_eq!(state_after(Panics::OnRecord).await, "error");
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_panics_at_the_start_leaves_no_call_in_flight() {
    assert_eq!(state_after(Panics::OnSpan).await, "error");
}

#[tokio::test]
async fn a_subscriber_that_panics_at_the_start_of_a_workflow_ends_it() {
    let tracker = builder(MemoryStore::new()).start().unwrap();
    let starting = tracker.clone();
    let started = std::thread::spawn(move || {
        let subscriber = tracing_subscriber::registry().with(Panics::OnSpan);
        let _listening = tracing::subscriber::set_default(subscriber);
        starting.workflow(SESSION).start().is_ok()
    });
    started.join().unwrap_err();
    let status = tracker.status(SESSION).unwrap();
    assert_eq!(status.error.unwrap().as_str(), "the workflow panicked");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_tracked_has_no_span_and_nested_layers_have_one() {
    let (spans, _listening) = Spans::listen();
    let (tracker, service) = stack(JSON);
    let bare = Request::post("https://agents.example/").body(()).unwrap();
    service.clone().oneshot(bare).await.unwrap().collect().await.unwrap();
    assert_eq!(spans.by_name("invoke_agent").len(), 0);

    let nested = ServiceBuilder::new().layer(StatusLayer::new(&tracker, AGENT)).service(service);
    nested.oneshot(request()).await.unwrap().collect().await.unwrap();
    spans.call();
}

#[tokio::test]
async fn a_reqwest_client_has_the_same_span() {
    struct Inner;

    #[async_trait::async_trait]
    impl reqwest_middleware::Middleware for Inner {
        async fn handle(
            &self,
            request: reqwest::Request,
            extensions: &mut http::Extensions,
            next: reqwest_middleware::Next<'_>,
        ) -> reqwest_middleware::Result<reqwest::Response> {
            tracing::info_span!("in_middleware").in_scope(|| {});
            let response = next.run(request, extensions).await;
            tracing::info_span!("in_middleware").in_scope(|| {});
            response
        }
    }

    let agent = MockAgent::start(|_| async { http::Response::new(whole("{}")) }).await;
    let (spans, _listening) = Spans::listen();
    let tracker = builder(MemoryStore::new()).start().unwrap();
    let client = || reqwest_middleware::ClientBuilder::new(reqwest::Client::new());
    let check = async |response: reqwest::Response| {
        assert!(!spans.call().is_closed);
        response.bytes().await.unwrap();
        let call = spans.call();
        assert!(call.is_closed);
        assert_eq!(call.fields["http.response.status_code"], "200");
        assert_eq!(call.fields["server.address"], "127.0.0.1");
        let inner = spans.by_name("in_middleware");
        assert_eq!(inner.len(), 2);
        assert!(inner.iter().all(|seen| seen.parent == Some("invoke_agent")), "{inner:?}");
        spans.0.lock().unwrap().clear();
    };
    let as_middleware = client().with(StatusMiddleware::new(&tracker, AGENT)).with(Inner).build();
    let request = as_middleware.get(agent.url("/")).with_extension(id(SESSION));
    check(request.send().await.unwrap()).await;

    let layer = StatusLayer::new(&tracker, AGENT);
    let as_service = ServiceBuilder::new().layer(layer).service(client().with(Inner).build());
    let request = reqwest::Request::new(http::Method::GET, agent.url("/").parse().unwrap());
    check(id(SESSION).scope(as_service.oneshot(request)).await.unwrap()).await;
}

#[tokio::test]
async fn an_aws_sdk_client_has_the_same_span() {
    #[derive(Debug)]
    struct Inner(SharedHttpConnector);

    impl HttpConnector for Inner {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            tracing::info_span!("in_connector").in_scope(|| {});
            let response = self.0.call(request);
            HttpConnectorFuture::new(async move {
                let response = response.await;
                tracing::info_span!("in_connector").in_scope(|| {});
                response
            })
        }
    }

    let agent = MockAgent::start(|_| async { http::Response::new(whole("{}")) }).await;
    let (spans, _listening) = Spans::listen();
    let tracker = builder(MemoryStore::new()).start().unwrap();
    let inner = http_client_fn(|settings, components| {
        let inner = aws::default_http_client().http_connector(settings, components);
        SharedHttpConnector::new(Inner(inner))
    });
    let layer = StatusLayer::new(&tracker, AGENT);
    let http_client = ServiceBuilder::new().layer(layer).service(inner);
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("x", "x", None, None, "tests"))
        .endpoint_url(agent.url(""))
        .http_client(http_client);
    let client = Client::from_conf(config.build());
    id(SESSION).scope(client.list_tables().send()).await.unwrap();
    let call = spans.call();
    assert!(call.is_closed);
    assert_eq!(call.fields["http.response.status_code"], "200");
    assert_eq!(call.fields["server.address"], "127.0.0.1");
    let inner = spans.by_name("in_connector");
    assert_eq!(inner.len(), 2);
    assert!(inner.iter().all(|seen| seen.parent == Some("invoke_agent")), "{inner:?}");
}
