//! Quantiles as SQL's `percentile_cont` defines them, over exact samples or over a mergeable sketch.

mod histogram;
mod sketch;

pub use histogram::bucket_quantile;
pub use sketch::{SUB_BUCKET_BITS, Sketch, SketchError};

/// How many samples of one edge and minute are kept exactly; more become a [`Sketch`].
pub const EXACT_LIMIT: usize = 10_000;

/// SQL's `percentile_cont(q)` of an ascending slice: with `h = q * (n - 1)`, the linear interpolation between the
/// elements at `floor(h)` and `floor(h) + 1` (ISO/IEC 9075-2, 10.9). `None` for an empty slice or a NaN `q`; `q` is
/// clamped to 0..=1.
///
/// ```
/// assert_eq!(engine::quantile::percentile_cont(&[1.0, 2.0, 4.0], 0.75), Some(3.0));
/// ```
pub fn percentile_cont(sorted: &[f64], q: f64) -> Option<f64> {
    interpolate(sorted.len() as u64, q, |i| {
        sorted.get(usize::try_from(i).ok()?).copied()
    })
}

/// `percentile_cont` of any `n` ascending values, of which `nth` gives the one at an index.
fn interpolate(n: u64, q: f64, nth: impl Fn(u64) -> Option<f64>) -> Option<f64> {
    let last = n.checked_sub(1)?;
    if q.is_nan() {
        return None;
    }
    let h = q.clamp(0.0, 1.0) * last as f64;
    let index = (h as u64).min(last);
    let low = nth(index)?;
    let fraction = h - index as f64;
    if fraction <= 0.0 || index == last {
        return Some(low);
    }
    let high = nth(index + 1)?;
    let step = high - low;
    // Two finite values may lie further apart than the largest finite number.
    Some(if step.is_finite() {
        low + fraction * step
    } else {
        low * (1.0 - fraction) + high * fraction
    })
}

/// The durations of one call edge: microseconds, exact up to [`EXACT_LIMIT`] a minute, a [`Sketch`] beyond.
///
/// What it holds depends only on the set of samples, never on their order or on how they were split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durations(State);

/// What [`Durations`] holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Ascending.
    Exact(Vec<u64>),
    Sketch(Sketch),
}

impl Durations {
    /// The state of one edge and minute. The samples may come in any order.
    pub fn from_samples(mut samples: Vec<u64>) -> Self {
        if samples.len() > EXACT_LIMIT {
            return Durations(State::Sketch(samples.into_iter().collect()));
        }
        samples.sort_unstable();
        samples.shrink_to_fit();
        Durations(State::Exact(samples))
    }

    /// The state of several minutes together: exact (whatever the number) if all parts are, else a sketch.
    pub fn merged<'a>(parts: impl IntoIterator<Item = &'a Durations> + Clone) -> Self {
        if parts.clone().into_iter().all(Durations::is_exact) {
            let mut samples: Vec<u64> = parts.into_iter().flat_map(|d| d.samples()).copied().collect();
            // The stable sort finds the ascending runs and merges them.
            samples.sort();
            return Durations(State::Exact(samples));
        }
        let mut sketch = Sketch::default();
        for part in parts {
            match &part.0 {
                State::Exact(samples) => sketch.extend(samples.iter().copied()),
                State::Sketch(other) => sketch.merge(other),
            }
        }
        Durations(State::Sketch(sketch))
    }

    /// Number of samples.
    pub fn count(&self) -> u64 {
        match &self.0 {
            State::Exact(samples) => samples.len() as u64,
            State::Sketch(sketch) => sketch.count(),
        }
    }

    /// Whether quantiles are exact; else their relative error is at most 1 %.
    pub fn is_exact(&self) -> bool {
        matches!(self.0, State::Exact(_))
    }

    /// `percentile_cont(q)` in milliseconds; `None` without samples.
    pub fn quantile_ms(&self, q: f64) -> Option<f64> {
        let us = match &self.0 {
            State::Exact(samples) => interpolate(samples.len() as u64, q, |i| {
                Some(*samples.get(usize::try_from(i).ok()?)? as f64)
            }),
            State::Sketch(sketch) => interpolate(sketch.count(), q, |i| sketch.nth(i)),
        };
        us.map(|us| us / 1000.0)
    }

    fn samples(&self) -> &[u64] {
        match &self.0 {
            State::Exact(samples) => samples,
            State::Sketch(_) => &[],
        }
    }

    pub(crate) fn state(&self) -> &State {
        &self.0
    }

    /// From stored samples, which must be ascending; their number is not limited.
    pub(crate) fn from_state(state: State) -> Self {
        debug_assert!(!matches!(&state, State::Exact(s) if !s.is_sorted()));
        Durations(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `percentile_cont` as the SQL standard words it, over unsorted integers.
    fn naive(values: &[u64], q: f64) -> f64 {
        let mut v: Vec<f64> = values.iter().map(|x| *x as f64).collect();
        v.sort_by(f64::total_cmp);
        let h = q * (v.len() - 1) as f64;
        let (lo, hi) = (h.floor() as usize, h.ceil() as usize);
        v[lo] + (h - h.floor()) * (v[hi] - v[lo])
    }

    #[test]
    fn edge_cases() {
        assert_eq!(percentile_cont(&[], 0.5), None);
        assert_eq!(percentile_cont(&[1.0, 2.0], f64::NAN), None);
        assert_eq!(percentile_cont(&[7.0], 0.95), Some(7.0));
        assert_eq!(percentile_cont(&[1.0, 2.0], -3.0), Some(1.0));
        assert_eq!(percentile_cont(&[1.0, 2.0], 3.0), Some(2.0));
        assert_eq!(percentile_cont(&[f64::MIN, f64::MAX], 0.5), Some(0.0));
        assert_eq!(Durations::from_samples(vec![]).quantile_ms(0.5), None);
    }

    #[test]
    fn the_limit_decides_and_a_merge_of_exact_parts_stays_exact() {
        let exact = Durations::from_samples((0..EXACT_LIMIT as u64).rev().collect());
        let sketch = Durations::from_samples((0..=EXACT_LIMIT as u64).collect());
        assert!(exact.is_exact() && !sketch.is_exact());
        let five = Durations::merged([&exact; 5]);
        assert!(five.is_exact());
        assert_eq!(five.count(), 50_000);
        let mix = Durations::merged([&exact, &sketch]);
        assert!(!mix.is_exact());
        assert_eq!(mix.count(), 20_001);
        assert_eq!(mix, Durations::merged([&sketch, &exact]));
    }

    proptest! {
        #[test]
        fn exact_quantiles_equal_the_definition(v in prop::collection::vec(0u64..1_000_000_000, 1..300), q in 0.0f64..=1.0) {
            let want = naive(&v, q) / 1000.0;
            let got = Durations::from_samples(v).quantile_ms(q).unwrap();
            prop_assert!((got - want).abs() <= 1e-12 * want.abs(), "{} {}", got, want);
        }

        #[test]
        fn a_merge_equals_the_whole(v in prop::collection::vec(any::<u64>(), 1..200), cuts in prop::collection::vec(0usize..200, 0..5)) {
            let mut parts = vec![Vec::new(); cuts.len() + 1];
            for (i, x) in v.iter().enumerate() {
                parts[cuts.iter().filter(|c| **c <= i).count()].push(*x);
            }
            let parts: Vec<Durations> = parts.into_iter().map(Durations::from_samples).collect();
            prop_assert_eq!(Durations::merged(&parts), Durations::from_samples(v));
        }

        #[test]
        fn sketched_quantiles_are_within_one_percent(v in prop::collection::vec(0u32..64, 1..300), seed in any::<u64>(), q in 0.0f64..=1.0) {
            // Exponents spread over the whole range, mantissas by a multiplicative generator.
            let v: Vec<u64> = v.iter().scan(seed | 1, |s, e| {
                *s = s.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                Some(*s >> e)
            }).collect();
            let want = naive(&v, q) / 1000.0;
            let sketch = Durations(State::Sketch(v.into_iter().collect()));
            let got = sketch.quantile_ms(q).unwrap();
            prop_assert!((got - want).abs() <= 0.01 * want + 1e-12, "{} {}", got, want);
        }
    }
}
