//! `table reshard`: changes the number of shards of the index of the newest sessions.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, value_parser};
use indicatif::HumanCount;
use tower_agent_status::store::{ReshardAction, ReshardPlan, ReshardProgress};

use super::confirm::is_continuation_confirmed;
use super::failure::{Failure, NEGATIVE, ignore_broken_pipe, note};
use super::store::StoreArgs;
use super::text::escaped;

/// Change the number of shards of the index of the newest sessions, while services write and read
///
/// Creates an index with that number, waits six minutes for running services to find it, adds its
/// attribute to the older items, and deletes the index before it. It can be stopped at any time: the
/// same command goes on. The number of the index before undoes it.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  tower-agent-status table reshard 16 --dry-run
  tower-agent-status table reshard 16 --yes")]
pub(crate) struct Reshard {
    /// The number of shards: one takes 1,000 new sessions a second
    #[arg(value_parser = value_parser!(u16).range(1..=256))]
    shards: u16,

    #[command(flatten)]
    store: StoreArgs,

    /// Only print what there is to do, and what it costs
    #[arg(long)]
    dry_run: bool,

    /// Do not ask for confirmation
    #[arg(long, short)]
    yes: bool,

    /// Do not wait for running services: nothing writes to the table
    #[arg(long)]
    no_wait: bool,
}

impl Reshard {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        if self.store.is_embedded() {
            return Err(Failure::Unusable(
                "an embedded store has one shard, which is enough for it".to_owned(),
            ));
        }
        let store = self.store.open_without_discovery().await?;
        let mut plan = store.plan_reshard(self.shards).await?;
        if self.no_wait {
            plan.wait = Duration::ZERO;
        }
        let mut out = io::stdout().lock();
        ignore_broken_pipe(writeln!(out, "{}", escaped(&what(&plan))))?;
        if plan.action == ReshardAction::Nothing {
            return Ok(ExitCode::SUCCESS);
        }
        if plan.write_units > 0 {
            ignore_broken_pipe(writeln!(out, "{}", cost(&plan)))?;
        }
        drop(out);
        if self.dry_run {
            return Ok(ExitCode::SUCCESS);
        }
        if !self.yes && !is_continuation_confirmed()? {
            return Ok(ExitCode::from(NEGATIVE));
        }
        let mut last = String::new();
        store
            .reshard(&plan, |progress| {
                let line = step(&progress);
                // Waiting takes many steps that are alike.
                if line != last {
                    note(&line);
                    last = line;
                }
            })
            .await?;
        let done = format!("The index of the newest sessions has {}.", shards(plan.shards));
        ignore_broken_pipe(writeln!(io::stdout().lock(), "{done}"))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn shards(count: u16) -> String {
    match count {
        1 => "1 shard".to_owned(),
        count => format!("{count} shards"),
    }
}

fn what(plan: &ReshardPlan) -> String {
    let shards = shards(plan.shards);
    let before = plan.from.as_ref().map(|index| format!(" in place of `{}`", index.name));
    let before = before.unwrap_or_default();
    match &plan.action {
        ReshardAction::Nothing => format!("The index of the newest sessions has {shards} already."),
        ReshardAction::Create(name) => format!("Creates the index `{name}` with {shards}{before}."),
        ReshardAction::TakeUp(name) => {
            format!("Goes on with the index `{name}`, of {shards}{before}.")
        }
        ReshardAction::Undo(name) => {
            format!("Deletes the index `{name}` of a reshard that was stopped.")
        }
        _ => format!("Gives the index of the newest sessions {shards}."),
    }
}

fn cost(plan: &ReshardPlan) -> String {
    format!(
        "The table has {} items (as of up to six hours ago). Adding an attribute to each takes about \
         {} write units and {} read units.",
        HumanCount(plan.item_count),
        HumanCount(plan.write_units),
        HumanCount(plan.read_units),
    )
}

fn step(progress: &ReshardProgress) -> String {
    match progress {
        ReshardProgress::Creating => "DynamoDB is creating the index …".to_owned(),
        ReshardProgress::Waiting(time) => {
            format!("Waiting {} s for running services to find the index …", time.as_secs())
        }
        ReshardProgress::Filled { scan, read, filled } => format!(
            "Scan {scan} of 2: {} items read, {} filled in",
            HumanCount(*read),
            HumanCount(*filled)
        ),
        ReshardProgress::Deleting(name) => format!("DynamoDB is deleting the index `{name}` …"),
        _ => "…".to_owned(),
    }
}
