//! A service that tracks itself, over real sockets: its requests open workflows, and its
//! responses finish them.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod around;
mod bodies;
mod disabled;
mod ending;
mod frames;
mod opening;
mod runs;
#[allow(dead_code, reason = "the tests of the layer use all of it")]
#[path = "../layer/support/scripted.rs"]
mod scripted;
mod streaming;
mod support;
#[path = "../store/warnings.rs"]
mod warnings;
