//! The command `tower-agent-status`.

mod inspect;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Status and token usage of LLM agents' calls.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Inspect(inspect::Inspect),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Inspect(inspect) => inspect.run(&mut std::io::stdout().lock()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads the output has seen enough.
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "a command's errors go there")]
            {
                eprintln!("tower-agent-status: {error}");
            }
            ExitCode::from(2)
        }
    }
}
