//! The CPU time of this process, user and system.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

pub fn time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("a clock").into()
}
