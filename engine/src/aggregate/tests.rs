mod ranges;
mod repeats;
mod sparse;

use proptest::prelude::*;

use super::*;
use crate::partial::Bucket5;
use crate::record::{Identity, Peer, SpanKind};

const RANGE: Window = Window {
    from: 0,
    to: 3 * MINUTE_US,
};

const MARGIN: Margin = Margin {
    before: 5 * MINUTE_US,
    after: MINUTE_US / 2,
};

/// A record that owns its text, or a parent from the margin.
#[derive(Clone, Debug)]
enum Record {
    Log(i64, &'static str, String, Option<&'static str>),
    Metric(i64, &'static str, Sample, f64, Vec<(&'static str, String)>),
    Span(i64, String, String, Option<String>, Option<&'static str>, Calling, bool),
    Parent(i64, String, String, Option<String>, &'static str),
    Reject(Dataset, RejectReason, Option<i64>, String),
}

/// Name, number of the series, and how its values add up.
type Sample = (&'static str, u64, Counts);

/// Duration in microseconds, kind of the span, and whom it calls.
type Calling = (u64, SpanKind, Option<Peer<'static>>);

/// A gauge with one series.
fn gauge(metric: &'static str) -> Sample {
    (metric, 1, Counts::No)
}

fn feed(a: &mut Aggregator, record: &Record) {
    match record {
        Record::Log(ts, service, body, severity) => {
            let identity = Identity {
                service: None,
                host: Some(service),
            };
            a.log(LogRecord {
                ts: *ts,
                identity,
                body,
                severity: *severity,
            });
        }
        Record::Metric(ts, service, (metric, series, counts), value, labels) => {
            let le = labels.iter().find(|(name, _)| *name == "le");
            let le = le.and_then(|(_, le)| le.parse().ok());
            let labels: Vec<(&str, &str)> = labels.iter().map(|(k, v)| (*k, v.as_str())).collect();
            let identity = Identity {
                service: Some(service),
                host: Some("h"),
            };
            a.metric(MetricPoint {
                ts: *ts,
                identity,
                metric,
                value: *value,
                labels: &labels,
                series: *series,
                counts: *counts,
                le,
            });
        }
        Record::Span(ts, trace, span, parent, service, (duration_us, kind, peer), error) => a.span(SpanRecord {
            ts: *ts,
            trace_id: trace,
            span_id: span,
            parent_span_id: parent.as_deref(),
            service: *service,
            duration_us: *duration_us,
            error: *error,
            kind: *kind,
            peer: *peer,
        }),
        Record::Parent(start, trace, span, parent, service) => {
            a.link(link(*start, trace, span, parent.as_deref(), Some(service)));
        }
        Record::Reject(dataset, reason, ts, sample) => a.reject(*dataset, *reason, *ts, sample),
    }
}

fn link<'a>(
    start: i64,
    trace_id: &'a str,
    span_id: &'a str,
    parent_span_id: Option<&'a str>,
    service: Option<&'a str>,
) -> SpanLink<'a> {
    SpanLink {
        start,
        trace_id,
        span_id,
        parent_span_id,
        service,
    }
}

fn aggregate(records: &[Record]) -> Output {
    let mut a = Aggregator::new(RANGE);
    records.iter().for_each(|r| feed(&mut a, r));
    a.finish(MARGIN).remove(0)
}

fn kind() -> impl Strategy<Value = SpanKind> {
    prop::sample::select(vec![SpanKind::Server, SpanKind::Client, SpanKind::Producer])
}

/// Whom a span calls: a service that may be there, or something that sends no spans.
fn peer() -> impl Strategy<Value = Option<Peer<'static>>> {
    let database = |system| Peer::Database {
        system,
        address: None,
        name: Some("shop"),
    };
    let queue = Peer::Queue {
        system: "kafka",
        destination: "orders",
    };
    let peers = vec![
        Peer::Service("pay"),
        database("postgresql"),
        database("postgres"),
        queue,
    ];
    prop::option::of(prop::sample::select(peers))
}

/// A record of the first `minutes`, or now and then of any time.
fn record(minutes: i64) -> impl Strategy<Value = Record> {
    let ts = prop_oneof![9 => 0i64..minutes * MINUTE_US, 1 => any::<i64>()].prop_map(|ts| ts / 20_000_000 * 20_000_000);
    let service = prop::sample::select(vec!["cart", "pay", "web", "", "a/b", "unknown"]);
    let level = prop::option::of(prop::sample::select(vec!["INFO", "ERROR", "WARN", "FATAL"]));
    let body = prop_oneof!["(got|lost) [0-9]{1,2} of [a-c]", ".{0,12}"];
    let metric = prop::sample::select(vec!["cpu", "mem", "hits_bucket", "hits_sum"]);
    let counts = prop::sample::select(vec![Counts::No, Counts::Cumulative, Counts::Delta]);
    let metric = (metric, 0u64..3, counts);
    let value = prop_oneof![any::<f64>(), -3.0..3.0f64, Just(0.1), Just(f64::MAX)];
    let labels = prop::collection::vec((prop::sample::select(vec!["le", "code", "password"]), "[0-2]"), 0..3);
    let id = || "[0-5]";
    let span_service = prop::option::of(service.clone());
    let calling = (prop_oneof![0u64..50, 0u64..200_000_000], kind(), peer());
    let reason = prop::sample::select(vec![RejectReason::MissingBody, RejectReason::NotUtf8]);
    prop_oneof![
        (ts.clone(), service.clone(), body, level).prop_map(|(t, s, b, l)| Record::Log(t, s, b, l)),
        (ts.clone(), service.clone(), metric, value, labels).prop_map(|(t, s, m, v, l)| Record::Metric(t, s, m, v, l)),
        (
            ts.clone(),
            id(),
            id(),
            prop::option::of(id()),
            span_service,
            calling,
            any::<bool>()
        )
            .prop_map(|(t, tr, sp, p, s, d, e)| Record::Span(t, tr, sp, p, s, d, e)),
        (ts.clone(), id(), id(), prop::option::of(id()), service)
            .prop_map(|(at, t, s, p, n)| Record::Parent(at, t, s, p, n)),
        (reason, prop::option::of(ts), "[a-f]").prop_map(|(r, ts, s)| Record::Reject(Dataset::Logs, r, ts, s)),
    ]
}

proptest! {
    #[test]
    fn neither_order_nor_splits_matter(
        records in prop::collection::vec(record(3), 0..80),
        parts in prop::collection::vec(0usize..4, 80),
        order in Just((0..80usize).collect::<Vec<_>>()).prop_shuffle(),
        merges in Just((0..4usize).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let want = aggregate(&records);
        let mut split: Vec<Aggregator> = (0..4).map(|_| Aggregator::new(RANGE)).collect();
        for i in order.into_iter().filter(|i| *i < records.len()) {
            feed(&mut split[parts[i]], &records[i]);
        }
        let mut split: Vec<Option<Aggregator>> = split.into_iter().map(Some).collect();
        let mut whole = Aggregator::new(RANGE);
        for i in merges {
            whole.merge(split[i].take().unwrap());
        }
        prop_assert_eq!(whole.finish(MARGIN).remove(0), want);
    }

    #[test]
    fn every_record_is_counted_once_and_keys_are_unique(records in prop::collection::vec(record(3), 0..80)) {
        let out = aggregate(&records);
        let s = out.stats;
        let lead = records_range(Dataset::Metrics, RANGE).from..RANGE.from;
        let apart = records.iter().filter(|r| match r {
            Record::Parent(..) => true,
            Record::Metric(ts, ..) => lead.contains(ts),
            _ => false,
        });
        prop_assert_eq!(s.logs + s.metrics + s.spans + s.outside + s.rejected + apart.count() as u64, records.len() as u64);
        prop_assert_eq!(out.minutes.iter().map(|m| m.minute / MINUTE_US).collect::<Vec<_>>(), [0, 1, 2]);
        let bucket = Bucket5::from_partials(0, &out.minutes).unwrap();
        prop_assert_eq!(bucket.logs.iter().map(|l| l.total as u64).sum::<u64>(), s.logs);
        let seen = bucket.calls.iter().filter(|c| !c.inferred);
        prop_assert_eq!(seen.map(|c| c.calls as u64).sum::<u64>(), s.calls);
        let told: u64 = out.minutes.iter().flat_map(|m| m.calls()).filter(|c| c.2.inferred).map(|c| c.2.durations.count()).sum();
        prop_assert_eq!(told, s.inferred_calls);
        prop_assert!(out.metrics.iter().map(|m| m.count as u64).sum::<u64>() <= s.metrics);
        let keys: Vec<_> = out.metrics.iter().map(|m| (m.bucket, m.resource, &m.metric, m.labels_hash)).collect();
        prop_assert!(keys.is_sorted_by(|a, b| a < b));
        prop_assert!(out.metrics.iter().all(|m| m.min <= m.avg && m.avg <= m.max && m.min <= m.p95 && m.p95 <= m.max));
        prop_assert!(out.resources.is_sorted_by(|a, b| a.urn < b.urn));
        let keys: Vec<_> = out.histograms.iter().map(|h| (h.bucket, h.resource, &h.metric, h.labels_hash)).collect();
        prop_assert!(keys.is_sorted_by(|a, b| a < b));
        prop_assert!(out.histograms.iter().all(|h| h.p50 <= h.p95 && h.p95 <= h.p99));
        let known = |urn: &str| out.resources.binary_search_by(|r| r.urn.as_str().cmp(urn)).is_ok();
        prop_assert!(bucket.calls.iter().all(|c| known(&c.src) && known(&c.dst) && c.src != c.dst));
        prop_assert!(bucket.logs.iter().all(|l| known(&l.resource)));
        prop_assert!(out.metrics.iter().all(|m| (m.resource as usize) < out.resources.len()));
    }
}

fn span(ts: i64, span: &str, parent: Option<&str>, service: &'static str, us: u64, error: bool) -> Record {
    Record::Span(
        ts,
        "t".into(),
        span.into(),
        parent.map(Into::into),
        Some(service),
        (us, SpanKind::Server, None),
        error,
    )
}

#[test]
fn a_call_is_a_span_whose_parent_belongs_to_another_service() {
    let records = [
        span(MINUTE_US, "b", Some("a"), "cart", 2_000, true),
        span(0, "a", None, "web", 9_000, false),
        span(1, "c", Some("b"), "cart", 1, false),
        span(2, "d", Some("m"), "cart", 4_000, false),
        span(3, "e", Some("gone"), "cart", 1, false),
        span(4, "f", Some("0000000000000000"), "cart", 1, false),
        span(-1, "g", Some("a"), "cart", 1, false),
        Record::Parent(-1, "t".into(), "m".into(), None, "web"),
        Record::Parent(-1, "t".into(), "n".into(), None, "margin"),
    ];
    let mut a = Aggregator::new(RANGE);
    records.iter().for_each(|r| feed(&mut a, r));
    assert!(a.wants_parents(Window::new(-5, 0), MARGIN), "one is still missing");
    let out = a.finish(MARGIN).remove(0);
    assert_eq!(
        (
            out.stats.calls,
            out.stats.orphan_spans,
            out.stats.outside,
            out.stats.spans
        ),
        (2, 1, 1, 6)
    );
    assert_eq!(
        out.resources.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(),
        ["cart", "web"]
    );
    let edges = |i: usize| -> Vec<(&str, &str, u64, u64)> {
        out.minutes[i]
            .calls()
            .map(|(s, d, c)| (s, d, c.durations.count(), c.errors))
            .collect()
    };
    assert_eq!(edges(0), [("urn:svc:web", "urn:svc:cart", 1, 0)]);
    assert_eq!(edges(1), [("urn:svc:web", "urn:svc:cart", 1, 1)]);
    let row = &Bucket5::from_partials(0, &out.minutes).unwrap().calls[0];
    assert_eq!((row.calls, row.p50_ms, row.err_rate), (2, 3.0, 0.5));
}

#[test]
fn an_empty_range_has_empty_minutes_and_values_that_are_no_numbers_are_rejected() {
    let out = aggregate(&[
        Record::Metric(0, "s", gauge("cpu"), f64::NAN, vec![]),
        Record::Metric(0, "s", gauge("cpu"), f64::INFINITY, vec![]),
        Record::Metric(0, "s", gauge("cpu"), f64::MAX, vec![]),
        Record::Metric(0, "s", gauge("cpu"), f64::MIN, vec![]),
    ]);
    assert_eq!((out.stats.rejected, out.rejects[0].count, out.metrics.len()), (4, 4, 0));
    assert!(out.resources.is_empty());
    assert!(out.minutes.len() == 3 && out.minutes.iter().all(|m| m.is_empty()));
}
