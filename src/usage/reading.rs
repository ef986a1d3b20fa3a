//! What a [`UsageReader`](super::UsageReader) learns of the transport, and what it returns.

use std::fmt;

use crate::status::{Outcome, TaskId, TokenUsage, WaitingFor};

/// Whether the response continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// No end marker was seen yet.
    More,
    /// The protocol's own end marker was seen: the response is complete, whatever the transport
    /// does next.
    Ended,
}

/// How the transport of a body ended.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum End<'a> {
    /// The body was read to its end.
    Complete,
    /// The transport failed.
    Failed(&'a dyn fmt::Display),
    /// The transport failed because time ran out.
    TimedOut(&'a dyn fmt::Display),
    /// The body was dropped before its end.
    Dropped,
}

impl fmt::Debug for End<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete => f.write_str("Complete"),
            Self::Failed(failure) => write!(f, "Failed({failure})"),
            Self::TimedOut(failure) => write!(f, "TimedOut({failure})"),
            Self::Dropped => f.write_str("Dropped"),
        }
    }
}

/// Everything read from a response.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reading {
    /// How the call ended.
    pub outcome: Outcome,
    /// The tokens it used, as far as they were reported.
    pub usage: Option<TokenUsage>,
    /// The name of the recognized format, for logs and people: `anthropic.messages`,
    /// `openai.chat_completions` and so on. More names may be added.
    pub format: Option<&'static str>,
    /// Whether the response came to its own end: an end marker, or a whole document.
    pub complete: bool,
    /// The provider's own code for the failure that the response reported.
    pub error_code: Option<Box<str>>,
    /// What the agent waits for, if the response says that its task has not ended. The outcome
    /// is then that of the call alone.
    pub waiting_for: Option<WaitingFor>,
    /// The id of the task, run, batch or prediction that the response belongs to.
    pub task_id: Option<TaskId>,
}
