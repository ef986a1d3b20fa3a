//! The seeds of a simulation, its runtime, and what it has come across.

use std::collections::BTreeMap;
use std::sync::Mutex;

/// How often each kind of event came up.
pub(crate) type Counts = BTreeMap<&'static str, u64>;

/// How many seeds run by default.
const DEFAULT_SEEDS: u64 = 200;
/// With at least this many seeds, everything that is expected must come up, and this often in
/// 10,000 of them.
const SEEDS_TO_COVER_ALL: u64 = 1_000;
const OFTEN: u64 = 100;

/// A runtime with paused time, on which this seed decides everything.
pub(crate) fn paused_runtime(seed: u64) -> tokio::runtime::Runtime {
    // Seeds the recorder's jitter.
    fastrand::seed(seed);
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// The seeds to run: `SEED` alone, or the first `SEEDS`.
pub(crate) fn seeds() -> Vec<u64> {
    match number("SEED") {
        Some(seed) => vec![seed],
        None => (0..number("SEEDS").unwrap_or(DEFAULT_SEEDS)).collect(),
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Runs all seeds, each on a runtime of its own, and prints and returns what came up.
pub(crate) fn run_seeds<F: Future<Output = Result<Counts, String>>>(
    expected: &[&'static str],
    run: impl Fn(u64) -> F + Sync,
) -> Counts {
    let seeds = seeds();
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (all, failed) = (Mutex::new(Counts::new()), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for part in 0..threads {
            let (seeds, all, failed, run) = (&seeds, &all, &failed, &run);
            scope.spawn(move || {
                for seed in seeds.iter().skip(part).step_by(threads) {
                    match paused_runtime(*seed).block_on(run(*seed)) {
                        Ok(counts) => add(&mut all.lock().unwrap(), counts),
                        Err(error) => drop(failed.lock().unwrap().insert(*seed, error)),
                    }
                }
            });
        }
    });
    let (all, failed) = (all.into_inner().unwrap(), failed.into_inner().unwrap());
    print(&all);
    let first: Vec<_> =
        failed.iter().take(5).map(|(seed, error)| format!("SEED={seed}: {error}")).collect();
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), seeds.len(), first.join("\n"));
    assert_covered(&all, expected.iter().copied(), seeds.len());
    all
}

pub(crate) fn add(all: &mut Counts, counts: Counts) {
    for (what, count) in counts {
        *all.entry(what).or_default() += count;
    }
}

#[allow(clippy::print_stdout, reason = "part of the output of a test")]
pub(crate) fn print(counts: &Counts) {
    // At once, since other simulations print at the same time.
    let lines: String =
        counts.iter().map(|(what, count)| format!("{count:>8}  {what}\n")).collect();
    print!("{lines}");
}

/// With enough seeds, each of these must have come up often.
pub(crate) fn assert_covered(
    counts: &Counts,
    expected: impl Iterator<Item = &'static str>,
    seeds: usize,
) {
    let seeds = seeds as u64;
    if seeds >= SEEDS_TO_COVER_ALL {
        for what in expected {
            let count = counts.get(what).copied().unwrap_or(0);
            assert!(count * 10_000 >= OFTEN * seeds, "`{what}` came up only {count} times");
        }
    }
}

/// With the default number of seeds or more, each of these must have come up at least so often in 2,000
/// seeds: for what is the point of a simulation.
pub(crate) fn assert_common(counts: &Counts, expected: &[&'static str]) {
    let seeds = seeds().len() as u64;
    if seeds >= DEFAULT_SEEDS {
        for what in expected {
            let count = counts.get(what).copied().unwrap_or(0);
            assert!(count * 2_000 >= OFTEN * seeds, "`{what}` came up only {count} times");
        }
    }
}
