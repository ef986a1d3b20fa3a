//! The primitives of the [hand-off](super::handoff). The package in `tests/handoff` puts
//! those of a model checker in their place.

pub(super) use std::sync::atomic::{AtomicU8, Ordering};
pub(super) use std::sync::{Mutex, MutexGuard};
