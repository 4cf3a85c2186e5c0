//! A window is the same in every range.

use super::*;
use crate::window::Windows;

/// How many windows the world has.
const WINDOWS: usize = 6;

impl Record {
    /// The time by which a source finds the record.
    fn ts(&self) -> Option<i64> {
        match self {
            Record::Log(ts, ..) | Record::Metric(ts, ..) | Record::Span(ts, ..) | Record::Parent(ts, ..) => Some(*ts),
            Record::Reject(_, _, ts, _) => *ts,
        }
    }
}

/// What there is to be fetched: each record with the number of its source, and the place of the window it is found in
/// if it does not tell its time.
type World = Vec<(usize, usize, Record)>;

/// How parents are read: how far away they may be, and at which distances from the range the reads are cut.
#[derive(Clone, Debug)]
struct Reads {
    margin: Margin,
    cuts: Vec<i64>,
    nearest_first: bool,
}

impl Reads {
    fn ranges(&self, range: Window) -> Vec<Window> {
        let mut edges = vec![0, self.margin.before.max(self.margin.after)];
        edges.extend(&self.cuts);
        edges.sort_unstable();
        let mut out = Vec::new();
        for pair in edges.windows(2) {
            let before = |d: i64| range.from - d.min(self.margin.before);
            let after = |d: i64| range.to + d.min(self.margin.after);
            out.push(Window::new(before(pair[1]), before(pair[0])));
            out.push(Window::new(after(pair[0]), after(pair[1])));
        }
        if !self.nearest_first {
            out.reverse();
        }
        out
    }
}

/// Fetches windows `first..first + count` of `length` from both sources, with the records of `timeless` windows that do
/// not tell their time.
fn fetch(
    world: &World,
    (first, count): (usize, usize),
    length: i64,
    timeless: std::ops::Range<usize>,
    reads: &Reads,
) -> Vec<Output> {
    let range = Window::new(first as i64 * length, (first + count) as i64 * length);
    let windows = Windows::new(range, length);
    let mut sources = [Aggregator::new(windows), Aggregator::new(windows)];
    for (source, found_in, record) in world {
        let due = match record.ts() {
            Some(ts) if matches!(record, Record::Metric(..)) => records_range(Dataset::Metrics, range).contains(ts),
            Some(ts) => range.contains(ts),
            None => timeless.contains(found_in),
        };
        if due && !matches!(record, Record::Parent(..)) {
            feed(&mut sources[*source], record);
        }
    }
    let mut all = Aggregator::new(windows);
    sources.into_iter().for_each(|source| all.merge(source));
    for margin in reads.ranges(range) {
        if all.wants_parents(margin, reads.margin) {
            for (_, _, record) in world {
                if let Record::Span(start, trace, span, parent, service, ..) = record
                    && margin.contains(*start)
                {
                    all.link(link(*start, trace, span, parent.as_deref(), *service));
                }
            }
        }
    }
    all.finish(reads.margin)
}

fn reads() -> impl Strategy<Value = Reads> {
    let us = || prop_oneof![Just(0), 0..4 * MINUTE_US];
    let parts = (us(), us(), prop::collection::vec(0..4 * MINUTE_US, 0..3), any::<bool>());
    parts.prop_map(|(before, after, cuts, nearest_first)| Reads {
        margin: Margin { before, after },
        cuts,
        nearest_first,
    })
}

/// Few spans of few ids, so that it matters which of them are read.
fn spans() -> impl Strategy<Value = World> {
    let id = || prop::sample::select(vec!["a", "b"]).prop_map(String::from);
    let service = prop::sample::select(vec!["cart", "pay", "web"]);
    let ts = (0..2 * WINDOWS as i64 * 6).prop_map(|ts| ts * MINUTE_US / 6);
    let calling = (0..3 * MINUTE_US as u64, kind(), peer());
    let span = (ts, id(), prop::option::of(id()), service, calling);
    let span = span.prop_map(|(ts, id, parent, service, calling)| {
        Record::Span(ts, "t".into(), id, parent, Some(service), calling, false)
    });
    prop::collection::vec((0usize..2, 0..WINDOWS, span), 0..8)
}

/// Cuts the windows into ranges, and holds each window to what it is alone.
fn check(world: &World, length: i64, cuts: &[bool], reads: &Reads) -> Result<(), TestCaseError> {
    let mut first = 0;
    while first < WINDOWS {
        let count = 1 + (first + 1..WINDOWS).take_while(|i| !cuts[*i]).count();
        let group = first..first + count;
        let together = fetch(world, (first, count), length, group.clone(), reads);
        prop_assert_eq!(together.len(), count);
        for (i, got) in group.clone().zip(together) {
            // What does not tell its time is the first window's.
            let timeless = if i == first { group.clone() } else { 0..0 };
            let alone = fetch(world, (i, 1), length, timeless, reads).remove(0);
            let bytes = |out: &Output| out.minutes.iter().map(|m| m.encode()).collect::<Vec<_>>();
            prop_assert_eq!(bytes(&got), bytes(&alone));
            prop_assert_eq!(got, alone, "window {} of {:?}", i, group);
        }
        first += count;
    }
    Ok(())
}

/// Samples of few counters, so that most have something before them.
fn counters() -> impl Strategy<Value = World> {
    let ts = (-3..2 * WINDOWS as i64 * 4).prop_map(|ts| ts * MINUTE_US / 4);
    let sample = (
        prop::sample::select(vec!["hits_bucket", "hits_sum"]),
        0u64..2,
        Just(Counts::Cumulative),
    );
    let le = prop::sample::select(vec!["1", "2", "inf"]).prop_map(|le| vec![("le", le.to_owned())]);
    let point = (ts, sample, 0u32..20, le);
    let point = point.prop_map(|(ts, sample, value, le)| Record::Metric(ts, "web", sample, f64::from(value), le));
    prop::collection::vec((0usize..2, 0..WINDOWS, point), 0..40)
}

proptest! {
    #[test]
    fn a_window_is_the_same_alone_and_in_any_range(
        world in prop::collection::vec((0usize..2, 0..WINDOWS, record(2 * WINDOWS as i64)), 0..120),
        minutes in 1i64..3,
        cuts in prop::collection::vec(any::<bool>(), WINDOWS),
        reads in reads(),
    ) {
        check(&world, minutes * MINUTE_US, &cuts, &reads)?;
    }

    #[test]
    fn a_counter_is_the_same_alone_and_in_any_range(
        world in counters(),
        minutes in 1i64..3,
        cuts in prop::collection::vec(any::<bool>(), WINDOWS),
    ) {
        let reads = Reads { margin: MARGIN, cuts: Vec::new(), nearest_first: true };
        check(&world, minutes * MINUTE_US, &cuts, &reads)?;
    }

    #[test]
    fn a_call_is_the_same_alone_and_in_any_range(
        world in spans(),
        minutes in 1i64..3,
        cuts in prop::collection::vec(any::<bool>(), WINDOWS),
        reads in reads(),
    ) {
        check(&world, minutes * MINUTE_US, &cuts, &reads)?;
    }
}

#[test]
fn a_window_sees_the_parents_of_its_own_margin_only() {
    let parent = |start, id: &str| span(start, id, None, "web", 1, false);
    let child = |start, parent: &str| span(start, "c", Some(parent), "cart", 1, false);
    let calls = |records: &[Record]| -> Vec<u64> {
        let mut a = Aggregator::new(Windows::new(Window::new(0, 4 * MINUTE_US), MINUTE_US));
        records.iter().for_each(|r| feed(&mut a, r));
        let margin = Margin {
            before: MINUTE_US,
            after: 5,
        };
        a.finish(margin).iter().map(|out| out.stats.calls).collect()
    };
    assert_eq!(
        calls(&[parent(MINUTE_US, "p"), child(2 * MINUTE_US, "p")]),
        [0, 0, 1, 0]
    );
    assert_eq!(calls(&[parent(MINUTE_US - 1, "p"), child(2 * MINUTE_US, "p")]), [0; 4]);
    assert_eq!(calls(&[parent(MINUTE_US + 4, "p"), child(9, "p")]), [1, 0, 0, 0]);
    assert_eq!(calls(&[parent(MINUTE_US + 5, "p"), child(9, "p")]), [0; 4]);
}

#[test]
fn what_has_no_window_is_the_first_ones() {
    let mut a = Aggregator::new(Windows::new(Window::new(0, 3 * MINUTE_US), MINUTE_US));
    for ts in [None, Some(MINUTE_US), Some(3 * MINUTE_US), Some(-1)] {
        feed(
            &mut a,
            &Record::Reject(Dataset::Logs, RejectReason::MissingBody, ts, "x".into()),
        );
    }
    feed(&mut a, &Record::Log(-1, "web", "line".into(), None));
    let outside_and_rejected: Vec<(u64, u64)> = a
        .finish(MARGIN)
        .iter()
        .map(|out| (out.stats.outside, out.stats.rejected))
        .collect();
    assert_eq!(outside_and_rejected, [(3, 1), (0, 1), (0, 0)]);
}

#[test]
fn only_parents_of_the_range_are_kept_unasked() {
    let wanted = |start: i64| {
        let mut a = Aggregator::new(Window::new(0, MINUTE_US));
        feed(&mut a, &span(1, "c", Some("p"), "cart", 1, false));
        a.link_only(link(start, "t", "p", None, Some("web")));
        a.wants_parents(Window::new(-MINUTE_US, -1), MARGIN)
    };
    assert!(!wanted(0) && wanted(-1));
}
