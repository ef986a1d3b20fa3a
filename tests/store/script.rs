//! A connector that fails by a script, and otherwise passes requests to an engine.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{HttpClient, RuntimeComponents, SharedHttpClient};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use fastrand::Rng;
use tower_agent_status::store::DynamoDbStore;

/// What happens to one request.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// It is executed.
    Pass,
    /// It is delayed for this long, and then follows this step.
    Delay(Duration, Box<Step>),
    /// The service rejects it: status, error code, message.
    Refuse(u16, &'static str, String),
    /// It is answered with this status and body.
    Answer(u16, &'static str),
    /// It is a query of a day of the index, and gets a page without items and a key to continue
    /// from.
    EmptyPage,
    /// The connection is refused.
    ConnectionRefused,
    /// The connection breaks off.
    Reset,
    /// The connection times out.
    TimeOut,
    /// There is never a response.
    Hang,
    /// It is executed, and the response is lost in this way.
    ApplyThen(Box<Step>),
    /// It is executed, and the error of a failed condition comes without the item.
    WithoutItem,
}

impl Step {
    pub(crate) fn refuse(code: &'static str) -> Self {
        Self::Refuse(400, code, "told so by the script".to_owned())
    }

    pub(crate) fn after(self, time: Duration) -> Self {
        Self::Delay(time, Box::new(self))
    }

    pub(crate) fn apply_then(self) -> Self {
        Self::ApplyThen(Box::new(self))
    }
}

/// The steps to come for each operation, and the operations requested.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    steps: Vec<(&'static str, VecDeque<Step>)>,
    always: Vec<(&'static str, Step)>,
    log: Vec<String>,
    /// The requests since the last call of [`consistent`](Script::consistent).
    requests: Vec<(String, serde_json::Value)>,
    chance: Option<Chance>,
    /// How many more requests pass, if not all.
    left: Option<usize>,
}

/// Faults from a seed.
#[derive(Debug)]
struct Chance {
    rng: Rng,
    /// How many of a hundred requests meet a fault.
    faults: u8,
    /// How many more connections are refused.
    away: usize,
}

impl Chance {
    fn step(&mut self) -> Step {
        let rng = &mut self.rng;
        if self.away > 0 {
            self.away -= 1;
            return Step::ConnectionRefused;
        }
        if rng.u8(..100) >= self.faults {
            return Step::Pass.after(Duration::from_millis(rng.u64(..200)));
        }
        let lost = match rng.u8(..4) {
            0 => Step::Reset,
            1 => Step::TimeOut,
            2 => Step::Hang,
            _ => Step::Answer(500, ""),
        };
        match rng.u8(..8) {
            0 => Step::refuse("ThrottlingException"),
            1 => Step::WithoutItem,
            2 => Step::Pass.after(Duration::from_millis(rng.u64(..5_000))),
            3 => {
                self.away = rng.usize(..30);
                Step::ConnectionRefused
            }
            4 | 5 => lost,
            _ => lost.apply_then(),
        }
    }
}

impl Script {
    /// The next requests for an operation follow these steps; those after them pass.
    pub(crate) fn next(&self, operation: &'static str, steps: impl IntoIterator<Item = Step>) {
        self.state.lock().unwrap().steps.push((operation, steps.into_iter().collect()));
    }

    /// Every request for an operation follows this step.
    pub(crate) fn always(&self, operation: &'static str, step: Step) {
        self.state.lock().unwrap().always.push((operation, step));
    }

    /// Requests without a step meet faults from the seed: they are delayed, throttled, fail
    /// before or after they are executed, time out, hang, are reset, or are refused for a while.
    pub(crate) fn by_seed(&self, seed: u64, faults: u8) {
        let rng = Rng::with_seed(seed);
        self.state.lock().unwrap().chance = Some(Chance { rng, faults, away: 0 });
    }

    /// After this many requests, all are denied.
    pub(crate) fn stop_after(&self, requests: usize) {
        self.state.lock().unwrap().left = Some(requests);
    }

    /// From now on all requests pass.
    pub(crate) fn heal(&self) {
        let mut state = self.state.lock().unwrap();
        state.left = None;
        state.steps.clear();
        state.always.clear();
        state.chance = None;
    }

    /// The operations requested since the last call, one for each attempt.
    pub(crate) fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().log)
    }

    pub(crate) fn count(&self, operation: &str) -> usize {
        self.state.lock().unwrap().log.iter().filter(|logged| *logged == operation).count()
    }

    /// The operations requested with a consistent read, since the last call.
    pub(crate) fn consistent(&self) -> Vec<String> {
        let requests = std::mem::take(&mut self.state.lock().unwrap().requests);
        let consistent = requests.into_iter().filter(|(_, body)| body["ConsistentRead"] == true);
        consistent.map(|(operation, _)| operation).collect()
    }

    /// The last request for an operation.
    pub(crate) fn last_request(&self, operation: &str) -> serde_json::Value {
        let state = self.state.lock().unwrap();
        let last = state.requests.iter().rfind(|(requested, _)| requested == operation);
        last.unwrap().1.clone()
    }

    fn step(&self, operation: &str, body: &[u8]) -> Step {
        let mut state = self.state.lock().unwrap();
        state.log.push(operation.to_owned());
        if let Ok(body) = serde_json::from_slice(body) {
            state.requests.push((operation.to_owned(), body));
        }
        match &mut state.left {
            Some(0) => return Step::refuse("AccessDeniedException"),
            Some(left) => *left -= 1,
            None => {}
        }
        let next = state
            .steps
            .iter_mut()
            .filter(|(told, _)| *told == operation)
            .find_map(|(_, steps)| steps.pop_front());
        let always = state.always.iter().find(|(told, _)| *told == operation);
        next.or_else(|| always.map(|(_, step)| step.clone()))
            .or_else(|| state.chance.as_mut().map(Chance::step))
            .unwrap_or(Step::Pass)
    }

    /// A client whose requests follow this script, with this many attempts.
    pub(crate) fn client(&self, attempts: u32) -> Client {
        self.in_front_of(&DynamoDbStore::embedded_client().unwrap(), attempts)
    }

    pub(crate) fn in_front_of(&self, client: &Client, attempts: u32) -> Client {
        let inner = client.config().http_client().unwrap();
        let retries = RetryConfig::standard()
            .with_max_attempts(attempts)
            .with_initial_backoff(Duration::from_millis(10));
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(Duration::from_secs(3))
            .operation_timeout(Duration::from_secs(10));
        // Each client has retries of its own to use up.
        static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let partition =
            aws_sdk_dynamodb::config::retry::RetryPartition::new(format!("test-{number}"));
        let config = client
            .config()
            .to_builder()
            .http_client(Scripted { script: self.clone(), inner })
            .retry_config(retries)
            .retry_partition(partition)
            .timeout_config(timeouts.build());
        Client::from_conf(config.build())
    }
}

#[derive(Debug)]
struct Scripted {
    script: Script,
    inner: SharedHttpClient,
}

impl HttpClient for Scripted {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(Connector { script: self.script.clone(), inner })
    }
}

struct Connector {
    script: Script,
    inner: SharedHttpConnector,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default();
        let step = self.script.step(operation, request.body().bytes().unwrap_or_default());
        let inner = self.inner.clone();
        HttpConnectorFuture::new(perform(step, inner, request))
    }
}

type Answer = Result<HttpResponse, ConnectorError>;

async fn perform(step: Step, inner: SharedHttpConnector, request: HttpRequest) -> Answer {
    let io = |kind: io::ErrorKind| Err(ConnectorError::io(io::Error::from(kind).into()));
    match step {
        Step::Pass => inner.call(request).await,
        Step::Delay(time, then) => {
            tokio::time::sleep(time).await;
            Box::pin(perform(*then, inner, request)).await
        }
        Step::Refuse(status, code, message) => {
            let error = serde_json::json!({
                "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"),
                "message": message,
            });
            answer(status, error.to_string())
        }
        Step::Answer(status, body) => answer(status, body.to_owned()),
        Step::EmptyPage => {
            let body = request.body().bytes().unwrap();
            let query: serde_json::Value = serde_json::from_slice(body).unwrap();
            // A key is of the partition that the request asks for.
            let day = &query["ExpressionAttributeValues"][":p"];
            let created_at = format!("{}T99", day["S"].as_str().unwrap());
            let key = serde_json::json!({
                "processing_id": { "S": "zzz" },
                "createdDay": day,
                "createdAt": { "S": created_at },
            });
            answer(200, serde_json::json!({ "Items": [], "LastEvaluatedKey": key }).to_string())
        }
        Step::ConnectionRefused => io(io::ErrorKind::ConnectionRefused),
        Step::Reset => io(io::ErrorKind::ConnectionReset),
        Step::TimeOut => {
            Err(ConnectorError::timeout(io::Error::from(io::ErrorKind::TimedOut).into()))
        }
        Step::Hang => std::future::pending().await,
        Step::ApplyThen(lost) => {
            inner.call(request).await?;
            let nothing = HttpRequest::new(SdkBody::empty());
            Box::pin(perform(*lost, inner, nothing)).await
        }
        Step::WithoutItem => {
            let response = inner.call(request).await?;
            let status = response.status().as_u16();
            let body = response.body().bytes().unwrap_or_default();
            let mut body: serde_json::Value = serde_json::from_slice(body).unwrap();
            body.as_object_mut().unwrap().remove("Item");
            answer(status, body.to_string())
        }
    }
}

fn answer(status: u16, body: String) -> Answer {
    Ok(HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body)))
}
