//! An agent that speaks A2A: versions 1.0 and 0.3 over JSON-RPC, and version 1.0 over HTTP and
//! JSON.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;
use serde_json::{Value as Json, json};

use super::agent::{AgentBody, MockAgent, data, whole};

/// How a client talks to the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binding {
    /// JSON-RPC, version 1.0.
    JsonRpc,
    /// HTTP and JSON, version 1.0.
    Rest,
    /// JSON-RPC, version 0.3.
    JsonRpc03,
}

pub(crate) const BINDINGS: [Binding; 3] = [Binding::JsonRpc, Binding::Rest, Binding::JsonRpc03];

/// The operations, as version 1.0 names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    SendMessage,
    SendStreamingMessage,
    GetTask,
    CancelTask,
}

/// The states of a task in order, each with the agent's message. The client's message selects the
/// plan.
type Plan = &'static [(&'static str, &'static str)];

fn plan(message: &str) -> Plan {
    match message {
        "match" => &[("SUBMITTED", ""), ("WORKING", ""), ("COMPLETED", "")],
        "fail" => &[("SUBMITTED", ""), ("WORKING", ""), ("FAILED", "the ledger is locked")],
        "reject" => &[("REJECTED", "not a task for this agent")],
        "ask" => &[("WORKING", ""), ("INPUT_REQUIRED", "which desk?")],
        "sign in" => &[("SUBMITTED", ""), ("AUTH_REQUIRED", "sign in at the bank")],
        // The reply to a question.
        "desk 7" => &[("COMPLETED", "")],
        // The stream ends although the task goes on.
        "break off" => &[("SUBMITTED", ""), ("WORKING", "")],
        _ => panic!("unknown message {message:?}"),
    }
}

/// A task and its position in its plan.
#[derive(Clone, Copy)]
struct Task {
    plan: Plan,
    step: usize,
}

/// The tasks of an agent, by their ids.
type Tasks = Arc<Mutex<BTreeMap<String, Task>>>;

pub(crate) async fn start(binding: Binding) -> MockAgent {
    let tasks = Tasks::default();
    MockAgent::start(move |request| answer(binding, Arc::clone(&tasks), request)).await
}

/// Returns the method, path and body of a request. `subject` is the text of a message or the id
/// of a task. A message with a task is a reply within it.
pub(crate) fn request(
    binding: Binding,
    operation: Operation,
    subject: &str,
    task: Option<&str>,
) -> (Method, String, Json) {
    let is_message = matches!(operation, Operation::SendMessage | Operation::SendStreamingMessage);
    let params = match (is_message, binding) {
        (false, _) => json!({"id": subject}),
        (true, Binding::JsonRpc03) => {
            let parts = json!([{"kind": "text", "text": subject}]);
            let message = json!({
                "kind": "message", "messageId": "m", "role": "user", "parts": parts, "taskId": task,
            });
            json!({"message": message, "configuration": {"blocking": false}})
        }
        (true, _) => {
            let parts = json!([{"text": subject}]);
            let message =
                json!({"messageId": "m", "role": "ROLE_USER", "parts": parts, "taskId": task});
            json!({"message": message, "configuration": {"returnImmediately": true}})
        }
    };
    if binding == Binding::Rest {
        return match operation {
            Operation::SendMessage => (Method::POST, "/v1/message:send".to_owned(), params),
            Operation::SendStreamingMessage => {
                (Method::POST, "/v1/message:stream".to_owned(), params)
            }
            Operation::GetTask => (Method::GET, format!("/v1/tasks/{subject}"), Json::Null),
            Operation::CancelTask => {
                (Method::POST, format!("/v1/tasks/{subject}:cancel"), json!({}))
            }
        };
    }
    let name = match (binding, operation) {
        (Binding::JsonRpc03, Operation::SendMessage) => "message/send".to_owned(),
        (Binding::JsonRpc03, Operation::SendStreamingMessage) => "message/stream".to_owned(),
        (Binding::JsonRpc03, Operation::GetTask) => "tasks/get".to_owned(),
        (Binding::JsonRpc03, Operation::CancelTask) => "tasks/cancel".to_owned(),
        (_, operation) => format!("{operation:?}"),
    };
    let call = json!({"jsonrpc": "2.0", "id": "call-1", "method": name, "params": params});
    (Method::POST, "/a2a".to_owned(), call)
}

async fn answer(binding: Binding, tasks: Tasks, request: Request<Incoming>) -> Response<AgentBody> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body: Json = serde_json::from_slice(&body).unwrap_or_default();
    let (operation, params) = operation(binding, &head.method, head.uri.path(), &body);
    let reply = Reply { binding };
    let mut tasks = tasks.lock().unwrap();
    match operation {
        Operation::SendMessage | Operation::SendStreamingMessage => {
            let message = &params["message"];
            let plan = plan(message["parts"][0]["text"].as_str().unwrap());
            let id = match message["taskId"].as_str() {
                Some(id) => id.to_owned(),
                None => format!("task-{}", tasks.len() + 1),
            };
            if operation == Operation::SendStreamingMessage {
                tasks.insert(id.clone(), Task { plan, step: plan.len() - 1 });
                return reply.stream(&id, plan);
            }
            tasks.insert(id.clone(), Task { plan, step: 0 });
            let task = reply.task(&id, plan[0]);
            match binding {
                Binding::JsonRpc03 => reply.document(task),
                _ => reply.document(json!({"task": task})),
            }
        }
        Operation::GetTask => {
            let id = params["id"].as_str().unwrap();
            let Some(task) = tasks.get_mut(id) else { return reply.not_found() };
            task.step = (task.step + 1).min(task.plan.len() - 1);
            reply.document(reply.task(id, task.plan[task.step]))
        }
        Operation::CancelTask => {
            let id = params["id"].as_str().unwrap();
            let Some(task) = tasks.get_mut(id) else { return reply.not_found() };
            *task = Task { plan: &[("CANCELED", "")], step: 0 };
            reply.document(reply.task(id, task.plan[0]))
        }
    }
}

/// Returns the requested operation and its parameters.
fn operation(binding: Binding, method: &Method, path: &str, body: &Json) -> (Operation, Json) {
    if binding == Binding::Rest {
        return match (method, path.strip_prefix("/v1/").unwrap()) {
            (&Method::POST, "message:send") => (Operation::SendMessage, body.clone()),
            (&Method::POST, "message:stream") => (Operation::SendStreamingMessage, body.clone()),
            (method, path) => {
                let id = path.strip_prefix("tasks/").unwrap();
                match id.strip_suffix(":cancel") {
                    Some(id) => (Operation::CancelTask, json!({"id": id})),
                    None => {
                        assert_eq!(method, Method::GET);
                        (Operation::GetTask, json!({"id": id}))
                    }
                }
            }
        };
    }
    assert_eq!((method, &body["jsonrpc"]), (&Method::POST, &json!("2.0")));
    let operation = match body["method"].as_str().unwrap() {
        "SendMessage" | "message/send" => Operation::SendMessage,
        "SendStreamingMessage" | "message/stream" => Operation::SendStreamingMessage,
        "GetTask" | "tasks/get" => Operation::GetTask,
        "CancelTask" | "tasks/cancel" => Operation::CancelTask,
        method => panic!("unknown method {method}"),
    };
    (operation, body["params"].clone())
}

/// Writes the responses of a binding.
#[derive(Clone, Copy)]
struct Reply {
    binding: Binding,
}

impl Reply {
    /// The status of a task in this state, with the agent's message.
    fn status(self, (state, text): (&str, &str)) -> Json {
        let mut status = json!({"timestamp": "2026-01-02T03:04:05.678Z"});
        status["state"] = match self.binding {
            Binding::JsonRpc03 => state.to_lowercase().replace('_', "-").into(),
            _ => format!("TASK_STATE_{state}").into(),
        };
        if !text.is_empty() {
            status["message"] = match self.binding {
                Binding::JsonRpc03 => json!({
                    "kind": "message", "messageId": "n", "role": "agent",
                    "parts": [{"kind": "text", "text": text}],
                }),
                _ => json!({"messageId": "n", "role": "ROLE_AGENT", "parts": [{"text": text}]}),
            };
        }
        status
    }

    /// A task in this state. Once completed, it has an artifact and reports its tokens.
    fn task(self, id: &str, state: (&str, &str)) -> Json {
        let mut task = json!({"id": id, "contextId": "context-1", "status": self.status(state)});
        if self.binding == Binding::JsonRpc03 {
            task["kind"] = json!("task");
        }
        if state.0 == "COMPLETED" {
            task["artifacts"] = json!([self.artifact()]);
            task["metadata"] = json!({"adk_usage_metadata": {
                "promptTokenCount": 900, "candidatesTokenCount": 40, "totalTokenCount": 940,
            }});
        }
        task
    }

    /// An artifact about a trade that failed, which says nothing about the task.
    fn artifact(self) -> Json {
        let trade =
            json!({"tradeId": "FAB_1", "status": "failed", "error": "no cash", "state": "working"});
        let part = match self.binding {
            Binding::JsonRpc03 => json!({"kind": "data", "data": trade}),
            _ => json!({"data": trade, "mediaType": "application/json"}),
        };
        json!({"artifactId": "artifact-1", "name": "trades", "parts": [part]})
    }

    fn document(self, result: Json) -> Response<AgentBody> {
        let (content_type, document) = match self.binding {
            Binding::Rest => ("application/a2a+json", result),
            _ => ("application/json", json!({"jsonrpc": "2.0", "id": "call-1", "result": result})),
        };
        let response = Response::builder().header("content-type", content_type);
        response.body(whole(document.to_string())).unwrap()
    }

    fn not_found(self) -> Response<AgentBody> {
        let error = match self.binding {
            Binding::Rest => {
                json!({"code": 404, "status": "NOT_FOUND", "message": "Task not found"})
            }
            _ => json!({"code": -32001, "message": "Task not found"}),
        };
        let (status, document) = match self.binding {
            Binding::Rest => (StatusCode::NOT_FOUND, json!({"error": error})),
            _ => (StatusCode::OK, json!({"jsonrpc": "2.0", "id": "call-1", "error": error})),
        };
        let response = Response::builder().status(status);
        let response = response.header("content-type", "application/json");
        response.body(whole(document.to_string())).unwrap()
    }

    /// Streams the task and an event for each later state of its plan.
    fn stream(self, id: &str, plan: Plan) -> Response<AgentBody> {
        let is_03 = self.binding == Binding::JsonRpc03;
        let task = self.task(id, plan[0]);
        let mut results = vec![if is_03 { task } else { json!({"task": task}) }];
        for state in &plan[1..] {
            if state.0 == "COMPLETED" {
                let update =
                    json!({"taskId": id, "contextId": "context-1", "artifact": self.artifact()});
                results.push(self.update("artifact", update));
            }
            let mut update =
                json!({"taskId": id, "contextId": "context-1", "status": self.status(*state)});
            if is_03 {
                update["final"] = (!matches!(state.0, "SUBMITTED" | "WORKING")).into();
            }
            results.push(self.update("status", update));
        }
        let events = results.into_iter().map(move |result| {
            let event = match self.binding {
                Binding::Rest => result,
                _ => json!({"jsonrpc": "2.0", "id": "call-1", "result": result}),
            };
            Ok::<_, Infallible>(data(Bytes::from(format!("data: {event}\n\n"))))
        });
        let body = StreamBody::new(stream::iter(events.collect::<Vec<_>>())).boxed();
        Response::builder().header("content-type", "text/event-stream").body(body).unwrap()
    }

    fn update(self, kind: &str, mut update: Json) -> Json {
        if self.binding == Binding::JsonRpc03 {
            update["kind"] = format!("{kind}-update").into();
            return update;
        }
        json!({format!("{kind}Update"): update})
    }
}
