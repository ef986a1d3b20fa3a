//! An orchestrator as an HTTP service, tracked by layers alone.
//!
//! Run with
//!
//! ```not_rust
//! cargo run --example service
//! curl localhost:8080/invocations -d '{"document_id": "FAB_26933659"}' -i -H 'x-correlation-id: corr_1'
//! curl localhost:8080/invocations -d '{"document_id": "FAB_26933659"}' -N -H 'accept: text/event-stream'
//! ```
//!
//! It implements the contract of an Amazon Bedrock `AgentCore` runtime, so it can be deployed
//! as one: `POST /invocations` and `GET /ping` on port 8080 (with `--addr 0.0.0.0:8080`). The session
//! is that of the request's `x-correlation-id`, if it has one. The response header
//! `x-workflow-session-id` contains its id. With `--portal` a page shows it.
//!
//! - `service/server.rs` is the service, with a `WorkflowLayer` around its routes;
//! - `orchestrator/orchestrator.rs` calls the agents, and knows nothing about status tracking;
//!   it is shared with the example `orchestrator`;
//! - `orchestrator/tracking.rs` adds a `StatusLayer` to each agent's client;
//! - `orchestrator/agents.rs` mocks the agents as servers on the loopback interface.

#![allow(clippy::print_stderr, reason = "a program for the terminal")]

#[path = "orchestrator/agents.rs"]
mod agents;
#[path = "orchestrator/args.rs"]
mod args;
#[path = "orchestrator/log.rs"]
mod log;
#[path = "orchestrator/orchestrator.rs"]
mod orchestrator;
#[path = "orchestrator/page.rs"]
mod page;
#[path = "orchestrator/scenario.rs"]
#[allow(dead_code, reason = "only the other example checks items")]
mod scenario;
#[path = "service/server.rs"]
mod server;
#[path = "orchestrator/stop.rs"]
mod stop;
#[path = "orchestrator/tracking.rs"]
#[allow(dead_code, reason = "`WorkflowLayer` opens the workflows")]
mod tracking;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tokio::net::TcpListener;
use tower::BoxError;
use tower_agent_status::store::{DynamoDbStore, MemoryStore, StatusReader, StatusStore};

use agents::{Agents, Pace};
use args::StoreChoice;
use page::Page;
use scenario::Scenario;

/// Serves an orchestrator of four mocked agents.
///
/// Shuts down on SIGTERM or Ctrl-C: running requests may finish, and pending status is saved.
#[derive(Debug, Parser)]
#[command(name = "service")]
struct Args {
    /// Address to listen on; port 0 picks a free port
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: SocketAddr,

    /// Also serve the portal, by default on a free port of 127.0.0.1, and print its URL
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, require_equals = true, default_missing_value = "127.0.0.1:0")]
    portal: Option<SocketAddr>,

    /// Store: `embedded` (in memory), `embedded:FILE`, `memory` (no DynamoDB engine), or
    /// `dynamodb`, the table configured by STATUS_TABLE_NAME, AWS_REGION and
    /// AWS_ENDPOINT_URL_DYNAMODB
    #[arg(long, default_value = "embedded")]
    store: StoreChoice,

    /// Scenario to run for every document
    #[arg(long, value_enum, default_value_t = Scenario::Matched)]
    scenario: Scenario,

    /// Factor for how long the agents take: 1 is a few seconds in total, 0 is no time
    #[arg(long, default_value = "1", value_name = "FACTOR", value_parser = args::pace)]
    pace: f64,

    /// How long running requests may take to finish at shutdown, in seconds
    #[arg(long, default_value_t = 20, value_name = "SECONDS")]
    grace: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    log::start();
    let served = match &args.store {
        StoreChoice::Embedded(None) => on(&args, DynamoDbStore::embedded_in_memory()).await,
        StoreChoice::Embedded(Some(file)) => on(&args, DynamoDbStore::embedded(file)).await,
        StoreChoice::Memory => serve(&args, MemoryStore::new()).await,
        StoreChoice::DynamoDb => on(&args, DynamoDbStore::from_env().await).await,
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn on<S: StatusStore + StatusReader + Clone, E: Into<BoxError>>(
    args: &Args,
    store: Result<S, E>,
) -> Result<(), BoxError> {
    serve(args, store.map_err(Into::into)?).await
}

async fn serve(
    args: &Args,
    store: impl StatusStore + StatusReader + Clone,
) -> Result<(), BoxError> {
    let stop = stop::stop()?;
    let page = match args.portal {
        Some(address) => Some(Page::serve(store.clone(), address).await?),
        None => None,
    };
    let agents = Agents::start(args.scenario, Pace(args.pace)).await?;
    let tracker = tracking::tracker(store).start()?;
    let orchestrator = tracking::orchestrator(&tracker, &agents, tracking::hyper_client());
    let listener = TcpListener::bind(args.addr).await?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    match (&page, &args.store) {
        (Some(page), _) => eprintln!("the status is shown at {}", page.url),
        (None, StoreChoice::Embedded(Some(file))) => eprintln!(
            "the status is shown by `tower-agent-status serve --embedded {}`",
            file.display()
        ),
        (None, StoreChoice::DynamoDb) => {
            eprintln!("the status is shown by `tower-agent-status serve`");
        }
        (None, _) => eprintln!(
            "the status is in memory, and seen nowhere: add `--portal`, or `--store embedded:FILE`"
        ),
    }
    let grace = Duration::from_secs(args.grace);
    let served = server::serve(listener, &tracker, orchestrator, stop, grace).await;
    // The error lists what could not be saved.
    tracker.shutdown(Duration::from_secs(5)).await?;
    if let Some(page) = page {
        page.stop().await?;
    }
    Ok(served?)
}
