//! The status document of a workflow, and how it is stored.
//!
//! [`WorkflowStatus`] is the document, and [`Item`] the same document as attributes of a
//! table's item, under the names in [`schema`]. A store receives a [`Change`] with a
//! [`Precondition`] and returns an item.
//!
//! Everything here is plain data and pure functions: no clock, no network, no lock.
//!
//! | file | what it has |
//! | --- | --- |
//! | `document`, `attributes`, `agent_status` | a workflow, its attributes and its agents |
//! | `shared_agent` | an agent that copies of a document share |
//! | `schema` | the names of the item's attributes |
//! | `to_item` | the conversion to an item, and the change from one to the next |
//! | `item_parts` | the same conversion of only what has changed |
//! | `serialize` | the same as JSON and the like |
//! | `read` | the conversion from an item, also one of an older writer |
//! | `calls_item` | the parts of both conversions about attempts, models, costs and budgets |
//! | `item`, `ordered_item` | an item's attributes, a change of them, and the order in which they are printed |
//! | `fit` | what is left out of an item that is too large |
//! | `ledger` | how calls, workflows and other writers' changes alter a document |
//! | `end` | the end of a workflow that none of its processes will finish |
//! | `tokens`, `cost`, `total_cost`, `budget`, `attempt`, `timestamp`, `session_id`, `task`, `report` | the values in it |
//! | `call_details` | what is known about a call at its end |
//! | `common_text` | a text that most calls of an agent have in common |
//! | `usage_sum` | the tokens of all calls of an agent |
//! | `usage_delta` | what calls add to an agent, and the shares of its models |
//! | `finish_reason` | which finish reasons are normal |
//! | `writers` | which processes have written an item, and what of theirs it has |
//! | `error`, `error_chain`, `redact` | the text of an error: short and without secrets |
//! | `cut` | texts that are cut to a number of bytes |
//! | `timeout` | whether an error's text says that time ran out |
//! | `display` | a document as text, for tests |

mod agent_status;
mod attempt;
mod attributes;
mod budget;
mod call_details;
mod calls_item;
mod common_text;
mod cost;
mod cut;
mod display;
mod document;
mod end;
mod error;
mod error_chain;
mod finish_reason;
mod fit;
mod item;
mod item_parts;
mod ledger;
mod ordered_item;
mod read;
mod redact;
mod report;
pub mod schema;
mod serialize;
mod session_id;
mod shared_agent;
mod task;
mod timeout;
mod timestamp;
mod to_item;
mod tokens;
mod total_cost;
mod usage_delta;
mod usage_sum;
mod writers;

pub(crate) use agent_status::{Activities, MAX_ACTIVITY_BYTES, activity};
pub use agent_status::{AgentState, AgentStatus};
pub use attempt::Attempt;
pub use attributes::{Attributes, AttributesIter};
pub use budget::Budget;
pub(crate) use budget::Excess;
pub(crate) use call_details::{CallDetails, HeadDetails, MAX_MODEL_BYTES, RawText};
use common_text::CommonText;
pub use cost::{Cost, ParseCostError};
#[cfg(any(feature = "dynamodb", feature = "prices"))]
pub(crate) use cut::cut;
pub use document::{OverallStatus, PreviousRun, WorkflowStatus};
pub use end::ManualEnd;
pub use error::{CallError, ErrorMessage, Outcome};
pub(crate) use error_chain::ErrorChain;
pub(crate) use finish_reason::{is_reason, most_telling as most_telling_reason};
pub use item::{Change, Item, ItemVersion, Precondition, Value};
pub(crate) use ledger::{
    Counted, Lack, Ledger, PendingWrite, TaskUsage, UncertainUsage, attribute_bytes,
};
pub use ordered_item::OrderedItem;
pub use report::AgentReport;
pub(crate) use session_id::random_writer_id;
pub use session_id::{InvalidSessionId, SessionId};
pub(crate) use shared_agent::SharedAgent;
pub(crate) use task::Task;
pub use task::{TaskId, WaitingFor};
pub use timestamp::{ParseTimestampError, Timestamp};
pub(crate) use to_item::FittedChange;
pub use tokens::TokenUsage;
pub(crate) use tokens::{NewTokens, TokenDelta};
pub(crate) use total_cost::CostDelta;
pub use total_cost::TotalCost;
pub use usage_delta::ModelUsage;
pub(crate) use usage_delta::UsageDelta;
use usage_sum::UsageSum;
pub(crate) use writers::Writers;
