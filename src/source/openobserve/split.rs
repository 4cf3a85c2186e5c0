//! How a range that holds more rows than one page is cut. By time only: offset paging is unstable where
//! timestamps are equal.

use engine::window::Window;

/// Share of a page that slices are planned to fill, in percent: rows are never spread evenly.
const FILL_PERCENT: u64 = 70;
/// Most slices made at once; a slice that is still full is cut again.
const MAX_SLICES: u64 = 4_096;

/// Cuts `range`, known to hold `rows` rows, into adjacent slices that should each hold fewer than `page_rows`.
/// At least two, unless the range is a single microsecond: then it comes back whole.
pub fn slices(range: Window, rows: u64, page_rows: usize) -> Vec<Window> {
    let per_slice = (page_rows as u64).saturating_mul(FILL_PERCENT) / 100;
    let wanted = rows.div_ceil(per_slice.max(1)).clamp(2, MAX_SLICES);
    even(range, wanted)
}

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
            from in -1i64 << 60..1i64 << 60, len in 1i64..1 << 50, rows in any::<u64>(), page in 1usize..1_000_000,
        ) {
            let range = Window::new(from, from + len);
            let s = slices(range, rows, page);
            prop_assert_eq!(s[0].from, range.from);
            prop_assert_eq!(s[s.len() - 1].to, range.to);
            prop_assert!(s.windows(2).all(|p| p[0].to == p[1].from));
            prop_assert!(s.iter().all(|w| !w.is_empty()));
            prop_assert!(s.len() >= 2 || len == 1);
            prop_assert!(s.len() <= 4096);
        }
    }

    #[test]
    fn as_many_as_the_rows_need() {
        let minute = Window::new(0, 60_000_000);
        assert_eq!(slices(minute, 100_000, 50_000).len(), 3);
        assert_eq!(slices(minute, 0, 50_000).len(), 2);
        assert_eq!(slices(minute, 1_000_000, 1).len(), 4096);
        assert_eq!(slices(Window::new(7, 8), 100, 10), [Window::new(7, 8)]);
        assert_eq!(
            slices(Window::new(7, 9), 100, 10),
            [Window::new(7, 8), Window::new(8, 9)]
        );
    }
}
