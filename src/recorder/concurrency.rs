//! [`WriteLimit`]: how many writes may be in flight at once.
//!
//! Where the number is not set, it is found from the store's answers:
//!
//! ```text
//! a window: as many answers as there may be writes in flight, to writes that started in it and took
//!           the last place that was free
//!
//! their mean is at most 1.5 times the best          a quarter more, up to MOST
//! it is over twice the best, or over MOST_QUICK     an eighth less, or USUAL; never below USUAL
//! a write failed or was throttled                   half, down to 1
//! a write was applied, and the limit is below USUAL one more
//! ```
//!
//! As in TCP Vegas, the time of the answers is compared with the best: it rises when a queue forms,
//! in the store or in front of it, which is before anything fails. A rule that knew only failures
//! would drive a store that never throttles into its time-outs. Means of windows are compared, since
//! single answers differ by more than what is looked for: one that was quick by chance would make
//! all others look slow, and the first over each new connection is slow. Only writes that took the
//! last free place are looked at: where the limit holds nothing up, nothing needs to be found, and
//! what starts together with others finds the store empty.
//!
//! The best counts for [`RECENT`]. Then it is measured anew with only [`USUAL`] writes in flight, or
//! what this process itself slows down would become the measure, and the limit would rise without
//! end. That takes the time of two answers: at 5 ms, a hundredth of a second in a minute.
//!
//! All of it follows from answers and from tokio's clock, and nothing is left to chance.

use std::time::Duration;

use tokio::time::Instant;

/// How many writes may be in flight at once before anything is known of the store.
const USUAL: usize = 64;
/// The most that is found. Each takes a connection, and so a file descriptor: half of the 1,024 that
/// a process often may have.
pub(super) const MOST: usize = 512;
/// The most in a round that takes long, if no more was found; see [`rounds`](super::rounds).
const MOST_IN_ROUND: usize = 4 * USUAL;
/// Answers that take longer are not quick, whatever there is to compare with: a store may have been
/// overloaded from the beginning.
const MOST_QUICK: Duration = Duration::from_millis(250);
/// How long the best counts.
const RECENT: Duration = Duration::from_secs(60);

/// How many writes may be in flight at once.
pub(super) struct WriteLimit {
    /// Where it begins, and to what it returns after failures.
    usual: usize,
    most: usize,
    most_in_round: usize,
    now: usize,
    /// The best mean of a window, and when it was last seen.
    best: Option<(Duration, Instant)>,
    window: Window,
    /// Set while the best is measured anew: the limit before that.
    set_aside: Option<usize>,
}

/// The answers to writes that started in it with the limit reached.
#[derive(Default)]
struct Window {
    number: u64,
    answers: u32,
    total: Duration,
}

impl WriteLimit {
    /// A limit that is found, or this one, which nothing exceeds.
    pub(super) fn new(fixed: Option<usize>) -> Self {
        let [usual, most, most_in_round] =
            fixed.map_or([USUAL, MOST, MOST_IN_ROUND], |fixed| [fixed.max(1); 3]);
        Self {
            usual,
            most,
            most_in_round,
            now: usual,
            best: None,
            window: Window::default(),
            set_aside: None,
        }
    }

    /// How many writes may be in flight.
    pub(super) fn now(&self) -> usize {
        self.now
    }

    /// How many may be in flight at the beginning of a round, whatever has failed.
    pub(super) fn usual(&self) -> usize {
        self.usual
    }

    /// How many may be in flight in a round that takes long, if it is not [more](Self::now) anyway.
    pub(super) fn most_in_round(&self) -> usize {
        self.most_in_round
    }

    /// A write starts while this many others are in flight. Returns its window, if its answer
    /// counts.
    pub(super) fn start(&self, in_flight: usize) -> Option<u64> {
        // With more in flight, as in a round, the limit would be judged by what is beyond it.
        (in_flight + 1 == self.now).then_some(self.window.number)
    }

    /// The store has applied a write, which [started](Self::start) in this window, in this time.
    pub(super) fn applied(&mut self, window: Option<u64>, took: Duration, now: Instant) {
        self.now = self.now.max(self.usual.min(self.now + 1));
        if self.usual == self.most || window != Some(self.window.number) {
            return;
        }
        self.window.answers += 1;
        self.window.total += took;
        if self.window.answers as usize >= self.now.max(self.usual) {
            self.end_window(now);
        }
    }

    /// The store was not available, or has throttled a write.
    pub(super) fn failed(&mut self) {
        self.now = (self.now / 2).max(1);
        self.set_aside = None;
        self.start_window();
    }

    fn start_window(&mut self) {
        self.window = Window { number: self.window.number + 1, ..Window::default() };
    }

    fn end_window(&mut self, now: Instant) {
        let Window { answers, total, .. } = self.window;
        let mean = total / answers;
        self.start_window();
        if let Some(limit) = self.set_aside.take() {
            self.best = Some((mean, now));
            self.now = limit;
            return;
        }
        let best = match self.best {
            Some((best, at)) if best < mean => {
                let is_recent = now.duration_since(at) < RECENT;
                if !is_recent && self.now > self.usual {
                    self.set_aside = Some(std::mem::replace(&mut self.now, self.usual));
                    return;
                }
                if is_recent { best } else { mean }
            }
            _ => mean,
        };
        if best == mean {
            self.best = Some((mean, now));
        }
        if mean > MOST_QUICK {
            self.now = self.now.min(self.usual);
        } else if mean > 2 * best {
            self.now = self.now.min(self.usual.max(self.now - self.now / 8));
        } else if 2 * mean <= 3 * best && self.now >= self.usual {
            self.now = self.most.min(self.now + self.now / 4);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store, and the limit that its answers lead to.
    struct Answers {
        limit: WriteLimit,
        now: Instant,
    }

    impl Answers {
        fn new(fixed: Option<usize>) -> Self {
            Self { limit: WriteLimit::new(fixed), now: Instant::now() }
        }

        /// As many writes as may be in flight take this long, each started as another has ended.
        /// Returns the limit after that.
        fn round(&mut self, takes: Duration) -> usize {
            let writes = self.limit.now();
            let window = self.limit.start(writes - 1);
            self.now += takes;
            for _ in 0..writes {
                self.limit.applied(window, takes, self.now);
            }
            self.limit.now()
        }

        fn rounds(&mut self, rounds: usize, takes: impl Fn(usize) -> Duration) -> usize {
            for _ in 0..rounds {
                let takes = takes(self.limit.now());
                self.round(takes);
            }
            self.limit.now()
        }
    }

    const QUICK: Duration = Duration::from_millis(5);

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn quick_answers_raise_the_limit_up_to_the_most() {
        let mut answers = Answers::new(None);
        let seen: Vec<_> = (0..12).map(|_| answers.round(QUICK)).collect();
        assert_eq!(seen, [80, 100, 125, 156, 195, 243, 303, 378, 472, 512, 512, 512]);
    }

    #[test]
    fn a_limit_that_is_not_reached_stays() {
        let mut answers = Answers::new(None);
        // With more in flight it was exceeded, by a round.
        for in_flight in (0..63).chain(64..600).cycle().take(10_000) {
            let window = answers.limit.start(in_flight);
            answers.limit.applied(window, QUICK, answers.now);
        }
        assert_eq!(answers.limit.now(), 64);
    }

    #[test]
    fn slow_answers_do_not_raise_the_limit() {
        // Always slow, with nothing to compare with.
        let mut answers = Answers::new(None);
        assert_eq!(answers.rounds(1_000, |_| secs(2)), 64);
        // A store of a fixed capacity: what is more only waits longer.
        for per_second in [100, 1_000, 6_400] {
            let mut answers = Answers::new(None);
            let takes =
                |writes| Duration::from_secs(1) * u32::try_from(writes).unwrap() / per_second;
            // Over many minutes.
            for _ in 0..100 {
                let limit = answers.rounds(100, takes);
                assert!(limit <= 120, "{limit} at {per_second} writes per second");
            }
            assert!(answers.limit.best.unwrap().0 <= takes(64), "{per_second}");
        }
    }

    #[test]
    fn a_store_that_becomes_slow_lowers_the_limit_to_the_usual() {
        let mut answers = Answers::new(None);
        assert_eq!(answers.rounds(20, |_| QUICK), 512);
        assert_eq!(answers.round(3 * QUICK), 448);
        assert_eq!(answers.rounds(40, |_| 3 * QUICK), 64);
        assert_eq!(answers.rounds(20, |_| QUICK), 512);
        assert_eq!(answers.round(secs(1)), 64);
    }

    #[test]
    fn a_store_that_is_farther_away_than_before_is_measured_anew() {
        let mut answers = Answers::new(None);
        answers.rounds(20, |_| QUICK);
        // As after a move to another region. For a minute, the best is what it was.
        assert_eq!(answers.rounds(100, |_| 8 * QUICK), 64);
        answers.now += RECENT;
        answers.round(8 * QUICK);
        assert_eq!(answers.rounds(20, |_| 8 * QUICK), 512);
    }

    #[test]
    fn a_wide_limit_is_set_aside_for_a_window_that_measures_the_best() {
        let mut answers = Answers::new(None);
        answers.rounds(20, |_| QUICK);
        answers.now += RECENT;
        let a_little_slower = QUICK + Duration::from_millis(1);
        assert_eq!(answers.round(a_little_slower), 64);
        assert_eq!(answers.round(a_little_slower), 512);
        assert_eq!(answers.limit.best.unwrap().0, a_little_slower);
        // A failure meanwhile means that it is not known any more.
        answers.now += RECENT;
        assert_eq!(answers.round(2 * QUICK), 64);
        answers.limit.failed();
        assert_eq!(answers.round(2 * QUICK), 64);
    }

    #[test]
    fn failures_halve_the_limit_and_successes_restore_it() {
        let mut answers = Answers::new(None);
        answers.rounds(20, |_| QUICK);
        let halves: Vec<_> = (0..11)
            .map(|_| {
                answers.limit.failed();
                answers.limit.now()
            })
            .collect();
        assert_eq!(halves, [256, 128, 64, 32, 16, 8, 4, 2, 1, 1, 1]);
        let doubles: Vec<_> = (0..6).map(|_| answers.round(QUICK)).collect();
        assert_eq!(doubles, [2, 4, 8, 16, 32, 64]);
        assert_eq!(answers.rounds(20, |_| QUICK), 512);
    }

    #[test]
    fn a_limit_that_is_set_is_the_most_there_ever_is() {
        for (set, limit) in [(0, 1), (1, 1), (64, 64), (5_000, 5_000)] {
            let mut answers = Answers::new(Some(set));
            assert_eq!(answers.rounds(5, |_| QUICK), limit);
            assert_eq!((answers.limit.usual(), answers.limit.most_in_round()), (limit, limit));
            answers.limit.failed();
            assert_eq!(answers.limit.now(), (limit / 2).max(1));
            assert_eq!(answers.rounds(2, |_| secs(9)), limit);
        }
    }

    #[test]
    fn what_was_started_in_a_window_before_says_nothing() {
        let mut answers = Answers::new(None);
        let before = answers.limit.start(63);
        answers.round(QUICK);
        for _ in 0..1_000 {
            answers.limit.applied(before, secs(5), answers.now);
        }
        assert_eq!(answers.round(QUICK), 100);
    }
}
