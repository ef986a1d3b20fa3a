//! Records what each LLM agent is doing, live, from a layer in its HTTP client.

mod agent;
mod body;
mod call;
mod future;
mod layer;
mod recorder;
mod service;
mod session;
pub mod status;
pub mod store;
mod tracker;
pub mod usage;
mod workflow;

pub use agent::{Agent, InvalidName};
pub use body::StatusBody;
pub use future::ResponseFuture;
pub use layer::StatusLayer;
pub use recorder::{Recorder, StartError, StatusTrackerBuilder, UnsavedError};
pub use service::Status;
pub use session::{InvalidSessionId, RequestHead, SessionId};
pub use tracker::{StatusTracker, Unsaved};
pub use workflow::{Workflow, WorkflowBuilder, WorkflowError};
