//! A call that passes untracked leaves one `trace!` event with the reason.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Credentials, Region};
use http::{HeaderName, HeaderValue, Request, Response};
use tower::{ServiceExt as _, service_fn};
use tower_agent_status::store::MemoryStore;
use tower_agent_status::{
    Agent, Layer as _, StatusLayer, StatusMiddleware, StatusTracker, Workflow, aws,
};
use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

use crate::support::agent::{MockAgent, whole};
use crate::support::{AGENT, SESSION, builder, id, of_session};

const ID: HeaderName = HeaderName::from_static("x-session");

/// The reasons that were given on this thread.
#[derive(Clone, Default)]
struct Reasons(Arc<Mutex<Vec<String>>>);

impl Reasons {
    fn listen() -> (Self, DefaultGuard) {
        let reasons = Self::default();
        let subscriber = tracing_subscriber::registry().with(reasons.clone());
        (reasons, tracing::subscriber::set_default(subscriber))
    }

    /// Those since the last time.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl<S: tracing::Subscriber> Layer<S> for Reasons {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        if fields.message == "call passes untracked" {
            assert_eq!(*event.metadata().level(), Level::TRACE);
            assert_eq!(event.metadata().target(), "tower_agent_status");
            self.0.lock().unwrap().push(fields.reason);
        }
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    reason: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "reason" {
            value.clone_into(&mut self.reason);
        }
    }
}

fn tracker() -> StatusTracker {
    builder(MemoryStore::new()).start().unwrap()
}

fn bare() -> Request<()> {
    Request::new(())
}

fn of_s() -> Request<()> {
    of_session(SESSION, bare())
}

/// Calls an agent that answers at once.
async fn call(layer: &StatusLayer, request: Request<()>) {
    let agent = service_fn(|_: Request<()>| async {
        Ok::<_, Infallible>(Response::new("{\"success\":true}".to_owned()))
    });
    let response = layer.layer(agent).oneshot(request).await.unwrap();
    assert_eq!(response.into_body().get_ref(), "{\"success\":true}");
}

#[tokio::test]
async fn a_tracked_call_gives_no_reason() {
    let (reasons, _listening) = Reasons::listen();
    let tracker = tracker();
    call(&StatusLayer::new(&tracker, AGENT), of_s()).await;
    assert!(tracker.status(SESSION).is_some());
    assert!(reasons.take().is_empty());
}

#[tokio::test]
async fn a_disabled_layer() {
    let (reasons, _listening) = Reasons::listen();
    call(&StatusLayer::disabled(), of_s()).await;
    assert_eq!(reasons.take(), ["the layer is disabled"]);
}

#[tokio::test]
async fn a_request_without_a_session() {
    let (reasons, _listening) = Reasons::listen();
    let layer = StatusLayer::new(&tracker(), AGENT);
    let by_header = layer.clone().session_header(ID);
    for layer in [layer.clone(), by_header.clone(), layer.session_from(|_| None)] {
        call(&layer, bare()).await;
        assert_eq!(reasons.take(), ["no session"]);
    }
    let mut blank = bare();
    blank.headers_mut().insert(ID, HeaderValue::from_static(" "));
    call(&by_header, blank).await;
    assert_eq!(reasons.take(), ["no session"]);
}

#[tokio::test]
async fn a_session_id_that_cannot_be_one() {
    let (reasons, _listening) = Reasons::listen();
    let layer = StatusLayer::new(&tracker(), AGENT).session_header(ID);
    // A warning is logged the first time only.
    for _ in 0..2 {
        let mut request = bare();
        request.headers_mut().insert(ID, HeaderValue::from_str(&"x".repeat(2049)).unwrap());
        call(&layer, request).await;
        assert_eq!(reasons.take(), ["invalid session id"]);
    }
}

#[tokio::test]
async fn a_request_without_an_agent() {
    let (reasons, _listening) = Reasons::listen();
    let layer = StatusLayer::per_request(&tracker());
    call(&layer, of_s()).await;
    assert_eq!(reasons.take(), ["no agent"]);
}

#[tokio::test]
async fn an_agents_name_that_cannot_be_one() {
    let (reasons, _listening) = Reasons::listen();
    let layer = StatusLayer::per_request(&tracker()).agent_from(|_| Some(String::new()));
    for _ in 0..2 {
        call(&layer, of_s()).await;
        assert_eq!(reasons.take(), ["invalid agent name"]);
    }
}

#[tokio::test]
async fn a_layer_around_that_tracks_the_call() {
    let (reasons, _listening) = Reasons::listen();
    let layer = StatusLayer::new(&tracker(), AGENT);
    let agent = service_fn(|_: Request<()>| async {
        Ok::<_, Infallible>(Response::new("{\"success\":true}".to_owned()))
    });
    let nested = layer.layer(layer.layer(layer.layer(agent)));
    nested.oneshot(of_s()).await.unwrap();
    assert_eq!(reasons.take(), ["tracked by an outer layer"; 2]);
}

#[tokio::test]
async fn no_room_for_its_session() {
    let (reasons, _listening) = Reasons::listen();
    let tracker = builder(MemoryStore::new()).max_sessions(1).start().unwrap();
    let _live: Workflow = tracker.workflow(id("live")).start().unwrap();
    let layer = StatusLayer::new(&tracker, AGENT);
    call(&layer, of_s()).await;
    let reason = "no room for its session, or the tracker was shut down";
    assert_eq!(reasons.take(), [reason]);
    // The same for a session from a scope or from the head.
    id("scope").scope(call(&layer, bare())).await;
    assert_eq!(reasons.take(), [reason]);
    call(&layer.clone().session_from(|_| Some("head".to_owned())), bare()).await;
    assert_eq!(reasons.take(), [reason]);
    call(&layer, of_session("live", bare())).await;
    assert!(reasons.take().is_empty());
}

#[tokio::test]
async fn a_tracker_that_was_shut_down() {
    let (reasons, _listening) = Reasons::listen();
    let tracker = tracker();
    let layer = StatusLayer::new(&tracker, AGENT);
    tracker.shutdown(Duration::from_secs(5)).await.unwrap();
    call(&layer, of_s()).await;
    assert_eq!(reasons.take(), ["no room for its session, or the tracker was shut down"]);
}

#[tokio::test]
async fn no_room_for_one_more_agent() {
    let (reasons, _listening) = Reasons::listen();
    let layer = StatusLayer::per_request(&tracker());
    let of_agent = |name: &str| {
        let mut request = of_s();
        request.extensions_mut().insert(Agent::new(name));
        request
    };
    // One of them is the tracker's own.
    for n in 1..StatusTracker::MAX_AGENTS {
        call(&layer, of_agent(&format!("agent-{n}"))).await;
    }
    assert!(reasons.take().is_empty());
    call(&layer, of_agent("one-more")).await;
    assert_eq!(reasons.take(), ["its session has no room for another agent"]);
    call(&layer, of_agent("agent-1")).await;
    assert!(reasons.take().is_empty());
}

#[tokio::test]
async fn every_kind_of_client_gives_it_once_a_call() {
    let agent = MockAgent::start(|_| async { Response::new(whole("{}")) }).await;
    let (reasons, _listening) = Reasons::listen();
    let layer = StatusLayer::new(&tracker(), AGENT);
    let no_session = ["no session"];

    let hyper = layer.layer(crate::support::agent::client());
    let request = Request::get(agent.url("/")).body(http_body_util::Full::default()).unwrap();
    hyper.oneshot(request).await.unwrap();
    assert_eq!(reasons.take(), no_session);

    let request = reqwest::Request::new(http::Method::GET, agent.url("/").parse().unwrap());
    layer.layer(reqwest::Client::new()).oneshot(request).await.unwrap();
    assert_eq!(reasons.take(), no_session);

    let middleware = reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
        .with(StatusMiddleware::from(layer.clone()))
        .build();
    middleware.get(agent.url("/")).send().await.unwrap();
    assert_eq!(reasons.take(), no_session);

    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("x", "x", None, None, "tests"))
        .endpoint_url(agent.url(""))
        .http_client(layer.layer(aws::default_http_client()));
    Client::from_conf(config.build()).list_tables().send().await.unwrap();
    assert_eq!(reasons.take(), no_session);
}
