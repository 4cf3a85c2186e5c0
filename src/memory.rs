//! Counts what Rust code has allocated in this process, so that a run can be stopped at its budget.
//!
//! PostgreSQL's own allocator does not see these bytes: decode buffers and aggregates live on the Rust heap.
//!
//! The main thread looks at the count while helper threads work, and tells them to end when it is over the budget. That
//! does not help against a single step that wants everything at once, such as a text of a template that doubles itself:
//! an allocation that fails aborts the process, and PostgreSQL then restarts every session of the server. So a helper
//! thread that would go far beyond the budget does not get its memory: it stops there for good, and the main thread says
//! why. What it holds is given back when the process ends.
//!
//! It may hold locks, too: the sink of its siblings, a cache of the process, the queue of a pool. So nobody waits for it:
//! the main thread takes no such lock and joins no helper, it gives the work up as soon as it sees that one has stopped;
//! siblings that wait for a lock wait until the process ends. And no later work of the process takes such a lock: a runner
//! ends, and a session refuses all but extractions of topology (`jobs::fetch`), which share nothing but expressions that are
//! made before. The allocator itself holds no lock where it stops.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The system's allocator with a counter of live bytes and a bound for helper threads.
pub struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
/// Helper threads may not bring [`LIVE`] above this.
static BOUND: AtomicUsize = AtomicUsize::new(usize::MAX);
/// Threads that stopped for good.
static STOPPED: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static IS_MAIN: Cell<bool> = const { Cell::new(false) };
}

/// Bytes the Rust heap of this process holds now.
pub fn live_bytes() -> usize {
    LIVE.load(Ordering::Relaxed)
}

/// Helper threads that stopped because they wanted too much. Never falls: the process should end when it can.
pub fn stopped_threads() -> usize {
    STOPPED.load(Ordering::Acquire)
}

/// The calling thread is the backend's own: it has no bound, since nobody could tell of its end.
pub fn this_is_the_main_thread() {
    IS_MAIN.set(true);
}

/// Sets the bound of helper threads for a budget in bytes: high enough that one that looks at its flag between two steps
/// ends by itself.
pub fn bound_for(budget: usize) {
    BOUND.store(budget.saturating_mul(2).saturating_add(64 << 20), Ordering::Relaxed);
}

/// No helper thread gets memory until the next [`bound_for`]: those that do not look at their flag stop where they are.
pub fn halt_helpers() {
    BOUND.store(0, Ordering::Relaxed);
}

/// Counts bytes that are about to be allocated.
fn reserve(bytes: usize) {
    let before = LIVE.fetch_add(bytes, Ordering::Relaxed);
    if before.saturating_add(bytes) > BOUND.load(Ordering::Relaxed) && !is_main() {
        LIVE.fetch_sub(bytes, Ordering::Relaxed);
        stop_here();
    }
}

/// What `allocated` says, unless the system has no memory and a helper thread asked.
fn checked(allocated: *mut u8) -> *mut u8 {
    if allocated.is_null() && !is_main() {
        stop_here();
    }
    allocated
}

fn is_main() -> bool {
    // A thread that is ending has no such variable any more.
    IS_MAIN.try_with(Cell::get).unwrap_or(false)
}

/// The calling thread does nothing any more. It may not end: frames above it hold values that nobody could drop.
#[cold]
fn stop_here() -> ! {
    STOPPED.fetch_add(1, Ordering::Release);
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

// SAFETY: every call is passed on to `System` unchanged, or does not return; what is counted is memory of its own. Neither
// the counters nor a thread-local without destructor allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        reserve(layout.size());
        // SAFETY: the caller keeps the contract of GlobalAlloc, which is System's.
        checked(unsafe { System.alloc(layout) })
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above; `ptr` came from `alloc` or `realloc` below, that is from System.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        reserve(layout.size());
        // SAFETY: as above.
        checked(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        reserve(new_size);
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        checked(unsafe { System.realloc(ptr, layout, new_size) })
    }
}
