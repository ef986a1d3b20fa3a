//! [`CallError`] and [`ErrorMessage`]: what is said of a failure, short and without secrets.

use std::borrow::Cow;
use std::fmt;

/// How an agent failed: a class to group by and a short message to read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallError {
    /// A class of few values: `cancelled`, `timeout`, `transport`, `http_500`,
    /// `agent` (reported inside a 200), `incomplete` (a stream that broke off).
    pub class: Cow<'static, str>,
    /// What happened, in at most [`ErrorMessage::MAX_BYTES`] bytes.
    pub message: ErrorMessage,
}

impl CallError {
    /// An error of this class with this message, which is shortened and redacted.
    pub fn new(class: impl Into<Cow<'static, str>>, message: impl fmt::Display) -> Self {
        Self { class: class.into(), message: ErrorMessage::new(message) }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class, self.message)
    }
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The agent answered, and reported no failure.
    Success,
    /// The agent failed, or nobody waited for its answer.
    Error(CallError),
}

/// A text about a failure that is fit to be stored and shown.
///
/// There is no way to make one that was not shortened and redacted.
#[derive(Clone, PartialEq, Eq)]
pub struct ErrorMessage(Box<str>);

impl ErrorMessage {
    /// The longest message kept, in bytes of UTF-8.
    pub const MAX_BYTES: usize = 500;

    /// Shortens and redacts a text.
    pub fn new(text: impl fmt::Display) -> Self {
        Self(text.to_string().into_boxed_str())
    }

    /// The text.
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
