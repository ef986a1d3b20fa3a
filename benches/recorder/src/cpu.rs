//! The processor's time that this process took, in its own code and in the kernel's.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

pub fn time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("a clock").into()
}
