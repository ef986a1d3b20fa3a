//! [`CallDetails`]: what is known of a call at its end, beside its outcome and its tokens.

use std::sync::Arc;
use std::time::Duration;

use super::{Timestamp, TokenUsage, TotalCost};

/// The longest name of a model, in bytes. A longer one is left out, since a part of it would name
/// another.
pub(crate) const MAX_MODEL_BYTES: usize = 128;

/// A text as a response has it. Most calls of an agent have the same ones: whether a text is one that
/// can be kept is found out when it differs from the one that is known.
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

/// What is known of a call at its end, beside its outcome and its tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallDetails<'a> {
    pub(crate) started_at: Timestamp,
    /// The model that answered, or else the one that was asked or declared.
    pub(crate) model: Option<RawText<'a>>,
    pub(crate) finish_reason: Option<RawText<'a>>,
    /// Of a stream.
    pub(crate) time_to_first_chunk: Option<Duration>,
    /// All tokens of the call, those that it reported while it was in flight included.
    pub(crate) usage: Option<&'a TokenUsage>,
    /// Those of these that it reported before it named its model.
    pub(crate) usage_without_model: Option<&'a TokenUsage>,
    /// Absent without a price list.
    pub(crate) cost: Option<&'a TotalCost>,
    pub(crate) request_id: Option<&'a str>,
    pub(crate) retry_after: Option<Duration>,
}

impl CallDetails<'_> {
    /// What is known of a call that says nothing of itself.
    pub(crate) fn none(started_at: Timestamp) -> Self {
        Self {
            started_at,
            model: None,
            finish_reason: None,
            time_to_first_chunk: None,
            usage: None,
            usage_without_model: None,
            cost: None,
            request_id: None,
            retry_after: None,
        }
    }
}
