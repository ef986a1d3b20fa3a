//! A layer that opens no workflow: the same service with tracking and without.

use std::convert::Infallible;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::routing::post as on_post;
use http::{HeaderName, Response, StatusCode};
use http_body_util::BodyExt as _;
use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};
use tower_agent_status::server::WorkflowService;
use tower_agent_status::status::Value;
use tower_agent_status::testing::assert_completed;
use tower_agent_status::{SessionId, Workflow, WorkflowLayer};

use crate::support::{ASKED_SESSION, SESSION_HEADER, Tracking};

/// A disabled layer with every setting; none of its closures runs.
fn disabled() -> WorkflowLayer {
    let name = HeaderName::from_static("x-correlation-id");
    WorkflowLayer::disabled()
        .session_header(ASKED_SESSION)
        .session_header_with(ASKED_SESSION, |_| panic!("a disabled layer asks for no session"))
        .session_from(|_| panic!("a disabled layer asks for no session"))
        .new_run()
        .retention(std::time::Duration::ZERO)
        .correlation_header(name.clone())
        .correlation_from(|_| panic!("a disabled layer asks for no id"))
        // No item can have that attribute.
        .attribute("sessionId", 1)
        .attribute_header("", name)
        .attribute_from("source", |_| -> Option<Value> {
            panic!("a disabled layer asks for no attribute")
        })
        .filter(|_| panic!("a disabled layer asks for no filter"))
        .response_header(SESSION_HEADER)
}

/// What a handler finds beside its request's head, then its body in a stream.
async fn handler(head: Parts) -> ([(&'static str, String); 2], Body) {
    let workflow = head.extensions.get::<Workflow>().is_some();
    let found = format!("{workflow} {}", SessionId::current().is_some());
    let pieces = ["one", "two"].map(Ok::<_, Infallible>);
    let body = Body::from_stream(futures_util::stream::iter(pieces));
    ([("x-found", found), ("content-type", "text/plain".to_owned())], body)
}

async fn call(app: Router) -> (StatusCode, HeaderMap, Vec<String>) {
    let request = Request::post("/").header(ASKED_SESSION, "s").body(Body::empty()).unwrap();
    let (head, mut body) = app.oneshot(request).await.unwrap().into_parts();
    let mut pieces = Vec::new();
    while let Some(frame) = body.frame().await {
        pieces.push(format!("{:?}", frame.unwrap()));
    }
    (head.status, head.headers, pieces)
}

#[tokio::test]
async fn nothing_is_opened_and_the_response_is_the_handlers() {
    let tracking = Tracking::start();
    let app = || Router::new().route("/", on_post(handler));
    let bare = call(app()).await;
    assert_eq!(bare.1["x-found"], "false false");
    assert_eq!(call(app().route_layer(disabled())).await, bare);
    tracking.tracker.flush().await.unwrap();
    assert!(tracking.store.history().is_empty());

    let (status, mut headers, pieces) = call(app().route_layer(tracking.layer())).await;
    assert_eq!(headers.remove(SESSION_HEADER).unwrap(), "s");
    assert_eq!(headers.insert("x-found", bare.1["x-found"].clone()).unwrap(), "true true");
    assert_eq!((status, headers, pieces), bare);
    assert_completed(&tracking.store.wait_until_finished("s").await);
}

#[tokio::test]
async fn it_marks_no_request_and_gives_way_to_a_layer_that_tracks() {
    let tracking = Tracking::start();
    let extensions = |layer: WorkflowLayer| {
        let mut service = layer.layer(service_fn(|request: http::Request<()>| {
            let seen = request.extensions().len().to_string();
            std::future::ready(Ok::<_, Infallible>(Response::new(seen)))
        }));
        let request = http::Request::post("/").header(ASKED_SESSION, "inner").body(()).unwrap();
        async move { service.call(request).await.unwrap().into_body().into_inner() }
    };
    assert_eq!(extensions(disabled()).await, "0");
    assert_eq!(extensions(tracking.layer()).await, "1");

    let app = Router::new().route("/", on_post(handler));
    call(app.route_layer(tracking.layer()).route_layer(disabled())).await;
    assert_completed(&tracking.store.wait_until_finished("s").await);
}

/// One type, with tracking and without.
#[tokio::test]
async fn a_stack_is_of_one_type() {
    fn stack(layer: &WorkflowLayer) -> WorkflowService<Router> {
        layer.layer(Router::new())
    }
    let tracking = Tracking::start();
    for layer in [tracking.layer(), disabled(), WorkflowLayer::disabled()] {
        stack(&layer);
    }
}
