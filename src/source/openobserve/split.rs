//! How a range that holds more rows than one page is cut. By time only: offset paging is unstable where
//! timestamps are equal.

use engine::window::Window;

/// Cuts `range` into `n` adjacent slices of nearly the same length, fewer if it has fewer microseconds.
pub fn even(range: Window, n: u64) -> Vec<Window> {
    let n = i64::try_from(n).unwrap_or(i64::MAX).clamp(1, range.len().max(1));
    // 128 bits: length times count overflows 64.
    let edge = |i: i64| range.from + (i128::from(range.len()) * i128::from(i) / i128::from(n)) as i64;
    (0..n)
        .map(|i| Window::new(edge(i), if i + 1 == n { range.to } else { edge(i + 1) }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn slices_cover_the_range_without_overlap(
            from in -1i64 << 60..1i64 << 60, len in 1i64..1 << 50, n in 0u64..5_000,
        ) {
            let range = Window::new(from, from + len);
            let s = even(range, n);
            prop_assert_eq!(s[0].from, range.from);
            prop_assert_eq!(s[s.len() - 1].to, range.to);
            prop_assert!(s.windows(2).all(|p| p[0].to == p[1].from));
            prop_assert!(s.iter().all(|w| !w.is_empty()));
            prop_assert_eq!(s.len() as i64, (n as i64).clamp(1, len));
        }
    }

    #[test]
    fn no_slice_is_shorter_than_a_microsecond() {
        assert_eq!(even(Window::new(7, 8), 10), [Window::new(7, 8)]);
        assert_eq!(even(Window::new(7, 9), 10), [Window::new(7, 8), Window::new(8, 9)]);
        assert_eq!(
            even(Window::new(0, 10), 3),
            [Window::new(0, 3), Window::new(3, 6), Window::new(6, 10)]
        );
    }
}
