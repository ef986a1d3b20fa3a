//! A trade confirmation goes through four agents, and its status into a table.
//!
//! Run with
//!
//! ```not_rust
//! cargo run --example orchestrator
//! cargo run --example orchestrator -- FAB_26933659 BANK --scenario review
//! cargo run --example orchestrator -- --portal
//! cargo run --example orchestrator -- --help
//! ```
//!
//! - `orchestrator.rs` calls the agents, and knows nothing of status;
//! - `tracking.rs` declares the agents, and puts a layer into each one's client;
//! - `agents.rs` mocks the agents as servers on the loopback interface;
//! - `scenario.rs` says what may happen, and what the item must say in the end;
//! - `show.rs` shows the workflow while it runs, and `page.rs` shows it in a browser;
//! - `args.rs` reads the command line.

#![allow(clippy::print_stderr, reason = "a program for the terminal")]

#[path = "orchestrator/agents.rs"]
mod agents;
#[path = "orchestrator/args.rs"]
mod args;
#[path = "orchestrator/orchestrator.rs"]
mod orchestrator;
#[path = "orchestrator/page.rs"]
mod page;
#[path = "orchestrator/scenario.rs"]
mod scenario;
#[path = "orchestrator/show.rs"]
mod show;
#[path = "orchestrator/tracking.rs"]
mod tracking;

use std::fmt;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use clap::builder::NonEmptyStringValueParser;
use tower::BoxError;
use tower_agent_status::store::{DynamoDbStore, MemoryStore, StatusReader, StatusStore};
use tower_agent_status::{SessionId, Workflow};

use agents::{Agents, Pace};
use args::StoreChoice;
use orchestrator::{Document, Settlement};
use page::Page;
use scenario::Scenario;
use show::Show;

/// Sends a document through four mocked agents, shows their status live, and prints the
/// stored item.
///
/// Ends with 0 if the item says what the scenario should lead to, 1 if not, and 2 if
/// nothing could be run. Interrupted by Ctrl-C, the workflow fails, and that is saved too.
#[derive(Debug, Parser)]
#[command(name = "orchestrator")]
struct Args {
    /// The document
    #[arg(default_value = "FAB_26933659", value_parser = NonEmptyStringValueParser::new())]
    document: String,

    /// Where it comes from
    #[arg(default_value = "BANK", value_parser = NonEmptyStringValueParser::new())]
    source: String,

    /// What happens to it
    #[arg(long, value_enum, default_value_t = Scenario::Matched)]
    scenario: Scenario,

    /// Where the status is kept: `embedded` (in memory), `embedded:FILE`, `memory` (no
    /// DynamoDB engine), or `dynamodb`, the table that STATUS_TABLE_NAME, AWS_REGION and
    /// AWS_ENDPOINT_URL_DYNAMODB name
    #[arg(long, default_value = "embedded")]
    store: StoreChoice,

    /// Print the stored item on one line, and nothing else
    #[arg(long)]
    json: bool,

    /// Serve the portal's page as well, and print where; a free port of 127.0.0.1 unless
    /// given. It goes on after the workflow's end, until Ctrl-C
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, require_equals = true, default_missing_value = "127.0.0.1:0")]
    portal: Option<SocketAddr>,

    /// How long the agents take: 1 is a few seconds in all, 0 no time
    #[arg(long, default_value = "1", value_name = "FACTOR", value_parser = args::pace)]
    pace: f64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

async fn run(args: &Args) -> Result<ExitCode, BoxError> {
    match &args.store {
        StoreChoice::Embedded(None) => run_on(args, DynamoDbStore::embedded_in_memory()?).await,
        StoreChoice::Embedded(Some(file)) => run_on(args, DynamoDbStore::embedded(file)?).await,
        StoreChoice::Memory => run_on(args, MemoryStore::new()).await,
        StoreChoice::DynamoDb => run_on(args, DynamoDbStore::from_env().await?).await,
    }
}

async fn run_on(
    args: &Args,
    store: impl StatusStore + StatusReader + Clone,
) -> Result<ExitCode, BoxError> {
    let correlation_id = format!("corr_{:012x}", fastrand::u64(..1 << 48));
    let session_id = SessionId::new(format!("session-{correlation_id}"))?;
    // A tracker waits for a table that cannot be reached at the moment. Here somebody
    // sits in front of it, who would rather know.
    store.get(&session_id).await?;

    let page = match args.portal {
        Some(address) => Some(Page::serve(store.clone(), address).await?),
        None => None,
    };
    if let Some(page) = &page {
        eprintln!("The page is at {}#{session_id}\n", page.url);
    }
    let agents = Agents::start(args.scenario, Pace(args.pace)).await?;
    let tracker = tracking::tracker(store.clone()).start()?;
    let orchestrator = tracking::orchestrator(&tracker, &agents, tracking::hyper_client());
    let document =
        Document { id: args.document.clone(), source_type: args.source.clone(), correlation_id };
    let workflow = tracking::workflow(&tracker, session_id.as_str(), &document).start()?;
    let result = watch(workflow, Show::new(args.json)?, orchestrator.process(&document)).await;
    let interrupted = result.is_none();
    if !args.json {
        match result {
            Some(Ok(Settlement::Matched)) => eprintln!("\nThe trade is matched."),
            Some(Ok(Settlement::SentToReview)) => eprintln!("\nThe trade was sent to review."),
            Some(Err(error)) => eprintln!("\nThe document was not processed: {error}"),
            None => eprintln!("\nInterrupted."),
        }
    }

    if let Err(error) = tracker.shutdown(Duration::from_secs(5)).await {
        eprintln!("error: {error}");
    }
    let item = match store.get(&session_id).await {
        Ok(Some(item)) => item,
        Ok(None) => return fail(&format!("there is no item of {session_id}")),
        Err(error) => return fail(&error),
    };
    let text = if args.json {
        serde_json::to_string(&item.ordered())?
    } else {
        eprintln!("The item in the store:\n");
        serde_json::to_string_pretty(&item.ordered())?
    };
    match writeln!(io::stdout(), "{text}") {
        // Whoever reads it, such as `head`, has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written?,
    }
    if interrupted {
        return Ok(ExitCode::from(130));
    }
    let differences = args.scenario.differences(&serde_json::to_value(&item)?);
    for difference in &differences {
        eprintln!("not as expected: {difference}");
    }
    if let Some(page) = page {
        eprintln!("\nThe page stays at {} until Ctrl-C.", page.url);
        tokio::signal::ctrl_c().await?;
        page.stop().await?;
    }
    Ok(ExitCode::from(u8::from(!differences.is_empty())))
}

/// The workflow ran, and its item is not what it should be.
fn fail(error: &dyn fmt::Display) -> Result<ExitCode, BoxError> {
    eprintln!("error: {error}");
    Ok(ExitCode::from(1))
}

/// Runs a workflow and shows it meanwhile; `None` if it was interrupted.
async fn watch<T, E: fmt::Display>(
    workflow: Workflow,
    mut show: Show,
    process: impl Future<Output = Result<T, E>>,
) -> Option<Result<T, E>> {
    let result = {
        let mut run = pin!(workflow.clone().run(process));
        let mut tick = tokio::time::interval(show::TICK);
        loop {
            tokio::select! {
                result = &mut run => break Some(result),
                _ = tick.tick() => show.update(&workflow.status()),
                // Dropped, the workflow fails, and so does the call in flight.
                _ = tokio::signal::ctrl_c() => break None,
            }
        }
    };
    show.finish(&workflow.status());
    result
}
