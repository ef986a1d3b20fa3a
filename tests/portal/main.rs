//! The portal's routes, as the readers that exist expect them.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may fail and tell figures, in its helpers too"
)]

mod events;
mod hostile;
mod layers;
mod page;
mod recent;
mod serving;
mod stalled;
mod status;
mod support;
mod table;
#[path = "../store/warnings.rs"]
mod warnings;
mod watchers;
