//! Layers of tower-http around the layer, which answer in place of the service, with a body
//! by `Default`.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::post as on_post;
use http_body_util::BodyExt as _;
use tower::{ServiceBuilder, ServiceExt as _};
use tower_agent_status::testing::{assert_completed, assert_failed};
use tower_http::cors::CorsLayer;
use tower_http::timeout::TimeoutLayer;

use crate::support::{ASKED_SESSION, SESSION_HEADER, Tracking};

const ORIGIN: &str = "https://dashboard.example";

/// How often a workflow was finished, and as what.
fn ends(tracking: &Tracking) -> Vec<String> {
    let changes = tracking.store.history();
    let states = changes.iter().filter_map(|change| change.set.get("overallStatus")?.as_str());
    states.filter(|state| ["completed", "failed"].contains(state)).map(str::to_owned).collect()
}

fn request(method: Method, path: &str) -> Request {
    let request = Request::builder().method(method).uri(path).header(ASKED_SESSION, "s");
    request.header(header::ORIGIN, ORIGIN).body(Body::empty()).unwrap()
}

/// What a browser asks before it posts.
fn preflight() -> Request {
    let mut request = request(Method::OPTIONS, "/answers");
    let asked = http::HeaderValue::from_static("POST");
    request.headers_mut().insert(header::ACCESS_CONTROL_REQUEST_METHOD, asked);
    request
}

async fn read(response: Response) -> (StatusCode, HeaderMap, String) {
    let (head, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (head.status, head.headers, String::from_utf8(bytes.to_vec()).unwrap())
}

/// Both layers around the one of the workflow, on two routes.
fn app(tracking: &Tracking) -> Router {
    let minute = Duration::from_secs(60);
    let stack = ServiceBuilder::new()
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, minute))
        .layer(CorsLayer::permissive())
        // A preflight that got here would open one.
        .layer(tracking.layer().filter(|_| true));
    Router::new()
        .route("/answers", on_post(async || "done"))
        .route("/never", on_post(std::future::pending::<()>))
        .route_layer(stack)
}

#[tokio::test(start_paused = true)]
async fn a_request_that_times_out_fails_its_workflow_once() {
    let tracking = Tracking::start();
    let response = app(&tracking).oneshot(request(Method::POST, "/never")).await.unwrap();
    let (status, headers, body) = read(response).await;
    assert_eq!((status, &*body), (StatusCode::GATEWAY_TIMEOUT, ""));
    assert!(!headers.contains_key(SESSION_HEADER));
    let status = tracking.store.wait_until_finished("s").await;
    assert_failed(&status, "the caller gave up before the answer");
    tracking.tracker.shutdown(Duration::from_secs(5)).await.unwrap();
    assert_eq!(ends(&tracking), ["failed"]);
}

#[tokio::test(start_paused = true)]
async fn a_request_in_time_completes_its_workflow_once() {
    let tracking = Tracking::start();
    let response = app(&tracking).oneshot(request(Method::POST, "/answers")).await.unwrap();
    let (status, headers, body) = read(response).await;
    assert_eq!((status, &*body), (StatusCode::OK, "done"));
    assert_eq!(headers[SESSION_HEADER], "s");
    assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    assert_completed(&tracking.store.wait_until_finished("s").await);
    tracking.tracker.shutdown(Duration::from_secs(5)).await.unwrap();
    assert_eq!(ends(&tracking), ["completed"]);
}

#[tokio::test]
async fn a_preflight_opens_no_workflow() {
    let tracking = Tracking::start();
    // The layer of the workflow around the other one leaves it alone by itself.
    let inside = ServiceBuilder::new().layer(tracking.layer()).layer(CorsLayer::permissive());
    let inside = Router::new().route("/answers", on_post(async || "done")).route_layer(inside);
    for app in [app(&tracking), inside] {
        let (status, headers, body) = read(app.oneshot(preflight()).await.unwrap()).await;
        assert_eq!((status, &*body), (StatusCode::OK, ""));
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert!(!headers.contains_key(SESSION_HEADER));
    }
    tracking.tracker.flush().await.unwrap();
    assert!(tracking.store.history().is_empty());
}
