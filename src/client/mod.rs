//! The way out: the layer in the clients of the agents.

pub(crate) mod agent_selector;
#[cfg(feature = "aws")]
pub mod aws;
pub(crate) mod call;
mod layer;
mod ownership;
#[cfg(feature = "reqwest")]
pub(crate) mod reqwest;
mod service;
mod target;
mod tracking;

pub use layer::StatusLayer;
pub use service::StatusService;
pub use target::Target;
