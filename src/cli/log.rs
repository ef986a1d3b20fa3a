//! What the library logs, while a command serves or records.

use std::io;

use tracing_subscriber::filter::LevelFilter;

/// Writes warnings and errors to standard error, one line each.
pub(crate) fn start() {
    let _ = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::WARN)
        .with_ansi(false)
        .with_writer(io::stderr)
        .try_init();
}
