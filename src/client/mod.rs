//! The way out: the layer in the clients that call the agents.
//!
//! [`Tracking::begin`](tracking::Tracking::begin) is the one door through which the calls of
//! every client come. Each client's own file only adapts its request and response types to the
//! [exchange](crate::exchange).
//!
//! | file | what it has |
//! | --- | --- |
//! | `layer`, `service` | the layer, and the tower service of `http::Request` |
//! | `reqwest`, `reqwest012`, `aws` | the same for reqwest, reqwest-middleware and the AWS SDK |
//! | `request` | what tracking needs from a client's request type |
//! | `tracking` | how a call begins: its session, its agent, its owner |
//! | `agent_selector`, `target` | which agent a request is for |
//! | `ownership` | the mark that lets only the outermost of nested layers track a call |
//! | `call` | how a call in flight reaches its telemetry and the tracker |

mod agent_selector;
#[cfg(feature = "aws")]
pub mod aws;
mod call;
mod layer;
mod ownership;
mod request;
#[cfg(feature = "reqwest")]
mod reqwest;
#[cfg(feature = "reqwest012")]
pub mod reqwest012;
mod service;
mod target;
mod tracking;

#[cfg(feature = "reqwest")]
pub use self::reqwest::StatusMiddleware;
pub use layer::StatusLayer;
pub use service::{StatusBody, StatusFuture, StatusService};
pub use target::Target;
