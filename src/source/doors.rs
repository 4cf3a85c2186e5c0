//! Objects whose windows have settled, and the server that has what is behind them: spans that started just after the
//! last window may be parents of those in it, and may not be among the objects yet.

use crate::source::count::Counts;
use crate::source::error::SourceError;
use crate::source::fetch::Reader;
use crate::source::rows::Each;
use crate::source::{FetchStats, Locator};
use engine::aggregate::Aggregator;
use engine::window::Window;

/// Reads the records from objects, and parents from whoever has them.
pub struct Doors<'a, O> {
    objects: Box<dyn Reader + 'a>,
    /// Up to here they are whole, UTC microseconds.
    until: i64,
    /// Opens the other door, for parents only.
    open: Option<O>,
    behind: Option<Box<dyn Reader + 'a>>,
}

impl<'a, O: Fn() -> Result<Box<dyn Reader + 'a>, SourceError>> Doors<'a, O> {
    /// Without `open`, what the objects have by now must do.
    pub fn new(objects: Box<dyn Reader + 'a>, until: i64, open: Option<O>) -> Self {
        Doors {
            objects,
            until,
            open,
            behind: None,
        }
    }
}

impl<'a, O: Fn() -> Result<Box<dyn Reader + 'a>, SourceError>> Reader for Doors<'a, O> {
    fn records(&mut self) -> Result<(Aggregator, Vec<Locator>), SourceError> {
        self.objects.records()
    }

    fn parents(&mut self, ranges: &[Window], into: &mut Aggregator) -> Result<(), SourceError> {
        let Some(open) = &self.open else {
            return self.objects.parents(ranges, into);
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
            self.objects.parents(&settled, into)?;
        }
        Ok(())
    }

    fn counts(&mut self) -> Result<Counts, SourceError> {
        self.objects.counts()
    }

    fn rows(&mut self, each: &mut Each<'_>) -> Result<(), SourceError> {
        self.objects.rows(each)
    }

    fn stats(&self) -> FetchStats {
        let mut stats = self.objects.stats();
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
    fn ranges_are_cut_where_the_objects_end() {
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
