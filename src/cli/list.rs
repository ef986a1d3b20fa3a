//! `list`: lists the newest workflows.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::ValueEnum;
use console::style;
use indicatif::HumanCount;
use serde_json::json;
use tower_agent_status::status::WorkflowStatus;
use tower_agent_status::store::StatusReader as _;

use super::args::Heartbeat;
use super::failure::{Failure, note};
use super::json::json as to_json;
use super::lines::{elapsed, known, now, overall_status};
use super::store::StoreArgs;
use super::text::{escaped, time, truncated};

/// How many of the newest workflows are searched with `--status`.
const SEARCHED: usize = 1_000;

/// List the newest workflows, newest first.
///
/// With `--json` it prints an array. Each element has `sessionId`, `status`, `createdAt` and
/// `lastUpdated` (RFC 3339, or null if the item has none), `stalled`, `waiting`, and
/// `totalTokens`. `status` is as stored, also where it is an older writer's word.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tower-agent-status list --limit 50
  tower-agent-status list --status failed --json | jq -r '.[].sessionId'")]
pub(crate) struct List {
    #[command(flatten)]
    store: StoreArgs,

    /// Maximum number of workflows to list
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    limit: u16,

    /// List only workflows with this status, among the 1,000 newest; may be repeated
    #[arg(long, value_enum)]
    status: Vec<StatusFilter>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    heartbeat: Heartbeat,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum StatusFilter {
    Pending,
    Initializing,
    Processing,
    Completed,
    Failed,
    /// An older writer's word, which is not known
    Other,
    /// Not finished, and no heartbeat recently
    Stalled,
    /// Not finished; an agent waits for a task, for input or for authorization
    Waiting,
}

impl List {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let store = self.store.open().await?;
        let limit = usize::from(self.limit);
        let requested = if self.status.is_empty() { limit } else { SEARCHED.max(limit) };
        let recent = store.recent(requested).await?;
        let searched = recent.items.len();
        let mut found: Vec<_> = recent
            .items
            .iter()
            .map(|(id, item)| WorkflowStatus::from_item(id, item))
            .filter(|status| self.matches(status))
            .collect();
        found.truncate(limit);

        let mut out = io::stdout().lock();
        if self.json {
            let rows: Vec<_> = found.iter().map(|status| self.row(status)).collect();
            writeln!(out, "{}", to_json(&rows, true)?)?;
        } else {
            self.print(&mut out, &found)?;
        }
        if recent.truncated {
            note(&format!(
                "The table is too large to search, so newer workflows may be missing: add the index \
                 that `{}` describes.",
                self.store.command("table check"),
            ));
        } else if recent.unindexed {
            note(&format!(
                "Some workflows of older writers are missing from the index, so newer ones may be \
                 missing here: `{}` adds them.",
                self.store.command("table backfill"),
            ));
        } else if !self.status.is_empty() && found.len() < limit && searched == requested {
            note(&format!("Searched only the {} newest workflows.", HumanCount(searched as u64)));
        }
        Ok(ExitCode::SUCCESS)
    }

    fn matches(&self, status: &WorkflowStatus) -> bool {
        let is_stalled = status.is_stalled(now(), self.heartbeat.heartbeat);
        let overall = status.overall_status.as_str();
        self.status.is_empty()
            || self.status.iter().any(|filter| match filter {
                StatusFilter::Stalled => is_stalled,
                StatusFilter::Waiting => status.is_waiting(),
                filter => {
                    filter.to_possible_value().is_some_and(|value| value.get_name() == overall)
                }
            })
    }

    fn row(&self, status: &WorkflowStatus) -> serde_json::Value {
        json!({
            "sessionId": status.session_id.as_str(),
            "status": status.status_text(),
            "createdAt": known(status.created_at).map(|time| time.to_string()),
            "lastUpdated": known(status.last_updated).map(|time| time.to_string()),
            "stalled": status.is_stalled(now(), self.heartbeat.heartbeat),
            "waiting": status.is_waiting(),
            "totalTokens": status.total_token_usage().total_tokens,
        })
    }

    fn print(&self, out: &mut impl io::Write, found: &[WorkflowStatus]) -> Result<(), Failure> {
        if found.is_empty() {
            writeln!(out, "no workflows")?;
            return Ok(());
        }
        let ids: Vec<_> = found.iter().map(|status| escaped(status.session_id.as_str())).collect();
        let ids: Vec<_> = ids.iter().map(|id| truncated(id, 60)).collect();
        let width = ids.iter().map(|id| id.chars().count()).max().unwrap_or(0).max(7);
        let head = format!(
            "{:<width$}  {:<12}  {:<24}  {:>10}  {:>12}",
            "SESSION", "STATUS", "CREATED", "TIME", "TOKENS"
        );
        writeln!(out, "{}", style(head).dim())?;
        for (status, id) in found.iter().zip(&ids) {
            let overall = overall_status(status, self.heartbeat.heartbeat, 12);
            let created = known(status.created_at).map(|time| time.to_string()).unwrap_or_default();
            let elapsed = elapsed(status).map(time).unwrap_or_default();
            let tokens = status.total_token_usage().total_tokens;
            let tokens = tokens.map(|total| HumanCount(total).to_string()).unwrap_or_default();
            writeln!(out, "{id:<width$}  {overall}  {created:<24}  {elapsed:>10}  {tokens:>12}")?;
        }
        Ok(())
    }
}
