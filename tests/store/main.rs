//! The contract of every store, and tests of the DynamoDB store alone.
//!
//! The contract runs against the store in memory, against the embedded store in memory and in
//! a file, and against the endpoint in `STATUS_TEST_ENDPOINT`, if it is set.

#![allow(clippy::unwrap_used, reason = "a test may fail, in its helpers too")]

mod backfill;
mod contract;
mod discovery;
mod embedded;
mod endpoint;
mod environment;
mod faults;
mod files;
mod find;
mod large_items;
mod lists;
mod mixed;
mod odd_versions;
mod old_items;
mod recent;
mod recorded;
mod reshard;
mod script;
mod search;
mod sockets;
mod startup;
mod warnings;
