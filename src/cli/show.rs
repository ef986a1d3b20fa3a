//! `show`: one workflow.

use std::io::{self, Write as _};
use std::process::ExitCode;

use console::style;
use serde::Serialize as _;
use tower_agent_status::SessionId;
use tower_agent_status::status::{Value, WorkflowStatus};
use tower_agent_status::store::StatusReader as _;

use super::args::Heartbeat;
use super::failure::Failure;
use super::json::json;
use super::lines;
use super::store::StoreArgs;
use super::text::plain;

/// Show one workflow: its agents, their states, times, tokens and errors.
///
/// With `--json` it prints the item as it is stored: `tower_agent_status::status::schema`
/// names its attributes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tower-agent-status show session-corr_abc123
  tower-agent-status show session-corr_abc123 --json | jq .totalTokenUsage")]
pub(crate) struct Show {
    /// The session's id
    session: String,

    #[command(flatten)]
    store: StoreArgs,

    /// Print the stored item as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    heartbeat: Heartbeat,
}

impl Show {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let store = self.store.open().await?;
        // What cannot be a key is not in the table.
        let id = SessionId::from_key(&self.session).ok();
        let item = match &id {
            Some(id) => store.get(id).await?,
            None => None,
        };
        let Some((id, item)) = id.zip(item) else {
            return Err(Failure::No(format!(
                "there is no session `{}` in {}; `tower-agent-status list` shows the newest",
                self.session,
                self.store.name(&store),
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
        writeln!(out, "{}", lines::workflow(status, self.heartbeat.heartbeat))?;
        let mut about = |name: &str, value: &str| {
            let name = format!("{:<15}", plain(name));
            writeln!(out, "  {} {}", style(name).dim(), plain(value))
        };
        if let Some(error) = &status.error {
            about("error", error.as_str())?;
        }
        if let Some(id) = &status.correlation_id {
            about("correlationId", id)?;
        }
        for (name, value) in &status.attributes {
            about(name, &short(value))?;
        }
        about("createdAt", &status.created_at.to_string())?;
        about("lastUpdated", &status.last_updated.to_string())?;
        let total = lines::figures(&status.total_token_usage());
        about("tokens", &total)?;
        if status.is_stalled(lines::now(), self.heartbeat.heartbeat) {
            let silent = super::text::time(lines::now().duration_since(status.last_updated));
            about("stalled", &format!("nothing was heard of it for {silent}"))?;
        }
        for (name, agent) in lines::agents(status) {
            let line = lines::agent(name, agent);
            writeln!(out, "{} {line}", lines::sign(agent))?;
            if let Some(error) = lines::error(agent) {
                writeln!(out, "  {error}")?;
            }
            let mut more = Vec::new();
            more.extend(agent.token_usage.as_ref().map(lines::figures));
            if agent.calls > 1 {
                more.push(format!("{} calls", agent.calls));
            }
            if !more.is_empty() {
                writeln!(out, "  {}", style(more.join(", ")).dim())?;
            }
        }
        Ok(())
    }
}

/// The value of an attribute on one line.
fn short(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.serialize(serde_json::value::Serializer).unwrap_or_default().to_string(),
    }
}
