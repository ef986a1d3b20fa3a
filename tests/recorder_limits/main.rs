//! What bounds the recorder: how long a flush takes, how much it holds and keeps, and what a clock
//! that is set does to it. Under paused time.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod clock;
mod concurrency;
mod failures;
mod flush;
mod logs;
mod retention;
mod sessions;
mod support;
#[path = "../store/warnings.rs"]
mod warnings;
