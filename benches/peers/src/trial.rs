//! A run of one way, which checks whether it had a listener against its name.

use std::time::{Duration, Instant};

use crate::peers::{LISTENERS, heard};
use crate::{Runner, Way};

pub struct Trial<'a> {
    way: &'a Way,
    runner: Runner,
    runs: u64,
    heard_before: u64,
}

impl<'a> Trial<'a> {
    pub fn new(way: &'a Way) -> Self {
        // Callsites cache the interest of subscribers. The subscriber of the last way is gone,
        // so rebuild the cache now. A way registers its own subscriber when it is made; a
        // rebuild after that would find none, since it is the default only while the way runs.
        tracing::callsite::rebuild_interest_cache();
        let heard_before = heard();
        Self { way, runner: (way.make)(), runs: 0, heard_before }
    }

    /// Runs the way this many times, and returns the time that counts.
    pub fn run(&mut self, times: u64) -> Duration {
        self.runs += times;
        let start = Instant::now();
        (self.runner)(times).unwrap_or_else(|| start.elapsed())
    }

    /// # Panics
    ///
    /// If the name of the way has a listener that did not receive something for each run, or if
    /// it has none but something was received.
    pub fn end(self) {
        let Self { way, runner, runs, heard_before } = self;
        // Meters report what they have recorded when they are dropped.
        drop(runner);
        let heard = heard() - heard_before;
        if LISTENERS.iter().any(|listener| way.name.contains(listener)) {
            assert!(heard >= runs, "{}: {heard} items were received in {runs} runs", way.name);
        } else {
            assert_eq!(heard, 0, "{}: something was received", way.name);
        }
    }
}
