//! What a span means to its children does not depend on whether it is good for a call itself, and what it costs not on how
//! many there are.

use engine::aggregate::{Aggregator, Margin};
use engine::decode::{Options, json};
use engine::record::{Dataset, Peer, RecordSink, SpanKind, SpanRecord};
use engine::window::{MINUTE_US, Window};

#[test]
fn a_span_of_impossible_duration_is_still_a_parent() {
    // The parent ended before it began, which OpenObserve stores as a duration beyond all bounds.
    let body = br#"{"hits":[
        {"_timestamp":2,"trace_id":"t","span_id":"b","reference_parent_span_id":"a","service_name":"cart","duration":5},
        {"_timestamp":1,"trace_id":"t","span_id":"a","service_name":"web","duration":18446744073704551}]}"#;
    let mut aggregator = Aggregator::new(Window::new(0, MINUTE_US));
    json::search_response(&Options::new(Dataset::Traces), body, &mut aggregator).expect("a whole answer");
    let out = aggregator.finish(Margin::default()).remove(0);
    assert_eq!((out.stats.calls, out.stats.rejected, out.stats.orphan_spans), (1, 1, 0));
}

/// A sender gives all its spans one id: each client span has all children, and each child all of them for parents. Where a
/// span looked at every one of the others this would take minutes.
#[test]
fn one_id_for_all_spans_costs_no_look_at_each_other() {
    const SPANS: i64 = 100_000;
    let mut aggregator = Aggregator::new(Window::new(0, MINUTE_US));
    for ts in 0..SPANS {
        aggregator.span(SpanRecord {
            ts,
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
    let out = aggregator.finish(margin).remove(0);
    assert_eq!(
        (out.stats.spans, out.stats.calls),
        (SPANS as u64, 0),
        "nobody calls itself"
    );
    assert_eq!(out.stats.inferred_calls, SPANS as u64, "no other service took a call");
}
