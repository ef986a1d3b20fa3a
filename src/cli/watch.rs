//! `watch`: follows one workflow until it finishes.

use std::collections::HashMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use console::{Term, measure_text_width, style};
use indicatif::style::TemplateError;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::{Instant, MissedTickBehavior};
use tower_agent_status::SessionId;
use tower_agent_status::status::{
    AgentStatus, Item, OverallStatus, Timestamp, WaitingFor, WorkflowStatus,
};
use tower_agent_status::store::StatusReader as _;

use super::args::{Heartbeat, duration, session_id};
use super::failure::{Failure, NEGATIVE, note};
use super::json::json;
use super::lines::{self, CostColumn};
use super::store::StoreArgs;
use super::text::escaped;

/// Exit code: the workflow has not finished.
const NOT_FINISHED: u8 = 3;

/// How often the lines on a terminal are redrawn, so that their clocks advance.
const FRAME: Duration = Duration::from_millis(100);

/// Watch a workflow until it finishes.
///
/// On a terminal, shows one line per agent and redraws it; otherwise, prints a line for each
/// change. Waits for a session that is not in the table yet. Exits with 0 if the workflow
/// completed, 1 if it failed, and 3 if it did not finish before `--timeout`, or before the
/// output was closed, or if an older writer's word for its state is not known: that may be an end.
/// If a new run of the session begins in the meantime, it is watched instead.
/// With `--json` it prints the item's attributes on one line at each change.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tower-agent-status watch session-corr_abc123
  tower-agent-status watch session-corr_abc123 --timeout 10m && echo completed")]
pub(crate) struct Watch {
    /// Session id
    #[arg(value_parser = session_id)]
    session: SessionId,

    #[command(flatten)]
    store: StoreArgs,

    /// How often to read the table
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    interval: Duration,

    /// How long to wait for the workflow to finish
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,

    /// Print the item's attributes as one line of JSON at each change
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    heartbeat: Heartbeat,
}

impl Watch {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let store = self.store.open().await?;
        let mut view = self.view()?;
        let started = Instant::now();
        let mut read = tokio::time::interval(self.interval.max(Duration::from_millis(50)));
        read.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut frame = tokio::time::interval(FRAME);
        frame.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut last: Option<(Item, WorkflowStatus)> = None;
        let mut run = Run::default();
        let mut is_waiting = false;
        let mut outage = Outage::default();
        loop {
            tokio::select! {
                biased;
                _ = read.tick() => {}
                () = until(started, self.timeout) => break,
                _ = frame.tick(), if view.is_drawn() => {
                    if let Some((item, status)) = &last {
                        view.show(item, status)?;
                    }
                    continue;
                }
            }
            let item = match store.get(&self.session).await {
                Ok(item) => {
                    if let Some(message) = outage.ended() {
                        view.note(&message);
                    }
                    item
                }
                Err(error) if error.is_retryable() && last.is_some() => {
                    if let Some(message) = outage.failed(error.to_string()) {
                        view.note(&message);
                    }
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let Some(item) = item else {
                run.is_gone = true;
                if !std::mem::replace(&mut is_waiting, true) {
                    view.note(&format!(
                        "No session `{}` in {} yet; waiting for it.",
                        self.session,
                        self.store.name(&store)
                    ));
                }
                continue;
            };
            let status = WorkflowStatus::from_item(&self.session, &item);
            let shown = match run.read(&status) {
                // An older writer has put it back. The process that records the run will notice.
                Read::Earlier => continue,
                Read::New => view.begin_new_run(&status),
                Read::Same => Ok(()),
            };
            let is_read = match shown.and_then(|()| view.show(&item, &status)) {
                Err(Failure::BrokenPipe) => false,
                shown => shown.map(|()| true)?,
            };
            if status.overall_status.is_finished() {
                view.finish();
                return Ok(match status.overall_status {
                    OverallStatus::Completed => ExitCode::SUCCESS,
                    _ => ExitCode::from(NEGATIVE),
                });
            }
            if !is_read {
                return Ok(ExitCode::from(NOT_FINISHED));
            }
            if let Some(word) = &status.other_status {
                view.finish();
                note(&format!(
                    "`{}` has the status `{word}`, of an older writer; whether that is an end is not \
                     known.",
                    self.session
                ));
                return Ok(ExitCode::from(NOT_FINISHED));
            }
            last = Some((item, status));
        }
        view.finish();
        let state = match last {
            Some((_, status)) => format!("is still {}", status.status_text()),
            None => "is not in the table".to_owned(),
        };
        let waited = super::text::time(started.elapsed());
        note(&format!("`{}` {state} after {waited}.", self.session));
        Ok(ExitCode::from(NOT_FINISHED))
    }

    fn view(&self) -> Result<View, Failure> {
        let heartbeat = self.heartbeat.heartbeat;
        if self.json {
            Ok(View::Json { shown: None })
        } else if io::stdout().is_terminal() {
            let drawn = Drawn::new(heartbeat).map_err(|error| {
                Failure::Unusable(format!("cannot draw on this terminal: {error}"))
            })?;
            Ok(View::Drawn(drawn))
        } else {
            Ok(View::Printed(Printed { heartbeat, ..Printed::default() }))
        }
    }
}

/// The run that is being watched.
#[derive(Default)]
struct Run {
    /// When it was created. A new run is created later.
    created_at: Option<Timestamp>,
    last_updated: Option<Timestamp>,
    /// Whether the item has since been deleted.
    is_gone: bool,
}

/// Which run an item belongs to.
#[derive(Debug, PartialEq)]
enum Read {
    Same,
    New,
    /// A copy of a run that has been replaced.
    Earlier,
}

impl Run {
    fn read(&mut self, status: &WorkflowStatus) -> Read {
        let was_gone = std::mem::take(&mut self.is_gone);
        let created_at = lines::known(status.created_at);
        let last_updated = lines::known(status.last_updated);
        let read = match created_at.zip(self.created_at) {
            Some((created, known)) if created > known => Read::New,
            Some((created, known)) if created < known && was_gone => Read::New,
            // If it has changed since, a process has corrected a time that an older writer set.
            Some((created, known)) if created < known && last_updated <= self.last_updated => {
                return Read::Earlier;
            }
            _ => Read::Same,
        };
        self.created_at = created_at.or(self.created_at);
        self.last_updated = last_updated;
        read
    }
}

/// A time in which the table cannot be read. Each failure is said once.
#[derive(Default)]
struct Outage {
    since: Option<Instant>,
    error: String,
}

impl Outage {
    /// A read has failed. Returns what is to be said.
    fn failed(&mut self, error: String) -> Option<String> {
        self.since.get_or_insert_with(Instant::now);
        (self.error != error).then(|| {
            let message = format!("{error}; retrying");
            self.error = error;
            message
        })
    }

    /// A read has succeeded. Returns what is to be said.
    fn ended(&mut self) -> Option<String> {
        let lasted = std::mem::take(self).since?.elapsed();
        Some(format!("The table can be read again, after {}.", super::text::time(lasted)))
    }
}

async fn until(started: Instant, timeout: Option<Duration>) {
    match timeout.and_then(|timeout| started.checked_add(timeout)) {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

enum View {
    Drawn(Drawn),
    Printed(Printed),
    Json { shown: Option<Item> },
}

impl View {
    fn is_drawn(&self) -> bool {
        matches!(self, Self::Drawn(_))
    }

    fn show(&mut self, item: &Item, status: &WorkflowStatus) -> Result<(), Failure> {
        match self {
            Self::Drawn(drawn) => drawn.show(status),
            Self::Printed(printed) => printed.show(status)?,
            Self::Json { shown } => {
                if shown.as_ref() != Some(item) {
                    writeln!(io::stdout().lock(), "{}", json(&item.ordered(), false)?)?;
                    *shown = Some(item.clone());
                }
            }
        }
        Ok(())
    }

    /// Forgets the run that was shown: another has begun.
    fn begin_new_run(&mut self, status: &WorkflowStatus) -> Result<(), Failure> {
        match self {
            Self::Printed(printed) => printed.begin_new_run(status)?,
            // Lines are redrawn one by one, so those of two runs would be mixed.
            Self::Drawn(drawn) => drawn.truncate(0),
            Self::Json { .. } => {}
        }
        Ok(())
    }

    /// Prints a message beside the workflow's lines.
    fn note(&self, message: &str) {
        match self {
            Self::Drawn(drawn) => drawn.screen.suspend(|| note(message)),
            Self::Printed(_) | Self::Json { .. } => note(message),
        }
    }

    /// Leaves the last state on the screen.
    fn finish(&self) {
        if let Self::Drawn(drawn) = self {
            drawn.bars.iter().for_each(ProgressBar::abandon);
        }
    }
}

/// Lines redrawn in place: the agents, and the workflow below them.
struct Drawn {
    screen: MultiProgress,
    style: ProgressStyle,
    bars: Vec<ProgressBar>,
    heartbeat: Duration,
}

impl Drawn {
    fn new(heartbeat: Duration) -> Result<Self, TemplateError> {
        Ok(Self {
            screen: MultiProgress::with_draw_target(ProgressDrawTarget::stdout()),
            style: ProgressStyle::with_template("{wide_msg}")?,
            bars: Vec::new(),
            heartbeat,
        })
    }

    /// Removes all lines after the first `count`.
    fn truncate(&mut self, count: usize) {
        for bar in self.bars.drain(count..) {
            self.screen.remove(&bar);
        }
    }

    fn show(&mut self, status: &WorkflowStatus) {
        let columns = usize::from(Term::stdout().size().1);
        let column = CostColumn::of(status, columns);
        let agents = status.agents_by_start().into_iter().flat_map(|(name, agent)| {
            let line = lines::agent(name, agent, column);
            let line = format!("{} {line}", lines::symbol(agent));
            let line = with_model(line, agent, column.line_width(), columns);
            // On a line of its own; at the end of a long line it would be cut off.
            let more = lines::error(agent)
                .or_else(|| lines::waiting(agent))
                .or_else(|| lines::other_state(agent));
            [Some(line), more.map(|more| format!("  {more}"))].into_iter().flatten()
        });
        let workflow = lines::workflow(status, self.heartbeat, column);
        let lines: Vec<_> = agents.chain([workflow]).collect();
        while self.bars.len() < lines.len() {
            let bar = ProgressBar::no_length().with_style(self.style.clone());
            self.bars.push(self.screen.add(bar));
        }
        // There are fewer once an error is gone.
        self.truncate(lines.len());
        for (bar, line) in self.bars.iter().zip(lines) {
            bar.set_message(line);
            bar.tick();
        }
    }
}

/// Adds the model to an agent's line, behind the usual width, if all of it fits: a part of a name
/// could be the name of another model.
fn with_model(line: String, agent: &AgentStatus, width: usize, columns: usize) -> String {
    let Some(model) = &agent.model else { return line };
    let model = escaped(model);
    let gap = width.saturating_sub(measure_text_width(&line)) + 2;
    if measure_text_width(&line) + gap + measure_text_width(&model) > columns {
        return line;
    }
    format!("{line}{:gap$}{}", "", style(model).dim())
}

/// Prints a line for each change of state.
#[derive(Default)]
struct Printed {
    agents: HashMap<String, (String, Option<WaitingFor>)>,
    overall: Option<(String, bool, bool)>,
    heartbeat: Duration,
}

impl Printed {
    fn begin_new_run(&mut self, status: &WorkflowStatus) -> io::Result<()> {
        *self = Self { heartbeat: self.heartbeat, ..Self::default() };
        let id = escaped(status.session_id.as_str());
        writeln!(io::stdout().lock(), "{:<12} {id:<40}  a new run has begun", "workflow")
    }

    fn show(&mut self, status: &WorkflowStatus) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let column = CostColumn::of(status, usize::MAX);
        for (name, agent) in status.agents_by_start() {
            let state = (agent.state_text().to_owned(), agent.waiting_for);
            if self.agents.get(name) != Some(&state) {
                self.agents.insert(name.to_owned(), state);
                let more = lines::error(agent).or_else(|| lines::waiting(agent));
                let more = more.map(|more| format!("  {more}")).unwrap_or_default();
                let line = lines::agent(name, agent, column);
                let line = with_model(line, agent, column.line_width(), usize::MAX);
                writeln!(out, "{:<12} {line}{more}", escaped(agent.state_text()))?;
            }
        }
        let is_stalled = status.is_stalled(lines::now(), self.heartbeat);
        let overall = (status.status_text().to_owned(), is_stalled, status.is_waiting());
        if self.overall.as_ref() != Some(&overall) {
            self.overall = Some(overall);
            writeln!(
                out,
                "{:<12} {}",
                "workflow",
                lines::workflow(status, self.heartbeat, column)
            )?;
        }
        out.flush()
    }
}

#[cfg(test)]
mod tests {
    use tower_agent_status::status::Value;

    use super::*;

    #[test]
    fn a_later_run_is_new_and_a_copy_of_an_earlier_one_is_none() {
        use Read::{Earlier, New, Same};
        let id = SessionId::from_key("s").expect("an id");
        let at = |minute: u64| format!("2025-12-24T10:{minute:02}:00.000Z");
        let mut run = Run::default();
        // The minutes at which a run was created and last changed; `None` is no item.
        let table = [
            (Some((1, 1)), Same),
            (Some((1, 2)), Same),
            (Some((3, 3)), New),
            (Some((1, 2)), Earlier),
            (Some((3, 4)), Same),
            // An older writer has said something else for a while.
            (Some((5, 5)), New),
            (Some((3, 6)), Same),
            (Some((4, 6)), New),
            (None, Same),
            (Some((2, 2)), New),
            (None, Same),
            (Some((2, 3)), Same),
        ];
        for (step, (times, expected)) in table.into_iter().enumerate() {
            let Some((created, updated)) = times else {
                run.is_gone = true;
                continue;
            };
            let attributes = [("createdAt", at(created)), ("lastUpdated", at(updated))];
            let item = attributes.map(|(name, time)| (name.to_owned(), time.into()));
            let status = WorkflowStatus::from_item(&id, &item.into_iter().collect());
            assert_eq!(run.read(&status), expected, "{step}");
        }
        // An item that does not say is of the same run.
        assert_eq!(run.read(&WorkflowStatus::from_item(&id, &Item::new())), Same);
    }

    #[test]
    fn lines_with_costs_fit_into_80_columns_and_a_model_is_whole_or_absent() {
        let id = SessionId::from_key("session-corr_934d727cc469").expect("an id");
        let mut agent = Item::new();
        for (name, text) in [
            ("status", "success"),
            ("activity", "Extracting structured trade data"),
            ("model", "gpt-4o-mini"),
        ] {
            agent.insert(name, text);
        }
        agent.insert("costUsd", 1_234.567);
        let mut item = Item::new();
        item.insert("agent", Value::Map(agent));
        let status = WorkflowStatus::from_item(&id, &item);
        let agent = status.agent("agent").expect("the agent");
        let shown = |columns: usize| {
            let column = CostColumn::of(&status, columns);
            let line = format!("✔ {}", lines::agent("exceptionManagement", agent, column));
            let line = with_model(line, agent, column.line_width(), columns);
            let workflow = lines::workflow(&status, Duration::ZERO, column);
            assert!(measure_text_width(&line) <= columns, "{columns}: {line}");
            assert!(measure_text_width(&workflow) <= columns, "{columns}: {workflow}");
            assert!(line.contains("$1,234.57") && workflow.contains("$1,234.57"), "{line}");
            (line.contains("gpt-4o-mini"), line.contains("trade data"))
        };
        for (columns, expected) in
            [(80, (false, false)), (91, (false, false)), (92, (false, true)), (105, (true, true))]
        {
            assert_eq!(shown(columns), expected, "{columns}");
        }
    }
}
