//! How many records a source has now, by window: what the job `reconcile` compares with what was read.

use super::error::SourceError;
use super::fetch::{reader, seam};
use super::{Context, Source};
use engine::record::Dataset;
use engine::window::{Window, Windows};
use std::collections::BTreeMap;

/// Records of each window by dataset and stream; the stream is empty where a source does not tell its streams apart.
/// What has no records is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<Window, Streams>);

/// Records by dataset and stream.
pub type Streams = BTreeMap<(Dataset, String), u64>;

impl Counts {
    /// Adds records of a window.
    pub fn add(&mut self, window: Window, dataset: Dataset, stream: &str, records: u64) {
        if records > 0 {
            let streams = self.0.entry(window).or_default();
            *streams.entry((dataset, stream.to_string())).or_default() += records;
        }
    }

    /// Adds records of each window, in the order of the windows.
    pub fn add_all(&mut self, windows: Windows, dataset: Dataset, stream: &str, records: &[u64]) {
        for (window, records) in windows.iter().zip(records) {
            self.add(window, dataset, stream, *records);
        }
    }

    /// Adds what another part of the source has.
    pub fn merge(&mut self, other: Counts) {
        for (window, streams) in other.0 {
            for ((dataset, stream), records) in streams {
                self.add(window, dataset, &stream, records);
            }
        }
    }

    /// The records of a range of whole windows.
    pub fn of(&self, range: Window) -> Streams {
        let mut sum = Streams::new();
        let first = Window::new(range.from, range.from);
        for (_, streams) in self.0.range(first..).take_while(|(window, _)| window.to <= range.to) {
            for (key, records) in streams {
                *sum.entry(key.clone()).or_default() += records;
            }
        }
        sum
    }
}

/// What a window's records differ in from those that were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Records that are at the source and were not read.
    pub late: u64,
    /// Records that were read and are gone from the source.
    pub vanished: u64,
}

impl Difference {
    /// Compares stream by stream; by dataset where either side does not name its streams.
    pub fn between(read: &Streams, now: &Streams) -> Difference {
        let mut difference = Difference::default();
        for dataset in Dataset::ALL {
            let unnamed = [read, now].iter().any(|s| s.contains_key(&(dataset, String::new())));
            let by_stream = |streams: &Streams| {
                let mut sums: BTreeMap<String, u64> = BTreeMap::new();
                for ((_, stream), records) in streams.iter().filter(|((d, _), _)| *d == dataset) {
                    let name = if unnamed { String::new() } else { stream.clone() };
                    *sums.entry(name).or_default() += records;
                }
                sums
            };
            let (read, now) = (by_stream(read), by_stream(now));
            let of = |streams: &BTreeMap<String, u64>, name: &str| streams.get(name).copied().unwrap_or(0);
            for name in read.keys().chain(now.keys().filter(|name| !read.contains_key(*name))) {
                difference.late += of(&now, name).saturating_sub(of(&read, name));
                difference.vanished += of(&read, name).saturating_sub(of(&now, name));
            }
        }
        difference
    }

    /// Whether the window holds what the source has.
    pub fn is_none(&self) -> bool {
        *self == Difference::default()
    }
}

/// Counts the records of `windows`, good and bad ones, as the source has them now; those that do not say when they
/// were are in no window. Reads no records: an API counts by itself, of objects the footers or the times are read
/// (lines of text have to be read as they are). A bucket with a fallback is asked by the door by which each window
/// would be read now.
///
/// # Errors
/// As [`fetch()`](super::fetch()).
pub fn count(source: &Source, windows: Windows, ctx: &Context) -> Result<Counts, SourceError> {
    let range = windows.range();
    let middle = seam(source, windows).unwrap_or(range.from);
    let mut counts = Counts::default();
    for part in [Window::new(range.from, middle), Window::new(middle, range.to)] {
        if !part.is_empty() {
            let windows = Windows::new(part, windows.length());
            counts.merge(reader(source, windows, ctx)?.counts()?);
        }
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn streams(of: &[(Dataset, &str, u64)]) -> Streams {
        of.iter().map(|(d, s, n)| ((*d, s.to_string()), *n)).collect()
    }

    #[test]
    fn streams_are_compared_one_by_one_where_both_sides_name_them() {
        use Dataset::{Logs, Metrics};
        let read = streams(&[(Logs, "a", 5), (Logs, "b", 5), (Metrics, "cpu", 1)]);
        let now = streams(&[(Logs, "a", 7), (Logs, "c", 1), (Metrics, "cpu", 1)]);
        assert_eq!(Difference::between(&read, &now), Difference { late: 3, vanished: 5 });
        let unnamed = streams(&[(Logs, "", 10), (Metrics, "cpu", 1)]);
        assert!(Difference::between(&read, &unnamed).is_none());
        assert_eq!(Difference::between(&unnamed, &now), Difference { late: 0, vanished: 2 });
    }

    #[test]
    fn a_range_is_the_sum_of_its_windows() {
        let windows = Windows::new(Window::new(0, 40), 10);
        let mut counts = Counts::default();
        counts.add_all(windows, Dataset::Logs, "a", &[1, 2, 0, 4]);
        assert_eq!(counts.of(Window::new(10, 40)), streams(&[(Dataset::Logs, "a", 6)]));
        assert_eq!(counts.of(Window::new(20, 30)), Streams::new());
    }

    proptest! {
        #[test]
        fn a_difference_is_none_only_where_nothing_differs(read in prop::collection::btree_map("[a-c]", 1u64..5, 0..3),
                                                           now in prop::collection::btree_map("[a-c]", 1u64..5, 0..3)) {
            let of = |m: &BTreeMap<String, u64>| m.iter().map(|(k, v)| ((Dataset::Traces, k.clone()), *v)).collect();
            let d = Difference::between(&of(&read), &of(&now));
            prop_assert_eq!(d.is_none(), read == now);
            let (a, b): (u64, u64) = (read.values().sum(), now.values().sum());
            prop_assert_eq!(a + d.late, b + d.vanished);
        }
    }
}
