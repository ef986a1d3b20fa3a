//! `demo`: fills an embedded store with sample workflows.

mod agents;
mod workflows;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tokio::task::JoinSet;
use tower_agent_status::store::DynamoDbStore;
use tower_agent_status::{Prices, StatusTracker};

use self::agents::Pace;
use self::workflows::{Orchestrator, Scenario};
use super::failure::{Failure, note};
use super::log;
use super::prices::PricesArgs;
use super::serve::termination;
use super::store::quoted;

/// Fill a file with sample workflows: completed, failed, cancelled, stalled, and a few that
/// run while you watch.
///
/// Only the agents are mocked: the layer sees their responses as it would those of an HTTP
/// client. The table in STATUS_TABLE_NAME is never touched. Session ids start with `demo-`. Without
/// `--prices`, costs are by a list of the models in it, with the prices of November 2026.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tower-agent-status demo
  tower-agent-status demo --embedded /tmp/status.db --keep-running
  tower-agent-status demo --prices model_prices_and_context_window.json
  tower-agent-status serve --embedded agent-status-demo.db")]
pub(crate) struct Demo {
    /// File of the embedded store, created if it does not exist
    #[arg(long, value_name = "FILE", default_value = "agent-status-demo.db")]
    embedded: PathBuf,

    /// Keep starting workflows until Ctrl-C
    #[arg(long)]
    keep_running: bool,

    #[command(flatten)]
    prices: PricesArgs,

    /// Factor for how long the agents take: 1 is a few seconds each, 0 is no time
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = pace)]
    pace: f64,
}

fn pace(text: &str) -> Result<f64, &'static str> {
    let factor = text.parse().ok().filter(|factor| (0.0..=100.0).contains(factor));
    factor.ok_or("expected a number from 0 to 100")
}

/// The price list of the examples. Its first entry has its date.
const PRICES: &str = include_str!("../../../examples/orchestrator/prices.json");

const HOUR: Duration = Duration::from_secs(60 * 60);

/// Workflows of the past: how each went, and how long ago it started.
const PAST: [(Scenario, Duration); 9] = [
    (Scenario::Matched, HOUR.saturating_mul(49)),
    (Scenario::Review, HOUR.saturating_mul(48)),
    (Scenario::Matched, HOUR.saturating_mul(26)),
    (Scenario::AgentError, HOUR.saturating_mul(25)),
    (Scenario::Matched, HOUR.saturating_mul(3)),
    (Scenario::ErrorIn200, HOUR.saturating_mul(2)),
    (Scenario::Cancelled, HOUR),
    (Scenario::Review, Duration::from_secs(25 * 60)),
    (Scenario::Stalled, Duration::from_secs(9 * 60)),
];

/// Workflows that run live, started one after the other.
const LIVE: [Scenario; 4] =
    [Scenario::Matched, Scenario::Review, Scenario::AgentError, Scenario::Matched];

impl Demo {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        log::start();
        let prices = match self.prices.read()? {
            Some(prices) => prices,
            None => {
                Prices::from_json(PRICES).map_err(|error| Failure::Unusable(error.to_string()))?
            }
        };
        let store = DynamoDbStore::embedded(&self.embedded)?;
        // From the start: a signal that nobody waits for ends the process at once.
        let end = termination()?;
        for (scenario, ago) in PAST {
            workflows::write_past(&store, &prices, scenario, ago)
                .await
                .map_err(Failure::Unusable)?;
        }
        let file = quoted(&self.embedded);
        note(&format!(
            "Wrote {} workflows to {}. To look at them, run in another terminal:",
            PAST.len(),
            self.embedded.display()
        ));
        writeln!(io::stdout().lock(), "tower-agent-status serve --embedded {file}")?;
        writeln!(io::stdout().lock(), "tower-agent-status list --embedded {file}")?;

        let tracker = workflows::tracker(store, prices)
            .start()
            .map_err(|error| Failure::Unusable(error.to_string()))?;
        let mut running = JoinSet::new();
        let ended = tokio::select! {
            biased;
            () = end => Ok(true),
            result = self.run_live(&tracker, &mut running) => result.map(|()| false),
        };
        // Dropping a workflow fails it. A task that is only aborted may be dropped after the
        // tracker has ended, so this waits for them.
        running.shutdown().await;
        let saved = tracker.shutdown(Duration::from_secs(5)).await;
        let is_interrupted = ended?;
        saved.map_err(|error| Failure::Negative(error.to_string()))?;
        // Ctrl-C is the usual way to stop `--keep-running`.
        Ok(ExitCode::from(if is_interrupted && !self.keep_running { 130 } else { 0 }))
    }

    async fn run_live(
        &self,
        tracker: &StatusTracker,
        running: &mut JoinSet<(String, Result<(), String>)>,
    ) -> Result<(), Failure> {
        let orchestrator = Orchestrator::new(tracker, &Pace::Real(self.pace));
        let mut scenarios: Box<dyn Iterator<Item = Scenario> + Send> = if self.keep_running {
            Box::new(LIVE.into_iter().cycle())
        } else {
            Box::new(LIVE.into_iter())
        };
        loop {
            let next = scenarios.next();
            let is_last = next.is_none();
            if let Some(scenario) = next {
                let workflow = orchestrator.clone().run(tracker, scenario);
                running.spawn(workflow);
                // With `--pace 0` this would otherwise spin.
                let pause = if self.keep_running { self.pace.max(0.2) } else { self.pace };
                tokio::time::sleep(Duration::from_secs(2).mul_f64(pause)).await;
            }
            while let Some(ended) = match is_last {
                true => running.join_next().await,
                false => running.try_join_next(),
            } {
                let Ok((session, result)) = ended else { continue };
                let line = match result {
                    Ok(()) => format!("completed  {session}"),
                    Err(error) => format!("failed     {session}  {error}"),
                };
                writeln!(io::stdout().lock(), "{line}")?;
            }
            if is_last {
                return Ok(());
            }
        }
    }
}
