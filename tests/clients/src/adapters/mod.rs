//! Implementations of the HTTP traits of other crates, around the layer.

mod azure_core;
mod rmcp;

pub use self::azure_core::TrackedClient;
pub use self::rmcp::ToolCalls;
