//! What every store must do, and what is DynamoDB's own.
//!
//! The contract is run against the store in memory, against the embedded store in memory
//! and in a file, and against the endpoint that `STATUS_TEST_ENDPOINT` names.

mod contract;
mod discovery;
mod embedded;
mod endpoint;
mod faults;
mod files;
mod script;
mod warnings;
