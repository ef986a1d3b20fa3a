//! Models of the hand-off between the tracker and the recorder, checked by loom in every
//! interleaving of their threads.
#![cfg(test)]

#[allow(dead_code, reason = "the models use only part of it")]
#[path = "../../../src/recorder/flush_waiters.rs"]
mod flush_waiters;
#[allow(dead_code, reason = "the models use only part of it")]
#[path = "../../../src/tracker/handoff.rs"]
mod handoff;
mod models;
mod process;
mod recorder;
mod restarts;

/// Loom's counterparts of what the crate imports from the standard library.
mod sync {
    pub(super) use loom::sync::atomic::{AtomicU8, Ordering};
    pub(super) use loom::sync::{Mutex, MutexGuard};
}
