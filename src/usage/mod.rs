//! Response bytes in; token usage, an error reported inside the answer, and the end marker out.

use crate::status::{Outcome, TokenUsage};

/// What the path of a request rules out: answers of token-counting endpoints
/// look like usage and are not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathHint(());

impl PathHint {
    /// Looks at a request's path (the query may be on it or not).
    #[must_use]
    pub fn new(_path: &str) -> Self {
        Self(())
    }
}

/// What is known of a response before its body.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "skeleton")]
pub struct Head<'a> {
    /// The status code.
    pub status: u16,
    /// The request's path.
    pub path: PathHint,
    /// Looks a response header up by its lower-case name.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
}

/// Whether the body may still say something of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing that ends the answer was seen yet.
    More,
    /// The protocol's own end marker was seen: the answer is complete, whatever the transport does.
    Ended,
}

/// How the transport of a body ended.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "skeleton")]
pub enum End<'a> {
    /// All of it was read.
    Complete,
    /// The transport failed.
    Failed(&'a dyn std::fmt::Display),
    /// Nobody read on.
    Dropped,
}

/// Everything a response said.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reading {
    /// How the call ended.
    pub outcome: Outcome,
    /// The tokens it used, as far as they were reported.
    pub usage: Option<TokenUsage>,
    /// The format that was recognised.
    pub format: Option<&'static str>,
    /// Whether the answer came to its own end.
    pub complete: bool,
}

/// stub
#[derive(Debug)]
pub struct UsageReader;
impl UsageReader {
    /// stub
    pub fn new(_: &Head<'_>) -> Self {
        Self
    }
    /// stub
    pub fn feed(&mut self, _: &[u8]) -> Progress {
        Progress::More
    }
    /// stub
    pub fn usage(&self) -> Option<TokenUsage> {
        None
    }
    /// stub
    pub fn finish(&mut self, _: End<'_>) -> Reading {
        Reading { outcome: Outcome::Success, usage: None, format: None, complete: true }
    }
}
