//! Asks for confirmation.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use super::failure::Failure;

/// Asks a question on standard error, and returns whether the answer is yes.
pub(crate) fn is_confirmed(question: &str) -> io::Result<bool> {
    let mut out = io::stderr().lock();
    write!(out, "{question} [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Asks whether to continue. Fails if standard input is not a terminal, since nobody can answer then.
pub(crate) fn is_continuation_confirmed() -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::Unusable(
            "cannot ask for confirmation, since standard input is not a terminal: use `--yes` to \
             continue without confirmation"
                .to_owned(),
        ));
    }
    Ok(is_confirmed("Continue?")?)
}
