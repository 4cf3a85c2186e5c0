//! Calls that are made again, and spans that are delivered again.

use super::*;
use crate::work::assert_linear;

/// Calls, inferred calls, and their errors, of web to cart in the first minute, in this order.
fn calls(records: &[Record]) -> Vec<(bool, u64, u64)> {
    let out = aggregate(records);
    let minute = out.minutes[0].calls();
    minute
        .map(|(_, _, c)| (c.inferred, c.durations.count(), c.errors))
        .collect()
}

fn client(ts: i64, id: &str, error: bool) -> Record {
    let calling = (9, SpanKind::Client, Some(Peer::Service("cart")));
    Record::Span(
        ts,
        "t".into(),
        id.into(),
        Some("root".into()),
        Some("web"),
        calling,
        error,
    )
}

#[test]
fn a_retry_is_a_call_of_its_own() {
    let root = span(0, "root", None, "web", 100, false);
    let first = client(1, "try1", true);
    let again = client(20, "try2", false);
    let answers = [
        span(2, "a1", Some("try1"), "cart", 5, true),
        span(21, "a2", Some("try2"), "cart", 5, false),
    ];
    let [failed, done] = answers;
    assert_eq!(
        calls(&[root.clone(), first.clone(), failed, again.clone(), done.clone()]),
        [(false, 2, 1)]
    );
    // Nobody answers either of them.
    assert_eq!(calls(&[root, first, again]), [(true, 2, 1)]);
}

#[test]
fn a_span_counts_as_often_as_it_is_delivered() {
    let caller = client(1, "call", false);
    let answer = span(2, "answer", Some("call"), "cart", 5, true);
    let once = [caller.clone(), answer.clone()];
    assert_eq!(calls(&once), [(false, 1, 1)]);
    assert_eq!(
        calls(&[caller.clone(), caller.clone(), answer.clone()]),
        [(false, 1, 1)],
        "the caller's half is none of its own"
    );
    assert_eq!(calls(&[caller.clone(), answer.clone(), answer]), [(false, 2, 2)]);
    assert_eq!(calls(&[caller.clone(), caller]), [(true, 2, 0)], "nobody answered");
}

/// A sender gives all its spans one id: each client span has all children, and each child all of them for parents.
#[test]
fn one_id_for_all_spans_costs_no_look_at_each_other() {
    assert_linear("spans of one id", 2_000, 100, |spans| {
        let mut aggregator = Aggregator::new(Window::new(0, MINUTE_US));
        for ts in 0..spans {
            aggregator.span(SpanRecord {
                ts: ts as i64,
                trace_id: "t",
                span_id: "s",
                parent_span_id: Some("s"),
                service: Some("web"),
                duration_us: 5,
                error: false,
                kind: SpanKind::Client,
                peer: Some(Peer::Queue {
                    system: "kafka",
                    destination: "orders",
                }),
            });
        }
        let margin = Margin::default();
        aggregator.wants_parents(Window::new(-1_000_000, 0), margin);
        let stats = aggregator.finish(margin).remove(0).stats;
        assert_eq!((stats.spans, stats.calls), (spans as u64, 0), "nobody calls itself");
        assert_eq!(stats.inferred_calls, spans as u64, "no other service took a call");
    });
}
