//! In which stretches the columns of a Parquet object are read, and which of them are held.

use super::client::MAX_PART;
use bytes::Bytes;
use std::ops::Range;

/// Bytes nobody asked for that are read along rather than paid for with a request of their own.
const GAP: u64 = 128 << 10;
/// Bytes up to which row groups that follow each other are read together.
const SMALL_GROUPS: u64 = 1 << 20;
/// Bytes of an object that are held before any are let go; nothing is read ahead beyond.
const MAX_HELD: u64 = 16 << 20;
/// Bytes read at once of a run that is longer than [`MAX_PART`].
const PIECE: u64 = 4 << 20;

/// The stretches of an object, in the order of reading.
#[derive(Debug, Default)]
pub struct Plan {
    runs: Vec<Run>,
    /// What is read of each row group before anything else, to tell which rows are wanted.
    filter: Vec<Range<u64>>,
    /// Nothing else was asked for yet.
    filtering: bool,
}

/// A stretch of the object that is read when its first byte is asked for: at once, or in pieces from its start to its end if
/// it is longer than [`MAX_PART`]. A long one is the chunk of one column.
#[derive(Debug)]
struct Run {
    /// Which of the row groups that are read, first and last.
    groups: (usize, usize),
    range: Range<u64>,
    /// Whether what tells which rows are wanted lies in it.
    filters: bool,
    /// What is held of it, and where that begins.
    held: Option<(u64, Bytes)>,
}

impl Run {
    fn length(&self) -> u64 {
        self.range.end - self.range.start
    }

    fn held(&self) -> u64 {
        self.held.as_ref().map_or(0, |(_, bytes)| bytes.len() as u64)
    }

    fn is_long(&self) -> bool {
        self.length() > MAX_PART
    }

    /// What is held from `start` on.
    fn held_from(&self, start: u64) -> Option<Bytes> {
        let (first, bytes) = self.held.as_ref()?;
        let from = usize::try_from(start.checked_sub(*first)?).ok()?;
        (from < bytes.len()).then(|| bytes.slice(from..))
    }

    /// Columns go through the groups one after the other, so the group before the current one is still needed; if rows
    /// are taken across more of them, they are small.
    fn is_behind(&self, group: usize) -> bool {
        self.groups.1 + 1 < group
    }
}

impl Plan {
    /// Joins columns that lie close together, as long as a run is no longer than a part, and small row groups. A hostile
    /// footer may claim anything: what lies behind the object's `size` is left out.
    pub fn new(filter: Vec<Range<u64>>, groups: Vec<Vec<Range<u64>>>, size: u64) -> Plan {
        let mut runs: Vec<Run> = Vec::new();
        for (group, mut columns) in groups.into_iter().enumerate() {
            columns.retain(|range| range.start < range.end && range.end <= size);
            columns.sort_by_key(|range| range.start);
            for range in columns {
                let filters = filter.contains(&range);
                match runs.last_mut() {
                    Some(run) if run.joins(group, &range) => {
                        run.groups.1 = group;
                        run.range.end = run.range.end.max(range.end);
                        run.filters |= filters;
                    }
                    _ => runs.push(Run {
                        groups: (group, group),
                        range,
                        filters,
                        held: None,
                    }),
                }
            }
        }
        Plan {
            runs,
            filtering: !filter.is_empty(),
            filter,
        }
    }

    /// The run that has these bytes.
    pub fn find(&mut self, start: u64, end: u64) -> Option<usize> {
        self.filtering &= self.filter.iter().any(|range| range.contains(&start));
        self.runs
            .iter()
            .position(|run| run.range.contains(&start) && end <= run.range.end)
    }

    /// The bytes of a run from `start` on, if those up to `end`, or to the end of the run, are held.
    pub fn held(&self, at: usize, start: u64, end: u64) -> Option<Bytes> {
        let run = self.runs.get(at)?;
        let held = run.held_from(start)?;
        (start + held.len() as u64 >= end.min(run.range.end)).then_some(held)
    }

    /// What to read next of a long run for the bytes `start..end`; [`extend`](Plan::extend) takes it. `None` for a run
    /// that is read at once.
    pub fn next_piece(&mut self, at: usize, start: u64, end: u64) -> Option<Range<u64>> {
        let run = self.runs.get_mut(at).filter(|run| run.is_long())?;
        let end = end.max(start.saturating_add(PIECE)).min(run.range.end);
        let rest = run.held_from(start);
        let from = start + rest.as_ref().map_or(0, |rest| rest.len() as u64);
        // What lies before goes before the next piece comes.
        run.held = rest.map(|rest| (start, rest));
        let group = run.groups.0;
        self.make_room(group, end.saturating_sub(from));
        Some(from..end)
    }

    /// Adds a piece to what is held of a long run from `start` on, and gives that.
    pub fn extend(&mut self, at: usize, start: u64, piece: Bytes) -> Option<Bytes> {
        let run = self.runs.get_mut(at)?;
        let whole = match run.held_from(start) {
            Some(rest) => Bytes::from([rest, piece].concat()),
            None => piece,
        };
        run.held = Some((start, whole.clone()));
        Some(whole)
    }

    /// What to read now that a run is missed: it and at most `more` of those that will be asked for next, as far as they
    /// fit into memory. Lets go of what they take the place of.
    pub fn batch(&mut self, at: usize, more: usize) -> Vec<(usize, Range<u64>)> {
        let Some(missed) = self.runs.get(at) else {
            return Vec::new();
        };
        let (group, mut bytes) = (missed.groups.0, missed.length());
        let mut batch = vec![(at, missed.range.clone())];
        let kept: u64 = self.runs.iter().filter(|r| !r.is_behind(group)).map(Run::held).sum();
        let filtering = self.filtering;
        let ahead = self.runs.iter().enumerate().skip(at + 1);
        let ahead = ahead.filter(|(_, run)| run.held.is_none() && !run.is_long() && (run.filters || !filtering));
        for (i, run) in ahead {
            if batch.len() > more || kept + bytes + run.length() > MAX_HELD {
                break;
            }
            bytes += run.length();
            batch.push((i, run.range.clone()));
        }
        self.make_room(group, bytes);
        batch
    }

    /// Keeps the bytes of a run.
    pub fn keep(&mut self, at: usize, bytes: Bytes) {
        if let Some(run) = self.runs.get_mut(at) {
            run.held = Some((run.range.start, bytes));
        }
    }

    /// Lets go of row groups that are done with, then of those furthest ahead, if it becomes much.
    fn make_room(&mut self, group: usize, coming: u64) {
        let mut held = self.runs.iter().map(Run::held).sum::<u64>() + coming;
        let (behind, ahead): (Vec<_>, Vec<_>) = self
            .runs
            .iter_mut()
            .filter(|run| run.is_behind(group) || run.groups.0 > group)
            .partition(|run| run.is_behind(group));
        for run in behind.into_iter().chain(ahead.into_iter().rev()) {
            if held <= MAX_HELD {
                break;
            }
            held -= run.held();
            run.held = None;
        }
    }
}

impl Run {
    fn joins(&self, group: usize, range: &Range<u64>) -> bool {
        let longest = if self.groups == (group, group) {
            MAX_PART
        } else {
            SMALL_GROUPS
        };
        self.range.start <= range.start
            && range.start <= self.range.end.saturating_add(GAP)
            && range.end - self.range.start <= longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    const SIZE: u64 = 1 << 40;

    /// The byte of an object at this offset.
    fn byte(at: u64) -> u8 {
        (at % 251) as u8
    }

    fn ranges(plan: &Plan) -> Vec<((usize, usize), Range<u64>)> {
        plan.runs.iter().map(|r| (r.groups, r.range.clone())).collect()
    }

    #[test]
    fn close_columns_are_read_together() {
        let far = MAX_PART * 3;
        let groups = vec![
            vec![GAP + 40..GAP + 50, 4..20, 20..40, far..far + 5],
            vec![GAP + 60..GAP + 70],
            vec![0..MAX_PART - 1, MAX_PART - 1..MAX_PART + 1, MAX_PART * 2..MAX_PART * 5],
            vec![],
        ];
        assert_eq!(
            ranges(&Plan::new(Vec::new(), groups, SIZE)),
            [
                ((0, 0), 4..GAP + 50),
                ((0, 0), far..far + 5),
                ((1, 1), GAP + 60..GAP + 70),
                ((2, 2), 0..MAX_PART - 1),
                ((2, 2), MAX_PART - 1..MAX_PART + 1),
                ((2, 2), MAX_PART * 2..MAX_PART * 5),
            ]
        );
    }

    #[test]
    fn small_row_groups_are_read_together_and_lies_left_out() {
        let third = SMALL_GROUPS / 3;
        let group = |n: u64| std::iter::once(n * third..(n + 1) * third).collect();
        let groups = (0..7).map(group).collect();
        let joined = Plan::new(Vec::new(), groups, 6 * third);
        let expected = [((0, 2), 0..3 * third), ((3, 5), 3 * third..6 * third)];
        assert_eq!(ranges(&joined), expected);
    }

    /// Row groups with a time column and two others far behind it, of `part` bytes each.
    fn far_apart(groups: u64, part: u64) -> Plan {
        let apart = MAX_PART * 2;
        let column = |group: u64, n: u64| (group * 3 + n) * apart..(group * 3 + n) * apart + part;
        let filter = (0..groups).map(|g| column(g, 0)).collect();
        Plan::new(
            filter,
            (0..groups).map(|g| (0..3).map(|n| column(g, n)).collect()).collect(),
            SIZE,
        )
    }

    fn numbers(batch: Vec<(usize, Range<u64>)>) -> Vec<usize> {
        batch.into_iter().map(|(i, _)| i).collect()
    }

    #[test]
    fn what_comes_next_is_read_ahead() {
        let mut plan = far_apart(3, 1 << 20);
        assert_eq!(plan.find(0, 8), Some(0));
        assert_eq!(numbers(plan.batch(0, 9)), [0, 3, 6], "the times of all row groups");
        for i in [0, 3, 6] {
            plan.keep(i, Bytes::from_static(b"x"));
        }
        let start = plan.runs[1].range.start;
        assert_eq!(plan.find(start, start + 1), Some(1));
        assert_eq!(numbers(plan.batch(1, 2)), [1, 2, 4]);
        assert_eq!(numbers(plan.batch(1, 0)), [1], "nobody is free to help");
    }

    proptest! {
        /// A long run comes in pieces, each of which begins where it is asked for; little is held.
        #[test]
        fn a_long_run_is_read_in_pieces(steps in prop::collection::vec((0u64..3 << 20, 1u64..6 << 20), 1..40)) {
            // Made once: a byte at a time takes minutes.
            static WHOLE: LazyLock<Bytes> = LazyLock::new(|| (0..MAX_PART * 3).map(byte).collect());
            let end = MAX_PART * 3;
            let mut plan = Plan::new(Vec::new(), vec![vec![0..end]], SIZE);
            let mut start = 0;
            for (step, length) in steps {
                start += step;
                let wanted = (start + length).min(end);
                if start >= wanted {
                    break;
                }
                prop_assert_eq!(plan.find(start, wanted), Some(0));
                let got = match plan.held(0, start, wanted) {
                    Some(held) => held,
                    None => {
                        let piece = plan.next_piece(0, start, wanted).unwrap();
                        plan.extend(0, start, WHOLE.slice(piece.start as usize..piece.end as usize)).unwrap()
                    }
                };
                prop_assert!(got.len() as u64 >= wanted - start);
                prop_assert_eq!((got[0], got[got.len() - 1]), (byte(start), byte(start + got.len() as u64 - 1)));
                prop_assert!(plan.runs[0].held() <= PIECE + length.max(PIECE));
            }
        }

        /// Whatever is asked for, in any order: no more is held than the limit, or than the row groups that are needed.
        #[test]
        fn memory_is_bounded(part in 1u64..6 << 20, asked in prop::collection::vec((0usize..30, 0usize..9), 1..60)) {
            let mut plan = far_apart(10, part);
            let whole = Bytes::from(vec![0; part as usize]);
            for (at, more) in asked {
                let start = plan.runs[at].range.start;
                prop_assert_eq!(plan.find(start, start + 1), Some(at));
                if plan.held(at, start, start + 1).is_none() {
                    for (i, range) in plan.batch(at, more) {
                        plan.keep(i, whole.slice(..(range.end - range.start) as usize));
                    }
                }
                prop_assert!(plan.held(at, start, start + 1).is_some());
                let held: u64 = plan.runs.iter().map(Run::held).sum();
                prop_assert!(held <= MAX_HELD.max(6 * part), "{held}");
            }
        }
    }
}
