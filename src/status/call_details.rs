//! [`CallDetails`]: what is known of a call at its end, beside its outcome and its tokens.

use std::time::Duration;

use super::{Timestamp, TokenUsage, TotalCost};

/// The longest name of a model, in bytes. A longer one is left out, since a part of it would name
/// another.
pub(crate) const MAX_MODEL_BYTES: usize = 128;

/// What is known of a call at its end, beside its outcome and its tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallDetails<'a> {
    pub(crate) started_at: Timestamp,
    /// The model that answered, or else the one that was asked or declared.
    pub(crate) model: Option<&'a str>,
    pub(crate) finish_reason: Option<&'a str>,
    /// Of a stream.
    pub(crate) time_to_first_chunk: Option<Duration>,
    /// All tokens of the call, those that it reported while it was in flight included.
    pub(crate) usage: Option<&'a TokenUsage>,
    /// Those of these that it reported before it named its model.
    pub(crate) usage_without_model: Option<&'a TokenUsage>,
    /// Empty without a price list.
    pub(crate) cost: TotalCost,
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
            cost: TotalCost::default(),
            request_id: None,
            retry_after: None,
        }
    }
}
