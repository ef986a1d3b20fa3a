//! The example service, over a socket: an orchestrator that tracks itself.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail like tests")]

#[path = "layer/support/contract.rs"]
mod contract;

#[path = "../examples/orchestrator/agents.rs"]
mod agents;
#[path = "../examples/orchestrator/orchestrator.rs"]
mod orchestrator;
#[path = "../examples/orchestrator/scenario.rs"]
mod scenario;
#[path = "../examples/service/server.rs"]
mod server;
#[path = "../examples/orchestrator/tracking.rs"]
#[allow(dead_code, reason = "here the layer opens the workflows")]
mod tracking;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use clap::ValueEnum as _;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower_agent_status::status::AgentState;
use tower_agent_status::store::MemoryStore;
use tower_agent_status::testing::assert_failed;

use agents::{Agents, Pace};
use scenario::Scenario;

struct Running {
    address: SocketAddr,
    store: MemoryStore,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl Running {
    async fn start(scenario: Scenario, pace: f64) -> Self {
        let store = MemoryStore::new();
        let tracker = tracking::tracker(store.clone()).start().unwrap();
        let agents = Agents::start(scenario, Pace(pace)).await.unwrap();
        let orchestrator = tracking::orchestrator(&tracker, &agents, tracking::hyper_client());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            server::serve(listener, &tracker, orchestrator, stopped, Duration::ZERO).await.unwrap();
            tracker.shutdown(Duration::from_secs(10)).await.unwrap();
            drop(agents);
        });
        Self { address, store, stop, ended }
    }

    fn invocation(&self) -> http::request::Builder {
        Request::post(format!("http://{}/invocations", self.address))
            .header("x-amzn-bedrock-agentcore-runtime-custom-correlation-id", "corr_abc123")
            .header(
                "x-amzn-bedrock-agentcore-runtime-session-id",
                "runtime-session-of-33-characters-",
            )
    }

    /// Sends a request. Returns the status and body that the client receives, and the item of
    /// its session once the workflow has ended.
    async fn invoke(
        &self,
        request: http::request::Builder,
        body: &str,
    ) -> (StatusCode, String, Value) {
        let request = request.body(Full::from(body.to_owned())).unwrap();
        let response = tracking::hyper_client().request(request).await.unwrap();
        let session = response.headers()["x-workflow-session-id"].to_str().unwrap().to_owned();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        self.store.wait_until_finished(&session).await;
        let item = self.store.item(&session).unwrap();
        contract::assert_contract(&item);
        (status, String::from_utf8(body.to_vec()).unwrap(), serde_json::to_value(item).unwrap())
    }
}

const ASKED: &str = r#"{"document_id": "FAB_26933659", "source_type": "COUNTERPARTY"}"#;

#[tokio::test]
async fn every_scenario_ends_as_it_should_whether_it_is_streamed_or_not() {
    for scenario in Scenario::value_variants() {
        for accept in ["application/json", "text/event-stream"] {
            let running = Running::start(*scenario, 0.0).await;
            let request = running.invocation().header("accept", accept);
            let (status, body, item) = running.invoke(request, ASKED).await;
            assert_eq!(scenario.differences(&item), Vec::<String>::new(), "{scenario:?} {accept}");
            assert_eq!(item["sessionId"], "session-corr_abc123");
            assert_eq!(item["correlationId"], "corr_abc123");
            assert_eq!(item["documentId"], "FAB_26933659");
            assert_eq!(item["sourceType"], "COUNTERPARTY");
            assert_eq!(item["runtimeSessionId"], "runtime-session-of-33-characters-");

            let is_stream = accept == "text/event-stream";
            let ended_well = scenario.overall_status() == "completed";
            let answer: Value = if is_stream {
                let events: Vec<_> = body.trim_end().split("\n\n").collect();
                assert_eq!(events.len(), 2, "{body}");
                assert!(events[0].contains("\"started\""), "{body}");
                serde_json::from_str(events[1].strip_prefix("data: ").unwrap()).unwrap()
            } else {
                serde_json::from_str(&body).unwrap()
            };
            assert_eq!(answer["success"], ended_well, "{body}");
            // The client receives the error that the item has.
            assert_eq!(answer.get("error"), item.get("error"));
            assert_eq!(status == StatusCode::OK, is_stream || ended_well);
        }
    }
}

#[tokio::test]
async fn the_session_is_that_of_the_correlation_id_in_either_header() {
    let running = Running::start(Scenario::Matched, 0.0).await;
    let agentcore = "x-amzn-bedrock-agentcore-runtime-custom-correlation-id";
    for (headers, expected) in [
        (&[("x-correlation-id", "one")][..], "session-one"),
        (&[(agentcore, "two")], "session-two"),
        (&[("x-correlation-id", " "), (agentcore, "three")], "session-three"),
    ] {
        let mut request = Request::post(format!("http://{}/invocations", running.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (_, _, item) = running.invoke(request, ASKED).await;
        assert_eq!(item["sessionId"], expected);
    }
    // Without one, the session is new.
    let request = Request::post(format!("http://{}/invocations", running.address));
    let (_, _, item) = running.invoke(request.header("x-correlation-id", ""), ASKED).await;
    assert_ne!(item["sessionId"], "session-");
    assert!(item["correlationId"].is_null(), "{item}");
}

#[tokio::test]
async fn a_request_without_a_document_is_refused_and_says_so_in_its_item() {
    let running = Running::start(Scenario::Matched, 0.0).await;
    for (asked, message) in [("{}", "`document_id` is missing"), ("not json", "expected")] {
        let request = Request::post(format!("http://{}/invocations", running.address));
        let (status, body, item) = running.invoke(request, asked).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(body.contains(message), "{body}");
        assert!(item["error"].as_str().unwrap().contains(message), "{item}");
        assert_eq!(item["pdfAdapter"]["status"], "pending");
    }
}

#[tokio::test]
async fn a_ping_is_answered_and_opens_no_workflow() {
    let running = Running::start(Scenario::Matched, 0.0).await;
    let request = Request::get(format!("http://{}/ping", running.address));
    let request = request.body(Full::<Bytes>::default()).unwrap();
    let response = tracking::hyper_client().request(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/json");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(answer["status"], "Healthy");
    assert!(answer["time_of_last_update"].is_u64());
    running.stop.send(()).unwrap();
    running.ended.await.unwrap();
    assert_eq!(running.store.history(), []);
}

#[tokio::test]
async fn stopped_it_answers_what_is_running_and_saves_it() {
    // The first agent takes a minute and a half.
    let running = Running::start(Scenario::Matched, 100.0).await;
    let request = running.invocation().body(Full::from(ASKED)).unwrap();
    let call = tokio::spawn(tracking::hyper_client().request(request));
    let session = "session-corr_abc123";
    let is_called = |name: &str, state| {
        let name = name.to_owned();
        move |status: &tower_agent_status::status::WorkflowStatus| {
            status.agent(&name).is_some_and(|agent| agent.state == state)
        }
    };
    running.store.wait_for(session, is_called("pdfAdapter", AgentState::InProgress)).await;
    running.stop.send(()).unwrap();
    running.ended.await.unwrap();
    let response = call.await.unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let status = running.store.status(session).unwrap();
    assert_failed(&status, "the service was stopped");
    let pdf = status.agent("pdfAdapter").unwrap();
    assert_eq!(pdf.error.as_ref().unwrap().class, "cancelled", "{status}");
}
