//! Counts allocations.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::process::Command;

use crate::trial::Trial;
use crate::{Row, find};

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: all calls go to the system allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Prints how many more allocations each way makes than the bare one, in the rows that have
/// one. Each way runs in its own process, so that no way sees another's trackers.
pub fn table(rows: &[Row], pick: &str) {
    println!("{:<60} {:>12}", "allocations added", "each");
    let picked = rows.iter().filter(|row| row.name.contains(pick) && row.ways[0].name != row.peer);
    for row in picked {
        let mut bare = None;
        for way in &row.ways {
            let count = counted(row.name, way.name);
            let added = count - *bare.get_or_insert(count);
            let each = added / (RUNS * row.units) as f64;
            println!("{:<60} {each:>12.3} a {}", format!("{}: {}", row.name, way.name), row.unit);
        }
    }
}

const RUNS: u64 = 100;

fn counted(row: &str, way: &str) -> f64 {
    let this = std::env::current_exe().expect("this program");
    let output = Command::new(this).args(["allocations", row, way]).output().expect("a run of it");
    let count = String::from_utf8_lossy(&output.stdout);
    count.trim().parse().unwrap_or_else(|_| {
        panic!("{row}: {way}: {count}{}", String::from_utf8_lossy(&output.stderr))
    })
}

/// Prints how often a way allocates in [`RUNS`] runs.
pub fn count(rows: &[Row], row: &str, way: &str) {
    let (_, way) = find(rows, row, way);
    let mut trial = Trial::new(way);
    trial.run(RUNS);
    let before = COUNT.get();
    trial.run(RUNS);
    let count = COUNT.get() - before;
    trial.end();
    println!("{count}");
}
