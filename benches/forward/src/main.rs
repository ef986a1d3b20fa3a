//! Compares the forwarder with nginx as a reverse proxy. See `benches/forward/against-nginx`.

mod answers;
mod client;
mod measure;
mod report;
mod serve;
mod way;

use loopback::{Result, agent};

fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    // As many threads as nginx has workers: one per processor.
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        match arguments[..] {
            // The processes that the bench starts.
            ["agent"] => agent::serve(answers::answers()).await,
            ["forward", agent] => serve::forward(agent).await,
            [] => measure::all(measure::Rounds::full(), "").await,
            ["--quick"] => measure::all(measure::Rounds::quick(), "").await,
            [part @ ("calls" | "load" | "memory")] => {
                measure::all(measure::Rounds::full(), part).await
            }
            _ => Err("usage: against-nginx [--quick | calls | load | memory]".into()),
        }
    })
}
