//! One way at work, and whether it was listened to as its name says.

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
        // Each place that tells something remembers who wants to hear it. Whoever listened to
        // the last way is gone; who listens to this one says so when it is made. Not after
        // that: it would ask who listens now, and until the way runs that is nobody.
        tracing::callsite::rebuild_interest_cache();
        let heard_before = heard();
        Self { way, runner: (way.make)(), runs: 0, heard_before }
    }

    /// The time that counts.
    pub fn run(&mut self, times: u64) -> Duration {
        self.runs += times;
        let start = Instant::now();
        (self.runner)(times).unwrap_or_else(|| start.elapsed())
    }

    /// # Panics
    ///
    /// If the way names somebody who listens, and that one did not hear of each run, or if it
    /// names nobody and somebody did.
    pub fn end(self) {
        let Self { way, runner, runs, heard_before } = self;
        // Meters tell in the end what they were told.
        drop(runner);
        let heard = heard() - heard_before;
        if LISTENERS.iter().any(|listener| way.name.contains(listener)) {
            assert!(heard >= runs, "{}: {heard} things were heard in {runs} runs", way.name);
        } else {
            assert_eq!(heard, 0, "{}: somebody listened", way.name);
        }
    }
}
