//! The last value of every counter in every minute: what the next minute's growth is counted from.

use hashbrown::HashMap;

use super::intern::{ResourceId, ResourceMap};
use super::metrics::NameMap;
use crate::record::Dataset;
use crate::window::{MINUTE_US, Window, floor};

/// How far before a minute the sample may be that a counter's growth in that minute is counted from: long enough for
/// samples a minute apart of which one is late. Of what is older, nobody knows what happened in between.
pub const COUNTER_LEAD_US: i64 = 2 * MINUTE_US;

/// The times of the records of which the aggregates of `range` are made: those of counters begin a little earlier.
/// Parents of spans are another matter, see [`Margin`](super::Margin).
pub fn records_range(dataset: Dataset, range: Window) -> Window {
    match dataset {
        Dataset::Metrics if !range.is_empty() => Window::new(range.from.saturating_sub(COUNTER_LEAD_US), range.to),
        _ => range,
    }
}

/// The newest sample of each series in each minute; of several at one instant the largest.
#[derive(Default)]
pub(super) struct Counters(HashMap<Key, (i64, f64)>);

/// A series in a minute.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    minute: i64,
    series: u64,
    resource: ResourceId,
    metric: u32,
}

impl Counters {
    /// A sample of a counter.
    pub(super) fn add(&mut self, resource: ResourceId, metric: u32, series: u64, ts: i64, value: f64) {
        let key = Key {
            minute: floor(ts, MINUTE_US),
            series,
            resource,
            metric,
        };
        self.offer(key, (ts, value));
    }

    fn offer(&mut self, key: Key, (ts, value): (i64, f64)) {
        let newest = self.0.entry(key).or_insert((ts, value));
        if ts.cmp(&newest.0).then(value.total_cmp(&newest.1)).is_gt() {
            *newest = (ts, value);
        }
    }

    /// The last value of a series before `minute`, unless it is too old.
    pub(super) fn before(&self, resource: ResourceId, metric: u32, series: u64, minute: i64) -> Option<f64> {
        let mut back = (1..=COUNTER_LEAD_US / MINUTE_US).filter_map(|n| minute.checked_sub(n.checked_mul(MINUTE_US)?));
        let newest = back.find_map(|minute| {
            let key = Key {
                minute,
                series,
                resource,
                metric,
            };
            self.0.get(&key)
        });
        newest.map(|(_, value)| *value)
    }

    /// See [`Points::salt`](super::points::Points::salt).
    pub(super) fn salt(&mut self, salt: u64) {
        let salted = |(key, newest): (Key, (i64, f64))| {
            let series = key.series ^ salt;
            (Key { series, ..key }, newest)
        };
        self.0 = self.0.drain().map(salted).collect();
    }

    pub(super) fn absorb(&mut self, other: Counters, resources: &ResourceMap, names: &NameMap) {
        for (key, newest) in other.0 {
            let key = Key {
                resource: resources.map(key.resource),
                metric: names.metric(key.metric),
                ..key
            };
            self.offer(key, newest);
        }
    }
}
