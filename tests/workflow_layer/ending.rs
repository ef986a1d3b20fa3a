//! How a response finishes its workflow.

use axum::Extension;
use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{any, post as on_post};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tower_agent_status::status::AgentState::{Error, Success};
use tower_agent_status::status::OverallStatus::{Completed, Processing};
use tower_agent_status::testing::{assert_agents, assert_completed, assert_failed, assert_tokens};
use tower_agent_status::{SessionId, Workflow};

use crate::support::{CalledAgent, Tracking, http_client, piped, post, read, serve, session_of};

/// Serves a handler at `/`.
async fn serving<H, T>(tracking: &Tracking, handler: H) -> std::net::SocketAddr
where
    H: axum::handler::Handler<T, ()>,
    T: 'static,
{
    serve(Router::new().route("/", on_post(handler)).route_layer(tracking.layer())).await
}

/// Calls the service in the session `s` over a connection that breaks before or after the head.
async fn fails(address: std::net::SocketAddr) {
    let request = axum::extract::Request::post(format!("http://{address}/"))
        .header(crate::support::ASKED_SESSION, "s");
    let request = request.body(http_body_util::Full::default()).unwrap();
    if let Ok(response) = http_client().request(request).await {
        http_body_util::BodyExt::collect(response.into_body()).await.unwrap_err();
    }
}

#[tokio::test]
async fn an_unchanged_orchestrator_tracks_itself() {
    let tracking = Tracking::start();
    let agent = CalledAgent::start(&tracking).await;
    let address = serving(&tracking, async move || {
        let text = agent.ask("hello").await.unwrap();
        ([("content-type", "application/json")], text)
    })
    .await;
    let response = post(address, "/", None).await;
    let session = session_of(&response);
    assert!(session.starts_with("session-") && session.len() >= 33, "{session}");
    assert!(read(response).await.contains("hello"));
    let status = tracking.store.wait_until_finished(&session).await;
    assert_completed(&status);
    assert_agents(&status, [(crate::support::AGENT, Success)]);
    // The tokens in the response are not counted again.
    assert_tokens(&status, 3, 4);
    let states = tracking.store.states(&session, crate::support::AGENT);
    assert_eq!(states.last(), Some(&Success));
}

#[tokio::test]
async fn a_failure_of_the_service_fails_the_workflow_with_its_text() {
    let tracking = Tracking::start();
    let app = Router::new()
        .route("/500", on_post(async || (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({"error": "no such document"})))))
        .route("/bare", on_post(async || StatusCode::BAD_GATEWAY))
        .route("/400", on_post(async || (StatusCode::BAD_REQUEST, Json(json!({"detail": "a document is missing"})))))
        .route("/200", on_post(async || Json(json!({"success": false, "error": "not a trade"}))))
        .route("/sse", on_post(async || {
            let text = "data: {\"step\": 1}\n\ndata: {\"error\": {\"message\": \"the model is gone\"}}\n\n";
            ([("content-type", "text/event-stream")], text)
        }))
        .route_layer(tracking.layer());
    let address = serve(app).await;
    for (path, text) in [
        ("/500", "no such document"),
        ("/bare", "Bad Gateway"),
        ("/400", "a document is missing"),
        ("/200", "not a trade"),
        ("/sse", "the model is gone"),
    ] {
        let response = post(address, path, None).await;
        let session = session_of(&response);
        read(response).await;
        assert_failed(&tracking.store.wait_until_finished(&session).await, text);
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_fails_the_workflow() {
    let tracking = Tracking::start();
    let address = serving(&tracking, async || {
        let pieces = [Ok("half"), Err(std::io::Error::other("the disk is full"))];
        Body::from_stream(futures_util::stream::iter(pieces))
    })
    .await;
    fails(address).await;
    assert_failed(&tracking.store.wait_until_finished("s").await, "the disk is full");
}

#[tokio::test]
async fn a_caller_that_goes_away_before_the_response_fails_it() {
    let tracking = Tracking::start();
    let agent = CalledAgent::start(&tracking).await;
    let (started, mut has_started) = mpsc::channel(1);
    let address = serving(&tracking, async move || {
        agent.ask("hello").await.unwrap();
        started.send(()).await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    // Its own client, so that dropping it closes the connection.
    let call = tokio::spawn(post(address, "/", Some("s")));
    has_started.recv().await.unwrap();
    call.abort();
    let status = tracking.store.wait_until_finished("s").await;
    assert_failed(&status, "the caller gave up before the answer");
    assert_agents(&status, [(crate::support::AGENT, Success)]);
}

#[tokio::test]
async fn a_caller_that_goes_away_in_the_middle_of_the_body_fails_it() {
    let tracking = Tracking::start();
    let (pieces, body) = piped();
    let body = std::sync::Mutex::new(Some(body));
    let body = std::sync::Arc::new(body);
    let address = serving(&tracking, async move || {
        let body = body.lock().unwrap().take().unwrap();
        ([("content-type", "text/event-stream")], body)
    })
    .await;
    let call = tokio::spawn(async move {
        let response = post(address, "/", Some("s")).await;
        let mut body = response.into_body();
        http_body_util::BodyExt::frame(&mut body).await.unwrap().unwrap();
    });
    pieces.send("data: 1\n\n").await.unwrap();
    call.await.unwrap();
    assert_eq!(
        tracking.now("s").overall_status,
        tower_agent_status::status::OverallStatus::Initializing
    );
    // The server notices it when it writes.
    while pieces.send("data: 2\n\n").await.is_ok() {}
    let status = tracking.store.wait_until_finished("s").await;
    assert_failed(&status, "the caller gave up before the answer was complete");
}

#[tokio::test]
async fn a_handler_that_panics_fails_it() {
    let tracking = Tracking::start();
    let address = serving(&tracking, async || -> String { panic!("scripted panic") }).await;
    fails(address).await;
    assert_failed(&tracking.store.wait_until_finished("s").await, "the handler panicked");
}

#[tokio::test]
async fn a_body_that_panics_fails_it() {
    let tracking = Tracking::start();
    let address = serving(&tracking, async || {
        let pieces = futures_util::stream::poll_fn(
            |_| -> std::task::Poll<Option<Result<&str, std::io::Error>>> {
                panic!("scripted panic")
            },
        );
        Body::from_stream(pieces)
    })
    .await;
    fails(address).await;
    assert_failed(&tracking.store.wait_until_finished("s").await, "the handler panicked");
}

#[tokio::test]
async fn a_202_leaves_the_workflow_to_the_work_that_goes_on() {
    let tracking = Tracking::start();
    let agent = CalledAgent::start(&tracking).await;
    let (go_on, going_on) = oneshot::channel::<()>();
    let going_on = std::sync::Arc::new(std::sync::Mutex::new(Some(going_on)));
    let address = serving(&tracking, async move |Extension(workflow): Extension<Workflow>| {
        let going_on = going_on.lock().unwrap().take().unwrap();
        tokio::spawn(workflow.run(async move {
            going_on.await?;
            agent.ask("hello").await
        }));
        StatusCode::ACCEPTED
    })
    .await;
    let response = post(address, "/", None).await;
    let session = session_of(&response);
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    read(response).await;
    assert!(!tracking.now(&session).overall_status.is_finished());
    go_on.send(()).unwrap();
    let status = tracking.store.wait_until_finished(&session).await;
    assert_completed(&status);
    assert_agents(&status, [(crate::support::AGENT, Success)]);
}

#[tokio::test]
async fn after_a_202_the_last_clone_that_is_dropped_fails_it() {
    let tracking = Tracking::start();
    let (kept, mut keeps) = mpsc::channel(1);
    let address = serving(&tracking, async move |Extension(workflow): Extension<Workflow>| {
        kept.send(workflow).await.unwrap();
        StatusCode::ACCEPTED
    })
    .await;
    read(post(address, "/", Some("s")).await).await;
    let workflow = keeps.recv().await.unwrap();
    assert!(!workflow.status().overall_status.is_finished());
    drop(workflow);
    assert_failed(&tracking.store.wait_until_finished("s").await, "dropped before its end");

    // The handler did not take the workflow.
    let address = serving(&tracking, async || StatusCode::ACCEPTED).await;
    read(post(address, "/", Some("nobody")).await).await;
    assert_failed(&tracking.store.wait_until_finished("nobody").await, "nobody holds the workflow");
}

#[tokio::test]
async fn a_handler_that_finishes_or_lets_go_has_the_last_word() {
    let tracking = Tracking::start();
    let (finish, finishes) = oneshot::channel::<()>();
    let finishes = std::sync::Arc::new(std::sync::Mutex::new(Some(finishes)));
    let app = Router::new()
        .route(
            "/finished",
            on_post(async |Extension(workflow): Extension<Workflow>| {
                workflow.fail("a trade is missing");
                "{}"
            }),
        )
        .route(
            "/detached",
            on_post(async |Extension(workflow): Extension<Workflow>| {
                workflow.detach();
                StatusCode::INTERNAL_SERVER_ERROR
            }),
        )
        .route(
            "/working",
            on_post(async move |Extension(workflow): Extension<Workflow>| {
                let finishes = finishes.lock().unwrap().take().unwrap();
                tokio::spawn(workflow.clone().run(finishes));
                workflow.detach();
                "started"
            }),
        )
        .route_layer(tracking.layer());
    let address = serve(app).await;
    read(post(address, "/finished", Some("finished")).await).await;
    assert_failed(&tracking.store.wait_until_finished("finished").await, "a trade is missing");

    read(post(address, "/detached", Some("detached")).await).await;
    tracking.tracker.flush().await.unwrap();
    let status = tracking.store.status("detached").unwrap();
    assert!(!status.overall_status.is_finished(), "{status}");
    tracking.tracker.finalize_status("detached", Ok(())).unwrap();
    assert_completed(&tracking.store.wait_until_finished("detached").await);

    read(post(address, "/working", Some("working")).await).await;
    assert!(!tracking.now("working").overall_status.is_finished());
    finish.send(()).unwrap();
    assert_completed(&tracking.store.wait_until_finished("working").await);
}

#[tokio::test]
async fn spawned_work_needs_the_scope_and_then_calls_in_the_session() {
    let tracking = Tracking::start();
    let agent = CalledAgent::start(&tracking).await;
    let address = serving(&tracking, async move || {
        let lost = tokio::spawn({
            let agent = agent.clone();
            async move { agent.ask("lost").await.unwrap() }
        });
        lost.await.unwrap();
        let session = SessionId::current().unwrap();
        let given = tokio::spawn(session.scope(async move { agent.ask("given").await.unwrap() }));
        given.await.unwrap();
    })
    .await;
    read(post(address, "/", Some("s")).await).await;
    let status = tracking.store.wait_until_finished("s").await;
    assert_completed(&status);
    assert_eq!(status.agent(crate::support::AGENT).unwrap().calls, 1);
}

#[tokio::test]
async fn a_call_of_a_handler_that_is_given_up_is_cancelled() {
    let tracking = Tracking::start();
    let agent = CalledAgent::start(&tracking).await;
    let (started, mut has_started) = mpsc::channel(1);
    let silent = serve(Router::new().route(
        "/",
        any(async move || {
            started.send(()).await.unwrap();
            std::future::pending::<()>().await;
        }),
    ))
    .await;
    let agent = agent.at(silent);
    let address = serving(&tracking, async move || drop(agent.ask("hello").await)).await;
    let call = tokio::spawn(post(address, "/", Some("s")));
    has_started.recv().await.unwrap();
    assert_eq!(tracking.now("s").overall_status, Processing);
    call.abort();
    let status = tracking.store.wait_until_finished("s").await;
    assert_failed(&status, "the caller gave up before the answer");
    assert_agents(&status, [(crate::support::AGENT, Error)]);
    let error = status.agent(crate::support::AGENT).unwrap().error.as_ref().unwrap();
    assert_eq!(error.class, "cancelled");
}

#[tokio::test]
async fn many_requests_at_a_time_are_each_their_own() {
    let tracking = Tracking::start();
    let agent = CalledAgent::start(&tracking).await;
    let address = serving(&tracking, async move |body: String| -> Response {
        match agent.ask(&body).await {
            Ok(_) if body.ends_with('7') => StatusCode::CONFLICT.into_response(),
            Ok(text) => text.into_response(),
            Err(error) => panic!("{error}"),
        }
    })
    .await;
    let client = http_client();
    let calls = (0..40).map(|n| {
        let request = axum::extract::Request::post(format!("http://{address}/"))
            .header(crate::support::ASKED_SESSION, format!("s{n}"))
            .body(http_body_util::Full::from(n.to_string()))
            .unwrap();
        let client = client.clone();
        async move { read(client.request(request).await.unwrap()).await }
    });
    futures_util::future::join_all(calls).await;
    for n in 0..40 {
        let status = tracking.store.wait_until_finished(&format!("s{n}")).await;
        assert_eq!(status.overall_status == Completed, n % 10 != 7, "{status}");
        assert_agents(&status, [(crate::support::AGENT, Success)]);
        assert_tokens(&status, 3, 4);
    }
}

/// As with tower-http's `CatchPanic`, what panicked is dropped only after the panic was caught.
#[tokio::test]
async fn a_panic_that_is_caught_around_the_layer_is_told_as_one() {
    use futures_util::FutureExt as _;
    use tower::{Layer as _, Service as _};

    let tracking = Tracking::start();
    let request = || {
        let request = axum::extract::Request::post("/");
        request.header(crate::support::ASKED_SESSION, "s").body(Body::empty()).unwrap()
    };
    let handler = async || -> String { panic!("scripted panic") };
    let app = Router::new().route("/", on_post(handler));
    let future = tracking.layer().layer(app).call(request());
    std::panic::AssertUnwindSafe(future).catch_unwind().await.unwrap_err();
    assert_failed(&tracking.store.wait_until_finished("s").await, "the handler panicked");

    let tracking = Tracking::start();
    let body = async || {
        Body::from_stream(futures_util::stream::poll_fn(
            |_| -> std::task::Poll<Option<Result<&str, std::io::Error>>> {
                panic!("scripted panic")
            },
        ))
    };
    let app = Router::new().route("/", on_post(body));
    let response = tracking.layer().layer(app).call(request()).await.unwrap();
    let read = http_body_util::BodyExt::collect(response.into_body());
    std::panic::AssertUnwindSafe(read).catch_unwind().await.unwrap_err();
    assert_failed(&tracking.store.wait_until_finished("s").await, "the handler panicked");
}

#[tokio::test]
async fn a_tunnel_is_left_to_the_handler() {
    use tower::{Layer as _, Service as _};

    // The request that opens a WebSocket over HTTP/2.
    let tracking = Tracking::start();
    let kept = std::sync::Arc::new(std::sync::Mutex::new(None));
    let handler = {
        let kept = kept.clone();
        async move |Extension(workflow): Extension<Workflow>| {
            *kept.lock().unwrap() = Some(workflow);
            StatusCode::OK
        }
    };
    let app = Router::new().route("/", any(handler));
    let request = axum::extract::Request::connect("/")
        .header(crate::support::ASKED_SESSION, "s")
        .body(Body::empty())
        .unwrap();
    let response = tracking.layer().layer(app).call(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    drop(response);
    assert!(!tracking.now("s").overall_status.is_finished());
    kept.lock().unwrap().take().unwrap().complete();
    assert_completed(&tracking.store.wait_until_finished("s").await);
}
