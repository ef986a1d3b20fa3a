//! The way out: the layer in the clients that call the agents.
//!
//! [`Tracking::begin`](tracking::Tracking::begin) is the one door through which the calls of
//! every client come. Each client's own file only adapts its request and response types to the
//! [exchange](crate::exchange).

mod agent_selector;
#[cfg(feature = "aws")]
pub mod aws;
mod call;
mod layer;
mod ownership;
mod request;
#[cfg(feature = "reqwest")]
mod reqwest;
mod service;
mod target;
mod tracking;

#[cfg(feature = "reqwest")]
pub use self::reqwest::StatusMiddleware;
pub use layer::StatusLayer;
pub use service::{StatusBody, StatusFuture, StatusService};
pub use target::Target;
