//! Counts allocations.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use crate::Row;
use crate::trial::Trial;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: everything is the system allocator's.
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

/// Prints how often each way allocates, more than the bare one does, in the rows that have one.
pub fn table(rows: &[Row]) {
    println!("{:<48} {:>12}", "allocations added", "each");
    for row in rows.iter().filter(|row| row.ways[0].name != row.peer) {
        let mut bare = None;
        for way in &row.ways {
            let mut trial = Trial::new(way);
            trial.run(100);
            let before = COUNT.get();
            trial.run(100);
            let count = COUNT.get() - before;
            trial.end();
            let added = count as f64 - *bare.get_or_insert(count) as f64;
            let each = added / (100 * row.units) as f64;
            println!("{:<48} {each:>12.3} a {}", format!("{}: {}", row.name, way.name), row.unit);
        }
    }
}
