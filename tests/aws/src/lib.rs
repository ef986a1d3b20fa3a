//! What the tests of the layer in AWS SDK clients share: a service that answers as
//! Bedrock and AgentCore do, and the clients that ask it.

pub mod clients;
pub mod frames;
pub mod in_memory;
pub mod service;
