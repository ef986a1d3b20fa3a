//! What every store must do, and what is DynamoDB's own.
//!
//! The contract is run against the store in memory, against the embedded store in memory
//! and in a file, and against the endpoint that `STATUS_TEST_ENDPOINT` names.

#![allow(clippy::unwrap_used, reason = "a test may fail, in its helpers too")]

mod contract;
mod discovery;
mod embedded;
mod endpoint;
mod environment;
mod faults;
mod files;
mod recent;
mod recorded;
mod script;
mod sockets;
mod warnings;
