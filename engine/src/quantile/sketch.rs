//! A mergeable sketch of durations with a bounded relative error.
//!
//! This is DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch with relative-error
//! guarantees", PVLDB 12(12), 2019) with the logarithm interpolated linearly between powers of two: each power of two
//! is cut into `2^`[`SUB_BUCKET_BITS`] equal buckets. The mapping needs integers only, so every machine puts a value
//! into the same bucket. There are at most 3,776 buckets for all of `u64`, so nothing is ever collapsed.

use std::collections::BTreeMap;

/// Each power of two is cut into `2^SUB_BUCKET_BITS` buckets. A bucket is answered by its middle, so the relative error
/// is at most `2^-(SUB_BUCKET_BITS + 1)`, which is 0.79 %; values below 128 are exact. Part of the stored format.
pub const SUB_BUCKET_BITS: u32 = 6;

const SUB_BUCKETS: u64 = 1 << SUB_BUCKET_BITS;
/// The bucket of `u64::MAX`.
const MAX_BUCKET: u16 = ((64 - SUB_BUCKET_BITS as u16 - 1) << SUB_BUCKET_BITS) + (2 * SUB_BUCKETS as u16 - 1);

/// Counts by bucket. Merging is addition, so it is commutative and associative.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    buckets: BTreeMap<u16, u64>,
    count: u64,
}

/// Stored buckets that no sketch could have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SketchError {
    /// No value of 64 bits falls into this bucket.
    NoSuchBucket,
    /// A bucket without samples, or one that was already there.
    BadCount,
    /// More than `u64::MAX` samples.
    Overflow,
}

impl Sketch {
    /// Number of samples.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Adds one sample (microseconds).
    pub fn insert(&mut self, value: u64) {
        *self.buckets.entry(bucket_of(value)).or_default() += 1;
        self.count = self.count.saturating_add(1);
    }

    /// Adds all samples of `other`.
    pub fn merge(&mut self, other: &Sketch) {
        for (bucket, n) in &other.buckets {
            let count = self.buckets.entry(*bucket).or_default();
            *count = count.saturating_add(*n);
        }
        self.count = self.count.saturating_add(other.count);
    }

    /// The value at index `rank` of the ascending samples, within the relative error; `None` past the end.
    pub fn nth(&self, rank: u64) -> Option<f64> {
        let mut seen = 0u64;
        self.buckets.iter().find_map(|(bucket, n)| {
            seen = seen.saturating_add(*n);
            (rank < seen).then(|| middle_of(*bucket))
        })
    }

    /// The non-empty buckets, ascending, with their counts.
    pub fn buckets(&self) -> impl ExactSizeIterator<Item = (u16, u64)> {
        self.buckets.iter().map(|(bucket, n)| (*bucket, *n))
    }

    /// Restores one stored bucket.
    pub fn insert_bucket(&mut self, bucket: u16, count: u64) -> Result<(), SketchError> {
        if bucket > MAX_BUCKET {
            return Err(SketchError::NoSuchBucket);
        }
        if count == 0 || self.buckets.contains_key(&bucket) {
            return Err(SketchError::BadCount);
        }
        self.count = self.count.checked_add(count).ok_or(SketchError::Overflow)?;
        self.buckets.insert(bucket, count);
        Ok(())
    }
}

impl Extend<u64> for Sketch {
    fn extend<I: IntoIterator<Item = u64>>(&mut self, values: I) {
        values.into_iter().for_each(|value| self.insert(value));
    }
}

impl FromIterator<u64> for Sketch {
    fn from_iter<I: IntoIterator<Item = u64>>(values: I) -> Self {
        let mut sketch = Sketch::default();
        sketch.extend(values);
        sketch
    }
}

/// How far a value is shifted right so that `SUB_BUCKET_BITS + 1` bits are left of it.
fn shift_of(value: u64) -> u32 {
    (u64::BITS - value.leading_zeros()).saturating_sub(SUB_BUCKET_BITS + 1)
}

fn bucket_of(value: u64) -> u16 {
    let shift = shift_of(value);
    // At most 57 * 64 + 127, so the cast loses nothing.
    ((u64::from(shift) << SUB_BUCKET_BITS) + (value >> shift)) as u16
}

fn middle_of(bucket: u16) -> f64 {
    let bucket = u64::from(bucket);
    let shift = (bucket >> SUB_BUCKET_BITS).saturating_sub(1);
    let low = (bucket - (shift << SUB_BUCKET_BITS)) << shift;
    low as f64 + ((1u64 << shift) - 1) as f64 / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_mapping_is_part_of_the_format() {
        let vectors = [
            (0, 0),
            (127, 127),
            (128, 128),
            (129, 128),
            (1_000, 317),
            (1_000_000, 954),
            (u64::MAX, MAX_BUCKET),
        ];
        for (value, bucket) in vectors {
            assert_eq!(bucket_of(value), bucket, "{value}");
        }
        assert_eq!(MAX_BUCKET, 3775);
    }

    #[test]
    fn stored_buckets_are_checked() {
        let mut s = Sketch::default();
        assert_eq!(s.insert_bucket(3776, 1), Err(SketchError::NoSuchBucket));
        assert_eq!(s.insert_bucket(1, 0), Err(SketchError::BadCount));
        assert_eq!(s.insert_bucket(1, u64::MAX), Ok(()));
        assert_eq!(s.insert_bucket(1, 1), Err(SketchError::BadCount));
        assert_eq!(s.insert_bucket(2, 1), Err(SketchError::Overflow));
        assert_eq!(s.nth(0), Some(1.0));
        assert_eq!(s.nth(u64::MAX), None);
    }

    proptest! {
        #[test]
        fn each_value_is_answered_within_the_error(shift in 0u32..64, v in any::<u64>()) {
            let v = v >> shift;
            let got = middle_of(bucket_of(v));
            prop_assert!((got - v as f64).abs() <= v as f64 / 127.9, "{} {}", v, got);
        }

        #[test]
        fn buckets_ascend_with_values(a in any::<u64>(), b in any::<u64>(), s in 0u32..64) {
            let (a, b) = ((a >> s).min(b >> s), (a >> s).max(b >> s));
            prop_assert!(bucket_of(a) <= bucket_of(b));
        }
    }
}
