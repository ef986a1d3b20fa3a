//! Workflows for the requests of an orchestrator's own server.
//!
#![doc = include_str!("../../docs/service.md")]

mod config;
mod layer;
mod service;
mod workflow;

pub use layer::WorkflowLayer;
pub use service::{WorkflowBody, WorkflowFuture, WorkflowService};
