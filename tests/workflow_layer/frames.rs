//! What the caller of the service receives, with the layer and without it.

use std::convert::Infallible;

use http::{Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};
use tower_agent_status::SessionId;
use tower_agent_status::status::OverallStatus;
use tower_agent_status::testing::{assert_completed, assert_failed};

use crate::scripted::{Scripted, Step, trailers};
use crate::support::{ASKED_SESSION, SESSION_HEADER, Tracking};

/// Everything a server sees of a body, poll by poll.
async fn seen(
    body: impl http_body::Body<Data = bytes::Bytes, Error = &'static str>,
) -> Vec<String> {
    let mut body = std::pin::pin!(body);
    let mut seen = Vec::new();
    loop {
        seen.push(format!("{} {:?}", body.is_end_stream(), body.size_hint()));
        let frame = body.frame().await;
        let is_over = !matches!(frame, Some(Ok(_)));
        seen.push(format!("{frame:?}"));
        if is_over {
            return seen;
        }
    }
}

#[tokio::test]
async fn frames_trailers_hints_and_errors_are_the_handlers() {
    let bodies = [
        Scripted::chunked(&[]),
        Scripted::chunked(&[Step::Data("a"), Step::Pending, Step::Data(""), Step::Data("bc")]),
        Scripted::chunked(&[Step::Data("a"), Step::Trailers]),
        Scripted::chunked(&[Step::Data("a"), Step::Error("broken")]),
        Scripted::sized(&[]),
        Scripted::sized(&[Step::Data("abc"), Step::Data("d")]),
    ];
    for method in ["POST", "GET"] {
        for body in &bodies {
            let tracking = Tracking::start();
            let service = tracking.layer().layer(service_fn(|_: Request<()>| {
                let response = Response::builder().status(StatusCode::CREATED).header("x-a", "b");
                std::future::ready(Ok::<_, Infallible>(response.body(body.clone()).unwrap()))
            }));
            let request = Request::builder().method(method).body(()).unwrap();
            let mut response = service.oneshot(request).await.unwrap();
            response.headers_mut().remove(SESSION_HEADER);
            assert_eq!(response.status(), StatusCode::CREATED);
            assert_eq!(response.headers().len(), 1);
            assert!(response.extensions().is_empty());
            assert_eq!(seen(response.into_body()).await, seen(body.clone()).await);
        }
    }
    assert_eq!(trailers().len(), 1);
}

#[tokio::test]
async fn an_error_of_the_service_is_passed_on_and_fails_the_workflow() {
    let tracking = Tracking::start();
    let service =
        service_fn(|_: Request<()>| async { Err::<Response<String>, _>("no thread is left") });
    let request = Request::post("/").header(ASKED_SESSION, "s").body(()).unwrap();
    let error = tracking.layer().layer(service).oneshot(request).await.unwrap_err();
    assert_eq!(error, "no thread is left");
    assert_failed(&tracking.store.wait_until_finished("s").await, "no thread is left");
}

#[tokio::test]
async fn bodies_that_are_never_polled_end_as_what_they_are() {
    let tracking = Tracking::start();
    let answered = |session: &'static str, method: &'static str, status: u16, body: Scripted| {
        let service = service_fn(move |_: Request<()>| {
            let response = Response::builder().status(status).body(body.clone()).unwrap();
            std::future::ready(Ok::<_, Infallible>(response))
        });
        let layer = tracking.layer().filter(|_| true);
        let request = Request::builder().method(method).header(ASKED_SESSION, session);
        layer.layer(service).oneshot(request.body(()).unwrap())
    };
    let chunked = || Scripted::chunked(&[Step::Data("a")]);
    drop(answered("empty", "POST", 200, Scripted::sized(&[])).await.unwrap());
    assert_completed(&tracking.store.wait_until_finished("empty").await);
    drop(answered("head", "HEAD", 200, chunked()).await.unwrap());
    assert_completed(&tracking.store.wait_until_finished("head").await);
    drop(answered("204", "POST", 204, chunked()).await.unwrap());
    assert_completed(&tracking.store.wait_until_finished("204").await);
    drop(answered("503", "POST", 503, chunked()).await.unwrap());
    assert_failed(&tracking.store.wait_until_finished("503").await, "Service Unavailable");
    drop(answered("dropped", "POST", 200, chunked()).await.unwrap());
    assert_failed(&tracking.store.wait_until_finished("dropped").await, "gave up");
    let panics = Scripted::chunked(&[Step::Panic]);
    let panics = answered("panics", "POST", 200, panics).await.unwrap().into_body();
    tokio::spawn(panics.collect()).await.unwrap_err();
    assert_failed(&tracking.store.wait_until_finished("panics").await, "the handler panicked");
    let taken = answered("taken", "POST", 200, chunked()).await.unwrap().into_body();
    assert_eq!(taken.get_ref().size_hint().lower(), 0);
    drop(taken.into_inner());
    assert_failed(&tracking.store.wait_until_finished("taken").await, "gave up");
}

#[tokio::test]
async fn a_call_that_panics_or_is_never_polled_has_failed() {
    let tracking = Tracking::start();
    let request =
        |session: &str| Request::post("/").header(ASKED_SESSION, session).body(()).unwrap();
    let mut panics = tracking.layer().layer(service_fn(
        |_: Request<()>| -> std::future::Ready<Result<Response<String>, Infallible>> {
            panic!("scripted panic")
        },
    ));
    let called = std::panic::AssertUnwindSafe(|| drop(panics.call(request("panics"))));
    std::panic::catch_unwind(called).unwrap_err();
    assert_failed(&tracking.store.wait_until_finished("panics").await, "the handler panicked");

    let mut silent = tracking.layer().layer(service_fn(|_: Request<()>| {
        std::future::pending::<Result<Response<String>, Infallible>>()
    }));
    let call = silent.call(request("dropped"));
    assert_eq!(tracking.now("dropped").overall_status, OverallStatus::Initializing);
    drop(call);
    assert_failed(
        &tracking.store.wait_until_finished("dropped").await,
        "the caller gave up before the answer",
    );
}

#[tokio::test]
async fn the_scope_is_there_before_the_handlers_future_is_polled() {
    let tracking = Tracking::start();
    let service = service_fn(|_: Request<()>| {
        let session = SessionId::current().map(String::from).unwrap_or_default();
        std::future::ready(Ok::<_, Infallible>(Response::new(session)))
    });
    let request = Request::post("/").header(ASKED_SESSION, "s").body(()).unwrap();
    let response = tracking.layer().layer(service).oneshot(request).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "s");
}

/// All types of the server's side can be moved between threads.
#[expect(dead_code, reason = "it has only to compile")]
fn all_are_send_and_sync() {
    fn check<T: Send + Sync>() {}
    check::<tower_agent_status::WorkflowLayer>();
    check::<tower_agent_status::server::WorkflowService<()>>();
    check::<tower_agent_status::server::WorkflowBody<()>>();
    check::<tower_agent_status::server::WorkflowFuture<()>>();
}
