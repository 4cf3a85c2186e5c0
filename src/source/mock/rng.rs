//! Random numbers as a function of keys, so that any record can be made without making those before it.

/// SplitMix64: G. L. Steele, D. Lea, C. H. Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014;
/// constants as in S. Vigna's public-domain reference. Not for cryptography.
pub(super) struct Rng(u64);

/// Keeps the draws for different purposes independent of each other.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Service = 1,
    Calls,
    LogTaste,
    Log,
    TraceSizes,
    Trace,
    BorderTrace,
    Series,
    Sample,
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Rng {
    /// The generator for item `index` of `purpose` at `time` (any unit; 0 for what does not change with time).
    pub(super) fn new(seed: u64, purpose: Purpose, time: i64, index: u64) -> Rng {
        let keys = [purpose as u64, time.cast_unsigned(), index];
        Rng(keys.into_iter().fold(mix(seed.wrapping_add(GOLDEN)), |state, key| {
            mix((state ^ key).wrapping_add(GOLDEN))
        }))
    }

    /// The next 64 bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// A number in `[0, n)`; 0 when `n` is 0. The multiply-shift reduction has a bias below n / 2^64.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u64
    }

    /// A number in `[low, high]`.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low.saturating_add(self.below(high.saturating_sub(low).saturating_add(1)))
    }

    /// An index in `[0, len)`; 0 when `len` is 0.
    pub(super) fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// A number in `[0, 1)`, a multiple of 2^-53.
    pub(super) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True in `per_mille` of 1000 cases.
    pub(super) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// One of `items`, the default of its type when there is none.
    pub(super) fn pick<T: Copy + Default>(&mut self, items: &[T]) -> T {
        items.get(self.index(items.len())).copied().unwrap_or_default()
    }

    /// A right-skewed factor with mean about 1.5, in `[0.5, 4.5)`, and ten times that in 1 of 200 cases: latencies.
    pub(super) fn latency_factor(&mut self) -> f64 {
        let usual = 0.5 + 4.0 * self.unit() * self.unit();
        if self.chance(5) { usual * 10.0 } else { usual }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_sequence_of_splitmix64() {
        let mut rng = Rng(1_234_567);
        assert_eq!(rng.bits(), 6_457_827_717_110_365_317);
        assert_eq!(rng.bits(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn keys_matter_one_by_one() {
        let first = |s, p, t, i| Rng::new(s, p, t, i).bits();
        let all = [
            first(1, Purpose::Log, 1, 1),
            first(2, Purpose::Log, 1, 1),
            first(1, Purpose::Trace, 1, 1),
            first(1, Purpose::Log, 2, 1),
            first(1, Purpose::Log, 1, 2),
            first(1, Purpose::Log, -1, 1),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all.iter().skip(i + 1).all(|b| a != b));
        }
    }

    #[test]
    fn draws_stay_in_range_and_are_spread() {
        let mut rng = Rng::new(7, Purpose::Log, 0, 0);
        let mut seen = [0u32; 10];
        for _ in 0..10_000 {
            seen[rng.below(10) as usize] += 1;
            assert!((3..=5).contains(&rng.between(3, 5)));
            assert!((0.0..1.0).contains(&rng.unit()));
        }
        assert!(seen.iter().all(|n| (850..1150).contains(n)), "{seen:?}");
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.pick::<u32>(&[]), 0);
    }
}
