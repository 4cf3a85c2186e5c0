//! Metric points by minute, resource, metric and label set.

use hashbrown::HashMap;

use super::counters::Counters;
use super::histograms::Histograms;
use super::intern::{Interner, ResourceId, ResourceMap};
use super::labels::LabelSets;
use super::output::{HistogramRow, MetricRow};
use super::points::{Growth, Points};
use super::sum;
use crate::quantile::percentile_cont;
use crate::record::MetricPoint;

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
    pub(super) metric: u32,
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
        Name {
            metric: self.metric(name.metric),
            labels: self.labels.get(name.labels as usize).copied().unwrap_or_default(),
        }
    }

    pub(super) fn metric(&self, metric: u32) -> u32 {
        self.metrics.get(metric as usize).copied().unwrap_or_default()
    }
}

/// The points of one window.
#[derive(Default)]
pub(super) struct Metrics {
    points: HashMap<Key, Points>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    minute: i64,
    resource: ResourceId,
    name: Name,
}

impl Metrics {
    /// Adds a point, whose value must be a number.
    pub(super) fn add(&mut self, minute: i64, resource: ResourceId, name: Name, point: &MetricPoint<'_>) {
        let key = Key { minute, resource, name };
        self.points.entry(key).or_default().add(point);
    }

    /// See [`Points::salt`].
    pub(super) fn salt(&mut self, salt: u64) {
        self.points.values_mut().for_each(|points| points.salt(salt));
    }

    pub(super) fn absorb(&mut self, other: Metrics, resources: &ResourceMap, names: &NameMap) {
        for (key, points) in other.points {
            let key = Key {
                minute: key.minute,
                resource: resources.map(key.resource),
                name: names.map(key.name),
            };
            self.points.entry(key).or_default().absorb(points);
        }
    }

    pub(super) fn resources(&self) -> impl Iterator<Item = ResourceId> {
        self.points.keys().map(|key| key.resource)
    }

    /// The rows, sorted by (bucket, resource, metric, labels_hash). `rank` gives a resource's index in the output.
    pub(super) fn finish(
        self,
        names: &Names,
        counters: &Counters,
        rank: impl Fn(ResourceId) -> u32,
    ) -> (Vec<MetricRow>, Vec<HistogramRow>) {
        let mut keyed: Vec<(Key, Points)> = self.points.into_iter().collect();
        let row_key = |k: &Key| {
            let (hash, json) = names.labels.get(k.name.labels);
            (
                (k.minute, rank(k.resource), names.metrics.get(k.name.metric), hash),
                json,
            )
        };
        keyed.sort_unstable_by(|(a, _), (b, _)| row_key(a).cmp(&row_key(b)));
        let mut rows: Vec<MetricRow> = Vec::with_capacity(keyed.len());
        let mut histograms = Histograms::default();
        let mut keyed = keyed.into_iter().peekable();
        while let Some((key, mut points)) = keyed.next() {
            let ((bucket, resource, metric, labels_hash), json) = row_key(&key);
            // Label sets that differ in their secrets only are one key once masked.
            while let Some((_, more)) = keyed.next_if(|(next, _)| row_key(next).0 == row_key(&key).0) {
                points.absorb(more);
            }
            points.settle();
            let before = |series| counters.before(key.resource, key.name.metric, series, key.minute);
            let growth: Vec<Growth> = points.growth(before).collect();
            let unbounded = names.labels.get(names.labels.unbounded(key.name.labels));
            histograms.add((bucket, resource, metric), unbounded, &growth);
            rows.extend(summary(&points, &growth).map(|row| MetricRow {
                bucket,
                resource,
                metric: metric.to_owned(),
                labels_hash,
                labels: json.map(str::to_owned),
                ..row
            }));
        }
        let histograms = histograms.finish(&rows);
        (rows, histograms)
    }
}

/// The statistics of settled points; their key is filled in by the caller. `None` if there are none.
fn summary(points: &Points, growth: &[Growth]) -> Option<MetricRow> {
    let values = points.values();
    let (min, max) = (*values.first()?, *values.last()?);
    Some(MetricRow {
        bucket: 0,
        resource: 0,
        metric: String::new(),
        labels_hash: 0,
        labels: None,
        avg: sum::mean(&values)?.clamp(min, max),
        max,
        min,
        last: points.last()?,
        p95: percentile_cont(&values, 0.95)?,
        count: i64::try_from(values.len()).unwrap_or(i64::MAX),
        increase: (!growth.is_empty()).then(|| sum::bounded(growth.iter().map(|series| series.by))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Counts, Identity};

    fn point<'a>(ts: i64, value: f64) -> MetricPoint<'a> {
        MetricPoint {
            ts,
            identity: Identity::default(),
            metric: "",
            value,
            labels: &[],
            series: 1,
            counts: Counts::No,
            le: None,
        }
    }

    fn rows(points: &[(i64, f64)]) -> Vec<MetricRow> {
        let (mut names, mut m) = (Names::default(), Metrics::default());
        for (ts, value) in points {
            m.add(0, 0, names.of("cpu", &[]), &point(*ts, *value));
        }
        m.finish(&names, &Counters::default(), |r| r).0
    }

    #[test]
    fn statistics_of_a_series() {
        let row = rows(&[(5, 3.0), (9, 2.0), (6, 1.0), (7, 10.0)]).remove(0);
        assert_eq!(
            (row.avg, row.min, row.max, row.last, row.count),
            (4.0, 1.0, 10.0, 2.0, 4)
        );
        assert!((row.p95 - 8.95).abs() < 1e-12);
        assert_eq!(row.increase, None);
        assert_eq!(rows(&[(1, 0.1), (2, 0.1), (3, 0.1)])[0].avg, 0.1);
    }

    #[test]
    fn sets_that_differ_in_a_secret_are_one_row() {
        let (mut names, mut m) = (Names::default(), Metrics::default());
        m.add(0, 0, names.of("hits", &[("password", "one")]), &point(1, 1.0));
        m.add(0, 0, names.of("hits", &[("password", "two")]), &point(2, 2.0));
        let (rows, _) = m.finish(&names, &Counters::default(), |r| r);
        assert_eq!(rows.len(), 1);
        assert_eq!(
            (rows[0].count, rows[0].last, rows[0].labels.as_deref()),
            (2, 2.0, Some(r#"{"password":"***"}"#))
        );
    }
}
