//! Rows of `metric_histogram_1m` from what the buckets of a histogram grew by.

use std::collections::BTreeMap;

use super::output::{HistogramRow, MetricRow};
use super::points::Growth;
use super::sum;
use crate::quantile::bucket_quantile;

/// What the name of a histogram's buckets ends in.
const BUCKET: &str = "_bucket";
/// What the name of the sum of its observations ends in.
const SUM: &str = "_sum";

/// Start of the minute, index of the resource, name of the histogram, hash of its labels without the bound.
type Key<'a> = (i64, u32, &'a str, i64);

/// The histograms of one window.
#[derive(Default)]
pub(super) struct Histograms<'a>(BTreeMap<Key<'a>, Buckets<'a>>);

#[derive(Default)]
struct Buckets<'a> {
    labels: Option<&'a str>,
    growth: Vec<Growth>,
}

impl<'a> Histograms<'a> {
    /// What series of `metric` grew by; those that are no buckets are left out. `labels` are hash and text of the labels
    /// without the bound.
    pub(super) fn add(
        &mut self,
        (bucket, resource, metric): (i64, u32, &'a str),
        labels: (i64, Option<&'a str>),
        growth: &[Growth],
    ) {
        let buckets = growth.iter().filter(|series| !series.le.is_nan());
        let Some(name) = metric.strip_suffix(BUCKET).filter(|_| buckets.clone().next().is_some()) else {
            return;
        };
        let histogram = self.0.entry((bucket, resource, name, labels.0)).or_default();
        histogram.labels = labels.1;
        histogram.growth.extend(buckets);
    }

    /// The rows, sorted by their keys. `metrics` are the rows of `metric_1m` by theirs, among them the sums.
    pub(super) fn finish(self, metrics: &[MetricRow]) -> Vec<HistogramRow> {
        let row = |((bucket, resource, name, labels_hash), buckets): (Key<'a>, Buckets<'a>)| {
            let cumulative = by_bound(buckets.growth);
            let everything = cumulative.last().filter(|(bound, _)| *bound == f64::INFINITY);
            let sum_name = format!("{name}{SUM}");
            let key = (bucket, resource, sum_name.as_str(), labels_hash);
            let at = metrics.binary_search_by(|m| (m.bucket, m.resource, m.metric.as_str(), m.labels_hash).cmp(&key));
            HistogramRow {
                bucket,
                resource,
                metric: name.to_owned(),
                labels_hash,
                labels: buckets.labels.map(str::to_owned),
                count: everything.map(|(_, count)| *count),
                sum: at.ok().and_then(|i| metrics.get(i)).and_then(|m| m.increase),
                p50: bucket_quantile(0.5, &cumulative),
                p95: bucket_quantile(0.95, &cumulative),
                p99: bucket_quantile(0.99, &cumulative),
            }
        };
        self.0.into_iter().map(row).collect()
    }
}

/// The growth of all series of one bound together, by ascending bound.
fn by_bound(mut growth: Vec<Growth>) -> Vec<(f64, f64)> {
    growth.sort_by(|a, b| a.le.total_cmp(&b.le).then(a.by.total_cmp(&b.by)));
    let bounds = growth.chunk_by(|a, b| a.le == b.le);
    let total = |series: &[Growth]| {
        let bound = series.first()?.le;
        Some((bound, sum::bounded(series.iter().map(|s| s.by))))
    };
    bounds.filter_map(total).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_one_bound_add_up() {
        let of = |pairs: &[(f64, f64)]| {
            pairs
                .iter()
                .map(|(le, by)| Growth { le: *le, by: *by })
                .collect::<Vec<_>>()
        };
        let mut histograms = Histograms::default();
        let growth = of(&[
            (f64::INFINITY, 6.0),
            (0.1, 2.0),
            (0.1, 3.0),
            (f64::INFINITY, 4.0),
            (f64::NAN, 9.0),
        ]);
        histograms.add((0, 3, "latency_bucket"), (7, Some("{}")), &growth);
        histograms.add((0, 3, "latency_sum"), (7, None), &of(&[(0.1, 1.0)]));
        histograms.add((0, 3, "other_bucket"), (7, None), &of(&[(f64::NAN, 1.0)]));
        let rows = histograms.finish(&[]);
        assert_eq!(rows.len(), 1);
        let row = &rows[0];
        assert_eq!(
            (row.metric.as_str(), row.count, row.sum, row.p50),
            ("latency", Some(10.0), None, Some(0.1))
        );
        assert_eq!((row.labels_hash, row.labels.as_deref()), (7, Some("{}")));
    }
}
