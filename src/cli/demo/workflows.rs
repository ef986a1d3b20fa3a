//! The sample workflows: an orchestrator that calls four mock agents.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use serde_json::Value;
use tower_agent_status::store::DynamoDbStore;
use tower_agent_status::{
    Agent, Prices, StatusBody, StatusLayer, StatusService, StatusTracker, StatusTrackerBuilder,
    WorkflowBuilder,
};
use tower_layer::Layer as _;
use tower_service::Service;

use super::agents::{Chunks, MockAgent, Pace, Reply};

const PDF_ADAPTER: &str = "pdfAdapter";
const TRADE_EXTRACTION: &str = "tradeExtraction";
const TRADE_MATCHING: &str = "tradeMatching";
const EXCEPTION_MANAGEMENT: &str = "exceptionManagement";

/// What happens in a workflow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scenario {
    /// Three agents in sequence, one of which streams.
    Matched,
    /// As `Matched`, with an answer that is cut short, and the fourth agent handles an exception once it
    /// has time.
    Review,
    /// The second agent responds with 500.
    AgentError,
    /// The second agent responds with 200 and reports a failure in the body.
    ErrorIn200,
    /// The orchestrator drops the response in the middle of the stream.
    Cancelled,
    /// The orchestrator's process dies in the middle of the stream.
    Stalled,
}

/// A tracker with the four agents and their texts.
pub(super) fn tracker(store: DynamoDbStore, prices: Prices) -> StatusTrackerBuilder<DynamoDbStore> {
    let agent = |name, pending, in_progress, success, error| {
        Agent::new(name).pending(pending).in_progress(in_progress).success(success).error(error)
    };
    StatusTracker::builder(store)
        .prices(prices)
        .agent(agent(
            PDF_ADAPTER,
            "Waiting for upload",
            "Extracting text from PDF document",
            "Text extraction complete",
            "Text extraction failed",
        ))
        .agent(agent(
            TRADE_EXTRACTION,
            "Waiting for PDF processing",
            "Extracting structured trade data",
            "Trade data extracted",
            "Trade extraction failed",
        ))
        .agent(agent(
            TRADE_MATCHING,
            "Waiting for extraction",
            "Matching trades across systems",
            "Matching complete",
            "Matching failed",
        ))
        .agent(agent(
            EXCEPTION_MANAGEMENT,
            "No exceptions",
            "Analyzing exceptions",
            "Exceptions sent to review",
            "Exception handling failed",
        ))
}

/// Writes a workflow that started `ago`. Its clock is advanced manually, so nothing waits.
pub(super) async fn write_past(
    store: &DynamoDbStore,
    prices: &Prices,
    scenario: Scenario,
    ago: Duration,
) -> Result<(), String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = u64::try_from(now.saturating_sub(ago).as_millis()).unwrap_or(0);
    let clock = Arc::new(AtomicU64::new(millis));
    let pace = Pace::Manual(Arc::clone(&clock));
    let tracker = tracker(store.clone(), prices.clone()).clock({
        let pace = pace.clone();
        move || pace.now()
    });
    let tracker = tracker.start().map_err(|error| error.to_string())?;
    let orchestrator = Orchestrator::new(&tracker, &pace);
    let saved = if scenario == Scenario::Stalled {
        let (_, workflow) = workflow(&tracker);
        let workflow = workflow.start().map_err(|error| error.to_string())?;
        let response = workflow.scope(orchestrator.stop_mid_stream()).await;
        let saved = tracker.shutdown(Duration::from_secs(5)).await;
        // Dropping them would end the call and the workflow, which a dead process does not do.
        std::mem::forget((response, workflow));
        saved
    } else {
        // Some scenarios fail.
        let _ = orchestrator.run(&tracker, scenario).await;
        tracker.shutdown(Duration::from_secs(5)).await
    };
    saved.map_err(|error| error.to_string())
}

/// A workflow with a new session id.
fn workflow(tracker: &StatusTracker) -> (String, WorkflowBuilder) {
    let id = format!("{:012x}", fastrand::u64(..1 << 48));
    let session = format!("demo-{id}");
    let workflow = tracker
        .workflow(session.as_str())
        .correlation_id(format!("corr_{id}"))
        .attribute("documentId", format!("FAB_{}", fastrand::u32(26_000_000..27_000_000)))
        .attribute("sourceType", if fastrand::bool() { "BANK" } else { "COUNTERPARTY" });
    (session, workflow)
}

/// An agent's client, wrapped in the layer.
type Client = StatusService<MockAgent>;

/// Calls the agents. It knows nothing about status tracking.
#[derive(Clone)]
pub(super) struct Orchestrator {
    pace: Pace,
    pdf_adapter: Client,
    trade_extraction: Client,
    trade_matching: Client,
    exception_management: Client,
}

impl Orchestrator {
    pub(super) fn new(tracker: &StatusTracker, pace: &Pace) -> Self {
        let client = |name| StatusLayer::new(tracker, name).layer(MockAgent::new(pace.clone()));
        Self {
            pace: pace.clone(),
            pdf_adapter: client(PDF_ADAPTER),
            trade_extraction: client(TRADE_EXTRACTION),
            trade_matching: client(TRADE_MATCHING),
            exception_management: client(EXCEPTION_MANAGEMENT),
        }
    }

    /// Runs one workflow, and returns its session id and result.
    pub(super) fn run(
        self,
        tracker: &StatusTracker,
        scenario: Scenario,
    ) -> impl Future<Output = (String, Result<(), String>)> + Send + use<> {
        let (session, workflow) = workflow(tracker);
        async move { (session, workflow.run(self.process(scenario)).await) }
    }

    async fn process(mut self, scenario: Scenario) -> Result<(), String> {
        call(&mut self.pdf_adapter, PDF).await?;
        let extraction = &mut self.trade_extraction;
        match scenario {
            Scenario::AgentError => {
                let message = "The extraction model could not be loaded";
                call(extraction, Reply::ServerError { millis: 1_300, message }).await?;
            }
            Scenario::ErrorIn200 => {
                let message = "No trade was found in the text of the document";
                call(extraction, Reply::Failure { millis: 2_600, message }).await?;
            }
            Scenario::Cancelled | Scenario::Stalled => {
                begin(extraction, EXTRACTION).await?;
                return Err("the document is a statement, not a confirmation".to_owned());
            }
            Scenario::Matched | Scenario::Review => call(extraction, EXTRACTION).await?,
        }
        let stop = if scenario == Scenario::Review { "length" } else { "stop" };
        let matching = Reply::Json { model: "gpt-5", millis: 3_200, tokens: (3_804, 412), stop };
        call(&mut self.trade_matching, matching).await?;
        if scenario == Scenario::Review {
            let exceptions = &mut self.exception_management;
            let busy = Reply::RateLimited { millis: 400, retry_after: 2 };
            if call(exceptions, busy).await.is_err() {
                self.pace.sleep(2_000).await;
                call(exceptions, EXCEPTION).await?;
            }
        }
        Ok(())
    }

    /// Reads part of the stream, and returns its body unfinished.
    async fn stop_mid_stream(mut self) -> Result<impl Send, String> {
        call(&mut self.pdf_adapter, PDF).await?;
        begin(&mut self.trade_extraction, EXTRACTION).await
    }
}

const PDF: Reply = Reply::Json {
    model: "gpt-4o-mini-2024-07-18",
    millis: 2_100,
    tokens: (11_251, 1_402),
    stop: "stop",
};
const EXTRACTION: Reply =
    Reply::Stream { model: "claude-sonnet-4-5-20250929", millis: 5_400, tokens: (4_066, 428) };
const EXCEPTION: Reply = Reply::Json {
    model: "gpt-4o-mini-2024-07-18",
    millis: 1_800,
    tokens: (2_410, 655),
    stop: "stop",
};

/// Calls an agent and reads its response to the end.
async fn call(agent: &mut Client, reply: Reply) -> Result<(), String> {
    let response = send(agent, reply).await?;
    let status = response.status();
    let mut body = Box::pin(response.into_body());
    let mut text = Vec::new();
    while let Some(chunk) = next_chunk(&mut body).await? {
        text.extend_from_slice(&chunk);
    }
    if status != StatusCode::OK {
        return Err(format!("an agent responded with {status}"));
    }
    match serde_json::from_slice::<Value>(&text) {
        Ok(body) if body["success"] == false => Err("an agent reported a failure".to_owned()),
        // A stream of events is not a JSON document.
        _ => Ok(()),
    }
}

/// Calls an agent and reads only the first chunks of its response.
async fn begin(agent: &mut Client, reply: Reply) -> Result<impl Send + use<>, String> {
    let mut body = Box::pin(send(agent, reply).await?.into_body());
    for _ in 0..12 {
        next_chunk(&mut body).await?;
    }
    Ok(body)
}

async fn send(agent: &mut Client, reply: Reply) -> Result<Response<StatusBody<Chunks>>, String> {
    let ready = std::future::poll_fn(|cx| Service::<Request<Reply>>::poll_ready(agent, cx)).await;
    ready.map_err(|error| error.to_string())?;
    let response = agent.call(Request::new(reply)).await;
    response.map_err(|error| error.to_string())
}

/// Returns the next chunk of a body, or `None` at its end.
async fn next_chunk(body: &mut Pin<Box<StatusBody<Chunks>>>) -> Result<Option<Bytes>, String> {
    loop {
        let frame = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await;
        match frame.transpose().map_err(|error| error.to_string())? {
            None => return Ok(None),
            Some(frame) => {
                if let Ok(chunk) = frame.into_data() {
                    return Ok(Some(chunk));
                }
            }
        }
    }
}
