//! Compares the layer with what is used in its place. See `benches/alternatives/run`.

mod answers;
mod by_hand;
mod client;
mod count;
mod interceptor;
mod measure;
mod memory;
mod report;
mod store;
mod transport;
mod way;
mod workflows;

use std::io::Write as _;

use loopback::process::Process;
use loopback::{Result, agent};

use crate::measure::Rounds;
use crate::way::Kind;

fn main() -> Result<()> {
    // Cargo adds `--bench`.
    let arguments: Vec<_> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [] => compare(Rounds::FULL),
        ["--quick"] => compare(Rounds::QUICK),
        // For `benches/alternatives/instructions`.
        ["list"] => count::list(),
        ["run", case, kind, times, recorded] => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
            let is_recorded = recorded == "recorded";
            runtime.block_on(count::run(case, kind, times.parse()?, is_recorded))
        }
        // The processes that the bench starts.
        ["agent"] => on_all_threads(async { agent::serve(answers::answers()?).await }),
        ["hold", kind, address] => {
            let (kind, address) = (Kind::from_name(kind)?, address.parse()?);
            on_all_threads(memory::hold(kind, address))
        }
        _ => Err("usage: run [--quick]".into()),
    }
}

fn compare(rounds: Rounds) -> Result<()> {
    on_all_threads(async move {
        let (_agent, agent) = Process::start_self(&["agent"]).await?;
        let calls = measure::calls(agent, rounds).await?;
        let memory = memory::open_streams(agent, rounds.memory).await?;
        let details = report::details(&calls, &memory);
        writeln!(std::io::stdout(), "{details}{}", report::summary(&calls, &memory))?;
        Ok(())
    })
}

/// As in an application, a task on one of the runtime's threads.
fn on_all_threads(task: impl Future<Output = Result<()>> + Send + 'static) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async { tokio::spawn(task).await? })
}
