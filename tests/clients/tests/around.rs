//! Layers of tower-http around a workflow, which answer in its place with a body by `Default`.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use axum::body::Body;
use clients::{SESSION, Tracking};
use http::header::{ACCEPT, ACCESS_CONTROL_ALLOW_ORIGIN, ORIGIN};
use http::{HeaderName, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use tower::{ServiceBuilder, ServiceExt as _};
use tower_agent_status::WorkflowLayer;
use tower_agent_status::testing::{assert_completed, assert_failed};
use tower_http::cors::CorsLayer;
use tower_http::timeout::TimeoutLayer;
use tower_http::validate_request::ValidateRequestHeaderLayer;

const SESSION_HEADER: HeaderName = HeaderName::from_static("x-session-id");

/// Responds at `/answer`, and at no other path.
async fn respond(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    match request.uri().path() {
        "/answer" => Ok(Response::new(Body::from("done"))),
        _ => pending().await,
    }
}

/// Sends a request, and returns the response with its body read.
async fn send(tracking: &Tracking, path: &str, accept: &str) -> Response<String> {
    let minute = Duration::from_secs(60);
    let service = ServiceBuilder::new()
        .layer(CorsLayer::permissive())
        .layer(ValidateRequestHeaderLayer::accept("application/json"))
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, minute))
        .layer(WorkflowLayer::new(&tracking.tracker).session_header(SESSION_HEADER))
        .service_fn(respond);
    let request = Request::post(path)
        .header(SESSION_HEADER, SESSION)
        .header(ORIGIN, "https://dashboard.example")
        .header(ACCEPT, accept)
        .body(Body::empty())
        .unwrap();
    let (head, body) = service.oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Response::from_parts(head, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_request_that_passes_completes_its_workflow() {
    let tracking = Tracking::start();
    let response = send(&tracking, "/answer", "application/json").await;
    assert_eq!((response.status(), &**response.body()), (StatusCode::OK, "done"));
    assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    assert_completed(&tracking.store.wait_until_finished(SESSION).await);
}

#[tokio::test]
async fn a_request_that_is_refused_opens_no_workflow() {
    let tracking = Tracking::start();
    let response = send(&tracking, "/answer", "text/html").await;
    assert_eq!((response.status(), &**response.body()), (StatusCode::NOT_ACCEPTABLE, ""));
    tracking.tracker.flush().await.unwrap();
    assert!(tracking.store.history().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_times_out_fails_its_workflow() {
    let tracking = Tracking::start();
    let response = send(&tracking, "/never", "application/json").await;
    assert_eq!((response.status(), &**response.body()), (StatusCode::GATEWAY_TIMEOUT, ""));
    let status = tracking.store.wait_until_finished(SESSION).await;
    assert_failed(&status, "the caller gave up before the answer");
}
