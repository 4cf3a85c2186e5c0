//! Streams with records that have no service: those are asked for the host as well. A guess only: a wrong one costs a
//! request, never a record.

use super::density::Key;
use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Streams remembered; beyond that all are forgotten.
const MAX_STREAMS: usize = 10_000;

static NEEDED: Mutex<Option<HashSet<Key>>> = Mutex::new(None);

/// Remembers that a stream has records without a service.
pub fn need(key: Key) {
    let mut needed = lock();
    let set = needed.get_or_insert_default();
    if set.len() >= MAX_STREAMS {
        set.clear();
    }
    set.insert(key);
}

/// Whether a stream had such records.
pub fn needed(key: &Key) -> bool {
    lock().as_ref().is_some_and(|set| set.contains(key))
}

fn lock() -> MutexGuard<'static, Option<HashSet<Key>>> {
    NEEDED.lock().unwrap_or_else(PoisonError::into_inner)
}
