//! The layer, from both of its sides: what the caller gets, and what is stored.
//!
//! `end_of_call` and `poll_ready` drive it by hand, `session` asks which session a call
//! belongs to, `agents` and `corpus` talk to mocked agents over real sockets; `spans` and `metrics` listen to what a process tells of itself.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]
#![expect(clippy::needless_pass_by_value, reason = "what is expected is written in place")]

mod agents;
mod aws;
mod bodies;
mod choice;
mod corpus;
mod disabled;
mod end_of_call;
mod error_sources;
mod fan_out;
mod metrics;
mod nesting;
mod order;
mod poll_ready;
mod reqwest;
#[path = "../corpus/rows.rs"]
mod rows;
mod session;
mod spans;
mod stacks;
mod support;
mod untracked;
#[path = "../store/warnings.rs"]
mod warnings;
