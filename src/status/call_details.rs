//! [`CallDetails`]: what is known about a call at its end, besides its outcome.

use std::sync::Arc;
use std::time::Duration;

use super::{Timestamp, TokenUsage, TotalCost};

/// The longest name of a model, in bytes. A longer one is left out, since a part of it could be
/// the name of another.
pub(crate) const MAX_MODEL_BYTES: usize = 128;

/// A text as a response has it. Most calls of an agent have the same texts, so a text is validated only
/// when it differs from the known one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawText<'a>(pub(crate) &'a [u8]);

impl RawText<'_> {
    #[inline]
    pub(crate) fn is(self, known: &str) -> bool {
        *self.0 == *known.as_bytes()
    }

    /// The text, unless it is empty or has control characters.
    #[cold]
    pub(crate) fn to_text(self) -> Option<Arc<str>> {
        let text = String::from_utf8_lossy(self.0);
        (!text.is_empty() && !text.chars().any(char::is_control)).then(|| text.into())
    }
}

/// What is known about a call at its end, besides its outcome.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallDetails<'a> {
    pub(crate) started_at: Timestamp,
    /// The model in the response, or else the one in the request or declared.
    pub(crate) model: Option<RawText<'a>>,
    /// Not checked whether it [is one](super::is_reason).
    pub(crate) finish_reason: Option<RawText<'a>>,
    /// Only for a stream.
    pub(crate) time_to_first_chunk: Option<Duration>,
    /// All tokens of the call, including those that it reported while in flight.
    pub(crate) usage: Option<&'a TokenUsage>,
    /// The part of them that it reported before it named its model.
    pub(crate) usage_without_model: Option<&'a TokenUsage>,
    /// Absent without a price list.
    pub(crate) cost: Option<&'a TotalCost>,
    pub(crate) head: Option<&'a HeadDetails>,
}

/// What the head of a response says about a call.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeadDetails {
    pub(crate) request_id: Option<Box<str>>,
    pub(crate) retry_after: Option<Duration>,
}

impl CallDetails<'_> {
    /// The details of a call that reports nothing.
    pub(crate) fn none(started_at: Timestamp) -> Self {
        Self {
            started_at,
            model: None,
            finish_reason: None,
            time_to_first_chunk: None,
            usage: None,
            usage_without_model: None,
            cost: None,
            head: None,
        }
    }

    /// The id of the request, and how long to wait before another.
    #[cold]
    pub(super) fn of_head(&self) -> (Option<Arc<str>>, Option<Duration>) {
        let id = self.head.and_then(|head| head.request_id.as_deref());
        (id.map(Into::into), self.head.and_then(|head| head.retry_after))
    }
}
