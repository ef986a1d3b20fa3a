//! Asks whether to go on.

use std::io::{self, IsTerminal as _, Write as _};

use super::failure::Failure;

/// Whether the user wants to go on. Without a terminal there is nobody to ask, which is an error.
pub(crate) fn confirmed() -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::Unusable(
            "cannot ask for confirmation, since standard input is not a terminal: use `--yes` to go \
             on without confirmation"
                .to_owned(),
        ));
    }
    write!(io::stderr().lock(), "Go on? [y/N] ")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
