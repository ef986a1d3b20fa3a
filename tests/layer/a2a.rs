//! A2A over real sockets: tasks that complete, fail, are rejected, ask for input, or never finish.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::{Value as Json, json};
use tower::{BoxError, Layer as _, ServiceExt as _};
use tower_agent_status::store::MemoryStore;
use tower_agent_status::{StatusLayer, StatusService, StatusTracker};

use crate::support::a2a_agent::{self, BINDINGS, Binding, Operation};
use crate::support::agent::{HttpClient, MockAgent, client, receive};
use crate::support::{AGENT, SESSION, builder, of_session, shape, stored, tokens};

use Operation::{CancelTask, GetTask, SendMessage, SendStreamingMessage};

/// An orchestrator with a client for the agent, and another that only polls.
struct Stack {
    binding: Binding,
    tracker: StatusTracker,
    store: MemoryStore,
    agent: MockAgent,
    client: StatusService<HttpClient>,
    poller: StatusService<HttpClient>,
}

async fn stack(binding: Binding) -> Stack {
    let store = MemoryStore::new();
    let tracker = builder(store.clone()).start().unwrap();
    let poller = StatusLayer::new(&tracker, "poller").layer(client());
    let client = StatusLayer::new(&tracker, AGENT).layer(client());
    Stack { binding, tracker, store, agent: a2a_agent::start(binding).await, client, poller }
}

impl Stack {
    /// Calls the agent and reads its response to the end, which must be what the agent sent.
    async fn call(&self, operation: Operation, subject: &str) -> Json {
        self.call_with(&self.client, operation, subject, None).await
    }

    /// Replies within a task.
    async fn reply(&self, text: &str, task: &str) -> Json {
        self.call_with(&self.client, SendMessage, text, Some(task)).await
    }

    async fn call_with(
        &self,
        client: &StatusService<HttpClient>,
        operation: Operation,
        subject: &str,
        task: Option<&str>,
    ) -> Json {
        let (method, path, body) = a2a_agent::request(self.binding, operation, subject, task);
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let request = Request::builder()
            .method(method)
            .uri(self.agent.url(&path))
            .header("content-type", "application/json")
            .header("a2a-version", if self.binding == Binding::JsonRpc03 { "0.3" } else { "1.0" })
            .body(Full::new(body))
            .unwrap();
        let response = client.clone().oneshot(of_session(SESSION, request)).await.unwrap();
        let received = receive(response).await;
        assert_eq!((&received.body, received.error), (&self.agent.take_sent(), None));
        serde_json::from_slice(&received.body).unwrap_or_default()
    }

    /// The stored attributes of an agent.
    async fn look_at(&self, agent: &str) -> Json {
        shape(&stored(&self.tracker, &self.store, SESSION).await)[agent].clone()
    }

    async fn look(&self) -> Json {
        self.look_at(AGENT).await
    }

    #[track_caller]
    fn assert_success(&self, agent: &Json, calls: u64) {
        let binding = self.binding;
        assert_eq!(agent["status"], "success", "{binding:?}: {agent}");
        assert_eq!(agent["calls"], calls, "{binding:?}: {agent}");
        for absent in ["error", "errorType", "waitingFor", "taskId"] {
            assert_eq!(agent[absent], Json::Null, "{binding:?}: {agent}");
        }
    }

    #[track_caller]
    fn assert_failure(&self, agent: &Json, class: &str, message: &str) {
        let binding = self.binding;
        assert_eq!(agent["status"], "error", "{binding:?}: {agent}");
        assert_eq!(agent["errorType"], class, "{binding:?}: {agent}");
        let text = agent["error"].as_str().unwrap();
        assert!(text.contains(message), "{binding:?}: {agent}");
        for absent in ["waitingFor", "taskId"] {
            assert_eq!(agent[absent], Json::Null, "{binding:?}: {agent}");
        }
    }

    #[track_caller]
    fn assert_waiting(&self, agent: &Json, waiting_for: &str, task: &str) {
        let binding = self.binding;
        assert_eq!(agent["status"], "in-progress", "{binding:?}: {agent}");
        assert_eq!(agent["waitingFor"], waiting_for, "{binding:?}: {agent}");
        assert_eq!(agent["taskId"], task, "{binding:?}: {agent}");
        for absent in ["error", "errorType", "completedAt", "duration"] {
            assert_eq!(agent[absent], Json::Null, "{binding:?}: {agent}");
        }
    }
}

/// The task in the response to a message.
fn task_id(binding: Binding, response: &Json) -> String {
    let task = match binding {
        Binding::JsonRpc => &response["result"]["task"],
        Binding::Rest => &response["task"],
        Binding::JsonRpc03 => &response["result"],
    };
    task["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_task_that_completes_is_a_success() {
    for binding in BINDINGS {
        let stack = stack(binding).await;
        let task = task_id(binding, &stack.call(SendMessage, "match").await);
        stack.call(GetTask, &task).await;
        stack.call(GetTask, &task).await;
        let agent = stack.look().await;
        stack.assert_success(&agent, 3);
        assert_eq!(agent["tokenUsage"], tokens(900, 40), "{binding:?}");
    }
}

#[tokio::test]
async fn a_task_that_fails_is_an_error_with_its_reason() {
    for binding in BINDINGS {
        let stack = stack(binding).await;
        let task = task_id(binding, &stack.call(SendMessage, "fail").await);
        stack.call(GetTask, &task).await;
        stack.call(GetTask, &task).await;
        stack.assert_failure(&stack.look().await, "agent", "the ledger is locked");
    }
}

#[tokio::test]
async fn a_task_that_is_rejected_is_an_error_at_once() {
    for binding in BINDINGS {
        let stack = stack(binding).await;
        stack.call(SendMessage, "reject").await;
        stack.assert_failure(&stack.look().await, "agent", "not a task for this agent");
    }
}

#[tokio::test]
async fn a_task_that_is_canceled_is_an_error() {
    for binding in BINDINGS {
        let stack = stack(binding).await;
        let task = task_id(binding, &stack.call(SendMessage, "match").await);
        stack.call(CancelTask, &task).await;
        stack.assert_failure(&stack.look().await, "agent", "");
    }
}

#[tokio::test]
async fn a_question_that_is_answered_is_a_success() {
    for binding in BINDINGS {
        let stack = stack(binding).await;
        let task = task_id(binding, &stack.call(SendMessage, "ask").await);
        stack.call(GetTask, &task).await;
        stack.reply("desk 7", &task).await;
        stack.assert_success(&stack.look().await, 3);
    }
}

#[tokio::test]
async fn a_task_that_is_unknown_is_an_error() {
    for binding in BINDINGS {
        let stack = stack(binding).await;
        stack.call(GetTask, "task-9").await;
        let class = if binding == Binding::Rest { "http_404" } else { "agent" };
        stack.assert_failure(&stack.look().await, class, "Task not found");
    }
}

#[tokio::test]
async fn a_stream_ends_as_its_task_does() {
    for binding in BINDINGS {
        let stack = stack(binding).await;
        stack.call(SendStreamingMessage, "match").await;
        stack.assert_success(&stack.look().await, 1);
        stack.call(SendStreamingMessage, "fail").await;
        stack.assert_failure(&stack.look().await, "agent", "the ledger is locked");
        stack.call(SendStreamingMessage, "reject").await;
        stack.assert_failure(&stack.look().await, "agent", "not a task for this agent");
    }
}

#[tokio::test]
async fn a_stream_that_ends_while_its_task_works_is_incomplete() {
    for binding in BINDINGS {
        let stack = stack(binding).await;
        stack.call(SendStreamingMessage, "break off").await;
        stack.assert_failure(&stack.look().await, "incomplete", "");
    }
}

#[tokio::test]
async fn an_agent_waits_until_its_task_completes() {
    for binding in BINDINGS {
        let stack = stack(binding).await;
        let task = task_id(binding, &stack.call(SendMessage, "match").await);
        stack.assert_waiting(&stack.look().await, "task", &task);
        stack.call(GetTask, &task).await;
        stack.assert_waiting(&stack.look().await, "task", &task);
        stack.call(GetTask, &task).await;
        stack.assert_success(&stack.look().await, 3);
    }
}

#[tokio::test]
async fn an_agent_waits_until_its_task_fails() {
    for binding in BINDINGS {
        let stack = stack(binding).await;
        let task = task_id(binding, &stack.call(SendMessage, "fail").await);
        stack.call(GetTask, &task).await;
        stack.assert_waiting(&stack.look().await, "task", &task);
        stack.call(GetTask, &task).await;
        stack.assert_failure(&stack.look().await, "agent", "the ledger is locked");
    }
}

#[tokio::test]
async fn an_agent_waits_for_input_until_somebody_replies() {
    for binding in BINDINGS {
        let stack = stack(binding).await;
        let task = task_id(binding, &stack.call(SendMessage, "ask").await);
        stack.assert_waiting(&stack.look().await, "task", &task);
        stack.call(GetTask, &task).await;
        stack.assert_waiting(&stack.look().await, "input", &task);
        stack.reply("desk 7", &task).await;
        stack.assert_success(&stack.look().await, 3);
    }
}

#[tokio::test]
async fn an_agent_waits_for_an_authorization() {
    for binding in BINDINGS {
        let stack = stack(binding).await;
        let task = task_id(binding, &stack.call(SendMessage, "sign in").await);
        stack.call(GetTask, &task).await;
        stack.assert_waiting(&stack.look().await, "authorization", &task);
    }
}

#[tokio::test]
async fn an_agent_waits_after_a_stream_that_ends_with_a_question() {
    for binding in BINDINGS {
        let stack = stack(binding).await;
        stack.call(SendStreamingMessage, "ask").await;
        stack.assert_waiting(&stack.look().await, "input", "task-1");
        stack.reply("desk 7", "task-1").await;
        stack.assert_success(&stack.look().await, 2);
    }
}

#[tokio::test]
async fn another_agent_may_see_how_a_task_ends() {
    for binding in BINDINGS {
        let stack = stack(binding).await;
        let task = task_id(binding, &stack.call(SendMessage, "fail").await);
        stack.call_with(&stack.poller, GetTask, &task, None).await;
        stack.assert_waiting(&stack.look().await, "task", &task);
        stack.call_with(&stack.poller, GetTask, &task, None).await;
        stack.assert_failure(&stack.look().await, "agent", "the ledger is locked");
    }
}

#[tokio::test]
async fn the_tokens_of_a_task_count_once_however_often_it_is_fetched() {
    for binding in BINDINGS {
        let stack = stack(binding).await;
        let task = task_id(binding, &stack.call(SendMessage, "match").await);
        for _ in 0..4 {
            stack.call(GetTask, &task).await;
        }
        let agent = stack.look().await;
        stack.assert_success(&agent, 5);
        assert_eq!(agent["tokenUsage"], tokens(900, 40), "{binding:?}");
    }
}

#[tokio::test]
async fn an_agent_that_waits_when_its_workflow_ends_is_unfinished() {
    for binding in BINDINGS {
        let stack = stack(binding).await;
        let run = stack.tracker.workflow(SESSION).run(async {
            let response = stack.call(SendMessage, "match").await;
            Ok::<_, BoxError>(task_id(binding, &response))
        });
        let task = run.await.unwrap();
        let item = shape(&stored(&stack.tracker, &stack.store, SESSION).await);
        assert_eq!(item["overallStatus"], json!("completed"), "{binding:?}");
        stack.assert_failure(&item[AGENT], "unfinished", &task);
    }
}
