//! A workflow of four agents that answer at once, tracked and not, and where its status goes.
//!
//! What is measured is what the status adds. Agents answer at once, or they are slow: each
//! answers as soon as the write that shows it at work has been applied, as an agent does that
//! takes longer than a write, without its waiting being part of any figure. Then each change
//! of state is really written, five writes a workflow, however fast or slow the machine is;
//! of agents that answer at once they gather in one or two. What is compared with slow agents
//! pauses for as long, since a processor that has just slept takes longer for the same work.

pub mod agents;
pub mod by_hand;
pub mod cpu;
pub mod endpoint;
pub mod stores;
pub mod workflow;
