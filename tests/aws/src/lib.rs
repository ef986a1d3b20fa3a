//! Helpers for testing the layer in AWS SDK clients: a service that answers as Bedrock and
//! AgentCore do, and the clients that call it.

pub mod clients;
pub mod frames;
pub mod in_memory;
pub mod recipe;
pub mod service;
