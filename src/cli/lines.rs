//! A workflow and its agents as lines of text.

use std::time::{Duration, SystemTime};

use console::{StyledObject, style};
use indicatif::HumanCount;
use tower_agent_status::status::{
    AgentState, AgentStatus, Item, OverallStatus, Timestamp, TokenUsage, Value, WorkflowStatus,
};

use super::text::{plain, shortened, time, tokens};

pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}

/// A time of the item, whichever way it was written.
pub(crate) fn time_of(item: &Item, name: &str) -> Option<Timestamp> {
    item.get(name).and_then(Value::as_str)?.parse().ok()
}

/// The agents in the order in which they started; those that have not, by name.
pub(crate) fn agents(status: &WorkflowStatus) -> Vec<(&str, &AgentStatus)> {
    let mut agents: Vec<_> = status.agents().collect();
    agents.sort_by_key(|(_, agent)| (agent.started_at.is_none(), agent.started_at));
    agents
}

/// `processing`, `completed`, …, `stalled` where nobody works on it any more; in its
/// colour.
pub(crate) fn standing(status: &WorkflowStatus, heartbeat: Duration, width: usize) -> String {
    if status.is_stalled(now(), heartbeat) {
        return style(format!("{:<width$}", "stalled")).yellow().to_string();
    }
    let text = format!("{:<width$}", status.overall_status);
    let text = match status.overall_status {
        OverallStatus::Completed => style(text).green(),
        OverallStatus::Failed => style(text).red(),
        _ => style(text).cyan(),
    };
    text.to_string()
}

/// How long a workflow has taken.
pub(crate) fn elapsed(status: &WorkflowStatus) -> Duration {
    let end = if status.overall_status.is_finished() { status.last_updated } else { now() };
    end.duration_since(status.created_at)
}

/// The line of the whole workflow.
pub(crate) fn workflow(status: &WorkflowStatus, heartbeat: Duration) -> String {
    let id = plain(status.session_id.as_str());
    let standing = standing(status, heartbeat, 12);
    let elapsed = time(elapsed(status));
    let tokens = tokens(Some(&status.total_token_usage()));
    format!("{}  {standing} {elapsed:>9} {tokens:>14}", style(format!("{id:<40}")).bold())
}

/// The sign of an agent's state. While it runs the sign turns.
pub(crate) fn sign(agent: &AgentStatus) -> StyledObject<&'static str> {
    const TURNING: [&str; 8] = ["⠋", "⠙", "⠸", "⠴", "⠦", "⠧", "⠇", "⠏"];
    match agent.state {
        AgentState::Pending => style("·").dim(),
        AgentState::InProgress => {
            let elapsed =
                agent.started_at.map_or(0, |start| now().duration_since(start).as_millis());
            let at = usize::try_from(elapsed / 100).unwrap_or(0) % TURNING.len();
            style(TURNING[at]).cyan()
        }
        AgentState::Success => style("✔").green(),
        AgentState::Error => style("✘").red(),
        _ => style("?").dim(),
    }
}

/// The line of an agent, without its sign: with it 80 columns, where nothing is longer
/// than usual.
pub(crate) fn agent(name: &str, agent: &AgentStatus) -> String {
    let elapsed =
        agent.started_at.map(|start| agent.completed_at.unwrap_or_else(now).duration_since(start));
    let elapsed = elapsed.map(time).unwrap_or_default();
    let tokens = tokens(agent.token_usage.as_ref());
    let (name, activity) = (plain(name), plain(&agent.activity));
    let (name, activity) = (shortened(&name, 40), shortened(&activity, 60));
    let line = format!("{name:<19} {activity:<33} {elapsed:>9} {tokens:>14}");
    match agent.state {
        AgentState::Pending => style(line.trim_end()).dim().to_string(),
        _ => line.trim_end().to_owned(),
    }
}

/// Why an agent failed.
pub(crate) fn error(agent: &AgentStatus) -> Option<String> {
    let error = agent.error.as_ref()?;
    let text = format!("{}: {}", error.class, error.message);
    Some(style(plain(&text)).red().to_string())
}

/// `1,500 in, 500 out, 300 from cache`: the figures of a usage but its total.
pub(crate) fn figures(usage: &TokenUsage) -> String {
    let named = [
        (usage.input_tokens, "in"),
        (usage.output_tokens, "out"),
        (usage.cache_read_input_tokens, "from cache"),
        (usage.cache_write_input_tokens, "to cache"),
        (usage.reasoning_tokens, "reasoning"),
    ];
    let known = named.into_iter().filter_map(|(figure, name)| Some((figure?, name)));
    known
        .map(|(figure, name)| format!("{} {name}", HumanCount(figure)))
        .collect::<Vec<_>>()
        .join(", ")
}
