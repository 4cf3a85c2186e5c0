//! Sinks in front of the aggregator: one counts what belongs to the window and drops metrics nobody asked for, one
//! takes parents.

use super::pattern::Patterns;
use engine::aggregate::Aggregator;
use engine::decode::ParentSink;
use engine::record::{Dataset, LogRecord, MetricPoint, RecordSink, RejectReason, SpanRecord};
use engine::window::Window;

/// Forwards to `inner`. Where streams hold metrics of many names (NDJSON files, other writers' Parquet), `metrics`
/// picks by the name in the record.
pub struct Tap<'a, S> {
    inner: &'a mut S,
    range: Window,
    metrics: Option<&'a Patterns>,
    /// Records inside the range, as forwarded.
    pub in_range: u64,
}

impl<'a, S: RecordSink> Tap<'a, S> {
    /// `metrics`: `None` forwards every metric.
    pub fn new(inner: &'a mut S, range: Window, metrics: Option<&'a Patterns>) -> Self {
        Tap {
            inner,
            range,
            metrics: metrics.filter(|p| !p.is_all()),
            in_range: 0,
        }
    }

    fn count(&mut self, ts: i64) {
        self.in_range += u64::from(self.range.contains(ts));
    }
}

impl<S: RecordSink> RecordSink for Tap<'_, S> {
    fn log(&mut self, r: LogRecord<'_>) {
        self.count(r.ts);
        self.inner.log(r);
    }

    fn metric(&mut self, p: MetricPoint<'_>) {
        if self.metrics.is_none_or(|m| m.matches(p.metric)) {
            self.count(p.ts);
            self.inner.metric(p);
        }
    }

    fn span(&mut self, s: SpanRecord<'_>) {
        self.count(s.ts);
        self.inner.span(s);
    }

    fn parent_only(&mut self, trace_id: &str, span_id: &str, service: &str) {
        self.inner.parent_only(trace_id, span_id, service);
    }

    fn reject(&mut self, dataset: Dataset, reason: RejectReason, sample: &str) {
        self.inner.reject(dataset, reason, sample);
    }
}

/// Hands spans to an aggregator as parents.
pub struct Parents<'a>(pub &'a mut Aggregator);

impl ParentSink for Parents<'_> {
    fn parent(&mut self, trace_id: &str, span_id: &str, service: &str) {
        self.0.parent(trace_id, span_id, service);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::record::Identity;

    #[derive(Default)]
    struct Seen(Vec<String>);

    impl RecordSink for Seen {
        fn log(&mut self, r: LogRecord<'_>) {
            self.0.push(r.body.to_string());
        }
        fn metric(&mut self, p: MetricPoint<'_>) {
            self.0.push(p.metric.to_string());
        }
        fn span(&mut self, s: SpanRecord<'_>) {
            self.0.push(s.span_id.to_string());
        }
        fn reject(&mut self, _: Dataset, reason: RejectReason, _: &str) {
            self.0.push(reason.as_str().to_string());
        }
    }

    #[test]
    fn counts_the_range_and_picks_metrics_by_name() {
        let only_up = Patterns::new(["up"]);
        let mut seen = Seen::default();
        let mut tap = Tap::new(&mut seen, Window::new(10, 20), Some(&only_up));
        for (ts, metric) in [(9, "up"), (10, "up"), (19, "up"), (15, "down"), (20, "up")] {
            tap.metric(MetricPoint {
                ts,
                identity: Identity::default(),
                metric,
                value: 1.0,
                labels: &[],
            });
        }
        tap.log(LogRecord {
            ts: 10,
            identity: Identity::default(),
            body: "line",
            severity: None,
        });
        tap.reject(Dataset::Logs, RejectReason::MissingBody, "");
        assert_eq!(tap.in_range, 3);
        assert_eq!(seen.0, ["up", "up", "up", "up", "line", "missing_body"]);
    }
}
