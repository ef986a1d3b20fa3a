//! The document that is stored for a workflow, and the pure rules by which it changes.
//!
//! [`WorkflowStatus`] is the document and [`Item`] the same in the table's terms. Nothing
//! here knows a clock, a network or a lock.

mod document;
mod error;
mod item;
mod ledger;
mod order;
mod redact;
mod report;
pub mod schema;
mod show;
mod time;
mod tokens;

pub(crate) use document::Activities;
pub use document::{AgentState, AgentStatus, OverallStatus, WorkflowStatus};
pub use error::{CallError, ErrorMessage, Outcome};
pub use item::{Change, Item, Precondition, Value};
pub(crate) use ledger::{Ledger, Proposal};
pub use order::OrderedItem;
pub use report::AgentReport;
pub use time::{ParseTimestampError, Timestamp};
pub(crate) use tokens::TokenDelta;
pub use tokens::TokenUsage;
