//! The four-agent orchestrator against agents that run on Bedrock AgentCore, as it would
//! run in production.
//!
//! ```not_rust
//! export AWS_REGION=us-east-1 STATUS_TABLE_NAME=workflow-status
//! export PDF_ADAPTER_AGENT_ARN=arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/pdf_adapter-a1B2c3D4e5
//! export TRADE_EXTRACTION_AGENT_ARN=… TRADE_MATCHING_AGENT_ARN=… EXCEPTION_MANAGEMENT_AGENT_ARN=…
//! echo '{"documentId":"FAB_26933659","sourceType":"BANK"}' |
//!   cargo run --release --manifest-path examples/agentcore/Cargo.toml
//! ```
//!
//! It reads documents from its standard input, one JSON object a line, as a stand-in for
//! a queue, and takes each through the agents as a workflow of its own. SIGTERM or Ctrl-C
//! ends it in order: it takes no more documents, gives those in work some time, and saves
//! what is not saved yet.
//!
//! - `orchestrator/orchestrator.rs` calls the agents, and knows nothing of status: it is
//!   that of the example `orchestrator`;
//! - `agentcore/runtime.rs` makes the address of an agent of its ARN;
//! - `agentcore/client.rs` is the client of each agent: status, time limit, signature;
//! - `agentcore/telemetry.rs` brings spans to OpenTelemetry and metrics to Prometheus.

#[path = "agentcore/client.rs"]
mod client;
#[path = "orchestrator/orchestrator.rs"]
mod orchestrator;
#[path = "agentcore/runtime.rs"]
mod runtime;
#[path = "agentcore/telemetry.rs"]
mod telemetry;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use http::Uri;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower::BoxError;
use tower_agent_status::store::{DynamoDbStore, StatusStore};
use tower_agent_status::{Agent, SessionId, StatusTracker};

use client::{AgentClient, Clients};
use orchestrator::{Document, Orchestrator};
use runtime::RuntimeArn;

/// How long it may take to save what is not saved, once all else has ended.
const SAVING: Duration = Duration::from_secs(5);

/// Takes documents through four agents on Bedrock AgentCore.
///
/// Ends with 0 when all documents were processed, 1 when one was not or a status could not
/// be saved, and 2 when nothing could be run.
#[derive(Debug, Parser)]
#[command(name = "agentcore")]
struct Settings {
    /// The runtime of the agent `pdfAdapter`
    #[arg(long, env = "PDF_ADAPTER_AGENT_ARN")]
    pdf_adapter: RuntimeArn,

    /// The runtime of the agent `tradeExtraction`
    #[arg(long, env = "TRADE_EXTRACTION_AGENT_ARN")]
    trade_extraction: RuntimeArn,

    /// The runtime of the agent `tradeMatching`
    #[arg(long, env = "TRADE_MATCHING_AGENT_ARN")]
    trade_matching: RuntimeArn,

    /// The runtime of the agent `exceptionManagement`
    #[arg(long, env = "EXCEPTION_MANAGEMENT_AGENT_ARN")]
    exception_management: RuntimeArn,

    /// Another endpoint for all agents than that of their region
    #[arg(long, env = "AWS_ENDPOINT_URL_BEDROCK_AGENTCORE")]
    endpoint: Option<Uri>,

    /// Keep the status in this file, and not in the table that STATUS_TABLE_NAME names
    #[arg(long)]
    embedded: Option<PathBuf>,

    /// Where Prometheus finds the metrics, at `/metrics`
    #[arg(long, env = "METRICS_ADDR")]
    metrics_addr: Option<SocketAddr>,

    /// How many documents are in work at once
    #[arg(long, default_value = "8", value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,

    /// How many seconds documents in work are given after SIGTERM
    #[arg(long, default_value = "20")]
    grace: u64,
}

/// A line of the input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Job {
    document_id: String,
    source_type: String,
    /// The name that other systems know the run by; made up where absent.
    correlation_id: Option<String>,
}

fn main() -> ExitCode {
    let settings = Settings::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return unable(&error.into()),
    };
    let code = runtime.block_on(serve(&settings));
    // Not dropped: that would wait for the thread that reads the standard input.
    runtime.shutdown_background();
    code
}

async fn serve(settings: &Settings) -> ExitCode {
    let telemetry = match telemetry::start(settings.metrics_addr) {
        Ok(telemetry) => telemetry,
        Err(error) => return unable(&error),
    };
    let result = match &settings.embedded {
        Some(file) => match DynamoDbStore::embedded(file) {
            Ok(store) => run(settings, store).await,
            Err(error) => Err(error.into()),
        },
        None => match DynamoDbStore::from_env().await {
            Ok(store) => run(settings, store).await,
            Err(error) => Err(error.into()),
        },
    };
    // The last spans are still on their way.
    telemetry.shutdown().await;
    match result {
        Ok(well) => ExitCode::from(u8::from(!well)),
        Err(error) => unable(&error),
    }
}

fn unable(error: &BoxError) -> ExitCode {
    tracing::error!(%error, "nothing could be run");
    ExitCode::from(2)
}

/// Whether every document was processed and every status saved.
async fn run(settings: &Settings, store: impl StatusStore) -> Result<bool, BoxError> {
    let tracker = tracker(store)?;
    let clients = Clients::new(settings.endpoint.clone()).await?;
    let agent = |name, arn| -> Result<_, BoxError> {
        let (client, url) = clients.agent(&tracker, name, arn)?;
        Ok(orchestrator::Agent { client, url })
    };
    let orchestrator = Arc::new(Orchestrator {
        pdf_adapter: agent("pdfAdapter", &settings.pdf_adapter)?,
        trade_extraction: agent("tradeExtraction", &settings.trade_extraction)?,
        trade_matching: agent("tradeMatching", &settings.trade_matching)?,
        exception_management: agent("exceptionManagement", &settings.exception_management)?,
    });

    let processed = process_all(settings, &tracker, &orchestrator).await;

    // The documents that were still in work are dropped by now, and so have failed.
    match tracker.shutdown(SAVING).await {
        Ok(()) => processed,
        Err(error) => {
            tracing::error!(%error, "not every status was saved");
            Ok(false)
        }
    }
}

/// Declares the agents, so that each workflow shows all of them from its start.
fn tracker(store: impl StatusStore) -> Result<StatusTracker, BoxError> {
    let agent = |name, waiting, working, done| {
        Agent::new(name).pending(waiting).in_progress(working).success(done)
    };
    let tracker = StatusTracker::builder(store)
        .agent(agent(
            "pdfAdapter",
            "Waiting for upload",
            "Extracting text from PDF document",
            "Text extraction complete",
        ))
        .agent(agent(
            "tradeExtraction",
            "Waiting for PDF processing",
            "Extracting structured trade data",
            "Trade data extracted",
        ))
        .agent(agent(
            "tradeMatching",
            "Waiting for extraction",
            "Matching trades across systems",
            "Matching complete",
        ))
        .agent(agent(
            "exceptionManagement",
            "No exceptions",
            "Analyzing exceptions",
            "Exceptions sent to review",
        ))
        .start()?;
    Ok(tracker)
}

/// Takes documents until there are no more of them or the process is to end; whether all
/// were processed.
async fn process_all(
    settings: &Settings,
    tracker: &StatusTracker,
    orchestrator: &Arc<Orchestrator<AgentClient>>,
) -> Result<bool, BoxError> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let places = Arc::new(Semaphore::new(settings.concurrency.into()));
    let mut in_work = JoinSet::new();
    let mut well = true;
    let mut terminated = std::pin::pin!(terminated()?);
    let stopped = loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place?,
            () = &mut terminated => break true,
        };
        let line = tokio::select! {
            line = lines.next_line() => line?,
            () = &mut terminated => break true,
        };
        while let Some(done) = in_work.try_join_next() {
            well &= done.unwrap_or(false);
        }
        let Some(line) = line else { break false };
        let Ok(job) = serde_json::from_str::<Job>(&line)
            .inspect_err(|error| tracing::error!(%error, line, "not a document"))
        else {
            well = false;
            continue;
        };
        let (tracker, orchestrator) = (tracker.clone(), Arc::clone(orchestrator));
        in_work.spawn(async move {
            let _place = place;
            process(&tracker, &orchestrator, job).await
        });
    };
    let all_done = async {
        while let Some(done) = in_work.join_next().await {
            well &= done.unwrap_or(false);
        }
    };
    if stopped {
        let grace = Duration::from_secs(settings.grace);
        tracing::info!(?grace, "ending: no more documents are taken");
        if tokio::time::timeout(grace, all_done).await.is_err() {
            well = false;
            in_work.shutdown().await;
        }
    } else {
        tokio::select! {
            () = all_done => {}
            () = &mut terminated => {
                tracing::info!("ending: documents in work are given up");
                well = false;
                in_work.shutdown().await;
            }
        }
    }
    Ok(well)
}

/// Takes one document through the agents; whether that went well.
async fn process(
    tracker: &StatusTracker,
    orchestrator: &Orchestrator<AgentClient>,
    job: Job,
) -> bool {
    let correlation_id =
        job.correlation_id.unwrap_or_else(|| format!("corr_{}", uuid::Uuid::new_v4().simple()));
    let session_id = format!("session-{correlation_id}");
    if let Err(error) = SessionId::new(&session_id) {
        tracing::error!(%error, "the document has no usable correlation id");
        return false;
    }
    let document = Document { id: job.document_id, source_type: job.source_type, correlation_id };
    let result = tracker
        .workflow(&session_id)
        .correlation_id(&document.correlation_id)
        .attribute("documentId", document.id.as_str())
        .attribute("sourceType", document.source_type.as_str())
        .run(orchestrator.process(&document))
        .await;
    match result {
        Ok(settlement) => {
            tracing::info!(session_id, document = document.id, ?settlement, "processed");
            true
        }
        Err(error) => {
            tracing::error!(session_id, document = document.id, %error, "not processed");
            false
        }
    }
}

/// Ready when the process is asked to end.
fn terminated() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
