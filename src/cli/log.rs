//! Logging, for the commands that serve or record.

use std::io;

use tracing_subscriber::filter::LevelFilter;

/// Logs warnings and errors to standard error.
pub(crate) fn start() {
    let _ = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::WARN)
        .with_ansi(false)
        .with_writer(io::stderr)
        .try_init();
}
