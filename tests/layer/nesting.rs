//! Layers inside layers, with the session of a scope: the outermost layer around a request
//! owns the call, and a separate request is a separate call.

use std::convert::Infallible;

use http::{HeaderName, Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceBuilder, ServiceExt as _, service_fn};
use tower_agent_status::store::MemoryStore;
use tower_agent_status::{StatusLayer, StatusTracker};
use tower_http::follow_redirect::FollowRedirectLayer;

use crate::support::{SESSION, builder, id, ticking_clock};

const ID: HeaderName = HeaderName::from_static("x-session-id");

type Agent = BoxCloneSyncService<Request<String>, Response<String>, Infallible>;

fn tracker() -> StatusTracker {
    builder(MemoryStore::new()).clock(ticking_clock()).start().unwrap()
}

/// An agent that redirects from one of its paths.
fn agent() -> Agent {
    BoxCloneSyncService::new(service_fn(|request: Request<String>| {
        let is_old = request.uri().path() == "/old";
        let mut response = Response::new(String::from("{}"));
        if is_old {
            *response.status_mut() = http::StatusCode::TEMPORARY_REDIRECT;
            response.headers_mut().insert("location", "/new".parse().unwrap());
        }
        std::future::ready(Ok(response))
    }))
}

fn request(path: &str) -> Request<String> {
    Request::get(format!("http://agent.example{path}")).body(String::new()).unwrap()
}

/// Makes a call in the session's scope and reads the answer.
async fn call<S, B>(service: S, request: Request<String>)
where
    S: Service<Request<String>, Response = Response<B>>,
    S::Error: std::fmt::Debug,
    B: http_body::Body<Error: std::fmt::Debug>,
{
    let whole = async {
        let response = service.oneshot(request).await.unwrap();
        response.into_body().collect().await.unwrap();
    };
    id(SESSION).scope(whole).await;
}

/// The number of calls of each agent.
fn calls<const N: usize>(tracker: &StatusTracker, agents: [&str; N]) -> [u64; N] {
    let status = tracker.status(SESSION).unwrap();
    agents.map(|name| status.agent(name).map_or(0, |agent| agent.calls))
}

#[tokio::test]
async fn of_nested_layers_the_outermost_owns_the_call() {
    let tracker = tracker();
    let layer = |name| StatusLayer::new(&tracker, name);
    for n in 1..=3 {
        let nested = layer("inner").layer(layer("inner").layer(agent()));
        call(layer("outer").layer(nested), request("/")).await;
        assert_eq!(calls(&tracker, ["outer", "inner"]), [n, 0]);
    }
}

#[tokio::test]
async fn a_later_attempt_inside_of_the_outermost_is_the_same_call() {
    let tracker = tracker();
    // The inner layer is called while the outer future is polled, several times.
    let inner = StatusLayer::new(&tracker, "inner").layer(agent());
    let twice = service_fn(move |request: Request<String>| {
        let inner = inner.clone();
        async move {
            for _ in 0..2 {
                tokio::task::yield_now().await;
                inner.clone().oneshot(request.clone()).await?.into_body().collect().await.unwrap();
            }
            inner.oneshot(request).await
        }
    });
    for n in 1..=2 {
        call(StatusLayer::new(&tracker, "outer").layer(twice.clone()), request("/")).await;
        assert_eq!(calls(&tracker, ["outer", "inner"]), [n, 0]);
    }
}

#[tokio::test]
async fn the_call_of_an_agent_in_this_process_to_a_further_one_is_a_call_of_its_own() {
    let tracker = tracker();
    let tool = StatusLayer::new(&tracker, "tool").layer(agent());
    let supervisor = service_fn(move |_: Request<String>| {
        let tool = tool.clone();
        // The first request is dropped by now, and its memory is likely to be reused.
        async move { tool.oneshot(request("/a/tool/of/it")).await.map(|_| Response::new(String::new())) }
    });
    let outer = StatusLayer::new(&tracker, "supervisor").layer(supervisor);
    for n in 1..=3 {
        call(outer.clone(), request("/supervisor/r")).await;
        assert_eq!(calls(&tracker, ["supervisor", "tool"]), [n, n]);
    }
}

#[tokio::test]
async fn a_redirect_between_layers_is_the_same_call() {
    let tracker = tracker();
    let nested = || {
        ServiceBuilder::new()
            .layer(StatusLayer::new(&tracker, "outer"))
            .layer(FollowRedirectLayer::new())
            .layer(StatusLayer::new(&tracker, "inner"))
            .service(agent())
    };
    call(nested(), request("/new")).await;
    call(nested(), request("/old")).await;
    assert_eq!(calls(&tracker, ["outer", "inner"]), [2, 0]);
}

#[tokio::test]
async fn behind_a_buffer_a_layer_that_finds_the_session_by_itself_knows_too() {
    let tracker = tracker();
    let service = ServiceBuilder::new()
        .layer(StatusLayer::new(&tracker, "outer"))
        .buffer(1)
        .layer(StatusLayer::new(&tracker, "inner").session_header(ID))
        .service(agent());
    let mut request = request("/");
    request.headers_mut().insert(ID, SESSION.parse().unwrap());
    call(service, request).await;
    assert_eq!(calls(&tracker, ["outer", "inner"]), [1, 0]);
}

#[tokio::test]
async fn two_trackers_record_the_same_call_once_each() {
    let (one, other) = (tracker(), tracker());
    let layer = |tracker| StatusLayer::new(tracker, "agent");
    for n in 1..=2 {
        let service = layer(&one).layer(layer(&other).layer(agent()));
        let service = layer(&other).layer(layer(&one).layer(service));
        call(service, request("/")).await;
        assert_eq!((calls(&one, ["agent"]), calls(&other, ["agent"])), ([n], [n]));
    }
}

#[tokio::test]
async fn a_scope_is_of_no_use_to_another_tracker_that_comes_later() {
    let (one, other) = (tracker(), tracker());
    let both = async {
        for tracker in [&one, &other, &one] {
            let service = StatusLayer::new(tracker, "agent").layer(agent());
            service.oneshot(request("/")).await.unwrap().into_body().collect().await.unwrap();
        }
    };
    id(SESSION).scope(both).await;
    assert_eq!((calls(&one, ["agent"]), calls(&other, ["agent"])), ([2], [1]));
}

/// An agent that is a service in this process and calls another agent to answer.
fn asks<S, B>(tool: S, at: &'static str) -> Agent
where
    S: Service<Request<String>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Send,
{
    BoxCloneSyncService::new(service_fn(move |own: Request<String>| {
        drop(own);
        let request = Request::get(at).body(String::new()).unwrap();
        let answer = tool.clone().oneshot(request);
        async move { answer.await.map(|_| Response::new(String::from("{}"))) }
    }))
}

#[tokio::test]
async fn an_agent_at_the_root_of_another_host_is_called_by_a_call_of_its_own() {
    let tracker = tracker();
    let tool = StatusLayer::new(&tracker, "tool").layer(agent());
    let supervisor = asks(tool, "http://matching.agents.internal");
    let outer = StatusLayer::new(&tracker, "supervisor").layer(supervisor);
    let request = Request::get("http://pdf.agents.internal").body(String::new()).unwrap();
    call(outer, request).await;
    assert_eq!(calls(&tracker, ["supervisor", "tool"]), [1, 1]);
}

#[tokio::test]
async fn a_path_of_the_same_length_and_end_is_another_one() {
    let tracker = tracker();
    let tool = StatusLayer::new(&tracker, "tool").layer(agent());
    let supervisor = asks(tool, "http://agents.internal/agents/match/invocations");
    let outer = StatusLayer::new(&tracker, "supervisor").layer(supervisor);
    let request = Request::get("http://agents.internal/agents/trade/invocations");
    call(outer, request.body(String::new()).unwrap()).await;
    assert_eq!(calls(&tracker, ["supervisor", "tool"]), [1, 1]);
}

#[tokio::test]
async fn a_layer_further_in_that_is_reached_from_the_body_knows() {
    let tracker = tracker();
    let inner = StatusLayer::new(&tracker, "inner").layer(agent());
    let lazy = service_fn(move |request: Request<String>| {
        let inner = inner.clone();
        let body = futures_util::stream::once(async move {
            let body = inner.oneshot(request).await?.into_body();
            let bytes = body.collect().await.unwrap().to_bytes();
            Ok::<_, Infallible>(http_body::Frame::data(bytes))
        });
        std::future::ready(Ok::<_, Infallible>(Response::new(StreamBody::new(Box::pin(body)))))
    });
    call(StatusLayer::new(&tracker, "outer").layer(lazy), request("/")).await;
    assert_eq!(calls(&tracker, ["outer", "inner"]), [1, 0]);
}

#[tokio::test]
async fn in_a_task_that_was_given_the_scope_a_layer_further_in_knows() {
    let tracker = tracker();
    let inner = StatusLayer::new(&tracker, "inner").layer(agent());
    let spawns = service_fn(move |request: Request<String>| {
        let scope = tower_agent_status::SessionId::current().unwrap();
        let task = tokio::spawn(scope.scope(inner.clone().oneshot(request)));
        async move { task.await.unwrap() }
    });
    call(StatusLayer::new(&tracker, "outer").layer(spawns), request("/")).await;
    assert_eq!(calls(&tracker, ["outer", "inner"]), [1, 0]);
}

#[tokio::test]
async fn the_first_redirect_between_layers_is_the_same_call() {
    let tracker = tracker();
    let nested = ServiceBuilder::new()
        .layer(StatusLayer::new(&tracker, "outer"))
        .layer(FollowRedirectLayer::new())
        .layer(StatusLayer::new(&tracker, "inner"))
        .service(agent());
    call(nested, request("/old")).await;
    assert_eq!(calls(&tracker, ["outer", "inner"]), [1, 0]);
}

#[tokio::test]
async fn an_agent_that_calls_itself_at_the_same_uri_does_so_by_a_call_of_its_own() {
    let tracker = tracker();
    let at = "http://agent.example/a/path";
    let tool = StatusLayer::new(&tracker, "tool").layer(agent());
    let outer = StatusLayer::new(&tracker, "supervisor").layer(asks(tool, at));
    call(outer, Request::get(at).body(String::new()).unwrap()).await;
    assert_eq!(calls(&tracker, ["supervisor", "tool"]), [1, 1]);
}
