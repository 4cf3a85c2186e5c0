//! Half-open time windows and their alignment. All times are UTC microseconds since the Unix epoch.

/// One minute in microseconds: the bucket of `metric_1m` and of the partials.
pub const MINUTE_US: i64 = 60_000_000;
/// Five minutes in microseconds: the bucket of `service_call_5m` and `log_pattern_5m`.
pub const BUCKET5_US: i64 = 5 * MINUTE_US;

/// The half-open interval `[from, to)`: a record belongs to it if `from <= ts < to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// Inclusive start.
    pub from: i64,
    /// Exclusive end.
    pub to: i64,
}

impl Window {
    /// `[from, to)`. `from > to` gives an empty window.
    pub fn new(from: i64, to: i64) -> Self {
        Window { from, to }
    }

    /// Whether a record at `ts` belongs to the window.
    pub fn contains(&self, ts: i64) -> bool {
        self.from <= ts && ts < self.to
    }

    /// Length in microseconds, 0 when empty.
    pub fn len(&self) -> i64 {
        (self.to - self.from).max(0)
    }

    /// Whether no timestamp belongs to the window.
    pub fn is_empty(&self) -> bool {
        self.to <= self.from
    }

    /// Starts of all aligned buckets of `size` microseconds that overlap the window, ascending.
    pub fn buckets(&self, size: i64) -> impl Iterator<Item = i64> + use<> {
        let (first, to) = (
            floor(self.from, size),
            if self.is_empty() { self.from } else { self.to },
        );
        (0..).map(move |i| first + i * size).take_while(move |b| *b < to)
    }
}

/// Largest multiple of `size` that is `<= ts`, also for negative `ts`.
///
/// ```
/// assert_eq!(engine::window::floor(-1, 60), -60);
/// ```
pub fn floor(ts: i64, size: i64) -> i64 {
    ts - ts.rem_euclid(size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_timestamp_is_in_exactly_one_bucket(ts in -4_000_000_000_000_000i64..4_000_000_000_000_000, size in 1i64..10_000_000_000) {
            let b = floor(ts, size);
            prop_assert!(Window::new(b, b + size).contains(ts));
            prop_assert_eq!(b.rem_euclid(size), 0);
        }

        #[test]
        fn buckets_cover_the_window(from in -1_000_000i64..1_000_000, len in 0i64..100_000, size in 1_000i64..50_000) {
            let w = Window::new(from, from + len);
            let b: Vec<i64> = w.buckets(size).collect();
            prop_assert!(b.windows(2).all(|p| p[1] - p[0] == size));
            if w.is_empty() {
                prop_assert!(b.is_empty());
            } else {
                prop_assert!(b[0] <= from && from < b[0] + size);
                prop_assert!(*b.last().unwrap() < w.to && w.to <= b.last().unwrap() + size);
            }
        }
    }
}
