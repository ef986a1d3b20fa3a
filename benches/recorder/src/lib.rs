//! A workflow of four agents that answer at once, tracked and not, and where its status goes.
//!
//! The benches measure what the status adds. Agents either answer at once or are slow. A slow
//! agent answers as soon as the write with its in-progress state was applied, like an agent
//! that takes longer than a write; this wait is in no result. So each change of state becomes a
//! write, five for each workflow, whatever the speed of the machine. With agents that answer
//! at once, the changes are batched into one or two writes. What slow agents are compared with
//! pauses for as long, since a CPU that has just slept takes longer for the same work.

pub mod agents;
pub mod by_hand;
pub mod cpu;
pub mod endpoint;
pub mod memory;
pub mod stores;
pub mod workflow;
