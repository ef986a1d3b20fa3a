//! The command `tower-agent-status`.

mod args;
mod backfill;
mod bulk;
mod calls;
mod check;
mod confirm;
mod csv;
mod delete;
mod demo;
mod end;
mod explain;
mod failure;
#[cfg(feature = "forward")]
mod forward;
mod inspect;
mod json;
mod lines;
mod list;
mod log;
mod prices;
mod reshard;
mod serve;
mod show;
mod store;
mod table;
mod text;
mod watch;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::Failure;

/// Show the status and token usage of LLM agent workflows, and manage their table.
///
/// The table is configured by the same environment variables as the library
/// (STATUS_TABLE_NAME, AWS_REGION, AWS_ENDPOINT_URL_DYNAMODB and the usual AWS settings). Use
/// `--embedded` to work on a file instead.
#[derive(Debug, Parser)]
#[command(
    name = "tower-agent-status",
    version,
    after_help = "Exit codes:
  0  success; for `watch`: the workflow completed
  1  negative result: a workflow failed, a session does not exist, a table check failed, a session was not ended or deleted
  2  cannot run: invalid arguments, a missing setting, or a table that is missing, denies access or does not respond
  3  `watch` stopped before the workflow finished

Control characters in stored texts are escaped, as in \\u{1b}. Colours are used only on a
terminal, and not if NO_COLOR is set.

Examples:
  tower-agent-status demo
  STATUS_TABLE_NAME=agent-status AWS_REGION=eu-west-1 tower-agent-status list"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(subcommand)]
    Table(table::Table),
    List(list::List),
    Show(show::Show),
    Watch(watch::Watch),
    Serve(serve::Serve),
    #[cfg(feature = "forward")]
    Forward(forward::Forward),
    End(end::End),
    Delete(delete::Delete),
    Demo(demo::Demo),
    Inspect(inspect::Inspect),
}

fn main() -> ExitCode {
    let result = run(Cli::parse().command);
    match result {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    if let Command::Inspect(inspect) = command {
        inspect.run(&mut io::stdout().lock())?;
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::Unusable(format!("cannot start the runtime: {error}")))?;
    runtime.block_on(async {
        match command {
            Command::Table(table) => table.run().await,
            Command::List(list) => list.run().await,
            Command::Show(show) => show.run().await,
            Command::Watch(watch) => watch.run().await,
            Command::Serve(serve) => serve.run().await,
            #[cfg(feature = "forward")]
            Command::Forward(forward) => forward.run().await,
            Command::End(end) => end.run().await,
            Command::Delete(delete) => delete.run().await,
            Command::Demo(demo) => demo.run().await,
            Command::Inspect(_) => Ok(ExitCode::SUCCESS),
        }
    })
}
