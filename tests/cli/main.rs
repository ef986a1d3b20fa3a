//! The command `tower-agent-status`, run as a user would: the binary itself, against an
//! embedded store, a mock of DynamoDB, and the endpoint in `STATUS_TEST_ENDPOINT`.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test may fail, in its helpers too")]

mod backfill;
mod costs;
mod delete;
mod demo;
mod end;
mod endpoint;
mod explain;
mod hostile;
mod inspect;
mod list;
mod migration;
#[path = "../older_items/mod.rs"]
mod older_items;
mod older_writers;
mod prices;
mod serve;
mod server;
mod settings;
mod show;
mod support;
mod table;
mod terminal;
mod watch;
mod webhook;
