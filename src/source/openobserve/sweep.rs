//! A range read page by page, from one end to the other: pages are cut by time, and their length follows what they
//! hold.

use crate::source::error::SourceError;
use engine::window::{MINUTE_US, Window};

/// Length of the first page: whoever looks at the first records should not wait for many.
const FIRST_US: i64 = MINUTE_US;

/// From which end a range is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    Oldest,
    Newest,
}

/// What a page came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// All rows of its time were taken: so many.
    Whole(usize),
    /// There may be more rows than fit: nothing was taken.
    Full,
    /// The server looked at the time from there on only: nothing was taken.
    Moved(i64),
    /// Nothing more is wanted.
    Enough,
}

/// Reads `range` in pages of at most `size` rows. `ask` gets the time of a page and how many rows it may hold: that is
/// more than `size` where a single microsecond has more.
///
/// # Errors
/// Those of `ask`.
pub fn sweep(
    range: Window,
    size: usize,
    end: From,
    mut ask: impl FnMut(Window, usize) -> Result<Page, SourceError>,
) -> Result<(), SourceError> {
    let (mut left, mut step, mut longest, mut room) = (range, FIRST_US, i64::MAX, size.max(1));
    while !left.is_empty() {
        let page = match end {
            From::Oldest => Window::new(left.from, left.from.saturating_add(step).min(left.to)),
            From::Newest => Window::new(left.to.saturating_sub(step).max(left.from), left.to),
        };
        match ask(page, room)? {
            Page::Enough => return Ok(()),
            Page::Full if page.len() <= 1 => room = room.saturating_mul(2),
            Page::Full => step = page.len() / 2,
            Page::Moved(start) => {
                longest = page.to.saturating_sub(start).clamp(1, (page.len() - 1).max(1));
                step = longest;
            }
            Page::Whole(rows) => {
                left = match end {
                    From::Oldest => Window::new(page.to, left.to),
                    From::Newest => Window::new(left.from, page.from),
                };
                room = size.max(1);
                if rows <= size / 4 {
                    step = page.len().max(step).saturating_mul(2).min(longest);
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Sweeps rows at these times behind a server that looks at `longest` at most; gives what was taken, in that order,
    /// and the number of questions.
    fn taken(times: &[i64], range: Window, size: usize, end: From, longest: i64) -> (Vec<i64>, usize) {
        let (mut out, mut questions) = (Vec::new(), 0);
        sweep(range, size, end, |page, room| {
            questions += 1;
            assert!(questions < 10_000, "it does not end");
            if page.len() > longest {
                return Ok(Page::Moved(page.to - longest));
            }
            let mut rows: Vec<i64> = times.iter().copied().filter(|t| page.contains(*t)).collect();
            if rows.len() >= room {
                return Ok(Page::Full);
            }
            rows.sort_unstable();
            if end == From::Newest {
                rows.reverse();
            }
            out.extend(&rows);
            Ok(Page::Whole(rows.len()))
        })
        .unwrap();
        (out, questions)
    }

    proptest! {
        #[test]
        fn every_row_is_taken_once_and_in_order(
            mut times in prop::collection::vec(prop_oneof![0i64..40, 0i64..4_000_000_000], 0..200),
            size in 1usize..50,
            oldest in any::<bool>(),
            longest in prop_oneof![Just(i64::MAX), 50_000_000i64..1_000_000_000],
        ) {
            let end = if oldest { From::Oldest } else { From::Newest };
            let (got, _) = taken(&times, Window::new(0, 4_000_000_000), size, end, longest);
            times.sort_unstable();
            if !oldest {
                times.reverse();
            }
            prop_assert_eq!(got, times);
        }
    }

    #[test]
    fn a_long_quiet_range_takes_few_questions() {
        let day = 86_400_000_000;
        let (_, questions) = taken(&[], Window::new(0, 30 * day), 100, From::Oldest, i64::MAX);
        assert!(questions <= 17, "{questions}");
    }

    #[test]
    fn it_stops_when_nothing_more_is_wanted() {
        let mut asked = Vec::new();
        sweep(Window::new(0, i64::MAX), 10, From::Oldest, |page, _| {
            asked.push(page);
            Ok(Page::Enough)
        })
        .unwrap();
        assert_eq!(asked, [Window::new(0, FIRST_US)]);
    }
}
