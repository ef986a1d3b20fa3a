//! [`Workflows`]: `/-/workflows`, where orchestrators open and end workflows.
//!
//! | route | body |
//! | --- | --- |
//! | `PUT /-/workflows/{session}` | `correlationId`, `attributes` and `newRun`, each optional |
//! | `POST /-/workflows/{session}/complete` | none, or `{}` |
//! | `POST /-/workflows/{session}/fail` | `error`: the reason, as text |

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde_json::{Map, Value as Json, json};
use tokio::time::{Instant, sleep, timeout};

use super::error::{AnyBody, ErrorResponse, json_response};
use super::route::{decoded, first_segment, session_id};
use crate::status::{AgentState, Item, OverallStatus, Value, WorkflowStatus};
use crate::{SessionId, StatusTracker, Workflow, WorkflowError};

/// The largest body of a request to these routes, in bytes: what an item has room for, twice over.
const MAX_BODY: usize = 256 << 10;

/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The workflows that were opened from outside.
pub(super) struct Workflows {
    tracker: StatusTracker,
    timeout: Duration,
    opened: Mutex<HashMap<SessionId, Opened>>,
}

/// A workflow that was opened from outside, and has not been finished since.
struct Opened {
    workflow: Workflow,
    /// When it was last seen to change.
    changed_at: Instant,
    calls: u64,
}

/// What a request to these routes asks for.
enum Action {
    Open,
    Complete,
    Fail,
}

impl Workflows {
    pub(super) fn new(tracker: StatusTracker, timeout: Duration) -> Self {
        Self { tracker, timeout, opened: Mutex::default() }
    }

    /// Responds to a request below `/-`.
    pub(super) async fn respond(
        &self,
        path: &str,
        has_token: bool,
        request: Request<Incoming>,
    ) -> Result<Response<AnyBody>, ErrorResponse> {
        let (session, action) = parse(path)?;
        let method = if matches!(action, Action::Open) { Method::PUT } else { Method::POST };
        if request.method() != method {
            let message = format!("this route accepts only {method}");
            let allow = if method == Method::PUT { "PUT" } else { "POST" };
            let error = ErrorResponse::new(StatusCode::METHOD_NOT_ALLOWED, message);
            return Err(error.with_header(ALLOW, allow));
        }
        if !has_token {
            let message = "the routes under /-/workflows require a token: set one with \
                           `--token-env` or `Forward::token`";
            return Err(ErrorResponse::new(StatusCode::FORBIDDEN, message));
        }
        // A page in a browser can send anything else without being asked.
        if !is_json(request.headers()) {
            let message = "send the body as JSON, with `content-type: application/json`";
            return Err(ErrorResponse::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
        }
        let body = read(request.into_body()).await?;
        match action {
            Action::Open => self.open(&session, &body),
            Action::Complete => {
                object(&body, &[])?;
                self.finish(&session, Ok(()))
            }
            Action::Fail => {
                let body = object(&body, &["error"])?;
                let error = text(&body, "error")?.ok_or_else(|| {
                    ErrorResponse::bad_request(
                        "`error` is missing: give the reason why the workflow failed",
                    )
                })?;
                self.finish(&session, Err(&error))
            }
        }
    }

    fn open(&self, session: &SessionId, body: &[u8]) -> Result<Response<AnyBody>, ErrorResponse> {
        let body = object(body, &["correlationId", "attributes", "newRun"])?;
        let correlation_id = text(&body, "correlationId")?;
        let attributes = attributes(body.get("attributes"))?;
        let new_run = match body.get("newRun") {
            None | Some(Json::Null) => false,
            Some(Json::Bool(new_run)) => *new_run,
            Some(_) => return Err(ErrorResponse::bad_request("`newRun` must be true or false")),
        };
        let mut opened = self.lock();
        if let Some(known) = opened.get_mut(session).filter(|_| !new_run) {
            // Another handle would be another run of the workflow in traces and metrics.
            let attributes: Vec<_> =
                attributes.iter().map(|(name, value)| (&**name, value.clone())).collect();
            self.tracker
                .initialize_status(session.as_str(), correlation_id.as_deref(), &attributes)
                .map_err(|error| refused(&error))?;
            known.changed_at = Instant::now();
            return Ok(described(&known.workflow.status(), StatusCode::OK));
        }
        let mut builder = self.tracker.workflow(session.as_str());
        if let Some(id) = correlation_id {
            builder = builder.correlation_id(id);
        }
        for (name, value) in attributes {
            builder = builder.attribute(name, value);
        }
        if new_run {
            builder = builder.new_run();
        }
        let workflow = builder.start().map_err(|error| refused(&error))?;
        let status = workflow.status();
        let opening = Opened { workflow, changed_at: Instant::now(), calls: 0 };
        if let Some(earlier) = opened.insert(session.clone(), opening) {
            // Its run is over.
            earlier.workflow.detach();
        }
        Ok(described(&status, StatusCode::CREATED))
    }

    /// Finishes a workflow that was opened here, or a session that this process knows from its
    /// calls.
    fn finish(
        &self,
        session: &SessionId,
        result: Result<(), &str>,
    ) -> Result<Response<AnyBody>, ErrorResponse> {
        let opened = self.lock().remove(session);
        if let Some(Opened { workflow, .. }) = opened {
            match result {
                Ok(()) => workflow.complete(),
                Err(error) => workflow.fail(error),
            }
            return Ok(described(&workflow.status(), StatusCode::OK));
        }
        let Some(mut status) = self.tracker.status(session.as_str()) else {
            let message = "this forwarder does not know the session: open it with \
                           `PUT /-/workflows/{session}`, or call an agent for it";
            return Err(ErrorResponse::new(StatusCode::NOT_FOUND, message));
        };
        let outcome: Result<(), &dyn fmt::Display> = match &result {
            Ok(()) => Ok(()),
            Err(error) => Err(error),
        };
        let finished = self.tracker.finalize_status(session.as_str(), outcome);
        finished.map_err(|error| refused(&error))?;
        // Once it is saved, a finished session leaves memory. One that had finished stays as it was.
        if !status.overall_status.is_finished() {
            let end = if result.is_ok() { OverallStatus::Completed } else { OverallStatus::Failed };
            status.overall_status = end;
        }
        Ok(described(&status, StatusCode::OK))
    }

    /// Fails the workflows whose orchestrators are gone, again and again.
    pub(super) async fn fail_abandoned(&self) -> Infallible {
        loop {
            sleep((self.timeout / 8).max(Duration::from_millis(1))).await;
            let now = Instant::now();
            self.lock().retain(|_, opened| {
                let is_kept = opened.is_in_use(now, self.timeout);
                if !is_kept {
                    let seconds = self.timeout.as_secs_f64();
                    opened.workflow.fail(format_args!(
                        "no call for {seconds} s, and the workflow was neither completed nor failed"
                    ));
                }
                is_kept
            });
        }
    }

    /// Leaves all workflows open.
    pub(super) fn detach(&self) {
        self.lock().drain().for_each(|(_, opened)| opened.workflow.detach());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Opened>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Opened {
    /// Whether there has been a call within the time-out, and the workflow has yet to end.
    fn is_in_use(&mut self, now: Instant, timeout: Duration) -> bool {
        let status = self.workflow.status();
        if status.overall_status.is_finished() {
            return false;
        }
        let mut calls = 0;
        let mut is_active = false;
        for (_, agent) in status.agents_by_start() {
            calls += agent.calls;
            is_active |= agent.state == AgentState::InProgress;
        }
        if is_active || calls != self.calls {
            (self.calls, self.changed_at) = (calls, now);
        }
        now.saturating_duration_since(self.changed_at) < timeout
    }
}

fn described(workflow: &WorkflowStatus, status: StatusCode) -> Response<AnyBody> {
    let session = workflow.session_id.as_str();
    let body = json!({ "sessionId": session, "overallStatus": workflow.status_text() });
    json_response(status, &body)
}

/// The session and what to do with it, of a path below `/-`.
fn parse(path: &str) -> Result<(SessionId, Action), ErrorResponse> {
    let unknown = || {
        let message =
            "no such route: use `/-/workflows/{session}`, or `complete` or `fail` below it";
        ErrorResponse::new(StatusCode::NOT_FOUND, message)
    };
    let path = path.strip_prefix("/workflows/").ok_or_else(unknown)?;
    let (session, rest) = first_segment(path);
    let action = match rest {
        "" => Action::Open,
        "/complete" => Action::Complete,
        "/fail" => Action::Fail,
        _ => return Err(unknown()),
    };
    Ok((session_id(&decoded(session)?)?, action))
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = value.unwrap_or_default().split(';').next().unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case("application/json")
}

async fn read(body: Incoming) -> Result<Bytes, ErrorResponse> {
    let collected = timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY).collect()).await;
    match collected {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let message = format!("the body is larger than the limit of {MAX_BODY} bytes");
            Err(ErrorResponse::new(StatusCode::PAYLOAD_TOO_LARGE, message))
        }
        Ok(Err(_)) => Err(ErrorResponse::bad_request("the body could not be read")),
        Err(_) => {
            let message = "the body did not arrive in time";
            Err(ErrorResponse::new(StatusCode::REQUEST_TIMEOUT, message))
        }
    }
}

/// A body that is an object with these keys at most. An empty body is an empty object.
fn object(body: &[u8], keys: &[&str]) -> Result<Map<String, Json>, ErrorResponse> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    let body: Json = serde_json::from_slice(body)
        .map_err(|error| ErrorResponse::bad_request(format!("the body is not JSON: {error}")))?;
    let Json::Object(body) = body else {
        return Err(ErrorResponse::bad_request("the body must be a JSON object"));
    };
    match body.keys().find(|key| !keys.contains(&key.as_str())) {
        None => Ok(body),
        Some(key) => {
            let known = if keys.is_empty() { "none".to_owned() } else { keys.join(", ") };
            let message = format!("the body has an unknown key {key:?}; known: {known}");
            Err(ErrorResponse::bad_request(message))
        }
    }
}

fn text(body: &Map<String, Json>, key: &str) -> Result<Option<String>, ErrorResponse> {
    match body.get(key) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(ErrorResponse::bad_request(format!("`{key}` must be a string"))),
    }
}

fn attributes(attributes: Option<&Json>) -> Result<Vec<(String, Value)>, ErrorResponse> {
    match attributes {
        None | Some(Json::Null) => Ok(Vec::new()),
        Some(Json::Object(attributes)) => {
            let values = attributes.iter().map(|(name, value)| {
                let value = value_of(value).ok_or_else(|| {
                    ErrorResponse::bad_request(format!(
                        "the attribute {name:?} has an unsupported value: use strings, numbers, \
                         lists and objects"
                    ))
                })?;
                Ok((name.clone(), value))
            });
            values.collect()
        }
        Some(_) => Err(ErrorResponse::bad_request("`attributes` must be an object")),
    }
}

/// The parser of JSON has bounded the depth.
fn value_of(json: &Json) -> Option<Value> {
    Some(match json {
        Json::String(text) => Value::String(text.clone()),
        Json::Number(number) => match number.as_u64() {
            Some(number) => Value::Integer(number),
            None => Value::Float(number.as_f64().filter(|number| number.is_finite())?),
        },
        Json::Array(list) => Value::List(list.iter().map(value_of).collect::<Option<_>>()?),
        Json::Object(map) => {
            let entries = map.iter().map(|(name, value)| Some((name.clone(), value_of(value)?)));
            Value::Map(entries.collect::<Option<Item>>()?)
        }
        Json::Bool(_) | Json::Null => return None,
    })
}

fn refused(error: &WorkflowError) -> ErrorResponse {
    let status = match error {
        WorkflowError::Full | WorkflowError::ShutDown => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    };
    ErrorResponse::new(status, error.to_string())
}
