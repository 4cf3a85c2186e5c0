//! How many rows a stream had the last time, so that a busy stream is asked for in slices from the start and no full
//! page has to be thrown away. A guess only: a wrong one costs requests, never rows.

use engine::record::Dataset;
use engine::window::Window;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes a page is planned to have: enough to make round trips cheap, little enough that one page is soon there, and that
/// what it comes to is soon merged.
const PAGE_BYTES: f64 = 4e6;
/// Share of `page_rows` that a page is planned to have: rows are never spread evenly.
const FILL: f64 = 0.7;
/// Most slices planned; what is still full is cut later.
const MAX_SLICES: f64 = 4_096.0;
/// Streams remembered; beyond that all are forgotten.
const MAX_STREAMS: usize = 10_000;

/// What a search is about: base URL with organization, dataset, stream.
pub type Key = (String, Dataset, String);

/// Rows and bytes of a stream in a stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seen {
    pub rows: u64,
    pub bytes: u64,
    /// Microseconds.
    pub span_us: i64,
}

impl Seen {
    /// Adds what another page or thread saw.
    pub fn add(&mut self, other: Seen) {
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.span_us = self.span_us.saturating_add(other.span_us);
    }
}

static LAST: Mutex<Option<HashMap<Key, Seen>>> = Mutex::new(None);

/// Remembers what a stream had.
pub fn remember(key: Key, seen: Seen) {
    let mut last = lock();
    let map = last.get_or_insert_default();
    if map.len() >= MAX_STREAMS {
        map.clear();
    }
    map.insert(key, seen);
}

/// In how many slices to ask for `range`; nothing for a stream never seen.
pub fn slices(key: &Key, range: Window, page_rows: usize) -> Option<u64> {
    let seen = lock().as_ref().and_then(|map| map.get(key).copied());
    seen.map(|seen| plan(seen, range, page_rows))
}

/// In how many slices to ask for `range` of a stream that has as much at other times as was `seen`.
pub fn plan(seen: Seen, range: Window, page_rows: usize) -> u64 {
    if seen.span_us <= 0 || seen.rows == 0 {
        return 1;
    }
    let share = range.len() as f64 / seen.span_us as f64;
    let rows = seen.rows as f64 * share / (page_rows as f64 * FILL);
    let bytes = seen.bytes as f64 * share / PAGE_BYTES;
    rows.max(bytes).ceil().clamp(1.0, MAX_SLICES) as u64
}

fn lock() -> MutexGuard<'static, Option<HashMap<Key, Seen>>> {
    LAST.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_by_rows_and_by_bytes() {
        let minute = Window::new(0, 60_000_000);
        let seen = |rows, bytes| Seen {
            rows,
            bytes,
            span_us: 60_000_000,
        };
        assert_eq!(plan(seen(5_000, 1_000_000), minute, 50_000), 1);
        assert_eq!(plan(seen(100_000, 1_000_000), minute, 50_000), 3);
        assert_eq!(plan(seen(1_000, 10_000_000), minute, 50_000), 3);
        assert_eq!(plan(seen(5_000, 1_000_000), Window::new(0, 600_000_000), 50_000), 3);
        assert_eq!(plan(seen(u64::MAX, u64::MAX), minute, 1), 4096);
        assert_eq!(plan(Seen::default(), minute, 1), 1);
    }

    #[test]
    fn nothing_is_planned_for_unknown_streams() {
        let key = |n: &str| ("http://density.test".to_string(), Dataset::Logs, n.to_string());
        remember(
            key("a"),
            Seen {
                rows: 1_000_000,
                bytes: 1,
                span_us: 10,
            },
        );
        assert_eq!(slices(&key("b"), Window::new(0, 10), 50_000), None);
        assert!(slices(&key("a"), Window::new(0, 10), 50_000) > Some(1));
    }
}
