//! The samples of one row of `metric_1m`, and what the series among them grew by.

use std::iter;

use hashbrown::HashMap;

use super::sum;
use crate::record::{Counts, MetricPoint};
use crate::window::{MINUTE_US, floor};

/// One sample. Keeping all of them makes every statistic exact, at 16 bytes a sample.
#[derive(Clone, Copy, Debug)]
struct Point {
    /// Microseconds since the start of its minute.
    offset: u32,
    /// Where its series is in [`Points::series`].
    series: u32,
    value: f64,
}

/// What samples say of their series. Those of one series should say the same, but need not.
#[derive(Clone, Copy, Debug)]
struct Series {
    number: u64,
    counts: Counts,
    /// NaN for none.
    le: f64,
}

impl Series {
    fn key(&self) -> (u64, u8, u64) {
        (self.number, self.counts as u8, self.le.to_bits())
    }
}

/// So many series are looked through; a table is kept for more.
const FEW: usize = 8;

/// Samples of one minute, of any number of series.
#[derive(Default)]
pub(super) struct Points {
    points: Vec<Point>,
    series: Vec<Series>,
    /// Places in `series`, when there are more than a few.
    places: HashMap<(u64, u8, u64), u32>,
}

/// What one series grew by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Growth {
    /// The upper bound of the bucket that the series counts, NaN for none.
    pub(super) le: f64,
    pub(super) by: f64,
}

impl Points {
    pub(super) fn add(&mut self, point: &MetricPoint<'_>) {
        let series = self.place(Series {
            number: point.series,
            counts: point.counts,
            le: point.le.unwrap_or(f64::NAN),
        });
        self.points.push(Point {
            offset: (point.ts - floor(point.ts, MINUTE_US)) as u32,
            series,
            value: point.value,
        });
    }

    /// Where the series is, entered if it is new.
    fn place(&mut self, series: Series) -> u32 {
        let key = series.key();
        let known = if self.series.len() <= FEW {
            self.series
                .iter()
                .position(|known| known.key() == key)
                .map(|i| i as u32)
        } else {
            self.places.get(&key).copied()
        };
        known.unwrap_or_else(|| {
            let place = self.series.len() as u32;
            self.series.push(series);
            match self.series.len() {
                n if n <= FEW => {}
                n if n == FEW + 1 => self.places = (0..).zip(&self.series).map(|(i, s)| (s.key(), i)).collect(),
                _ => {
                    self.places.insert(key, place);
                }
            }
            place
        })
    }

    /// Takes in the samples of the same minute from elsewhere.
    pub(super) fn absorb(&mut self, other: Points) {
        let places: Vec<u32> = other.series.iter().map(|series| self.place(*series)).collect();
        self.points.extend(other.points.into_iter().map(|point| Point {
            series: places.get(point.series as usize).copied().unwrap_or_default(),
            ..point
        }));
    }

    /// The series now are those of another source than those of the same numbers elsewhere.
    pub(super) fn salt(&mut self, salt: u64) {
        for series in &mut self.series {
            series.number ^= salt;
        }
        let places = self.places.drain();
        self.places = places
            .map(|((number, counts, le), i)| ((number ^ salt, counts, le), i))
            .collect();
    }

    /// Puts the samples into the order of series and time. Of several of one series and instant one is kept, the
    /// largest: they are one sample that was delivered more than once.
    pub(super) fn settle(&mut self) {
        let Points { points, series, .. } = self;
        let of = |p: &Point| series.get(p.series as usize);
        let number = |p: &Point| of(p).map(|s| s.number);
        let bound = |p: &Point| of(p).map_or(f64::NAN, |s| s.le);
        points.sort_unstable_by(|a, b| {
            (number(a), a.offset)
                .cmp(&(number(b), b.offset))
                .then_with(|| b.value.total_cmp(&a.value))
                .then_with(|| of(a).map(|s| s.counts as u8).cmp(&of(b).map(|s| s.counts as u8)))
                .then_with(|| bound(a).total_cmp(&bound(b)))
        });
        points.dedup_by(|b, a| (number(a), a.offset) == (number(b), b.offset));
    }

    /// The values, ascending.
    pub(super) fn values(&self) -> Vec<f64> {
        let mut values: Vec<f64> = self.points.iter().map(|point| point.value).collect();
        values.sort_unstable_by(f64::total_cmp);
        values
    }

    /// The newest value; of several at one instant the largest, so the order of arrival does not matter.
    pub(super) fn last(&self) -> Option<f64> {
        let newest = |a: &&Point, b: &&Point| a.offset.cmp(&b.offset).then(a.value.total_cmp(&b.value));
        self.points.iter().max_by(newest).map(|point| point.value)
    }

    fn series_of(&self, point: &Point) -> Option<&Series> {
        self.series.get(point.series as usize)
    }

    /// What each counting series of the settled samples grew by, in the order of their numbers; those of which nobody
    /// knows are left out. `before` is the last value of a series before these.
    pub(super) fn growth(&self, before: impl Fn(u64) -> Option<f64>) -> impl Iterator<Item = Growth> {
        let number = |p: &Point| self.series_of(p).map(|s| s.number);
        let series = self.points.chunk_by(move |a, b| number(a) == number(b));
        series.filter_map(move |points| {
            let series = |p| self.series_of(p).filter(|s| s.counts != Counts::No);
            let first = points.iter().find_map(series)?;
            let counted = points.iter().filter_map(|p| Some((self.series_of(p)?.counts, p.value)));
            Some(Growth {
                le: first.le,
                by: grown(counted, before(first.number))?,
            })
        })
    }
}

/// What one series grew by: a counter from each value to the next, and from zero where it is below the one before it
/// (that is a reset, as in Prometheus); the values themselves where they are deltas. A counter's first value with nothing
/// before it says nothing: `None` if there is no other.
fn grown(samples: impl Iterator<Item = (Counts, f64)>, before: Option<f64>) -> Option<f64> {
    let mut former = before;
    let mut steps = samples.filter_map(|(counts, value)| match counts {
        Counts::No => None,
        Counts::Delta => Some(value),
        Counts::Cumulative => {
            let former = former.replace(value)?;
            Some(if value >= former { value - former } else { value })
        }
    });
    let first = steps.next()?;
    Some(sum::bounded(iter::once(first).chain(steps)))
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
        assert_eq!(growth(Counts::Cumulative, &samples[..1], Some(5.0)), [0.0]);
        assert!(
            growth(Counts::Cumulative, &samples[..1], None).is_empty(),
            "nobody knows"
        );
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

    #[test]
    fn many_series_stay_apart_wherever_they_come_from() {
        let samples: Vec<(u64, i64, f64)> = (0..100u64).map(|n| (n % 20, 10 + n as i64 / 20, n as f64)).collect();
        let (early, late) = samples.split_at(37);
        let mut halves = points(Counts::Cumulative, late);
        halves.absorb(points(Counts::Cumulative, early));
        halves.settle();
        let whole = points(Counts::Cumulative, &samples);
        let growth = |points: &Points| points.growth(|_| None).map(|g| g.by).collect::<Vec<_>>();
        assert_eq!(growth(&whole), [80.0; 20]);
        assert_eq!((growth(&halves), halves.values()), (growth(&whole), whole.values()));
        // Two sources that number their series alike.
        let mut other = points(Counts::Cumulative, &samples);
        other.salt(1 << 40);
        halves.absorb(other);
        halves.settle();
        assert_eq!(growth(&halves), [80.0; 40]);
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
