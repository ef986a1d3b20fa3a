//! The session that a call belongs to.

use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, Mutex};

use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use tower::{Layer, Service, ServiceExt as _, service_fn};
use tower_agent_status::status::{AgentState, OverallStatus, TokenUsage};
use tower_agent_status::store::MemoryStore;
use tower_agent_status::{SessionId, StatusLayer, StatusTracker};

use crate::support::{
    AGENT, assert_contract_of_history, builder, id, of_session, stored, ticking_clock,
};
use crate::warnings::Warnings;

const ID: HeaderName = HeaderName::from_static("x-correlation-id");
const BODY: &str = "{\"success\": true, \"token_usage\": {\"input_tokens\": 3, \"output_tokens\": 4, \"total_tokens\": 7}}";

/// The number of extensions of each request that reaches the agent.
type Seen = Arc<Mutex<Vec<usize>>>;

/// An agent that answers at once and records the requests.
fn agent(
    seen: &Seen,
) -> impl Service<Request<()>, Response = Response<String>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    let seen = Arc::clone(seen);
    service_fn(move |request: Request<()>| {
        seen.lock().unwrap().push(request.extensions().len());
        let response = Response::builder().header("content-type", "application/json");
        std::future::ready(Ok(response.body(BODY.to_owned()).unwrap()))
    })
}

fn tracker() -> (StatusTracker, MemoryStore) {
    let store = MemoryStore::new();
    (builder(store.clone()).clock(ticking_clock()).start().unwrap(), store)
}

/// Calls the agent through the layer and reads the whole answer.
async fn call(layer: &StatusLayer, request: Request<()>) -> String {
    read(layer.layer(agent(&Seen::default())), request).await
}

async fn read<S, B>(service: S, request: Request<()>) -> String
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
    B: http_body::Body<Error = Infallible>,
{
    let response = service.oneshot(request).await.unwrap();
    assert!(response.extensions().is_empty(), "the layer adds nothing to the response");
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn with_header(value: &str) -> Request<()> {
    Request::builder().header(ID, value).body(()).unwrap()
}

/// Asserts that one call of the agent is recorded in this session.
async fn assert_called(tracker: &StatusTracker, store: &MemoryStore, session: &str) {
    let item = stored(tracker, store, session).await;
    let status = tower_agent_status::status::WorkflowStatus::from_item(&id(session), &item);
    let agent = status.agent(AGENT).unwrap();
    assert_eq!((agent.state, agent.calls), (AgentState::Success, 1), "{session}");
    assert_eq!(agent.token_usage(), Some(TokenUsage::new(3, 4)));
    assert_contract_of_history(store);
}

/// Asserts that no session is known.
async fn assert_untouched(tracker: &StatusTracker, store: &MemoryStore) {
    tracker.flush().await.unwrap();
    assert_eq!(store.history(), []);
}

#[tokio::test]
async fn the_extension_of_the_request_names_the_session() {
    let (tracker, store) = tracker();
    let layer = StatusLayer::new(&tracker, AGENT);
    assert_eq!(call(&layer, of_session("s", Request::new(()))).await, BODY);
    assert_called(&tracker, &store, "s").await;
    assert_eq!(store.status("s").unwrap().overall_status, OverallStatus::Processing);
}

#[tokio::test]
async fn run_names_the_session_and_finishes_the_workflow() {
    let (tracker, store) = tracker();
    let layer = StatusLayer::new(&tracker, AGENT);
    let result: Result<_, Infallible> =
        tracker.workflow("s").run(async { Ok(call(&layer, Request::new(())).await) }).await;
    assert_eq!(result, Ok(BODY.to_owned()));
    assert_called(&tracker, &store, "s").await;
    assert_eq!(store.status("s").unwrap().overall_status, OverallStatus::Completed);
}

#[tokio::test]
async fn scope_names_the_session_and_finishes_nothing() {
    let (tracker, store) = tracker();
    let layer = StatusLayer::new(&tracker, AGENT);
    let workflow = tracker.workflow("s").start().unwrap();
    workflow.scope(call(&layer, Request::new(()))).await;
    assert_called(&tracker, &store, "s").await;
    assert_eq!(store.status("s").unwrap().overall_status, OverallStatus::Processing);
    // Outside the scope the call has no session.
    call(&layer, Request::new(())).await;
    assert_called(&tracker, &store, "s").await;
}

#[tokio::test]
async fn a_header_names_the_session() {
    let (tracker, store) = tracker();
    let layer = StatusLayer::new(&tracker, AGENT).session_header(ID);
    call(&layer, with_header("s-1")).await;
    assert_called(&tracker, &store, "s-1").await;
}

#[tokio::test]
async fn a_header_maps_to_the_session_and_the_workflow_gives_it_back() {
    let (tracker, store) = tracker();
    let layer =
        StatusLayer::new(&tracker, AGENT).session_header_with(ID, |id| format!("session-{id}"));
    call(&layer, with_header("corr_1")).await;
    assert_called(&tracker, &store, "session-corr_1").await;

    let workflow = tracker.workflow("session-corr_2").start().unwrap();
    assert_eq!(*workflow.session_id(), id("session-corr_2"));
}

#[tokio::test]
async fn a_closure_names_the_session_from_the_head_of_the_request() {
    let (tracker, store) = tracker();
    let layer = StatusLayer::new(&tracker, AGENT).session_from(|head| {
        let name = head.path.strip_prefix("/runs/")?;
        Some(format!("{}-{name}", head.method.as_str().to_lowercase()))
    });
    call(&layer, Request::post("http://agent/runs/7?x=y").body(()).unwrap()).await;
    assert_called(&tracker, &store, "post-7").await;

    let writes = store.history().len();
    call(&layer, Request::post("http://agent/health").body(()).unwrap()).await;
    tracker.flush().await.unwrap();
    assert_eq!(
        store.history().len(),
        writes,
        "the call is not tracked if the closure returns `None`"
    );
}

#[tokio::test]
async fn the_request_goes_before_the_scope_and_the_scope_before_the_header() {
    let (tracker, store) = tracker();
    let layer = StatusLayer::new(&tracker, AGENT).session_header(ID);
    id("scope").scope(call(&layer, of_session("extension", with_header("header")))).await;
    assert_called(&tracker, &store, "extension").await;
    assert_eq!(tracker.status("scope"), None);
    assert_eq!(tracker.status("header"), None);

    id("scope").scope(call(&layer, with_header("header"))).await;
    assert_called(&tracker, &store, "scope").await;
    assert_eq!(tracker.status("header"), None);

    call(&layer, with_header("header")).await;
    assert_called(&tracker, &store, "header").await;
}

#[tokio::test]
async fn the_inner_of_two_scopes_counts() {
    let (tracker, store) = tracker();
    let layer = StatusLayer::new(&tracker, AGENT);
    id("outer")
        .scope(async {
            id("inner").scope(call(&layer, Request::new(()))).await;
            assert_eq!(SessionId::current(), Some(id("outer")));
        })
        .await;
    assert_called(&tracker, &store, "inner").await;
    assert_eq!(tracker.status("outer"), None);
}

#[tokio::test]
async fn a_call_without_a_session_passes_untouched() {
    let (tracker, store) = tracker();
    let seen = Seen::default();
    for layer in [
        StatusLayer::new(&tracker, AGENT),
        StatusLayer::new(&tracker, AGENT).session_header(ID),
        StatusLayer::new(&tracker, AGENT).session_from(|_| None),
    ] {
        assert_eq!(read(layer.layer(agent(&seen)), Request::new(())).await, BODY);
    }
    assert_eq!(*seen.lock().unwrap(), [0, 0, 0], "the layer adds nothing to the request");
    assert_untouched(&tracker, &store).await;
}

#[tokio::test]
async fn an_invalid_session_is_warned_of_once_and_leaves_the_call_untouched() {
    let warnings = Warnings::watch();
    let (tracker, store) = tracker();
    let layer = StatusLayer::new(&tracker, AGENT).session_header(ID);
    let seen = Seen::default();
    for value in ["", &"x".repeat(2049), "a\tb", ""] {
        let answer = read(layer.layer(agent(&seen)), with_header(value)).await;
        assert_eq!(answer, BODY);
    }
    assert_eq!(*seen.lock().unwrap(), [0; 4], "the layer adds nothing to the request");
    assert_untouched(&tracker, &store).await;
    let warnings = warnings.take();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    // A blank header is none.
    assert!(warnings[0].contains("has 2049 bytes"), "{warnings:?}");

    // The longest valid ID is recorded.
    let longest = "x".repeat(SessionId::MAX_BYTES);
    call(&layer, with_header(&longest)).await;
    assert_called(&tracker, &store, &longest).await;
}

#[tokio::test]
async fn a_header_that_is_no_text_leaves_the_call_untouched() {
    let (tracker, store) = tracker();
    let layer = StatusLayer::new(&tracker, AGENT).session_header(ID);
    let mut request = Request::new(());
    request.headers_mut().insert(ID, HeaderValue::from_bytes(b"caf\xe9").unwrap());
    assert_eq!(call(&layer, request).await, BODY);
    assert_untouched(&tracker, &store).await;
}

#[tokio::test]
async fn a_spawned_task_loses_the_scope_and_in_scope_gives_it_back() {
    let (tracker, store) = tracker();
    let layer = StatusLayer::new(&tracker, AGENT);
    let spawned = |layer: StatusLayer| async move { call(&layer, Request::new(())).await };
    let result: Result<(), Infallible> = tracker
        .workflow("s")
        .run(async {
            assert_eq!(tokio::spawn(spawned(layer.clone())).await.unwrap(), BODY);
            let calls =
                |tracker: &StatusTracker| tracker.status("s").unwrap().agent(AGENT).unwrap().calls;
            assert_eq!(calls(&tracker), 0);
            let session = SessionId::current().unwrap();
            tokio::spawn(session.scope(spawned(layer.clone()))).await.unwrap();
            assert_eq!(calls(&tracker), 1);
            Ok(())
        })
        .await;
    assert_eq!(result, Ok(()));
    assert_called(&tracker, &store, "s").await;
}

#[tokio::test]
async fn the_scope_reaches_through_join_and_select() {
    let (tracker, store) = tracker();
    let layer = StatusLayer::new(&tracker, AGENT);
    let one = || call(&layer, Request::new(()));
    id("s")
        .scope(async {
            tokio::join!(one(), one());
            tokio::select! { _ = one() => {} }
        })
        .await;
    let item = stored(&tracker, &store, "s").await;
    let calls = item.get(AGENT).unwrap().as_map().unwrap().get("calls").unwrap().as_u64();
    assert_eq!(calls, Some(3));
}

#[tokio::test]
async fn the_session_is_the_calls_wherever_its_body_is_read() {
    let (tracker, store) = tracker();
    let layer = StatusLayer::new(&tracker, AGENT);
    let mut service = layer.layer(agent(&Seen::default()));
    let response = id("s").scope(async { service.call(Request::new(())).await }).await;
    let body = response.unwrap().into_body();
    let read = async { body.collect().await.unwrap() };
    tokio::spawn(id("another").scope(read)).await.unwrap();
    assert_called(&tracker, &store, "s").await;
    assert_eq!(tracker.status("another"), None);
}

#[tokio::test]
async fn of_nested_layers_of_one_tracker_the_outermost_owns_the_call() {
    let (tracker, store) = tracker();
    let inner = StatusLayer::new(&tracker, "inner");
    let outer = StatusLayer::new(&tracker, AGENT);
    let service = outer.layer(inner.layer(inner.layer(agent(&Seen::default()))));
    assert_eq!(read(service, of_session("s", Request::new(()))).await, BODY);
    assert_called(&tracker, &store, "s").await;
    let inner = store.status("s").unwrap().agent("inner").unwrap().clone();
    assert_eq!((inner.state, inner.calls), (AgentState::Pending, 0));
}

#[tokio::test]
async fn an_inner_layer_takes_the_call_that_has_no_session_for_the_outer_one() {
    let (tracker, store) = tracker();
    let outer = StatusLayer::new(&tracker, "outer");
    let inner = StatusLayer::new(&tracker, AGENT).session_header(ID);
    read(outer.layer(inner.layer(agent(&Seen::default()))), with_header("s")).await;
    assert_called(&tracker, &store, "s").await;
    assert_eq!(store.status("s").unwrap().agent("outer").unwrap().calls, 0);
}

#[tokio::test]
async fn two_trackers_record_the_same_call_once_each() {
    let (one, one_store) = tracker();
    let (other, other_store) = tracker();
    let layer = |tracker: &StatusTracker| StatusLayer::new(tracker, AGENT);
    let request = || of_session("s", Request::new(()));

    // This holds however the layers are nested, and whichever of them occurs again.
    let service = layer(&one).layer(layer(&other).layer(agent(&Seen::default())));
    let service = layer(&other).layer(layer(&one).layer(service));
    assert_eq!(read(service, request()).await, BODY);
    assert_called(&one, &one_store, "s").await;
    assert_called(&other, &other_store, "s").await;
}

#[tokio::test]
async fn a_service_serves_many_sessions() {
    let (tracker, store) = tracker();
    let service =
        StatusLayer::new(&tracker, AGENT).session_header(ID).layer(agent(&Seen::default()));
    let mut calls: Vec<std::pin::Pin<Box<dyn Future<Output = String>>>> = Vec::new();
    for n in 0..50 {
        calls.push(Box::pin(read(service.clone(), with_header(&format!("s-{n}")))));
    }
    futures_util::future::join_all(calls).await;
    for n in 0..50 {
        assert_called(&tracker, &store, &format!("s-{n}")).await;
    }
}
