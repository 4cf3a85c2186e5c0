//! What a span means to its children does not depend on whether it is good for a call itself.

use engine::aggregate::{Aggregator, Margin};
use engine::decode::{Options, json};
use engine::record::Dataset;
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
