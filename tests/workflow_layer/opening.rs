//! Which requests open a workflow, in which session, and with which attributes.

use axum::Extension;
use axum::Router;
use axum::extract::Request;
use axum::routing::any;
use http::{HeaderName, Method, StatusCode};
use http_body_util::Full;
use tower_agent_status::status::{Cost, OverallStatus, Value, WorkflowStatus};
use tower_agent_status::testing::{assert_completed, assert_failed};
use tower_agent_status::{SessionId, Workflow, WorkflowLayer};

use crate::support::{
    AGENT, ASKED_SESSION, CalledAgent, SESSION_HEADER, Tracking, http_client, post, read, serve,
    session_of,
};
use crate::warnings::Warnings;

fn app(layer: WorkflowLayer) -> Router {
    let handler = async |request: Request| -> StatusCode {
        match request.uri().path() {
            "/fails" => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::OK,
        }
    };
    Router::new().fallback(any(handler)).layer(layer)
}

async fn send(layer: WorkflowLayer, request: http::request::Builder) -> http::HeaderMap {
    let address = serve(app(layer)).await;
    let uri = format!("http://{address}{}", request.uri_ref().unwrap());
    let request = request.uri(uri).body(Full::default()).unwrap();
    http_client().request(request).await.unwrap().into_parts().0.headers
}

/// Sends a request, and returns the status of the session in the response's header.
async fn document(
    tracking: &Tracking,
    layer: WorkflowLayer,
    request: http::request::Builder,
) -> WorkflowStatus {
    let headers = send(layer, request).await;
    let session = headers[SESSION_HEADER].to_str().unwrap();
    tracking.store.wait_until_finished(session).await
}

#[tokio::test]
async fn the_session_is_that_of_the_header_or_a_new_one() {
    let tracking = Tracking::start();
    let request = || Request::post("/").header(ASKED_SESSION, "corr_1");
    let status = document(&tracking, tracking.layer(), request()).await;
    assert_eq!(status.session_id, "corr_1");

    let layer = tracking.layer().session_header_with(ASKED_SESSION, |id| format!("session-{id}"));
    assert_eq!(document(&tracking, layer.clone(), request()).await.session_id, "session-corr_1");

    let new = document(&tracking, layer.clone(), Request::post("/")).await;
    let other = document(&tracking, layer, Request::post("/")).await;
    assert!(new.session_id.as_str().starts_with("session-"), "{new}");
    assert_ne!(new.session_id, other.session_id);
}

#[tokio::test]
async fn the_session_may_come_from_a_closure_or_from_an_extension() {
    let tracking = Tracking::start();
    let layer = WorkflowLayer::new(&tracking.tracker)
        .session_from(|head| Some(format!("run-{}", head.path.strip_prefix("/runs/")?)));
    let status = document(&tracking, layer.clone(), Request::post("/runs/7")).await;
    assert_eq!(status.session_id, "run-7");
    let status = document(&tracking, layer.clone(), Request::post("/else")).await;
    assert!(status.session_id.as_str().starts_with("session-"));

    let extension = Extension(SessionId::new("by-extension").unwrap());
    let address = serve(app(layer).layer(extension)).await;
    let response = post(address, "/runs/8", None).await;
    assert_eq!(session_of(&response), "by-extension");
    assert_completed(&tracking.store.wait_until_finished("by-extension").await);
}

#[tokio::test]
async fn items_are_kept_as_long_as_the_layer_says() {
    let tracking = Tracking::start();
    for (layer, hours) in [
        (tracking.layer(), 90 * 24),
        (tracking.layer().retention(std::time::Duration::from_secs(3_600)), 1),
    ] {
        let status = document(&tracking, layer, Request::post("/")).await;
        let expires_at = status.expires_at.map(|at| at.as_secs());
        assert_eq!(expires_at, Some((status.created_at.as_millis() / 1_000) + hours * 3_600));
    }
}

#[tokio::test]
async fn a_request_can_end_and_wipe_only_the_sessions_that_it_may_name() {
    let warnings = Warnings::watch();
    let tracking = Tracking::start();
    let ours = tracking.tracker.workflow("ours/1").attribute("documentId", "FAB_1");
    let ours = ours.start().unwrap();
    // Anybody can end it, or wipe it, unless the layer says who may.
    let layer = tracking.layer().new_run().may_name_session(|head, session| {
        let tenant = head.headers.get("x-tenant").and_then(|tenant| tenant.to_str().ok());
        let rest = tenant.and_then(|tenant| session.as_str().strip_prefix(tenant));
        rest.is_some_and(|rest| rest.starts_with('/'))
    });
    for tenant in [None, Some("theirs"), Some("our")] {
        let mut request = Request::post("/fails").header(ASKED_SESSION, "ours/1");
        if let Some(tenant) = tenant {
            request = request.header("x-tenant", tenant);
        }
        let status = document(&tracking, layer.clone(), request).await;
        assert!(status.session_id.as_str().starts_with("session-"), "{tenant:?}: {status}");
        let status = tracking.now("ours/1");
        assert!(!status.overall_status.is_finished(), "{tenant:?}: {status}");
        assert!(status.attributes.contains_key("documentId"), "{tenant:?}: {status}");
    }
    let [warning] = &warnings.take()[..] else { panic!("one warning is logged") };
    assert!(warning.contains(r#""ours/1""#) && warning.contains("may not name"), "{warning}");

    ours.complete();
    let request = Request::post("/fails").header(ASKED_SESSION, "ours/1");
    let status = document(&tracking, layer.clone(), request.header("x-tenant", "ours")).await;
    assert_eq!(status.session_id, "ours/1");
    // A session of the program itself needs no permission, nor does a request without one.
    let extension = Extension(SessionId::new("by-extension").unwrap());
    let address = serve(app(layer).layer(extension)).await;
    assert_eq!(session_of(&post(address, "/", Some("ours/1")).await), "by-extension");
    assert_eq!(warnings.take(), [""; 0]);
}

#[tokio::test]
async fn what_a_closure_finds_is_checked_too() {
    let tracking = Tracking::start();
    let layer = WorkflowLayer::new(&tracking.tracker)
        .session_from(|head| Some(head.path.trim_start_matches('/').to_owned()))
        .may_name_session(|_, session| session == "a");
    assert_eq!(document(&tracking, layer.clone(), Request::post("/a")).await.session_id, "a");
    assert_ne!(document(&tracking, layer, Request::post("/b")).await.session_id, "b");
}

#[tokio::test]
async fn a_scope_around_the_server_is_not_the_requests() {
    let tracking = Tracking::start();
    let outer = tracking.tracker.workflow("outer").start().unwrap();
    let service = app(tracking.layer());
    let request = Request::post("/").body(axum::body::Body::empty()).unwrap();
    let response = outer.scope(tower::ServiceExt::oneshot(service, request)).await.unwrap();
    assert_ne!(session_of(&response), "outer");
    assert!(!outer.status().overall_status.is_finished());
}

#[tokio::test]
async fn an_id_that_cannot_be_is_left_out_and_said_once() {
    let warnings = Warnings::watch();
    let tracking = Tracking::start();
    let layer = tracking.layer();
    for _ in 0..2 {
        let request = Request::post("/").header(ASKED_SESSION, "x".repeat(3000));
        let status = document(&tracking, layer.clone(), request).await;
        assert!(status.session_id.as_str().starts_with("session-"), "{status}");
    }
    let [warning] = &warnings.take()[..] else { panic!("one warning is logged") };
    assert!(warning.contains("3000 bytes"), "{warning}");
}

#[tokio::test]
async fn a_blank_header_counts_as_missing_and_one_that_is_unreadable_warns() {
    const CORRELATION: HeaderName = HeaderName::from_static("x-correlation-id");
    let warnings = Warnings::watch();
    let tracking = Tracking::start();
    let layer = tracking
        .layer()
        .session_header_with(CORRELATION, |id| format!("session-{id}"))
        .correlation_header(CORRELATION)
        .attribute_header("sourceType", HeaderName::from_static("x-source"));
    let mut sessions = Vec::new();
    for value in [&b""[..], b"", b" "] {
        let request = Request::post("/").header(CORRELATION, value).header("x-source", value);
        let status = document(&tracking, layer.clone(), request).await;
        assert_eq!((status.correlation_id, status.attributes.len()), (None, 0), "{value:?}");
        sessions.push(status.session_id);
    }
    // None of them is `session-`, which all would share.
    sessions.dedup();
    assert_eq!(sessions.len(), 3);
    assert!(sessions.iter().all(|session| session.as_str().len() > 20), "{sessions:?}");
    assert_eq!(warnings.take(), [""; 0]);

    for _ in 0..2 {
        let request = Request::post("/").header(CORRELATION, "corr_ä".as_bytes());
        let status = document(&tracking, layer.clone(), request).await;
        assert_eq!(status.correlation_id, None);
    }
    let warnings = warnings.take();
    assert_eq!(warnings.len(), 2, "of the session, and of the correlation id: {warnings:?}");
    for warning in warnings {
        assert!(warning.contains("`x-correlation-id` is not visible ASCII"), "{warning}");
    }
}

#[tokio::test]
async fn attributes_and_correlation_id_are_taken_along() {
    let warnings = Warnings::watch();
    let tracking = Tracking::start();
    let layer = tracking
        .layer()
        .correlation_header(HeaderName::from_static("x-correlation-id"))
        .attribute("region", "eu")
        .attribute_header("sourceType", HeaderName::from_static("x-source"))
        .attribute_from("length", |head| Some(Value::Integer(head.path.len() as u64)));
    let request =
        Request::post("/runs").header("x-correlation-id", "corr_1").header("x-source", "BANK");
    let status = document(&tracking, layer.clone(), request).await;
    assert_eq!(status.correlation_id.as_deref(), Some("corr_1"));
    let attributes: Vec<_> = status.attributes.iter().collect();
    let expected = [5.into(), "eu".into(), Value::from("BANK")];
    let names = ["length", "region", "sourceType"];
    assert_eq!(attributes, names.into_iter().zip(&expected).collect::<Vec<_>>());

    // One header is missing in each request, and the value of the other is too long.
    for header in ["x-correlation-id", "x-source"] {
        let request = Request::post("/").header(header, "x".repeat(5000));
        let status = document(&tracking, layer.clone(), request).await;
        assert_eq!((status.correlation_id, status.attributes.len()), (None, 2), "{header}");
    }
    assert_eq!(warnings.take().len(), 1, "it is logged once");
}

#[tokio::test]
async fn a_handler_may_add_what_only_the_body_tells() {
    let tracking = Tracking::start();
    let handler = async |Extension(workflow): Extension<Workflow>, body: String| {
        workflow.set_correlation_id(format!("corr_{body}")).unwrap();
        workflow.set_attribute("documentId", body).unwrap();
        workflow.set_attribute("error", "x").unwrap_err();
        workflow.set_attribute(AGENT, "x").unwrap_err();
        workflow.set_attribute("text", "x".repeat(5000)).unwrap_err();
        workflow.set_correlation_id("x".repeat(5000)).unwrap_err();
    };
    let app = Router::new().route("/", axum::routing::post(handler));
    let address = serve(app.route_layer(tracking.layer())).await;
    let request = Request::post(format!("http://{address}/")).header(ASKED_SESSION, "s");
    let response = http_client().request(request.body(Full::from("FAB_1")).unwrap()).await.unwrap();
    read(response).await;
    let status = tracking.store.wait_until_finished("s").await;
    assert_completed(&status);
    assert_eq!(status.correlation_id.as_deref(), Some("corr_FAB_1"));
    let attributes: Vec<_> = status.attributes.iter().collect();
    assert_eq!(attributes, [("documentId", &Value::from("FAB_1"))]);
}

#[tokio::test]
async fn names_that_cannot_be_are_refused_at_set_up() {
    let tracking = Tracking::start();
    let layer = || WorkflowLayer::new(&tracking.tracker);
    for name in ["", "overallStatus", AGENT, "a\nb"] {
        let declared = std::panic::AssertUnwindSafe(|| layer().attribute(name, "x"));
        std::panic::catch_unwind(declared).expect_err(name);
    }
    let long = std::panic::AssertUnwindSafe(|| layer().attribute("x", "x".repeat(5000)));
    std::panic::catch_unwind(long).unwrap_err();
}

#[tokio::test]
async fn the_item_has_the_trace_of_the_request() {
    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let tracking = Tracking::start();
    let traceparent = |id: &str| format!("00-{id}-00f067aa0ba902b7-01");
    let upper_case = ID.to_uppercase();
    for (header, expected) in [
        (Some(traceparent(ID)), Some(ID)),
        (Some(format!(" {} ", traceparent(ID))), Some(ID)),
        (Some(traceparent(&upper_case)), None),
        (Some(traceparent(&"0".repeat(32))), None),
        (Some(traceparent(&ID[1..])), None),
        (Some(traceparent(&ID.replace('4', "g"))), None),
        (Some(traceparent(ID).replace("00-4", "ff-4")), None),
        (Some(ID.to_owned()), None),
        (Some(String::new()), None),
        (None, None),
    ] {
        let mut request = Request::post("/");
        if let Some(header) = &header {
            request = request.header("traceparent", header);
        }
        let status = document(&tracking, tracking.layer(), request).await;
        assert_eq!(status.trace_id.as_deref(), expected, "{header:?}");
        let item = tracking.store.item(status.session_id.as_str()).unwrap();
        assert_eq!(item.get("traceId").and_then(Value::as_str), expected, "{header:?}");
    }
}

#[tokio::test]
async fn the_item_has_the_budgets_of_the_layer() {
    let tracking = Tracking::start();
    for (layer, usd, tokens) in [
        (tracking.layer(), None, None),
        (tracking.layer().budget_usd(0.1), Some("0.1"), None),
        (tracking.layer().budget_tokens(200_000), None, Some(200_000)),
        (tracking.layer().budget_usd(2.5).budget_tokens(0), Some("2.5"), Some(0)),
    ] {
        let status = document(&tracking, layer, Request::post("/")).await;
        let budget = status.budget.map(|budget| *budget).unwrap_or_default();
        let usd: Option<Cost> = usd.map(|usd| usd.parse().unwrap());
        assert_eq!((budget.usd, budget.tokens), (usd, tokens));
        assert_eq!(budget.exceeded_at, None);
        let item = tracking.store.item(status.session_id.as_str()).unwrap();
        assert_eq!(item.get("budgetUsd").cloned(), usd.map(Value::from));
        assert_eq!(item.get("budgetTokens").and_then(Value::as_u64), tokens);
    }
}

#[tokio::test]
async fn a_bad_budget_is_refused_at_set_up() {
    let tracking = Tracking::start();
    for (usd, named) in [
        (-1.0, "-1 USD: negative"),
        (f64::NAN, "NaN USD: not a number"),
        (f64::INFINITY, "inf USD: "),
        (1e30, "1000000000000000000000000000000 USD: too large"),
    ] {
        let layer = || WorkflowLayer::new(&tracking.tracker).budget_usd(usd);
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(layer)).unwrap_err();
        let message = panic.downcast_ref::<String>().unwrap();
        let expected = format!("WorkflowLayer: invalid budget of {named}");
        assert!(message.starts_with(&expected), "{message}");
    }
}

#[tokio::test]
async fn safe_methods_open_none_unless_the_filter_says_so() {
    let tracking = Tracking::start();
    for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
        let headers = send(tracking.layer(), Request::builder().method(&method).uri("/ping")).await;
        assert!(!headers.contains_key(SESSION_HEADER), "{method}");
    }
    tracking.tracker.flush().await.unwrap();
    assert_eq!(tracking.store.history(), []);

    let only_runs = tracking.layer().filter(|head| head.path.starts_with("/runs"));
    for method in [Method::GET, Method::HEAD, Method::POST] {
        let request = Request::builder().method(&method).uri("/runs");
        assert_completed(&document(&tracking, only_runs.clone(), request).await);
    }
    let headers = send(only_runs, Request::post("/else")).await;
    assert!(!headers.contains_key(SESSION_HEADER));
}

#[tokio::test]
async fn the_response_header_can_be_named_and_is_left_to_the_handler() {
    let tracking = Tracking::start();
    let name = HeaderName::from_static("x-run");
    let request = || Request::post("/").header(ASKED_SESSION, "s");
    let headers = send(tracking.layer().response_header(name.clone()), request()).await;
    assert_eq!(headers[&name], "s");
    assert!(!headers.contains_key(SESSION_HEADER));
    let headers = send(tracking.layer().response_header(None), request()).await;
    assert!(!headers.contains_key(SESSION_HEADER) && !headers.contains_key(&name));

    let handler = async || ([("x-run", "the handler's")], "");
    let app = Router::new().route("/", axum::routing::post(handler));
    let address = serve(app.route_layer(tracking.layer().response_header(name.clone()))).await;
    let response = post(address, "/", None).await;
    let values: Vec<_> = response.headers().get_all(&name).iter().collect();
    assert_eq!(values, ["the handler's"]);
}

#[tokio::test]
async fn of_two_layers_the_outer_one_opens_the_workflow() {
    let tracking = Tracking::start();
    let agent = CalledAgent::start(&tracking).await;
    let inner = tracking.layer().session_from(|_| Some("inner".to_owned()));
    let outer = tracking.layer().session_from(|_| Some("outer".to_owned()));
    let handler = async move || drop(agent.ask("hello").await.unwrap());
    let app = Router::new().route("/", axum::routing::post(handler));
    let address = serve(app.route_layer(inner).route_layer(outer)).await;
    let response = post(address, "/", None).await;
    assert_eq!(session_of(&response), "outer");
    read(response).await;
    assert_eq!(tracking.store.wait_until_finished("outer").await.agent(AGENT).unwrap().calls, 1);
    assert!(tracking.store.status("inner").is_none());

    // The layers of two trackers each open their own workflow.
    let other = Tracking::start();
    let both = app_of_two(&tracking, &other);
    read(post(serve(both).await, "/", Some("both")).await).await;
    assert_completed(&tracking.store.wait_until_finished("both").await);
    assert_completed(&other.store.wait_until_finished("both").await);
}

fn app_of_two(one: &Tracking, other: &Tracking) -> Router {
    app(one.layer()).layer(other.layer())
}

#[tokio::test]
async fn a_session_is_resumed_and_one_that_is_finished_stays_finished() {
    let tracking = Tracking::start();
    let agent = CalledAgent::start(&tracking).await;
    let handler = async move |request: Request| {
        agent.ask("hello").await.unwrap();
        match request.uri().path() {
            "/fails" => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::OK,
        }
    };
    let app = |layer| Router::new().fallback(any(handler.clone())).layer(layer);
    let resumes = serve(app(tracking.layer())).await;
    read(post(resumes, "/fails", Some("s")).await).await;
    let first = tracking.store.wait_until_finished("s").await;
    assert_failed(&first, "Internal Server Error");
    read(post(resumes, "/", Some("s")).await).await;
    tracking.tracker.flush().await.unwrap();
    let second = tracking.store.status("s").unwrap();
    assert_failed(&second, "Internal Server Error");
    assert_eq!(second.agent(AGENT).unwrap().calls, 2);
    assert_eq!(second.created_at, first.created_at);

    // If each request starts a new run, the item has the result of the last one.
    let begins_anew = serve(app(tracking.layer().new_run())).await;
    read(post(begins_anew, "/", Some("s")).await).await;
    tracking.tracker.flush().await.unwrap();
    let third = tracking.store.status("s").unwrap();
    assert_completed(&third);
    assert_eq!(third.agent(AGENT).unwrap().calls, 1);
}

#[tokio::test]
async fn of_two_requests_in_one_session_at_a_time_the_first_to_end_finishes_it() {
    let tracking = Tracking::start();
    let (answer, answers) = tokio::sync::mpsc::channel::<StatusCode>(1);
    let answers = std::sync::Arc::new(tokio::sync::Mutex::new(answers));
    let handler = async move || answers.lock().await.recv().await.unwrap();
    let app = Router::new().route("/", axum::routing::post(handler));
    let address = serve(app.route_layer(tracking.layer())).await;
    let both = [(); 2].map(|()| tokio::spawn(post(address, "/", Some("s"))));
    answer.send(StatusCode::OK).await.unwrap();
    assert_completed(&tracking.store.wait_until_finished("s").await);
    answer.send(StatusCode::INTERNAL_SERVER_ERROR).await.unwrap();
    for call in both {
        assert_eq!(session_of(&call.await.unwrap()), "s");
    }
    tracking.tracker.flush().await.unwrap();
    assert_completed(&tracking.store.status("s").unwrap());
}

#[tokio::test]
async fn a_service_whose_tracker_was_shut_down_answers_all_the_same() {
    let tracking = Tracking::start();
    tracking.tracker.shutdown(std::time::Duration::from_secs(1)).await.unwrap();
    let warnings = Warnings::watch();
    let headers = send(tracking.layer(), Request::post("/")).await;
    assert!(!headers.contains_key(SESSION_HEADER));
    assert!(warnings.take().iter().any(|line| line.contains("shut down")));
    assert_eq!(tracking.store.history(), []);
}

#[tokio::test]
async fn a_new_workflow_is_initializing_until_its_first_call() {
    let tracking = Tracking::start();
    let handler = async |Extension(workflow): Extension<Workflow>| {
        assert_eq!(workflow.status().overall_status, OverallStatus::Initializing);
        assert_eq!(SessionId::current().as_ref(), Some(workflow.session_id()));
    };
    let app = Router::new().route("/", axum::routing::post(handler));
    let address = serve(app.route_layer(tracking.layer())).await;
    assert_eq!(post(address, "/", None).await.status(), StatusCode::OK);
}
