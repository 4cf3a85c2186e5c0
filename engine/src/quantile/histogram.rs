//! Quantiles of cumulative histograms.

/// The `q`-quantile of a histogram by linear interpolation within its buckets, as Prometheus' `histogram_quantile`
/// (promql/quantile.go, `bucketQuantile`) has it. `buckets` are (upper bound, observations up to it) by ascending bound.
///
/// The lowest bucket is taken to begin at 0 unless its bound is 0 or below, then it is its bound; what lies in the last
/// bucket, which has no bound, is taken to lie at the bound of the last but one. A count below that of the bucket before
/// it is raised to it: buckets are not always scraped at one instant.
///
/// `None` without observations, without a bucket for everything (`+Inf`), with no other bucket beside it, or where `q` is
/// not within 0 to 1.
///
/// ```
/// let buckets = [(0.1, 50.0), (0.5, 90.0), (f64::INFINITY, 100.0)];
/// assert_eq!(engine::quantile::bucket_quantile(0.7, &buckets), Some(0.1 + 0.4 * 20.0 / 40.0));
/// ```
pub fn bucket_quantile(q: f64, buckets: &[(f64, f64)]) -> Option<f64> {
    let mut highest = 0.0f64;
    let counted = buckets.iter().map(|(bound, count)| {
        highest = highest.max(*count);
        (*bound, highest)
    });
    let counted: Vec<(f64, f64)> = counted.collect();
    let ((last, total), finite) = counted.split_last()?;
    let (largest, _) = finite.last()?;
    if *last != f64::INFINITY || *total <= 0.0 || !(0.0..=1.0).contains(&q) {
        return None;
    }
    let rank = q * total;
    let at = finite.partition_point(|(_, count)| *count < rank);
    let Some((end, count)) = finite.get(at) else {
        return Some(*largest);
    };
    let (start, below) = match at.checked_sub(1).and_then(|i| finite.get(i)) {
        Some((bound, count)) => (*bound, *count),
        None if *end <= 0.0 => return Some(*end),
        None => (0.0, 0.0),
    };
    let inside = count - below;
    Some(if inside > 0.0 {
        start + (end - start) * ((rank - below) / inside)
    } else {
        // Only `q` 0 over an empty first bucket comes here.
        start
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const INF: f64 = f64::INFINITY;

    #[test]
    fn as_prometheus_has_it() {
        // testdata/histograms.test of Prometheus: testhistogram, positive and negative.
        let positive = [(0.1, 5.0), (0.2, 7.0), (1e0, 9.0), (INF, 12.0)];
        for (q, want) in [
            (0.0, 0.0),
            (0.2, 0.048),
            (0.5, 0.15),
            (0.75, 1.0),
            (0.8, 1.0),
            (1.0, 1.0),
        ] {
            let got = bucket_quantile(q, &positive).unwrap();
            assert!((got - want).abs() < 1e-12, "{q}: {got}");
        }
        let negative = [(-0.2, 1.0), (-0.1, 2.0), (0.3, 2.0), (INF, 3.0)];
        for (q, want) in [(0.0, -0.2), (0.2, -0.2), (0.5, -0.15), (0.8, 0.3), (1.0, 0.3)] {
            let got = bucket_quantile(q, &negative).unwrap();
            assert!((got - want).abs() < 1e-12, "{q}: {got}");
        }
    }

    #[test]
    fn what_has_no_quantile() {
        for buckets in [
            &[][..],
            &[(INF, 3.0)],
            &[(1.0, 2.0), (2.0, 3.0)],
            &[(1.0, 0.0), (INF, 0.0)],
        ] {
            assert_eq!(bucket_quantile(0.5, buckets), None, "{buckets:?}");
        }
        let some = [(1.0, 2.0), (INF, 2.0)];
        assert_eq!(
            (bucket_quantile(1.5, &some), bucket_quantile(f64::NAN, &some)),
            (None, None)
        );
        assert_eq!(bucket_quantile(0.5, &[(1.0, 4.0), (2.0, 2.0), (INF, 3.0)]), Some(0.5));
    }

    proptest! {
        #[test]
        fn quantiles_ascend_and_lie_within_the_bounds(counts in prop::collection::vec(0u32..9, 2..8), a in 0.0..1.0f64, b in 0.0..1.0f64) {
            let mut buckets: Vec<(f64, f64)> = (1..).zip(&counts).map(|(i, n)| (f64::from(i), f64::from(*n))).collect();
            buckets.last_mut().unwrap().0 = INF;
            let quantile = |q| bucket_quantile(q, &buckets);
            match (quantile(a.min(b)), quantile(a.max(b))) {
                (Some(low), Some(high)) => prop_assert!(0.0 <= low && low <= high && high <= counts.len() as f64 - 1.0),
                none => prop_assert_eq!(none, (None, None)),
            }
        }
    }
}
