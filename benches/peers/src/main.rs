//! The cost of the layer, compared with other layers that observe calls, and with none.
//!
//! `cargo bench` prints a table of times; a word after `--` selects rows, e.g. `-- sse`. The
//! ways of a row take turns, and each result is the median of many rounds. What counts is what
//! a way adds to the bare service. Times vary between runs, ratios less, and instructions
//! hardly: `./instructions` counts those under valgrind.
//!
//! - `-- allocations` counts the allocations of each way for a call and for a chunk;
//! - `-- list` lists the rows and the ways, `-- run ROW WAY N` runs one alone N times, for a
//!   profiler.
//!
//! Criterion and divan do not fit: they run one way to its end before the next, so that other
//! load on the machine distorts one side of a comparison.
//!
//! In the rows of calls the recorder does not run, since they measure the path of the call.
//! Calls never wait for a write, whose cost has a row of its own.

mod allocations;
mod by_hand;
mod calls;
mod contention;
mod floor;
mod peers;
mod reqwests;
mod trial;
mod workflow;

use std::time::Duration;

use trial::Trial;

/// Runs something this many times. Returns the part of the time that counts, if not all.
pub type Runner = Box<dyn FnMut(u64) -> Option<Duration>>;

/// One thing measured in several ways. The first way is the bare one.
pub struct Row {
    pub name: &'static str,
    /// What the results are per, with `units` of them in each run.
    pub unit: &'static str,
    pub units: u64,
    /// How many runs make a round long enough to time.
    pub runs: u64,
    /// The way that the others are compared with, once the bare one is subtracted.
    pub peer: &'static str,
    pub ways: Vec<Way>,
}

pub struct Way {
    pub name: &'static str,
    pub make: Box<dyn Fn() -> Runner>,
}

impl Way {
    pub fn new(name: &'static str, make: impl Fn() -> Runner + 'static) -> Self {
        Self { name, make: Box::new(make) }
    }
}

fn rows() -> Vec<Row> {
    [calls::rows(), reqwests::rows(), contention::rows(), vec![workflow::row()]]
        .into_iter()
        .flatten()
        .collect()
}

fn main() {
    // Cargo adds `--bench`.
    let arguments: Vec<_> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["list"] => {
            for row in rows() {
                for way in &row.ways {
                    let (name, unit, peer) = (row.name, row.unit, row.peer);
                    println!("{name}\t{}\t{unit}\t{}\t{peer}", way.name, row.units);
                }
            }
        }
        ["run", row, way, times] => {
            let times = times.parse().expect("a number of runs");
            run(row, way, times);
        }
        ["allocations"] => allocations::table(&rows(), ""),
        ["allocations", pick] => allocations::table(&rows(), pick),
        ["allocations", row, way] => allocations::count(&rows(), row, way),
        [] => rows().iter().for_each(time),
        [pick] => rows().iter().filter(|row| row.name.contains(pick)).for_each(time),
        _ => eprintln!("usage: [ROW | allocations | list | run ROW WAY N]"),
    }
}

fn run(row: &str, way: &str, times: u64) {
    let rows = rows();
    let (_, way) = find(&rows, row, way);
    // One-off costs cancel out, since the script subtracts the counts of two numbers of runs.
    let mut trial = Trial::new(way);
    trial.run(times);
    trial.end();
}

/// Finds a row and one of its ways by name.
fn find<'a>(rows: &'a [Row], row: &str, way: &str) -> (&'a Row, &'a Way) {
    let row = rows.iter().find(|known| known.name == row).expect("a row of the list");
    (row, row.ways.iter().find(|known| known.name == way).expect("a way of the list"))
}

/// Prints what each way of a row adds to the bare one.
fn time(row: &Row) {
    const ROUNDS: usize = 41;
    let mut times = vec![Vec::with_capacity(ROUNDS); row.ways.len()];
    for _ in 0..ROUNDS {
        for (way, times) in row.ways.iter().zip(&mut times) {
            let mut trial = Trial::new(way);
            trial.run(row.runs / 10 + 1);
            times.push(trial.run(row.runs));
            trial.end();
        }
    }
    let each = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times[ROUNDS / 2].as_nanos() as f64 / (row.runs * row.units) as f64
    };
    let times: Vec<f64> = times.iter_mut().map(each).collect();
    let peer = row.ways.iter().position(|way| way.name == row.peer).expect("the peer is a way");
    let base = if peer == 0 { 0.0 } else { times[0] };
    println!("\n{:<48} {:>10} {:>10} {:>8}", row.name, "ns", "added", "ratio");
    for (way, time) in row.ways.iter().zip(&times) {
        let added = time - base;
        let ratio = added / (times[peer] - base);
        println!("  {:<46} {time:>10.1} {added:>10.1} {ratio:>7.2}×", way.name);
    }
}
