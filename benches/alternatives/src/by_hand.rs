//! Tracking by hand: a function around each call that buffers the response, parses it, and writes the
//! state and the tokens into a shared map before and after the call.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use loopback::Result;
use serde_json::Value;
use tower::{BoxError, Service, ServiceExt as _};

tokio::task_local! {
    /// The session of the calls in a task.
    pub static SESSION: String;
}

/// The state of all workflows, by their sessions.
#[derive(Clone, Debug, Default)]
pub struct Table(Arc<Mutex<HashMap<String, Workflow>>>);

#[derive(Debug, Default)]
struct Workflow {
    status: &'static str,
    error: Option<String>,
    agents: HashMap<&'static str, Agent>,
}

#[derive(Debug, Default)]
struct Agent {
    status: &'static str,
    error: Option<String>,
    started_at: Option<SystemTime>,
    completed_at: Option<SystemTime>,
    duration: Option<Duration>,
    tokens: [u64; 3],
}

impl Table {
    pub fn start(&self, session: &str) {
        let workflow = Workflow { status: "initializing", ..Workflow::default() };
        self.0.lock().expect("never poisoned").insert(session.to_owned(), workflow);
    }

    pub fn finish<T, E: Display>(&self, session: &str, result: &Result<T, E>) {
        let mut workflows = self.0.lock().expect("never poisoned");
        let workflow = workflows.entry(session.to_owned()).or_default();
        match result {
            Ok(_) => workflow.status = "completed",
            Err(error) => {
                workflow.status = "failed";
                workflow.error = Some(error.to_string());
            }
        }
    }

    /// Before a call.
    pub fn call_started(&self, agent: &'static str) {
        self.update(agent, |agent| {
            agent.status = "in-progress";
            agent.started_at = Some(SystemTime::now());
        });
    }

    /// After a call, with its tokens.
    pub fn call_ended<E: Display>(&self, agent: &'static str, result: Result<[u64; 3], E>) {
        self.update(agent, |agent| {
            let now = SystemTime::now();
            agent.completed_at = Some(now);
            agent.duration = agent.started_at.and_then(|start| now.duration_since(start).ok());
            match result {
                Ok(tokens) => {
                    agent.status = "success";
                    for (sum, count) in agent.tokens.iter_mut().zip(tokens) {
                        *sum += count;
                    }
                }
                Err(error) => {
                    agent.status = "error";
                    agent.error = Some(error.to_string());
                }
            }
        });
    }

    fn update(&self, agent: &'static str, change: impl FnOnce(&mut Agent)) {
        SESSION.with(|session| {
            let mut workflows = self.0.lock().expect("never poisoned");
            let Some(workflow) = workflows.get_mut(session) else { return };
            workflow.status = "processing";
            change(workflow.agents.entry(agent).or_default());
        });
    }

    /// The tokens of a workflow that has completed with four successful calls.
    pub fn tokens(&self, session: &str) -> Option<[u64; 3]> {
        let workflows = self.0.lock().expect("never poisoned");
        let workflow = workflows.get(session)?;
        let succeeded = workflow.agents.values().filter(|agent| agent.status == "success");
        if workflow.status != "completed" || succeeded.count() != 4 {
            return None;
        }
        let mut sums = [0; 3];
        for agent in workflow.agents.values() {
            for (sum, count) in sums.iter_mut().zip(agent.tokens) {
                *sum += count;
            }
        }
        Some(sums)
    }
}

/// Calls an agent.
pub async fn call<S, R, B>(
    client: S,
    table: Table,
    agent: &'static str,
    request: Request<R>,
) -> Result<Response<Full<Bytes>>>
where
    S: Service<Request<R>, Response = Response<B>, Error: Into<BoxError>>,
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    table.call_started(agent);
    match send(client, request).await {
        Ok((response, tokens)) => {
            table.call_ended(agent, Ok::<_, BoxError>(tokens));
            Ok(response)
        }
        Err(error) => {
            table.call_ended(agent, Err(&error));
            Err(error)
        }
    }
}

async fn send<S, R, B>(client: S, request: Request<R>) -> Result<(Response<Full<Bytes>>, [u64; 3])>
where
    S: Service<Request<R>, Response = Response<B>, Error: Into<BoxError>>,
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let (head, body) = client.oneshot(request).await.map_err(Into::into)?.into_parts();
    if !head.status.is_success() {
        return Err(format!("status {}", head.status).into());
    }
    let body = body.collect().await.map_err(Into::into)?.to_bytes();
    let is_stream = head
        .headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    let tokens = if is_stream { tokens_of_events(&body)? } else { tokens(&parse(&body)?) };
    Ok((Response::from_parts(head, Full::new(body)), tokens))
}

fn parse(body: &[u8]) -> Result<Value> {
    Ok(serde_json::from_slice(body)?)
}

fn tokens_of_events(body: &[u8]) -> Result<[u64; 3]> {
    let mut sums = [0; 3];
    for event in std::str::from_utf8(body)?.split("\n\n") {
        for data in event.lines().filter_map(|line| line.strip_prefix("data: ")) {
            if data != "[DONE]" {
                let tokens = tokens(&parse(data.as_bytes())?);
                for (sum, count) in sums.iter_mut().zip(tokens) {
                    *sum += count;
                }
            }
        }
    }
    Ok(sums)
}

fn tokens(answer: &Value) -> [u64; 3] {
    let usage = &answer["usage"];
    ["prompt_tokens", "completion_tokens", "total_tokens"]
        .map(|name| usage[name].as_u64().unwrap_or_default())
}
