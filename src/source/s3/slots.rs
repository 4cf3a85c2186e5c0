//! How many requests are under way at once.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// So many slots; who finds none waits.
pub struct Slots {
    free: Mutex<usize>,
    changed: Condvar,
}

/// A slot, given back when it is dropped.
pub struct Slot<'a>(&'a Slots);

impl Slots {
    /// At least one.
    pub fn new(slots: usize) -> Slots {
        Slots {
            free: Mutex::new(slots.max(1)),
            changed: Condvar::new(),
        }
    }

    /// Those free at this moment.
    pub fn free(&self) -> usize {
        *self.lock()
    }

    /// Waits for a slot: as long as the requests that have them, which end by their own time limit at the latest.
    pub fn take(&self) -> Slot<'_> {
        let mut free = self.lock();
        while *free == 0 {
            free = self.changed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        Slot(self)
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        // Nothing that could panic is done under the lock.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *self.0.lock() += 1;
        self.0.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn no_more_than_the_slots_are_taken_at_once() {
        let (slots, taken) = (Slots::new(3), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let _slot = slots.take();
                        assert!(taken.fetch_add(1, Ordering::SeqCst) < 3);
                        std::thread::yield_now();
                        taken.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(slots.free(), 3);
        assert_eq!(Slots::new(0).free(), 1);
    }
}
