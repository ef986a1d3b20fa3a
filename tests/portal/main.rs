//! The portal's routes, as existing clients expect them.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests may fail and print measurements"
)]

#[cfg(unix)]
mod attack;
mod board;
mod connections;
mod costs;
mod events;
mod gauges;
mod health;
mod hostile;
mod layers;
#[path = "../older_items/mod.rs"]
mod older_items;
mod older_writers;
mod page;
mod recent;
mod search;
mod serving;
mod status;
mod stream;
mod support;
mod table;
mod visible;
#[path = "../store/warnings.rs"]
mod warnings;
mod watchers;
