//! `demo`: a few workflows in an embedded store, so that there is something to look at.

mod agents;
mod workflows;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tokio::task::JoinSet;
use tower_agent_status::StatusTracker;
use tower_agent_status::store::DynamoDbStore;

use self::agents::Pace;
use self::workflows::{Course, Orchestrator};
use super::failure::{Failure, note};
use super::log;
use super::serve::termination;
use super::store::quoted;

/// Fill a file with mocked workflows: completed, failed, cancelled, stalled, and a few
/// that run while you look.
///
/// Everything but the agents is real: the layer sees their answers as it would see those
/// of an HTTP client. It never touches the table that STATUS_TABLE_NAME names. The
/// sessions' ids begin with `demo-`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tower-agent-status demo
  tower-agent-status demo --embedded /tmp/status.db --keep-running
  tower-agent-status serve --embedded agent-status-demo.db")]
pub(crate) struct Demo {
    /// The file, which is made if it is missing
    #[arg(long, value_name = "FILE", default_value = "agent-status-demo.db")]
    embedded: PathBuf,

    /// Go on starting workflows until Ctrl-C
    #[arg(long)]
    keep_running: bool,

    /// How long the agents take: 1 is a few seconds each, 0 no time
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = pace)]
    pace: f64,
}

fn pace(text: &str) -> Result<f64, &'static str> {
    let factor = text.parse().ok().filter(|factor| (0.0..=100.0).contains(factor));
    factor.ok_or("expected a number from 0 to 100")
}

const HOUR: Duration = Duration::from_secs(60 * 60);

/// What is in the store from the start: how it went, and how long ago.
const PAST: [(Course, Duration); 9] = [
    (Course::Matched, HOUR.saturating_mul(49)),
    (Course::Review, HOUR.saturating_mul(48)),
    (Course::Matched, HOUR.saturating_mul(26)),
    (Course::AgentError, HOUR.saturating_mul(25)),
    (Course::Matched, HOUR.saturating_mul(3)),
    (Course::ErrorIn200, HOUR.saturating_mul(2)),
    (Course::Cancelled, HOUR),
    (Course::Review, Duration::from_secs(25 * 60)),
    (Course::Stalled, Duration::from_secs(9 * 60)),
];

/// What runs while one looks, one started after the other.
const LIVE: [Course; 4] = [Course::Matched, Course::Review, Course::AgentError, Course::Matched];

impl Demo {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        log::start();
        let store = DynamoDbStore::embedded(&self.embedded)?;
        for (course, ago) in PAST {
            workflows::write_past(&store, course, ago).await.map_err(Failure::Unusable)?;
        }
        let file = quoted(&self.embedded);
        note(&format!(
            "{} workflows are in {}. In another terminal:",
            PAST.len(),
            self.embedded.display()
        ));
        writeln!(io::stdout().lock(), "tower-agent-status serve --embedded {file}")?;
        writeln!(io::stdout().lock(), "tower-agent-status list --embedded {file}")?;

        let tracker = workflows::tracker(store)
            .start()
            .map_err(|error| Failure::Unusable(error.to_string()))?;
        let end = termination()?;
        let is_interrupted = tokio::select! {
            () = end => true,
            told = self.run_live(&tracker) => {
                told?;
                false
            }
        };
        // What is still running is dropped by now, and has failed.
        let saved = tracker.shutdown(Duration::from_secs(5)).await;
        saved.map_err(|error| Failure::No(error.to_string()))?;
        // Ctrl-C is how one that keeps running is meant to end.
        Ok(ExitCode::from(if is_interrupted && !self.keep_running { 130 } else { 0 }))
    }

    async fn run_live(&self, tracker: &StatusTracker) -> Result<(), Failure> {
        let orchestrator = Orchestrator::new(tracker, &Pace::Real(self.pace));
        let mut running = JoinSet::new();
        let mut courses: Box<dyn Iterator<Item = Course> + Send> = if self.keep_running {
            Box::new(LIVE.into_iter().cycle())
        } else {
            Box::new(LIVE.into_iter())
        };
        loop {
            let next = courses.next();
            let is_last = next.is_none();
            if let Some(course) = next {
                let workflow = orchestrator.clone().run(tracker, course);
                running.spawn(workflow);
                // Not faster than people can look, whatever the pace.
                let pause = if self.keep_running { self.pace.max(0.2) } else { self.pace };
                tokio::time::sleep(Duration::from_secs(2).mul_f64(pause)).await;
            }
            while let Some(ended) = match is_last {
                true => running.join_next().await,
                false => running.try_join_next(),
            } {
                let Ok((session, result)) = ended else { continue };
                let told = match result {
                    Ok(()) => format!("completed  {session}"),
                    Err(error) => format!("failed     {session}  {error}"),
                };
                writeln!(io::stdout().lock(), "{told}")?;
            }
            if is_last {
                return Ok(());
            }
        }
    }
}
