//! [`WorkflowError`]: what cannot be recorded of a workflow.

use super::WorkflowBuilder;
use crate::agent::InvalidName;
use crate::status::{InvalidSessionId, ParseCostError};
use crate::tracker::{StatusTracker, TooMuch};

/// A workflow, or a change to one, that cannot be recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WorkflowError {
    /// The session id is invalid.
    #[error(transparent)]
    SessionId(#[from] InvalidSessionId),
    /// The name of an attribute or an agent is invalid.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The text of an attribute is too long for an item.
    #[error(
        "the text of `{name}` has {bytes} bytes; the limit is {max}",
        max = WorkflowBuilder::MAX_TEXT_BYTES
    )]
    TextTooLong {
        /// The attribute.
        name: String,
        /// The length of the text, in bytes.
        bytes: usize,
    },
    /// The maps of an attribute are nested too deep for an item.
    #[error(
        "the maps of `{name}` are nested too deeply; the limit is {max} levels",
        max = WorkflowBuilder::MAX_DEPTH
    )]
    TooDeep {
        /// The attribute.
        name: String,
    },
    /// The session would have too many attributes for an item.
    #[error(
        "the session would have {attributes} attributes; an item holds at most {max}: group \
         some into a map, or remove some",
        max = WorkflowBuilder::MAX_ATTRIBUTES
    )]
    TooManyAttributes {
        /// How many it would have.
        attributes: usize,
    },
    /// The attributes of the session would be too large for an item.
    #[error(
        "the attributes of the session would have {bytes} bytes, names included; the limit is \
         {max}: shorten or remove some",
        max = WorkflowBuilder::MAX_ATTRIBUTE_BYTES
    )]
    AttributesTooLarge {
        /// How many bytes they would have, names included.
        bytes: usize,
    },
    /// The budget is not a valid amount of US dollars.
    #[error("invalid budget of {usd} USD: {why}; use an amount from 0 to 10^22 USD")]
    Budget {
        /// The budget.
        usd: String,
        /// Why it is invalid.
        why: ParseCostError,
    },
    /// The session has no room for another agent that was not declared.
    #[error(
        "the session already has {max} agents or more, and `{name}` was not declared: declare it \
         with `StatusTrackerBuilder::agent`, or name agents after what they do, not after what \
         they work on",
        max = StatusTracker::MAX_AGENTS
    )]
    TooManyAgents {
        /// The agent.
        name: String,
    },
    /// As many sessions as are allowed are live or unsaved.
    #[error(
        "no room for another session: finish some, find out why they are not saved, or raise \
         `StatusTrackerBuilder::max_sessions`"
    )]
    Full,
    /// The tracker was shut down, or its recorder has ended otherwise.
    #[error(
        "the tracker was shut down, or its recorder dropped, and records nothing any more: call \
         `shutdown` last, or `flush` to save what has changed so far"
    )]
    ShutDown,
}

impl From<TooMuch> for WorkflowError {
    fn from(too_much: TooMuch) -> Self {
        match too_much {
            TooMuch::Attributes(attributes) => Self::TooManyAttributes { attributes },
            TooMuch::Bytes(bytes) => Self::AttributesTooLarge { bytes },
        }
    }
}
