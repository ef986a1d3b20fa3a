//! What every store must do, and what is DynamoDB's own.
//!
//! The contract is run against the store in memory, against the embedded store in memory
//! and in a file, and against the endpoint that `STATUS_TEST_ENDPOINT` names.

mod contract;
mod endpoint;
mod files;
