//! A bucket whose windows have settled, and the server that has what is behind them: spans that started just after the
//! last window may be parents of those in it, and the bucket may not have them yet.

use crate::source::count::Counts;
use crate::source::error::SourceError;
use crate::source::fetch::Reader;
use crate::source::rows::Each;
use crate::source::{FetchStats, Locator};
use engine::aggregate::Aggregator;
use engine::window::Window;

/// Reads the records from the bucket, and parents from whoever has them.
pub struct Doors<'a, B, O> {
    bucket: B,
    /// Up to here the bucket is whole, UTC microseconds.
    until: i64,
    /// Opens the other door, for parents only.
    open: Option<O>,
    behind: Option<Box<dyn Reader + 'a>>,
}

impl<'a, B: Reader, O: Fn() -> Result<Box<dyn Reader + 'a>, SourceError>> Doors<'a, B, O> {
    /// Without `open`, what the bucket has by now must do.
    pub fn new(bucket: B, until: i64, open: Option<O>) -> Self {
        Doors {
            bucket,
            until,
            open,
            behind: None,
        }
    }
}

impl<'a, B: Reader, O: Fn() -> Result<Box<dyn Reader + 'a>, SourceError>> Reader for Doors<'a, B, O> {
    fn records(&mut self) -> Result<(Aggregator, Vec<Locator>), SourceError> {
        self.bucket.records()
    }

    fn parents(&mut self, ranges: &[Window], into: &mut Aggregator) -> Result<(), SourceError> {
        let Some(open) = &self.open else {
            return self.bucket.parents(ranges, into);
        };
        let (settled, young) = split(ranges, self.until);
        if !young.is_empty() {
            let behind = match self.behind.take() {
                Some(behind) => behind,
                None => {
                    let mut behind = open()?;
                    // Its windows are empty: this only tells it which streams there are.
                    behind.records()?;
                    behind
                }
            };
            self.behind.insert(behind).parents(&young, into)?;
        }
        if !settled.is_empty() {
            self.bucket.parents(&settled, into)?;
        }
        Ok(())
    }

    fn counts(&mut self) -> Result<Counts, SourceError> {
        self.bucket.counts()
    }

    fn rows(&mut self, each: &mut Each<'_>) -> Result<(), SourceError> {
        self.bucket.rows(each)
    }

    fn stats(&self) -> FetchStats {
        let mut stats = self.bucket.stats();
        if let Some(behind) = &self.behind {
            stats.add(&behind.stats());
        }
        stats
    }
}

/// What lies before `at`, and the rest.
fn split(ranges: &[Window], at: i64) -> (Vec<Window>, Vec<Window>) {
    let before = ranges.iter().map(|r| Window::new(r.from, r.to.min(at)));
    let behind = ranges.iter().map(|r| Window::new(r.from.max(at), r.to));
    let some = |w: &Window| w.from < w.to;
    (before.filter(some).collect(), behind.filter(some).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_where_the_bucket_ends() {
        let w = Window::new;
        let ranges = [w(0, 10), w(15, 25), w(30, 40)];
        assert_eq!(
            split(&ranges, 20),
            (vec![w(0, 10), w(15, 20)], vec![w(20, 25), w(30, 40)])
        );
        assert_eq!(split(&ranges, 100), (ranges.to_vec(), vec![]));
        assert_eq!(split(&ranges, 0), (vec![], ranges.to_vec()));
    }
}
