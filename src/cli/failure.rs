//! [`Failure`]: why a command did not do what it was asked.

use std::io::{self, Write as _};
use std::process::ExitCode;

use tower_agent_status::store::{SetupError, StoreError};

use super::inspect;
use super::text::plain;

/// Exit code: the answer is no.
pub(crate) const NO: u8 = 1;
/// Exit code: nothing could be asked.
const UNUSABLE: u8 = 2;

/// Why a command ends early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The answer is no.
    No(String),
    /// Nothing could be asked: the arguments, the settings or the table are to blame.
    Unusable(String),
    /// Whoever reads the output has seen enough.
    BrokenPipe,
}

impl Failure {
    /// Says it, and gives the exit code.
    pub(crate) fn tell(&self) -> ExitCode {
        let (code, message) = match self {
            Self::BrokenPipe => return ExitCode::SUCCESS,
            Self::No(message) => (NO, message),
            Self::Unusable(message) => (UNUSABLE, message),
        };
        note(&format!("tower-agent-status: {message}"));
        ExitCode::from(code)
    }
}

/// Says something beside the output.
pub(crate) fn note(message: &str) {
    // Where nobody listens there is nobody to tell that either; the exit code still says it.
    let _ = writeln!(io::stderr().lock(), "{}", plain(message));
}

/// What became of a write, where the command is to go on without a reader.
pub(crate) fn unless_unread(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

impl From<io::Error> for Failure {
    /// Of writing the output.
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
