//! The document that is stored for a workflow, and the pure rules by which it changes.

mod error;
mod tokens;

pub use error::{CallError, ErrorMessage, Outcome};
pub use tokens::TokenUsage;
