//! Formats a workflow and its agents as lines of text.

use std::time::{Duration, SystemTime};

use console::{StyledObject, style};
use indicatif::HumanCount;
use tower_agent_status::status::{
    AgentState, AgentStatus, OverallStatus, PreviousRun, Timestamp, TokenUsage, TotalCost,
    WaitingFor, WorkflowStatus,
};

use super::text::{escaped, time, tokens, truncated};

pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}

/// The status of a workflow, or `stalled` or `waiting`, in its colour.
pub(crate) fn overall_status(status: &WorkflowStatus, heartbeat: Duration, width: usize) -> String {
    if status.is_stalled(now(), heartbeat) {
        return style(format!("{:<width$}", "stalled")).yellow().to_string();
    }
    if status.is_waiting() {
        return style(format!("{:<width$}", "waiting")).magenta().to_string();
    }
    let word = escaped(status.status_text());
    let text = format!("{word:<width$}");
    let text = match status.overall_status {
        OverallStatus::Completed => style(text).green(),
        OverallStatus::Failed => style(text).red(),
        OverallStatus::Pending | OverallStatus::Other => style(text).dim(),
        _ => style(text).cyan(),
    };
    text.to_string()
}

/// The duration of a workflow, up to now if it is still running. `None` if the item does not tell.
pub(crate) fn elapsed(status: &WorkflowStatus) -> Option<Duration> {
    let is_running = !status.overall_status.is_finished()
        && !matches!(status.overall_status, OverallStatus::Other);
    // Late token counts are written after the end.
    let completed_at = status.completed_at.filter(|_| status.overall_status.is_finished());
    let end = if is_running { Some(now()) } else { completed_at.or(known(status.last_updated)) };
    Some(end?.duration_since(known(status.created_at)?))
}

/// A time, unless the item does not have it.
pub(crate) fn known(time: Timestamp) -> Option<Timestamp> {
    (time.as_millis() != 0).then_some(time)
}

/// The column of costs in the lines of a workflow and its agents.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum CostColumn {
    /// Nothing is known of any cost.
    Absent,
    /// It takes room from the id and the activity, so that lines fit into 80 columns.
    Narrow,
    /// It follows the 80 columns.
    Wide,
}

impl CostColumn {
    /// How wide a line is, without the model behind it.
    pub(crate) fn line_width(self) -> usize {
        match self {
            Self::Absent | Self::Narrow => 80,
            Self::Wide => 92,
        }
    }

    /// The column for a workflow, on a screen of so many columns.
    pub(crate) fn of(status: &WorkflowStatus, columns: usize) -> Self {
        match has_costs(status) {
            false => Self::Absent,
            true if columns < Self::Wide.line_width() => Self::Narrow,
            true => Self::Wide,
        }
    }
}

/// Whether a workflow has any known or missing costs.
pub(crate) fn has_costs(status: &WorkflowStatus) -> bool {
    !status.total_cost().is_empty()
}

/// A cost in its column, rounded; empty if there is none.
pub(crate) fn cost(cost: &TotalCost) -> String {
    if cost.is_empty() { String::new() } else { format!("{cost:#}") }
}

/// The cell of a cost, with the space before it.
fn cell(cost: &TotalCost, column: CostColumn) -> String {
    match column {
        CostColumn::Absent => String::new(),
        CostColumn::Narrow | CostColumn::Wide => format!(" {:>11}", self::cost(cost)),
    }
}

/// The line for a workflow.
pub(crate) fn workflow(status: &WorkflowStatus, heartbeat: Duration, column: CostColumn) -> String {
    let id = escaped(status.session_id.as_str());
    let overall = overall_status(status, heartbeat, 12);
    let elapsed = elapsed(status).map(time).unwrap_or_default();
    let tokens = tokens(Some(&status.total_token_usage()));
    let width = if column == CostColumn::Narrow { 28 } else { 40 };
    let cost = cell(&status.total_cost(), column);
    format!("{}  {overall} {elapsed:>9} {tokens:>14}{cost}", style(format!("{id:<width$}")).bold())
}

/// The previous run: `failed 2025-12-24T10:00:12.000Z, after 12.0 s, 1,234 tokens: error`, or
/// `processing, started 2025-12-24T10:00:00.000Z` if it had not ended.
pub(crate) fn previous_run(run: &PreviousRun) -> String {
    let created_at = known(run.created_at);
    let mut text = run.status_text().to_owned();
    match (run.completed_at, created_at) {
        (Some(end), None) => text += &format!(" {end}"),
        (Some(end), Some(start)) => {
            text += &format!(" {end}, after {}", time(end.duration_since(start)));
        }
        (None, Some(start)) => text += &format!(", started {start}"),
        (None, None) => {}
    }
    // Zero also stands for an unknown count.
    if run.total_token_usage.total_tokens.is_some_and(|total| total > 0) {
        text += &format!(", {}", tokens(Some(&run.total_token_usage)));
    }
    if !run.total_cost.is_empty() {
        text += &format!(", {}", cost(&run.total_cost));
    }
    if let Some(error) = &run.error {
        text += &format!(": {}", error.as_str());
    }
    text
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

/// The line for an agent, without its symbol. Together they usually fit into 80 columns, or into those of
/// a [wide](CostColumn::Wide) line.
pub(crate) fn agent(name: &str, agent: &AgentStatus, column: CostColumn) -> String {
    let since_start = || Some(now().duration_since(agent.started_at?));
    let elapsed = match agent.state {
        AgentState::InProgress => since_start(),
        _ => agent.duration(),
    };
    let elapsed = elapsed.map(time).unwrap_or_default();
    let tokens = tokens(agent.token_usage().as_ref());
    let (name, activity) = (escaped(name), escaped(&agent.activity));
    let (longest, width) = if column == CostColumn::Narrow { (21, 21) } else { (60, 33) };
    let cost = cell(&agent.cost(), column);
    let (name, activity) = (truncated(&name, 40), truncated(&activity, longest));
    let line = format!("{name:<19} {activity:<width$} {elapsed:>9} {tokens:>14}{cost}");
    match agent.state {
        AgentState::Pending => style(line.trim_end()).dim().to_string(),
        _ => line.trim_end().to_owned(),
    }
}

/// An older writer's word for the state of an agent, if it has one.
pub(crate) fn other_state(agent: &AgentStatus) -> Option<String> {
    let word = agent.other_state.as_ref()?;
    Some(style(escaped(&format!("status: {word}"))).dim().to_string())
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
