//! Tasks that outlive the call that started them, in the answers of real APIs over sockets: the
//! agent waits until a later call says how its task ended, and its tokens count once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use tower::{Layer, ServiceExt as _};
use tower_agent_status::status::{AgentStatus, OverallStatus, TaskId, WaitingFor, WorkflowStatus};
use tower_agent_status::store::MemoryStore;
use tower_agent_status::{StatusLayer, StatusTracker};

use crate::support::agent::{MockAgent, client, receive, whole};
use crate::support::{AGENT, SESSION, assert_contract_of_history, builder, id, of_session, stored};

/// An agent of the Responses API, with `store` and `background`.
const QUEUED: &str = r#"{"id":"resp_1","object":"response","status":"queued","background":true,"error":null,"output":[],"usage":null}"#;
const IN_PROGRESS: &str = r#"{"id":"resp_1","object":"response","status":"in_progress","background":true,"error":null,"output":[],"usage":null}"#;
const COMPLETED: &str = r#"{"id":"resp_1","object":"response","status":"completed","background":true,"error":null,"output":[{"id":"msg_1","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":"done"}]}],"usage":{"input_tokens":9,"output_tokens":3,"total_tokens":12}}"#;
const FAILED: &str = r#"{"id":"resp_1","object":"response","status":"failed","background":true,"error":{"code":"server_error","message":"the model is overloaded"},"output":[],"usage":null}"#;
const BUSY: &str = r#"{"error":{"message":"busy","type":"server_error"}}"#;

/// An agent whose answers follow a script, in a process of its own.
struct Stack {
    store: MemoryStore,
    tracker: StatusTracker,
    agent: MockAgent,
    answers: Arc<Mutex<VecDeque<(u16, &'static str)>>>,
}

impl Stack {
    async fn new() -> Self {
        let answers = Arc::<Mutex<VecDeque<_>>>::default();
        let script = Arc::clone(&answers);
        let agent = MockAgent::start(move |_| {
            let (status, body) = script.lock().unwrap().pop_front().unwrap();
            let response =
                Response::builder().status(status).header("content-type", "application/json");
            std::future::ready(response.body(whole(body)).unwrap())
        });
        let store = MemoryStore::new();
        let tracker = builder(store.clone()).start().unwrap();
        Self { store, tracker, agent: agent.await, answers }
    }

    /// Another process on the same table.
    fn restart(&mut self) {
        self.tracker = builder(self.store.clone()).start().unwrap();
    }

    async fn call(&self, agent: &str, method: Method, path: &str, status: u16, body: &'static str) {
        self.answers.lock().unwrap().push_back((status, body));
        let layer = StatusLayer::new(&self.tracker, agent);
        let request = Request::builder().method(method).uri(self.agent.url(path));
        let request = of_session(SESSION, request.body(Full::<Bytes>::default()).unwrap());
        let response = layer.layer(client()).oneshot(request).await.unwrap();
        assert_eq!(receive(response).await.body, body.as_bytes());
    }

    async fn post(&self, agent: &str, path: &str, body: &'static str) {
        self.call(agent, Method::POST, path, 200, body).await;
    }

    async fn get(&self, agent: &str, path: &str, body: &'static str) {
        self.call(agent, Method::GET, path, 200, body).await;
    }

    /// The stored workflow.
    async fn status(&self) -> WorkflowStatus {
        let item = stored(&self.tracker, &self.store, SESSION).await;
        WorkflowStatus::from_item(&id(SESSION), &item)
    }

    async fn agent(&self, name: &str) -> AgentStatus {
        self.status().await.agent(name).unwrap().clone()
    }

    async fn assert_waits(&self, name: &str, what: WaitingFor, task: &str) {
        let agent = self.agent(name).await;
        assert_eq!(agent.state.as_str(), "in-progress", "{agent:?}");
        assert_eq!((agent.waiting_for, agent.task_id), (Some(what), TaskId::new(task)));
    }

    async fn assert_ended(&self, name: &str, class: &str) {
        let agent = self.agent(name).await;
        let error = agent.error.as_ref().map(|error| &*error.class);
        let (state, error) = (agent.state.as_str(), error.unwrap_or_default());
        let expected = if class.is_empty() { "success" } else { "error" };
        assert_eq!((state, error), (expected, class), "{agent:?}");
        assert_eq!((agent.waiting_for, agent.task_id), (None, None));
        assert_contract_of_history(&self.store);
    }

    /// The total of an agent, and of the workflow.
    async fn tokens(&self, name: &str) -> (Option<u64>, Option<u64>) {
        let status = self.status().await;
        let agent = status.agent(name).unwrap().token_usage();
        (agent.and_then(|usage| usage.total_tokens), status.total_token_usage().total_tokens)
    }
}

const RESPONSES: &str = "/v1/responses";
const RESPONSE: &str = "/v1/responses/resp_1";

#[tokio::test]
async fn a_response_in_the_background_is_waited_for_until_a_poll_shows_its_end() {
    for poller in [AGENT, "poller"] {
        let stack = Stack::new().await;
        stack.post(AGENT, RESPONSES, QUEUED).await;
        stack.assert_waits(AGENT, WaitingFor::Task, "resp_1").await;
        assert!(stack.status().await.is_waiting());
        for _ in 0..3 {
            stack.get(poller, RESPONSE, IN_PROGRESS).await;
            stack.assert_waits(AGENT, WaitingFor::Task, "resp_1").await;
        }
        for _ in 0..3 {
            stack.get(poller, RESPONSE, COMPLETED).await;
            stack.assert_ended(AGENT, "").await;
            stack.assert_ended(poller, "").await;
            assert_eq!(stack.tokens(AGENT).await, (Some(12), Some(12)));
        }
        assert!(stack.status().await.unfinished_tasks.is_empty());
    }
}

#[tokio::test]
async fn a_response_in_the_background_that_fails_fails_its_agent() {
    let stack = Stack::new().await;
    stack.post(AGENT, RESPONSES, QUEUED).await;
    stack.call("poller", Method::GET, RESPONSE, 503, BUSY).await;
    stack.assert_waits(AGENT, WaitingFor::Task, "resp_1").await;
    stack.assert_ended("poller", "http_503").await;
    stack.get("poller", RESPONSE, FAILED).await;
    stack.assert_ended(AGENT, "agent").await;
    let error = stack.agent(AGENT).await.error.unwrap();
    assert_eq!(error.message.as_str(), "the model is overloaded");
}

#[tokio::test]
async fn a_process_that_resumes_counts_the_poll() {
    let mut stack = Stack::new().await;
    stack.post(AGENT, RESPONSES, QUEUED).await;
    stack.status().await;
    stack.restart();
    stack.get("poller", RESPONSE, COMPLETED).await;
    stack.get("poller", RESPONSE, COMPLETED).await;
    stack.assert_ended(AGENT, "").await;
    assert_eq!(stack.tokens(AGENT).await, (Some(12), Some(12)));
    stack.restart();
    stack.get("poller", RESPONSE, COMPLETED).await;
    assert_eq!(stack.tokens(AGENT).await, (Some(12), Some(12)));
}

#[tokio::test]
async fn a_get_of_a_stored_response_uses_no_tokens() {
    let stack = Stack::new().await;
    stack.get(AGENT, RESPONSE, COMPLETED).await;
    stack.assert_ended(AGENT, "").await;
    assert_eq!(stack.tokens(AGENT).await, (None, Some(0)));
    // A response that was complete at once counts with the call that made it.
    let stack = Stack::new().await;
    stack.post(AGENT, RESPONSES, COMPLETED).await;
    stack.get(AGENT, RESPONSE, COMPLETED).await;
    assert_eq!(stack.tokens(AGENT).await, (Some(12), Some(12)));
    assert_eq!(stack.agent(AGENT).await.calls, 2);
}

#[tokio::test]
async fn a_workflow_that_ends_before_its_task_does_not_show_a_success() {
    let stack = Stack::new().await;
    let workflow = stack.tracker.workflow(SESSION).start().unwrap();
    stack.post(AGENT, RESPONSES, QUEUED).await;
    workflow.complete();
    stack.assert_ended(AGENT, "unfinished").await;
    let error = stack.agent(AGENT).await.error.unwrap();
    assert!(error.message.as_str().contains("resp_1"), "{error}");
    assert_eq!(stack.status().await.overall_status, OverallStatus::Completed);
}

#[tokio::test]
async fn an_a2a_task_waits_for_input_and_ends_with_the_reply() {
    const ASKS: &str = r#"{"jsonrpc":"2.0","id":"1","result":{"kind":"task","id":"t1","contextId":"c1","status":{"state":"input-required","message":{"kind":"message","role":"agent","messageId":"m1","parts":[{"kind":"text","text":"Which year?"}]}}}}"#;
    const WORKS: &str = r#"{"jsonrpc":"2.0","id":"2","result":{"kind":"task","id":"t1","contextId":"c1","status":{"state":"working"}}}"#;
    const DONE: &str = r#"{"jsonrpc":"2.0","id":"3","result":{"kind":"task","id":"t1","contextId":"c1","status":{"state":"completed"},"artifacts":[]}}"#;
    let stack = Stack::new().await;
    stack.post(AGENT, "/", ASKS).await;
    stack.assert_waits(AGENT, WaitingFor::Input, "t1").await;
    stack.post(AGENT, "/", WORKS).await;
    stack.assert_waits(AGENT, WaitingFor::Task, "t1").await;
    stack.post("poller", "/", DONE).await;
    stack.assert_ended(AGENT, "").await;
}

#[tokio::test]
async fn runs_batches_and_predictions_are_waited_for() {
    // The answer that starts the task, the last poll, and the tokens.
    let table: [(&str, &str, &str, Option<u64>); 3] = [
        (
            "run_1",
            r#"{"id":"run_1","object":"thread.run","status":"queued","last_error":null,"usage":null}"#,
            r#"{"id":"run_1","object":"thread.run","status":"completed","last_error":null,"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}"#,
            Some(12),
        ),
        (
            "batch_1",
            r#"{"id":"batch_1","object":"batch","status":"validating","errors":null}"#,
            r#"{"id":"batch_1","object":"batch","status":"completed","errors":null}"#,
            None,
        ),
        (
            "p1",
            r#"{"id":"p1","status":"starting","error":null,"output":null,"urls":{"get":"https://api.replicate.com/v1/predictions/p1"}}"#,
            r#"{"id":"p1","status":"succeeded","error":null,"output":["x"],"urls":{"get":"https://api.replicate.com/v1/predictions/p1"}}"#,
            None,
        ),
    ];
    for (task, started, ended, tokens) in table {
        let stack = Stack::new().await;
        stack.post(AGENT, "/v1/tasks", started).await;
        stack.assert_waits(AGENT, WaitingFor::Task, task).await;
        stack.get(AGENT, &format!("/v1/tasks/{task}"), ended).await;
        stack.assert_ended(AGENT, "").await;
        assert_eq!(stack.tokens(AGENT).await.0, tokens, "{task}");
    }
}
