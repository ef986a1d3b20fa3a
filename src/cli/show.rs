//! `show`: shows one workflow.

use std::io::{self, Write as _};
use std::process::ExitCode;

use console::style;
use serde::Serialize as _;
use tower_agent_status::SessionId;
use tower_agent_status::status::{Value, WorkflowStatus};
use tower_agent_status::store::StatusReader as _;

use super::args::Heartbeat;
use super::calls;
use super::failure::Failure;
use super::json::json;
use super::lines::{self, CostColumn};
use super::store::StoreArgs;
use super::text::escaped;

/// Show a workflow: its agents with their states, times, tokens, costs, models, attempts and errors,
/// what they wait for, and how the previous run ended, if there was one.
///
/// With `--json` it prints the attributes of the item, which are documented in
/// `tower_agent_status::status::schema`: the session id as `sessionId`, whatever the table's key
/// is called, and without attributes of a type that the document does not use, such as null.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tower-agent-status show session-corr_abc123
  tower-agent-status show session-corr_abc123 --json | jq .totalTokenUsage")]
pub(crate) struct Show {
    /// Session id
    session: String,

    #[command(flatten)]
    store: StoreArgs,

    /// Print the item's attributes as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    heartbeat: Heartbeat,
}

impl Show {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let store = self.store.open().await?;
        // An id that cannot be a key is not in the table.
        let id = SessionId::from_key(&self.session).ok();
        let item = match &id {
            Some(id) => store.get(id).await?,
            None => None,
        };
        let Some((id, item)) = id.zip(item) else {
            return Err(Failure::Negative(format!(
                "no session `{}` in {}; `{}` shows the newest",
                self.session,
                self.store.name(&store),
                self.store.command("list"),
            )));
        };
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", json(&item.ordered(), true)?)?;
        } else {
            self.print(&mut out, &WorkflowStatus::from_item(&id, &item))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn print(&self, out: &mut impl io::Write, status: &WorkflowStatus) -> Result<(), Failure> {
        let column = CostColumn::of(status, usize::MAX);
        writeln!(out, "{}", lines::workflow(status, self.heartbeat.heartbeat, column))?;
        let mut field = |name: &str, value: &str| {
            let name = format!("{:<15}", escaped(name));
            writeln!(out, "  {} {}", style(name).dim(), escaped(value))
        };
        if let Some(error) = &status.error {
            field("error", error.as_str())?;
        }
        if let Some(id) = &status.correlation_id {
            field("correlationId", id)?;
        }
        for (name, value) in &status.attributes {
            field(name, &one_line(value))?;
        }
        let times = [
            ("createdAt", lines::known(status.created_at)),
            ("completedAt", status.completed_at),
            ("lastUpdated", lines::known(status.last_updated)),
        ];
        for (name, time) in times {
            if let Some(time) = time {
                field(name, &time.to_string())?;
            }
        }
        if let Some(run) = &status.previous_run {
            field("previous run", &lines::previous_run(run))?;
        }
        let total = lines::usage(&status.total_token_usage());
        field("tokens", &total)?;
        let cost = status.total_cost();
        if !cost.is_empty() {
            field("cost", &calls::exact_cost(&cost))?;
        }
        if let Some(budget) = &status.budget {
            field("budget", &calls::budget(budget))?;
        }
        if let Some(id) = &status.trace_id {
            field("traceId", id)?;
        }
        if status.is_stalled(lines::now(), self.heartbeat.heartbeat) {
            let silent = super::text::time(lines::now().duration_since(status.last_updated));
            field("stalled", &format!("no heartbeat for {silent}"))?;
        }
        for (name, agent) in status.agents_by_start() {
            let line = lines::agent(name, agent, column);
            writeln!(out, "{} {line}", lines::symbol(agent))?;
            let more = [
                calls::model(agent),
                lines::other_state(agent),
                lines::error(agent),
                lines::waiting(agent),
            ];
            for more in more.into_iter().flatten() {
                writeln!(out, "  {more}")?;
            }
            let mut more = Vec::new();
            more.extend(agent.token_usage().as_ref().map(lines::usage));
            if agent.calls > 1 {
                more.push(format!("{} calls", agent.calls));
            }
            if !agent.cost().is_empty() {
                more.push(calls::exact_cost(&agent.cost()));
            }
            if !more.is_empty() {
                writeln!(out, "  {}", style(more.join(", ")).dim())?;
            }
            for line in calls::lines(agent) {
                writeln!(out, "  {line}")?;
            }
        }
        Ok(())
    }
}

/// Formats an attribute's value on one line.
fn one_line(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.serialize(serde_json::value::Serializer).unwrap_or_default().to_string(),
    }
}
