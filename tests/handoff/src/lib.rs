//! The hand-off between the tracker and the recorder, in every order of its threads.
#![cfg(test)]

#[allow(dead_code, reason = "the crate has more uses of it")]
#[path = "../../../src/tracker/handoff.rs"]
mod handoff;
mod models;
mod recorder;
#[allow(dead_code, reason = "the crate has more uses of it")]
#[path = "../../../src/recorder/flush_waiters.rs"]
mod flush_waiters;

/// What the crate takes from the standard library.
mod sync {
    pub(super) use loom::sync::atomic::{AtomicBool, Ordering};
    pub(super) use loom::sync::{Mutex, MutexGuard};
}
