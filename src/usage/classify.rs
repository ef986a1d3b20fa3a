//! How a call ended, from the status, the extractor and the end of the transport.

use std::fmt;

use super::End;
use super::extract::ReportedError;
use crate::status::{CallError, Outcome};

/// What is known when a body has ended.
pub(super) struct Evidence<'a> {
    pub(super) status: u16,
    pub(super) error: Option<&'a ReportedError>,
    /// The answer came to its own end: marker seen, model finished, or document whole.
    pub(super) complete: bool,
    /// The stream's own end marker was seen.
    pub(super) ended: bool,
    /// The answer stops where it must not.
    pub(super) truncated: bool,
}

/// Judges a call. The most telling of what is known wins: a failure that the agent reported, an
/// error status, the end marker, and only then how the transport ended.
#[inline]
pub(super) fn classify(evidence: &Evidence<'_>, end: End<'_>) -> Outcome {
    let has_failed = evidence.status >= 400 || evidence.error.is_some_and(|error| error.reported);
    let is_over = match end {
        End::Complete => !evidence.truncated,
        End::Dropped => evidence.complete,
        End::Failed(_) => false,
    };
    if !has_failed && (evidence.ended || is_over) {
        Outcome::Success
    } else {
        failure(evidence, end)
    }
}

/// Why a call that was no success was none.
#[cold]
fn failure(evidence: &Evidence<'_>, end: End<'_>) -> Outcome {
    let text = evidence.error.and_then(|error| error.message.as_deref().or(error.code.as_deref()));
    if evidence.status >= 400 {
        let class = format!("http_{}", evidence.status);
        return Outcome::Error(CallError::new(
            class,
            text.unwrap_or_else(|| default_message(evidence.status)),
        ));
    }
    if evidence.error.is_some_and(|error| error.reported) {
        return call_error("agent", text.unwrap_or("the agent reported a failure"));
    }
    match end {
        End::Complete => call_error("incomplete", "the answer broke off before its end"),
        End::Dropped => {
            call_error("cancelled", "the caller gave up before the answer was complete")
        }
        End::Failed(failure) => Outcome::Error(CallError::transport(failure)),
    }
}

fn call_error(class: &'static str, message: impl fmt::Display) -> Outcome {
    Outcome::Error(CallError::new(class, message))
}

/// The reason phrase of an error status.
fn default_message(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Payload Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Entity",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        511 => "Network Authentication Required",
        529 => "Overloaded",
        status if status < 500 => "the request was refused",
        _ => "the agent's server failed",
    }
}
