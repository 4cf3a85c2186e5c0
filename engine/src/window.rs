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

/// A range cut into contiguous windows of one length. There is always at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    range: Window,
    length: i64,
}

impl Windows {
    /// Cuts `range` into windows of `length` microseconds, of which the last is shorter if the range is no whole number
    /// of them. A range that is empty, or a length that is not positive, gives one window: the range.
    pub fn new(range: Window, length: i64) -> Self {
        let length = if length > 0 { length } else { range.len() };
        Windows {
            range,
            length: length.max(1),
        }
    }

    /// The range as a whole.
    pub fn range(&self) -> Window {
        self.range
    }

    /// How many windows there are.
    pub fn count(&self) -> usize {
        let len = self.range.len();
        let count = len / self.length + i64::from(len % self.length > 0);
        usize::try_from(count).unwrap_or(usize::MAX).max(1)
    }

    /// The place of the window that a record at `ts` belongs to, counted from 0; `None` outside the range.
    pub fn index(&self, ts: i64) -> Option<usize> {
        if !self.range.contains(ts) {
            return None;
        }
        let offset = ts - self.range.from;
        // Most often there is one window, and a division would cost more than the rest.
        if offset < self.length {
            return Some(0);
        }
        usize::try_from(offset / self.length).ok()
    }

    /// The windows, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Window> + use<> {
        let Windows { range, length } = *self;
        let starts = (0..self.count() as i64).map(move |i| range.from.saturating_add(length.saturating_mul(i)));
        starts.map(move |from| Window::new(from, from.saturating_add(length).min(range.to)))
    }
}

impl From<Window> for Windows {
    /// The window alone.
    fn from(window: Window) -> Self {
        Windows::new(window, window.len())
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

        #[test]
        fn windows_cover_the_range_without_overlap(from in -1_000i64..1_000, len in 0i64..500, length in -5i64..200, ts in -1_500i64..2_000) {
            let range = Window::new(from, from + len);
            let windows = Windows::new(range, length);
            let all: Vec<Window> = windows.iter().collect();
            prop_assert_eq!(all.len(), windows.count());
            prop_assert_eq!((all[0].from, all[all.len() - 1].to), (range.from, range.to));
            prop_assert!(all.windows(2).all(|p| p[0].to == p[1].from && p[0].len() == length && p[1].len() <= length));
            prop_assert_eq!(windows.index(ts), all.iter().position(|w| w.contains(ts)));
            prop_assert_eq!(Windows::from(range).iter().collect::<Vec<_>>(), [range]);
        }
    }
}
