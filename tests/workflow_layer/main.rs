//! A service that tracks itself: its requests open workflows, and its responses finish
//! them, over real sockets.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod around;
mod bodies;
mod disabled;
mod ending;
mod frames;
mod opening;
#[allow(dead_code, reason = "the tests of the layer use all of it")]
#[path = "../layer/support/scripted.rs"]
mod scripted;
mod streaming;
mod support;
#[path = "../store/warnings.rs"]
mod warnings;
