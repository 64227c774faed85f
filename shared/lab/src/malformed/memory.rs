//! What an input makes a process hold: an allocator that counts, for test binaries.
//!
//! A test binary has it by `#[global_allocator] static ALLOCATOR: CountingAllocator = CountingAllocator;`. It counts while a
//! [`Span`] lasts, the allocations of all threads together; else it costs one look at a flag. It must never allocate itself.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering};

static IS_COUNTING: AtomicBool = AtomicBool::new(false);
/// Bytes held beyond those at the beginning of the span; below zero if more was given back.
static HELD: AtomicIsize = AtomicIsize::new(0);
static PEAK: AtomicIsize = AtomicIsize::new(0);
static LARGEST: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, counted.
#[derive(Debug)]
pub struct CountingAllocator;

/// Counts that `new_bytes` are held in the place of `old_bytes`.
fn count(old_bytes: usize, new_bytes: usize) {
    if !IS_COUNTING.load(Ordering::Relaxed) {
        return;
    }
    // No allocation is longer than `isize::MAX`.
    let change = new_bytes.cast_signed() - old_bytes.cast_signed();
    let held = HELD.fetch_add(change, Ordering::Relaxed) + change;
    if change > 0 {
        PEAK.fetch_max(held, Ordering::Relaxed);
        LARGEST.fetch_max(new_bytes, Ordering::Relaxed);
    }
}

// SAFETY: every call is the system allocator's own, with the arguments as they came.
#[expect(unsafe_code, reason = "an allocator is unsafe by its nature")]
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(0, layout.size());
        // SAFETY: the caller keeps to what `System` asks for too.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(0, layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(layout.size(), 0);
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(layout.size(), new_size);
        // SAFETY: as above.
        unsafe { System.realloc(place, layout, new_size) }
    }
}

/// What was held in a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// At most, beyond what was held at its beginning.
    pub peak_bytes: usize,
    /// The longest allocation.
    pub largest_bytes: usize,
}

/// A time in which allocations are counted. One at a time in a process.
#[derive(Debug)]
pub struct Span(());

impl Span {
    /// Begins to count.
    ///
    /// # Panics
    /// If another span lasts.
    pub fn begin() -> Self {
        HELD.store(0, Ordering::Relaxed);
        PEAK.store(0, Ordering::Relaxed);
        LARGEST.store(0, Ordering::Relaxed);
        assert!(!IS_COUNTING.swap(true, Ordering::SeqCst), "one span at a time is counted");
        Self(())
    }

    /// Ends, and says what was held.
    pub fn end(self) -> Held {
        IS_COUNTING.store(false, Ordering::SeqCst);
        Held {
            peak_bytes: PEAK.load(Ordering::Relaxed).try_into().unwrap_or(0),
            largest_bytes: LARGEST.load(Ordering::Relaxed),
        }
    }
}

/// A span that is given up ends too.
impl Drop for Span {
    fn drop(&mut self) {
        IS_COUNTING.store(false, Ordering::SeqCst);
    }
}
