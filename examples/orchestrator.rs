//! An orchestrator that calls four agents to process a trade confirmation, and tracks their
//! status in a table.
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
//! - `orchestrator.rs` calls the agents, and knows nothing about status tracking;
//! - `tracking.rs` declares the agents, and adds a layer to each agent's client;
//! - `agents.rs` mocks the agents as servers on the loopback interface;
//! - `scenario.rs` defines the scenarios, and the item each must end with;
//! - `prices.json` has the prices of their models;
//! - `show.rs` shows the workflow in the terminal, and `page.rs` in a browser;
//! - `stop.rs` waits for Ctrl-C and SIGTERM, and `log.rs` prints warnings;
//! - `args.rs` parses arguments.

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
mod scenario;
#[path = "orchestrator/show.rs"]
mod show;
#[path = "orchestrator/stop.rs"]
mod stop;
#[path = "orchestrator/tracking.rs"]
mod tracking;

use std::fmt;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use clap::builder::NonEmptyStringValueParser;
use tower::BoxError;
use tower_agent_status::store::{DynamoDbStore, MemoryStore, StatusReader, StatusStore};
use tower_agent_status::{InvalidSessionId, Prices, SessionId, Workflow};

use agents::{Agents, Pace};
use args::StoreChoice;
use orchestrator::{Document, Settlement};
use page::Page;
use scenario::Scenario;
use show::Show;

/// Sends a document through four mocked agents, shows their status live, and prints the
/// stored item.
///
/// Exits with 0 if the item is as the scenario expects, 1 if it is not, and 2 if the scenario
/// could not run. Ctrl-C fails the workflow, and the failure is saved as well.
#[derive(Debug, Parser)]
#[command(name = "orchestrator")]
struct Args {
    /// Document id
    #[arg(default_value = "FAB_26933659", value_parser = NonEmptyStringValueParser::new())]
    document: String,

    /// Source of the document
    #[arg(default_value = "BANK", value_parser = NonEmptyStringValueParser::new())]
    source: String,

    /// Session id, to resume a session of this store; by default a new one
    #[arg(long, value_name = "ID", value_parser = session_id)]
    session: Option<SessionId>,

    /// Start the session anew: what was recorded of it is replaced
    #[arg(long, requires = "session")]
    new_run: bool,

    /// Scenario to run
    #[arg(long, value_enum, default_value_t = Scenario::Matched)]
    scenario: Scenario,

    /// Store: `embedded` (in memory), `embedded:FILE`, `memory` (no DynamoDB engine), or
    /// `dynamodb`, the table configured by STATUS_TABLE_NAME, AWS_REGION and
    /// AWS_ENDPOINT_URL_DYNAMODB
    #[arg(long, default_value = "embedded")]
    store: StoreChoice,

    /// Print only the stored item, on one line
    #[arg(long)]
    json: bool,

    /// Also serve the portal, by default on a free port of 127.0.0.1, and print its URL. It
    /// keeps running after the workflow has finished, until Ctrl-C
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, require_equals = true, default_missing_value = "127.0.0.1:0")]
    portal: Option<SocketAddr>,

    /// Factor for how long the agents take: 1 is a few seconds in total, 0 is no time
    #[arg(long, default_value = "1", value_name = "FACTOR", value_parser = args::pace)]
    pace: f64,
}

fn session_id(text: &str) -> Result<SessionId, InvalidSessionId> {
    SessionId::new(text)
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    log::start();
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
    let session_id = match &args.session {
        Some(session) => session.clone(),
        None => SessionId::new(format!("session-{correlation_id}"))?,
    };
    // A tracker retries until the table can be reached. Someone at a terminal would rather
    // see the error.
    store.get(&session_id).await?;

    let mut stop = pin!(stop::stop()?);
    let page = match args.portal {
        Some(address) => Some(Page::serve(store.clone(), address).await?),
        None => None,
    };
    if let Some(page) = &page {
        eprintln!("The page is at {}#{session_id}\n", page.url);
    }
    let agents = Agents::start(args.scenario, Pace(args.pace)).await?;
    // In production: a list that is kept up to date, with `Prices::from_file`.
    let prices = Prices::from_json(include_str!("orchestrator/prices.json"))?;
    let tracker = tracking::tracker(store.clone()).prices(prices).start()?;
    let orchestrator = tracking::orchestrator(&tracker, &agents, tracking::hyper_client());
    let document =
        Document { id: args.document.clone(), source_type: args.source.clone(), correlation_id };
    let mut workflow = tracking::workflow(&tracker, session_id.as_str(), &document);
    if args.new_run {
        workflow = workflow.new_run();
    }
    let workflow = workflow.start()?;
    let result =
        watch(workflow, Show::new(args.json)?, orchestrator.process(&document), stop.as_mut())
            .await;
    let interrupted = result.is_none();
    if !args.json {
        match result {
            Some(Ok(Settlement::Matched)) => eprintln!("\nThe trade was matched."),
            Some(Ok(Settlement::SentToReview)) => eprintln!("\nThe trade was sent to review."),
            Some(Err(error)) => eprintln!("\nThe document could not be processed: {error}"),
            None => eprintln!("\nInterrupted."),
        }
    }

    if let Err(error) = tracker.shutdown(Duration::from_secs(5)).await {
        eprintln!("error: {error}");
    }
    let item = match store.get(&session_id).await {
        Ok(Some(item)) => item,
        Ok(None) => return fail(&format!("the store has no item for {session_id}")),
        Err(error) => return fail(&error),
    };
    let text = if args.json {
        serde_json::to_string(&item.ordered())?
    } else {
        eprintln!("The item in the store:\n");
        serde_json::to_string_pretty(&item.ordered())?
    };
    match writeln!(io::stdout(), "{text}") {
        // The reader, such as `head`, has closed the pipe.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written?,
    }
    if interrupted {
        return Ok(ExitCode::from(130));
    }
    // A session that is resumed has the calls and tokens of earlier runs as well.
    let differences = match (&args.session, args.new_run) {
        (Some(_), false) => Vec::new(),
        _ => args.scenario.differences(&serde_json::to_value(&item)?),
    };
    for difference in &differences {
        eprintln!("unexpected: {difference}");
    }
    if let Some(page) = page {
        eprintln!("\nThe page remains at {} until Ctrl-C.", page.url);
        stop.await;
        page.stop().await?;
    }
    Ok(ExitCode::from(u8::from(!differences.is_empty())))
}

/// The workflow ran, but its item could not be read.
fn fail(error: &dyn fmt::Display) -> Result<ExitCode, BoxError> {
    eprintln!("error: {error}");
    Ok(ExitCode::from(1))
}

/// Runs a workflow and shows its progress. Returns `None` if it was interrupted.
async fn watch<T, E: fmt::Display>(
    workflow: Workflow,
    mut show: Show,
    process: impl Future<Output = Result<T, E>>,
    mut stop: Pin<&mut impl Future<Output = ()>>,
) -> Option<Result<T, E>> {
    let result = {
        let mut run = pin!(workflow.clone().run(process));
        let mut tick = tokio::time::interval(show::TICK);
        loop {
            tokio::select! {
                result = &mut run => break Some(result),
                _ = tick.tick() => show.update(&workflow.status()),
                // Dropping the future fails the workflow and cancels the call in flight.
                () = &mut stop => break None,
            }
        }
    };
    show.finish(&workflow.status());
    result
}
