//! Texts and the progress bar of commands that change many sessions.

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

/// The maximum number of sessions that a question lists.
pub(crate) const LISTED: usize = 10;

/// `1 session`, `2 sessions`.
pub(crate) fn counted(sessions: usize) -> String {
    match sessions {
        1 => "1 session".to_owned(),
        n => format!("{} sessions", HumanCount(n as u64)),
    }
}

/// A bar for this many sessions. It is hidden unless standard error is a terminal.
pub(crate) fn progress(sessions: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(sessions as u64).with_style(style)
}
