//! How many bytes of this process are allocated. The resident set would not do: it also depends on what
//! the allocator keeps for later.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, counted.
pub struct Counting;

// SAFETY: the system's allocator does everything; only a number is counted beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract of this method, which is that of the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above, and the pointer is from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// The bytes that are allocated now, if [`Counting`] is the global allocator.
pub fn allocated() -> usize {
    ALLOCATED.load(Relaxed)
}
