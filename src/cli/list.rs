//! `list`: lists the newest workflows.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use console::style;
use indicatif::HumanCount;
use serde_json::json;
use tower_agent_status::SessionId;
use tower_agent_status::status::{Item, Timestamp, TokenUsage, WorkflowStatus, schema};
use tower_agent_status::store::{
    DynamoDbStore, FindRequest, FoundItems, ListRequest, RecentItems, StatusReader as _,
};

use super::args::{Heartbeat, duration};
use super::csv;
use super::failure::{Failure, note};
use super::json::json as to_json;
use super::lines::{self, elapsed, known, now, overall_status};
use super::store::StoreArgs;
use super::text::{escaped, time, truncated};

/// The names of the columns of CSV.
const CSV: [&str; 12] = [
    "session",
    "correlation_id",
    "status",
    "created",
    "updated",
    "duration",
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cost_usd",
    "unpriced_calls",
    "error",
];

/// How many of the newest workflows are searched with `--status`; with `--attribute`, it is
/// [`FindRequest::MAX_SEARCHED`].
const SEARCHED: usize = 1_000;

/// List the newest workflows, newest first.
///
/// With `--json` it prints an array. Each element has `sessionId`, `status`, `createdAt` and
/// `lastUpdated` (RFC 3339, or null if the item has none), `stalled`, `waiting`, and
/// `totalTokens`; and `totalCostUsd` and `unpricedCalls` where the item has them. `status` is as stored,
/// even if only an older writer uses that word.
///
/// With `--csv` it prints a header and a row for each workflow, as RFC 4180 specifies. `duration` is in
/// seconds, and `cost_usd` is exact, or a minimum if there are `unpriced_calls`. Text that a
/// spreadsheet would take for a formula is prefixed with an apostrophe.
///
/// With `--attribute` it finds workflows by the exact value of an attribute: through the table's index
/// of the attribute, or else among the newest 2,000. It prints to standard error how far back it searched
/// and how many read units that took.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tower-agent-status list --limit 50
  tower-agent-status list --limit 1000 --csv > costs.csv
  tower-agent-status list --attribute documentId=FAB_26933659 --since 2d
  tower-agent-status list --status failed --json | jq -r '.[].sessionId'")]
pub(crate) struct List {
    #[command(flatten)]
    store: StoreArgs,

    /// Maximum number of workflows to list
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    limit: u16,

    /// List only workflows with this status, among the newest 1,000; may be repeated
    #[arg(long, value_enum)]
    status: Vec<StatusFilter>,

    /// List only workflows in which this attribute has this value, among the newest 2,000 if the table
    /// has no index of the attribute
    #[arg(long, value_name = "NAME=VALUE", value_parser = attribute)]
    attribute: Option<(String, String)>,

    /// List only workflows that started at most this long ago, such as 12h or 2d
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    since: Option<Duration>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Print CSV, for a spreadsheet
    #[arg(long, conflicts_with = "json")]
    csv: bool,

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
    /// An unknown status, of an older writer
    Other,
    /// Not finished, and no heartbeat recently
    Stalled,
    /// Not finished; an agent waits for a task, for input or for authorization
    Waiting,
}

fn attribute(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("expected NAME=VALUE, such as documentId=FAB_26933659"),
    }
}

/// What was read, and what to say about that.
struct Listed {
    /// Those with a status that was asked for.
    found: Vec<WorkflowStatus>,
    truncated: bool,
    unindexed: bool,
    /// How far the search went.
    extent: Option<String>,
}

impl List {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let store = self.store.open().await?;
        let since = self.since.map(|since| now().saturating_sub(since));
        let listed = match &self.attribute {
            Some((name, value)) => self.find(&store, name, value, since).await?,
            None => self.newest(&store, since).await?,
        };
        let mut found = listed.found;
        found.truncate(usize::from(self.limit));

        let mut out = io::stdout().lock();
        if self.json {
            let rows: Vec<_> = found.iter().map(|status| self.row(status)).collect();
            writeln!(out, "{}", to_json(&rows, true)?)?;
        } else if self.csv {
            write!(out, "{}", csv::row(CSV))?;
            for status in &found {
                write!(out, "{}", csv_row(status))?;
            }
        } else {
            self.print(&mut out, &found)?;
        }
        if listed.truncated {
            note(&format!(
                "The table is too large to search, so newer workflows may be missing: add the index \
                 that `{}` describes.",
                self.store.command("table check"),
            ));
        } else if listed.unindexed {
            note(&format!(
                "Some workflows of older writers are missing from the index, so newer ones may be \
                 missing here: `{}` adds them.",
                self.store.command("table backfill"),
            ));
        }
        if let Some(extent) = listed.extent {
            note(&extent);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The newest workflows.
    async fn newest(
        &self,
        store: &DynamoDbStore,
        since: Option<Timestamp>,
    ) -> Result<Listed, Failure> {
        let limit = usize::from(self.limit);
        let requested = if self.status.is_empty() { limit } else { SEARCHED.max(limit) };
        let mut request = ListRequest::new(requested);
        request.since = since;
        let list = store.list(&request, |_, item| item).await?;
        let RecentItems { items, truncated, unindexed, .. } = list;
        let searched = items.len();
        let found = self.matching(&items);
        let is_cut = !self.status.is_empty() && found.len() < limit && searched == requested;
        let extent = (is_cut && !truncated && !unindexed).then(|| {
            format!("Searched only the {} newest workflows.", HumanCount(searched as u64))
        });
        Ok(Listed { found, truncated, unindexed, extent })
    }

    /// The newest workflows in which an attribute has a value.
    async fn find(
        &self,
        store: &DynamoDbStore,
        name: &str,
        value: &str,
        since: Option<Timestamp>,
    ) -> Result<Listed, Failure> {
        let limit = usize::from(self.limit);
        // With `--status`, some of those found are left out.
        let requested = if self.status.is_empty() { limit } else { FindRequest::MAX_SEARCHED };
        let mut request = FindRequest::new(name, value).limit(requested.max(limit));
        request.since = since;
        let search = store.find(&request, |_, item| item).await?;
        let found = self.matching(&search.items);
        let extent = Some(extent(&search, name));
        Ok(Listed { found, truncated: search.truncated, unindexed: search.unindexed, extent })
    }

    fn matching(&self, items: &[(SessionId, Item)]) -> Vec<WorkflowStatus> {
        let statuses = items.iter().map(|(id, item)| WorkflowStatus::from_item(id, item));
        statuses.filter(|status| self.matches(status)).collect()
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
        let mut row = json!({
            "sessionId": status.session_id.as_str(),
            "status": status.status_text(),
            "createdAt": known(status.created_at).map(|time| time.to_string()),
            "lastUpdated": known(status.last_updated).map(|time| time.to_string()),
            "stalled": status.is_stalled(now(), self.heartbeat.heartbeat),
            "waiting": status.is_waiting(),
            "totalTokens": status.total_token_usage().total_tokens,
        });
        let cost = status.total_cost();
        if let Some(usd) = cost.usd {
            row[schema::TOTAL_COST_USD] = json!(usd.to_f64());
        }
        if cost.unpriced_calls > 0 {
            row[schema::UNPRICED_CALLS] = json!(cost.unpriced_calls);
        }
        row
    }

    fn print(&self, out: &mut impl io::Write, found: &[WorkflowStatus]) -> Result<(), Failure> {
        if found.is_empty() {
            writeln!(out, "no workflows")?;
            return Ok(());
        }
        let ids: Vec<_> = found.iter().map(|status| escaped(status.session_id.as_str())).collect();
        let ids: Vec<_> = ids.iter().map(|id| truncated(id, 60)).collect();
        let width = ids.iter().map(|id| id.chars().count()).max().unwrap_or(0).max(7);
        let has_costs = found.iter().any(lines::has_costs);
        let column = |cost: &str| if has_costs { format!("  {cost:>12}") } else { String::new() };
        let head = format!(
            "{:<width$}  {:<12}  {:<24}  {:>10}  {:>12}{}",
            "SESSION",
            "STATUS",
            "CREATED",
            "TIME",
            "TOKENS",
            column("COST")
        );
        writeln!(out, "{}", style(head).dim())?;
        for (status, id) in found.iter().zip(&ids) {
            let overall = overall_status(status, self.heartbeat.heartbeat, 12);
            let created = known(status.created_at).map(|time| time.to_string()).unwrap_or_default();
            let elapsed = elapsed(status).map(time).unwrap_or_default();
            let tokens = status.total_token_usage().total_tokens;
            let tokens = tokens.map(|total| HumanCount(total).to_string()).unwrap_or_default();
            let cost = column(&lines::cost(&status.total_cost()));
            let line = format!(
                "{id:<width$}  {overall}  {created:<24}  {elapsed:>10}  {tokens:>12}{cost}"
            );
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// How far a search looked, and what it took.
fn extent(search: &FoundItems, attribute: &str) -> String {
    let searched = HumanCount(search.searched as u64);
    let mut text = match search {
        FoundItems { indexed: true, .. } => format!("Searched the index of `{attribute}`"),
        FoundItems { truncated: true, .. } => format!("Searched {searched} workflows"),
        FoundItems { complete: true, .. } => format!("Searched all {searched} workflows"),
        FoundItems { reached: Some(time), .. } => {
            format!("Searched the newest {searched} workflows, back to {time}")
        }
        _ => format!("Searched {searched} workflows"),
    };
    if let Some(units) = search.read_units {
        text.push_str(&format!(", for {units} read units"));
    }
    text.push('.');
    // With an index, an incomplete list is one that reached its limit.
    if !search.complete && !search.truncated && !search.unindexed {
        text.push_str(match search.indexed {
            true => " There may be more: raise --limit.",
            false => " There may be more: raise --limit, or add an index of the attribute.",
        });
    }
    text
}

/// A workflow as a row of CSV. Unknown values are empty.
fn csv_row(status: &WorkflowStatus) -> String {
    let time = |at: Timestamp| known(at).map(|at| at.to_string()).unwrap_or_default();
    let count = |count: Option<u64>| count.map(|count| count.to_string()).unwrap_or_default();
    let elapsed = elapsed(status).map(|elapsed| format!("{:.3}", elapsed.as_secs_f64()));
    let (tokens, cost) = (status.total_token_usage(), status.total_cost());
    let has_tokens = status.agents().any(|(_, agent)| agent.token_usage().is_some());
    let tokens = if has_tokens { tokens } else { TokenUsage::default() };
    csv::row([
        status.session_id.as_str(),
        status.correlation_id.as_deref().unwrap_or_default(),
        status.status_text(),
        &time(status.created_at),
        &time(status.last_updated),
        &elapsed.unwrap_or_default(),
        &count(tokens.input_tokens),
        &count(tokens.output_tokens),
        &count(tokens.total_tokens),
        &cost.usd.map(|usd| usd.to_string()).unwrap_or_default(),
        &cost.unpriced_calls.to_string(),
        status.error.as_ref().map(|error| error.as_str()).unwrap_or_default(),
    ])
}
