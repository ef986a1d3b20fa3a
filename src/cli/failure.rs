//! [`Failure`]: why a command failed, and the exit code it leads to.

use std::io::{self, Write as _};
use std::process::ExitCode;

use tower_agent_status::store::{SetupError, StoreError};

use super::inspect;
use super::text::escaped;

/// Exit code: the command ran, and the result is negative.
pub(crate) const NEGATIVE: u8 = 1;
/// Exit code: the command could not run.
const UNUSABLE: u8 = 2;

/// Why a command ends early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The result is negative.
    Negative(String),
    /// The arguments, the settings or the table cannot be used.
    Unusable(String),
    /// The reader of the output has closed it.
    BrokenPipe,
}

impl Failure {
    /// Prints the message and returns the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        let (code, message) = match self {
            Self::BrokenPipe => return ExitCode::SUCCESS,
            Self::Negative(message) => (NEGATIVE, message),
            Self::Unusable(message) => (UNUSABLE, message),
        };
        note(&format!("tower-agent-status: {message}"));
        ExitCode::from(code)
    }
}

/// Prints a message to standard error.
pub(crate) fn note(message: &str) {
    // If standard error is closed there is nowhere to report that; the exit code remains.
    let _ = writeln!(io::stderr().lock(), "{}", escaped(message));
}

/// Lets a command go on after its output was closed.
pub(crate) fn ignore_broken_pipe(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

impl From<io::Error> for Failure {
    /// Converts an error of writing the output.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::BrokenPipe,
            _ => Self::Unusable(format!("cannot write: {error}")),
        }
    }
}

impl From<SetupError> for Failure {
    fn from(error: SetupError) -> Self {
        Self::Unusable(error.to_string())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Unusable(error.to_string())
    }
}

impl From<inspect::Error> for Failure {
    fn from(error: inspect::Error) -> Self {
        match error {
            inspect::Error::Write(error) => error.into(),
            error => Self::Unusable(error.to_string()),
        }
    }
}
