//! What holds for the source as a whole.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use engine::record::{Dataset, LogRecord, MetricPoint, RecordSink, RejectReason, SpanRecord};
use engine::window::{MINUTE_US, Window};
use proptest::prelude::*;

use super::{MockConfig, Wanted, fetch, json_rows, parents};

/// A minute in 2026.
const T0: i64 = 29_653_920 * MINUTE_US;

#[derive(Clone, Debug, PartialEq)]
struct Span {
    ts: i64,
    trace: String,
    id: String,
    parent: Option<String>,
    service: String,
    duration: i64,
    error: bool,
}

/// Keeps everything.
#[derive(Default)]
struct Kept {
    logs: Vec<(i64, String)>,
    points: Vec<(i64, String, f64)>,
    spans: Vec<Span>,
}

impl RecordSink for Kept {
    fn log(&mut self, r: LogRecord<'_>) {
        self.logs
            .push((r.ts, format!("{:?} {:?} {}", r.identity, r.severity, r.body)));
    }
    fn metric(&mut self, p: MetricPoint<'_>) {
        assert!(p.labels.is_sorted() && p.value.is_finite());
        self.points
            .push((p.ts, format!("{:?} {} {:?}", p.identity, p.metric, p.labels), p.value));
    }
    fn span(&mut self, s: SpanRecord<'_>) {
        self.spans.push(Span {
            ts: s.ts,
            trace: s.trace_id.to_owned(),
            id: s.span_id.to_owned(),
            parent: s.parent_span_id.map(str::to_owned),
            service: s.service.unwrap().to_owned(),
            duration: i64::try_from(s.duration_us).unwrap(),
            error: s.error,
        });
    }
    fn reject(&mut self, _: Dataset, _: RejectReason, _: Option<i64>, sample: &str) {
        panic!("rejected {sample}");
    }
}

impl Kept {
    fn of(cfg: &MockConfig, range: Window) -> Kept {
        let mut kept = Kept::default();
        fetch(cfg, range, &Wanted::ALL, &mut kept);
        kept
    }

    /// In one order, so that two collections compare.
    fn sorted(mut self) -> Kept {
        self.logs.sort();
        self.points.sort_by(|a, b| a.partial_cmp(b).unwrap());
        self.spans.sort_by(|a, b| (a.ts, &a.id).cmp(&(b.ts, &b.id)));
        self
    }
}

fn rates(seed: u64, services: u32, rate: u32) -> MockConfig {
    MockConfig {
        seed,
        logs_per_minute: rate,
        metrics_per_minute: rate,
        spans_per_minute: rate,
        services,
    }
}

fn minutes(from: i64, count: i64) -> Window {
    Window::new(T0 + from * MINUTE_US, T0 + (from + count) * MINUTE_US)
}

#[test]
fn every_minute_holds_exactly_the_configured_number() {
    for rate in [0, 1, 2, 3, 5, 6, 7, 13, 23, 24, 25, 59, 60, 61, 119, 120, 1000, 4321] {
        for services in [2, 3, 12, 200] {
            for seed in 0..3 {
                let cfg = rates(seed, services, rate);
                for minute in 0..3 {
                    let kept = Kept::of(&cfg, minutes(minute, 1));
                    let counts = [kept.logs.len(), kept.points.len(), kept.spans.len()];
                    assert_eq!(
                        counts, [rate as usize; 3],
                        "rate {rate}, {services} services, seed {seed}"
                    );
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_range_holds_what_its_parts_hold(
        seed: u64, services in 2u32..=200, rate in 0u32..300,
        from in -3 * MINUTE_US..3 * MINUTE_US, first in 0..2 * MINUTE_US, second in 0..2 * MINUTE_US,
    ) {
        let cfg = rates(seed, services, rate);
        let (a, b, c) = (T0 + from, T0 + from + first, T0 + from + first + second);
        let whole = Kept::of(&cfg, Window::new(a, c)).sorted();
        // The later part first: order of asking does not matter.
        let mut parts = Kept::of(&cfg, Window::new(b, c));
        fetch(&cfg, Window::new(a, b), &Wanted::ALL, &mut parts);
        let parts = parts.sorted();
        prop_assert!(whole.logs.iter().all(|l| (a..c).contains(&l.0)));
        prop_assert!(whole.spans.iter().all(|s| (a..c).contains(&s.ts)));
        prop_assert_eq!(whole.logs, parts.logs);
        prop_assert_eq!(whole.points, parts.points);
        prop_assert_eq!(whole.spans, parts.spans);
    }
}

#[test]
fn traces_are_trees_nested_in_time_and_some_cross_minutes() {
    for (seed, services) in [(1, 2), (2, 12), (3, 200)] {
        let cfg = MockConfig {
            seed,
            services,
            ..MockConfig::default()
        };
        // The first minute only serves to know the parents of the second.
        let all = Kept::of(&cfg, minutes(0, 6)).spans;
        let by_id: HashMap<(&str, &str), &Span> = all.iter().map(|s| ((&*s.trace, &*s.id), s)).collect();
        assert_eq!(by_id.len(), all.len(), "ids are unique");
        let (mut crossing, mut calls_crossing, mut calls) = (0, 0, 0);
        for span in all.iter().filter(|s| s.ts >= T0 + MINUTE_US) {
            assert_eq!((span.trace.len(), span.id.len()), (32, 16));
            assert!(span.duration > 0 && span.duration < MINUTE_US / 2);
            let Some(parent) = &span.parent else { continue };
            let parent = by_id[&(&*span.trace, &**parent)];
            let back = span.ts.div_euclid(MINUTE_US) - parent.ts.div_euclid(MINUTE_US);
            assert!(back == 0 || back == 1, "{span:?} {parent:?}");
            assert!(parent.ts < span.ts && span.ts + span.duration <= parent.ts + parent.duration);
            crossing += back;
            calls += i64::from(parent.service != span.service);
            calls_crossing += back * i64::from(parent.service != span.service);
        }
        assert!(
            crossing >= 50 && calls_crossing >= 10 && calls > 500,
            "{crossing} {calls_crossing} {calls}"
        );
    }
}

#[test]
fn traces_have_one_root_each_and_two_to_twelve_spans() {
    let cfg = MockConfig::default();
    let mut sizes: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let spans = Kept::of(&cfg, minutes(0, 5)).spans;
    let inner: BTreeSet<&str> = spans
        .iter()
        .filter(|s| s.ts > T0 + MINUTE_US / 2 && s.ts < T0 + 4 * MINUTE_US)
        .map(|s| s.trace.as_str())
        .collect();
    for span in spans.iter().filter(|s| inner.contains(s.trace.as_str())) {
        let entry = sizes.entry(span.trace.clone()).or_default();
        entry.0 += 1;
        entry.1 += usize::from(span.parent.is_none());
    }
    assert!(
        sizes
            .values()
            .all(|(size, roots)| (2..=12).contains(size) && *roots == 1),
        "{sizes:?}"
    );
}

#[test]
fn a_few_spans_fail() {
    for seed in 0..10 {
        let spans = Kept::of(
            &MockConfig {
                seed,
                ..MockConfig::default()
            },
            minutes(0, 10),
        )
        .spans;
        let share = spans.iter().filter(|s| s.error).count() as f64 / spans.len() as f64;
        assert!((0.01..=0.05).contains(&share), "seed {seed}: {share}");
    }
}

#[test]
fn counters_rise_from_start_to_start_and_gauges_keep_their_range() {
    let kept = Kept::of(
        &MockConfig {
            metrics_per_minute: 2_000,
            ..MockConfig::default()
        },
        minutes(0, 30),
    );
    let mut series: BTreeMap<String, Vec<(i64, f64)>> = BTreeMap::new();
    for (ts, name, value) in kept.points {
        series.entry(name).or_default().push((ts, value));
    }
    let (mut counters, mut resets) = (0, 0);
    for (name, samples) in series {
        assert!(samples.is_sorted_by(|a, b| a.0 < b.0), "{name}");
        if ["_total", "_bucket", "_count", "_sum"]
            .iter()
            .any(|suffix| name.contains(suffix))
        {
            counters += 1;
            // A process starts anew every 20 minutes at most.
            let falls = samples.windows(2).filter(|pair| pair[1].1 < pair[0].1).count();
            assert!(falls <= 2, "{name} fell {falls} times");
            resets += falls;
            assert!(samples.iter().any(|s| s.1 > samples[0].1), "{name} stood still");
        } else if name.contains("utilization") {
            assert!(samples.iter().all(|s| (0.0..=1.0).contains(&s.1)), "{name}");
        } else {
            assert!(samples.iter().all(|s| s.1 >= 0.0), "{name}");
        }
    }
    assert!(counters > 100 && resets > 0, "{counters} counters, {resets} resets");
}

#[test]
fn what_is_not_wanted_does_not_come() {
    let cfg = MockConfig::default();
    let wanted = Wanted {
        logs: false,
        traces: false,
        metric: &|name| name.starts_with("http_"),
        label: &|name| name == "code" || name == "pod",
    };
    let mut kept = Kept::default();
    fetch(&cfg, minutes(0, 1), &wanted, &mut kept);
    assert!(kept.logs.is_empty() && kept.spans.is_empty() && !kept.points.is_empty());
    for (_, point, _) in &kept.points {
        assert!(
            point.contains(" http_") && point.contains("code") && !point.contains("method"),
            "{point}"
        );
    }
    assert!(json_rows(&cfg, Dataset::Logs, minutes(0, 1), 10, &wanted).is_empty());
    assert!(json_rows(&cfg, Dataset::Traces, minutes(0, 1), 10, &wanted).is_empty());
    let rows = json_rows(&cfg, Dataset::Metrics, minutes(0, 1), 10_000, &wanted);
    assert_eq!(rows.len(), kept.points.len());
    assert!(
        rows.iter().all(|row| row.contains("\"method\"")),
        "a row has all labels"
    );
}

#[test]
fn parents_are_the_spans() {
    let cfg = MockConfig::default();
    let range = Window::new(T0 + 1_000_000, T0 + 90_000_000);
    let mut seen = Vec::new();
    parents(&cfg, range, &mut |link| {
        let (start, trace, span, service) = (
            link.start,
            link.trace_id,
            link.span_id,
            link.service.unwrap_or_default(),
        );
        seen.push((start, trace.to_owned(), span.to_owned(), service.to_owned()))
    });
    let spans = Kept::of(&cfg, range).spans;
    let expected: Vec<_> = spans.into_iter().map(|s| (s.ts, s.trace, s.id, s.service)).collect();
    assert_eq!(seen, expected);
}

#[test]
fn json_rows_are_the_fetched_records() {
    let cfg = MockConfig::default();
    let range = minutes(2, 1);
    let kept = Kept::of(&cfg, range);
    let rows = |dataset| -> Vec<serde_json::Value> {
        let rows = json_rows(&cfg, dataset, range, usize::MAX, &Wanted::ALL);
        rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect()
    };
    let logs = rows(Dataset::Logs);
    assert_eq!(logs.len(), kept.logs.len());
    for (row, (ts, log)) in logs.iter().zip(&kept.logs) {
        assert_eq!(row["_timestamp"], *ts);
        assert!(log.ends_with(row["body"].as_str().unwrap()));
    }
    let points = rows(Dataset::Metrics);
    assert_eq!(points.len(), kept.points.len());
    for (row, (ts, _, value)) in points.iter().zip(&kept.points) {
        assert_eq!(row["_timestamp"], *ts);
        // Without its feature float_roundtrip, serde_json may read the neighbour of the float that was written.
        assert!((row["value"].as_f64().unwrap() - value).abs() <= 1e-15 * value.abs());
    }
    let spans = rows(Dataset::Traces);
    assert_eq!(spans.len(), kept.spans.len());
    for (row, span) in spans.iter().zip(&kept.spans) {
        assert_eq!(
            (&row["span_id"], &row["service_name"]),
            (&span.id.as_str().into(), &span.service.as_str().into())
        );
        assert_eq!(
            row["end_time"].as_i64().unwrap() - row["start_time"].as_i64().unwrap(),
            span.duration * 1000
        );
        assert_eq!(row["reference_parent_span_id"].as_str(), span.parent.as_deref());
        assert_eq!(row["span_status"] == "ERROR", span.error);
    }
    assert_eq!(json_rows(&cfg, Dataset::Traces, range, 7, &Wanted::ALL).len(), 7);
    assert!(json_rows(&cfg, Dataset::Logs, range, 0, &Wanted::ALL).is_empty());
}

#[test]
fn other_seeds_give_other_systems() {
    let of = |seed| {
        Kept::of(
            &MockConfig {
                seed,
                ..MockConfig::default()
            },
            minutes(0, 1),
        )
    };
    let (a, b) = (of(1), of(2));
    assert!(a.logs != b.logs && a.points != b.points && a.spans != b.spans);
}

#[test]
fn strange_ranges_do_no_harm() {
    let cfg = MockConfig::default();
    for range in [
        Window::new(T0, T0),
        Window::new(T0, T0 - MINUTE_US),
        Window::new(i64::MAX - 1, i64::MAX),
        Window::new(i64::MIN, i64::MIN + MINUTE_US),
        Window::new(i64::MAX, i64::MIN),
    ] {
        let kept = Kept::of(&cfg, range);
        assert!(kept.logs.is_empty() && kept.points.is_empty() && kept.spans.is_empty());
    }
    // Before 1970 minutes are as full as ever.
    assert_eq!(Kept::of(&cfg, Window::new(-MINUTE_US, 0)).spans.len(), 1000);
}
