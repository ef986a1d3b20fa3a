//! Bodies of a service's responses: those that no workflow belongs to, and the moment at which
//! a workflow ends by trailers, by an announced length, by a body that knows its end, or by a
//! panic. What has ended is still held, so that no drop ends it.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use tower::{Layer as _, Service, service_fn};
use tower_agent_status::WorkflowLayer;
use tower_agent_status::server::WorkflowBody;
use tower_agent_status::status::OverallStatus;
use tower_agent_status::testing::{assert_completed, assert_failed};

use crate::scripted::{Scripted, Step, trailers};
use crate::support::{ASKED_SESSION, Tracking};

/// What tonic's interceptors ask of a service, to answer in its place: that its response body
/// has a default. tonic would be a heavy dependency for this one bound.
#[expect(dead_code, reason = "it has only to compile")]
fn bodies_have_a_default(layer: &WorkflowLayer) {
    fn intercepted<S, B>(_: S)
    where
        S: Service<Request<()>, Response = Response<B>>,
        B: Body + Default,
    {
    }

    let grpc = async |_: Request<()>| Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()));
    intercepted(layer.layer(service_fn(grpc)));
    fn check<B: Body + Default>() {}
    check::<WorkflowBody<axum::body::Body>>();
}

#[tokio::test]
async fn a_body_by_default_is_empty_and_of_no_workflow() {
    let body = WorkflowBody::<axum::body::Body>::default();
    assert!(format!("{body:?}").contains("is_observed: false"), "{body:?}");
    assert!(body.is_end_stream());
    assert_eq!(body.collect().await.unwrap().to_bytes(), "");
}

fn request() -> Request<()> {
    Request::post("/").header(ASKED_SESSION, "s").body(()).unwrap()
}

/// Calls a service that answers with this body and these headers.
fn answer(
    tracking: &Tracking,
    headers: &[(&str, &str)],
    body: &Scripted,
) -> Pin<Box<WorkflowBody<Scripted>>> {
    let mut service = tracking.layer().layer(service_fn(|_: Request<()>| {
        let response = Response::builder();
        let response =
            headers.iter().fold(response, |response, (name, value)| response.header(*name, *value));
        std::future::ready(response.body(body.clone()))
    }));
    let mut call = Box::pin(service.call(request()));
    let Poll::Ready(response) = call.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("the service answers at once")
    };
    Box::pin(response.unwrap().into_body())
}

type Frame = http_body::Frame<Bytes>;

fn poll(body: &mut Pin<Box<WorkflowBody<Scripted>>>) -> Option<Frame> {
    match body.as_mut().poll_frame(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(frame) => frame.map(Result::unwrap),
        Poll::Pending => panic!("the body is ready"),
    }
}

#[track_caller]
fn assert_open(tracking: &Tracking) {
    assert_eq!(tracking.now("s").overall_status, OverallStatus::Initializing);
}

#[tokio::test]
async fn trailers_are_passed_on_and_end_the_workflow() {
    let tracking = Tracking::start();
    let script = Scripted::chunked(&[Step::Data("{}"), Step::Trailers]);
    let mut body = answer(&tracking, &[], &script);
    assert_eq!(poll(&mut body).unwrap().into_data().unwrap(), "{}");
    assert_open(&tracking);
    assert_eq!(poll(&mut body).unwrap().into_trailers().unwrap(), trailers());
    assert_completed(&tracking.store.wait_until_finished("s").await);
    drop(body);
}

#[tokio::test]
async fn the_status_of_grpc_ends_the_workflow_whatever_its_length() {
    for (code, error) in [("0", None), ("14", Some("grpc_unavailable: gRPC status UNAVAILABLE"))] {
        for script in [Scripted::chunked, Scripted::sized] {
            let tracking = Tracking::start();
            let script = script(&[Step::Data("\0\0\0\0\0"), Step::GrpcStatus(code)]);
            let head = [("content-type", "application/grpc"), ("content-length", "5")];
            let mut body = answer(&tracking, &head, &script);
            poll(&mut body).unwrap();
            assert_open(&tracking);
            poll(&mut body).unwrap();
            let status = tracking.store.wait_until_finished("s").await;
            match error {
                None => assert_completed(&status),
                Some(error) => assert_failed(&status, error),
            }
        }
    }
}

#[tokio::test]
async fn the_head_of_a_grpc_response_without_a_body_ends_the_workflow() {
    let tracking = Tracking::start();
    let head = [
        ("content-type", "application/grpc"),
        ("grpc-status", "5"),
        ("grpc-message", "no%20document"),
    ];
    let body = answer(&tracking, &head, &Scripted::sized(&[]));
    let status = tracking.store.wait_until_finished("s").await;
    assert_failed(&status, "grpc_not_found: no document");
    drop(body);
}

#[tokio::test]
async fn an_announced_length_that_has_passed_ends_the_workflow() {
    let tracking = Tracking::start();
    // Its hint says nothing of a length.
    let script = Scripted::chunked(&[Step::Data("{\"a\":"), Step::Data("1}")]);
    let mut body = answer(&tracking, &[("content-length", "7")], &script);
    poll(&mut body).unwrap();
    assert_open(&tracking);
    poll(&mut body).unwrap();
    assert_completed(&tracking.store.wait_until_finished("s").await);
    drop(body);

    let tracking = Tracking::start();
    let body = answer(&tracking, &[("content-length", "0")], &Scripted::chunked(&[]));
    assert_completed(&tracking.store.wait_until_finished("s").await);
    drop(body);
}

#[tokio::test]
async fn the_last_frame_of_a_body_that_knows_its_end_ends_the_workflow() {
    let tracking = Tracking::start();
    let script = Scripted::sized(&[Step::Data("{\"a\":"), Step::Data("1}")]);
    let mut body = answer(&tracking, &[], &script);
    poll(&mut body).unwrap();
    assert_open(&tracking);
    poll(&mut body).unwrap();
    assert_completed(&tracking.store.wait_until_finished("s").await);
    drop(body);
}

#[tokio::test]
async fn a_future_that_panics_and_is_held_has_failed_its_workflow() {
    let tracking = Tracking::start();
    let mut service = tracking.layer().layer(service_fn(|_: Request<()>| async {
        if true {
            panic!("as the test wants it");
        }
        Ok::<_, Infallible>(Response::new(String::new()))
    }));
    let mut future = Box::pin(service.call(request()));
    assert_open(&tracking);
    let mut cx = Context::from_waker(Waker::noop());
    let polled = AssertUnwindSafe(|| future.as_mut().poll(&mut cx).is_ready());
    catch_unwind(polled).unwrap_err();
    assert_failed(&tracking.store.wait_until_finished("s").await, "the handler panicked");
    drop(future);
}

#[tokio::test]
async fn a_body_that_panics_and_is_held_has_failed_its_workflow() {
    let tracking = Tracking::start();
    let script = Scripted::chunked(&[Step::Data("{\"a\":"), Step::Panic]);
    let mut body = answer(&tracking, &[], &script);
    poll(&mut body).unwrap();
    assert_open(&tracking);
    catch_unwind(AssertUnwindSafe(|| poll(&mut body).is_some())).unwrap_err();
    assert_failed(&tracking.store.wait_until_finished("s").await, "the handler panicked");
    assert!(poll(&mut body).is_none());
    drop(body);
}
