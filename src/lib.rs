//! Records what each LLM agent is doing, live, from a layer in its HTTP client.

pub mod status;
pub mod store;
pub mod usage;
