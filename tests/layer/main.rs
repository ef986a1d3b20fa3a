//! The layer from both sides: what the caller gets, and what is stored.
//!
//! `end_of_call` and `poll_ready` poll the service directly. `session` is about the session
//! that a call belongs to. `a2a`, `agents` and `corpus` call mocked agents over real sockets.
//! `spans`, `span_fields`, `span_records`, `workflow_spans`, `metrics` and `call_metrics` check the telemetry.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]
#![expect(clippy::needless_pass_by_value, reason = "expected values are written in place")]

mod a2a;
mod agents;
mod attempts;
mod aws;
mod bodies;
mod buffers;
mod call_metrics;
mod choice;
mod corpus;
mod costs;
mod disabled;
mod end_of_call;
mod error_sources;
mod fan_out;
#[path = "../corpus/frames.rs"]
mod frames;
mod metrics;
mod nesting;
mod order;
mod poll_ready;
mod races;
mod reqwest;
#[path = "../corpus/rows.rs"]
mod rows;
mod session;
mod span_fields;
mod span_records;
mod spans;
mod stacks;
mod support;
mod tasks;
mod untracked;
mod upgrade;
mod waiting;
#[path = "../store/warnings.rs"]
mod warnings;
mod workflow_spans;

// `tests/reqwest012` shares some of these files, and has the middleware of another version here.
use tower_agent_status::StatusMiddleware;
