//! Workflows in memory, to count the instructions of the ways that are in the application's process.

use std::io::Write as _;
use std::time::Duration;

use loopback::Result;

use crate::answers::{Cases, answers};
use crate::client::AGENTS;
use crate::transport::in_memory;
use crate::way::{KINDS, Kind, workflows};

/// Prints the ways with what each is compared with, and the calls of a workflow.
pub fn list() -> Result<()> {
    let calls = AGENTS.len();
    // nginx is another process.
    for kind in KINDS.into_iter().filter(|kind| *kind != Kind::Nginx) {
        for case in ["whole", "fast"] {
            writeln!(std::io::stdout(), "{case}\t{kind:?}\t{:?}\t{calls}", kind.base())?;
        }
    }
    Ok(())
}

/// Runs workflows in one way, and then records those that were not yet, if wanted.
pub async fn run(case: &str, kind: &str, times: usize, is_recorded: bool) -> Result<()> {
    let cases = Cases::new();
    let case = if case == cases.whole.name { &cases.whole } else { &cases.fast };
    let kind = Kind::from_name(kind)?;
    // No write before those that are wanted, however slow the processor is.
    let batch_delay = Duration::from_secs(3_600);
    let transport = in_memory(answers()?);
    let workflows = workflows(kind, transport, "http://agent".to_owned(), batch_delay)?;
    for n in 0..times {
        workflows.run(&format!("session-{n}"), case).await?;
    }
    if is_recorded {
        workflows.flush().await?;
    }
    Ok(())
}
