//! Shows a running workflow: on a terminal, one line per agent, redrawn; otherwise, a line for
//! each change of state.

#![allow(clippy::print_stderr, reason = "its purpose is to print")]

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::time::{Duration, SystemTime};

use indicatif::style::TemplateError;
use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressStyle};
use tower_agent_status::status::{
    AgentState, AgentStatus, Timestamp, TokenUsage, TotalCost, WorkflowStatus,
};

/// How often to [update](Show::update).
pub(crate) const TICK: Duration = Duration::from_millis(80);

pub(crate) enum Show {
    Nothing,
    Lines(Box<Lines>),
    Changes(Changes),
}

impl Show {
    /// Shows progress on stderr, since stdout is for the item.
    pub(crate) fn new(quiet: bool) -> Result<Self, TemplateError> {
        if quiet {
            Ok(Self::Nothing)
        } else if std::io::stderr().is_terminal() {
            Ok(Self::Lines(Box::new(Lines::new()?)))
        } else {
            Ok(Self::Changes(Changes::default()))
        }
    }

    pub(crate) fn update(&mut self, status: &WorkflowStatus) {
        match self {
            Self::Nothing => {}
            Self::Lines(lines) => lines.draw(status),
            Self::Changes(changes) => changes.print(status),
        }
    }

    /// Shows the last state and leaves it on the screen.
    pub(crate) fn finish(mut self, status: &WorkflowStatus) {
        self.update(status);
        if let Self::Lines(lines) = &self {
            let bars = lines.bars.iter().map(|(_, bar)| bar);
            bars.chain([&lines.workflow]).for_each(ProgressBar::abandon);
            // The last line has no line break yet.
            eprintln!();
        }
    }
}

/// Lines redrawn in place.
pub(crate) struct Lines {
    screen: MultiProgress,
    workflow: ProgressBar,
    bars: Vec<(String, ProgressBar)>,
    styles: Styles,
}

struct Styles {
    pending: ProgressStyle,
    in_progress: ProgressStyle,
    success: ProgressStyle,
    error: ProgressStyle,
}

impl Lines {
    fn new() -> Result<Self, TemplateError> {
        let style = ProgressStyle::with_template;
        let screen = MultiProgress::new();
        let workflow =
            screen.add(ProgressBar::no_length().with_style(style("  {wide_msg:.bold}")?));
        let styles = Styles {
            pending: style("· {wide_msg:.dim}")?,
            in_progress: style("{spinner:.cyan} {wide_msg}")?,
            success: style("{prefix:.green} {wide_msg}")?,
            error: style("{prefix:.red} {wide_msg}")?,
        };
        Ok(Self { screen, workflow, bars: Vec::new(), styles })
    }

    fn draw(&mut self, status: &WorkflowStatus) {
        for (name, agent) in status.agents() {
            let known = self.bars.iter().position(|(known, _)| known == name);
            let place = known.unwrap_or_else(|| {
                let bar = ProgressBar::no_length().with_style(self.styles.pending.clone());
                self.bars.push((name.to_owned(), self.screen.add(bar)));
                self.bars.len() - 1
            });
            let bar = &self.bars[place].1;
            let (style, symbol) = match agent.state {
                AgentState::Pending => (&self.styles.pending, ""),
                AgentState::InProgress => (&self.styles.in_progress, ""),
                AgentState::Success => (&self.styles.success, "✔"),
                AgentState::Error => (&self.styles.error, "✘"),
                _ => (&self.styles.pending, "?"),
            };
            bar.set_style(style.clone());
            bar.set_prefix(symbol);
            bar.set_message(agent_line(name, agent));
            bar.tick();
        }
        let label = format!("{}  {}", status.session_id, status.overall_status);
        self.workflow.set_message(workflow_line(&label, status));
        self.workflow.tick();
    }
}

/// Prints a line for each change of state.
#[derive(Default)]
pub(crate) struct Changes {
    shown: HashMap<String, AgentState>,
}

impl Changes {
    fn print(&mut self, status: &WorkflowStatus) {
        for (name, agent) in status.agents() {
            if self.shown.insert(name.to_owned(), agent.state) != Some(agent.state) {
                eprintln!("{:<11} {}", agent.state, agent_line(name, agent).trim_end());
            }
        }
        if status.overall_status.is_finished() {
            let line = workflow_line(status.session_id.as_str(), status);
            eprintln!("{:<11} {line}", status.overall_status);
        }
    }
}

fn workflow_line(label: &str, status: &WorkflowStatus) -> String {
    let end = if status.overall_status.is_finished() { status.last_updated } else { now() };
    let elapsed = seconds(end.duration_since(status.created_at));
    let tokens = tokens(Some(&status.total_token_usage()));
    let cost = cost(&status.total_cost());
    format!("{label:<53} {elapsed:>6} {cost:>9} {tokens:>10}")
}

fn agent_line(name: &str, agent: &AgentStatus) -> String {
    let elapsed =
        agent.started_at.map(|start| agent.completed_at.unwrap_or_else(now).duration_since(start));
    let elapsed = elapsed.map(seconds).unwrap_or_default();
    let tokens = tokens(agent.token_usage().as_ref());
    let error = agent.error.as_ref().map(|error| format!("  {error}")).unwrap_or_default();
    let (cost, model) = (cost(&agent.cost()), agent.model.as_deref().unwrap_or_default());
    let activity = &agent.activity;
    format!("{name:<19} {activity:<33} {elapsed:>6} {cost:>9} {tokens:>10}  {model}{error}")
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn tokens(usage: Option<&TokenUsage>) -> String {
    let Some(total) = usage.and_then(|usage| usage.total_tokens) else { return String::new() };
    format!("{} tok", HumanCount(total))
}

/// The cost, rounded, and `≥` before it if something is missing from it.
fn cost(cost: &TotalCost) -> String {
    if cost.is_empty() { String::new() } else { format!("{cost:#}") }
}

fn now() -> Timestamp {
    SystemTime::now().into()
}
