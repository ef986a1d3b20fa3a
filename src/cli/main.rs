//! The command `tower-agent-status`.

mod args;
mod delete;
mod demo;
mod failure;
mod inspect;
mod json;
mod lines;
mod list;
mod log;
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

/// Show the status and the tokens of LLM agents' workflows, and look after their table.
///
/// The table is the one that the library's own settings name (STATUS_TABLE_NAME,
/// AWS_REGION, AWS_ENDPOINT_URL_DYNAMODB and the usual AWS settings), or a file, by
/// `--embedded`.
#[derive(Debug, Parser)]
#[command(
    name = "tower-agent-status",
    version,
    after_help = "Exit codes:
  0  done; of `watch`: the workflow completed
  1  the answer is no: a workflow failed, a session is unknown, a table differs, something was not deleted
  2  nothing could be asked: wrong arguments, a missing setting, a table that is missing, refuses or does not answer
  3  `watch` stopped before the workflow ended

Texts of the table are printed with control characters written out, such as \\u{1b}. Colours are
used on a terminal only, and not if NO_COLOR is set.

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
    Delete(delete::Delete),
    Demo(demo::Demo),
    Inspect(inspect::Inspect),
}

fn main() -> ExitCode {
    let result = run(Cli::parse().command);
    match result {
        Ok(code) => code,
        Err(failure) => failure.tell(),
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
            Command::Delete(delete) => delete.run().await,
            Command::Demo(demo) => demo.run().await,
            Command::Inspect(_) => Ok(ExitCode::SUCCESS),
        }
    })
}
