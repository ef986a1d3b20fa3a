//! The mocked workflows: an orchestrator that calls four agents, and how it may go.

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
    Agent, StatusBody, StatusLayer, StatusService, StatusTracker, StatusTrackerBuilder,
    WorkflowBuilder,
};
use tower_layer::Layer as _;
use tower_service::Service;

use super::agents::{Answer, MockAgent, Pace, Pieces};

const PDF_ADAPTER: &str = "pdfAdapter";
const TRADE_EXTRACTION: &str = "tradeExtraction";
const TRADE_MATCHING: &str = "tradeMatching";
const EXCEPTION_MANAGEMENT: &str = "exceptionManagement";

/// How a workflow goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Course {
    /// Three agents, one after the other, of which one streams.
    Matched,
    /// The same, and the fourth looks at the exception.
    Review,
    /// The second agent answers 500.
    AgentError,
    /// The second agent answers 200, and says in the body that it failed.
    ErrorIn200,
    /// The orchestrator hangs up in the middle of the stream.
    Cancelled,
    /// Its process goes away in the middle of the stream.
    Stalled,
}

/// The four agents, and what is shown beside each of their states.
pub(super) fn tracker(store: DynamoDbStore) -> StatusTrackerBuilder<DynamoDbStore> {
    let agent = |name, pending, in_progress, success, error| {
        Agent::new(name).pending(pending).in_progress(in_progress).success(success).error(error)
    };
    StatusTracker::builder(store)
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

/// Writes a workflow that began so long ago: nobody waits, it is the clock that is moved.
pub(super) async fn write_past(
    store: &DynamoDbStore,
    course: Course,
    ago: Duration,
) -> Result<(), String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = u64::try_from(now.saturating_sub(ago).as_millis()).unwrap_or(0);
    let clock = Arc::new(AtomicU64::new(millis));
    let pace = Pace::Told(Arc::clone(&clock));
    let tracker = tracker(store.clone()).clock({
        let pace = pace.clone();
        move || pace.now()
    });
    let tracker = tracker.start().map_err(|error| error.to_string())?;
    let orchestrator = Orchestrator::new(&tracker, &pace);
    let saved = if course == Course::Stalled {
        let (_, workflow) = workflow(&tracker);
        let workflow = workflow.start().map_err(|error| error.to_string())?;
        let broken_off = workflow.scope(orchestrator.break_off());
        let answer = broken_off.await;
        let saved = tracker.shutdown(Duration::from_secs(5)).await;
        // A process that is gone has not ended its call, and does not say so either.
        std::mem::forget((answer, workflow));
        saved
    } else {
        // That it fails may be its course.
        let _ = orchestrator.run(&tracker, course).await;
        tracker.shutdown(Duration::from_secs(5)).await
    };
    saved.map_err(|error| error.to_string())
}

/// A workflow of a new session.
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

/// An agent's client, with the layer in it.
type Client = StatusService<MockAgent>;

/// Calls the agents, and knows nothing of status.
#[derive(Clone)]
pub(super) struct Orchestrator {
    pdf_adapter: Client,
    trade_extraction: Client,
    trade_matching: Client,
    exception_management: Client,
}

impl Orchestrator {
    pub(super) fn new(tracker: &StatusTracker, pace: &Pace) -> Self {
        let client = |name| StatusLayer::new(tracker, name).layer(MockAgent::new(pace.clone()));
        Self {
            pdf_adapter: client(PDF_ADAPTER),
            trade_extraction: client(TRADE_EXTRACTION),
            trade_matching: client(TRADE_MATCHING),
            exception_management: client(EXCEPTION_MANAGEMENT),
        }
    }

    /// Runs one workflow of a new session: the session, and how it went.
    pub(super) fn run(
        self,
        tracker: &StatusTracker,
        course: Course,
    ) -> impl Future<Output = (String, Result<(), String>)> + Send + use<> {
        let (session, workflow) = workflow(tracker);
        async move { (session, workflow.run(self.process(course)).await) }
    }

    async fn process(mut self, course: Course) -> Result<(), String> {
        ask(&mut self.pdf_adapter, Answer::Json { millis: 2_100, tokens: (11_251, 1_402) }).await?;
        let extraction = &mut self.trade_extraction;
        match course {
            Course::AgentError => {
                let said = "The extraction model could not be loaded";
                ask(extraction, Answer::Refusal { millis: 1_300, said }).await?;
            }
            Course::ErrorIn200 => {
                let said = "No trade was found in the text of the document";
                ask(extraction, Answer::Failure { millis: 2_600, said }).await?;
            }
            Course::Cancelled | Course::Stalled => {
                begin(extraction, EXTRACTION).await?;
                return Err("the document is a statement, not a confirmation".to_owned());
            }
            Course::Matched | Course::Review => ask(extraction, EXTRACTION).await?,
        }
        ask(&mut self.trade_matching, Answer::Json { millis: 3_200, tokens: (3_804, 412) }).await?;
        if course == Course::Review {
            let answer = Answer::Json { millis: 1_800, tokens: (2_410, 655) };
            ask(&mut self.exception_management, answer).await?;
        }
        Ok(())
    }

    /// Gets into the middle of the stream, and gives it back unread.
    async fn break_off(mut self) -> Result<impl Send, String> {
        ask(&mut self.pdf_adapter, Answer::Json { millis: 2_100, tokens: (11_251, 1_402) }).await?;
        begin(&mut self.trade_extraction, EXTRACTION).await
    }
}

const EXTRACTION: Answer = Answer::Stream { millis: 5_400, tokens: (4_066, 428) };

/// Asks an agent, and reads its answer to the end.
async fn ask(agent: &mut Client, answer: Answer) -> Result<(), String> {
    let response = call(agent, answer).await?;
    let status = response.status();
    let mut body = Box::pin(response.into_body());
    let mut text = Vec::new();
    while let Some(piece) = next(&mut body).await? {
        text.extend_from_slice(&piece);
    }
    if status != StatusCode::OK {
        return Err(format!("an agent answered {status}"));
    }
    match serde_json::from_slice::<Value>(&text) {
        Ok(answer) if answer["success"] == false => Err("an agent reported a failure".to_owned()),
        // A stream is not JSON as a whole.
        _ => Ok(()),
    }
}

/// Asks an agent, and reads the first pieces of its answer only.
async fn begin(agent: &mut Client, answer: Answer) -> Result<impl Send + use<>, String> {
    let mut body = Box::pin(call(agent, answer).await?.into_body());
    for _ in 0..12 {
        next(&mut body).await?;
    }
    Ok(body)
}

async fn call(agent: &mut Client, answer: Answer) -> Result<Response<StatusBody<Pieces>>, String> {
    let ready = std::future::poll_fn(|cx| Service::<Request<Answer>>::poll_ready(agent, cx)).await;
    ready.map_err(|error| error.to_string())?;
    let response = agent.call(Request::new(answer)).await;
    response.map_err(|error| error.to_string())
}

/// The next piece of a body; `None` at its end.
async fn next(body: &mut Pin<Box<StatusBody<Pieces>>>) -> Result<Option<Bytes>, String> {
    loop {
        let frame = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await;
        match frame.transpose().map_err(|error| error.to_string())? {
            None => return Ok(None),
            Some(frame) => {
                if let Ok(piece) = frame.into_data() {
                    return Ok(Some(piece));
                }
            }
        }
    }
}
