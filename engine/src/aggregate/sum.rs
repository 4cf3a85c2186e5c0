//! Sums and means of floats that do not depend on how their values came.

/// The mean of ascending values: a compensated sum (Neumaier, ZAMM 54, 1974) in that order, so it depends on the values
/// only and is right to the last digits even if large ones cancel out.
pub(super) fn mean(sorted: &[f64]) -> Option<f64> {
    if sorted.is_empty() {
        return None;
    }
    let n = sorted.len() as f64;
    let sum = compensated(sorted.iter().copied());
    // The sum of finite values may still overflow; then divide first.
    Some(if sum.is_finite() {
        sum / n
    } else {
        compensated(sorted.iter().map(|v| v / n))
    })
}

/// The compensated sum of the values in their order.
pub(super) fn compensated(values: impl Iterator<Item = f64>) -> f64 {
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

/// As [`compensated`], and finite: what overflows is the largest number there is.
pub(super) fn bounded(values: impl Iterator<Item = f64>) -> f64 {
    let sum = compensated(values);
    if sum.is_nan() {
        f64::MAX
    } else {
        sum.clamp(f64::MIN, f64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_survives_cancellation_and_overflow() {
        assert_eq!(mean(&[-1e100, 1.0, 1.0, 1e100]), Some(0.5));
        assert_eq!(mean(&[1.7e308, 1.7e308]), Some(1.7e308));
        assert_eq!(bounded([1.7e308, 1.7e308, 1.7e308].into_iter()), f64::MAX);
    }
}
