//! [`Outcome`], [`CallError`] and [`ErrorMessage`]: how a call ended, with messages that are
//! short and free of secrets.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use super::cut::{cut, shorten};
use super::{TaskId, WaitingFor, redact, timeout};

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The agent responded and reported no failure.
    Success,
    /// The agent failed, or the caller did not wait for its response.
    Error(CallError),
}

impl Outcome {
    /// Returns the failure, if the call failed.
    #[inline]
    #[must_use]
    pub fn error(&self) -> Option<&CallError> {
        match self {
            Self::Success => None,
            Self::Error(error) => Some(error),
        }
    }
}

/// An agent's failure: a class to group by and a short message to read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallError {
    /// The class, of low cardinality: one of this type's constants, `http_` and the status code,
    /// such as `http_500`, or `grpc_` and the name of the status, such as `grpc_unavailable`.
    pub class: Cow<'static, str>,
    /// What happened.
    pub message: ErrorMessage,
}

impl CallError {
    /// The class of a failure that the agent reports inside a 200 response, or that a caller
    /// reports for it.
    pub const AGENT: &str = "agent";
    /// The class of a call whose caller gave up before the end of the response, or that ended with
    /// gRPC's status `CANCELLED`.
    pub const CANCELLED: &str = "cancelled";
    /// The class of a response that ended before it was complete.
    pub const INCOMPLETE: &str = "incomplete";
    /// The class of a successful response that has no answer in it: no bytes, no event, or a page
    /// for people where data was announced.
    pub const NO_ANSWER: &str = "no_answer";
    /// The class of a call that ended by a panic.
    pub const PANIC: &str = "panic";
    /// The class of a transport failure that is a time-out, or of gRPC's status
    /// `DEADLINE_EXCEEDED`.
    pub const TIMEOUT: &str = "timeout";
    /// The class of any other transport failure.
    pub const TRANSPORT: &str = "transport";
    /// The class of an agent that waited for an unfinished task when its workflow ended. The
    /// message has the task's id, if that is known, and what it waited for.
    pub const UNFINISHED: &str = "unfinished";
    /// The class of an agent that had a call in flight when its workflow ended.
    pub const WORKFLOW_ENDED: &str = "workflow_ended";

    /// The longest class that [`new`](Self::new) keeps whole, in bytes.
    const MAX_CLASS_BYTES: usize = 64;

    /// Creates an error. The message is shortened and redacted; see [`ErrorMessage`]. The class is
    /// cut to 64 bytes.
    pub fn new(class: impl Into<Cow<'static, str>>, message: impl fmt::Display) -> Self {
        let mut class = class.into();
        if class.len() > Self::MAX_CLASS_BYTES {
            shorten(class.to_mut(), Self::MAX_CLASS_BYTES);
        }
        Self { class, message: ErrorMessage::new(message) }
    }

    /// The error of a call whose outcome was lost in a panic.
    pub(crate) fn lost_in_a_panic() -> Self {
        Self::new(Self::PANIC, "the call was lost in a panic")
    }

    /// The error of a transport failure that is known to be a time-out.
    pub(crate) fn timeout(error: &dyn fmt::Display) -> Self {
        Self::new(Self::TIMEOUT, error)
    }

    /// The error of an agent that waits for this when its workflow ends.
    pub(crate) fn unfinished(waiting_for: WaitingFor, task: Option<&TaskId>) -> Self {
        let task = task.map_or_else(|| "a task".to_owned(), |id| format!("task {id}"));
        let what = match waiting_for {
            WaitingFor::Task => "was still running",
            WaitingFor::Input => "was waiting for input",
            WaitingFor::Authorization => "was waiting for authorization",
        };
        Self::new(Self::UNFINISHED, format_args!("the workflow ended while {task} {what}"))
    }

    /// The error of a transport failure, classified by its text: the error's type is not known.
    pub(crate) fn transport(error: &dyn fmt::Display) -> Self {
        let text = head(error);
        let class = if timeout::is_named_in(&text) { Self::TIMEOUT } else { Self::TRANSPORT };
        Self { class: class.into(), message: ErrorMessage::of(&text) }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class, self.message)
    }
}

/// The text of a failure, fit to be stored and shown.
///
/// Every message is shortened to [`MAX_BYTES`](Self::MAX_BYTES) bytes and redacted. Redaction
/// removes:
///
/// - user information and queries of URLs;
/// - bearer, basic and signed credentials, and cookies;
/// - values of parameters, headers and options with the name of a secret (`api_key=…`,
///   `api_key%3D…`, `"x-api-key": "…"`, `--password …`);
/// - what looks generated after the name of a secret (`token a1b2c3d4`, and not `token expired`);
/// - private keys (PEM, OpenPGP, SSH2), and keys known by their shape (`sk-…`, `AKIA…`, `AIza…`,
///   `ghp_…`, `hvs.…`, JSON web tokens).
///
/// A secret that looks like any other word is not recognized. The first 4 KiB of a text are read.
#[derive(Clone, PartialEq, Eq)]
pub struct ErrorMessage(Box<str>);

impl ErrorMessage {
    /// The maximum length of a message, in bytes of UTF-8.
    pub const MAX_BYTES: usize = 500;

    /// Creates a message from a text, which is shortened and redacted. Line breaks become
    /// spaces.
    pub fn new(text: impl fmt::Display) -> Self {
        Self::of(&head(text))
    }

    fn of(text: &str) -> Self {
        let mut message = redact::redact(text, Self::MAX_BYTES);
        shorten(&mut message, Self::MAX_BYTES);
        Self(message.into_boxed_str())
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ErrorMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ErrorMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// The beginning of a text, [`Head::MAX_BYTES`] at most.
pub(super) fn head(text: impl fmt::Display) -> String {
    let mut head = Head { text: String::new() };
    // The only error is the one by which `Head` stops a long text.
    let _ = write!(head, "{text}");
    head.text
}

/// Collects the beginning of a text and stops its formatting there: an error may be
/// displayed at any length.
struct Head {
    text: String,
}

impl Head {
    /// More than a message needs, so that a secret at the cut is still recognized.
    const MAX_BYTES: usize = 4096;
}

impl fmt::Write for Head {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let room = Self::MAX_BYTES - self.text.len();
        if piece.len() <= room {
            self.text.push_str(piece);
            return Ok(());
        }
        self.text.push_str(cut(piece, room));
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        ErrorMessage::new(text).to_string()
    }

    #[test]
    fn is_bounded_at_a_character() {
        for text in ["é".repeat(5_000), "x".repeat(501), "€".repeat(100_000)] {
            let message = ErrorMessage::new(&text);
            assert!(message.as_str().len() <= ErrorMessage::MAX_BYTES);
            assert!(message.as_str().ends_with('…'));
        }
        assert_eq!(message(&"x".repeat(500)).len(), 500);
    }

    #[test]
    fn an_unfinished_task_is_named() {
        use WaitingFor::{Authorization, Input, Task};
        let id = TaskId::new("resp_68af6b3c0a1c81a0b7d0");
        let table = [
            (Task, &id, "task resp_68af6b3c0a1c81a0b7d0 was still running"),
            (Input, &id, "task resp_68af6b3c0a1c81a0b7d0 was waiting for input"),
            (Authorization, &id, "task resp_68af6b3c0a1c81a0b7d0 was waiting for authorization"),
            (Task, &None, "a task was still running"),
        ];
        for (waiting_for, id, expected) in table {
            let error = CallError::unfinished(waiting_for, id.as_ref());
            assert_eq!(error.message.as_str(), format!("the workflow ended while {expected}"));
        }
    }

    #[test]
    fn an_endless_display_ends() {
        struct Endless;
        impl fmt::Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    f.write_str("again and again ")?;
                }
            }
        }
        assert!(ErrorMessage::new(Endless).as_str().len() <= ErrorMessage::MAX_BYTES);
    }
}
