//! The layer in clients of reqwest 0.12 and reqwest-middleware 0.4: the tests of `tests/layer` for
//! those of reqwest 0.13, compiled against the other versions. `both` has clients of both.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]
#![allow(dead_code, reason = "the shared files have helpers for other clients, too")]

mod both;
#[path = "../../../layer/order.rs"]
mod order;
#[path = "../../../layer/reqwest.rs"]
mod reqwest;
mod stacks;
#[path = "../../../layer/support/mod.rs"]
mod support;
#[path = "../../../layer/upgrade.rs"]
mod upgrade;

// The shared files take it from here.
use tower_agent_status::reqwest012::StatusMiddleware;
