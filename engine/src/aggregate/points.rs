//! The samples of one row of `metric_1m`, and what the series among them grew by.

use super::sum;
use crate::record::{Counts, MetricPoint};

/// One sample. Keeping all of them makes every statistic exact.
#[derive(Clone, Copy, Debug)]
struct Point {
    series: u64,
    ts: i64,
    value: f64,
    counts: Counts,
    /// NaN for none.
    le: f64,
}

/// Samples of any number of series.
#[derive(Default)]
pub(super) struct Points(Vec<Point>);

/// What one series grew by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Growth {
    /// The upper bound of the bucket that the series counts, NaN for none.
    pub(super) le: f64,
    pub(super) by: f64,
}

impl Points {
    pub(super) fn add(&mut self, point: &MetricPoint<'_>) {
        self.0.push(Point {
            series: point.series,
            ts: point.ts,
            value: point.value,
            counts: point.counts,
            le: point.le.unwrap_or(f64::NAN),
        });
    }

    pub(super) fn absorb(&mut self, other: Points) {
        self.0.extend(other.0);
    }

    /// The series now are those of another source than those of the same numbers elsewhere.
    pub(super) fn salt(&mut self, salt: u64) {
        for point in &mut self.0 {
            point.series ^= salt;
        }
    }

    /// Puts the samples into the order of series and time. Of several of one series and instant one is kept, the
    /// largest: they are one sample that was delivered more than once.
    pub(super) fn settle(&mut self) {
        self.0.sort_unstable_by(|a, b| {
            let instant = (a.series, a.ts).cmp(&(b.series, b.ts));
            instant
                .then_with(|| b.value.total_cmp(&a.value))
                .then_with(|| (a.counts as u8).cmp(&(b.counts as u8)))
                .then_with(|| a.le.total_cmp(&b.le))
        });
        self.0.dedup_by(|b, a| (a.series, a.ts) == (b.series, b.ts));
    }

    /// The values, ascending.
    pub(super) fn values(&self) -> Vec<f64> {
        let mut values: Vec<f64> = self.0.iter().map(|point| point.value).collect();
        values.sort_unstable_by(f64::total_cmp);
        values
    }

    /// The newest value; of several at one instant the largest, so the order of arrival does not matter.
    pub(super) fn last(&self) -> Option<f64> {
        let newest = |a: &&Point, b: &&Point| a.ts.cmp(&b.ts).then(a.value.total_cmp(&b.value));
        self.0.iter().max_by(newest).map(|point| point.value)
    }

    /// What each counting series of the settled samples grew by, in the order of their numbers. `before` is the last
    /// value of a series before these.
    pub(super) fn growth(&self, before: impl Fn(u64) -> Option<f64>) -> impl Iterator<Item = Growth> {
        let series = self.0.chunk_by(|a, b| a.series == b.series);
        series.filter_map(move |points| {
            let first = points.iter().find(|point| point.counts != Counts::No)?;
            Some(Growth {
                le: first.le,
                by: grown(points, before(first.series)),
            })
        })
    }
}

/// What one series grew by: a counter from each value to the next, and from zero where it is below the one before it
/// (that is a reset, as in Prometheus); the values themselves where they are deltas. A counter's first value with nothing
/// before it says nothing.
fn grown(points: &[Point], before: Option<f64>) -> f64 {
    let mut former = before;
    sum::bounded(points.iter().filter_map(|point| match point.counts {
        Counts::No => None,
        Counts::Delta => Some(point.value),
        Counts::Cumulative => {
            let former = former.replace(point.value)?;
            Some(if point.value >= former {
                point.value - former
            } else {
                point.value
            })
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Identity;
    use proptest::prelude::*;

    fn points(counts: Counts, samples: &[(u64, i64, f64)]) -> Points {
        let mut points = Points::default();
        for (series, ts, value) in samples {
            points.add(&MetricPoint {
                ts: *ts,
                identity: Identity::default(),
                metric: "m",
                value: *value,
                labels: &[],
                series: *series,
                counts,
                le: None,
            });
        }
        points.settle();
        points
    }

    fn growth(counts: Counts, samples: &[(u64, i64, f64)], before: Option<f64>) -> Vec<f64> {
        points(counts, samples).growth(|_| before).map(|g| g.by).collect()
    }

    #[test]
    fn counters_grow_and_start_anew() {
        let samples = [(1, 10, 5.0), (1, 30, 2.0), (1, 20, 9.0), (1, 40, 4.0)];
        assert_eq!(growth(Counts::Cumulative, &samples, None), [4.0 + 2.0 + 2.0]);
        assert_eq!(growth(Counts::Cumulative, &samples, Some(3.0)), [2.0 + 4.0 + 2.0 + 2.0]);
        assert_eq!(growth(Counts::Cumulative, &samples, Some(7.0)), [5.0 + 4.0 + 2.0 + 2.0]);
        assert_eq!(growth(Counts::Cumulative, &samples[..1], None), [0.0]);
        assert_eq!(growth(Counts::Delta, &samples, Some(3.0)), [20.0]);
        assert!(growth(Counts::No, &samples, Some(3.0)).is_empty());
        let two = [(2, 10, 5.0), (1, 10, 1.0), (2, 20, 6.0), (1, 20, 8.0)];
        assert_eq!(growth(Counts::Cumulative, &two, None), [7.0, 1.0]);
        assert_eq!(
            growth(Counts::Cumulative, &[(1, 1, -1e308), (1, 2, 1.5e308)], None),
            [f64::MAX]
        );
    }

    #[test]
    fn one_instant_counts_once_with_its_largest_value() {
        let points = points(Counts::No, &[(1, 10, 5.0), (1, 10, 7.0), (2, 10, 5.0), (1, 10, 7.0)]);
        assert_eq!((points.values(), points.last()), (vec![5.0, 7.0], Some(7.0)));
    }

    proptest! {
        /// Cutting the samples anywhere and going on from the last value loses and gains nothing.
        #[test]
        fn minutes_add_up(values in prop::collection::vec(0u32..50, 1..20), cut in any::<prop::sample::Index>()) {
            let samples: Vec<(u64, i64, f64)> = (0..).zip(&values).map(|(ts, v)| (1, ts, f64::from(*v))).collect();
            let cut = cut.index(samples.len());
            let (early, late) = samples.split_at(cut);
            let of = |samples: &[(u64, i64, f64)], before| growth(Counts::Cumulative, samples, before).iter().sum::<f64>();
            let seam = early.last().map(|s| s.2);
            prop_assert_eq!(of(early, None) + of(late, seam), of(&samples, None));
        }
    }
}
