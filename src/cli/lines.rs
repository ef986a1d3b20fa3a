//! Formats a workflow and its agents as lines of text.

use std::time::{Duration, SystemTime};

use console::{StyledObject, style};
use indicatif::HumanCount;
use tower_agent_status::status::{
    AgentState, AgentStatus, Item, OverallStatus, Timestamp, TokenUsage, Value, WaitingFor,
    WorkflowStatus,
};

use super::text::{escaped, time, tokens, truncated};

pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}

/// Parses a time of the item, in any of the formats that writers use.
pub(crate) fn time_of(item: &Item, name: &str) -> Option<Timestamp> {
    item.get(name).and_then(Value::as_str)?.parse().ok()
}

/// The agents in the order in which they started, followed by the others by name.
pub(crate) fn agents(status: &WorkflowStatus) -> Vec<(&str, &AgentStatus)> {
    let mut agents: Vec<_> = status.agents().collect();
    agents.sort_by_key(|(_, agent)| (agent.started_at.is_none(), agent.started_at));
    agents
}

/// The status of a workflow, or `stalled` or `waiting`, in its colour.
pub(crate) fn overall_status(status: &WorkflowStatus, heartbeat: Duration, width: usize) -> String {
    if status.is_stalled(now(), heartbeat) {
        return style(format!("{:<width$}", "stalled")).yellow().to_string();
    }
    if status.is_waiting() {
        return style(format!("{:<width$}", "waiting")).magenta().to_string();
    }
    let text = format!("{:<width$}", status.overall_status);
    let text = match status.overall_status {
        OverallStatus::Completed => style(text).green(),
        OverallStatus::Failed => style(text).red(),
        _ => style(text).cyan(),
    };
    text.to_string()
}

/// The duration of a workflow, up to now if it is still running.
pub(crate) fn elapsed(status: &WorkflowStatus) -> Duration {
    let end = if status.overall_status.is_finished() { status.last_updated } else { now() };
    end.duration_since(status.created_at)
}

/// The line for a workflow.
pub(crate) fn workflow(status: &WorkflowStatus, heartbeat: Duration) -> String {
    let id = escaped(status.session_id.as_str());
    let overall = overall_status(status, heartbeat, 12);
    let elapsed = time(elapsed(status));
    let tokens = tokens(Some(&status.total_token_usage()));
    format!("{}  {overall} {elapsed:>9} {tokens:>14}", style(format!("{id:<40}")).bold())
}

/// The symbol for an agent's state. It spins while the agent is running.
pub(crate) fn symbol(agent: &AgentStatus) -> StyledObject<&'static str> {
    const SPINNER: [&str; 8] = ["⠋", "⠙", "⠸", "⠴", "⠦", "⠧", "⠇", "⠏"];
    match agent.state {
        AgentState::Pending => style("·").dim(),
        AgentState::InProgress if agent.waiting_for.is_some() => style("◷").magenta(),
        AgentState::InProgress => {
            let elapsed =
                agent.started_at.map_or(0, |start| now().duration_since(start).as_millis());
            let at = usize::try_from(elapsed / 100).unwrap_or(0) % SPINNER.len();
            style(SPINNER[at]).cyan()
        }
        AgentState::Success => style("✔").green(),
        AgentState::Error => style("✘").red(),
        _ => style("?").dim(),
    }
}

/// The line for an agent, without its symbol. Together they usually fit into 80 columns.
pub(crate) fn agent(name: &str, agent: &AgentStatus) -> String {
    let elapsed =
        agent.started_at.map(|start| agent.completed_at.unwrap_or_else(now).duration_since(start));
    let elapsed = elapsed.map(time).unwrap_or_default();
    let tokens = tokens(agent.token_usage.as_ref());
    let (name, activity) = (escaped(name), escaped(&agent.activity));
    let (name, activity) = (truncated(&name, 40), truncated(&activity, 60));
    let line = format!("{name:<19} {activity:<33} {elapsed:>9} {tokens:>14}");
    match agent.state {
        AgentState::Pending => style(line.trim_end()).dim().to_string(),
        _ => line.trim_end().to_owned(),
    }
}

/// What an agent waits for, if it does: `waiting for task resp_1`, or `waiting for input, task t1`.
pub(crate) fn waiting(agent: &AgentStatus) -> Option<String> {
    let text = match (agent.waiting_for?, &agent.task_id) {
        (WaitingFor::Task, Some(id)) => format!("waiting for task {id}"),
        (WaitingFor::Task, None) => "waiting for its task".to_owned(),
        (waiting_for, Some(id)) => format!("waiting for {waiting_for}, task {id}"),
        (waiting_for, None) => format!("waiting for {waiting_for}"),
    };
    Some(style(escaped(&text)).magenta().to_string())
}

/// The error of an agent, if it failed.
pub(crate) fn error(agent: &AgentStatus) -> Option<String> {
    let error = agent.error.as_ref()?;
    let text = format!("{}: {}", error.class, error.message);
    Some(style(escaped(&text)).red().to_string())
}

/// Formats a usage as `1,500 in, 500 out, 300 from cache`, without the total.
pub(crate) fn usage(usage: &TokenUsage) -> String {
    let counts = [
        (usage.input_tokens, "in"),
        (usage.output_tokens, "out"),
        (usage.cache_read_input_tokens, "from cache"),
        (usage.cache_write_input_tokens, "to cache"),
        (usage.reasoning_tokens, "reasoning"),
    ];
    let known = counts.into_iter().filter_map(|(count, name)| Some((count?, name)));
    known
        .map(|(count, name)| format!("{} {name}", HumanCount(count)))
        .collect::<Vec<_>>()
        .join(", ")
}
