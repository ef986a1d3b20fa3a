//! The portal's routes, as the readers that exist expect them.

#![allow(clippy::unwrap_used, reason = "a test may fail, in its helpers too")]

mod events;
mod hostile;
mod page;
mod recent;
mod serving;
mod status;
mod support;
mod table;
#[path = "../store/warnings.rs"]
mod warnings;
mod watchers;
