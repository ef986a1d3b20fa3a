//! The command `tower-agent-status`, run as a user would: the real binary, against a file
//! of the embedded store, against a server that answers as told, and against the endpoint
//! that `STATUS_TEST_ENDPOINT` names.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test may fail, in its helpers too")]

mod delete;
mod demo;
mod endpoint;
mod hostile;
mod inspect;
mod list;
mod serve;
mod server;
mod settings;
mod show;
mod support;
mod table;
mod terminal;
mod watch;
