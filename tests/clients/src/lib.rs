//! A recipe for each client that takes the layer, and what the tests need: a mocked agent, which
//! speaks the Chat Completions API on a local socket, and assertions on the stored status.
//!
//! The lines of a recipe between `// recipe` and `// end` are the ones that docs/clients.md shows.
//! `tests/docs.rs` compares them.

pub mod adapters;
mod agent;
mod client;
mod http_client;
pub mod mcp_server;
pub mod recipes;
mod retry;
mod tracking;

pub use agent::{Agent, Reply};
pub use client::{Client, Pieces, Recipe};
pub use http_client::{HttpClient, ReqwestClient};
pub use retry::TooManyRequests;
pub use tracking::Tracking;

/// The agent of every recipe.
pub const AGENT: &str = "pdfAdapter";
/// The session of every test.
pub const SESSION: &str = "session-corr_abc123";
/// What the agent answers.
pub const ANSWER: &str = "It says: buy.";
/// The model that the agent names.
pub const MODEL: &str = "gpt-5-mini";
