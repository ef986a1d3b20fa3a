//! The outcome of a call, from its status, its body and the end of the transport.
//!
//! The strongest evidence decides: the status with which the protocol ends a call, an error status
//! of HTTP, then a failure that the agent itself reported, then the stream's own end marker, and only
//! then how the transport ended.

use http::StatusCode;

use super::End;
use super::extract::ReportedError;
use super::trace::{Missing, NoAnswer, OutcomeRule};
use crate::status::{CallError, Outcome};

/// Everything that bears on the outcome.
pub(super) struct Evidence<'a> {
    pub(super) status: StatusCode,
    pub(super) error: Option<&'a ReportedError>,
    /// There is nothing in the response, where there has to be something.
    pub(super) is_empty: bool,
    /// The response came to its own end: an end marker, the model's last word, or a whole document.
    pub(super) complete: bool,
    /// The stream's own end marker was read.
    pub(super) ended: bool,
    /// The body stops where a response of its kind cannot stop.
    pub(super) truncated: bool,
}

impl Evidence<'_> {
    /// Whether the response came to its end without an answer. One that broke off may have been
    /// about to give one.
    fn has_no_answer(&self) -> bool {
        self.is_empty && !self.truncated
    }
}

#[inline]
pub(super) fn classify(evidence: &Evidence<'_>, end: End<'_>) -> Outcome {
    if has_succeeded(evidence, end) { Outcome::Success } else { failure(evidence, end) }
}

#[inline]
fn has_succeeded(evidence: &Evidence<'_>, end: End<'_>) -> bool {
    let failed = is_error(evidence.status)
        || evidence.error.is_some_and(|error| error.reported)
        || evidence.has_no_answer() && matches!(end, End::Complete);
    let succeeded = evidence.ended
        || match end {
            End::Complete => !evidence.truncated,
            End::Dropped => evidence.complete,
            End::Failed(_) | End::TimedOut(_) => false,
        };
    !failed && succeeded
}

/// What decides the outcome. A response that stops short lacks what is `missing`, and one without
/// an answer has `instead`.
#[cold]
pub(super) fn rule(
    evidence: &Evidence<'_>,
    end: End<'_>,
    missing: Missing,
    instead: NoAnswer,
) -> OutcomeRule {
    if has_succeeded(evidence, end) {
        return match end {
            _ if evidence.ended => OutcomeRule::EndMarker,
            End::Dropped => OutcomeRule::DroppedComplete,
            _ => OutcomeRule::Complete,
        };
    }
    if evidence.error.is_some_and(|error| error.class.is_some()) {
        OutcomeRule::ProtocolStatus
    } else if is_error(evidence.status) {
        OutcomeRule::HttpStatus(evidence.status.as_u16())
    } else if evidence.error.is_some_and(|error| error.reported) {
        OutcomeRule::Reported
    } else {
        match end {
            End::Complete if evidence.has_no_answer() => OutcomeRule::NoAnswer(instead),
            End::Complete => OutcomeRule::Incomplete(missing),
            End::Dropped => OutcomeRule::Dropped,
            End::Failed(_) => OutcomeRule::Failed,
            End::TimedOut(_) => OutcomeRule::TimedOut,
        }
    }
}

/// Whether a response with this status is an error whatever its body is: 4xx, 5xx and beyond.
pub(super) fn is_error(status: StatusCode) -> bool {
    status.as_u16() >= 400
}

#[cold]
fn failure(evidence: &Evidence<'_>, end: End<'_>) -> Outcome {
    let text = evidence.error.and_then(|error| error.message.as_deref().or(error.code.as_deref()));
    let class = evidence.error.and_then(|error| error.class);
    // What is missing, or there instead, makes no other error.
    let rule = rule(evidence, end, Missing::Rest, NoAnswer::Nothing);
    Outcome::Error(match (rule, end) {
        (OutcomeRule::HttpStatus(status), _) => {
            let class = format!("http_{status}");
            CallError::new(class, text.unwrap_or_else(|| default_message(evidence.status)))
        }
        (OutcomeRule::Reported, _) => {
            CallError::new(CallError::AGENT, text.unwrap_or("the agent reported a failure"))
        }
        (OutcomeRule::NoAnswer(_), _) => {
            CallError::new(CallError::NO_ANSWER, "the response has no answer in it")
        }
        (OutcomeRule::Dropped, _) => CallError::new(
            CallError::CANCELLED,
            "the caller gave up before the answer was complete",
        ),
        (OutcomeRule::Failed, End::Failed(failure)) => CallError::transport(failure),
        (OutcomeRule::TimedOut, End::TimedOut(failure)) => CallError::timeout(failure),
        _ => match class {
            Some(class) => CallError::new(class, text.unwrap_or(class)),
            None => CallError::new(CallError::INCOMPLETE, "the answer broke off before its end"),
        },
    })
}

/// The message for an error status whose body has none.
fn default_message(status: StatusCode) -> &'static str {
    match status.as_u16() {
        // Not registered, but what Anthropic's API answers under load.
        529 => "Overloaded",
        code => status.canonical_reason().unwrap_or(match code {
            ..500 => "the request was refused",
            _ => "the agent's server failed",
        }),
    }
}
