//! Metric points by minute, resource, metric and label set.

use hashbrown::HashMap;

use super::intern::{Interner, ResourceId, ResourceMap};
use super::labels::LabelSets;
use super::output::MetricRow;
use crate::quantile::percentile_cont;

/// Metric names and label sets as numbers, for all windows.
#[derive(Default)]
pub(super) struct Names {
    metrics: Interner,
    labels: LabelSets,
}

/// How the numbers of one [`Names`] translate to those of another.
pub(super) struct NameMap {
    metrics: Vec<u32>,
    labels: Vec<u32>,
}

/// A metric and its label set.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Name {
    metric: u32,
    labels: u32,
}

impl Names {
    pub(super) fn of(&mut self, metric: &str, labels: &[(&str, &str)]) -> Name {
        Name {
            metric: self.metrics.intern(metric),
            labels: self.labels.intern(labels),
        }
    }

    pub(super) fn absorb(&mut self, other: Names) -> NameMap {
        NameMap {
            metrics: self.metrics.absorb(&other.metrics),
            labels: self.labels.absorb(other.labels),
        }
    }
}

impl NameMap {
    fn map(&self, name: Name) -> Name {
        let at = |map: &[u32], id: u32| map.get(id as usize).copied().unwrap_or_default();
        Name {
            metric: at(&self.metrics, name.metric),
            labels: at(&self.labels, name.labels),
        }
    }
}

/// The points of one window.
#[derive(Default)]
pub(super) struct Metrics {
    series: HashMap<Key, Series>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    minute: i64,
    resource: ResourceId,
    name: Name,
}

/// All points of one key. Keeping them makes every statistic exact, at 8 bytes a point.
#[derive(Default)]
struct Series {
    values: Vec<f64>,
    last: Option<(i64, f64)>,
}

impl Series {
    /// The newest value; of several at one instant the largest, so the order of arrival does not matter.
    fn offer_last(&mut self, ts: i64, value: f64) {
        let newer = |(t, v): (i64, f64)| ts.cmp(&t).then(value.total_cmp(&v)).is_gt();
        if self.last.is_none_or(newer) {
            self.last = Some((ts, value));
        }
    }

    fn absorb(&mut self, other: Series) {
        self.values.extend_from_slice(&other.values);
        if let Some((ts, value)) = other.last {
            self.offer_last(ts, value);
        }
    }
}

impl Metrics {
    /// Adds a point; `value` must be finite.
    pub(super) fn add(&mut self, minute: i64, resource: ResourceId, name: Name, ts: i64, value: f64) {
        let key = Key { minute, resource, name };
        let series = self.series.entry(key).or_default();
        series.values.push(value);
        series.offer_last(ts, value);
    }

    pub(super) fn absorb(&mut self, other: Metrics, resources: &ResourceMap, names: &NameMap) {
        for (key, series) in other.series {
            let key = Key {
                minute: key.minute,
                resource: resources.map(key.resource),
                name: names.map(key.name),
            };
            self.series.entry(key).or_default().absorb(series);
        }
    }

    pub(super) fn resources(&self) -> impl Iterator<Item = ResourceId> {
        self.series.keys().map(|key| key.resource)
    }

    /// The rows, sorted by (bucket, resource, metric, labels_hash). `rank` gives a resource's index in the output.
    pub(super) fn finish(self, names: &Names, rank: impl Fn(ResourceId) -> u32) -> Vec<MetricRow> {
        let mut series: Vec<(Key, Series)> = self.series.into_iter().collect();
        let row_key = |k: &Key| {
            let (hash, json) = names.labels.get(k.name.labels);
            (
                (k.minute, rank(k.resource), names.metrics.get(k.name.metric), hash),
                json,
            )
        };
        series.sort_unstable_by(|(a, _), (b, _)| row_key(a).cmp(&row_key(b)));
        let mut rows: Vec<MetricRow> = Vec::with_capacity(series.len());
        let mut series = series.into_iter().peekable();
        while let Some((key, mut points)) = series.next() {
            let ((bucket, resource, metric, labels_hash), json) = row_key(&key);
            // Label sets that differ in their secrets only are one key once masked.
            while let Some((_, more)) = series.next_if(|(next, _)| row_key(next).0 == row_key(&key).0) {
                points.absorb(more);
            }
            let metric = metric.to_owned();
            let labels = json.map(str::to_owned);
            rows.extend(summary(points).map(|s| MetricRow {
                bucket,
                resource,
                metric,
                labels_hash,
                labels,
                ..s
            }));
        }
        rows
    }
}

/// The statistics of a series; its key is filled in by the caller. `None` if it has no points.
fn summary(series: Series) -> Option<MetricRow> {
    let mut values = series.values;
    values.sort_unstable_by(f64::total_cmp);
    let (min, max) = (*values.first()?, *values.last()?);
    Some(MetricRow {
        bucket: 0,
        resource: 0,
        metric: String::new(),
        labels_hash: 0,
        labels: None,
        avg: mean(&values)?.clamp(min, max),
        max,
        min,
        last: series.last?.1,
        p95: percentile_cont(&values, 0.95)?,
        count: i64::try_from(values.len()).unwrap_or(i64::MAX),
    })
}

/// The mean of ascending values: a compensated sum (Neumaier, ZAMM 54, 1974) in that order, so it depends on the values
/// only and is right to the last digits even if large ones cancel out.
fn mean(sorted: &[f64]) -> Option<f64> {
    if sorted.is_empty() {
        return None;
    }
    let n = sorted.len() as f64;
    let sum = compensated_sum(sorted.iter().copied());
    // The sum of finite values may still overflow; then divide first.
    Some(if sum.is_finite() {
        sum / n
    } else {
        compensated_sum(sorted.iter().map(|v| v / n))
    })
}

fn compensated_sum(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut lost) = (0.0f64, 0.0f64);
    for value in values {
        let next = sum + value;
        lost += if sum.abs() >= value.abs() {
            (sum - next) + value
        } else {
            (value - next) + sum
        };
        sum = next;
    }
    sum + lost
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(points: &[(i64, f64)]) -> Vec<MetricRow> {
        let (mut names, mut m) = (Names::default(), Metrics::default());
        for (ts, value) in points {
            m.add(0, 0, names.of("cpu", &[]), *ts, *value);
        }
        m.finish(&names, |r| r)
    }

    #[test]
    fn statistics_of_a_series() {
        let row = rows(&[(5, 3.0), (9, 1.0), (9, 2.0), (7, 10.0)]).remove(0);
        assert_eq!(
            (row.avg, row.min, row.max, row.last, row.count),
            (4.0, 1.0, 10.0, 2.0, 4)
        );
        assert!((row.p95 - 8.95).abs() < 1e-12);
    }

    #[test]
    fn the_mean_survives_cancellation_and_overflow() {
        assert_eq!(mean(&[-1e100, 1.0, 1.0, 1e100]), Some(0.5));
        assert_eq!(mean(&[f64::MAX, f64::MAX]), Some(f64::MAX));
        assert_eq!(rows(&[(1, 0.1), (2, 0.1), (3, 0.1)])[0].avg, 0.1);
    }

    #[test]
    fn sets_that_differ_in_a_secret_are_one_row() {
        let (mut names, mut m) = (Names::default(), Metrics::default());
        m.add(0, 0, names.of("hits", &[("password", "one")]), 1, 1.0);
        m.add(0, 0, names.of("hits", &[("password", "two")]), 2, 2.0);
        let rows = m.finish(&names, |r| r);
        assert_eq!(rows.len(), 1);
        assert_eq!(
            (rows[0].count, rows[0].last, rows[0].labels.as_deref()),
            (2, 2.0, Some(r#"{"password":"***"}"#))
        );
    }
}
