//! The span and the duration of a workflow, around the spans of its calls.

use std::convert::Infallible;
use std::time::Duration;

use ::metrics::set_default_local_recorder;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tower::{Layer as _, ServiceExt as _};
use tower_agent_status::store::MemoryStore;
use tower_agent_status::{StatusLayer, WorkflowLayer, metrics};

use crate::support::model::CHAT;
use crate::support::spans::{Seen, Spans};
use crate::support::{AGENT, SESSION, builder};

/// The only span of a workflow.
fn workflow(spans: &Spans) -> Seen {
    let mut workflows = spans.by_name("invoke_workflow");
    assert_eq!(workflows.len(), 1, "{workflows:?}");
    workflows.remove(0)
}

#[tokio::test]
async fn a_workflow_is_the_parent_of_its_calls() {
    let (spans, _listening) = Spans::listen();
    let tracker = builder(MemoryStore::new()).start().unwrap();
    let work = async {
        CHAT.call(&tracker, AGENT, SESSION, (Method::POST, "/")).await;
        assert!(!workflow(&spans).is_closed);
        Ok::<_, Infallible>(())
    };
    tracker.workflow(SESSION).run(work).await.unwrap();
    assert_eq!(spans.call().parent, Some("invoke_workflow"));
    let seen = workflow(&spans);
    assert!(seen.is_closed);
    let expected = [
        ("otel.kind", "internal"),
        ("gen_ai.operation.name", "invoke_workflow"),
        ("gen_ai.conversation.id", SESSION),
    ];
    assert_eq!(seen.fields, expected.map(|(name, value)| (name, value.to_owned())).into());
}

#[tokio::test]
async fn all_scopes_of_a_workflow_are_in_its_one_span() {
    let (spans, _listening) = Spans::listen();
    let tracker = builder(MemoryStore::new()).start().unwrap();
    let caller = tracing::info_span!("caller");
    let started = caller.in_scope(|| tracker.workflow(SESSION).start().unwrap());
    for _ in 0..2 {
        started.scope(CHAT.call(&tracker, AGENT, SESSION, (Method::POST, "/"))).await;
    }
    let calls = spans.by_name("invoke_agent");
    assert_eq!(calls.len(), 2);
    assert!(calls.iter().all(|seen| seen.parent == Some("invoke_workflow")), "{calls:?}");
    let seen = workflow(&spans);
    assert_eq!((seen.parent, seen.is_closed), (Some("caller"), false));
    started.complete();
    assert!(workflow(&spans).is_closed, "the workflow has ended, though its handle is still held");
    started.scope(CHAT.call(&tracker, AGENT, SESSION, (Method::POST, "/"))).await;
    assert_eq!(spans.by_name("invoke_agent")[2].parent, None);
}

#[tokio::test]
async fn how_a_workflow_fails_is_told() {
    let tracker = builder(MemoryStore::new()).start().unwrap();
    let failed = |error: &str, message: &str, spans: &Spans| {
        let seen = workflow(spans);
        assert!(seen.is_closed);
        assert_eq!(seen.fields["error.type"], error);
        assert_eq!(seen.fields["otel.status_code"], "ERROR");
        assert_eq!(seen.fields["otel.status_description"], message);
    };

    let (spans, listening) = Spans::listen();
    let result = tracker.workflow(SESSION).run(async { Err::<(), _>(std::fmt::Error) }).await;
    result.unwrap_err();
    failed("core::fmt::Error", &std::fmt::Error.to_string(), &spans);
    drop(listening);

    let (spans, listening) = Spans::listen();
    tracker.workflow("second").start().unwrap().fail("no trades");
    failed("_OTHER", "no trades", &spans);
    drop(listening);

    let (spans, listening) = Spans::listen();
    drop(tracker.workflow("third").start().unwrap());
    failed("cancelled", "the workflow was dropped before its end", &spans);
    drop(listening);

    let (spans, _listening) = Spans::listen();
    tracker.workflow("fourth").start().unwrap().detach();
    let seen = workflow(&spans);
    assert!(seen.is_closed && !seen.fields.contains_key("error.type"), "{seen:?}");
}

#[tokio::test]
async fn a_request_to_a_service_is_a_workflow() {
    for (status, error) in [(200, None), (503, Some("http_503"))] {
        let (spans, _listening) = Spans::listen();
        let tracker = builder(MemoryStore::new()).start().unwrap();
        let client = StatusLayer::new(&tracker, AGENT).layer(CHAT);
        let handler = tower::service_fn(move |_: Request<Full<bytes::Bytes>>| {
            let client = client.clone();
            async move {
                let call = client.oneshot(Request::post("/").body(()).unwrap());
                call.await.unwrap().into_body().collect().await.unwrap();
                let response = Response::builder().status(status);
                Ok::<_, Infallible>(response.body(Full::<bytes::Bytes>::from("done")).unwrap())
            }
        });
        let service = WorkflowLayer::new(&tracker).layer(handler);
        let request = Request::post("/").body(Full::from("")).unwrap();
        let response = service.oneshot(request).await.unwrap();
        let session = response.headers()["x-workflow-session-id"].to_str().unwrap().to_owned();
        response.into_body().collect().await.unwrap();
        assert_eq!(spans.call().parent, Some("invoke_workflow"));
        let seen = workflow(&spans);
        assert!(seen.is_closed);
        assert_eq!(seen.fields["gen_ai.conversation.id"], session);
        assert_eq!(seen.fields.get("error.type").map(String::as_str), error);
    }
}

/// The recorded durations of workflows in whole seconds, each with its `error.type`.
fn durations(seen: &Snapshotter) -> Vec<(Option<String>, Vec<f64>)> {
    let mut found = Vec::new();
    for (key, _, _, value) in seen.snapshot().into_vec() {
        let key = key.key();
        if key.name() != metrics::WORKFLOW_DURATION {
            continue;
        }
        let label =
            |name| key.labels().find(|label| label.key() == name).map(|it| it.value().to_owned());
        assert_eq!(label("gen_ai.operation.name").as_deref(), Some("invoke_workflow"));
        let DebugValue::Histogram(values) = value else { panic!("{value:?}") };
        let values = values.iter().map(|value| value.floor()).collect();
        found.push((label("error.type"), values));
    }
    found
}

#[tokio::test(start_paused = true)]
async fn a_workflow_is_timed_from_its_start_to_its_first_end() {
    let recorder = DebuggingRecorder::new();
    let _listening = set_default_local_recorder(&recorder);
    let seen = recorder.snapshotter();
    let tracker = builder(MemoryStore::new()).start().unwrap();
    let workflow = tracker.workflow(SESSION).start().unwrap();
    tokio::time::advance(Duration::from_secs(7)).await;
    workflow.complete();
    workflow.fail("too late");
    drop(workflow);
    assert_eq!(durations(&seen), [(None, vec![7.0])]);

    let workflow = tracker.workflow("second").start().unwrap();
    tokio::time::advance(Duration::from_secs(2)).await;
    drop(workflow);
    let failed = durations(&seen).into_iter().find(|(error, _)| error.is_some());
    assert_eq!(failed, Some((Some("cancelled".to_owned()), vec![2.0])));
}
